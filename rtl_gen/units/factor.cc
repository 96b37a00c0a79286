#include "rtl_gen/units/factor.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"

namespace blockdot::rtl_gen {

using formats::BlockFormat;
using formats::ElementFormat;
using formats::Rounding;

namespace {

const ElementFormat kBinary32 = formats::minifloat(8, 23);

bool is_constant(const Fx& x) { return x.graph->node(x.node).op == Op::kConst; }

Scale one(Graph& g) { return decode_scale(g, formats::ScaleFormat{}, constant(g, 0), ""); }

// A scale as a signed fixed-point number, all its exponents spread out.
Fx spread(const Scale& s) {
  const Fx value = scale(shl(s.significand, s.shift), s.weight);
  return is_constant(s.sign) ? value : neg_if(s.sign, value);
}

// floor(x / divisor), x unsigned of `n` bits: with l = ceil(log2 divisor) and
// m = ceil(2^(n + l) / divisor) it is floor(x m / 2^(n + l)) for every such x (Granlund and
// Montgomery, Division by Invariant Integers using Multiplication, 1994, theorem 4.2).
Fx divide(const Fx& x, int n, const Int& divisor, std::string_view label) {
  int l = 0;
  while (pow2(l) < divisor) ++l;
  const Int m = (pow2(n + l) + divisor - 1) / divisor;
  const Fx wide = name(mul(x, constant(*x.graph, m)), label);
  return bits(wide, n + l, wide.width() - n - l);
}

}  // namespace

Scale product(const Scale& x, const Scale& y, std::string_view label) {
  Scale s;
  s.sign = xor_(x.sign, y.sign);
  s.significand = name(mul(x.significand, y.significand), fmt::format("{}_sig", label));
  s.shift = name(add(x.shift, y.shift), fmt::format("{}_shift", label));
  s.not_finite = or_(x.not_finite, y.not_finite);
  s.zero = or_(x.zero, y.zero);
  s.weight = x.weight + y.weight;
  s.base = x.base + y.base;
  s.most = x.most * y.most;
  return s;
}

Scale build_beat_factor(Graph& g, const BlockFormat& f, const OperandPorts& ports,
                        std::string_view side) {
  if (formats::scale_in_result(f)) return one(g);
  const Scale inner =
      decode_scale(g, f.scale, ports.scale.value_or(constant(g, 0)), fmt::format("{}_scale", side));
  if (!formats::outer_in_beat(f)) return inner;
  const Scale outer = decode_scale(g, f.outer.scale, *ports.outer, fmt::format("{}_outer", side));
  const Scale both = product(inner, outer, fmt::format("{}_both", side));
  if (!f.outer.mean) return both;
  // The exact sum in fixed point, then binary32 again.
  Scale mean = decode_scale(g, formats::minifloat_scale(kBinary32), bits(*ports.mean, 0, 31),
                            fmt::format("{}_mean", side));
  mean.sign = bit(*ports.mean, 31);
  const Fx sum = name(add(spread(both), spread(mean)), fmt::format("{}_factor_exact", side));
  const Fx whole = name(magnitude(sum), fmt::format("{}_factor_mag", side));
  const Rounded rounded = build_round_fixed(kBinary32, Rounding{}, whole, constant(g, 0),
                                            fmt::format("{}_factor", side));
  Scale factor = decode_scale(g, formats::minifloat_scale(kBinary32), rounded.code,
                              fmt::format("{}_factor", side));
  factor.sign = name(sign(sum), fmt::format("{}_factor_neg", side));
  factor.not_finite = name(any_of(g, {both.not_finite, mean.not_finite, rounded.overflow}),
                           fmt::format("{}_factor_not_finite", side));
  return factor;
}

ResultFactor build_result_factor(Graph& g, const formats::DotSpec& spec, const OperandPorts& a,
                                 const OperandPorts& b) {
  ResultFactor out;
  out.scale = one(g);
  const auto multiply = [&](const BlockFormat& f, const OperandPorts& ports,
                            std::string_view side) {
    if (formats::scale_in_result(f))
      out.scale =
          product(out.scale, decode_scale(g, f.scale, *ports.scale, fmt::format("{}_scale", side)),
                  fmt::format("{}_result", side));
    if (formats::outer_in_result(f))
      out.scale = product(
          out.scale, decode_scale(g, f.outer.scale, *ports.outer, fmt::format("{}_outer", side)),
          fmt::format("{}_result", side));
    const formats::OddFactor divisor = formats::amax_divisor(f);
    out.divisor *= divisor.odd;
    out.scale.weight -= divisor.exponent;
  };
  multiply(spec.a, a, "a");
  multiply(spec.b, b, "b");
  return out;
}

ResultFactor hold(const ResultFactor& factor, const Fx& valid) {
  Graph& g = *valid.graph;
  const auto keep = [&](Fx& x, const char* label) {
    if (is_constant(x)) return;
    const Fx held = state(g, label, 0, pow2(x.width()) - 1);
    const Fx next = name(mux(valid, x, held), fmt::format("{}_d", label));
    set_next(held, next);
    const Int lo = x.lo, hi = x.hi;
    x = next;
    x.lo = lo;
    x.hi = hi;
  };
  ResultFactor out = factor;
  keep(out.scale.significand, "factor_sig");
  keep(out.scale.shift, "factor_shift");
  keep(out.scale.not_finite, "factor_nan");
  keep(out.scale.zero, "factor_zero");
  return out;
}

// Normalised first, the number needs few bits: one more than the rounding reads, and for the
// quotient as many as the divisor has; all others only say whether they are zero, since
// floor((n + fraction) / c) = floor(n / c). Below the smallest normal exponent it moves right
// again, beyond `reach` no further: there all of it lies under the last bit that is read.
Rounded build_round_product(const ElementFormat& f, const Rounding& rounding, const Fx& magnitude,
                            const Fx& exponent, const ResultFactor& factor, const Fx& random,
                            std::string_view prefix) {
  Graph& g = *magnitude.graph;
  const auto label = [&](const char* what) { return fmt::format("{}_{}", prefix, what); };
  const int keep = f.man_bits + 1 + tail_bits(rounding) + 1;
  BLOCKDOT_CHECK(magnitude.lsb == 0 && magnitude.lo >= 0);
  const Fx scaled = name(mul(magnitude, factor.scale.significand), label("scaled"));
  const Normalized norm = normalize(scaled, label("lead"));
  const int width = norm.value.width();
  // Exponent of the field's top bit.
  Fx top = sub(add(add(exponent, factor.scale.shift), constant(g, factor.scale.weight + width - 1)),
               norm.shift);
  Fx field = norm.value, sticky = constant(g, 0);
  int used = keep;
  if (factor.divisor > 1) {
    int divisor_bits = 0;
    while (pow2(divisor_bits) <= factor.divisor) ++divisor_bits;
    used += divisor_bits;
  }
  if (width > used) {
    sticky = nonzero(bits(field, 0, width - used));
    field = bits(field, width - used, used);
  } else if (factor.divisor > 1) {
    field = scale(extend_lsb(field, width - used), used - width);
  }
  if (factor.divisor > 1) {
    const Fx lead = name(field, label("dividend"));
    // Below 2^used / divisor, so of keep + 1 bits, and at least 2^(keep - 1).
    const Fx quotient = divide(lead, used, factor.divisor, label("quotient"));
    field = assume(quotient, 0, pow2(keep + 1) - 1);
    const Fx rest = sub(lead, mul(field, constant(g, factor.divisor)));
    sticky = or_(sticky, nonzero(rest));
    field = widen(field, 0, pow2(keep + 1) - 1);
    top = add(top, constant(g, keep - (used - 1)));
  }
  sticky = name(sticky, label("sticky"));
  const int have = field.width();
  Fx above = name(add(top, constant(g, -smallest_normal(f))), label("above"));
  Fx moved = field;
  if (above.lo < 0) {
    const int reach = keep;
    const Fx below = name(neg(above), label("below"));
    const Fx is_below = sign(above);
    const Int most = -above.lo;
    Fx shift = mux(is_below, assume(below, 0, most), constant(g, 0));
    if (most > reach)
      shift = assume(mux(less(constant(g, reach), shift), constant(g, reach), shift), 0, reach);
    moved = name(shr_floor(scale(extend_lsb(field, -reach), reach), name(shift, label("right"))),
                 label("moved"));
    moved = widen(moved, 0, pow2(have + reach) - 1);
    above = mux(is_below, constant(g, 0), assume(above, 0, std::max(Int(0), above.hi)));
  } else {
    moved = widen(field, 0, pow2(have) - 1);
  }
  return build_round(f, rounding, {moved, above, sticky}, random, prefix);
}

}  // namespace blockdot::rtl_gen
