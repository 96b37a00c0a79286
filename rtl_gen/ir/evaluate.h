// One operation on values: the definition of each Op, in integers. Folds constants, and is what the
// compiled interpreter is tested against.
#pragma once

#include <span>

#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

/// The value of `node` (no input, const or state) for these argument values.
Bits evaluate(const Node& node, std::span<const Bits> args);

}  // namespace blockdot::rtl_gen
