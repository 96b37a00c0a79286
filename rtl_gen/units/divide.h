// Restoring division: digits of a quotient, one subtraction each, and whether anything is left.
#pragma once

#include <string_view>

#include "rtl_gen/build/fx.h"

namespace blockdot::rtl_gen {

/// n / d of two fields read as fractions of the same top weight: digit i, from the top, weighs
/// 2^-i.
struct Quotient {
  Fx digits;  // unsigned
  Fx rest;    // 1 bit: the quotient goes on below the last digit
};

/// `count` digits of n / d, cut, never rounded. The caller knows that n < 2d as fractions, and
/// d > 0.
Quotient divide(const Fx& n, const Fx& d, int count, std::string_view prefix);

}  // namespace blockdot::rtl_gen
