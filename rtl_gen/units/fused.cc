// The fused unit: products and a float c in one fixed-point field, one rounding. The field is
// finite because a rounding reads a finite number t of bits below the last one that it keeps (1 of
// rne, rna and rtz, the random bits of sr) and of all lower ones only whether they are zero. With p
// significand bits, every product a multiple of 2^L and |sum of products| < 2^T:
//
//   c's last bit at or above 2^(T+t+1)  the sum is less than 2^-t of the step below c: the result
//   is
//                                       c, or the code below it where the sum is away from c and
//                                       the rounding takes any such sum there
//   c below 2^(L-2)                     bits of c under 2^(L-p-t) only matter as being there,
//   unless
//                                       the products cancel to zero: then the result is c
//
//   field   T+p+t+1 .................. L ........... L-p-t | sticky
//
// The products take c's sign instead of c, so that c enters as it is and nothing needs a carry
// below 2^L. The sum is negative where the products outweigh c. Its magnitude is ~x + 1, but the
// one is not added: below the last bit of ~x stand ones without end, which says the same, so the
// rounding of a negative x looks for a zero where that of a positive one looks for a one:
//
//               rne                      rna                rtz                sr
//   x >= 0   guard & (sticky | last)   guard             0                  carry(tail + random)
//   x <  0   guard | (~sticky & last)  guard | ~sticky   guard & ~sticky    carry(tail + random +
//                                                                                 ~sticky)
//
// sticky: some lower bit of x is one; guard, last, tail: of x, or of ~x where it is negative.
#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"
#include "rtl_gen/build/ops.h"
#include "rtl_gen/units/align.h"
#include "rtl_gen/units/lfsr.h"
#include "rtl_gen/units/multi.h"
#include "rtl_gen/units/round.h"

namespace blockdot::rtl_gen {

using formats::ElementFormat;
using formats::MultiSpec;
using formats::Rounding;
using formats::RoundingMode;

namespace {

Fx unsigned_fx(Graph& g, NodeId node) { return {&g, node, 0, pow2(g.width(node)) - 1, 0}; }

struct Addend {
  Fx sign, magnitude;  // as on the port
  Fx field;            // in units of the field's last bit
  Fx sticky;           // bits below the field
  Fx high;             // so large that the result is c or one below; Inf and NaN too
  Fx low;              // below 2^(L-2)
  Fx nan, inf;
};

// The field: bit 0 weighs 2^lsb.
struct Field {
  int lsb, width, guard;  // guard: bits below the products
};

// `alone`: the field is the products' where c is high.
Addend align_addend(Graph& g, const ElementFormat& f, const Fx& code, const Field& field,
                    bool alone) {
  g.section("addend");
  Addend c;
  const int p = f.man_bits + 1;
  c.sign = bit(code, f.width() - 1);
  c.magnitude = bits(code, 0, f.width() - 1);
  const Fx exponent = bits(code, f.man_bits, f.exp_bits);
  const Fx fraction = bits(code, 0, f.man_bits);
  // Everything below the field's reach has exponents that need no hidden one: validate() saw to it
  // that subnormals lie there.
  const Fx significand = cat({constant(g, 1), fraction});
  // The exponent whose significand ends p bits below the field.
  const int zero_shift = field.lsb - p + f.man_bits + f.bias;
  const int most = field.width - 1;
  c.high = name(less(constant(g, zero_shift + most), exponent), "c_high");
  c.low = name(less(exponent, constant(g, zero_shift + field.guard - 1)), "c_low");
  const Fx under = name(less(exponent, constant(g, zero_shift)), "c_under");
  int shift_bits = 1;
  while ((1 << shift_bits) <= most) ++shift_bits;
  Fx shift = bits(sub(exponent, constant(g, zero_shift)), 0, shift_bits);
  shift = name(assume(shift, 0, pow2(shift_bits) - 1), "c_shift");
  const Fx outside = alone ? or_(under, c.high) : under;
  const Fx word = name(and_(significand, repeat(not_(outside), p)), "c_sig");
  const Fx moved =
      name(shift_filled(word, constant(g, 0), shift, 0, field.width + p, "c"), "c_moved");
  c.field = bits(moved, p, field.width);
  c.sticky = name(or_(nonzero(bits(moved, 0, p)), and_(under, nonzero(c.magnitude))), "c_sticky");
  const Fx special = is_zero(not_(exponent));
  const Fx any = nonzero(fraction);
  c.nan = name(and_(special, any), "c_nan");
  c.inf = name(and_(special, not_(any)), "c_inf");
  return c;
}

struct Leading {
  Fx kept;    // from the top one on, as in the magnitude: significand and tail
  Fx sticky;  // some bit of x below them is one
  Fx count;   // zeros above the top one
};

// Zeros above the top bit of y = x ^ sign are skipped, the largest power of two first. After the
// step by 2^k only the bits that later steps can bring up are kept.
Leading normalise(Graph& g, const Fx& y, const Fx& negative, int kept, const Fx& sticky) {
  NodeId x = y.node;
  std::vector<Fx> count, seen = {sticky};
  int step = 1;
  while (2 * step < y.width()) step *= 2;
  for (; step >= 1; step /= 2) {
    const int width = g.width(x);
    const Fx skip = name(is_zero(unsigned_fx(g, ops::slice(g, x, width - step, step))),
                         fmt::format("skip{}", step));
    const int next = std::min(width, kept + step - 1);
    const NodeId stay = ops::slice(g, x, width - next, next);
    const int low = width - step - next;  // of what comes up
    const NodeId moved =
        low >= 0
            ? ops::slice(g, x, low, next)
            : ops::concat(g, {ops::slice(g, x, 0, next + low), ops::sext(g, negative.node, -low)});
    // Bits that fall off: of y, ones where x has zeros when it is negative.
    const auto off = [&](int bits_off) {
      if (bits_off <= 0) return constant(g, 0);
      const Fx word = unsigned_fx(g, ops::slice(g, x, 0, bits_off));
      return mux(negative, nonzero(not_(word)), nonzero(word));
    };
    if (width > next)
      seen.push_back(name(mux(skip, off(low), off(width - next)), fmt::format("off{}", step)));
    x = ops::mux(g, skip.node, moved, stay);
    g.set_name(x, fmt::format("norm{}", step));
    count.push_back(skip);
  }
  return {unsigned_fx(g, x), name(any_of(g, seen), "sticky"), name(cat(count), "zeros")};
}

// Whether the magnitude of the sum rounds up from its significand.
Fx round_up(const Rounding& rounding, const Leading& top, int tail, const Fx& negative,
            const Fx& random) {
  const Fx guard = bit(top.kept, 0), last = bit(top.kept, 1);
  const Fx ones = and_(negative, not_(top.sticky));  // without end: one more of the last bit
  switch (rounding.mode) {
    case RoundingMode::kRne:
      return mux(negative, or_(guard, and_(not_(top.sticky), last)),
                 and_(guard, or_(top.sticky, last)));
    case RoundingMode::kRna:
      return or_(guard, ones);
    case RoundingMode::kRtz:
      return and_(guard, ones);
    case RoundingMode::kStochastic: {
      // A carry of the ones alone leaves no tail behind.
      const Fx exact = name(add(bits(top.kept, 0, tail), ones), "tail");
      return or_(bit(exact, tail),
                 stochastic_carry(rounding, bits(exact, 0, tail), top.sticky, random, "drawn"));
    }
  }
  BLOCKDOT_CHECK(false, "rounding mode");
}

// Whether c less a sum far below what a rounding reads becomes the code below c.
Fx falls_below(const Rounding& rounding, const Fx& random) {
  Graph& g = *random.graph;
  switch (rounding.mode) {
    case RoundingMode::kRne:
    case RoundingMode::kRna:
      return constant(g, 0);
    case RoundingMode::kRtz:
      return constant(g, 1);
    case RoundingMode::kStochastic:
      // The tail is ones: SRFF carries with any draw but zero, the others with every one.
      return rounding.variant == formats::SrVariant::kSrff ? is_zero(random) : constant(g, 0);
  }
  BLOCKDOT_CHECK(false, "rounding mode");
}

}  // namespace

Graph build_fused_unit(const MultiSpec& spec, bool framed, UnitFacts* facts,
                       const Structure& structure, Technology technology) {
  const ElementFormat& f = *spec.addend;
  const int p = f.man_bits + 1;
  const int lsb = formats::product_lsb(spec), bound = formats::sum_bound(spec);
  const Rounding& rounding = spec.rounding;
  const int tail = formats::read_bits(spec);
  Field field{};
  field.guard = p + tail;
  field.lsb = lsb - field.guard;
  field.width = bound + p + tail + 1 - field.lsb;
  Graph g;
  Fx random = constant(g, 0);
  if (framed || rounding.stochastic()) {
    const Fx valid = control(input(g, "valid_i", 1));
    output("valid_o", valid);
    if (rounding.stochastic()) random = build_lfsr(g, spec.lfsr, rounding.random_bits, valid);
  }
  const Fx below = falls_below(rounding, random);
  const bool falls = !ops::is_zero(g, below.node);
  const Fx mode = spec.mode_bits() ? input(g, "mode_i", spec.mode_bits()) : constant(g, 0);
  const Fx a = input(g, "a_i", spec.lanes * spec.slot_a());
  const Fx b = input(g, "b_i", spec.lanes * spec.slot_b());
  const Fx code = input(g, "c_i", f.width());
  const Addend c = align_addend(g, f, code, field, falls);
  const MultiProducts products =
      build_multi_products(g, spec, mode, a, b, c.sign, false, structure, technology);

  g.section("sum");
  std::vector<Fx> terms = products.terms;
  terms.push_back(bits(c.field, field.guard, field.width - field.guard));
  const Int most = pow2(field.width - field.guard);
  Fx upper = sum(g, terms, Range{-most, most - 1});
  upper = name(upper, "sum");
  const Fx negative = name(sign(upper), "negative");
  g.section("normalise");
  const Fx x = cat({unsigned_fx(g, ops::slice(g, upper.node, 0, field.width - field.guard)),
                    bits(c.field, 0, field.guard)});
  const Fx y = name(xor_(x, repeat(negative, x.width())), "turned");
  const Fx small =
      name(is_zero(bits(y, field.guard - 1, y.width() - field.guard + 1)), "cancelled");
  const Leading top = normalise(g, y, negative, p + tail, c.sticky);

  g.section("round");
  const Fx up = name(round_up(rounding, top, tail, negative, random), "round_up");
  const Fx nonzero_sum = bit(top.kept, p + tail - 1);
  // The top bit of the field has this biased exponent; the zeros above the top one lower it.
  const int top_exponent = field.lsb + field.width - 1 + f.bias;
  const Fx exponent =
      name(bits(sub(constant(g, top_exponent), top.count), 0, f.exp_bits), "exponent");
  const Fx truncated = cat({exponent, bits(top.kept, tail, f.man_bits)});
  const Fx rounded = name(bits(add(truncated, up), 0, f.width() - 1), "rounded");

  g.section("encode");
  const Fx addend_wins = name(or_(c.high, and_(c.low, small)), "addend_wins");
  const Fx inf = name(any_of(g, {products.plus_inf, products.minus_inf, c.inf}), "any_inf");
  const Fx nan = name(
      any_of(g, {products.nan, c.nan, and_(products.minus_inf, or_(products.plus_inf, c.inf))}),
      "result_nan");
  const Fx exact = name(and_(rounded, repeat(nonzero_sum, rounded.width())), "sum_magnitude");
  Fx alone = c.magnitude;
  if (falls) {
    const Fx lower = name(and_(and_(c.high, negative), below), "lower");
    alone = bits(sub(alone, lower), 0, alone.width());
  }
  Fx magnitude = mux(addend_wins, name(alone, "addend"), exact);
  magnitude =
      mux(inf, assume(constant(g, formats::inf_code(f)), 0, pow2(f.width() - 1) - 1), magnitude);
  magnitude = name(
      mux(nan, assume(constant(g, formats::nan_code(f)), 0, pow2(f.width() - 1) - 1), magnitude),
      "result_magnitude");
  // Before c's sign is put back.
  const Fx opposite =
      name(mux(inf, products.minus_inf, and_(negative, not_(addend_wins))), "opposite");
  const Fx some = name(mux(addend_wins, nonzero(c.magnitude), nonzero_sum), "result_nonzero");
  const Fx result_sign =
      name(and_(and_(xor_(c.sign, opposite), or_(some, inf)), not_(nan)), "result_sign");
  output("result_o", name(cat({result_sign, magnitude}), "result"));
  if (facts) {
    facts->sum_width = x.width() + 1;
    facts->sum_lsb = field.lsb;
  }
  return g;
}

}  // namespace blockdot::rtl_gen
