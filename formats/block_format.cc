#include "formats/block_format.h"

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
      {"bf16", "bf16", "scalar", "Google brain float, the upper half of binary32"},
      {"fp16", "fp16", "scalar", ieee},
      {"fp32", "fp32", "scalar", ieee},
  };
  return entries;
}

namespace {

std::vector<std::string> known_names() {
  std::vector<std::string> names;
  for (const CatalogueEntry& entry : catalogue()) names.push_back(entry.name);
  for (const char* name : {"e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "int8", "mxfp4"})
    names.emplace_back(name);
  return names;
}

BlockFormat parse_structural(std::string_view text, std::string_view whole) {
  BlockFormat format;
  size_t at = text.find('@');
  try {
    format.element = parse_element(text.substr(0, at));
  } catch (const ConfigError& error) {
    if (at != std::string_view::npos) throw;
    // A single word was perhaps meant as a catalogue name: say the nearest of both kinds.
    std::string_view word = text.substr(0, text.find(':'));
    if (word.size() == text.size() && word.find_first_of("0123456789") != 1 &&
        !word.starts_with("int"))
      throw ConfigError(
          "format = {}: unknown{} `blockdot formats` lists the names; ELEMENT@SCALE/BLOCK, as in "
          "e4m3@e8m0/32, describes any other",
          whole, did_you_mean(whole, known_names()));
    throw;
  }
  if (at == std::string_view::npos) return format;

  std::string_view rest = text.substr(at + 1);
  size_t plus = rest.find('+');
  std::string_view first = rest.substr(0, plus);
  size_t slash = first.find('/');
  format.scale = parse_scale(first.substr(0, slash));
  if (format.scale.kind == ScaleKind::kNone) {
    if (slash != std::string_view::npos || plus != std::string_view::npos)
      throw ConfigError("format = {}: scale none takes no block length", whole);
    return format;
  }
  if (slash == std::string_view::npos)
    throw ConfigError("format = {}: a block length must follow the scale, as in e4m3@e8m0/32",
                      whole);
  std::string_view shape = first.substr(slash + 1);
  size_t cross = shape.find('x');
  format.block = static_cast<int>(parse_int("format block", shape.substr(0, cross), 1, 65536));
  if (cross != std::string_view::npos)
    format.tile_rows =
        static_cast<int>(parse_int("format tile rows", shape.substr(cross + 1), 1, 65536));
  if (plus != std::string_view::npos) {
    std::string_view micro = rest.substr(plus + 1);
    size_t divide = micro.find('/');
    if (!micro.starts_with("u") || divide == std::string_view::npos)
      throw ConfigError("format = {}: the second level is +uBITS/BLOCK, as in sm7@e8m0/16+u1/2",
                        whole);
    format.micro.bits =
        static_cast<int>(parse_int("format micro bits", micro.substr(1, divide - 1), 1, 4));
    format.micro.block =
        static_cast<int>(parse_int("format micro block", micro.substr(divide + 1), 1, 65536));
  }
  return format;
}

}  // namespace

void validate(const BlockFormat& format) {
  validate(format.element);
  validate(format.scale);
  bool scaled = format.scale.kind != ScaleKind::kNone;
  if (scaled && (format.block < 1 || format.block > 65536))
    throw ConfigError("format block = {}: must be in [1, 65536]", format.block);
  if (!scaled && (format.block != 0 || format.tile_rows != 1 || format.micro.bits != 0))
    throw ConfigError("format {}: scale none takes no block length, tile or second level",
                      to_text(format.element));
  if (format.tile_rows < 1 || format.tile_rows > 65536)
    throw ConfigError("format tile rows = {}: must be in [1, 65536]", format.tile_rows);
  if (format.micro.bits < 0 || format.micro.bits > 4)
    throw ConfigError("format micro bits = {}: must be in [0, 4]", format.micro.bits);
  if (format.micro.bits > 0) {
    if (format.micro.block < 1 || format.block % format.micro.block != 0)
      throw ConfigError("format micro block = {}: must divide the block length {}",
                        format.micro.block, format.block);
    if (format.tile_rows != 1)
      throw ConfigError("format tile rows = {}: a second level takes one-row blocks",
                        format.tile_rows);
    if (format.scale.kind != ScaleKind::kE8M0)
      throw ConfigError("format scale = {}: a second level of shared exponents needs scale e8m0",
                        to_text(format.scale));
  }
}

BlockFormat parse_block_format(std::string_view text) {
  std::string lower = to_lower(text);
  if (lower == "mxfp4") lower = "mxfp4_e2m1";
  BlockFormat format;
  bool named = false;
  for (const CatalogueEntry& entry : catalogue()) {
    if (lower == entry.name) {
      format = parse_structural(entry.text, text);
      named = true;
    }
  }
  if (!named) format = parse_structural(lower, text);
  validate(format);
  return format;
}

std::string to_text(const BlockFormat& format) {
  std::string text = to_text(format.element);
  if (format.scale.kind == ScaleKind::kNone) return text;
  text += fmt::format("@{}/{}", to_text(format.scale), format.block);
  if (format.tile_rows != 1) text += fmt::format("x{}", format.tile_rows);
  if (format.micro.bits > 0) text += fmt::format("+u{}/{}", format.micro.bits, format.micro.block);
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
    // In memory a minifloat scale keeps its sign bit (NVFP4 stores whole E4M3 bytes).
    int scale_bits = format.scale.width() + (format.scale.kind == ScaleKind::kMinifloat ? 1 : 0);
    bits += static_cast<double>(scale_bits) / (format.block * format.tile_rows);
  }
  if (format.micro.bits > 0) bits += static_cast<double>(format.micro.bits) / format.micro.block;
  return bits;
}

bool always_finite(const BlockFormat& format) {
  return !has_nan(format.element) && !has_nan(format.scale);
}

}  // namespace blockdot::formats
