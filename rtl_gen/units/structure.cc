#include "rtl_gen/units/structure.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::rtl_gen {
namespace {

struct Choice {
  std::string_view name, meaning;
};

// A field's choices in the order of its enumerators.
struct Field {
  std::string_view name;
  std::vector<Choice> choices;
};

const std::vector<Field>& fields() {
  static const std::vector<Field> all = {
      {"multiplier",
       {{"auto", ""},
        {"word", "one * a lane"},
        {"array", "rows of AND gates"},
        {"booth", "rows by radix-4 digits, straight into the sum"},
        {"table", "the aligned product, looked up by both codes"}}},
      {"align",
       {{"auto", ""},
        {"shift", "after the product, by the sum of the exponents"},
        {"split",
         "two stages after the product: by the low bits of the sum, then to one of few "
         "places by its high bits"},
        {"before", "each significand by its own exponent, before the product"},
        {"bucket",
         "by the low bits of the sum of the exponents; its high bits name a bucket that "
         "is summed alone"}}},
      {"signs",
       {{"auto", ""},
        {"after", "the aligned product is complemented, the missing +1s are counted"},
        {"before", "the product is complemented, the shifter fills with the sign"},
        {"extend",
         "the aligned product is complemented; +1 and sign enter the sum as single bits, "
         "sign extensions fold to a constant"},
        {"negate",
         "the product is negated, the shifter fills with the sign; sign extensions fold to a "
         "constant"},
        {"relative", "adders add or subtract, the root corrects"}}},
      {"sum",
       {{"auto", ""},
        {"compress", "counters on words"},
        {"timed", "counters on bits, the earliest first"},
        {"tree", "a binary tree of adders"},
        {"chain", "carry chains that take lane after lane, then a tree"}}},
      {"counters",
       {{"auto", ""},
        {"3:2", "full and half adders"},
        {"6:3", "six bits to three while a column has six, then full and half adders"}}},
      {"adder",
       {{"auto", ""},
        {"plus", "the synthesiser's"},
        {"ripple", "one full adder a bit"},
        {"brent-kung", "a prefix tree of the fewest gates"},
        {"sklansky", "a prefix tree of the fewest levels"},
        {"kogge-stone", "a prefix tree of the least fan-out"},
        {"sparse", "groups of six bits, between them a prefix tree of full adders"}}},
      {"cells",
       {{"auto", ""},
        {"none", "gates only"},
        {"full", "full adders are FAX1 cells"},
        {"library", "full adders are FAX1 cells, half adders HAX1"}}},
      {"rounding",
       {{"auto", ""},
        {"lazy", "random bits are added to the tail of the normalised sum"},
        {"eager",
         "random bits are added at every place where the tail may begin, while normalising"}}},
      {"optimize",
       {{"auto", ""},
        {"balanced", "open fields are chosen for least area^2 x delay"},
        {"area", "open fields are chosen for least area"},
        {"delay", "open fields are chosen for least area x delay^3"}}},
  };
  return all;
}

// The fields from here on concern few units.
constexpr std::size_t kAlwaysShown = 7;

std::vector<std::string> names_of(const std::vector<Choice>& choices) {
  std::vector<std::string> names;
  for (const Choice& c : choices) names.emplace_back(c.name);
  return names;
}

int get(const Structure& s, std::size_t field) {
  const int values[] = {
      static_cast<int>(s.multiplier), static_cast<int>(s.align),    static_cast<int>(s.signs),
      static_cast<int>(s.sum),        static_cast<int>(s.counters), static_cast<int>(s.adder),
      static_cast<int>(s.cells),      static_cast<int>(s.rounding), static_cast<int>(s.goal)};
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
      s.counters = static_cast<Counters>(choice);
      return;
    case 5:
      s.adder = static_cast<Adder>(choice);
      return;
    case 6:
      s.cells = static_cast<Cells>(choice);
      return;
    case 7:
      s.rounding = static_cast<SrPlace>(choice);
      return;
    case 8:
      s.goal = static_cast<Goal>(choice);
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

namespace {

// The first `shown` fields in any case, the others where they are not auto.
std::string text_of(const Structure& structure, std::size_t shown) {
  std::vector<std::string> items;
  for (std::size_t i = 0; i < fields().size(); ++i) {
    const int choice = get(structure, i);
    if (i >= shown && choice == 0) continue;
    items.push_back(fmt::format("{}={}", fields()[i].name,
                                fields()[i].choices[static_cast<std::size_t>(choice)].name));
  }
  if (structure.segment == kOneWord) items.emplace_back("accumulator=word");
  if (structure.segment > 0)
    items.push_back(fmt::format("accumulator=segmented:{}", structure.segment));
  return fmt::format("{}", fmt::join(items, ","));
}

}  // namespace

std::string to_text(const Structure& structure) { return text_of(structure, kAlwaysShown); }

std::string given_text(const Structure& structure) { return text_of(structure, 0); }

std::vector<std::string> describe(const Structure& structure) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < fields().size(); ++i) {
    const Choice& c = fields()[i].choices[static_cast<std::size_t>(get(structure, i))];
    if (get(structure, i) == 0) continue;  // a rounding that most units do not have
    lines.push_back(fmt::format("{}={}: {}", fields()[i].name, c.name, c.meaning));
  }
  return lines;
}

Structure parse_structure(std::string_view text) {
  Structure out;
  std::vector<std::string> names;
  for (const Field& f : fields()) names.emplace_back(f.name);
  names.emplace_back("accumulator");
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
    const std::vector<std::string> choices = names_of(fields()[field].choices);
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
  options.cells = s.cells == Cells::kFull || s.cells == Cells::kLibrary;
  options.half_cells = s.cells == Cells::kLibrary;
  options.six = s.counters == Counters::kSix;
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
    case Adder::kSparse:
      options.adder = AdderStyle::kSparse;
      break;
  }
  return options;
}

Structure plain_structure(Technology technology) {
  switch (technology) {
    case Technology::kGeneric:
      return kPlain;
    case Technology::kOsu018:
      return {Multiplier::kArray, Align::kShift,    Signs::kBefore, Summation::kTimed,
              Counters::kThree,   Adder::kSklansky, Cells::kFull};
    case Technology::kXilinx:
      return {Multiplier::kArray, Align::kSplit, Signs::kRelative, Summation::kChain,
              Counters::kThree,   Adder::kPlus,  Cells::kNone};
  }
  return {};
}

}  // namespace blockdot::rtl_gen
