#include "rtl_gen/units/structure.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::rtl_gen {
namespace {

// The names of a field's choices, in the order of its enumerators.
struct Field {
  std::string name;
  std::vector<std::string> choices;
};

const std::vector<Field>& fields() {
  static const std::vector<Field> all = {
      {"multiplier", {"auto", "word", "array", "booth"}},
      {"align", {"auto", "shift", "split", "before"}},
      {"signs", {"auto", "after", "before", "relative"}},
      {"sum", {"auto", "compress", "timed", "tree", "chain"}},
      {"adder", {"auto", "plus", "ripple", "brent-kung", "sklansky", "kogge-stone"}},
      {"cells", {"auto", "none", "library"}},
      {"rounding", {"auto", "lazy", "eager"}},
  };
  return all;
}

int get(const Structure& s, std::size_t field) {
  const int values[] = {static_cast<int>(s.multiplier), static_cast<int>(s.align),
                        static_cast<int>(s.signs),      static_cast<int>(s.sum),
                        static_cast<int>(s.adder),      static_cast<int>(s.cells),
                        static_cast<int>(s.rounding)};
  return values[field];
}

void set(Structure& s, std::size_t field, int choice) {
  switch (field) {
    case 0:
      s.multiplier = static_cast<Multiplier>(choice);
      return;
    case 1:
      s.align = static_cast<Align>(choice);
      return;
    case 2:
      s.signs = static_cast<Signs>(choice);
      return;
    case 3:
      s.sum = static_cast<Summation>(choice);
      return;
    case 4:
      s.adder = static_cast<Adder>(choice);
      return;
    case 5:
      s.cells = static_cast<Cells>(choice);
      return;
    case 6:
      s.rounding = static_cast<SrPlace>(choice);
      return;
  }
  BLOCKDOT_CHECK(false, "field {}", field);
}

std::size_t find(const std::vector<std::string>& names, std::string_view name) {
  std::size_t i = 0;
  while (i < names.size() && names[i] != name) ++i;
  return i;
}

int parse_segment(std::string_view value) {
  constexpr std::string_view kSegmented = "segmented:";
  if (value == "auto") return kAutoSegment;
  if (value == "word") return kOneWord;
  if (!value.starts_with(kSegmented))
    throw ConfigError("arch accumulator = {}: must be auto, word or segmented:BITS{}",
                      formats::shown(value),
                      formats::did_you_mean(value, {"auto", "word", "segmented:16"}));
  return static_cast<int>(formats::parse_int(
      "arch accumulator segmented", value.substr(kSegmented.size()), kLeastSegment, kMostSegment));
}

}  // namespace

std::string to_text(const Structure& structure) {
  std::string text;
  // Most units have no such rounding.
  const std::size_t count = fields().size() - (structure.rounding == SrPlace::kAuto);
  for (std::size_t i = 0; i < count; ++i)
    text += fmt::format("{}{}={}", i ? "," : "", fields()[i].name,
                        fields()[i].choices[static_cast<std::size_t>(get(structure, i))]);
  if (structure.segment == kOneWord) text += ",accumulator=word";
  if (structure.segment > 0) text += fmt::format(",accumulator=segmented:{}", structure.segment);
  return text;
}

Structure parse_structure(std::string_view text) {
  Structure out;
  std::vector<std::string> names;
  for (const Field& f : fields()) names.push_back(f.name);
  names.push_back("accumulator");
  std::vector<bool> seen(names.size(), false);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(','), text.size());
    const std::string_view item = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t equals = item.find('=');
    const std::string_view name = item.substr(0, std::min(equals, item.size()));
    const std::size_t field = find(names, name);
    if (field == names.size() || equals == std::string_view::npos)
      throw ConfigError("arch = {}: must be FIELD=CHOICE with a field of {}{}",
                        formats::shown(item), fmt::join(names, ", "),
                        formats::did_you_mean(name, names));
    if (seen[field]) throw ConfigError("arch = {}: {} is given twice", formats::shown(item), name);
    seen[field] = true;
    const std::string_view value = item.substr(equals + 1);
    if (field == fields().size()) {
      out.segment = parse_segment(value);
      continue;
    }
    const std::vector<std::string>& choices = fields()[field].choices;
    const std::size_t choice = find(choices, value);
    if (choice == choices.size())
      throw ConfigError("arch {} = {}: must be one of {}{}", name, formats::shown(value),
                        fmt::join(choices, ", "), formats::did_you_mean(value, choices));
    set(out, field, static_cast<int>(choice));
  }
  return out;
}

SumOptions sum_options(const Structure& s, Technology technology) {
  SumOptions options;
  options.technology = technology;
  options.cells = s.cells == Cells::kLibrary;
  switch (s.sum) {
    case Summation::kTimed:
      options.style = SumStyle::kTimed;
      break;
    case Summation::kTree:
    case Summation::kChain:
      options.style = SumStyle::kAdderTree;
      break;
    case Summation::kAuto:
    case Summation::kCompress:
      options.style = SumStyle::kCompress;
      break;
  }
  switch (s.adder) {
    case Adder::kAuto:
    case Adder::kPlus:
      options.adder = AdderStyle::kPlus;
      break;
    case Adder::kRipple:
      options.adder = AdderStyle::kRipple;
      break;
    case Adder::kBrentKung:
      options.adder = AdderStyle::kBrentKung;
      break;
    case Adder::kSklansky:
      options.adder = AdderStyle::kSklansky;
      break;
    case Adder::kKoggeStone:
      options.adder = AdderStyle::kKoggeStone;
      break;
  }
  return options;
}

Structure plain_structure(Technology technology) {
  switch (technology) {
    case Technology::kGeneric:
      return kPlain;
    case Technology::kOsu018:
      return {Multiplier::kArray, Align::kShift,    Signs::kBefore,
              Summation::kTimed,  Adder::kSklansky, Cells::kLibrary};
    case Technology::kXilinx:
      return {Multiplier::kArray, Align::kSplit, Signs::kRelative,
              Summation::kChain,  Adder::kPlus,  Cells::kNone};
  }
  return {};
}

}  // namespace blockdot::rtl_gen
