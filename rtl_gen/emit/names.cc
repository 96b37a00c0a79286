#include "rtl_gen/emit/names.h"

#include <fmt/format.h>

#include <array>
#include <cctype>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace blockdot::rtl_gen {
namespace {

// Verilog-2005 keywords that an identifier of ours could hit, and SystemVerilog's likely ones.
constexpr std::array<std::string_view, 46> kKeywords = {
    "always", "and",    "assign",  "begin", "bit",     "buf",    "byte",     "case",
    "config", "const",  "cover",   "cross", "default", "design", "do",       "edge",
    "else",   "end",    "event",   "final", "for",     "force",  "function", "if",
    "input",  "int",    "integer", "logic", "module",  "nand",   "nor",      "not",
    "or",     "output", "product", "real",  "reg",     "signed", "string",   "table",
    "task",   "this",   "time",    "type",  "wire",    "xor"};

std::string legal(std::string_view text) {
  std::string out;
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0]))) out.push_back('n');
  for (char c : text)
    out += std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::tolower(c)) : '_';
  return out;
}

}  // namespace

std::vector<std::string> assign_names(const Graph& g, const std::vector<std::string>& reserved) {
  std::unordered_set<std::string> taken(reserved.begin(), reserved.end());
  for (std::string_view k : kKeywords) taken.emplace(k);
  std::unordered_map<std::string, int> next_number;
  const auto unique = [&](const std::string& wanted) {
    if (taken.insert(wanted).second) return wanted;
    for (int& i = next_number.try_emplace(wanted, 2).first->second;; ++i) {
      std::string candidate = fmt::format("{}_{}", wanted, i);
      if (taken.insert(candidate).second) return candidate;
    }
  };
  const std::vector<bool> live = g.live();
  std::vector<std::string> names(g.size());
  std::vector<std::string> stem(g.size());  // what unnamed arguments are called after
  for (NodeId i : g.inputs()) {
    names[index(i)] = stem[index(i)] = g.node(i).name;
    taken.insert(g.node(i).name);
  }
  for (std::size_t i = 0; i < g.size(); ++i) {
    const Node& n = g.node(NodeId{static_cast<std::uint32_t>(i)});
    if (!live[i] || n.op == Op::kConst || n.op == Op::kInput || n.name.empty()) continue;
    stem[i] = legal(n.name);
    names[i] = unique(n.op == Op::kState ? stem[i] + "_q" : stem[i]);
  }
  for (const Graph::State& s : g.states()) {
    if (!live[index(s.node)] || !names[index(s.next)].empty()) continue;
    if (g.node(s.next).op == Op::kConst) continue;
    stem[index(s.next)] = legal(g.node(s.node).name);
    names[index(s.next)] = unique(stem[index(s.next)] + "_d");
  }
  for (const Graph::Output& o : g.outputs())
    if (stem[index(o.node)].empty()) {
      stem[index(o.node)] = o.name.ends_with("_o") ? o.name.substr(0, o.name.size() - 2) : o.name;
      if (g.node(o.node).op != Op::kConst && names[index(o.node)].empty())
        names[index(o.node)] = unique(stem[index(o.node)]);
    }
  // Users come after their arguments, so one pass from the end gives every argument a stem.
  for (std::size_t i = g.size(); i-- > 0;) {
    const Node& n = g.node(NodeId{static_cast<std::uint32_t>(i)});
    if (!live[i] || n.op == Op::kConst) continue;
    if (names[i].empty()) names[i] = unique(fmt::format("{}_{}", stem[i], to_text(n.op)));
    for (NodeId a : n.args)
      if (stem[index(a)].empty()) stem[index(a)] = stem[i];
  }
  return names;
}

}  // namespace blockdot::rtl_gen
