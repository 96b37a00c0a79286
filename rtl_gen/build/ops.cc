#include "rtl_gen/build/ops.h"

#include <algorithm>

#include "formats/error.h"
#include "rtl_gen/ir/evaluate.h"

namespace blockdot::rtl_gen::ops {
namespace {

// The value of an operation whose arguments are all constants.
bool fold(Graph& g, Op op, int width, int lo, const std::vector<NodeId>& args, NodeId& out) {
  if (!std::all_of(args.begin(), args.end(), [&](NodeId a) { return is_const(g, a); }))
    return false;
  Node n;
  n.op = op;
  n.width = width;
  n.lo = lo;
  std::vector<Bits> values;
  for (NodeId a : args) values.push_back(g.node(a).value);
  out = g.constant(evaluate(n, values));
  return true;
}

}  // namespace

NodeId constant(Graph& g, const Int& value, int width) { return g.constant(to_bits(value, width)); }

bool is_const(const Graph& g, NodeId a) { return g.node(a).op == Op::kConst; }

bool is_zero(const Graph& g, NodeId a) {
  const Node& n = g.node(a);
  return n.op == Op::kConst && std::all_of(n.value.limbs.begin(), n.value.limbs.end(),
                                           [](std::uint64_t limb) { return limb == 0; });
}

bool is_ones(const Graph& g, NodeId a) {
  const Node& n = g.node(a);
  return n.op == Op::kConst && n.value == to_bits(-1, n.width);
}

NodeId bit_not(Graph& g, NodeId a) {
  NodeId out;
  if (fold(g, Op::kNot, g.width(a), 0, {a}, out)) return out;
  if (g.node(a).op == Op::kNot) return g.node(a).args[0];
  return g.unary(Op::kNot, a);
}

NodeId bit_and(Graph& g, NodeId a, NodeId b) {
  if (is_zero(g, a) || is_ones(g, b) || a == b) return a;
  if (is_zero(g, b) || is_ones(g, a)) return b;
  NodeId out;
  if (fold(g, Op::kAnd, g.width(a), 0, {a, b}, out)) return out;
  return g.binary(Op::kAnd, a, b);
}

NodeId bit_or(Graph& g, NodeId a, NodeId b) {
  if (is_zero(g, b) || is_ones(g, a) || a == b) return a;
  if (is_zero(g, a) || is_ones(g, b)) return b;
  NodeId out;
  if (fold(g, Op::kOr, g.width(a), 0, {a, b}, out)) return out;
  return g.binary(Op::kOr, a, b);
}

NodeId bit_xor(Graph& g, NodeId a, NodeId b) {
  if (is_zero(g, a)) return b;
  if (is_zero(g, b)) return a;
  if (a == b) return constant(g, 0, g.width(a));
  if (is_ones(g, a)) return bit_not(g, b);
  if (is_ones(g, b)) return bit_not(g, a);
  NodeId out;
  if (fold(g, Op::kXor, g.width(a), 0, {a, b}, out)) return out;
  return g.binary(Op::kXor, a, b);
}

NodeId add(Graph& g, NodeId a, NodeId b) {
  if (is_zero(g, a)) return b;
  if (is_zero(g, b)) return a;
  if (g.width(a) == 1) return bit_xor(g, a, b);
  NodeId out;
  if (fold(g, Op::kAdd, g.width(a), 0, {a, b}, out)) return out;
  return g.binary(Op::kAdd, a, b);
}

NodeId sub(Graph& g, NodeId a, NodeId b) {
  if (is_zero(g, b)) return a;
  if (g.width(a) == 1) return bit_xor(g, a, b);
  NodeId out;
  if (fold(g, Op::kSub, g.width(a), 0, {a, b}, out)) return out;
  return g.binary(Op::kSub, a, b);
}

NodeId mul(Graph& g, NodeId a, NodeId b) {
  if (is_zero(g, a)) return a;
  if (is_zero(g, b)) return b;
  if (g.width(a) == 1) return bit_and(g, a, b);
  NodeId out;
  if (fold(g, Op::kMul, g.width(a), 0, {a, b}, out)) return out;
  for (const auto& [x, one] : {std::pair{a, b}, std::pair{b, a}})
    if (is_const(g, one) && to_int(g.node(one).value) == 1) return x;
  return g.binary(Op::kMul, a, b);
}

NodeId sum(Graph& g, std::vector<NodeId> terms, bool heap) {
  BLOCKDOT_CHECK(!terms.empty());
  const int width = g.width(terms.front());
  std::vector<NodeId> kept;
  Int known = 0;
  for (NodeId t : terms) {
    if (is_const(g, t))
      known += to_int(g.node(t).value);
    else
      kept.push_back(t);
  }
  const NodeId rest = constant(g, known, width);
  if (kept.empty()) return rest;
  if (!is_zero(g, rest)) kept.push_back(rest);
  if (kept.size() == 1) return kept.front();
  if (kept.size() == 2 && !heap) return add(g, kept[0], kept[1]);
  return g.sum(std::move(kept));
}

NodeId eq(Graph& g, NodeId a, NodeId b) {
  if (a == b) return constant(g, 1, 1);
  NodeId out;
  if (fold(g, Op::kEq, 1, 0, {a, b}, out)) return out;
  if (g.width(a) == 1) return bit_not(g, bit_xor(g, a, b));
  return g.binary(Op::kEq, a, b);
}

NodeId ult(Graph& g, NodeId a, NodeId b) {
  // x < 0, ones < x and x < x are false; a comparison with a constant is left otherwise.
  if (is_zero(g, b) || is_ones(g, a) || a == b) return constant(g, 0, 1);
  NodeId out;
  if (fold(g, Op::kUlt, 1, 0, {a, b}, out)) return out;
  if (g.width(a) == 1) return bit_and(g, bit_not(g, a), b);
  if (is_zero(g, a)) return orr(g, b);
  return g.binary(Op::kUlt, a, b);
}

NodeId mux(Graph& g, NodeId select, NodeId if_one, NodeId if_zero) {
  if (if_one == if_zero) return if_one;
  if (is_const(g, select)) return is_zero(g, select) ? if_zero : if_one;
  if (g.node(select).op == Op::kNot) return mux(g, g.node(select).args[0], if_zero, if_one);
  if (g.width(if_one) == 1) {
    if (is_ones(g, if_one)) return bit_or(g, select, if_zero);
    if (is_zero(g, if_one)) return bit_and(g, bit_not(g, select), if_zero);
    if (is_zero(g, if_zero)) return bit_and(g, select, if_one);
    if (is_ones(g, if_zero)) return bit_or(g, bit_not(g, select), if_one);
  }
  return g.mux(select, if_one, if_zero);
}

namespace {

NodeId shift(Graph& g, Op op, NodeId a, NodeId amount) {
  const int width = g.width(a);
  if (is_zero(g, a)) return a;
  if (is_const(g, amount)) {
    const Int n = to_int(g.node(amount).value);
    if (n >= width) return constant(g, 0, width);
    const int by = static_cast<int>(n);
    if (op == Op::kShl) return pad_low(g, slice(g, a, 0, width - by), by);
    return zext(g, slice(g, a, by, width - by), width);
  }
  return g.binary(op, a, amount);
}

}  // namespace

NodeId shl(Graph& g, NodeId a, NodeId amount) { return shift(g, Op::kShl, a, amount); }
NodeId lshr(Graph& g, NodeId a, NodeId amount) { return shift(g, Op::kLshr, a, amount); }

NodeId slice(Graph& g, NodeId a, int lo, int width) {
  const Node n = g.node(a);
  if (lo == 0 && width == n.width) return a;
  NodeId out;
  if (fold(g, Op::kSlice, width, lo, {a}, out)) return out;
  if (n.op == Op::kSlice) return slice(g, n.args[0], n.lo + lo, width);
  if (n.op == Op::kSext) {
    const int inner = g.width(n.args[0]);
    if (lo + width <= inner) return slice(g, n.args[0], lo, width);
    if (lo < inner) return sext(g, slice(g, n.args[0], lo, inner - lo), width);
    return sext(g, slice(g, n.args[0], inner - 1, 1), width);
  }
  if (n.op == Op::kConcat) {
    std::vector<NodeId> parts;
    int top = n.width;
    for (NodeId part : n.args) {
      const int base = top - g.width(part);
      const int from = std::max(lo, base), to = std::min(lo + width, top);
      if (from < to) parts.push_back(slice(g, part, from - base, to - from));
      top = base;
    }
    return concat(g, parts);
  }
  return g.slice(a, lo, width);
}

NodeId concat(Graph& g, const std::vector<NodeId>& parts) {
  std::vector<NodeId> flat;
  for (NodeId p : parts) {
    const Node& n = g.node(p);
    if (n.op == Op::kConcat && n.name.empty())  // a named one is a signal of its own
      flat.insert(flat.end(), n.args.begin(), n.args.end());
    else
      flat.push_back(p);
  }
  std::vector<NodeId> merged;
  for (NodeId p : flat) {
    if (!merged.empty()) {
      const Node high = g.node(merged.back());
      const Node low = g.node(p);
      if (high.op == Op::kConst && low.op == Op::kConst) {
        merged.back() = constant(g, floor_shift(to_int(high.value), -low.width) | to_int(low.value),
                                 high.width + low.width);
        continue;
      }
      if (high.op == Op::kSlice && low.op == Op::kSlice && high.args[0] == low.args[0] &&
          high.lo == low.lo + low.width) {
        merged.back() = slice(g, low.args[0], low.lo, high.width + low.width);
        continue;
      }
    }
    merged.push_back(p);
  }
  if (merged.size() == 1) return merged.front();
  return g.concat(std::move(merged));
}

NodeId zext(Graph& g, NodeId a, int width) {
  const int extra = width - g.width(a);
  BLOCKDOT_CHECK(extra >= 0, "zext from {} to {}", g.width(a), width);
  return extra == 0 ? a : concat(g, {constant(g, 0, extra), a});
}

NodeId pad_low(Graph& g, NodeId a, int zeros) {
  return zeros == 0 ? a : concat(g, {a, constant(g, 0, zeros)});
}

NodeId sext(Graph& g, NodeId a, int width) {
  const Node n = g.node(a);
  if (n.width == width) return a;
  NodeId out;
  if (fold(g, Op::kSext, width, 0, {a}, out)) return out;
  if (n.op == Op::kSext) return sext(g, n.args[0], width);
  if (n.op == Op::kConcat) {
    // A known sign is padding; else the top part is extended.
    const Node top = g.node(n.args[0]);
    if (top.op == Op::kConst && !top.value.bit(top.width - 1)) return zext(g, a, width);
    if (top.op != Op::kConst) {
      std::vector<NodeId> parts = n.args;
      parts[0] = sext(g, parts[0], top.width + width - n.width);
      return concat(g, parts);
    }
  }
  return g.sext(a, width);
}

NodeId orr(Graph& g, NodeId a) {
  const Node n = g.node(a);
  if (n.width == 1) return a;
  NodeId out;
  if (fold(g, Op::kOrr, 1, 0, {a}, out)) return out;
  if (n.op == Op::kConcat) {
    std::vector<NodeId> parts;
    for (NodeId p : n.args) {
      if (is_zero(g, p)) continue;
      if (is_const(g, p)) return constant(g, 1, 1);
      parts.push_back(p);
    }
    if (parts.size() < n.args.size()) return orr(g, concat(g, parts));
  }
  if (n.op == Op::kSext) return orr(g, n.args[0]);
  return g.unary(Op::kOrr, a);
}

NodeId clz(Graph& g, NodeId a) {
  if (g.width(a) == 1) return bit_not(g, a);
  NodeId out;
  const int width = unsigned_width(g.width(a));
  if (fold(g, Op::kClz, width, 0, {a}, out)) return out;
  return g.unary(Op::kClz, a);
}

FullAdd full_add(Graph& g, NodeId a, NodeId b, NodeId c, bool cell, bool half_cell) {
  for (NodeId* x : {&a, &b})
    if (is_const(g, *x)) std::swap(*x, c);
  const bool half = is_zero(g, c) && half_cell && !is_const(g, a) && !is_const(g, b);
  if (is_zero(g, c) && !half) return {bit_xor(g, a, b), bit_and(g, a, b)};
  if (is_ones(g, c)) return {bit_not(g, bit_xor(g, a, b)), bit_or(g, a, b)};
  if (half || (cell && !is_const(g, c))) {
    const int width = g.width(a);
    const NodeId both = g.full_add(a, b, c);
    return {slice(g, both, 0, width), slice(g, both, width, width)};
  }
  const NodeId odd = bit_xor(g, a, b);
  return {bit_xor(g, odd, c), bit_or(g, bit_and(g, a, b), bit_and(g, c, odd))};
}

NodeId rebuild(Graph& g, const Node& like, const std::vector<NodeId>& args) {
  switch (like.op) {
    case Op::kInput:
    case Op::kState:
      break;
    case Op::kConst:
      return g.constant(like.value);
    case Op::kNot:
      return bit_not(g, args[0]);
    case Op::kAnd:
      return bit_and(g, args[0], args[1]);
    case Op::kOr:
      return bit_or(g, args[0], args[1]);
    case Op::kXor:
      return bit_xor(g, args[0], args[1]);
    case Op::kAdd:
      return add(g, args[0], args[1]);
    case Op::kSub:
      return sub(g, args[0], args[1]);
    case Op::kMul:
      return mul(g, args[0], args[1]);
    case Op::kSum:
      return sum(g, args);
    case Op::kEq:
      return eq(g, args[0], args[1]);
    case Op::kUlt:
      return ult(g, args[0], args[1]);
    case Op::kMux:
      return mux(g, args[0], args[1], args[2]);
    case Op::kShl:
      return shl(g, args[0], args[1]);
    case Op::kLshr:
      return lshr(g, args[0], args[1]);
    case Op::kSlice:
      return slice(g, args[0], like.lo, like.width);
    case Op::kConcat:
      return concat(g, args);
    case Op::kSext:
      return sext(g, args[0], like.width);
    case Op::kOrr:
      return orr(g, args[0]);
    case Op::kClz:
      return clz(g, args[0]);
    case Op::kFullAdd:
      return g.full_add(args[0], args[1], args[2]);
  }
  BLOCKDOT_CHECK(false, "rebuild({})", to_text(like.op));
  return {};
}

}  // namespace blockdot::rtl_gen::ops
