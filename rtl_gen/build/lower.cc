#include "rtl_gen/build/lower.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"
#include "rtl_gen/build/ops.h"

namespace blockdot::rtl_gen {
namespace {

struct ZeroCount {
  NodeId all_zero;
  NodeId count;  // k bits for 2^k bits of input; all ones when all_zero
};

// Leading zeros of 2^k bits, k >= 1: the upper half decides the top bit of the count. `x` is at bit
// `lo` of what is counted, for the names.
ZeroCount count_zeros(Graph& g, NodeId x, int lo, const std::string& name) {
  const int width = g.width(x), half = width / 2;
  const auto named = [&](NodeId node, const char* what) {
    const std::string place = fmt::format("{}_{}_{}", name, lo + width - 1, std::max(lo, 0));
    if (!ops::is_const(g, node)) g.set_name(node, place + what);
    return node;
  };
  if (width == 2) {
    const NodeId high = ops::slice(g, x, 1, 1);
    return {named(ops::bit_not(g, ops::orr(g, x)), "_none"), ops::bit_not(g, high)};
  }
  const ZeroCount high = count_zeros(g, ops::slice(g, x, half, half), lo + half, name);
  const ZeroCount low = count_zeros(g, ops::slice(g, x, 0, half), lo, name);
  const NodeId rest = named(ops::mux(g, high.all_zero, low.count, high.count), "_low");
  return {named(ops::bit_and(g, high.all_zero, low.all_zero), "_none"),
          ops::concat(g, {high.all_zero, rest})};
}

NodeId lower_clz(Graph& g, NodeId x, const std::string& name) {
  const int width = g.width(x);
  const int result = unsigned_width(width);
  int full = 2;
  while (full < width) full *= 2;
  if (full > width) {
    // Ones below make x == 0 count to exactly `width`.
    const int pad = full - width;
    const NodeId padded = ops::concat(g, {x, ops::constant(g, pow2(pad) - 1, pad)});
    return ops::zext(g,
                     ops::slice(g, count_zeros(g, padded, -pad, name).count, 0,
                                std::min(result, unsigned_width(full - 1))),
                     result);
  }
  const ZeroCount z = count_zeros(g, x, 0, name);
  const NodeId count = ops::mux(g, z.all_zero, ops::constant(g, 0, g.width(z.count)), z.count);
  return ops::concat(g, {z.all_zero, count});
}

}  // namespace

Graph lower(const Graph& from, const SumOptions& options) {
  from.verify();
  const std::vector<bool> live = from.live();
  Graph to;
  std::vector<NodeId> map(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!live[i]) continue;
    const Node& n = from.node(NodeId{static_cast<std::uint32_t>(i)});
    std::vector<NodeId> args;
    for (NodeId a : n.args) args.push_back(map[index(a)]);
    const std::string name = n.name.empty() ? std::string(to_text(n.op)) : n.name;
    to.section(n.section);
    if (n.op == Op::kInput) {
      map[i] = to.input(n.name, n.width);
    } else if (n.op == Op::kState) {
      map[i] = to.state(n.name, n.width,
                        n.value.width > 0 ? std::optional<Bits>(n.value) : std::nullopt);
      to.set_parameter(map[i], n.parameter);
    } else if (n.op == Op::kSum) {
      BitHeap heap(to, n.width, name);
      for (NodeId a : args) heap.add(a);
      map[i] = heap.sum(options);
    } else if (n.op == Op::kClz) {
      map[i] = lower_clz(to, args[0], name);
    } else {
      map[i] = ops::rebuild(to, n, args);
    }
    if (!ops::is_const(to, map[i])) to.describe_as(map[i], n);
    if (n.control) to.set_control(map[i]);
  }
  for (const Graph::State& s : from.states())
    if (live[index(s.node)]) to.set_next(map[index(s.node)], map[index(s.next)]);
  for (const Graph::Output& o : from.outputs()) to.output(o.name, map[index(o.node)]);
  to.verify();
  return to;
}

}  // namespace blockdot::rtl_gen
