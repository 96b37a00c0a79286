// The classical MAC: a BF16 accumulator that rounds after every product.
#pragma once

#include "formats/dot_spec.h"
#include "formats/quantize.h"
#include "models/golden.h"

namespace blockdot::models {

/// Fills `result` (m, n and output set, codes sized) where the way is exact for these operands;
/// false, and nothing written, where it is not:
///
///   beats      of one product (lanes = 1), accumulator BF16
///   operands   elements of at most 8 bits, scales E8M0 or none, no Inf among them
///   RNE        significands of both elements have 8 bits together: acc + a b, rounded to binary32,
///              is then never nearer to a halfway point of BF16 than the exact sum is, so rounding
///              it once more is rounding once. (Sum and product of 8 bits each fit 24 bits unless
///              one is below 2^-16 of the other, and then the larger is a BF16 number.)
///   SR         SRFF of r <= 16 bits from galois:32, output BF16, significands of 24 bits together,
///              on a processor that rounds towards zero by instruction: the sum truncated to 24
///              bits has the 16 bits of tail that the draw is added to
///   range      operands from 2^-126 to 2^120, beside zeros too; sums between 2^-110 and 2^110
bool gemm_by_macs(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                  const formats::QuantizedMatrix& b, std::uint64_t seed, int threads,
                  GemmResult& result);

}  // namespace blockdot::models
