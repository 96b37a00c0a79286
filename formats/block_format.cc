#include "formats/block_format.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::formats {

const std::vector<CatalogueEntry>& catalogue() {
  static const char* ocp = "OCP Microscaling Formats (MX) v1.0, 2023";
  static const char* mx_paper = "Rouhani et al., With Shared Microexponents..., ISCA 2023";
  static const char* bm_paper = "Fox et al., A Block Minifloat Representation..., ICLR 2021";
  static const char* msfp_paper =
      "Rouhani et al., Pushing the Limits of Narrow Precision..., NeurIPS 2020";
  static const char* ieee = "IEEE 754-2019";
  static const char* ofp8 = "OCP 8-bit Floating Point (OFP8) v1.0, 2023";
  static const char* nvfp4 = "NVIDIA, Pretraining LLMs with NVFP4, 2025";
  static const char* vsq = "Dai et al., VS-Quant, MLSys 2021";
  static const char* abfp = "Basumallik et al., Adaptive Block Floating-Point..., 2022";
  static const char* qlora = "Dettmers et al., QLoRA, NeurIPS 2023";
  static const char* optim8 = "Dettmers et al., 8-bit Optimizers via Block-wise Quantization, 2022";
  static const char* switchback = "Wortsman et al., Stable and low-precision training..., 2023";
  static const char* wage = "Wu et al., Training and Inference with Integers..., ICLR 2018";
  static const char* fnuz = "Noune et al., 8-bit Numerical Formats for Deep Neural Networks, 2022";
  static const std::vector<CatalogueEntry> entries = {
      {"mxfp8_e4m3", "e4m3@e8m0/32", "OCP MX", ocp},
      {"mxfp8_e5m2", "e5m2@e8m0/32", "OCP MX", ocp},
      {"mxfp6_e3m2", "e3m2@e8m0/32", "OCP MX", ocp},
      {"mxfp6_e2m3", "e2m3@e8m0/32", "OCP MX", ocp},
      {"mxfp4_e2m1", "e2m1@e8m0/32", "OCP MX", ocp},
      {"mxint8", "int8@e8m0/32", "OCP MX", ocp},
      {"mx9", "sm7@e8m0/16+u1/2", "shared microexponents", mx_paper},
      {"mx6", "sm4@e8m0/16+u1/2", "shared microexponents", mx_paper},
      {"mx4", "sm2@e8m0/16+u1/2", "shared microexponents", mx_paper},
      {"msfp16", "sm7@e8m0/16", "Microsoft floating point", msfp_paper},
      {"msfp12", "sm3@e8m0/16", "Microsoft floating point", msfp_paper},
      {"bm8", "e2m5:bias=2@e8m0/48x48", "block minifloat", bm_paper},
      {"bm8_e4m3", "e4m3:finite:bias=8@e8m0/48x48", "block minifloat", bm_paper},
      {"bm7", "e2m4:bias=2@e8m0/48x48", "block minifloat", bm_paper},
      {"bm7_e4m2", "e4m2:bias=8@e8m0/48x48", "block minifloat", bm_paper},
      {"bm6", "e2m3:bias=2@e8m0/48x48", "block minifloat", bm_paper},
      {"bm6_e3m2", "e3m2:bias=4@e8m0/48x48", "block minifloat", bm_paper},
      {"bm5", "e2m2:bias=2@e8m0/48x48", "block minifloat", bm_paper},
      {"bm5_e3m1", "e3m1:bias=4@e8m0/48x48", "block minifloat", bm_paper},
      {"bm4", "e2m1:bias=2@e8m0/48x48", "block minifloat", bm_paper},
      {"bm4_e3m0", "e3m0:bias=4@e8m0/48x48", "block minifloat", bm_paper},
      {"nvfp4", "e2m1@e4m3/16*fp32/tensor", "two-level scale", nvfp4},
      {"nvfp4_tile", "e2m1@e4m3/16x16*fp32/tensor", "two-level scale", nvfp4},
      {"vsq8", "int8:frac=0@u6/16*fp32/row", "two-level scale", vsq},
      {"vsq4", "int4:frac=0@u4/16*fp32/row", "two-level scale", vsq},
      {"nvfp4_ue5m3", "e2m1@ue5m3/16", "unsigned block scale",
       "Hu et al., Elucidating the Design Space of FP4 Training, 2025"},
      {"abfp8", "int8:frac=0@bf16:amax/128", "adaptive block floating point", abfp},
      {"abfp8_32", "int8:frac=0@bf16:amax/32", "adaptive block floating point", abfp},
      {"abfp8_8", "int8:frac=0@bf16:amax/8", "adaptive block floating point", abfp},
      {"nf4", "nf4@fp32/64", "code book", qlora},
      {"nf4_dq", "nf4@dynamic8/64*fp32/256:mean", "code book", qlora},
      {"dynamic8_256", "dynamic8@fp32/256", "code book", optim8},
      {"dynamic8_2048", "dynamic8@fp32/2048", "code book", optim8},
      {"udynamic8_256", "udynamic8@fp32/256", "code book", optim8},
      {"fp8_e4m3_tensor", "e4m3@fp32/tensor", "per tensor", ofp8},
      {"fp8_e5m2_tensor", "e5m2@fp32/tensor", "per tensor", ofp8},
      {"fp8_e4m3_row", "e4m3@fp32/row", "per row", ofp8},
      {"fp8_e4m3_128", "e4m3@fp32/128", "fine-grained FP8",
       "DeepSeek-AI, DeepSeek-V3 Technical Report, 2024, 3.3"},
      {"fp8_e4m3_128x128", "e4m3@fp32/128x128", "fine-grained FP8",
       "DeepSeek-AI, DeepSeek-V3 Technical Report, 2024, 3.3"},
      {"int8_row", "int8:frac=0@fp32:amax/row", "SwitchBack", switchback},
      {"int8_tensor", "int8:frac=0@fp32:amax/tensor", "SwitchBack", switchback},
      {"wage_w2", "int2:frac=1", "WAGE", wage},
      {"wage_a8", "int8:frac=7", "WAGE", wage},
      {"wage_e8", "int8:frac=7@e8m0/tensor", "WAGE", wage},
      {"fp8_e4m3", "e4m3", "scalar", ofp8},
      {"fp8_e5m2", "e5m2", "scalar", ofp8},
      {"fp8_e4m3fnuz", "e4m3:fnuz", "scalar", fnuz},
      {"fp8_e5m2fnuz", "e5m2:fnuz", "scalar", fnuz},
      {"binary", "binary", "scalar", "Courbariaux et al., BinaryNet, 2016"},
      {"ternary", "int2", "scalar", "Li et al., Ternary Weight Networks, 2016"},
      {"bf16", "bf16", "scalar", "Google brain float, the upper half of binary32"},
      {"fp16", "fp16", "scalar", ieee},
      {"tf32", "tf32", "scalar", "NVIDIA A100 Tensor Core GPU Architecture, 2020"},
      {"fp32", "fp32", "scalar", ieee},
  };
  return entries;
}

const std::vector<CatalogueAlias>& catalogue_aliases() {
  static const std::vector<CatalogueAlias> aliases = {
      {"mxfp4", "mxfp4_e2m1"},
      {"mxfp8", "mxfp8_e4m3"},
      {"bm8_e2m5", "bm8"},
      {"bm7_e2m4", "bm7"},
      {"bm6_e2m3", "bm6"},
      {"bm5_e2m2", "bm5"},
      {"bm4_e2m1", "bm4"},
      {"vsq", "vsq4"},
      {"abfp", "abfp8"},
      {"switchback_x", "int8_row"},
      {"switchback_w", "int8_tensor"},
      {"float8_e4m3fn", "fp8_e4m3"},
      {"float8_e5m2", "fp8_e5m2"},
      {"float8_e4m3fnuz", "fp8_e4m3fnuz"},
      {"float8_e5m2fnuz", "fp8_e5m2fnuz"},
  };
  return aliases;
}

namespace {

const CatalogueEntry* find_entry(std::string_view name) {
  for (const CatalogueAlias& alias : catalogue_aliases())
    if (name == alias.name) name = alias.entry;
  for (const CatalogueEntry& entry : catalogue())
    if (name == entry.name) return &entry;
  return nullptr;
}

std::vector<std::string> known_names() {
  std::vector<std::string> names;
  for (const CatalogueEntry& entry : catalogue()) names.push_back(entry.name);
  for (const CatalogueAlias& alias : catalogue_aliases()) names.push_back(alias.name);
  for (const char* name : {"e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "int8"})
    names.emplace_back(name);
  return names;
}

// `row`, `channel`, `tensor`, or a number that the caller reads.
bool span_word(std::string_view word, Span& span) {
  if (word == "row" || word == "channel")
    span = Span::kRow;
  else if (word == "tensor")
    span = Span::kTensor;
  else
    return false;
  return true;
}

void parse_span(Reader& reader, BlockFormat& format) {
  size_t at = reader.at();
  std::string_view shape = reader.take_until("+*");
  if (span_word(shape, format.span)) return;
  if (!shape.empty() && (shape[0] < '0' || shape[0] > '9'))
    reader.fail(at, "'{}' is no span; must be a block length, LENGTHxROWS, row or tensor{}",
                shown(shape), did_you_mean(shape, {"row", "channel", "tensor", "32"}));
  size_t cross = shape.find('x');
  format.block = reader.whole("block", at, shape.substr(0, cross), 1, 65536);
  if (cross != std::string_view::npos)
    format.tile_rows = reader.whole("tile rows", at + cross + 1, shape.substr(cross + 1), 1, 65536);
}

void parse_micro(Reader& reader, BlockFormat& format) {
  size_t at = reader.at();
  std::string_view bits = reader.take_until("/+*");
  if (!bits.starts_with("u") || !reader.take('/'))
    reader.fail(at, "the second level is +uBITS/BLOCK, as in sm7@e8m0/16+u1/2");
  format.micro.bits = reader.whole("micro bits", at + 1, bits.substr(1), 1, 4);
  at = reader.at();
  format.micro.block = reader.whole("micro block", at, reader.take_until("+*"), 1, 65536);
}

void parse_outer(Reader& reader, BlockFormat& format) {
  format.outer.scale = parse_scale(reader);
  if (!reader.take('/'))
    reader.fail(reader.at(), "a span must follow the outer scale, as in *fp32/tensor");
  size_t at = reader.at();
  std::string_view word = reader.take_until(":+*");
  if (!span_word(word, format.outer.span)) {
    format.outer.span = Span::kBlock;
    format.outer.blocks = reader.whole("outer blocks (or row, tensor)", at, word, 1, 1 << 20);
  }
  if (reader.take(':')) {
    at = reader.at();
    std::string_view option = reader.take_until("+*");
    if (option != "mean")
      reader.fail(at, "unknown option '{}'; an outer scale takes :mean", shown(option));
    format.outer.mean = true;
  }
}

BlockFormat parse_structural(Reader& reader) {
  BlockFormat format;
  std::string_view text = reader.text();
  std::string_view word = text.substr(0, text.find_first_of(":@/+*"));
  try {
    format.element = parse_element(reader);
  } catch (const ConfigError& error) {
    // A single word was perhaps meant as a catalogue name: say the nearest of both kinds.
    if (word.size() == text.size() &&
        std::string_view(error.what()).find("unknown element") != std::string_view::npos)
      reader.fail(0,
                  "unknown; `blockdot formats` lists the names, and ELEMENT@SCALE/BLOCK, as in "
                  "e4m3@e8m0/32, describes any other{}",
                  did_you_mean(word, known_names()));
    throw;
  }
  if (reader.done()) return format;
  if (!reader.take('@'))
    reader.fail(reader.at(), "'{}' must be '@' and a scale, as in e4m3@e8m0/32", reader.peek());
  size_t at_scale = reader.at();
  format.scale = parse_scale(reader);
  if (!format.has_scale()) {
    if (!reader.done())
      reader.fail(reader.at(), "scale none takes no block length and no further level");
    return format;
  }
  if (!reader.take('/'))
    reader.fail(reader.at(),
                "a block length must follow the scale, as in e4m3@e8m0/32 (or row, tensor)");
  parse_span(reader, format);
  size_t at_levels = reader.at();
  if (reader.take('+')) parse_micro(reader, format);
  if (reader.take('*')) parse_outer(reader, format);
  if (!reader.done()) reader.fail(reader.at(), "'{}' after the format's end", reader.peek());
  try {
    validate(format);
  } catch (const ConfigError& error) {
    reader.fail(at_levels < text.size() ? at_levels : at_scale, "{}", error.what());
  }
  return format;
}

}  // namespace

void validate(const BlockFormat& format) {
  validate(format.element);
  validate(format.scale);
  bool whole = format.span != Span::kBlock;
  if (format.has_scale() && !whole && (format.block < 1 || format.block > 65536))
    throw ConfigError("format block = {}: must be in [1, 65536]", format.block);
  if ((!format.has_scale() || whole) && (format.block != 0 || format.tile_rows != 1))
    throw ConfigError("format {}: {} takes no block length and no tile", to_text(format.element),
                      whole ? "a scale of a row or a tensor" : "scale none");
  if (!format.has_scale() && (whole || format.micro.bits != 0 || format.has_outer()))
    throw ConfigError("format {}: scale none takes no block length, tile or second level",
                      to_text(format.element));
  if (format.tile_rows < 1 || format.tile_rows > 65536)
    throw ConfigError("format tile rows = {}: must be in [1, 65536]", format.tile_rows);
  if (format.micro.bits < 0 || format.micro.bits > 4)
    throw ConfigError("format micro bits = {}: must be in [0, 4]", format.micro.bits);
  if (format.micro.bits > 0) {
    if (whole)
      throw ConfigError("format micro block = {}: a second level of shared exponents needs blocks",
                        format.micro.block);
    if (format.micro.block < 1 || format.block % format.micro.block != 0)
      throw ConfigError("format micro block = {}: must divide the block length {}",
                        format.micro.block, format.block);
    if (format.tile_rows != 1)
      throw ConfigError("format tile rows = {}: a second level takes one-row blocks",
                        format.tile_rows);
    if (format.scale.kind != ScaleKind::kE8M0)
      throw ConfigError("format scale = {}: a second level of shared exponents needs scale e8m0",
                        to_text(format.scale));
    if (format.element.kind == ElementKind::kCodeBook)
      throw ConfigError(
          "format element = {}: a second level of shared exponents needs a minifloat "
          "or an integer",
          to_text(format.element));
  }
  bool needs_outer =
      format.scale.kind == ScaleKind::kInteger || format.scale.kind == ScaleKind::kCodeBook;
  if (!format.has_outer()) {
    if (needs_outer)
      throw ConfigError("format scale = {}: needs a scale above it, as in int4@u4/16*fp32/row",
                        to_text(format.scale));
    if (format.outer != OuterScale{})
      throw ConfigError("format outer: span, blocks and mean need an outer scale");
    return;
  }
  validate(format.outer.scale);
  if (whole)
    throw ConfigError("format outer scale = {}: its inner scale must be one of blocks",
                      to_text(format.outer.scale));
  if (format.scale.kind == ScaleKind::kE8M0)
    throw ConfigError(
        "format outer scale = {}: scale e8m0 spans every binary32 already and takes "
        "none; try e4m3, uN or dynamic8 below it",
        to_text(format.outer.scale));
  if (format.outer.scale.kind != ScaleKind::kMinifloat &&
      format.outer.scale.kind != ScaleKind::kE8M0)
    throw ConfigError("format outer scale = {}: must be e8m0 or a minifloat such as fp32",
                      to_text(format.outer.scale));
  if (format.outer.scale.of_maximum || format.scale.of_maximum)
    throw ConfigError("format outer scale = {}: :amax takes a single level of scales",
                      to_text(format.outer.scale));
  bool grouped = format.outer.span == Span::kBlock;
  if (grouped ? format.outer.blocks < 1 || format.outer.blocks > 1 << 20 : format.outer.blocks != 0)
    throw ConfigError(
        "format outer blocks = {}: must be in [1, {}] for groups of blocks, 0 for a "
        "row or a tensor",
        format.outer.blocks, 1 << 20);
  if (format.outer.span != Span::kTensor && format.tile_rows != 1)
    throw ConfigError("format tile rows = {}: an outer scale above tiles is one of the tensor",
                      format.tile_rows);
}

BlockFormat parse_block_format(std::string_view text, std::string_view field) {
  if (const CatalogueEntry* entry = find_entry(to_lower(text))) {
    Reader reader(field, entry->text);
    return parse_structural(reader);
  }
  Reader reader(field, text);
  return parse_structural(reader);
}

std::string to_text(const BlockFormat& format) {
  std::string text = to_text(format.element);
  if (!format.has_scale()) {
    // The bare word may name a block format: `nf4` is nf4@fp32/64.
    const CatalogueEntry* entry = find_entry(text);
    return entry == nullptr || entry->text == text ? text : text + "@none";
  }
  auto span_text = [](Span span, int blocks) {
    return span == Span::kRow      ? std::string("row")
           : span == Span::kTensor ? std::string("tensor")
                                   : fmt::format("{}", blocks);
  };
  text += fmt::format("@{}/{}", to_text(format.scale), span_text(format.span, format.block));
  if (format.tile_rows != 1) text += fmt::format("x{}", format.tile_rows);
  if (format.micro.bits > 0) text += fmt::format("+u{}/{}", format.micro.bits, format.micro.block);
  if (format.has_outer())
    text += fmt::format("*{}/{}{}", to_text(format.outer.scale),
                        span_text(format.outer.span, format.outer.blocks),
                        format.outer.mean ? ":mean" : "");
  return text;
}

std::string display_name(const BlockFormat& format) {
  std::string text = to_text(format);
  for (const CatalogueEntry& entry : catalogue())
    if (entry.text == text) return entry.name;
  return text;
}

double bits_per_element(const BlockFormat& format) {
  double bits = format.element.width();
  if (format.block > 0) {
    double elements = static_cast<double>(format.block) * format.tile_rows;
    bits += format.scale.storage_width() / elements;
    if (format.has_outer() && format.outer.span == Span::kBlock)
      bits += format.outer.scale.storage_width() / (elements * format.outer.blocks);
  }
  if (format.micro.bits > 0) bits += static_cast<double>(format.micro.bits) / format.micro.block;
  return bits;
}

bool always_finite(const BlockFormat& format) {
  return !has_nan(format.element) && !has_nan(format.scale) &&
         (!format.has_outer() || !has_nan(format.outer.scale));
}

namespace {
__extension__ typedef unsigned __int128 Uint128;
}  // namespace

int kulisch_width(const BlockFormat& a, const BlockFormat& b, std::int64_t terms) {
  // |a|max |b|max terms = m 2^e with m below 2^(24+24+33): exact.
  Uint128 product = static_cast<Uint128>(terms);
  int exponent = 0;
  for (const BlockFormat* side : {&a, &b}) {
    const ElementFormat& element = side->element;
    double most = max_value(element);
    if (element.kind == ElementKind::kInteger && !element.symmetric)
      most += std::ldexp(1.0, lsb_exponent(element));
    if (element.kind == ElementKind::kCodeBook) most = std::max(most, -decode(element, 0));
    int e;
    product *= static_cast<std::uint64_t>(std::ldexp(std::frexp(most, &e), 24));
    exponent += e - 24 - lsb_exponent(element) + ((1 << side->micro.bits) - 1);
  }
  auto high = static_cast<std::uint64_t>(product >> 64);
  int bits =
      high != 0 ? 64 + std::bit_width(high) : std::bit_width(static_cast<std::uint64_t>(product));
  return bits + exponent + 1;
}

}  // namespace blockdot::formats
