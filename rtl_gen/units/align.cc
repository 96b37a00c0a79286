#include "rtl_gen/units/align.h"

#include <fmt/format.h>

#include <algorithm>

#include "rtl_gen/build/adders.h"
#include "rtl_gen/build/ops.h"

namespace blockdot::rtl_gen {

Fx add_shifts(Graph& g, const std::vector<Fx>& shifts, bool gates) {
  if (shifts.empty()) return constant(g, 0);
  if (shifts.size() == 2 && shifts[0].lo == 0 && shifts[0].hi == 2 && shifts[1].lo == 0 &&
      shifts[1].hi == 2) {
    // Never three: a carry from below finds both upper bits zero.
    const Fx x0 = bit(shifts[0], 0), x1 = bit(shifts[0], 1);
    const Fx y0 = bit(shifts[1], 0), y1 = bit(shifts[1], 1);
    Fx sum = cat({and_(x1, y1), or_(xor_(x1, y1), and_(x0, y0)), xor_(x0, y0)});
    sum.hi = 4;
    return sum;
  }
  if (gates && shifts.size() == 2) {
    const Int lo = shifts[0].lo + shifts[1].lo, hi = shifts[0].hi + shifts[1].hi;
    const int width = range_width(lo, hi);
    return {&g,
            add_words(g, AdderStyle::kRipple, ops::zext(g, shifts[0].node, width),
                      ops::zext(g, shifts[1].node, width), std::nullopt, false, ""),
            lo, hi, 0};
  }
  return sum(g, shifts);
}

Fx shift_filled(const Fx& word, const Fx& fill, const Fx& shift, int drop, int width,
                std::string_view label) {
  Graph& g = *word.graph;
  const int full = drop + width;
  NodeId x = word.node;
  const auto filler = [&](int count) { return ops::sext(g, fill.node, count); };
  for (int i = 0; i < shift.width(); ++i) {
    const int now = g.width(x);
    const int step = i < 20 ? std::min(1 << i, full) : full;
    const int next = std::min(now + step, full);
    const NodeId stay =
        next > now ? ops::concat(g, {filler(next - now), x}) : ops::slice(g, x, 0, next);
    const NodeId moved =
        step >= next
            ? filler(next)
            : ops::concat(g, {ops::slice(g, x, 0, std::min(now, next - step)), filler(step)});
    x = ops::mux(g, bit(shift, i).node, moved, stay);
    g.set_name(x, fmt::format("{}_by{}", label, 1 << std::min(i, 20)));
  }
  const int now = g.width(x);
  if (now < full) x = ops::concat(g, {filler(full - now), x});
  return {&g, ops::slice(g, x, drop, width), 0, pow2(width) - 1, 0};
}

Fx shift_split(const Fx& word, const Fx& shift, int drop, int width, std::string_view label) {
  Graph& g = *word.graph;
  int low = 0;
  while ((1 << low) < word.width() - 1) ++low;
  const int full = drop + width;
  const auto extend = [&](NodeId x, int to) {
    return word.is_signed() ? ops::sext(g, x, to) : ops::zext(g, x, to);
  };
  const auto place = [&](NodeId x, int at) {  // of `full` bits, cut
    if (at >= full) return ops::constant(g, 0, full);
    const NodeId kept = ops::slice(g, x, 0, std::min(g.width(x), full - at));
    return extend(ops::pad_low(g, kept, at), full);
  };
  const auto result = [&](NodeId x) {
    const Fx all{&g, ops::slice(g, x, drop, width), 0, pow2(width) - 1, 0};
    return word.is_signed() ? wrap_signed(all, width) : all;
  };
  // With a single bit above, a shifter of all bits is as good.
  const bool split = shift.width() > low;
  const int steps = split ? low : shift.width();
  // Two levels a LUT: the shifts by 1 and 2 first.
  NodeId x = word.node;
  for (int i = 0; i < steps; ++i) {
    const int next = g.width(x) + (1 << i);
    x = ops::mux(g, bit(shift, i).node, extend(ops::pad_low(g, x, 1 << i), next), extend(x, next));
    g.set_name(x, fmt::format("{}_by{}", label, 1 << i));
  }
  if (!split) return result(place(x, 0));
  const Fx high = name(bits(shift, low, shift.width() - low), fmt::format("{}_place", label));
  const auto least = static_cast<int>(shift.lo >> static_cast<unsigned>(low));
  const auto most = static_cast<int>(shift.hi >> static_cast<unsigned>(low));
  NodeId placed = ops::constant(g, 0, full);
  for (int k = least; k <= most; ++k) {
    const Fx here = equal(high, assume(constant(g, k), 0, pow2(high.width()) - 1));
    placed =
        ops::bit_or(g, placed, ops::bit_and(g, place(x, k << low), ops::sext(g, here.node, full)));
  }
  g.set_name(placed, fmt::format("{}_placed", label));
  return result(placed);
}

Buckets plan_buckets(int width, const Fx& shift) {
  // A bit of a bucket costs a gate and its share of an adder; a bit of the shifter a multiplexer.
  constexpr double kShifterBit = 0.4;
  Buckets best;
  double least = 0;
  double shifter = 0;
  for (int low = 0; low <= shift.width(); ++low) {
    Buckets b{low, static_cast<int>(shift.lo >> static_cast<unsigned>(low)),
              static_cast<int>(shift.hi >> static_cast<unsigned>(low))};
    const int word = width + (1 << low) - 1;
    if (low > 0) shifter += word;
    const double cost = b.count() * word + kShifterBit * shifter;
    if (low == 0 || cost < least) {
      least = cost;
      best = b;
    }
  }
  return best;
}

std::vector<Bucketed> shift_to_buckets(const Fx& word, const Fx& fill, const Fx& shift,
                                       const Buckets& buckets, int drop, int width,
                                       std::string_view label) {
  Graph& g = *word.graph;
  const int low = buckets.low, span = word.width() + (1 << low) - 1;
  const int low_bits = std::min(low, shift.width());
  const Fx moved = low == 0 ? word
                            : name(shift_filled(word, fill, bits(shift, 0, low_bits), 0, span,
                                                fmt::format("{}_low", label)),
                                   label);
  std::vector<Bucketed> all;
  for (int k = buckets.first; k <= buckets.last; ++k) {
    const int at = (k << low) - drop;  // where the word's bit 0 goes; below zero it is cut
    const int from = std::max(-at, 0), to = std::min(span, width - at);
    if (from >= to) continue;
    Fx here = constant(g, 1);
    if (buckets.count() > 1) {
      const Fx high = bits(shift, low, shift.width() - low);
      here = name(equal(high, assume(constant(g, k), 0, pow2(high.width()) - 1)),
                  fmt::format("{}_in{}", label, k));
    }
    const Fx kept = bits(moved, from, to - from);
    all.push_back({name(and_(kept, repeat(here, kept.width())), fmt::format("{}_b{}", label, k)),
                   here, at + from});
  }
  return all;
}

}  // namespace blockdot::rtl_gen
