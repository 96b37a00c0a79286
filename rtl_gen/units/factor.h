// Factors: what the scales of both sides multiply a beat or a result by (formats/dot_spec.h,
// "Factors"), and the one rounding of a result times its factor.
#pragma once

#include <string_view>

#include "formats/dot_spec.h"
#include "rtl_gen/units/decode.h"
#include "rtl_gen/units/dot.h"
#include "rtl_gen/units/round.h"

namespace blockdot::rtl_gen {

/// Xa or Xb. A factor without hardware where all scales of the side belong to the result.
Scale build_beat_factor(Graph& graph, const formats::BlockFormat& format, const OperandPorts& ports,
                        std::string_view side);

/// Xa * Xb or Ra * Rb.
Scale product(const Scale& x, const Scale& y, std::string_view name);

/// Ra * Rb = scale / divisor, from the ports of this beat.
struct ResultFactor {
  Scale scale;
  Int divisor = 1;  // odd
};
ResultFactor build_result_factor(Graph& graph, const formats::DotSpec& spec, const OperandPorts& a,
                                 const OperandPorts& b);

/// The same, kept in registers from one valid beat to the next: a result may then be taken while
/// there is no beat (array/open_loop.h).
ResultFactor hold(const ResultFactor& factor, const Fx& valid);

/// magnitude * 2^exponent * factor, rounded once. `magnitude`: unsigned, lsb 0.
Rounded build_round_product(const formats::ElementFormat& format, const formats::Rounding& rounding,
                            const Fx& magnitude, const Fx& exponent, const ResultFactor& factor,
                            const Fx& random, std::string_view prefix);

}  // namespace blockdot::rtl_gen
