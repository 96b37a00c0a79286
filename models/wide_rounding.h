// A number of any width on its way into a float format, as a double.
#pragma once

#include <algorithm>
#include <cstdint>

#include "formats/element_format.h"
#include "formats/rounding.h"
#include "models/wide_int.h"

namespace blockdot::models {

/// No format comes near 2^+-this: exponents of 8 bits, biases of -128 to 256, 23 bits of mantissa.
inline constexpr int kBeyondFormats = 400;

/// A rounding to `format` sees no difference between a value and its double rounded to odd.
inline bool odd_suffices(const formats::ElementFormat& format, const formats::Rounding& rounding) {
  return format.man_bits + 1 + rounding.random_bits + 3 <= 53;
}

/// Makes of x * 2^exponent the double whose code, by the same rounding and random bits, is that of
/// the number itself: rounded to odd where 53 bits tell, else (stochastic, with more than 26 random
/// bits into binary32) a value of the format already.
class WideRounding {
 public:
  WideRounding(const formats::ElementFormat& format, const formats::Rounding& rounding)
      : rounding_(rounding),
        odd_(odd_suffices(format, rounding)),
        man_bits_(format.man_bits),
        least_(lsb_exponent(format)) {}

  template <typename Wide>
  double operator()(const Wide& x, int exponent, std::uint32_t random) const {
    return odd_ ? odd_double(x, exponent) : rounded(x, exponent, random);
  }

 private:
  template <typename Wide>
  double rounded(const Wide& x, int exponent, std::uint32_t random) const {
    if (x == 0) return 0;
    Wide magnitude = x < 0 ? Wide(-x) : x;
    const int place = std::max(bit_length(magnitude) - 1 + exponent - man_bits_, least_);
    if (place <= exponent) return odd_double(x, exponent);  // a value of the format
    // The tail in at most kTail bits, far more than are random; the last stands for what is below.
    constexpr int kTail = 60;
    int tail_bits = place - exponent;
    if (tail_bits > kTail) {
      magnitude = sticky_shift(magnitude, tail_bits - kTail);
      tail_bits = kTail;
    }
    const Wide kept = magnitude >> tail_bits;
    const std::uint64_t rounded =
        round_tail(static_cast<std::uint64_t>(kept),
                   static_cast<std::uint64_t>(Wide(magnitude - (kept << tail_bits))), tail_bits,
                   rounding_, random);
    // Far below the format, where no random bits round up: a zero would be an exact one.
    const double value = rounded == 0 ? power_of_two(-kBeyondFormats)
                                      : static_cast<double>(rounded) * power_of_two(place);
    return x < 0 ? -value : value;
  }

  formats::Rounding rounding_;
  bool odd_;
  int man_bits_, least_;
};

}  // namespace blockdot::models
