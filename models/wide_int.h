// Wide signed integers of fixed size, and their rounding to a double "to odd": the tool that lets
// one later rounding (to FP32, BF16...) see the exact value.
#pragma once

#include <bit>
#include <boost/multiprecision/cpp_int.hpp>
#include <cmath>
#include <cstdint>

namespace blockdot::models {

__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 Uint128;
using Int512 = boost::multiprecision::number<boost::multiprecision::cpp_int_backend<
    512, 512, boost::multiprecision::signed_magnitude, boost::multiprecision::unchecked, void>>;

/// Magnitudes stay below 2^kCapacity.
template <typename Wide>
inline constexpr int kCapacity = 0;
template <>
inline constexpr int kCapacity<Int128> = 126;
template <>
inline constexpr int kCapacity<Int512> = 510;

inline int bit_length(Int128 magnitude) {
  auto high = static_cast<std::uint64_t>(static_cast<Uint128>(magnitude) >> 64);
  return high != 0 ? 64 + static_cast<int>(std::bit_width(high))
                   : static_cast<int>(std::bit_width(static_cast<std::uint64_t>(magnitude)));
}
inline int bit_length(const Int512& magnitude) {
  return magnitude.is_zero() ? 0 : static_cast<int>(boost::multiprecision::msb(magnitude)) + 1;
}

inline Int128 widen(Int128 x, Int128*) { return x; }
inline Int512 widen(Int128 x, Int512*) {
  // By halves: x = high * 2^64 + low.
  Int512 high = static_cast<std::int64_t>(x >> 64);
  return (high << 64) + static_cast<std::uint64_t>(x);
}

/// floor(x / 2^n), 0 <= n.
template <typename Wide>
Wide floor_shift(const Wide& x, int n) {
  if (n > kCapacity<Wide>) return x < 0 ? Wide(-1) : Wide(0);
  if (x >= 0) return x >> n;
  Wide below = -(x + 1);  // |x| - 1
  return -((below >> n) + 1);
}

/// x / 2^n, 1 <= n, truncated; the lowest bit of the magnitude is set where bits were lost.
template <typename Wide>
Wide sticky_shift(const Wide& x, int n) {
  if (x == 0) return x;
  Wide magnitude = x < 0 ? Wide(-x) : x;
  Wide kept = n > kCapacity<Wide> ? Wide(0) : Wide(magnitude >> n);
  if (n > kCapacity<Wide> || Wide(kept << n) != magnitude) kept |= 1;
  return x < 0 ? Wide(-kept) : kept;
}

/// 2^exponent, -1022 <= exponent <= 1023, without the library's ldexp in inner loops.
inline double power_of_two(int exponent) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
}

/// x * 2^exponent as a double: exact where it fits, else the neighbour with the odd significand.
/// A rounding to a format of at most 51 bits sees no difference. The result must be in the range of
/// normal doubles.
template <typename Wide>
double odd_double(const Wide& x, int exponent) {
  if (x == 0) return 0;
  Wide magnitude = x < 0 ? Wide(-x) : x;
  int drop = bit_length(magnitude) - 53;
  if (drop > 0) {
    magnitude = sticky_shift(magnitude, drop);
    exponent += drop;
  }
  double value = static_cast<double>(static_cast<std::int64_t>(magnitude)) * power_of_two(exponent);
  return x < 0 ? -value : value;
}

/// round(accumulator + t * 2^exponent) for any `round` of a Wide and its exponent that sees no bit
/// further than half the capacity below the first. The accumulator has at most 25 bits, t at most
/// kCapacity - 30.
template <typename Wide, typename Round>
double round_sum(double accumulator, const Wide& t, int exponent, const Round& round) {
  if (t == 0) return accumulator + 0.0;  // -0 becomes +0
  if (accumulator == 0) return round(t, exponent);
  // accumulator = significand * 2^unit, 25 bits, from its fields (it is a normal double).
  auto bits = std::bit_cast<std::uint64_t>(accumulator);
  auto significand = static_cast<std::int64_t>(((bits & 0xFFFFFFFFFFFFF) | 0x10000000000000) >> 28);
  if (accumulator < 0) significand = -significand;
  int unit = static_cast<int>((bits >> 52) & 0x7FF) - 1023 - 24;

  // Align to the finer unit; where that leaves the capacity, to the bottom of the larger term,
  // which stays even, so that the sticky bit of the other survives the addition.
  Wide sum = Wide(significand);
  if (unit >= exponent) {
    int room = kCapacity<Wide> - 1 - 25;
    int shift = unit - exponent;
    if (shift <= room) return round(Wide((sum << shift) + t), exponent);
    return round(Wide((sum << room) + sticky_shift(t, shift - room)), unit - room);
  }
  int room = kCapacity<Wide> - 1 - bit_length(t < 0 ? Wide(-t) : t);
  int shift = exponent - unit;
  if (shift <= room) return round(Wide((t << shift) + sum), unit);
  return round(Wide((t << room) + sticky_shift(sum, shift - room)), exponent - room);
}

}  // namespace blockdot::models
