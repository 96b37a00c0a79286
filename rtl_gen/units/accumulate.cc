#include "rtl_gen/units/accumulate.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"

namespace blockdot::rtl_gen {

using formats::DotSpec;
using formats::ElementFormat;

namespace {

// What the loop adds to: zero on a first beat. `start` = valid and first.
Fx base_of(const Fx& state, const Fx& start) {
  return mux(start, constant(*state.graph, 0, state.lsb), state);
}

// floor(significand * 2^shift / 2^lsb). Where the shift would leave less than zero bits it stops at
// all of them, which floors to 0 or -1; where it would exceed 2^(keep) it stops there, which is
// beyond every window of `keep` bits (and zero modulo 2^keep).
Fx place(const Fx& significand, const Fx& shift, int lsb, int keep) {
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
  return scale(floor_to(name(shl(s, amount), "placed"), down), lsb - down);
}

}  // namespace

SumRange kulisch_range(const DotSpec& spec, const BeatValue& term) {
  // `limit` is for one beat of `lanes` products.
  const Int beats = (spec.max_k + spec.lanes - 1) / spec.lanes;
  return {{term.limit.lo * beats, term.limit.hi * beats}, term.significand.lsb};
}

FixedTotal build_kulisch(Graph& g, const DotSpec& spec, const BeatValue& term,
                         const Framing& framing) {
  const SumRange total = kulisch_range(spec, term);
  g.section("shift by the scales");
  // Codes of NaN scales may shift further than any number; what they lose is a NaN anyway.
  Fx placed = scale(shl(scale(term.significand, -term.significand.lsb), term.shift), total.lsb);
  const int width = range_width(std::min(total.range.lo, Int(-1)), total.range.hi);
  if (placed.width() > width) placed = wrap_signed(placed, width);
  const Fx zero = constant(g, 0, total.lsb);
  const Fx addend = name(mux(framing.valid, placed, zero), "addend");
  const Fx start = name(and_(framing.valid, framing.first), "start");
  g.section("accumulate");
  const Fx acc = state(g, "acc", -pow2(width - 1), pow2(width - 1) - 1, total.lsb);
  // In range by the bound on the number of products.
  const Fx next = name(wrap_signed(add(base_of(acc, start), addend), width), "acc_d");
  set_next(acc, next);
  return {next};
}

FixedTotal build_kulisch_window(Graph& g, const DotSpec& spec, const BeatValue& term,
                                const Framing& framing) {
  const formats::FixedFormat& window = spec.accumulator.window;
  const int width = window.width();
  g.section("window");
  // Two bits above the window: beyond them any accumulator value saturates.
  const int keep = width + 2;
  Fx placed = place(term.significand, term.shift, window.lsb, keep);
  const Int top = pow2(width - 1) - 1, bottom = -pow2(width - 1);
  const auto clamp_to = [&](const Fx& x, const Int& lo, const Int& hi, const char* what) {
    if (x.lo >= lo && x.hi <= hi) return x;
    const Fx under = less(x, constant(g, lo, x.lsb)), over = less(constant(g, hi, x.lsb), x);
    const Fx bound = mux(under, constant(g, lo, x.lsb), constant(g, hi, x.lsb));
    return name(mux(name(or_(under, over), fmt::format("{}_out", what)), bound, assume(x, lo, hi)),
                what);
  };
  if (window.saturate)
    placed = clamp_to(placed, -pow2(keep - 1), pow2(keep - 1) - 1, "entry");
  else if (placed.width() > width)
    placed = wrap_signed(placed, width);
  const Fx addend = name(mux(framing.valid, placed, constant(g, 0, window.lsb)), "addend");
  const Fx start = name(and_(framing.valid, framing.first), "start");
  g.section("accumulate");
  const Fx acc = state(g, "acc", bottom, top, window.lsb);
  const Fx total = name(add(base_of(acc, start), addend), "acc_sum");
  Fx next = window.saturate ? clamp_to(total, bottom, top, "acc_d")
                            : name(wrap_signed(total, width), "acc_d");
  next = widen(next, bottom, top);
  set_next(acc, next);
  return {next};
}

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
FloatTotal build_float_accumulator(Graph& g, const DotSpec& spec, const BeatValue& term,
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
  const Fx exponent = sub(add(term.shift, constant(g, top_weight - emin + 1)), norm.shift);
  const Fx valid_term = and_(found, framing.valid);
  const Fx term_exp =
      name(mux(valid_term, exponent, constant(g, std::min(exponent.lo, Int(1)))), "term_exp");
  const Fx term_sig = name(mux(framing.valid, norm.value, constant(g, 0)), "term_sig");
  const Fx start = name(and_(framing.valid, framing.first), "start");

  g.section("accumulate");
  const int code_width = f.exp_bits + f.man_bits;
  const Fx acc_code = state(g, "acc_code", 0, pow2(code_width) - 1);
  const Fx acc_sign = state(g, "acc_sign", 0, 1);
  const bool can_hold = formats::has_nan(f) && rounding.mode != formats::RoundingMode::kRtz;
  const Fx acc_held = can_hold ? state(g, "acc_held", 0, 1) : constant(g, 0);

  const Fx code = name(mux(start, constant(g, 0), acc_code), "base_code");
  const Fx acc_exponent = bits(code, f.man_bits, f.exp_bits);
  const Fx normal = nonzero(acc_exponent);
  Fx acc_sig = f.man_bits == 0 ? normal : cat({normal, bits(code, 0, f.man_bits)});
  acc_sig = name(acc_sig, "base_sig");
  Fx field =
      f.exp_bits == 1
          ? constant(g, 1)
          : cat({bits(acc_exponent, 1, f.exp_bits - 1), or_(bit(acc_exponent, 0), not_(normal))});
  if (f.exp_bits > 1) field.lo = 1;
  const Fx acc_exp = name(field, "base_exp");

  const int width =
      std::max(std::max(precision, term_width) + 1, precision + tail_bits(rounding) + 3);
  const auto left = [&](const Fx& x) {
    return widen(scale(extend_lsb(x, x.width() - width), width - x.width()), 0, pow2(width) - 1);
  };
  const Fx difference = name(sub(term_exp, acc_exp), "exp_diff");
  const Fx acc_larger = name(sign(difference), "acc_larger");
  const Fx distance = name(magnitude(difference), "distance");
  const Fx a = left(acc_sig), t = left(term_sig);
  const Fx large = name(mux(acc_larger, a, t), "bigger");
  const Fx small = name(mux(acc_larger, t, a), "lesser");
  // The larger one, so at least 1; it is also how far the total's top bit, one place further up,
  // lies above the smallest normal exponent.
  const Fx larger = mux(acc_larger, acc_exp, term_exp);
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
  const Fx opposite = name(xor_(and_(acc_sign, not_(start)), term_sign), "opposite");
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
  const Fx base_sign = and_(acc_sign, not_(start));
  const Fx large_sign = mux(acc_larger, base_sign, term_sign);
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

  const Fx keep =
      or_(not_(framing.valid), can_hold ? and_(acc_held, not_(framing.first)) : constant(g, 0));
  const Fx next_code = name(bits(mux(keep, acc_code, rounded.code), 0, code_width), "acc_code_d");
  const Fx next_sign = name(mux(keep, acc_sign, result_sign), "acc_sign_d");
  set_next(acc_code, next_code);
  set_next(acc_sign, next_sign);
  FloatTotal out{next_sign, next_code, constant(g, 0)};
  if (can_hold) {
    out.held = name(mux(keep, acc_held, rounded.overflow), "acc_held_d");
    set_next(acc_held, out.held);
  }
  return out;
}

Flags build_flags(Graph& g, const BeatValue& term, const Framing& framing) {
  g.section("NaN and Inf");
  const Fx start = and_(framing.valid, framing.first);
  const auto sticky = [&](const Fx& flag, const char* label) {
    if (flag.graph->node(flag.node).op == Op::kConst) return flag;
    const Fx held = state(g, fmt::format("{}", label), 0, 1);
    const Fx next =
        name(or_(and_(held, not_(start)), and_(flag, framing.valid)), fmt::format("{}_d", label));
    set_next(held, next);
    return next;
  };
  return {sticky(term.nan, "nan"), sticky(term.plus_inf, "plus_inf"),
          sticky(term.minus_inf, "minus_inf")};
}

}  // namespace blockdot::rtl_gen
