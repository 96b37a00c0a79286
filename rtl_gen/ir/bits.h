// A bit vector of any width: what a constant holds, and what goes into and comes out of a graph.
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace blockdot::rtl_gen {

/// Integers of any size: the ranges of the builder.
using Int = boost::multiprecision::number<boost::multiprecision::cpp_int_backend<>,
                                          boost::multiprecision::et_off>;

/// `width` bits in little-endian 64-bit limbs; bits at and above `width` are zero.
struct Bits {
  int width = 0;
  std::vector<std::uint64_t> limbs;

  bool operator==(const Bits&) const = default;
  bool bit(int i) const { return (limbs[static_cast<std::size_t>(i) / 64] >> (i % 64)) & 1; }
};

/// Limbs that hold `width` bits.
constexpr int limb_count(int width) { return (width + 63) / 64; }

/// `value` modulo 2^width.
Bits to_bits(const Int& value, int width);
/// The unsigned value.
Int to_int(const Bits& bits);
/// The two's complement value.
Int to_signed_int(const Bits& bits);
/// Verilog literal, e.g. 4'd9 up to 8 bits, 70'h3ff... above.
std::string verilog_literal(const Bits& bits);

/// Bits of the smallest unsigned field that holds `value` >= 0; 0 needs one.
int unsigned_width(const Int& value);
/// Bits of the smallest field for every integer of [lo, hi]: unsigned when lo >= 0, else two's
/// complement.
int range_width(const Int& lo, const Int& hi);
/// 2^exponent.
Int pow2(int exponent);
/// floor(value / 2^shift); a negative shift multiplies.
Int floor_shift(const Int& value, int shift);

}  // namespace blockdot::rtl_gen
