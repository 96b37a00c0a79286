// The vector way of the GEMM: packed panels, exact beats, and for every tile the cheapest step of
// the accumulator that its data allow.
#pragma once

#include "formats/dot_spec.h"
#include "formats/quantize.h"
#include "models/gemm_draws.h"
#include "models/golden.h"

namespace blockdot::models {

/// Fills `result` (m, n and output set, codes sized) and its `way`; false, and nothing written, for
/// a spec that this way does not take.
///
///   sums       S of a beat: int32 from bytes (elements within +-128, on a processor that
///              multiplies bytes) or halves (within 2^15), where the beat's sum stays below 2^30;
///              on such a processor also from two digits of halves (elements within 2^18, scales
///              2^e, eight lanes or more), put together in binary64; else binary64
///   float      FP32 RNE by bytes or halves, scales 2^e, |S| <= 2^24, products of scales within
///              [2^-126, 2^103]: one binary32 fma a beat
///   single     by the same bounds, sums below 2^100, on a processor that rounds by instruction: a
///              float of at most 21 bits of mantissa in binary32 (vector_kernels.h,
///              has_single_step)
///   accumulators  Kulisch; floats but those without mantissa under RNE, windows of up to 50 bits,
///              sticky ones too, each with every rounding. In binary64 by these bounds of a tile's
///              data, bits counted from the lowest that is set to the highest that can be reached:
///     exact    acc + T within 53 bits over all beats (Kulisch: the same), with the last place that
///              a draw may add to every step of a stochastic accumulator
///     odd      T within 53 bits: the sum is rounded to odd
///     checked  any: S with its error bound. Each rounding is taken at both ends of the bound; a
///              result where they differ is done again by a ResultSolver. A Kulisch sum so only at
///              its one rounding
///
/// A tile with a side or a product beyond 2^+-400, and the results of rows with an Inf, go to a
/// ResultSolver too; where that is more than a quarter of all results, the way is refused.
bool gemm_by_vectors(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                     const formats::QuantizedMatrix& b, const RandomStreams& streams, int threads,
                     GemmResult& result);

}  // namespace blockdot::models
