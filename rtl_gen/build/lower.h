// Lowering: what the scheduler and the emitter do not know is rewritten into what they do.
// `sum` becomes counters and an adder, `clz` a tree; the rest is copied, simplified, and what
// nobody reads is dropped. The result computes the same function (the tests prove it).
#pragma once

#include "rtl_gen/build/bit_heap.h"
#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

Graph lower(const Graph& graph, const SumOptions& options);

}  // namespace blockdot::rtl_gen
