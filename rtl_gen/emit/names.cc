#include "rtl_gen/emit/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <sstream>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "rtl_gen/cost/cost.h"

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

// "a0" of "a0_exp" and "a0_normal".
std::string common_words(std::string_view a, std::string_view b) {
  const auto end = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  std::size_t size = static_cast<std::size_t>(end.first - a.begin());
  const auto ends = [&](std::string_view x) { return size == x.size() || x[size] == '_'; };
  if (!ends(a) || !ends(b)) {
    const std::size_t cut = a.substr(0, size).rfind('_');
    size = cut == std::string_view::npos ? 0 : cut;
  }
  return std::string(a.substr(0, size));
}

// The names of a graph. A node without a name of its own is called after what it is part of, where
// all its readers belong to one name (`sum_part`), else after what it is made of
// (`mode_0_or_mode_2`).
class Names {
 public:
  Names(const Graph& g, const std::vector<std::string>& reserved, const std::vector<bool>& written)
      : g_(g), written_(written), names_(g.size()), stems_(g.size()), vague_(g.size()) {
    taken_.insert(reserved.begin(), reserved.end());
    taken_.insert(keywords().begin(), keywords().end());
  }
  std::vector<std::string> run();

 private:
  struct Stem {
    std::string text;  // one name, or what the names of several begin with
    int names = 0;     // how many: 0 (not known yet), 1, or 2 for several
    bool shared() const { return names > 1; }
  };

  const Node& node(NodeId id) const { return g_.node(id); }
  std::string unique(const std::string& wanted);
  void give(NodeId id, const std::string& wanted) { names_[index(id)] = unique(wanted); }
  void named_nodes();
  void stems();
  std::optional<std::string> described(NodeId id) const;
  std::optional<std::string> made_of(NodeId id) const;

  const Graph& g_;
  const std::vector<bool>& written_;
  std::vector<std::string> names_;
  std::vector<Stem> stems_;  // what a node is part of
  std::vector<bool> vague_;  // its name does not say what it is
  std::unordered_set<std::string> taken_;
  std::unordered_map<std::string, int> next_number_;
};

std::string Names::unique(const std::string& wanted) {
  if (taken_.insert(wanted).second) return wanted;
  for (int& i = next_number_.try_emplace(wanted, 2).first->second;; ++i) {
    std::string candidate = fmt::format("{}_{}", wanted, i);
    if (taken_.insert(candidate).second) return candidate;
  }
}

// Ports, what the builder named, and bits of it.
void Names::named_nodes() {
  for (NodeId i : g_.inputs()) {
    names_[index(i)] = node(i).name;
    stems_[index(i)] = {node(i).name, 1};
    taken_.insert(node(i).name);
  }
  for (std::size_t i = 0; i < g_.size(); ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Node& n = node(id);
    if (n.op == Op::kConst || n.op == Op::kInput || n.name.empty()) continue;
    // Padding is written where it is read: its name is for what is padded.
    const NodeId word = is_padding(g_, id) ? unpadded(g_, id) : id;
    if (word != id && (!node(word).name.empty() || stems_[index(word)].names > 0)) continue;
    const Stem& stem = stems_[index(word)] = {legal(n.name), 1};
    if (written_[index(word)]) give(word, n.op == Op::kState ? stem.text + "_q" : stem.text);
  }
  for (const Graph::State& s : g_.states()) {
    if (!written_[index(s.next)] || !written_[index(s.node)] || !names_[index(s.next)].empty())
      continue;
    stems_[index(s.next)] = {legal(node(s.node).name), 1};
    give(s.next, stems_[index(s.next)].text + "_d");
  }
  for (const Graph::Output& o : g_.outputs()) {
    Stem& stem = stems_[index(o.node)];
    if (stem.names > 0) continue;
    stem = {o.name.ends_with("_o") ? o.name.substr(0, o.name.size() - 2) : o.name, 1};
    if (written_[index(o.node)]) give(o.node, stem.text);
  }
  for (std::size_t i = 0; i < g_.size(); ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    if (!written_[i] || stems_[i].names > 0 || node(id).part_of.empty()) continue;
    stems_[i] = {legal(node(id).part_of), 1};
    give(id, stems_[i].text);
  }
  // A word that is cut to size has the name of what is left of it.
  for (std::size_t i = 0; i < g_.size(); ++i) {
    const Node& n = node(NodeId{static_cast<std::uint32_t>(i)});
    if (stems_[i].names == 0 || n.op != Op::kSlice || n.name.empty() || n.lo > 0) continue;
    Stem& whole = stems_[index(n.args[0])];
    if (whole.names == 0) whole = stems_[i];
  }
}

// Readers come after what they read, so one pass from the end gives every node its stem.
void Names::stems() {
  std::vector<bool> fixed(g_.size());
  for (std::size_t i = 0; i < g_.size(); ++i) fixed[i] = stems_[i].names > 0;
  const std::vector<bool> live = g_.live();
  for (std::size_t i = g_.size(); i-- > 0;) {
    if (!live[i]) continue;
    for (NodeId a : node(NodeId{static_cast<std::uint32_t>(i)}).args) {
      if (fixed[index(a)]) continue;
      Stem& stem = stems_[index(a)];
      if (stem.names == 0)
        stem = stems_[i];
      else if (stem.text != stems_[i].text || stems_[i].shared())
        stem = {common_words(stem.text, stems_[i].text), 2};
    }
  }
}

// What a node is, in a few words: its name, else what it is made of.
std::optional<std::string> Names::described(NodeId id) const {
  if (vague_[index(id)]) return std::nullopt;
  const std::string& name = names_[index(id)];
  return name.empty() ? made_of(id) : name;
}

std::optional<std::string> Names::made_of(NodeId id) const {
  constexpr std::size_t kLongest = 40;
  if (is_padding(g_, id)) return described(unpadded(g_, id));
  const Node& n = node(id);
  if (n.op == Op::kNot && node(n.args[0]).op == Op::kOrr && names_[index(n.args[0])].empty()) {
    const NodeId bits = node(n.args[0]).args[0];
    const bool inverted = node(bits).op == Op::kNot && names_[index(bits)].empty();
    const std::optional<std::string> part = described(inverted ? node(bits).args[0] : bits);
    if (!part || part->size() > kLongest) return std::nullopt;
    return (inverted ? "all_" : "no_") + *part;
  }
  std::vector<std::string> parts;
  for (NodeId a : n.args) {
    const std::optional<std::string> part = described(a);
    if (!part || part->size() > kLongest) return std::nullopt;
    parts.push_back(*part);
  }
  std::string text;
  if (n.op == Op::kNot)
    text = "not_" + parts[0];
  else if (n.op == Op::kOrr)
    text = "any_" + parts[0];
  else if (n.op == Op::kSlice && n.width == 1)
    text = fmt::format("{}_bit_{}", parts[0], n.lo);
  else if (n.op == Op::kSlice)
    text = fmt::format("{}_bits_{}_{}", parts[0], n.lo + n.width - 1, n.lo);
  else if (n.op == Op::kAnd || n.op == Op::kOr || n.op == Op::kXor)
    text = fmt::format("{}_{}_{}", parts[0], to_text(n.op), parts[1]);
  else
    return std::nullopt;
  if (text.size() > kLongest) return std::nullopt;
  return text;
}

std::vector<std::string> Names::run() {
  named_nodes();
  stems();
  for (std::size_t i = 0; i < g_.size(); ++i) {
    if (!written_[i] || !names_[i].empty()) continue;
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Node& n = node(id);
    const bool shared = stems_[i].shared();
    const std::optional<std::string> text = shared ? made_of(id) : std::optional<std::string>();
    vague_[i] = shared && !text;
    const std::string part_of = stems_[i].text.empty() ? legal(n.section) : stems_[i].text;
    give(id, text.value_or(fmt::format("{}_{}", part_of, to_text(n.op))));
  }
  return std::move(names_);
}

}  // namespace

bool is_keyword(std::string_view word) { return keywords().count(std::string(word)) > 0; }

std::vector<std::string> assign_names(const Graph& g, const std::vector<std::string>& reserved,
                                      const std::vector<bool>& written) {
  return Names(g, reserved, written).run();
}

}  // namespace blockdot::rtl_gen
