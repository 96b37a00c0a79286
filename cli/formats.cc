// blockdot formats: the catalogue, and one format drawn.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "cli/command.h"
#include "formats/block_format.h"
#include "formats/error.h"
#include "formats/quantize.h"

namespace blockdot::cli {

namespace {

using namespace formats;

// One block, or 32 products where a scale spans more or nothing.
std::int64_t kulisch_terms(const BlockFormat& format) {
  return format.block > 0 ? format.block : 32;
}

// QSNR in dB of 96 x 1536 values of N(0, 1), always the same ones.
double gaussian_qsnr(const BlockFormat& format) {
  constexpr std::int64_t kRows = 96, kLength = 1536;
  static const std::vector<float> x = [] {
    std::mt19937 random(1);
    std::vector<float> values(kRows * kLength);
    // Box and Muller's transform: the library's normal distribution may differ between systems.
    for (size_t i = 0; i < values.size(); i += 2) {
      double u = (random() + 0.5) * 0x1p-32, v = random() * 0x1p-32;
      double radius = std::sqrt(-2 * std::log(u)), angle = 2 * 3.14159265358979323846 * v;
      values[i] = static_cast<float>(radius * std::cos(angle));
      values[i + 1] = static_cast<float>(radius * std::sin(angle));
    }
    return values;
  }();
  std::vector<float> y = dequantize(quantize(format, row_major(x.data(), kRows, kLength)));
  double signal = 0, noise = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    double error = static_cast<double>(y[i]) - x[i];
    signal += static_cast<double>(x[i]) * x[i];
    noise += error * error;
  }
  return noise > 0 ? 10 * std::log10(signal / noise) : std::numeric_limits<double>::infinity();
}

std::string decibels(double qsnr) {
  return std::isfinite(qsnr) ? fmt::format("{:.1f}", qsnr) : "exact";
}

nlohmann::json describe(const BlockFormat& format) {
  nlohmann::json j = {{"name", display_name(format)},
                      {"text", to_text(format)},
                      {"element", to_text(format.element)},
                      {"scale", to_text(format.scale)},
                      {"block", format.block},
                      {"tile_rows", format.tile_rows},
                      {"bits_per_element", bits_per_element(format)},
                      {"max", max_value(format.element)},
                      {"min_positive", min_positive(format.element)},
                      {"has_nan", has_nan(format.element)},
                      {"has_inf", has_inf(format.element)}};
  j["epsilon"] = epsilon(format.element);
  j["span"] = format.span == Span::kRow ? "row" : format.span == Span::kTensor ? "tensor" : "block";
  j["kulisch_width"] = kulisch_width(format, format, kulisch_terms(format));
  if (format.has_outer())
    j["outer"] = {{"scale", to_text(format.outer.scale)}, {"mean", format.outer.mean}};
  if (format.micro.bits > 0)
    j["micro"] = {{"bits", format.micro.bits}, {"block", format.micro.block}};
  return j;
}

void list(const Context& context) {
  if (context.json) {
    nlohmann::json entries = nlohmann::json::array();
    for (const CatalogueEntry& entry : catalogue()) {
      nlohmann::json j = describe(parse_block_format(entry.name));
      double qsnr = gaussian_qsnr(parse_block_format(entry.name));
      j["qsnr_gaussian_db"] = std::isfinite(qsnr) ? nlohmann::json(qsnr) : nlohmann::json(nullptr);
      j["family"] = entry.family;
      j["source"] = entry.source;
      entries.push_back(j);
    }
    print_json({{"schema", "blockdot.formats/1"}, {"formats", entries}});
    return;
  }
  fmt::print("{:<17} {:<31} {:>9} {:>10} {:>10} {:>9} {:>7} {:>7}\n", "name", "text", "bits/elem",
             "max", "least > 0", "epsilon", "kulisch", "QSNR dB");
  std::string family;
  for (const CatalogueEntry& entry : catalogue()) {
    BlockFormat format = parse_block_format(entry.name);
    if (entry.family != family) fmt::print("{}\n", entry.family);
    family = entry.family;
    fmt::print("  {:<15} {:<31} {:>9.5g} {:>10.5g} {:>10.3g} {:>9.3g} {:>7} {:>7}\n", entry.name,
               entry.text, bits_per_element(format), max_value(format.element),
               min_positive(format.element), epsilon(format.element),
               kulisch_width(format, format, kulisch_terms(format)),
               decibels(gaussian_qsnr(format)));
  }
  fmt::print(
      "\nAny other format is ELEMENT@SCALE/BLOCK[xROWS][+uBITS/BLOCK][*OUTER/SPAN], for example\n"
      "e3m4@e8m0/32, int6@fp32/row, e2m1@e4m3/16*fp32/tensor, sm5@e8m0/16+u2/4. max, least and\n"
      "epsilon are of the element, before the scale. kulisch: bits of the exact sum of a block's\n"
      "products with itself (32 products where there is no block). QSNR: on N(0,1), default "
      "rules.\n"
      "--json adds the sources.\n");
}

// One box a field: `[ sign | exponent:4 | mantissa:3 ]`.
std::string layout(const ElementFormat& format) {
  switch (format.kind) {
    case ElementKind::kMinifloat:
      return fmt::format("[ sign | exponent:{} | mantissa:{} ]   bias {}", format.exp_bits,
                         format.man_bits, format.bias);
    case ElementKind::kInteger:
      return fmt::format("[ two's complement:{} ] * 2^-{}{}", format.int_bits, format.frac_bits,
                         format.symmetric ? "   most negative code unused" : "");
    case ElementKind::kSignMagnitude:
      return fmt::format("[ sign | magnitude:{} ] * 2^-{}", format.int_bits, format.frac_bits);
    case ElementKind::kCodeBook:
      return fmt::format("[ index:{} ] of a table of {} values", format.width(),
                         1 << format.width());
  }
  BLOCKDOT_CHECK(false, "element kind");
}

void show(const std::string& name, const Context& context) {
  BlockFormat format = parse_block_format(name);
  constexpr int kTableBits = 8;
  const ElementFormat& element = format.element;
  if (context.json) {
    nlohmann::json j = describe(format);
    j["schema"] = "blockdot.format/1";
    if (element.width() <= kTableBits) {
      // JSON has no NaN and no Inf: those codes are given as text.
      nlohmann::json values = nlohmann::json::array();
      for (std::uint32_t code = 0; code < (1u << element.width()); ++code) {
        double value = decode(element, code);
        if (std::isfinite(value)) {
          values.push_back(value);
        } else {
          values.push_back(std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        }
      }
      j["values"] = values;
    }
    print_json(j);
    return;
  }
  fmt::print("{}\n  text      {}\n  element   {}\n", display_name(format), to_text(format),
             layout(element));
  if (format.has_scale()) {
    std::string span =
        format.span == Span::kRow ? "a row"
        : format.span == Span::kTensor
            ? "the tensor"
            : fmt::format("{}{} elements", format.block,
                          format.tile_rows > 1 ? fmt::format(" x {}", format.tile_rows) : "");
    fmt::print("  scale     {} ({} bits), one for {}\n", to_text(format.scale),
               format.scale.width(), span);
    if (format.has_outer())
      fmt::print("  outer     {}, one for {}{}\n", to_text(format.outer.scale),
                 format.outer.span == Span::kTensor ? "the tensor"
                 : format.outer.span == Span::kRow  ? "a row"
                                                    : fmt::format("{} blocks", format.outer.blocks),
                 format.outer.mean ? ", after the mean of all scales is taken away" : "");
    if (format.micro.bits > 0)
      fmt::print("  level 2   {} bit(s) for {} elements: each divides by 2^tau\n",
                 format.micro.bits, format.micro.block);
  }
  fmt::print("  storage   {:.6g} bits an element\n  range     {:.8g} .. {:.8g}, {} NaN, {} Inf\n",
             bits_per_element(format), min_positive(element), max_value(element),
             has_nan(element) ? "with" : "no", has_inf(element) ? "with" : "no");
  fmt::print("  kulisch   {} bits hold the exact sum of {} products with itself\n",
             kulisch_width(format, format, kulisch_terms(format)), kulisch_terms(format));
  if (element.width() > kTableBits) return;
  std::uint32_t half = 1u << (element.width() - 1);
  // The negative half of a sign-magnitude code says nothing new.
  bool all = element.kind == ElementKind::kInteger || element.kind == ElementKind::kCodeBook;
  fmt::print("\n  code : value of the {}\n", all ? "codes" : "positive codes");
  std::uint32_t count = all ? 2 * half : half;
  for (std::uint32_t code = 0; code < count; ++code) {
    fmt::print("  {:0{}b} : {:<12.8g}", code, element.width(), decode(element, code));
    if (code % 4 == 3 || code + 1 == count) fmt::print("\n");
  }
}

}  // namespace

void add_formats(CLI::App& program, Context& context) {
  auto name = std::make_shared<std::string>();
  CLI::App* command = program.add_subcommand("formats", "List the number formats, or draw one");
  command->add_option("FORMAT", *name, "A name of the list or a format's text");
  command->footer(examples(
      {"blockdot formats", "blockdot formats mxfp4_e2m1", "blockdot formats e3m4@e8m0/32 --json"}));
  command->callback([name, &context] {
    if (name->empty()) {
      list(context);
    } else {
      show(*name, context);
    }
  });
}

}  // namespace blockdot::cli
