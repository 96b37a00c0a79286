// Accumulators: fixed point (Kulisch, whole or a window) and floating point, rounding each beat
// (of the exact sum, or of terms cut below the largest one).
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
  Fx sign, magnitude;  // of the value; +0 for zero
  int width = 0;       // bits of the accumulator, without carries
  int lsb = 0;         // weight of its bit 0
};
struct FloatTotal {
  Fx sign, code;  // code: magnitude code of the accumulator's format, finite
  Fx held;        // it overflowed to Inf (or NaN where the format has no Inf) of this sign
};

/// `structure.segment` > 0: in segments with pending carries; a window must wrap then.
///
/// Exact: acc <- acc + term, wide enough for `term.limit`.
FixedTotal build_kulisch(Graph& graph, const BeatValue& term, const Framing& framing,
                         const Structure& structure);

/// acc <- fit(acc + floor(term)), in the spec's window.
FixedTotal build_kulisch_window(Graph& graph, const formats::Accumulation& spec,
                                const BeatValue& term, const Framing& framing,
                                const Structure& structure);

/// acc <- round(acc + term), one rounding of the exact sum. `random`: this beat's draw. `rounding`:
/// lazy or eager, where it is stochastic.
FloatTotal build_float_accumulator(Graph& graph, const formats::Accumulation& spec,
                                   const BeatValue& term, const Framing& framing, const Fx& random,
                                   SrPlace rounding = SrPlace::kLazy);

/// acc <- round(sum of the products and acc, each cut to the spec's fraction bits below the largest
/// exponent of those that are not zero).
FloatTotal build_aligned_accumulator(Graph& graph, const formats::Accumulation& spec,
                                     const BeatTerms& terms, const Framing& framing,
                                     const Fx& random);

/// NaN and Inf of all beats since `first`, this one, `beat`, included.
Flags build_flags(Graph& graph, const Flags& beat, const Framing& framing);

/// Range of the exact accumulator, in units of 2^lsb.
SumRange kulisch_range(const BeatValue& term);

}  // namespace blockdot::rtl_gen
