// The double way of the GEMM: elements as integers, beats as exact sums in binary64.
#pragma once

#include "formats/dot_spec.h"
#include "formats/quantize.h"
#include "models/golden.h"

namespace blockdot::models {

/// Fills `result` (m, n and output set, codes sized) where the way is exact for these operands;
/// false, and nothing written, where it is not:
///
///   operands   elements of at most 8 bits (E4M3, E5M2, MX9 and mixed pairs), scales E8M0 or none,
///              no Inf among them
///   beats      from the lowest bit that a row's and a column's chunk set to the highest that the
///              sum can reach, 53 bits; beyond, the columns are split at 2^16 and each half is held
///              to that
///   FP32       RNE; everything is a multiple of 2^-149. acc + T in double, then in float: rounding
///              twice is rounding once but where the double is a halfway point of binary32, and
///              there the rest of the double sum decides
///   Kulisch    53 bits over all beats: sums in double are exact; beyond, a second double takes the
///              rests, as long as their own bits fit 53. The output rounds the exact sum
bool gemm_by_doubles(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                     const formats::QuantizedMatrix& b, int threads, GemmResult& result);

}  // namespace blockdot::models
