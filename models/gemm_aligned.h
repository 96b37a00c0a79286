// The aligned accumulator in vectors: every product cut at the largest exponent of its beat.
#pragma once

#include "formats/dot_spec.h"
#include "formats/quantize.h"
#include "models/gemm_draws.h"
#include "models/golden.h"

namespace blockdot::models {

/// Fills `result` and its `way`; false, and nothing written, for a spec that this way does not
/// take.
///
///   "aligned:narrow"  products in binary32 and cut sums in int32: elements and scales of a pair
///                     have 24 significant bits together, exponents of elements lie within 2^+-48,
///                     and a beat's sum stays below 2^30
///   "aligned:wide"    both in binary64: 53 bits, 2^+-160, 2^53
///
/// A beat's sum stays below 2^(W + 2 + minifloat scales + ceil(log2(lanes + 1))), W the fraction
/// bits. The accumulator is a float with mantissa bits, or not RNE, whose numbers lie within
/// 2^+-400. Results of rows with an Inf go to a ResultSolver; where that is more than a quarter of
/// all, the way is refused.
bool gemm_by_aligned(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                     const formats::QuantizedMatrix& b, const RandomStreams& streams, int threads,
                     GemmResult& result);

}  // namespace blockdot::models
