// A power-of-two scale is floor(log2 amax) - emax plus what the rule adds: rules compare amax's
// significand, normalised, with constants.
//
// Any other scale is the quotient amax / max, over the outer scale where there is one, rounded once
// to the scale's format; what the elements are divided by is the value of the code that comes out.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "formats/error.h"
#include "rtl_gen/units/divide.h"
#include "rtl_gen/units/quantizer_parts.h"
#include "rtl_gen/units/round.h"

namespace blockdot::rtl_gen::quantizer {

using formats::ElementFormat;
using formats::ElementKind;
using formats::ScaleKind;
using formats::ScaleRule;

namespace {

// What the rule adds to floor(log2 amax) - emax.
Fx rule_step(const QuantizerSpec& spec, const Float& amax, const Fx& base) {
  Graph& g = *base.graph;
  const int man = spec.input.man_bits;
  const ElementFormat& element = spec.format.element;
  // max_value / 2^emax in units of 2^-kFine, exactly: elements have at most 16 bits.
  constexpr int kFine = 40;
  const int emax = formats::max_exponent(element);
  const Int most(static_cast<std::int64_t>(std::ldexp(formats::max_value(element), kFine - emax)));
  // Significands at least t / 2^kFine.
  const auto at_least = [&](const Int& t) -> Fx {
    const Int scaled = t >> static_cast<unsigned>(kFine - man);  // floor
    const bool exact = (scaled << static_cast<unsigned>(kFine - man)) == t;
    const Int least = exact ? scaled : Int(scaled + 1);
    if (least > amax.significand.hi) return constant(g, 0);
    return not_(less(amax.significand, constant(g, least)));
  };
  switch (spec.rule) {
    case ScaleRule::kFloor:
    case ScaleRule::kThreeQuarters:
      return constant(g, 0);
    case ScaleRule::kCeil:
      return at_least(most + 1);
    case ScaleRule::kRceil: {
      // The quotient in binary32 is a power of two only where it is one, but for subnormals: just
      // above 2^-127 the next significand up rounds down to it.
      const Int grid = most >> static_cast<unsigned>(kFine - man);
      const Fx next = equal(amax.significand, constant(g, grid + 1));
      const Fx lowest = equal(base, constant(g, -formats::kE8M0Bias));
      // bfloat16's next significand is too far away.
      const Fx back = man == 23 ? and_(next, lowest) : constant(g, 0);
      return and_(at_least(most + 1), not_(back));
    }
    case ScaleRule::kRceilReciprocal: {
      // With c = binary32(1 / max) = C * 2^(e - 23), 2^23 <= C < 2^24, the product p of the two
      // significands lies in [1, 4) and amax * c is p * 2^(log + e). It rounds to a power of two
      // from up to half a unit above it: 2^-24 of it, 2^-23 at 2^-127, where numbers are subnormal.
      int e;
      const auto c = static_cast<float>(1.0 / formats::max_value(element));
      const Int digits(static_cast<std::int64_t>(std::ldexp(std::frexp(c, &e), 24)));
      --e;
      // Significands whose product exceeds 2^k * (1 + 2^-near).
      const auto beyond = [&](int k, int near) -> Fx {
        const Int bound = (pow2(near) + 1) << static_cast<unsigned>(k + man + 23 - near);
        const Int least = bound / digits + 1;
        if (least > amax.significand.hi) return constant(g, 0);
        return not_(less(amax.significand, constant(g, least)));
      };
      const Fx exponent = add(amax.exponent, constant(g, e));
      const auto step = [&](int k) {
        const Fx lowest = equal(exponent, constant(g, -formats::kE8M0Bias - k));
        return mux(lowest, beyond(k, 23), beyond(k, 24));
      };
      return add(constant(g, e + emax), add(step(0), step(1)));
    }
    case ScaleRule::kAmax:
      // -1, 0 or 1: amax / max below 3/4, below 3/2, above.
      return add(sub(at_least(most * 3 / 4), constant(g, 1)), at_least(most * 3 / 2));
    case ScaleRule::kEven: {
      const int precision = element.kind == ElementKind::kMinifloat ? element.man_bits + 1
                            : element.kind == ElementKind::kInteger ? element.int_bits - 1
                                                                    : element.width() - 1;
      if (precision > man) return constant(g, 0);
      return is_zero(not_(bits(amax.significand, man - precision, precision + 1)));
    }
    case ScaleRule::kCeilExponent:
      return nonzero(bits(amax.significand, 0, man));
    case ScaleRule::kShift: {
      // Up from the square root of 2 on.
      const Int root = sqrt(Int(pow2(2 * man + 1)));
      return sub(not_(less(amax.significand, constant(g, root + 1))), constant(g, 1));
    }
    case ScaleRule::kOptimal:
      break;
  }
  BLOCKDOT_CHECK(false, "validate refuses the rule");
}

SharedScale share_power(Graph& g, const QuantizerSpec& spec, const Fx& amax, const Fx& finite) {
  const Float log = to_float(spec.input, amax, "amax");
  const Fx base =
      name(sub(log.exponent, constant(g, formats::max_exponent(spec.format.element))), "base");
  const Fx wanted = name(add(base, rule_step(spec, log, base)), "wanted");
  const Int low = -formats::kE8M0Bias, high = formats::kE8M0Bias;
  const Fx too_low = or_(less(wanted, constant(g, low)), is_zero(amax));
  Fx shared = mux(too_low, constant(g, low),
                  mux(less(constant(g, high), wanted), constant(g, high), wanted));
  shared = name(assume(shared, low, high), "shared");
  const Fx code = name(assume(add(shared, constant(g, formats::kE8M0Bias)), 0, 254), "code");
  return {bits(mux(finite, code, constant(g, formats::kE8M0Nan)), 0, 8), shared, std::nullopt,
          not_(finite)};
}

// A positive scale code as a float, and whether it is one that can divide.
struct Outer {
  Float value;
  Fx usable;
};
Outer decode_outer(Graph& g, const formats::ScaleFormat& scale, const Fx& code) {
  if (scale.kind == ScaleKind::kE8M0)
    return {{name(sub(code, constant(g, formats::kE8M0Bias)), "outer_log"), constant(g, 1)},
            not_(equal(code, constant(g, formats::kE8M0Nan)))};
  const ElementFormat& f = scale.minifloat;
  const Fx finite = not_(less(constant(g, formats::max_finite_code(f)), code));
  return {to_float(f, code, "outer"), and_(nonzero(code), finite)};
}

SharedScale share_quotient(Graph& g, const QuantizerSpec& spec, const Beat& beat,
                           const Fx& finite) {
  const formats::BlockFormat& f = spec.format;
  const formats::ScaleFormat& format = f.scale;
  const ElementFormat grid = grid_of(format);
  const Float amax = to_float(spec.input, beat.amax, "amax");
  Fx usable = finite;
  std::optional<Float> outer;
  if (f.has_outer()) {
    const Outer decoded = decode_outer(g, f.outer.scale, beat.outer);
    outer = decoded.value;
    usable = name(and_(finite, decoded.usable), "usable");
  }
  Float divisor{constant(g, 0), constant(g, 1)};
  if (!format.of_maximum) divisor = to_float(g, formats::max_value(f.element));
  if (outer) divisor = multiply(divisor, *outer, "unit");

  g.section("scale");
  Unrounded quotient{amax.significand, sub(amax.exponent, divisor.exponent), constant(g, 0)};
  if (divisor.significand.hi != 1) {
    // In (1/2, 2): one digit more than what is kept, and the half below it.
    const Quotient q = divide(amax.significand, divisor.significand, grid.man_bits + 3, "scale");
    quotient.significand = q.digits;
    quotient.rest = q.rest;
  }
  const Int most = formats::max_exponent(grid) + 2;
  Fx code = spec.rule == ScaleRule::kCeil
                ? round_up_to(grid, quotient, most, "scale")
                : round_to(grid, {}, quotient, most, constant(g, 0), "scale");
  // The smallest positive one at least; a block of zeros has scale 1, or 0 under an outer scale
  // without a code for it.
  const Fx zero = is_zero(beat.amax);
  const Fx least = and_(is_zero(code), not_(zero));
  code = code.width() == 1 ? or_(code, least)
                           : cat({bits(code, 1, code.width() - 1), or_(bit(code, 0), least)});
  const bool whole = format.kind == ScaleKind::kInteger;
  code = name(mux(zero, constant(g, whole ? 0 : formats::encode(format, 1.0)), code), "code");
  Float value = to_float(grid, code, "scale_value");
  if (outer) value = multiply(value, *outer, "divisor");

  const std::uint32_t nan = formats::has_nan(format) ? formats::nan_code(format) : 0;
  return {bits(mux(usable, code, constant(g, nan)), 0, format.width()), value.exponent,
          value.significand, whole ? or_(not_(usable), zero) : not_(usable)};
}

}  // namespace

SharedScale share(Graph& g, const QuantizerSpec& spec, const Beat& beat) {
  g.section("shared scale");
  const Fx finite = name(less(beat.amax, constant(g, formats::inf_code(spec.input))), "finite");
  return spec.format.scale.kind == ScaleKind::kE8M0 ? share_power(g, spec, beat.amax, finite)
                                                    : share_quotient(g, spec, beat, finite);
}

}  // namespace blockdot::rtl_gen::quantizer
