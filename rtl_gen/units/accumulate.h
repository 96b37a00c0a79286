// Accumulators: fixed point (Kulisch, whole or a window) and floating point, rounding each beat.
#pragma once

#include "formats/dot_spec.h"
#include "rtl_gen/build/fx.h"
#include "rtl_gen/units/dot.h"
#include "rtl_gen/units/round.h"
#include "rtl_gen/units/structure.h"

namespace blockdot::rtl_gen {

struct Framing {
  Fx valid, first, last;  // the ports of this beat
};

/// What the accumulator holds after this beat.
struct FixedTotal {
  Fx value;  // signed fixed point
};
struct FloatTotal {
  Fx sign, code;  // code: magnitude code of the accumulator's format, finite
  Fx held;        // it overflowed to Inf (or NaN where the format has no Inf) of this sign
};

/// Exact: acc <- acc + term, wide enough for `max_k` products of any two finite scales.
FixedTotal build_kulisch(Graph& graph, const formats::DotSpec& spec, const BeatValue& term,
                         const Framing& framing);

/// acc <- fit(acc + floor(term)), in the spec's window.
FixedTotal build_kulisch_window(Graph& graph, const formats::DotSpec& spec, const BeatValue& term,
                                const Framing& framing);

/// acc <- round(acc + term), one rounding of the exact sum. `random`: this beat's draw. `rounding`:
/// lazy or eager, where it is stochastic.
FloatTotal build_float_accumulator(Graph& graph, const formats::DotSpec& spec,
                                   const BeatValue& term, const Framing& framing, const Fx& random,
                                   SrPlace rounding = SrPlace::kLazy);

/// NaN and Inf of all beats since `first`, this one included.
struct Flags {
  Fx nan, plus_inf, minus_inf;
};
Flags build_flags(Graph& graph, const BeatValue& term, const Framing& framing);

/// Range of the exact accumulator, in units of 2^lsb.
SumRange kulisch_range(const formats::DotSpec& spec, const BeatValue& term);

}  // namespace blockdot::rtl_gen
