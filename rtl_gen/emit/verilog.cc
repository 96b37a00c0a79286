// Every computed node is a wire with its own width; bitwise and comparison nodes that have no name
// of their own and one reader in their stage are written into that reader. Slices and padding are
// written where they are read. A value that is read in a later stage goes through one register a
// stage, NAME_sK_q in stage K.
//
// Full adders (kFullAdd) are cells of the library under SYNTHESIS, which synthesis tools define,
// and gates elsewhere: a simulator needs no model of the cell.
//
// While expressions are written, the bits that they read are marked; at the end, bits that nothing
// reads (the low part of a truncated sum) are tied into one `unused_bits` wire, so that lint shows
// what was dropped on purpose and nothing else.
#include "rtl_gen/emit/verilog.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "formats/error.h"
#include "rtl_gen/build/ops.h"
#include "rtl_gen/emit/names.h"

namespace blockdot::rtl_gen {
namespace {

class Emitter {
 public:
  Emitter(const Graph& g, const Schedule& s, const VerilogRequest& r);
  std::string run();

 private:
  struct Use {
    int stage;
    bool direct;  // not through a slice or a sign extension: any expression will do
    Op by;
  };

  const Node& node(NodeId id) const { return g_.node(id); }
  int stage_of(NodeId id) const { return s_.stage[index(id)]; }
  void collect_uses();
  void use(NodeId id, int stage, bool direct, Op by);
  bool inlined(NodeId id) const { return inline_[index(id)]; }
  std::string signal(NodeId id, int stage);
  std::string bit(NodeId id, int i, int stage);
  std::string read(NodeId id, int stage, bool nested);
  std::string operand(NodeId id, int stage);
  std::string expression(NodeId id);
  void mark(NodeId id, int stage, int lo, int width);
  void stage_text(int stage);
  void registers_into(int stage);
  void state_registers(int stage);
  void declare(const std::string& kind, int width, const std::string& name,
               const std::string& note);
  std::string unused_text();
  bool is_half_adder(const Node& n) const;
  void full_adder(NodeId id);
  void flush_full_adders();

  const Graph& g_;
  const Schedule& s_;
  const VerilogRequest& r_;
  std::vector<bool> live_;
  std::vector<std::string> names_;
  std::vector<std::vector<Use>> uses_;
  std::vector<bool> inline_;
  std::vector<int> last_;                     // last stage that reads a node, latency for outputs
  std::map<std::size_t, NodeId> carried_by_;  // next node -> state whose register is its first
  std::map<std::string, std::vector<bool>> marks_;  // by signal, bits read
  std::vector<std::string> signals_;                // in order of declaration
  bool reset_used_ = false;
  std::string adder_cells_, adder_gates_;
  std::string out_;
};

std::string range_of(int width) { return width == 1 ? "" : fmt::format("[{}:0] ", width - 1); }

Emitter::Emitter(const Graph& g, const Schedule& s, const VerilogRequest& r)
    : g_(g), s_(s), r_(r), live_(g.live()) {
  uses_.resize(g.size());
  inline_.assign(g.size(), false);
  last_.assign(g.size(), -1);
  for (const Graph::State& state : g.states())
    if (live_[index(state.node)] && carries_next(g, s, state))
      carried_by_.emplace(index(state.next), state.node);
  collect_uses();
  std::vector<std::string> reserved = {"unused_bits"};
  for (const Port& p : r.ports) reserved.push_back(p.name);
  reserved.push_back(r.module_name);
  std::vector<bool> written(g.size());
  for (std::size_t i = 0; i < g.size(); ++i) written[i] = s.stage[i] >= 0 && !inline_[i];
  names_ = assign_names(g, reserved, written);
}

void Emitter::use(NodeId id, int stage, bool direct, Op by) {
  const Node& n = node(id);
  if (n.op == Op::kConst) return;
  if (is_padding(g_, id)) {
    const NodeId inner = unpadded(g_, id);
    bool wide_sign = false;
    for (NodeId at = id; at != inner;) {
      const Node& pad = node(at);
      const auto part = std::find_if(pad.args.begin(), pad.args.end(),
                                     [&](NodeId a) { return node(a).op != Op::kConst; });
      wide_sign = wide_sign || (pad.op == Op::kSext && g_.width(*part) > 1);
      at = *part;
    }
    use(inner, stage, direct && !wide_sign, Op::kConcat);
    return;
  }
  uses_[index(id)].push_back({stage, direct, by});
  last_[index(id)] = std::max(last_[index(id)], stage);
}

void Emitter::collect_uses() {
  for (std::size_t i = 0; i < g_.size(); ++i) {
    if (s_.stage[i] < 0) continue;
    const Node& n = node(NodeId{static_cast<std::uint32_t>(i)});
    for (NodeId a : n.args) use(a, s_.stage[i], n.op != Op::kSlice, n.op);
  }
  for (const Graph::Output& o : g_.outputs()) use(o.node, s_.latency, true, Op::kState);
  for (const Graph::State& s : g_.states())
    if (live_[index(s.node)]) use(s.next, stage_of(unpadded(g_, s.next)), true, Op::kState);

  for (std::size_t i = 0; i < g_.size(); ++i) {
    if (s_.stage[i] < 0 || uses_[i].empty()) continue;
    const Node& n = node(NodeId{static_cast<std::uint32_t>(i)});
    const bool here = last_[i] == s_.stage[i];
    if (!n.name.empty() || !here) continue;
    if (n.op == Op::kSlice) {
      inline_[i] = std::all_of(uses_[i].begin(), uses_[i].end(),
                               [](const Use& u) { return u.by != Op::kState; });
      continue;
    }
    if (uses_[i].size() != 1 || !uses_[i][0].direct) continue;
    const Op by = uses_[i][0].by;
    const bool by_logic = by == Op::kNot || by == Op::kAnd || by == Op::kOr || by == Op::kXor ||
                          by == Op::kMux || by == Op::kOrr || by == Op::kEq || by == Op::kConcat;
    const bool logic = n.op == Op::kNot || n.op == Op::kAnd || n.op == Op::kOr ||
                       n.op == Op::kXor || n.op == Op::kOrr || n.op == Op::kEq ||
                       n.op == Op::kUlt || (n.op == Op::kConcat && n.args.size() <= 3);
    inline_[i] = by_logic && logic;
  }
}

void Emitter::mark(NodeId id, int stage, int lo, int width) {
  auto& bits = marks_[signal(id, stage)];
  bits.resize(static_cast<std::size_t>(g_.width(id)), false);
  std::fill(bits.begin() + lo, bits.begin() + lo + width, true);
}

// The signal that holds a node's value in a stage: its wire, or a register further on.
std::string Emitter::signal(NodeId id, int stage) {
  const int own = stage_of(id);
  BLOCKDOT_CHECK(own >= 0 && stage >= own, "{} read in stage {}", names_[index(id)], stage);
  if (stage == own) return names_[index(id)];
  const auto carried = carried_by_.find(index(id));
  if (stage == own + 1 && carried != carried_by_.end()) return names_[index(carried->second)];
  return fmt::format("{}_s{}_q", names_[index(id)], stage);
}

std::string Emitter::bit(NodeId id, int i, int stage) {
  if (node(id).op == Op::kSlice && inlined(id))
    return bit(node(id).args[0], node(id).lo + i, stage);
  mark(id, stage, i, 1);
  return g_.width(id) == 1 ? signal(id, stage) : fmt::format("{}[{}]", signal(id, stage), i);
}

std::string Emitter::read(NodeId id, int stage, bool nested) {
  const Node& n = node(id);
  if (n.op == Op::kConst) return verilog_literal(n.value);
  if (n.op == Op::kSext) {
    const NodeId a = n.args[0];
    const int w = g_.width(a), extra = n.width - w;
    if (w == 1) return fmt::format("{{{}{{{}}}}}", n.width, read(a, stage, false));
    const NodeId inner = unpadded(g_, a);
    BLOCKDOT_CHECK(inner == a, "sign extension of padding");
    const std::string top = bit(a, w - 1, stage);
    const std::string body = read(a, stage, false);
    return extra == 1 ? fmt::format("{{{}, {}}}", top, body)
                      : fmt::format("{{{{{}{{{}}}}}, {}}}", extra, top, body);
  }
  if (is_padding(g_, id) || (n.op == Op::kConcat && inlined(id))) {
    std::string text;
    for (NodeId part : n.args) text += (text.empty() ? "" : ", ") + read(part, stage, false);
    return "{" + text + "}";
  }
  if (n.op == Op::kSlice && inlined(id)) {
    const NodeId base = n.args[0];
    mark(base, stage, n.lo, n.width);
    std::string name = signal(base, stage);
    if (g_.width(base) == 1) return name;
    return n.width == 1 ? fmt::format("{}[{}]", name, n.lo)
                        : fmt::format("{}[{}:{}]", name, n.lo + n.width - 1, n.lo);
  }
  if (inlined(id)) {
    const bool prefix = n.op == Op::kNot || n.op == Op::kOrr;
    const std::string text = expression(id);
    return nested && !prefix ? "(" + text + ")" : text;
  }
  mark(id, stage, 0, n.width);
  return signal(id, stage);
}

// What a prefix operator applies to: any operation inside is bracketed.
std::string Emitter::operand(NodeId id, int stage) {
  const Op op = node(id).op;
  const std::string text = read(id, stage, true);
  const bool prefix = inlined(id) && (op == Op::kNot || op == Op::kOrr);
  return prefix ? "(" + text + ")" : text;
}

std::string Emitter::expression(NodeId id) {
  const Node& n = node(id);
  const int stage = stage_of(id);
  const auto arg = [&](std::size_t i) { return read(n.args[i], stage, true); };
  const auto infix = [&](const char* op) { return fmt::format("{} {} {}", arg(0), op, arg(1)); };
  // A chain of one associative operation needs no brackets.
  const auto chain = [&](const char* op) {
    std::string text;
    for (std::size_t i = 0; i < 2; ++i) {
      const NodeId a = n.args[i];
      const bool same = node(a).op == n.op && inlined(a);
      text += (i ? fmt::format(" {} ", op) : "") + read(a, stage, !same);
    }
    return text;
  };
  switch (n.op) {
    case Op::kInput:
    case Op::kConst:
    case Op::kState:
    case Op::kSum:
    case Op::kSext:
    case Op::kClz:
      break;
    case Op::kFullAdd: {
      const std::string x = arg(0), y = arg(1);
      if (is_half_adder(n)) return fmt::format("{{{0} & {1}, {0} ^ {1}}}", x, y);
      const std::string z = arg(2);
      return fmt::format("{{({0} & {1}) | ({2} & ({0} ^ {1})), {0} ^ {1} ^ {2}}}", x, y, z);
    }
    case Op::kNot: {
      // ~|~x is "all ones".
      const Node& inner = node(n.args[0]);
      if (inner.op == Op::kOrr && inlined(n.args[0]) && node(inner.args[0]).op == Op::kNot &&
          inlined(inner.args[0]))
        return "&" + operand(node(inner.args[0]).args[0], stage);
      return "~" + operand(n.args[0], stage);
    }
    case Op::kAnd:
      return chain("&");
    case Op::kOr:
      return chain("|");
    case Op::kXor:
      return chain("^");
    case Op::kAdd:
      return infix("+");
    case Op::kSub:
      return infix("-");
    case Op::kMul:
      return infix("*");
    case Op::kEq:
      return infix("==");
    case Op::kUlt:
      return infix("<");
    case Op::kMux:
      return fmt::format("{} ? {} : {}", arg(0), arg(1), arg(2));
    case Op::kShl:
      return infix("<<");
    case Op::kLshr:
      return infix(">>");
    case Op::kOrr:
      return "|" + operand(n.args[0], stage);
    case Op::kSlice: {
      const NodeId base = n.args[0];
      mark(base, stage, n.lo, n.width);
      return n.width == 1 ? fmt::format("{}[{}]", signal(base, stage), n.lo)
                          : fmt::format("{}[{}:{}]", signal(base, stage), n.lo + n.width - 1, n.lo);
    }
    case Op::kConcat: {
      std::string text;
      std::size_t column = 0;
      for (NodeId part : n.args) {
        std::string piece = read(part, stage, false);
        if (!text.empty()) {
          text += ",";
          column += piece.size() + 2;
          if (column > 80) {
            text += "\n                  ";
            column = piece.size();
          }
          text += " ";
        }
        text += piece;
      }
      return "{" + text + "}";
    }
  }
  BLOCKDOT_CHECK(false, "no expression for {}", to_text(n.op));
  return {};
}

void Emitter::declare(const std::string& kind, int width, const std::string& name,
                      const std::string& note) {
  const std::string text = fmt::format("  {} {}{};", kind, range_of(width), name);
  out_ += note.empty() ? text + "\n" : fmt::format("{:<48}  // {}\n", text, note);
  signals_.push_back(name);
  marks_[name].resize(static_cast<std::size_t>(width), false);
}

void Emitter::stage_text(int stage) {
  std::string titles;
  std::vector<std::string> seen;
  for (std::size_t i = 0; i < g_.size(); ++i) {
    const Node& n = node(NodeId{static_cast<std::uint32_t>(i)});
    if (s_.stage[i] != stage || n.op == Op::kInput || n.section.empty()) continue;
    if (std::find(seen.begin(), seen.end(), n.section) != seen.end()) continue;
    seen.push_back(n.section);
    titles += (titles.empty() ? ": " : ", ") + n.section;
  }
  out_ += s_.latency == 0 ? fmt::format("\n  // ---- Combinational{} ----\n", titles)
                          : fmt::format("\n  // ---- Stage {}{} ----\n", stage, titles);
  for (const Graph::State& s : g_.states()) {
    if (!live_[index(s.node)] || stage_of(s.node) != stage) continue;
    declare("reg", g_.width(s.node), names_[index(s.node)], node(s.node).note);
  }
  std::string section = seen.size() > 1 ? "" : seen.empty() ? "" : seen.front();
  for (std::size_t i = 0; i < g_.size(); ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Node& n = node(id);
    if (s_.stage[i] != stage || n.op == Op::kInput || n.op == Op::kState || inlined(id)) continue;
    if (n.section != section && !n.section.empty()) {
      flush_full_adders();
      out_ += fmt::format("\n  // {}\n", n.section);
      section = n.section;
    }
    if (n.op == Op::kFullAdd) {
      full_adder(id);
      continue;
    }
    flush_full_adders();
    const std::string text = expression(id);
    declare("wire", n.width, names_[i], n.note);
    out_ += fmt::format("  assign {} = {};\n", names_[i], text);
  }
  flush_full_adders();
}

bool Emitter::is_half_adder(const Node& n) const { return ops::is_zero(g_, n.args[2]); }

// Full adders that follow one another share one `ifdef: cells for synthesis, gates elsewhere.
void Emitter::full_adder(NodeId id) {
  const Node& n = node(id);
  const std::string& name = names_[index(id)];
  const int stage = stage_of(id), width = n.width / 2;
  declare("wire", n.width, name, n.note);
  adder_gates_ += fmt::format("  assign {} = {};\n", name, expression(id));
  const auto half = [&](int lo) {
    return width == 1 ? fmt::format("{}[{}]", name, lo)
                      : fmt::format("{}[{}:{}]", name, lo + width - 1, lo);
  };
  const bool half_adder = is_half_adder(n);
  adder_cells_ += fmt::format(
      "  {} {}_cell{} (.A({}), .B({}){}, .YC({}), .YS({}));\n", half_adder ? "HAX1" : "FAX1", name,
      width == 1 ? "" : fmt::format(" [{}:0]", width - 1), read(n.args[0], stage, false),
      read(n.args[1], stage, false),
      half_adder ? "" : fmt::format(", .C({})", read(n.args[2], stage, false)), half(width),
      half(0));
}

void Emitter::flush_full_adders() {
  if (adder_cells_.empty()) return;
  out_ += "`ifdef SYNTHESIS\n" + adder_cells_ + "`else\n" + adder_gates_ + "`endif\n";
  adder_cells_.clear();
  adder_gates_.clear();
}

void Emitter::state_registers(int stage) {
  std::string kept;  // without reset, in one block
  for (const Graph::State& s : g_.states()) {
    if (!live_[index(s.node)] || stage_of(s.node) != stage) continue;
    const std::string next = read(s.next, stage, false);
    const std::string& name = names_[index(s.node)];
    const Node& n = node(s.node);
    if (n.value.width == 0) {
      kept += fmt::format("    {} <= {};\n", name, next);
      continue;
    }
    reset_used_ = true;
    std::string reset = verilog_literal(n.value);
    if (!n.parameter.empty()) {
      reset = n.parameter + "_STATE";
      out_ += fmt::format("  localparam {0}{1} = ({2} == {3}'d0) ? {3}'d1 : {2};\n",
                          range_of(n.width), reset, n.parameter, n.width);
    }
    out_ += fmt::format(
        "  always @(posedge clk_i) begin\n    if (!rst_ni) {0} <= {1};\n    else {0} <= {2};\n  "
        "end\n",
        name, reset, next);
  }
  if (!kept.empty()) out_ += "  always @(posedge clk_i) begin\n" + kept + "  end\n";
}

void Emitter::registers_into(int stage) {
  std::string data, resets;
  std::string declarations;
  int bits = 0;
  std::swap(out_, declarations);
  for (std::size_t i = 0; i < g_.size(); ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    if (s_.stage[i] < 0 || s_.stage[i] >= stage || last_[i] < stage) continue;
    if (carried_by_.count(i) && s_.stage[i] + 1 == stage) continue;
    const std::string name = signal(id, stage);
    const std::string from = signal(id, stage - 1);
    mark(id, stage - 1, 0, g_.width(id));
    declare("reg", g_.width(id), name, "");
    bits += g_.width(id);
    if (node(id).control) {
      resets += fmt::format("    {0} <= rst_ni ? {1} : {2};\n", name, from,
                            verilog_literal(to_bits(0, g_.width(id))));
      reset_used_ = true;
    } else {
      data += fmt::format("    {} <= {};\n", name, from);
    }
  }
  std::swap(out_, declarations);
  if (declarations.empty()) return;
  out_ += fmt::format("\n  // ---- Registers into {}: {} bit{} ----\n",
                      stage == s_.latency ? "the outputs" : fmt::format("stage {}", stage), bits,
                      bits == 1 ? "" : "s");
  out_ += declarations;
  out_ += "  always @(posedge clk_i) begin\n" + resets + data + "  end\n";
}

std::string Emitter::unused_text() {
  std::vector<std::string> parts;
  for (const std::string& name : signals_) {
    const auto& bits = marks_[name];
    const int width = static_cast<int>(bits.size());
    for (int lo = 0; lo < width;) {
      if (bits[static_cast<std::size_t>(lo)]) {
        ++lo;
        continue;
      }
      int hi = lo;
      while (hi + 1 < width && !bits[static_cast<std::size_t>(hi + 1)]) ++hi;
      if (lo == 0 && hi == width - 1)
        parts.push_back(name);
      else
        parts.push_back(lo == hi ? fmt::format("{}[{}]", name, lo)
                                 : fmt::format("{}[{}:{}]", name, hi, lo));
      lo = hi + 1;
    }
  }
  if (parts.empty()) return "";
  std::string text =
      "\n  // Bits that nothing reads: dropped by truncation or fixed by a range.\n"
      "  wire unused_bits;\n  assign unused_bits = &{1'b0";
  std::size_t column = 40;
  for (const std::string& p : parts) {
    text += ",";
    column += p.size() + 2;
    if (column > 96) {
      text += "\n   ";
      column = p.size() + 6;
    }
    text += " " + p;
  }
  return text + "};\n";
}

std::string Emitter::run() {
  const bool clocked = std::any_of(r_.ports.begin(), r_.ports.end(),
                                   [](const Port& p) { return p.name == "clk_i"; });
  for (const std::string& line : r_.header) out_ += line.empty() ? "//\n" : "// " + line + "\n";
  out_ += "`default_nettype none\n\n" + module_head(r_.module_name, r_.parameters, r_.ports);
  for (NodeId i : g_.inputs()) {
    signals_.push_back(names_[index(i)]);
    marks_[names_[index(i)]].resize(static_cast<std::size_t>(g_.width(i)), false);
  }
  const int stages = std::max(1, s_.latency);
  for (int k = 0; k < stages; ++k) {
    stage_text(k);
    state_registers(k);
    if (s_.latency > 0) registers_into(k + 1);
  }
  out_ += "\n  // ---- Outputs ----\n";
  for (const Graph::Output& o : g_.outputs())
    out_ += fmt::format("  assign {} = {};\n", o.name, read(o.node, s_.latency, false));
  if (clocked && !reset_used_) {
    signals_.push_back("rst_ni");
    marks_["rst_ni"].assign(1, false);
  }
  out_ += unused_text();
  out_ += "endmodule\n\n`default_nettype wire\n";
  return std::move(out_);
}

}  // namespace

std::string module_head(std::string_view name, const std::vector<Parameter>& parameters,
                        const std::vector<Port>& ports) {
  std::string list;
  for (const Parameter& p : parameters)
    list += fmt::format("{}  parameter {}{} = {}", list.empty() ? "" : ",\n", range_of(p.width),
                        p.name, verilog_literal(to_bits(Int(p.value), p.width)));
  std::string out =
      fmt::format("module {} {}(\n", name, list.empty() ? "" : "#(\n" + list + "\n) ");
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const Port& p = ports[i];
    const std::string text =
        fmt::format("  {} wire {}{}{}", p.is_input ? "input " : "output", range_of(p.width), p.name,
                    i + 1 < ports.size() ? "," : "");
    out += fmt::format("{:<48}  // {}\n", text, p.meaning);
  }
  return out + ");\n";
}

std::string emit_verilog(const Graph& lowered, const Schedule& schedule,
                         const VerilogRequest& request) {
  return Emitter(lowered, schedule, request).run();
}

}  // namespace blockdot::rtl_gen
