// Bits that constants fix, as the estimates follow them: 0, 1, or kOpenBit for those that are open.
#pragma once

namespace blockdot::rtl_gen {

inline constexpr signed char kOpenBit = 2;

/// The bit's complement where `turn`.
constexpr signed char turned(signed char bit, bool turn) {
  return turn && bit != kOpenBit ? static_cast<signed char>(1 - bit) : bit;
}

/// The carry out of three: of x + ~y + 1 as that of x + y.
constexpr signed char carry_of(signed char x, signed char y, signed char carry) {
  if (x == y || x == carry) return x;
  return y == carry ? y : kOpenBit;
}

}  // namespace blockdot::rtl_gen
