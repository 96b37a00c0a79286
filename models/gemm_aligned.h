// The aligned accumulator in vectors: every product cut at the largest exponent of its beat.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/quantize.h"
#include "models/golden.h"

namespace blockdot::models {

/// Fills `result` and its `way`, "aligned"; false, and nothing written, where it is not exact:
///
///   spec       an aligned accumulator whose sum of lanes + 1 cut terms fits 53 bits: fraction bits
///              + 3 + ceil(log2(lanes + 1)) <= 53; a format with mantissa bits, or not RNE
///   operands   elements of at most 8 bits whose values lie within 62 bits, scales E8M0 or none,
///              no Inf among them
///   range      exponents, down to the lowest bit that is kept, within +-900
bool gemm_by_aligned(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                     const formats::QuantizedMatrix& b, const std::vector<std::uint32_t>& states,
                     int threads, GemmResult& result);

}  // namespace blockdot::models
