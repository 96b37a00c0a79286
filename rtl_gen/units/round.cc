// One left shift does both normal and subnormal numbers: a marker bit is set at the place of the
// smallest normal exponent before zeros are counted, so the shift stops there. If the top bit is
// zero after it, the number is subnormal and its exponent field is 0. The rounding increments the
// joined exponent and mantissa: a carry out of the mantissa runs into the exponent, and past the
// largest finite code it is the overflow.
#include "rtl_gen/units/round.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"

namespace blockdot::rtl_gen {

using formats::ElementFormat;
using formats::Rounding;
using formats::RoundingMode;

int smallest_normal(const ElementFormat& f) { return 1 - f.bias; }

int tail_bits(const Rounding& rounding) {
  switch (rounding.mode) {
    case RoundingMode::kRne:
    case RoundingMode::kRna:
      return 1;
    case RoundingMode::kRtz:
      return 0;
    case RoundingMode::kStochastic:
      return rounding.random_bits + (rounding.variant != formats::SrVariant::kSrff);
  }
  return 0;
}

Magnitude raise_to_normal(const ElementFormat& f, const Rounding& rounding, const Magnitude& x,
                          std::string_view prefix) {
  if (x.above.lo >= 0) return x;
  Graph& g = *x.magnitude.graph;
  const auto label = [&](const char* what) { return fmt::format("{}_{}", prefix, what); };
  // Beyond `reach` all of it lies under the last bit that the rounding reads, where only being
  // nonzero counts.
  const int reach = f.man_bits + 1 + tail_bits(rounding) + 1;
  const Fx below = name(neg(x.above), label("below"));
  const Fx is_below = sign(x.above);
  const Fx distance = mux(is_below, assume(below, 0, -x.above.lo), constant(g, 0));
  const Fx shift = at_most(distance, reach);
  const Fx moved =
      name(shr_floor(scale(extend_lsb(x.magnitude, -reach), reach), name(shift, label("shift"))),
           label("shifted"));
  Magnitude raised = {
      widen(moved, 0, pow2(x.magnitude.width() + reach) - 1),
      mux(is_below, constant(g, 0), assume(x.above, 0, std::max(Int(0), x.above.hi))), x.sticky};
  // Where the top bit was below, it is no longer set.
  if (x.field) raised.field = assume(*x.field, 0, std::max(Int(1), x.field->hi));
  return raised;
}

Fx stochastic_carry(const Rounding& rounding, const Fx& tail, const Fx& sticky, const Fx& random,
                    std::string_view label) {
  Graph& g = *tail.graph;
  const int r = rounding.random_bits;
  switch (rounding.variant) {
    case formats::SrVariant::kSrff:
      return bit(name(add(tail, random), label), r);
    case formats::SrVariant::kSrf:
      return bit(name(add(tail, cat({random, constant(g, 1)})), label), r + 1);
    case formats::SrVariant::kSrc: {
      // Its lowest bit is half of the last of the r; that of a tie rounds to even.
      const Fx nearest = bits(tail, 1, r);
      const Fx one =
          name(and_(bit(tail, 0), or_(sticky, bit(nearest, 0))), fmt::format("{}_one", label));
      const Range range{0, pow2(r + 1) - 1};
      return bit(name(sum(g, {nearest, random, one}, range), label), r);
    }
  }
  BLOCKDOT_CHECK(false, "rounding variant");
}

namespace {

// The carry of every place at once, beside the count of zeros, which then picks one. A shift by n
// moves the tail to where it was n places lower; below the magnitude are zeros.
Fx eager_carry(const Rounding& rounding, const Fx& magnitude, const Magnitude& x, int rest,
               const Fx& zeros, const Fx& random, std::string_view prefix) {
  Graph& g = *magnitude.graph;
  const int tail = tail_bits(rounding);
  const int places = static_cast<int>(std::min(Int(x.eager_places), zeros.hi));
  std::vector<Fx> carries;
  for (int n = 0; n <= places; ++n) {
    const int at = rest - n;  // of the tail's lowest bit
    Fx field = constant(g, 0);
    if (at >= 0)
      field = bits(magnitude, at, tail);
    else if (at + tail > 0)
      field = cat({bits(magnitude, 0, at + tail), repeat(constant(g, 0), -at)});
    else
      break;
    field = widen(field, 0, pow2(tail) - 1);
    const Fx below = at > 0 ? or_(nonzero(bits(magnitude, 0, at)), x.sticky) : x.sticky;
    carries.push_back(
        name(stochastic_carry(rounding, field, below, random, fmt::format("{}_tail{}", prefix, n)),
             fmt::format("{}_up{}", prefix, n)));
  }
  std::reverse(carries.begin(), carries.end());
  return bit(shr_floor(cat(carries), zeros), 0);
}

}  // namespace

Rounded build_round(const ElementFormat& f, const Rounding& rounding, const Magnitude& x,
                    const Fx& random, std::string_view prefix) {
  Graph& g = *x.magnitude.graph;
  const auto label = [&](const char* what) { return fmt::format("{}_{}", prefix, what); };
  const int significand = f.man_bits + 1;
  const int tail = tail_bits(rounding);
  BLOCKDOT_CHECK(x.above.lo >= 0, "{}: top bit below the smallest normal exponent", prefix);

  // Room for all kept and tail bits, then count to the marker and shift.
  const int missing = std::max(0, significand + tail - x.magnitude.width());
  Fx magnitude = scale(extend_lsb(scale(x.magnitude, -x.magnitude.lsb), -missing), missing);
  const int width = magnitude.width();
  BLOCKDOT_CHECK(width == x.magnitude.width() + missing);
  Fx zeros = constant(g, 0), shifted = magnitude, exponent;  // exponent: biased
  if (x.field) {
    exponent = *x.field;
  } else {
    const Fx& limit = x.above;  // how far the marker lies below the top
    const Fx marker =
        limit.lo == limit.hi
            ? constant(g, limit.lo < width ? pow2(width - 1 - static_cast<int>(limit.lo)) : Int(0))
            : name(shr_floor(constant(g, pow2(width - 1)), limit), label("marker"));
    const Fx marked =
        marker.hi == 0 ? magnitude : name(or_(magnitude, bits(marker, 0, width)), label("marked"));
    zeros = name(clz(marked), label("zeros"));
    if (limit.hi < width) zeros = assume(zeros, 0, limit.hi);
    shifted = bits(name(shl(magnitude, zeros), label("norm")), 0, width);
    // 1 at the smallest normal exponent. Where no bit is set it means nothing.
    const Fx down = name(sub(zeros, constant(g, 1)), label("down"));
    exponent = assume(name(sub(x.above, down), label("top_exp")), 0, x.above.hi + 1);
  }
  const Fx normal = bit(shifted, width - 1);
  exponent = name(mux(normal, exponent, constant(g, 0)), label("exp"));

  const Fx mantissa =
      f.man_bits == 0 ? constant(g, 0) : bits(shifted, width - significand, f.man_bits);
  Fx kept = f.man_bits == 0 ? exponent : cat({exponent, mantissa});
  kept.hi = std::min(kept.hi, Int((exponent.hi + 1) * pow2(f.man_bits) - 1));
  kept = name(kept, label("kept"));

  const int rest = width - significand - tail;
  Fx up = constant(g, 0);
  switch (rounding.mode) {
    case RoundingMode::kRtz:
      break;
    case RoundingMode::kRna:
      up = bit(shifted, rest);
      break;
    case RoundingMode::kRne: {
      const Fx below = rest > 0 ? nonzero(bits(shifted, 0, rest)) : constant(g, 0);
      const Fx sticky = any_of(g, {below, x.sticky, bit(kept, 0)});
      up = and_(bit(shifted, rest), sticky);
      break;
    }
    case RoundingMode::kStochastic: {
      if (x.eager_places >= 0) {
        up = eager_carry(rounding, magnitude, x, rest, zeros, random, prefix);
        break;
      }
      const Fx below = rest > 0 ? or_(nonzero(bits(shifted, 0, rest)), x.sticky) : x.sticky;
      up = stochastic_carry(rounding, bits(shifted, rest, tail), below, random, label("tail"));
      break;
    }
  }
  up = name(up, label("up"));
  const Fx code = name(add(kept, up), label("code"));
  const Int most = formats::max_finite_code(f);
  Rounded out;
  if (code.hi <= most) {
    out = {widen(code, 0, pow2(f.exp_bits + f.man_bits) - 1), constant(g, 0)};
    return out;
  }
  out.overflow = name(less(constant(g, most), code), label("overflow"));
  out.code = name(bits(mux(out.overflow, constant(g, most), code), 0, f.exp_bits + f.man_bits),
                  label("finite"));
  return out;
}

Rounded build_round_fixed(const ElementFormat& f, const Rounding& rounding, const Fx& whole,
                          const Fx& random, std::string_view prefix) {
  Graph& g = *whole.graph;
  const auto label = [&](const char* what) { return fmt::format("{}_{}", prefix, what); };
  // Bits of interest: from the last tail bit of a subnormal up to one above the largest exponent.
  const int lowest = formats::lsb_exponent(f) - tail_bits(rounding);
  const int highest = std::max(formats::max_exponent(f) + 1, smallest_normal(f));
  const int top = whole.lsb + whole.width() - 1;

  Fx sticky = constant(g, 0), too_big = constant(g, 0);
  Fx field = whole;
  if (lowest > field.lsb) {
    const int drop = std::min(lowest - field.lsb, whole.width());
    sticky = name(nonzero(bits(whole, 0, drop)), label("sticky"));
    field = drop == whole.width() ? constant(g, 0, lowest) : floor_to(whole, lowest);
  }
  if (top > highest) {
    const int keep = std::max(highest - whole.lsb + 1, 0);
    too_big = name(nonzero(bits(whole, keep, whole.width() - keep)), label("too_big"));
    if (highest < field.lsb)
      field = constant(g, 0, highest);
    else
      field = scale(bits(field, 0, highest - field.lsb + 1), field.lsb);
  }
  // The top bit must not lie below the smallest normal exponent.
  int width = field.width();
  const int low = field.lsb;
  width = std::max(width, smallest_normal(f) - low + 1);
  const Fx wide = widen(scale(field, -low), 0, pow2(width) - 1);
  Rounded out =
      build_round(f, rounding, {wide, constant(g, low + width - 1 - smallest_normal(f)), sticky},
                  random, prefix);
  if (top > highest) {
    const Int most = formats::max_finite_code(f);
    out.code = bits(mux(too_big, constant(g, most), out.code), 0, out.code.width());
    out.overflow = or_(out.overflow, too_big);
  }
  return out;
}

Fx build_encode(const ElementFormat& f, const Rounding& rounding, const Fx& sign,
                const Rounded& rounded, const Fx& nan, const Fx& inf, const Fx& inf_sign,
                std::string_view prefix) {
  Graph& g = *rounded.code.graph;
  const auto label = [&](const char* what) { return fmt::format("{}_{}", prefix, what); };
  const int width = f.exp_bits + f.man_bits;
  const auto magnitude_code = [&](std::uint32_t code) {
    return constant(g, code & ((std::uint64_t{1} << width) - 1));
  };
  const bool has_inf = formats::has_inf(f), has_nan = formats::has_nan(f);
  const bool overflow_is_special = has_nan && rounding.mode != RoundingMode::kRtz;
  const Fx beyond =
      name(or_(inf, overflow_is_special ? and_(rounded.overflow, not_(inf)) : constant(g, 0)),
           label("beyond"));
  const Fx out_sign = mux(inf, inf_sign, sign);
  Fx code = rounded.code;
  Fx is_nan = nan;
  if (has_inf) {
    code = mux(beyond, magnitude_code(formats::inf_code(f)), code);
  } else if (has_nan) {
    is_nan = or_(nan, beyond);
  } else {
    code = mux(inf, magnitude_code(formats::max_finite_code(f)), code);
  }
  const Fx nan_code = has_nan ? magnitude_code(formats::nan_code(f)) : constant(g, 0);
  code = name(bits(mux(is_nan, nan_code, code), 0, width), label("magnitude"));
  return cat({name(and_(out_sign, not_(is_nan)), label("sign_bit")), code});
}

}  // namespace blockdot::rtl_gen
