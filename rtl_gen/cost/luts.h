// LUTs of a lowered graph on an FPGA with six-input LUTs and carry chains: a small technology
// mapper that counts instead of drawing. Bits of logic gather what they read as long as it is at
// most six signals; an adder's LUT takes one ready signal and up to five more.
#pragma once

#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

/// LUT1..LUT6, carries free, without wide multiplexers and DSP blocks.
double estimate_luts(const Graph& lowered);

}  // namespace blockdot::rtl_gen
