// The fused unit: products and a float c in one fixed-point field, one rounding. The field is
// finite because rounding is to nearest. With p significand bits, every product a multiple of 2^L
// and |sum of products| < 2^T:
//
//   c's last bit at or above 2^(T+2)   the sum is less than half the step below c: the result is c
//   c below 2^(L-2)                    bits of c under 2^(L-p-1) only matter as being there, unless
//                                      the products cancel to zero: then the result is c
//
//   field   T+p+2 .................. L ........... L-p-1 | sticky
//
// The products take c's sign instead of c, so that c enters as it is and nothing needs a carry
// below 2^L. The sum is negative where the products outweigh c. Its magnitude is ~x + 1, but the
// one is not added: below the last bit of ~x stand ones without end, which says the same, so the
// rounding of a negative x looks for a zero where that of a positive one looks for a one:
//
//   x >= 0   up = guard & (sticky | last)          sticky: some lower bit of x is one
//   x <  0   up = guard | (~sticky & last)         (guard, last: of ~x)
#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"
#include "rtl_gen/build/ops.h"
#include "rtl_gen/units/align.h"
#include "rtl_gen/units/multi.h"

namespace blockdot::rtl_gen {

using formats::ElementFormat;
using formats::MultiSpec;

namespace {

Fx unsigned_fx(Graph& g, NodeId node) { return {&g, node, 0, pow2(g.width(node)) - 1, 0}; }

struct Addend {
  Fx sign, magnitude;  // as on the port
  Fx field;            // in units of the field's last bit
  Fx sticky;           // bits below the field
  Fx high;             // so large that the result is c; Inf and NaN too
  Fx low;              // below 2^(L-2)
  Fx nan, inf;
};

// The field: bit 0 weighs 2^lsb.
struct Field {
  int lsb, width, guard;  // guard: bits below the products
};

Addend align_addend(Graph& g, const ElementFormat& f, const Fx& code, const Field& field) {
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
  c.low = name(less(exponent, constant(g, zero_shift + p)), "c_low");
  const Fx under = name(less(exponent, constant(g, zero_shift)), "c_under");
  int shift_bits = 1;
  while ((1 << shift_bits) <= most) ++shift_bits;
  Fx shift = bits(sub(exponent, constant(g, zero_shift)), 0, shift_bits);
  shift = name(assume(shift, 0, pow2(shift_bits) - 1), "c_shift");
  const Fx word = name(and_(significand, repeat(not_(under), p)), "c_sig");
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
  Fx kept;    // p + 1 bits from the top one on, as in the magnitude: significand and guard
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

}  // namespace

Graph build_fused_unit(const MultiSpec& spec, bool framed, UnitFacts* facts,
                       const Structure& structure, Technology technology) {
  const ElementFormat& f = *spec.addend;
  const int p = f.man_bits + 1;
  const int lsb = formats::product_lsb(spec), bound = formats::sum_bound(spec);
  Field field{};
  field.guard = p + 1;
  field.lsb = lsb - field.guard;
  field.width = bound + p + 2 - field.lsb;
  Graph g;
  if (framed) output("valid_o", control(input(g, "valid_i", 1)));
  const Fx mode = spec.mode_bits() ? input(g, "mode_i", spec.mode_bits()) : constant(g, 0);
  const Fx a = input(g, "a_i", spec.lanes * spec.slot_a());
  const Fx b = input(g, "b_i", spec.lanes * spec.slot_b());
  const Fx code = input(g, "c_i", f.width());
  const Addend c = align_addend(g, f, code, field);
  const MultiProducts products =
      build_multi_products(g, spec, mode, a, b, c.sign, structure, technology);

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
  const Fx small = name(is_zero(bits(y, p, y.width() - p)), "cancelled");
  const Leading top = normalise(g, y, negative, p + 1, c.sticky);

  g.section("round");
  const Fx guard = bit(top.kept, 0), last = bit(top.kept, 1);
  const Fx up = name(
      mux(negative, or_(guard, and_(not_(top.sticky), last)), and_(guard, or_(top.sticky, last))),
      "round_up");
  const Fx nonzero_sum = bit(top.kept, p);
  // The top bit of the field has this biased exponent; the zeros above the top one lower it.
  const int top_exponent = field.lsb + field.width - 1 + f.bias;
  const Fx exponent = bits(sub(constant(g, top_exponent), top.count), 0, f.exp_bits);
  const Fx truncated = cat({exponent, bits(top.kept, 1, f.man_bits)});
  const Fx rounded = name(bits(add(truncated, up), 0, f.width() - 1), "rounded");

  g.section("encode");
  const Fx addend_wins = name(or_(c.high, and_(c.low, small)), "addend_wins");
  const Fx inf = name(any_of(g, {products.plus_inf, products.minus_inf, c.inf}), "any_inf");
  const Fx nan = name(
      any_of(g, {products.nan, c.nan, and_(products.minus_inf, or_(products.plus_inf, c.inf))}),
      "result_nan");
  const Fx exact = and_(rounded, repeat(nonzero_sum, rounded.width()));
  Fx magnitude = mux(addend_wins, c.magnitude, exact);
  magnitude =
      mux(inf, assume(constant(g, formats::inf_code(f)), 0, pow2(f.width() - 1) - 1), magnitude);
  magnitude =
      mux(nan, assume(constant(g, formats::nan_code(f)), 0, pow2(f.width() - 1) - 1), magnitude);
  // Before c's sign is put back.
  const Fx opposite = mux(inf, products.minus_inf, and_(negative, not_(addend_wins)));
  const Fx some = mux(addend_wins, nonzero(c.magnitude), nonzero_sum);
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
