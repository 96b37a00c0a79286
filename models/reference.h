// The products that a unit's results are compared with: ordinary matrix products of the float32
// operands, before any quantisation.
#pragma once

#include <vector>

#include "formats/quantize.h"

namespace blockdot::models {

/// [a.rows][b.rows] of sum_k a(i, k) * b(j, k): products are exact in double, summed in double in
/// the order of k. The same bits for any number of threads. NaN and Inf as IEEE 754 has them.
/// ConfigError where the lengths differ or threads < 1.
std::vector<double> reference_gemm(const formats::MatrixView& a, const formats::MatrixView& b,
                                   int threads = 1);

/// The same in float32: fma(a, b, sum) in the order of k, what an FP32 unit would give.
std::vector<float> reference_gemm_fp32(const formats::MatrixView& a, const formats::MatrixView& b,
                                       int threads = 1);

}  // namespace blockdot::models
