#include "explore/design.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <set>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/text.h"
#include "sim/trace/sha256.h"

namespace blockdot::explore {
namespace {

enum class ValueType { kText, kWhole, kNumber, kBool };

struct Key {
  const char* name;
  ValueType type;
};

// In the order in which lists are expanded: the last varies fastest.
constexpr Key kKeys[] = {{"name", ValueType::kText},
                         {"unit", ValueType::kText},
                         {"modes", ValueType::kText},
                         {"addend", ValueType::kText},
                         {"input", ValueType::kText},
                         {"rows", ValueType::kWhole},
                         {"cols", ValueType::kWhole},
                         {"dataflow", ValueType::kText},
                         {"banks", ValueType::kWhole},
                         {"depth", ValueType::kWhole},
                         {"a", ValueType::kText},
                         {"b", ValueType::kText},
                         {"lanes", ValueType::kWhole},
                         {"accumulator", ValueType::kText},
                         {"output", ValueType::kText},
                         {"rounding", ValueType::kText},
                         {"specials", ValueType::kText},
                         {"max-k", ValueType::kWhole},
                         {"lfsr", ValueType::kText},
                         {"scale-rule", ValueType::kText},
                         {"quantize", ValueType::kText},
                         {"seed", ValueType::kWhole},
                         {"clock-ns", ValueType::kNumber},
                         {"combinational", ValueType::kBool},
                         {"technology", ValueType::kText},
                         {"schedule", ValueType::kText},
                         {"schedule-seed", ValueType::kWhole},
                         {"arch", ValueType::kText},
                         {"machine", ValueType::kText}};

const char* describe(ValueType type) {
  switch (type) {
    case ValueType::kText:
      return "a string";
    case ValueType::kWhole:
      return "a whole number";
    case ValueType::kNumber:
      return "a number";
    case ValueType::kBool:
      return "true or false";
  }
  BLOCKDOT_CHECK(false, "value type");
}

// A value and where the file has it, for messages.
struct Value {
  std::string text;
  std::string place;
};
using Table = std::map<std::string, std::vector<Value>>;  // by key name
using Fields = std::map<std::string, Value>;              // one of each, for one point

// A parser's message about a value, with the key in place of the parser's own name for it.
std::string name_key(const std::string& key, const std::string& value, const std::string& message) {
  if (message.starts_with(key + " ")) return message;
  const std::string shown = " = " + formats::shown(value);
  std::size_t at = message.find(shown);
  if (at != std::string::npos && message.find(' ') == at) return key + message.substr(at);
  return fmt::format("{}{}: {}", key, shown, message);
}

class Parser {
 public:
  explicit Parser(std::string file) : file_(std::move(file)) {}

  DesignFile parse(std::string_view text);

 private:
  std::string place(const toml::source_region& region) const {
    return fmt::format("{}:{}:{}", file_, region.begin.line, region.begin.column);
  }
  std::string scalar(const Key& key, const toml::node& node) const;
  Table read_table(const toml::table& table, const char* what) const;
  void expand(const Table& table, const std::string& where, DesignFile& file);
  DesignPoint make_point(const Fields& fields, const std::string& where) const;

  std::string file_;
};

std::string Parser::scalar(const Key& key, const toml::node& node) const {
  bool fits = (key.type == ValueType::kText && node.is_string()) ||
              (key.type == ValueType::kWhole && node.is_integer()) ||
              (key.type == ValueType::kNumber && node.is_number()) ||
              (key.type == ValueType::kBool && node.is_boolean());
  if (!fits)
    throw ConfigError("{}: {} must be {} or a list of such", place(node.source()), key.name,
                      describe(key.type));
  std::string text;
  if (auto string = node.as_string()) text = string->get();
  if (auto whole = node.as_integer()) text = fmt::format("{}", whole->get());
  if (auto real = node.as_floating_point()) text = fmt::format("{}", real->get());
  if (auto boolean = node.as_boolean()) text = boolean->get() ? "true" : "false";
  if (text.empty())
    throw ConfigError("{}: {} is empty; leave the key out for its default", place(node.source()),
                      key.name);
  return text;
}

Table Parser::read_table(const toml::table& table, const char* what) const {
  Table read;
  for (const auto& [name, node] : table) {
    auto key = std::find_if(std::begin(kKeys), std::end(kKeys),
                            [&spelt = name](const Key& k) { return spelt.str() == k.name; });
    if (key == std::end(kKeys)) {
      std::vector<std::string> known;
      for (const Key& k : kKeys) known.push_back(k.name);
      throw ConfigError("{}: unknown key '{}' in {}{}", place(name.source()), name.str(), what,
                        formats::did_you_mean(name.str(), known));
    }
    std::vector<Value> values;
    const auto take = [&](const toml::node& member) {
      values.push_back({scalar(*key, member), place(member.source())});
    };
    if (const toml::array* list = node.as_array()) {
      if (list->empty())
        throw ConfigError("{}: {} is an empty list; it needs at least one value",
                          place(node.source()), key->name);
      for (const toml::node& member : *list) take(member);
    } else {
      take(node);
    }
    read.emplace(key->name, std::move(values));
  }
  return read;
}

DesignPoint Parser::make_point(const Fields& fields, const std::string& where) const {
  auto text = [&](const char* key) {
    auto found = fields.find(key);
    return found == fields.end() ? std::string() : found->second.text;
  };
  // Reads one key where it is given.
  auto read = [&](const char* key, auto take) {
    auto found = fields.find(key);
    if (found == fields.end()) return;
    try {
      take(found->second.text);
    } catch (const ConfigError& error) {
      throw ConfigError("{}: {}", found->second.place,
                        name_key(key, found->second.text, error.what()));
    }
  };
  auto whole = [&](const char* key, std::int64_t low, std::uint64_t& to) {
    read(key, [&](const std::string& value) {
      to = static_cast<std::uint64_t>(formats::parse_int(key, value, low, INT64_MAX));
    });
  };
  DesignPoint point;
  for (const char* key : {"a", "b"})
    read(key, [&](const std::string& value) { formats::parse_block_format(value, key); });
  read("accumulator", formats::parse_accumulator);
  read("rounding", formats::parse_rounding);
  read("lfsr", formats::parse_lfsr);
  // The rule of the operands; of a quantizer, its own.
  const bool quantizer = text("unit") == to_text(rtl_gen::UnitKind::kQuantizer);
  if (!quantizer)
    read("scale-rule", [&](const std::string& value) {
      point.quantize.scale_rule = formats::parse_operand_scale_rule(value);
    });
  read("quantize",
       [&](const std::string& value) { point.quantize.rounding = formats::parse_rounding(value); });
  whole("seed", 1, point.quantize.seed);
  read("technology",
       [&](const std::string& value) { point.arch.technology = rtl_gen::parse_technology(value); });
  read("schedule", [&](const std::string& value) {
    point.arch.schedule = rtl_gen::parse_schedule_kind(value);
  });
  whole("schedule-seed", 0, point.arch.schedule_seed);
  read("arch",
       [&](const std::string& value) { point.arch.structure = rtl_gen::parse_structure(value); });
  read("machine", [&](const std::string& value) { point.machine = sim::parse_machine(value); });
  point.arch.combinational = text("combinational") == "true";
  if (!text("clock-ns").empty())
    point.arch.clock_ns = std::strtod(text("clock-ns").c_str(), nullptr);
  // What remains are the rules between fields.
  try {
    rtl_gen::validate(point.arch);
    rtl_gen::DesignText design;
    design.unit = text("unit");
    design.dot = {text("a"),           text("b"),      text("lanes"),
                  text("accumulator"), text("output"), text("rounding"),
                  text("specials"),    text("max-k"),  text("lfsr")};
    design.modes = text("modes");
    design.addend = text("addend");
    design.input = text("input");
    if (quantizer) design.scale_rule = text("scale-rule");
    design.rows = text("rows");
    design.cols = text("cols");
    design.dataflow = text("dataflow");
    design.banks = text("banks");
    design.depth = text("depth");
    point.unit = rtl_gen::resolve(design);
    if (const formats::DotSpec* contract = point.unit.contract()) point.spec = *contract;
    return point;
  } catch (const ConfigError& error) {
    // Messages begin with the field's name; the field's own place says more than the table's.
    std::string message = error.what();
    auto found = fields.find(message.substr(0, message.find(' ')));
    throw ConfigError("{}: {}", found == fields.end() ? where : found->second.place, message);
  }
}

void Parser::expand(const Table& table, const std::string& where, DesignFile& file) {
  std::size_t combinations = 1;
  for (const auto& [key, values] : table) {
    combinations *= values.size();
    if (combinations + file.points.size() > kMaxPoints)
      throw ConfigError("{}: the lists give more than {} design points; shorten one of them", where,
                        kMaxPoints);
  }
  for (std::size_t i = 0; i < combinations; ++i) {
    // Mixed radix, the last key of kKeys being the lowest digit.
    Fields fields;
    std::string varied;
    std::size_t rest = i;
    for (auto key = std::rbegin(kKeys); key != std::rend(kKeys); ++key) {
      auto found = table.find(key->name);
      if (found == table.end()) continue;
      const std::vector<Value>& values = found->second;
      fields[key->name] = values[rest % values.size()];
      rest /= values.size();
      // A list of names or formats already tells the points apart, where no name is given.
      bool in_name = std::string_view(key->name) == "name" ||
                     (std::string_view(key->name) == "a" && table.count("name") == 0);
      if (values.size() > 1 && !in_name) varied.insert(0, "-" + fields[key->name].text);
    }
    DesignPoint point = make_point(fields, where);
    point.name = fields.count("name") > 0           ? fields["name"].text
                 : point.unit.contract() != nullptr ? display_name(point.spec.a)
                                                    : std::string(to_text(point.unit.kind));
    point.name += varied;
    file.points.push_back(std::move(point));
  }
}

// Appends -2, -3... to names that came before.
void make_unique(std::vector<DesignPoint>& points) {
  std::set<std::string> taken;
  for (DesignPoint& point : points) {
    std::string base = point.name;
    for (int n = 2; !taken.insert(point.name).second; ++n)
      point.name = fmt::format("{}-{}", base, n);
  }
}

DesignFile Parser::parse(std::string_view text) {
  toml::table root;
  try {
    root = toml::parse(text, file_);
  } catch (const toml::parse_error& error) {
    throw ConfigError("{}: {}", place(error.source()), error.description());
  }
  DesignFile file;
  Table defaults;
  const toml::array* designs = nullptr;
  for (const auto& [name, node] : root) {
    if (name.str() == "title" && node.is_string()) {
      file.title = node.as_string()->get();
    } else if (name.str() == "defaults" && node.is_table()) {
      defaults = read_table(*node.as_table(), "[defaults]");
    } else if (name.str() == "design" && node.is_array_of_tables()) {
      designs = node.as_array();
    } else if (name.str() == "title") {
      throw ConfigError("{}: title must be a string", place(node.source()));
    } else if (name.str() == "defaults" || name.str() == "design") {
      throw ConfigError("{}: {} must be written as {}", place(node.source()), name.str(),
                        name.str() == "design" ? "[[design]] tables" : "a [defaults] table");
    } else {
      std::vector<std::string> known = {"title", "defaults", "design"};
      std::string hint = formats::did_you_mean(name.str(), known);
      for (const Key& key : kKeys)
        if (name.str() == key.name) hint = "; it belongs into a [[design]] or the [defaults] table";
      throw ConfigError("{}: unknown key '{}'{}", place(name.source()), name.str(), hint);
    }
  }
  if (designs == nullptr)
    throw ConfigError("{}: holds no [[design]] table; the least is: [[design]] a = \"mxfp8_e4m3\"",
                      file_);
  for (const toml::node& node : *designs) {
    Table table = read_table(*node.as_table(), "[[design]]");
    table.insert(defaults.begin(), defaults.end());  // the design's own keys stay
    expand(table, place(node.source()), file);
  }
  make_unique(file.points);
  return file;
}

}  // namespace

std::string canonical_text(const DesignPoint& point) {
  const std::string structure =
      point.arch.structure == rtl_gen::Structure{} ? "" : " arch=" + to_text(point.arch.structure);
  const std::string machine =
      point.machine ? " machine=(" + to_text(*point.machine) + ")" : std::string();
  // A dot unit's text has no kind in it: results that were kept are still found.
  const std::string what =
      point.unit.kind == rtl_gen::UnitKind::kDot
          ? to_text(point.spec)
          : fmt::format("unit={} {}", to_text(point.unit.kind), to_text(design_spec(point)));
  return fmt::format(
      "{} scale-rule={} quantize={} seed={} clock-ns={} combinational={} technology={} schedule={} "
      "schedule-seed={}{}{}",
      what, to_text(point.quantize.scale_rule), to_text(point.quantize.rounding),
      point.quantize.seed, point.arch.clock_ns, point.arch.combinational,
      to_text(point.arch.technology), to_text(point.arch.schedule), point.arch.schedule_seed,
      structure, machine);
}

std::string content_hash(const DesignPoint& point) {
  return sim::sha256_hex(canonical_text(point));
}

DesignFile parse_design_file(std::string_view text, const std::string& file_name) {
  DesignFile file = Parser(file_name).parse(text);
  if (file.title.empty()) file.title = std::filesystem::path(file_name).stem().string();
  return file;
}

DesignFile read_design_file(const std::filesystem::path& path) {
  return parse_design_file(read_file(path), path.string());
}

DesignFile only_point(DesignFile designs, const std::string& name) {
  if (name.empty()) return designs;
  std::vector<std::string> names;
  std::vector<DesignPoint> named;
  for (const DesignPoint& point : designs.points) {
    names.push_back(point.name);
    if (point.name == name) named.push_back(point);
  }
  if (named.empty())
    throw ConfigError("point = {}: there is no such design point{}", name,
                      formats::did_you_mean(name, names));
  designs.points = named;
  return designs;
}

rtl_gen::DesignSpec design_spec(const DesignPoint& point) {
  rtl_gen::DesignSpec spec = point.unit;
  spec.dot = spec.array.unit = point.spec;
  return spec;
}

rtl_gen::Design generate_design(const DesignPoint& point) {
  return in_point(point, [&] { return rtl_gen::generate_design(design_spec(point), point.arch); });
}

rtl_gen::Unit generate_unit(const DesignPoint& point) {
  if (point.unit.kind != rtl_gen::UnitKind::kDot)
    throw ConfigError(
        "design point '{}': unit = {}: sim and compare drive dot units only; gen, synth and prove "
        "take every kind",
        point.name, to_text(point.unit.kind));
  return std::get<rtl_gen::Unit>(generate_design(point).made);
}

std::optional<sim::MachineDesign> design_machine(const DesignPoint& point, sim::Engine engine) {
  if (!point.machine) return std::nullopt;
  const bool rtl = engine == sim::Engine::kRtl || engine == sim::Engine::kAll;
  return in_point(point,
                  [&] { return sim::design_machine(*point.machine, point.spec, point.arch, rtl); });
}

}  // namespace blockdot::explore
