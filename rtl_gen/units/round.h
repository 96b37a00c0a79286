// Normalise and round: an exact sign and magnitude to a minifloat code, once.
#pragma once

#include <optional>
#include <string_view>

#include "formats/element_format.h"
#include "formats/rounding.h"
#include "rtl_gen/build/fx.h"

namespace blockdot::rtl_gen {

/// |x| as an unsigned field whose top bit weighs 2^(1 - bias + above), plus a tail below its last
/// bit that is not zero exactly where `sticky` is set.
struct Magnitude {
  Fx magnitude;
  Fx above;   // unsigned but for raise_to_normal: the top bit's exponent over the format's smallest
              // normal one
  Fx sticky;  // 1 bit
  /// Stochastic rounding: shifted left by more than this many places it has no tail, so that the
  /// carries of all these places can be had before the shift is known (SrPlace::kEager). Negative:
  /// the one carry comes after the shift.
  int eager_places = -1;
  /// Above + 1, where the top bit is known to be set unless above is 0 or less: no zeros to skip.
  std::optional<Fx> field = std::nullopt;
};

struct Rounded {
  Fx code;      // magnitude code, exp_bits + man_bits bits; the largest finite one on overflow
  Fx overflow;  // |x| rounds beyond the largest finite value
};

/// Bits below the last kept one that the rounding reads from `magnitude`; the rest is `sticky`.
int tail_bits(const formats::Rounding& rounding);

/// Smallest normal exponent, 1 - bias.
int smallest_normal(const formats::ElementFormat& format);

/// The same value with its top bit at or above the smallest normal exponent, whatever x.above is:
/// a magnitude below moves right, as far as the rounding can see it.
Magnitude raise_to_normal(const formats::ElementFormat& format, const formats::Rounding& rounding,
                          const Magnitude& x, std::string_view prefix);

/// Whether a stochastic rounding goes up: the carry of its tail_bits, below which `sticky` tells of
/// more, and the random bits. `label`: of the sum.
Fx stochastic_carry(const formats::Rounding& rounding, const Fx& tail, const Fx& sticky,
                    const Fx& random, std::string_view label);

/// `random`: rounding.random_bits bits when stochastic, else not read.
Rounded build_round(const formats::ElementFormat& format, const formats::Rounding& rounding,
                    const Magnitude& x, const Fx& random, std::string_view prefix);

/// The same for a fixed-point magnitude: keeps the bits that the rounding can read, ORs the others
/// into the sticky bit and into the overflow.
Rounded build_round_fixed(const formats::ElementFormat& format, const formats::Rounding& rounding,
                          const Fx& magnitude, const Fx& random, std::string_view prefix);

/// Code with sign: NaN where `nan`, Inf where `inf`, else the rounded code. Overflow and Inf become
/// Inf, or NaN where the format has no Inf, or the largest finite value where it has neither; under
/// RTZ an overflow stays finite.
Fx build_encode(const formats::ElementFormat& format, const formats::Rounding& rounding,
                const Fx& sign, const Rounded& rounded, const Fx& nan, const Fx& inf,
                const Fx& inf_sign, std::string_view prefix);

}  // namespace blockdot::rtl_gen
