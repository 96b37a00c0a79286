// Strict-width operations with local simplification: constants fold, slices reach through
// concatenations, neutral elements vanish. What remains is what the Verilog shows.
#pragma once

#include <vector>

#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen::ops {

NodeId constant(Graph& g, const Int& value, int width);
NodeId bit_not(Graph& g, NodeId a);
NodeId bit_and(Graph& g, NodeId a, NodeId b);
NodeId bit_or(Graph& g, NodeId a, NodeId b);
NodeId bit_xor(Graph& g, NodeId a, NodeId b);
NodeId add(Graph& g, NodeId a, NodeId b);
NodeId sub(Graph& g, NodeId a, NodeId b);
NodeId mul(Graph& g, NodeId a, NodeId b);
/// Two terms are a plain addition, unless they are a `heap` that is compressed as wanted.
NodeId sum(Graph& g, std::vector<NodeId> terms, bool heap = false);
NodeId eq(Graph& g, NodeId a, NodeId b);
NodeId ult(Graph& g, NodeId a, NodeId b);
NodeId mux(Graph& g, NodeId select, NodeId if_one, NodeId if_zero);
NodeId shl(Graph& g, NodeId a, NodeId amount);
NodeId lshr(Graph& g, NodeId a, NodeId amount);
NodeId slice(Graph& g, NodeId a, int lo, int width);
/// The first part on top.
NodeId concat(Graph& g, const std::vector<NodeId>& parts);
NodeId sext(Graph& g, NodeId a, int width);
NodeId zext(Graph& g, NodeId a, int width);
/// `a` under `zeros` zero bits.
NodeId pad_low(Graph& g, NodeId a, int zeros);
NodeId orr(Graph& g, NodeId a);
NodeId clz(Graph& g, NodeId a);

/// Per bit, sum and carry of three: one kFullAdd node where `cell`, else gates. Where one of the
/// three is constant zero a kFullAdd node needs `half_cell`.
struct FullAdd {
  NodeId sum, carry;
};
FullAdd full_add(Graph& g, NodeId a, NodeId b, NodeId c, bool cell, bool half_cell = false);

bool is_const(const Graph& g, NodeId a);
/// A constant, all bits zero / one.
bool is_zero(const Graph& g, NodeId a);
bool is_ones(const Graph& g, NodeId a);

/// Any operation by its code, as the functions above.
NodeId rebuild(Graph& g, const Node& like, const std::vector<NodeId>& args);

}  // namespace blockdot::rtl_gen::ops
