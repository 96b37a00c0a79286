#include "rtl_gen/units/accumulate.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "formats/error.h"
#include "rtl_gen/build/adders.h"

namespace blockdot::rtl_gen {

using formats::Accumulation;
using formats::ElementFormat;

namespace {

Fx continues(const Fx& start) { return name(not_(start), "continues"); }

// What the loop adds to: zero on a first beat. `start` = valid and first.
Fx base_of(const Fx& state, const Fx& start) {
  return mux(start, constant(*state.graph, 0, state.lsb), state);
}

// floor(significand * 2^shift / 2^lsb). Where the shift would leave less than zero bits it stops at
// all of them, which floors to 0 or -1; where it would exceed 2^(keep) it stops there, which is
// beyond every window of `keep` bits (and zero modulo 2^keep).
struct Placed {
  Fx value;
  Fx lost;  // some bit below 2^lsb is not zero
};
Placed place(const Fx& significand, const Fx& shift, int lsb, int keep) {
  Graph& g = *significand.graph;
  const Fx s = scale(significand, -significand.lsb);
  const int offset = significand.lsb - lsb;  // the left shift when `shift` is zero
  const int down = std::clamp(-offset, 0, s.width());
  Fx amount = add(shift, constant(g, offset + down));
  if (amount.lo < 0)
    amount = mux(sign(amount), constant(g, 0), assume(amount, 0, std::max(Int(0), amount.hi)));
  const Int most = keep + down;
  if (amount.hi > most) {
    if (amount.lo >= most) {
      amount = constant(g, most);
    } else {
      const Fx far = name(less(constant(g, most), amount), "far");
      const Fx clamped = mux(far, constant(g, most), amount);
      amount = assume(clamped, std::min(amount.lo, most), most);
    }
  }
  amount = name(amount, "window_shift");
  // In the unit 2^(lsb - down); floor_to drops what lies below the window.
  const Fx whole = extend_lsb(name(shl(s, amount), "placed"), 0);
  return {scale(floor_to(whole, down), lsb - down),
          down == 0 ? constant(g, 0) : nonzero(bits(whole, 0, down))};
}

// The nearest two's complement number of `width` bits: beyond them is what has a bit there that is
// not its sign.
Fx saturate(const Fx& x, int width, const char* what) {
  const Int lo = -pow2(width - 1), hi = pow2(width - 1) - 1;
  if (x.lo >= lo && x.hi <= hi) return x;
  Graph& g = *x.graph;
  const Fx negative = sign(x);
  const int above = x.width() - (x.is_signed() ? width : width - 1);
  const Fx out = name(nonzero(xor_(bits(x, width - 1, above), repeat(negative, above))),
                      fmt::format("{}_out", what));
  const Fx bound = mux(negative, constant(g, lo, x.lsb), constant(g, hi, x.lsb));
  return name(mux(out, bound, assume(x, lo, hi)), what);
}

// Whether a beat of this result lost anything.
Fx sticky_bit(Graph& g, const Fx& lost, const Framing& framing) {
  if (lost.hi == 0) return lost;
  const Fx start = and_(framing.valid, framing.first);
  const Fx held = state(g, "lost", 0, 1);
  Fx next = name(or_(and_(held, continues(start)), and_(lost, framing.valid)), "lost_d");
  set_next(held, next);
  return next;
}

// The finish of an accumulator that is one word.
FixedTotal total_of(const Fx& value, int width, int lsb) {
  value.graph->section("normalise and round");
  return {sign(value), name(magnitude(value), "out_mag"), width, lsb};
}

// ---- The accumulator in segments ----
//
// The register is cut into segments; the carry out of each is kept beside it and enters the next
// one a beat later. All is modulo 2^width, so the addend's sign is nothing but bits, and a carry
// is one bit: two words of a segment and a carry stay below twice its range. The loop is one
// segment long, whatever the width.
//
//   acc = sum_i (segment_i + carry_i) 2^(segment i's place)  mod 2^width

// The two's complement word after the last beat, segment by segment, the lowest first: pending
// carries are added, then a prefix adder of one bit a segment finds the carries that ripple.
std::vector<Fx> resolve_carries(Graph& g, const std::vector<Fx>& segments,
                                const std::vector<Fx>& carries) {
  g.section("resolve the carries");
  std::vector<Fx> low, generate, either;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const Fx raised = add(segments[i], carries[i]);
    const int width = segments[i].width();
    low.push_back(name(bits(raised, 0, width), fmt::format("raised{}", i)));
    const Fx out = raised.width() > width ? bit(raised, width) : constant(g, 0);
    generate.insert(generate.begin(), out);
    either.insert(either.begin(), or_(out, is_zero(not_(low.back()))));
  }
  // In generate + either the carry out of bit i is generate_i | either_i & the carry into it.
  const Fx x = name(cat(generate), "carry_out"), y = name(cat(either), "carry_through");
  const NodeId total =
      add_words(g, AdderStyle::kSklansky, x.node, y.node, std::nullopt, false, "ripple");
  const Fx rippled = name(xor_(xor_(x, y), {&g, total, 0, pow2(x.width()) - 1, 0}), "rippled");
  std::vector<Fx> resolved;
  for (std::size_t i = 0; i < low.size(); ++i)
    resolved.push_back(name(bits(add(low[i], bit(rippled, static_cast<int>(i))), 0, low[i].width()),
                            fmt::format("resolved{}", i)));
  return resolved;
}

// |x| of a two's complement word in segments: ~x + 1 where it is negative. The 1 reaches a segment
// where all below are zero.
Fx segmented_magnitude(const std::vector<Fx>& segments, const Fx& negative) {
  const std::size_t n = segments.size();
  // zeros[i]: segments 0..i are zero, by a prefix tree.
  std::vector<Fx> zeros;
  for (const Fx& s : segments) zeros.push_back(is_zero(s));
  for (std::size_t step = 1; step < n; step *= 2) {
    const std::vector<Fx> before = zeros;
    for (std::size_t i = step; i < n; ++i) zeros[i] = and_(before[i], before[i - step]);
  }
  std::vector<Fx> parts;
  for (std::size_t i = 0; i < n; ++i) {
    const Fx enters = i == 0 ? negative : and_(negative, zeros[i - 1]);
    const Fx turned = xor_(segments[i], repeat(negative, segments[i].width()));
    parts.insert(parts.begin(),
                 name(bits(add(turned, enters), 0, segments[i].width()), fmt::format("mag{}", i)));
  }
  return name(cat(parts), "out_mag");
}

// acc <- acc + addend modulo 2^width, in segments of `segment` bits. `sticky`: a bit below the
// last, or none.
FixedTotal accumulate_segments(Graph& g, const Fx& addend, const Fx& start, int width, int segment,
                               const std::optional<Fx>& sticky) {
  g.section("accumulate");
  const Fx word = widen(addend, -pow2(width - 1), pow2(width - 1) - 1);
  std::vector<Fx> segments, carries;
  Fx carry = constant(g, 0);
  for (int lo = 0, i = 0; lo < width; lo += segment, ++i) {
    const int part = std::min(segment, width - lo);
    const Fx acc = state(g, fmt::format("acc{}", i), 0, pow2(part) - 1);
    const Fx base = and_(acc, repeat(continues(start), part));
    Fx pending = constant(g, 0), next_carry = constant(g, 0);
    if (i > 0) {
      const Fx held = state(g, fmt::format("carry{}", i), 0, 1);
      pending = and_(held, continues(start));
      next_carry = carry;
      set_next(held, carry);
    }
    const Fx total = name(sum(g, {base, bits(word, lo, part), pending}), fmt::format("sum{}", i));
    const Fx next = name(bits(total, 0, part), fmt::format("acc{}_d", i));
    set_next(acc, next);
    segments.push_back(next);
    carries.push_back(next_carry);
    carry = name(bit(total, part), fmt::format("carry{}_d", i + 1));
  }
  std::vector<Fx> resolved = resolve_carries(g, segments, carries);
  const Fx negative = name(bit(resolved.back(), resolved.back().width() - 1), "out_neg");
  if (sticky) resolved.insert(resolved.begin(), *sticky);
  g.section("normalise and round");
  return {negative, scale(segmented_magnitude(resolved, negative), addend.lsb - (sticky ? 1 : 0)),
          width, addend.lsb};
}

}  // namespace

SumRange kulisch_range(const BeatValue& term) {
  // What every term is shifted by at least (a minifloat scale has no exponent below 1) is no bit.
  const int least = static_cast<int>(term.shift.lo);
  return {{floor_shift(term.limit.lo, least), floor_shift(term.limit.hi, least)},
          term.significand.lsb + least};
}

FixedTotal build_kulisch(Graph& g, const BeatValue& term, const Framing& framing,
                         const Structure& structure) {
  const SumRange total = kulisch_range(term);
  g.section("shift by the scales");
  // Codes of NaN scales may shift further than any number; what they lose is a NaN anyway.
  Fx placed = shl(term.significand, term.shift);
  const int width = range_width(std::min(total.range.lo, Int(-1)), total.range.hi);
  if (placed.width() > width) placed = wrap_signed(placed, width);
  const Fx zero = constant(g, 0, total.lsb);
  const Fx addend = name(mux(framing.valid, placed, zero), "addend");
  const Fx start = name(and_(framing.valid, framing.first), "start");
  if (structure.segment > 0)
    return accumulate_segments(g, addend, start, width, structure.segment, std::nullopt);
  g.section("accumulate");
  const Fx acc = state(g, "acc", -pow2(width - 1), pow2(width - 1) - 1, total.lsb);
  // In range by the bound on the number of products.
  const Fx next = name(wrap_signed(add(base_of(acc, start), addend), width), "acc_d");
  set_next(acc, next);
  return total_of(next, width, total.lsb);
}

FixedTotal build_kulisch_window(Graph& g, const Accumulation& spec, const BeatValue& term,
                                const Framing& framing, const Structure& structure) {
  const formats::FixedFormat& window = spec.accumulator.window;
  const int width = window.width();
  g.section("window");
  // Two bits above the window: beyond them any accumulator value saturates.
  const int keep = width + 2;
  const Placed entry = place(term.significand, term.shift, window.lsb, keep);
  Fx placed = entry.value;
  const Int top = pow2(width - 1) - 1, bottom = -pow2(width - 1);
  if (window.saturate)
    placed = saturate(placed, keep, "entry");
  else if (placed.width() > width)
    placed = wrap_signed(placed, width);
  const Fx addend = name(mux(framing.valid, placed, constant(g, 0, window.lsb)), "addend");
  const Fx start = name(and_(framing.valid, framing.first), "start");
  std::optional<Fx> sticky;
  if (window.sticky) sticky = sticky_bit(g, entry.lost, framing);
  if (structure.segment > 0) {
    BLOCKDOT_CHECK(!window.saturate, "segments do not saturate");
    return accumulate_segments(g, addend, start, width, structure.segment, sticky);
  }
  g.section("accumulate");
  const Fx acc = state(g, "acc", bottom, top, window.lsb);
  const Fx total = name(add(base_of(acc, start), addend), "acc_sum");
  Fx next =
      window.saturate ? saturate(total, width, "acc_d") : name(wrap_signed(total, width), "acc_d");
  next = widen(next, bottom, top);
  set_next(acc, next);
  const Fx whole =
      sticky ? scale(assume(cat({next, *sticky}), bottom * 2, top * 2 + 1), window.lsb - 1) : next;
  return total_of(whole, width, window.lsb);
}

namespace {

// The register of a float accumulator, and what the loop adds to: zero on a first beat.
struct FloatState {
  ElementFormat format;
  Fx start;               // valid and first
  Fx code, sign, held;    // registers; held: an overflow to Inf or NaN of this sign
  bool can_hold = false;  // else `held` is constant 0
  Fx base_code, base_sign;
  Fx base_sig, base_exp;  // with the hidden one; biased, 1 for subnormals
};

FloatState open_state(Graph& g, const Accumulation& spec, const Fx& start) {
  const ElementFormat& f = spec.accumulator.format;
  g.section("accumulate");
  FloatState s;
  const int code_width = f.exp_bits + f.man_bits;
  s.format = f;
  s.start = start;
  s.code = state(g, "acc_code", 0, pow2(code_width) - 1);
  s.sign = state(g, "acc_sign", 0, 1);
  s.can_hold = formats::has_nan(f) && spec.accumulator.rounding.mode != formats::RoundingMode::kRtz;
  s.held = s.can_hold ? state(g, "acc_held", 0, 1) : constant(g, 0);
  s.base_code = name(mux(start, constant(g, 0), s.code), "base_code");
  const Fx exponent = bits(s.base_code, f.man_bits, f.exp_bits);
  const Fx normal = name(nonzero(exponent), "base_normal");
  s.base_sig =
      name(f.man_bits == 0 ? normal : cat({normal, bits(s.base_code, 0, f.man_bits)}), "base_sig");
  Fx field = f.exp_bits == 1
                 ? constant(g, 1)
                 : cat({bits(exponent, 1, f.exp_bits - 1), or_(bit(exponent, 0), not_(normal))});
  if (f.exp_bits > 1) field.lo = 1;
  s.base_exp = name(field, "base_exp");
  s.base_sign = name(and_(s.sign, continues(start)), "base_sign");
  return s;
}

// The state after this beat: `rounded` with `result_sign`, unless the beat is not valid or an
// overflow is held.
FloatTotal close_state(const FloatState& s, const Framing& framing, const Rounded& rounded,
                       const Fx& result_sign) {
  Graph& g = *s.code.graph;
  const int code_width = s.format.exp_bits + s.format.man_bits;
  const Fx keep = name(
      or_(not_(framing.valid), s.can_hold ? and_(s.held, not_(framing.first)) : constant(g, 0)),
      "acc_keep");
  const Fx next_code = name(bits(mux(keep, s.code, rounded.code), 0, code_width), "acc_code_d");
  const Fx next_sign = name(mux(keep, s.sign, result_sign), "acc_sign_d");
  set_next(s.code, next_code);
  set_next(s.sign, next_sign);
  FloatTotal out{next_sign, next_code, constant(g, 0)};
  if (s.can_hold) {
    out.held = name(mux(keep, s.held, rounded.overflow), "acc_held_d");
    set_next(s.held, out.held);
  }
  return out;
}

}  // namespace

// The term is normalised before the loop, so that inside it stands one floating-point addition: the
// operand with the larger exponent is added to or reduced by the other, shifted right, with one
// sticky bit below the field for all that was shifted out. The field is wide enough that this sum,
// floored to its last bit, and the sticky bit decide every rounding:
//
//   exponents equal or one apart   nothing leaves the field: exact
//   further apart                  at most one bit cancels, and the field holds two bits more than
//                                  the significand and tail need (a subnormal accumulator may
//                                  cancel more, but its rounding point is fixed and inside the
//                                  field)
FloatTotal build_float_accumulator(Graph& g, const Accumulation& spec, const BeatValue& term,
                                   const Framing& framing, const Fx& random,
                                   SrPlace place_of_random) {
  const ElementFormat& f = spec.accumulator.format;
  const formats::Rounding& rounding = spec.accumulator.rounding;
  const int precision = f.man_bits + 1;
  const int emin = smallest_normal(f);

  g.section("normalise the beat value");
  const Fx term_sign = name(sign(term.significand), "term_sign");
  const Fx mag = name(magnitude(scale(term.significand, -term.significand.lsb)), "term_mag");
  const Normalized norm = normalize(mag, "term");
  const int term_width = norm.value.width();
  const int top_weight = term.significand.lsb + term_width - 1;
  const Fx found = name(bit(norm.value, term_width - 1), "term_nonzero");
  // Exponents are biased: 1 at the format's smallest normal one. A zero term goes below everything.
  const Fx exponent =
      name(sub(add(term.shift, constant(g, top_weight - emin + 1)), norm.shift), "term_top_exp");
  const Fx valid_term = and_(found, framing.valid);
  const Fx term_exp =
      name(mux(valid_term, exponent, constant(g, std::min(exponent.lo, Int(1)))), "term_exp");
  const Fx term_sig = name(mux(framing.valid, norm.value, constant(g, 0)), "term_sig");
  const Fx start = name(and_(framing.valid, framing.first), "start");

  const FloatState s = open_state(g, spec, start);
  const int width =
      std::max(std::max(precision, term_width) + 1, precision + tail_bits(rounding) + 3);
  const auto left = [&](const Fx& x) {
    return widen(scale(extend_lsb(x, x.width() - width), width - x.width()), 0, pow2(width) - 1);
  };
  const Fx difference = name(sub(term_exp, s.base_exp), "exp_diff");
  const Fx acc_larger = name(sign(difference), "acc_larger");
  const Fx distance = name(magnitude(difference), "distance");
  const Fx a = left(s.base_sig), t = left(term_sig);
  const Fx large = name(mux(acc_larger, a, t), "bigger");
  const Fx small = name(mux(acc_larger, t, a), "lesser");
  // The larger one, so at least 1; it is also how far the total's top bit, one place further up,
  // lies above the smallest normal exponent.
  const Fx larger = mux(acc_larger, s.base_exp, term_exp);
  const Fx top = name(assume(larger, 0, larger.hi), "bigger_exp");
  // Bits that leave the field: all those below 2^distance.
  Fx shift = distance;
  if (distance.hi > width) {
    const Fx far = name(less(constant(g, width), distance), "distance_far");
    shift = assume(mux(far, constant(g, width), distance), 0, width);
  }
  shift = name(shift, "lesser_shift");
  const Fx extended =
      name(shr_floor(scale(extend_lsb(small, -width), width), shift), "lesser_wide");
  const Fx lost = name(nonzero(bits(extended, 0, width)), "lost");
  const Fx shifted = cat({bits(extended, width, width), lost});
  const Fx opposite = name(xor_(s.base_sign, term_sign), "opposite");
  const Fx large_wide = cat({large, constant(g, 0)});
  // large +- small as large + (small ^ s) + s, signed.
  const int field_width = width + 1;
  Fx addend = cat({opposite, xor_(shifted, repeat(opposite, field_width))});
  addend.lo = -pow2(field_width);
  addend.hi = pow2(field_width) - 1;
  const Fx total = name(sum(g, {large_wide, addend, opposite},
                            Range{-pow2(field_width) + 1, pow2(field_width + 1) - 1}),
                        "total");
  const Fx total_sign = name(sign(total), "total_neg");
  const Fx total_mag = name(magnitude(total), "total_mag");  // width + 2 bits
  const Fx large_sign = name(mux(acc_larger, s.base_sign, term_sign), "bigger_sign");
  const Fx result_sign =
      name(and_(xor_(large_sign, total_sign), nonzero(total_mag)), "result_sign");

  // The lowest bit is the sticky one.
  const int mag_width = total_mag.width();
  BLOCKDOT_CHECK(mag_width == width + 2, "width of the total");
  Magnitude exact{bits(total_mag, 1, mag_width - 1), top, bit(total_mag, 0)};
  // A shift by n places leaves a tail only for these n: with exponents further than one apart the
  // top bit is the carry or at most two places below it. With exponents equal or one apart nothing
  // was shifted out, and the lowest bit that can be set is one below the last of the longer
  // operand, its top bit one below the carry.
  if (rounding.stochastic() && place_of_random == SrPlace::kEager)
    exact.eager_places = std::max(2, std::max(precision, term_width) - precision + 1);
  const Rounded rounded = build_round(f, rounding, exact, random, "round");

  return close_state(s, framing, rounded, result_sign);
}

// Before the loop the products are aligned to the largest of them; in it, to the larger one of that
// exponent and the accumulator's, so that either the accumulator or all products move. A negative
// term enters as its complement, which floors as its magnitude truncates:
//
//   -(m >> d) = ~(m >> d) + 1 = (~m >> d) + 1
//
// and the +1s of the products are counted before the loop.
FloatTotal build_aligned_accumulator(Graph& g, const Accumulation& spec, const BeatTerms& terms,
                                     const Framing& framing, const Fx& random) {
  const ElementFormat& f = spec.accumulator.format;
  const formats::Rounding& rounding = spec.accumulator.rounding;
  const int kept = spec.accumulator.fraction_bits;
  const Fx zero = constant(g, 0);
  // A magnitude of `fraction` bits cut or extended to those kept; moved right; complemented by
  // sign.
  const auto cut = [&](const Fx& magnitude, int fraction) {
    const Fx m = scale(magnitude, kept - fraction);
    return kept >= fraction ? extend_lsb(m, 0) : floor_to(m, 0);
  };
  const auto move = [](const Fx& x, const Fx& distance) {
    return shr_floor(x, at_most(distance, x.width()));
  };
  const auto turn = [](const Fx& m, const Fx& sign) {
    Fx turned = cat({sign, xor_(m, repeat(sign, m.width()))});
    turned.lo = -pow2(m.width());
    turned.hi = pow2(m.width()) - 1;
    return turned;
  };

  g.section("largest exponent");
  std::vector<Fx> exponents, found;
  for (const BeatTerms::Term& t : terms.lanes) {
    const Fx some = nonzero(t.magnitude);
    const auto j = found.size();
    found.push_back(some);
    exponents.push_back(name(mux(some, t.shift, constant(g, 0)), fmt::format("exp{}", j)));
  }
  std::vector<Fx> level = exponents;
  while (level.size() > 1) {
    std::vector<Fx> next;
    for (std::size_t i = 0; i + 1 < level.size(); i += 2)
      next.push_back(mux(less(level[i], level[i + 1]), level[i + 1], level[i]));
    if (level.size() % 2 == 1) next.push_back(level.back());
    level = next;
  }
  const Fx largest = name(level.front(), "largest");
  const Fx any = name(and_(any_of(g, found), framing.valid), "any_term");
  // Biased: 1 at the format's smallest normal exponent.
  const Fx term_exp =
      name(add(add(largest, terms.exponent), constant(g, terms.weight - smallest_normal(f) + 1)),
           "term_exp");

  g.section("align the products");
  std::vector<Fx> products, signs;
  for (std::size_t j = 0; j < terms.lanes.size(); ++j) {
    const BeatTerms::Term& t = terms.lanes[j];
    // A zero has the exponent 0 here: never above the largest.
    const Fx distance = sub(largest, exponents[j]);
    const Fx aligned = name(move(cut(t.magnitude, terms.fraction),
                                 name(assume(distance, 0, std::max(Int(0), distance.hi)),
                                      fmt::format("distance{}", j))),
                            fmt::format("aligned{}", j));
    products.push_back(mux(framing.valid, aligned, zero));
    signs.push_back(and_(t.sign, framing.valid));
  }
  const Fx negatives = name(sum(g, signs), "negatives");
  const Fx start = name(and_(framing.valid, framing.first), "start");

  const FloatState s = open_state(g, spec, start);
  const Fx difference = name(sub(term_exp, s.base_exp), "exp_diff");
  const Fx acc_larger =
      name(and_(nonzero(s.base_code), or_(not_(any), sign(difference))), "acc_larger");
  const Fx apart = name(magnitude(difference), "apart");
  const Fx top = mux(acc_larger, s.base_exp, term_exp);
  const Fx acc_sig = cut(s.base_sig, f.man_bits);
  std::vector<Fx> all;
  const Fx down = name(mux(acc_larger, apart, zero), "products_shift");
  Int most = acc_sig.hi;
  for (std::size_t j = 0; j < products.size(); ++j) {
    all.push_back(name(turn(move(products[j], down), signs[j]), fmt::format("moved{}", j)));
    most += products[j].hi;
  }
  const Fx acc_shift = name(mux(acc_larger, zero, apart), "acc_shift");
  all.push_back(name(turn(move(acc_sig, acc_shift), s.base_sign), "moved_acc"));
  all.push_back(negatives);
  all.push_back(s.base_sign);
  const Fx total = name(sum(g, all, Range{-most, most}), "total");
  const Fx total_sign = name(sign(total), "result_sign");
  const Fx total_mag = name(magnitude(total), "total_mag");
  const Fx above = name(add(top, constant(g, total_mag.width() - 1 - kept - 1)), "total_above");
  const Rounded rounded = build_round(
      f, rounding, raise_to_normal(f, rounding, {total_mag, above, zero}, "low"), random, "round");
  return close_state(s, framing, rounded, total_sign);
}

Flags build_flags(Graph& g, const Flags& beat, const Framing& framing) {
  g.section("NaN and Inf");
  const Fx start = and_(framing.valid, framing.first);
  const auto sticky = [&](const Fx& flag, const char* label) {
    if (flag.graph->node(flag.node).op == Op::kConst) return flag;
    const Fx held = state(g, fmt::format("{}", label), 0, 1);
    const Fx next = name(or_(and_(held, continues(start)), and_(flag, framing.valid)),
                         fmt::format("{}_d", label));
    set_next(held, next);
    return next;
  };
  return {sticky(beat.nan, "nan"), sticky(beat.plus_inf, "plus_inf"),
          sticky(beat.minus_inf, "minus_inf")};
}

}  // namespace blockdot::rtl_gen
