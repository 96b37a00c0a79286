#include "rtl_gen/emit/names.h"

#include <fmt/format.h>

#include <cctype>
#include <sstream>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace blockdot::rtl_gen {
namespace {

// Keywords of Verilog-2005 and SystemVerilog-2017: no identifier of ours may be one.
constexpr const char* kKeywords =
    "always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config "
    "deassign default defparam design disable edge else end endcase endconfig endfunction "
    "endgenerate endmodule endprimitive endspecify endtable endtask event for force forever "
    "fork function generate genvar highz0 highz1 if ifnone incdir include initial inout "
    "input instance integer join large liblist library localparam macromodule medium module "
    "nand negedge nmos nor noshowcancelled not notif0 notif1 or output parameter pmos "
    "posedge primitive pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent "
    "rcmos real realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1 scalared "
    "showcancelled signed small specify specparam strong0 strong1 supply0 supply1 table "
    "task time tran tranif0 tranif1 tri tri0 tri1 triand trior trireg unsigned use uwire "
    "vectored wait wand weak0 weak1 while wire wor xnor xor accept_on alias assert assume "
    "before bind bins bit break byte chandle checker class clocking const constraint "
    "context continue cover cross dist do enum eventually expect export extends extern "
    "final first_match foreach global iff implements implies import inside int interconnect "
    "interface intersect let local logic longint matches modport nettype new nexttime null "
    "package packed priority program property protected pure rand randc randcase "
    "randsequence ref reject_on restrict return sequence shortint shortreal soft solve "
    "static string strong struct super tagged this throughout timeprecision timeunit type "
    "typedef union unique until untyped var virtual void weak wildcard with within ";

const std::unordered_set<std::string>& keywords() {
  static const std::unordered_set<std::string> words = [] {
    std::istringstream in(kKeywords);
    std::unordered_set<std::string> read;
    for (std::string word; in >> word;) read.insert(word);
    return read;
  }();
  return words;
}

std::string legal(std::string_view text) {
  std::string out;
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0]))) out.push_back('n');
  for (char c : text)
    out += std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::tolower(c)) : '_';
  return out;
}

}  // namespace

bool is_keyword(std::string_view word) { return keywords().count(std::string(word)) > 0; }

std::vector<std::string> assign_names(const Graph& g, const std::vector<std::string>& reserved) {
  std::unordered_set<std::string> taken(reserved.begin(), reserved.end());
  taken.insert(keywords().begin(), keywords().end());
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
  // A word that is cut to size has the name of what is left of it.
  for (std::size_t i = 0; i < g.size(); ++i) {
    const Node& n = g.node(NodeId{static_cast<std::uint32_t>(i)});
    if (!live[i] || n.op != Op::kSlice || n.name.empty() || n.lo > 0) continue;
    if (stem[index(n.args[0])].empty()) stem[index(n.args[0])] = stem[i];
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
