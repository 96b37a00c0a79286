#include "sim/energy/liberty.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "formats/error.h"

namespace blockdot::sim {
namespace {

// The file as it is written: groups `type (arguments) { ... }`, attributes `name : value ;` and
// lists `name (values) ;`.
struct Group {
  std::string type;
  std::vector<std::string> arguments;
  std::map<std::string, std::string, std::less<>> attributes;
  std::map<std::string, std::vector<std::string>, std::less<>> lists;
  std::vector<Group> groups;

  std::string argument() const { return arguments.empty() ? std::string() : arguments.front(); }
  std::string attribute(std::string_view name) const {
    auto found = attributes.find(name);
    return found == attributes.end() ? std::string() : found->second;
  }
  double number(std::string_view name) const {
    return std::strtod(attribute(name).c_str(), nullptr);
  }
  const Group* child(std::string_view wanted) const {
    for (const Group& group : groups)
      if (group.type == wanted) return &group;
    return nullptr;
  }
};

class Reader {
 public:
  Reader(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  Group read() {
    Group root;
    statement(root);
    skip();
    if (at_ != text_.size()) fail("text behind the library's closing brace");
    if (root.groups.size() != 1 || root.groups[0].type != "library")
      fail("expected library (NAME) { ... }");
    return std::move(root.groups[0]);
  }

 private:
  [[noreturn]] void fail(std::string_view what) const {
    throw ConfigError(
        "{}:{}: {}", file_,
        1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n'),
        what);
  }

  void skip() {
    while (at_ < text_.size()) {
      if (std::isspace(static_cast<unsigned char>(text_[at_])) != 0 || text_[at_] == '\\') {
        ++at_;
      } else if (text_.substr(at_, 2) == "/*") {
        std::size_t end = text_.find("*/", at_);
        if (end == std::string_view::npos) fail("comment without an end");
        at_ = end + 2;
      } else {
        return;
      }
    }
  }

  char peek() {
    skip();
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool take(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }

  // A quoted string, or everything up to one of the file's own signs.
  std::string word() {
    if (take('"')) {
      std::size_t end = text_.find('"', at_);
      if (end == std::string_view::npos) fail("string without an end");
      std::string value(text_.substr(at_, end - at_));
      at_ = end + 1;
      return value;
    }
    std::size_t begin = at_;
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n(){}:;,\"").find(text_[at_]) == std::string_view::npos)
      ++at_;
    if (begin == at_) fail("expected a name or a value");
    return std::string(text_.substr(begin, at_ - begin));
  }

  void statement(Group& into) {
    std::string name = word();
    if (take(':')) {
      std::string value = word();
      while (peek() != ';' && peek() != '}' && peek() != '\0') value += ' ' + word();
      take(';');
      into.attributes[name] = value;
      return;
    }
    if (!take('(')) fail("expected : or ( behind " + name);
    std::vector<std::string> arguments;
    while (!take(')')) {
      arguments.push_back(word());
      take(',');
    }
    if (!take('{')) {
      take(';');
      into.lists[name] = arguments;
      return;
    }
    Group group{name, arguments, {}, {}, {}};
    while (!take('}')) statement(group);
    into.groups.push_back(std::move(group));
  }

  std::string_view text_;
  const std::string& file_;
  std::size_t at_ = 0;
};

std::vector<double> numbers(const Group& group, std::string_view list) {
  std::vector<double> values;
  auto found = group.lists.find(list);
  if (found == group.lists.end()) return values;
  for (const std::string& row : found->second) {
    const char* at = row.c_str();
    for (char* end = nullptr;; at = end) {
      while (*at == ',' || std::isspace(static_cast<unsigned char>(*at)) != 0) ++at;
      double value = std::strtod(at, &end);
      if (end == at) break;
      values.push_back(value);
    }
  }
  return values;
}

LibertyTable table(const Group& group, const std::map<std::string, Group>& templates,
                   const std::string& file) {
  LibertyTable result;
  auto shape = templates.find(group.argument());
  if (shape == templates.end() && group.argument() != "scalar")
    throw ConfigError("{}: {} uses the template {}, which the file does not define", file,
                      group.type, group.argument());
  bool load_first = shape != templates.end() &&
                    shape->second.attribute("variable_1") == "total_output_net_capacitance";
  (load_first ? result.load : result.slew) = numbers(group, "index_1");
  if (load_first) result.slew = numbers(group, "index_2");
  result.values = numbers(group, "values");
  std::size_t points =
      std::max<std::size_t>(1, result.load.size()) * std::max<std::size_t>(1, result.slew.size());
  if (result.values.size() != points)
    throw ConfigError("{}: a table of {} has {} values, its indices {}", file, group.argument(),
                      result.values.size(), points);
  return result;
}

LibertyPin read_pin(const Group& group, const std::map<std::string, Group>& templates,
                    const std::string& file) {
  LibertyPin pin;
  pin.name = group.argument();
  pin.is_input = group.attribute("direction") == "input";
  pin.capacitance = group.number("capacitance");
  pin.function = group.attribute("function");
  auto arc = [&](const Group& from, const char* both, const char* rise, const char* fall) {
    LibertyArc result;
    result.related_pin = from.attribute("related_pin");
    if (const Group* found = from.child(both))
      result.rise = result.fall = table(*found, templates, file);
    if (const Group* found = from.child(rise)) result.rise = table(*found, templates, file);
    if (const Group* found = from.child(fall)) result.fall = table(*found, templates, file);
    return result;
  };
  for (const Group& part : group.groups) {
    if (part.type == "internal_power")
      pin.power.push_back(arc(part, "power", "rise_power", "fall_power"));
    if (part.type == "timing" && part.child("rise_transition") != nullptr)
      pin.transitions.push_back(arc(part, "", "rise_transition", "fall_transition"));
  }
  return pin;
}

// The interval of `axis` around `x` and how far in it x lies.
std::pair<std::size_t, double> place(const std::vector<double>& axis, double x) {
  if (axis.size() < 2 || x <= axis.front()) return {0, 0};
  if (x >= axis.back()) return {axis.size() - 2, 1};
  auto upper = std::upper_bound(axis.begin(), axis.end(), x);
  auto low = static_cast<std::size_t>(upper - axis.begin()) - 1;
  return {low, (x - axis[low]) / (axis[low + 1] - axis[low])};
}

// Recursive descent over Liberty's expressions. From tight to loose: ' and !, ^, & * or nothing
// between two factors, | +.
class Expression {
 public:
  Expression(std::string_view text, const std::map<std::string, std::string, std::less<>>& names)
      : text_(text), names_(names) {}

  std::string whole() {
    std::string value = any();
    if (peek() != '\0') fail();
    return value;
  }

 private:
  [[noreturn]] void fail() const {
    throw ConfigError("Liberty function \"{}\": cannot be read at character {}", text_, at_ + 1);
  }
  char peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  std::string any() {
    std::string value = all();
    while (peek() == '+' || peek() == '|') {
      ++at_;
      value = "(" + value + " | " + all() + ")";
    }
    return value;
  }
  std::string all() {
    std::string value = parity();
    for (;;) {
      char next = peek();
      if (next == '&' || next == '*')
        ++at_;
      else if (next != '(' && next != '!' && std::isalnum(static_cast<unsigned char>(next)) == 0)
        return value;
      value = "(" + value + " & " + parity() + ")";
    }
  }
  std::string parity() {
    std::string value = factor();
    while (peek() == '^') {
      ++at_;
      value = "(" + value + " ^ " + factor() + ")";
    }
    return value;
  }
  std::string factor() {
    std::string value;
    if (peek() == '!') {
      ++at_;
      return "(~" + factor() + ")";
    }
    if (peek() == '(') {
      ++at_;
      value = any();
      if (peek() != ')') fail();
      ++at_;
    } else {
      std::size_t begin = at_;
      while (at_ < text_.size() &&
             (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 || text_[at_] == '_'))
        ++at_;
      std::string name(text_.substr(begin, at_ - begin));
      if (name.empty()) fail();
      auto found = names_.find(name);
      if (found != names_.end())
        value = found->second;
      else if (name == "0" || name == "1")
        value = "1'b" + name;
      else
        throw ConfigError("Liberty function \"{}\": {} is no pin of the cell", text_, name);
    }
    while (peek() == '\'') {
      ++at_;
      value = "(~" + value + ")";
    }
    return value;
  }

  std::string_view text_;
  const std::map<std::string, std::string, std::less<>>& names_;
  std::size_t at_ = 0;
};

}  // namespace

double LibertyTable::at(double load_pf, double slew_ns) const {
  if (values.empty()) return 0;
  auto [row, down] = place(load, load_pf);
  auto [column, right] = place(slew, slew_ns);
  std::size_t columns = std::max<std::size_t>(1, slew.size());
  auto value = [&](std::size_t r, std::size_t c) {
    return values[std::min(r, std::max<std::size_t>(1, load.size()) - 1) * columns +
                  std::min(c, columns - 1)];
  };
  double upper = value(row, column) * (1 - right) + value(row, column + 1) * right;
  double lower = value(row + 1, column) * (1 - right) + value(row + 1, column + 1) * right;
  return upper * (1 - down) + lower * down;
}

Liberty parse_liberty(std::string_view text, const std::string& file_name) {
  Group root = Reader(text, file_name).read();
  auto unit = [&](const char* name, const std::string& got, const std::string& wanted) {
    if (got != wanted)
      throw ConfigError("{}: {} is {}: energies are counted in libraries with {}", file_name, name,
                        got.empty() ? "not given" : got, wanted);
  };
  unit("time_unit", root.attribute("time_unit"), "1ns");
  unit("leakage_power_unit", root.attribute("leakage_power_unit"), "1nW");
  std::string load;
  for (const std::string& part : root.lists["capacitive_load_unit"]) load += part;
  std::transform(load.begin(), load.end(), load.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  unit("capacitive_load_unit", load, "1pf");

  Liberty liberty;
  liberty.name = root.argument();
  liberty.voltage = root.number("nom_voltage");
  std::map<std::string, Group> templates;
  for (const Group& group : root.groups)
    if (group.type == "power_lut_template" || group.type == "lu_table_template")
      templates[group.argument()] = group;
  for (const Group& group : root.groups) {
    if (group.type != "cell") continue;
    LibertyCell cell;
    cell.name = group.argument();
    cell.area = group.number("area");
    cell.leakage = group.number("cell_leakage_power");
    for (const Group& part : group.groups) {
      if (part.type == "pin") cell.pins.push_back(read_pin(part, templates, file_name));
      if (part.type != "ff") continue;
      cell.state = part.argument();
      cell.next_state = part.attribute("next_state");
      cell.clocked_on = part.attribute("clocked_on");
    }
    liberty.cells[cell.name] = std::move(cell);
  }
  return liberty;
}

std::string verilog_function(std::string_view function,
                             const std::map<std::string, std::string, std::less<>>& names) {
  return Expression(function, names).whole();
}

}  // namespace blockdot::sim
