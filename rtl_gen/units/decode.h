// Decoders: an element or scale code as sign, significand and shift.
#pragma once

#include <string_view>
#include <vector>

#include "formats/block_format.h"
#include "rtl_gen/build/fx.h"

namespace blockdot::rtl_gen {

/// An element: (-1)^sign * significand * 2^shift * 2^weight. A NaN or Inf code has its flag set;
/// where the format has Infs, its significand is 0, else it means nothing.
///
///   minifloat   significand = [ hidden one | mantissa ], shift = max(exponent, 1), or that less
///   one
struct Element {
  Fx sign;         // 1 bit; a constant for unsigned values
  Fx significand;  // unsigned
  Fx shift;        // unsigned
  Fx nan, inf;     // 1 bit; constant 0 where the format has none
  int weight = 0;
  Int max_magnitude;  // largest |value| in units of 2^(weight + shift.lo)
};
Element decode_element(Graph& graph, const formats::ElementFormat& format, const Fx& code,
                       std::string_view name);

/// A two's complement element as a signed integer of weight -frac_bits.
Fx decode_integer(const formats::ElementFormat& format, const Fx& code, std::string_view name);

/// A scale: (-1)^sign * significand * 2^shift * 2^weight. NaN and Inf codes raise `not_finite`; the
/// other fields mean nothing then.
struct Scale {
  Fx sign;         // constant 0 but for code books and what a mean was added to
  Fx significand;  // constant 1 for E8M0 and none
  Fx shift;
  Fx not_finite;
  Fx zero;  // the factor is zero
  int weight = 0;
  int base = 0;  // a minifloat's exponent field, 1 for subnormals, is shift + base
  Int most = 1;  // the largest finite one, in units of 2^weight
};
/// `code` has no bits for ScaleKind::kNone and is not read then.
Scale decode_scale(Graph& graph, const formats::ScaleFormat& format, const Fx& code,
                   std::string_view name);

/// |element| of a code in units of 2^lsb_exponent(format); 0 for NaN and Inf codes. The code of a
/// minifloat or sign and magnitude is without its sign bit.
Int magnitude_of(const formats::ElementFormat& format, std::uint32_t code);
/// table[code] as multiplexers, the code's bits from the top deciding first; equal halves are made
/// once.
Fx lookup(Graph& graph, const Fx& code, const std::vector<Int>& table);

/// Largest |element| as an integer in units of 2^lsb_exponent(format).
Int max_integer(const formats::ElementFormat& format);

}  // namespace blockdot::rtl_gen
