// blockdot formats: the catalogue, and one format drawn.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "cli/command.h"
#include "formats/block_format.h"
#include "formats/error.h"

namespace blockdot::cli {

namespace {

using namespace formats;

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
  if (format.micro.bits > 0)
    j["micro"] = {{"bits", format.micro.bits}, {"block", format.micro.block}};
  return j;
}

void list(const Context& context) {
  if (context.json) {
    nlohmann::json entries = nlohmann::json::array();
    for (const CatalogueEntry& entry : catalogue()) {
      nlohmann::json j = describe(parse_block_format(entry.name));
      j["family"] = entry.family;
      j["source"] = entry.source;
      entries.push_back(j);
    }
    print_json({{"schema", "blockdot.formats/1"}, {"formats", entries}});
    return;
  }
  fmt::print("{:<12} {:<30} {:>9} {:>12} {:>12}  {}\n", "name", "text", "bits/elem", "max",
             "least > 0", "source");
  for (const CatalogueEntry& entry : catalogue()) {
    BlockFormat format = parse_block_format(entry.name);
    fmt::print("{:<12} {:<30} {:>9.5g} {:>12.6g} {:>12.4g}  {}\n", entry.name, entry.text,
               bits_per_element(format), max_value(format.element), min_positive(format.element),
               entry.source);
  }
  fmt::print(
      "\nAny other format is ELEMENT@SCALE/BLOCK[xROWS][+uBITS/BLOCK], for example\n"
      "e3m4@e8m0/32, int6@fp32/64, e2m1@e4m3/16, sm5@e8m0/16+u2/4. max and least are of the "
      "element,\n"
      "before the scale.\n");
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
          values.push_back(fmt::format("{}", value));
        }
      }
      j["values"] = values;
    }
    print_json(j);
    return;
  }
  fmt::print("{}\n  text      {}\n  element   {}\n", display_name(format), to_text(format),
             layout(element));
  if (format.block > 0) {
    fmt::print("  scale     {} ({} bits), one for {}{} elements\n", to_text(format.scale),
               format.scale.width(), format.block,
               format.tile_rows > 1 ? fmt::format(" x {}", format.tile_rows) : "");
    if (format.micro.bits > 0)
      fmt::print("  level 2   {} bit(s) for {} elements: each divides by 2^tau\n",
                 format.micro.bits, format.micro.block);
  }
  fmt::print("  storage   {:.6g} bits an element\n  range     {:.8g} .. {:.8g}, {} NaN, {} Inf\n",
             bits_per_element(format), min_positive(element), max_value(element),
             has_nan(element) ? "with" : "no", has_inf(element) ? "with" : "no");
  if (element.width() > kTableBits) return;
  std::uint32_t half = 1u << (element.width() - 1);
  fmt::print("\n  code : value of the {}\n",
             element.kind == ElementKind::kInteger ? "codes" : "positive codes");
  std::uint32_t count = element.kind == ElementKind::kInteger ? 2 * half : half;
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
