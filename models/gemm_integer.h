// The integer way of the GEMM: elements as integers of 8 or 16 bits, beats as exact 32-bit sums,
// scales that are powers of two.
#pragma once

#include "formats/dot_spec.h"
#include "formats/quantize.h"
#include "models/golden.h"

namespace blockdot::models {

/// Fills `result` (m, n and output set, codes sized) where the way is exact for these operands;
/// false, and nothing written, where it is not:
///
///   elements   of at most 8 bits, finite, in units of their format (and its second level) integers
///              of at most 8 (with VNNI) or 16 bits: MXINT8, E2M1, E2M3, E3M2, BM8, MX9, ternary
///   scales     E8M0 or none: sum * scale is exact
///   FP32       RNE; |sum| <= 2^24, and every product of scales within [2^-149, 2^103]: multiplying
///              is exact, adding is the one rounding of the definition
///   Kulisch    from the lowest bit that a row and a column can set to the highest that their sum
///              can reach, 53 bits: sums in double are exact. The output rounds the exact sum.
bool gemm_by_integers(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                      const formats::QuantizedMatrix& b, int threads, GemmResult& result);

}  // namespace blockdot::models
