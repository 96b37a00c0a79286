#include "rtl_gen/ir/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "formats/error.h"

namespace blockdot::rtl_gen {
namespace {

constexpr NodeId kNoNext{0xFFFFFFFF};

std::size_t mix(std::size_t seed, std::size_t value) {
  return seed ^ (value + 0x9E3779B97F4A7C15ULL + (seed << 6) + (seed >> 2));
}

std::size_t hash_of(const Node& node) {
  std::size_t h = mix(static_cast<std::size_t>(node.op), static_cast<std::size_t>(node.width));
  h = mix(h, static_cast<std::size_t>(node.lo));
  for (NodeId a : node.args) h = mix(h, index(a));
  for (std::uint64_t limb : node.value.limbs) h = mix(h, limb);
  return h;
}

bool same(const Node& x, const Node& y) {
  return x.op == y.op && x.width == y.width && x.lo == y.lo && x.args == y.args &&
         x.value == y.value;
}

}  // namespace

std::string_view to_text(Op op) {
  switch (op) {
    case Op::kInput:
      return "input";
    case Op::kConst:
      return "const";
    case Op::kState:
      return "state";
    case Op::kNot:
      return "not";
    case Op::kAnd:
      return "and";
    case Op::kOr:
      return "or";
    case Op::kXor:
      return "xor";
    case Op::kAdd:
      return "add";
    case Op::kSub:
      return "sub";
    case Op::kMul:
      return "mul";
    case Op::kSum:
      return "sum";
    case Op::kEq:
      return "eq";
    case Op::kUlt:
      return "ult";
    case Op::kMux:
      return "mux";
    case Op::kShl:
      return "shl";
    case Op::kLshr:
      return "lshr";
    case Op::kSlice:
      return "slice";
    case Op::kConcat:
      return "concat";
    case Op::kSext:
      return "sext";
    case Op::kOrr:
      return "orr";
    case Op::kClz:
      return "clz";
    case Op::kFullAdd:
      return "full_add";
  }
  return "?";
}

void Graph::check(const Node& n) const {
  BLOCKDOT_CHECK(n.width >= 1, "{} of width {}", to_text(n.op), n.width);
  for (NodeId a : n.args) BLOCKDOT_CHECK(index(a) < nodes_.size(), "argument after its user");
  const auto arg = [&](std::size_t i) { return width(n.args.at(i)); };
  const auto expect = [&](bool ok) {
    std::string widths;
    for (NodeId a : n.args) widths += fmt::format(" {}:{}", node(a).name, width(a));
    BLOCKDOT_CHECK(ok, "{}:{} of{}", to_text(n.op), n.width, widths);
  };
  switch (n.op) {
    case Op::kInput:
    case Op::kState:
      expect(n.args.empty());
      break;
    case Op::kConst:
      expect(n.args.empty() && n.value.width == n.width);
      break;
    case Op::kNot:
      expect(n.args.size() == 1 && arg(0) == n.width);
      break;
    case Op::kAnd:
    case Op::kOr:
    case Op::kXor:
    case Op::kAdd:
    case Op::kSub:
    case Op::kMul:
      expect(n.args.size() == 2 && arg(0) == n.width && arg(1) == n.width);
      break;
    case Op::kSum:
      expect(!n.args.empty() && std::all_of(n.args.begin(), n.args.end(),
                                            [&](NodeId a) { return width(a) == n.width; }));
      break;
    case Op::kEq:
    case Op::kUlt:
      expect(n.args.size() == 2 && arg(0) == arg(1) && n.width == 1);
      break;
    case Op::kMux:
      expect(n.args.size() == 3 && arg(0) == 1 && arg(1) == n.width && arg(2) == n.width);
      break;
    case Op::kShl:
    case Op::kLshr:
      expect(n.args.size() == 2 && arg(0) == n.width);
      break;
    case Op::kSlice:
      expect(n.args.size() == 1 && n.lo >= 0 && n.lo + n.width <= arg(0));
      break;
    case Op::kConcat: {
      int total = 0;
      for (NodeId a : n.args) total += width(a);
      expect(!n.args.empty() && total == n.width);
      break;
    }
    case Op::kSext:
      expect(n.args.size() == 1 && arg(0) <= n.width);
      break;
    case Op::kOrr:
      expect(n.args.size() == 1 && n.width == 1);
      break;
    case Op::kClz:
      expect(n.args.size() == 1 &&
             n.width == static_cast<int>(std::bit_width(static_cast<unsigned>(arg(0)))));
      break;
    case Op::kFullAdd:
      expect(n.args.size() == 3 && arg(1) == arg(0) && arg(2) == arg(0) && n.width == 2 * arg(0));
      break;
  }
}

NodeId Graph::add(Node n) {
  check(n);
  const NodeId id{static_cast<std::uint32_t>(nodes_.size())};
  if (n.op != Op::kInput && n.op != Op::kState) {
    const std::size_t h = hash_of(n);
    const auto [first, last] = by_hash_.equal_range(h);
    for (auto it = first; it != last; ++it)
      if (same(node(it->second), n)) return it->second;
    by_hash_.emplace(h, id);
  }
  n.section = section_;
  nodes_.push_back(std::move(n));
  return id;
}

NodeId Graph::input(std::string name, int width) {
  Node n;
  n.op = Op::kInput;
  n.width = width;
  n.name = std::move(name);
  inputs_.push_back(add(std::move(n)));
  return inputs_.back();
}

NodeId Graph::constant(Bits value) {
  Node n;
  n.op = Op::kConst;
  n.width = value.width;
  n.value = std::move(value);
  return add(std::move(n));
}

NodeId Graph::state(std::string name, int width, const std::optional<Bits>& reset) {
  Node n;
  n.op = Op::kState;
  n.width = width;
  n.name = std::move(name);
  if (reset) n.value = *reset;
  const NodeId id = add(std::move(n));
  states_.push_back({id, kNoNext});
  return id;
}

void Graph::set_next(NodeId state, NodeId next) {
  for (State& s : states_) {
    if (s.node != state) continue;
    BLOCKDOT_CHECK(s.next == kNoNext, "next of {} set twice", node(state).name);
    BLOCKDOT_CHECK(width(next) == width(state), "next of {}", node(state).name);
    s.next = next;
    return;
  }
  BLOCKDOT_CHECK(false, "set_next of a node that is no state");
}

void Graph::output(std::string name, NodeId node) { outputs_.push_back({std::move(name), node}); }

NodeId Graph::unary(Op op, NodeId a) {
  Node n;
  n.op = op;
  n.width = op == Op::kOrr   ? 1
            : op == Op::kClz ? static_cast<int>(std::bit_width(static_cast<unsigned>(width(a))))
                             : width(a);
  n.args = {a};
  return add(std::move(n));
}

NodeId Graph::binary(Op op, NodeId a, NodeId b) {
  Node n;
  n.op = op;
  n.width = op == Op::kEq || op == Op::kUlt ? 1 : width(a);
  n.args = {a, b};
  return add(std::move(n));
}

NodeId Graph::sum(std::vector<NodeId> terms) {
  Node n;
  n.op = Op::kSum;
  BLOCKDOT_CHECK(!terms.empty());
  n.width = width(terms.front());
  n.args = std::move(terms);
  return add(std::move(n));
}

NodeId Graph::mux(NodeId select, NodeId if_one, NodeId if_zero) {
  Node n;
  n.op = Op::kMux;
  n.width = width(if_one);
  n.args = {select, if_one, if_zero};
  return add(std::move(n));
}

NodeId Graph::slice(NodeId a, int lo, int width) {
  Node n;
  n.op = Op::kSlice;
  n.width = width;
  n.lo = lo;
  n.args = {a};
  return add(std::move(n));
}

NodeId Graph::concat(std::vector<NodeId> parts) {
  Node n;
  n.op = Op::kConcat;
  for (NodeId p : parts) n.width += width(p);
  n.args = std::move(parts);
  return add(std::move(n));
}

NodeId Graph::sext(NodeId a, int width) {
  Node n;
  n.op = Op::kSext;
  n.width = width;
  n.args = {a};
  return add(std::move(n));
}

NodeId Graph::full_add(NodeId a, NodeId b, NodeId c) {
  Node n;
  n.op = Op::kFullAdd;
  n.width = 2 * width(a);
  n.args = {a, b, c};
  return add(std::move(n));
}

void Graph::set_passed(NodeId id, int bits) {
  if (nodes_[index(id)].op == Op::kOr) nodes_[index(id)].passed = bits;
}

void Graph::set_name(NodeId id, std::string_view name) {
  Node& n = nodes_[index(id)];
  if (!n.name.empty()) return;
  n.name = name;
  if (n.op != Op::kConcat) return;
  int lo = n.width;
  for (NodeId a : n.args) {
    Node& part = nodes_[index(a)];
    const int hi = lo - 1;
    lo -= part.width;
    if (part.part_of.empty())
      part.part_of = lo == hi ? fmt::format("{}_bit_{}", name, lo)
                              : fmt::format("{}_bits_{}_{}", name, hi, lo);
  }
}

void Graph::set_note(NodeId id, std::string_view note) {
  Node& n = nodes_[index(id)];
  if (n.note.empty()) n.note = note;
}

void Graph::describe_as(NodeId id, const Node& other) {
  if (!other.name.empty()) {
    set_name(id, other.name);
    set_note(id, other.note);
  }
  Node& n = nodes_[index(id)];
  if (n.part_of.empty()) n.part_of = other.part_of;
}

std::vector<bool> Graph::live() const {
  std::vector<bool> live(nodes_.size(), false);
  std::vector<NodeId> todo;
  const auto reach = [&](NodeId id) {
    if (!live[index(id)]) {
      live[index(id)] = true;
      todo.push_back(id);
    }
  };
  for (const Output& o : outputs_) reach(o.node);
  for (NodeId i : inputs_) reach(i);
  while (!todo.empty()) {
    const NodeId id = todo.back();
    todo.pop_back();
    for (NodeId a : node(id).args) reach(a);
    if (node(id).op == Op::kState)
      for (const State& s : states_)
        if (s.node == id) reach(s.next);
  }
  return live;
}

void Graph::verify() const {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    check(nodes_[i]);
    for (NodeId a : nodes_[i].args) BLOCKDOT_CHECK(index(a) < i, "argument after its user");
  }
  for (const State& s : states_)
    BLOCKDOT_CHECK(s.next != kNoNext, "state {} has no next", node(s.node).name);
  BLOCKDOT_CHECK(!outputs_.empty(), "a graph without outputs");
}

std::string Graph::dump() const {
  std::string text;
  const std::vector<bool> is_live = live();
  const auto label = [&](NodeId id) {
    const Node& n = node(id);
    if (n.op == Op::kConst) return verilog_literal(n.value);
    return n.name.empty() ? fmt::format("%{}", index(id)) : n.name;
  };
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Node& n = nodes_[i];
    if (!is_live[i] || n.op == Op::kConst) continue;
    text += fmt::format("{}:{} = {}", label(id), n.width, to_text(n.op));
    for (NodeId a : n.args) text += fmt::format(" {}:{}", label(a), width(a));
    if (n.op == Op::kSlice) text += fmt::format(" lo={}", n.lo);
    if (!n.note.empty()) text += fmt::format("  // {}", n.note);
    text += '\n';
  }
  for (const State& s : states_)
    if (is_live[index(s.node)]) text += fmt::format("next {} = {}\n", label(s.node), label(s.next));
  for (const Output& o : outputs_) text += fmt::format("output {} = {}\n", o.name, label(o.node));
  return text;
}

}  // namespace blockdot::rtl_gen
