// The random stream of stochastic rounding (formats/lfsr.h) as a register.
#pragma once

#include "rtl_gen/build/fx.h"

namespace blockdot::rtl_gen {

/// Declares seed_load_i and seed_i and the register; returns the draw of `bits` bits for this beat.
/// The register moves on by `bits` steps where `draw` is set. A seed loads after the beat that it
/// comes with; a zero seed is read as 1.
Fx build_lfsr(Graph& graph, int bits, const Fx& draw);

}  // namespace blockdot::rtl_gen
