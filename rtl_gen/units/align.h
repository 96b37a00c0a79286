// Alignment: a product moved left by the sum of its exponents.
#pragma once

#include <string_view>
#include <vector>

#include "rtl_gen/build/fx.h"

namespace blockdot::rtl_gen {

/// The sum of the shifts of both sides of a lane. `gates`: no adder, for LUTs that take all its
/// inputs.
Fx add_shifts(Graph& graph, const std::vector<Fx>& shifts, bool gates);

/// `word` shifted left by `shift`, where `fill` (1 bit) enters from below and stands above: with
/// word = value ^ fill this is (value << shift) ^ fill. Bits [drop, drop + width) of it.
Fx shift_filled(const Fx& word, const Fx& fill, const Fx& shift, int drop, int width,
                std::string_view name);

/// An unsigned word shifted left in two steps: by the low bits of the sum, so that the result
/// spans less than two steps of the high bits; then to the places that the high bits name, where
/// every bit has one or two sources. Bits [drop, drop + width).
Fx shift_split(const Fx& word, const Fx& shift, int drop, int width, std::string_view name);

/// Buckets of an unsigned word of `width` bits that is shifted left by shift.lo..shift.hi: bucket
/// k, first <= k <= last, holds the shifts k * 2^low .. (k+1) * 2^low - 1 as a word of width +
/// 2^low - 1 bits at 2^(k * 2^low).
struct Buckets {
  int low = 0, first = 0, last = 0;
  int count() const { return last - first + 1; }
};
/// The `low` of the fewest gates: few buckets make wide words, many make many columns.
Buckets plan_buckets(int width, const Fx& shift);

/// `word` (with `fill` as in shift_filled) in the bucket of its shift: bit i of the sum is the
/// lowest bit of the result's `word`, which is zero where `here` is not set.
struct Bucketed {
  Fx word;  // unsigned
  Fx here;  // 1 bit
  int at;   // weight of bit 0 in the sum
};
/// Bits [drop, drop + width) of the shifted word are kept; the others are zero for every shift.
std::vector<Bucketed> shift_to_buckets(const Fx& word, const Fx& fill, const Fx& shift,
                                       const Buckets& buckets, int drop, int width,
                                       std::string_view name);

}  // namespace blockdot::rtl_gen
