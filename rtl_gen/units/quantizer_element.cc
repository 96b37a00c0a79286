// Elements are x over the scale's value, rounded once. Over a power of two that is an exponent;
// over any other scale a restoring division gives the digits that the rounding reads and whether
// anything is left, so that the rounding is that of the exact quotient.
//
// A code of a book is found bit by bit, from the top: the threshold between the codes below and
// above, times the scale, is compared with x, exactly. Stochastic rounding with r bits finds the
// neighbours lo <= x < hi so and goes up from hi - (hi - lo) * random / 2^r on.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "formats/code_book.h"
#include "formats/error.h"
#include "rtl_gen/units/divide.h"
#include "rtl_gen/units/quantizer_parts.h"

namespace blockdot::rtl_gen::quantizer {

using formats::ElementFormat;
using formats::ElementKind;
using formats::RoundingMode;
using formats::ScaleRule;

namespace {

Fx with_sign(const ElementFormat& element, const Fx& sign, Fx code) {
  Graph& g = *code.graph;
  switch (element.kind) {
    case ElementKind::kMinifloat: {
      // The code of fnuz's -0 is its NaN.
      const Fx sign_bit =
          element.special == formats::Special::kFnuz ? and_(sign, nonzero(code)) : sign;
      return cat({sign_bit, code});
    }
    case ElementKind::kSignMagnitude:
      return cat({sign, code});
    case ElementKind::kInteger: {
      const Int top = pow2(element.int_bits - 1) - 1;
      if (!element.symmetric) {
        const Fx limit = mux(sign, constant(g, top + 1), constant(g, top));
        code = mux(less(limit, code), limit, code);
      }
      return bits(neg_if(sign, code), 0, element.int_bits);
    }
    case ElementKind::kCodeBook:
      break;
  }
  BLOCKDOT_CHECK(false, "a code book has no magnitudes");
}

// NaN and Inf of single values, where no block is lost to them: Inf becomes Inf, else NaN, else
// the largest; without a scale so do values that overflow, but under rtz.
Fx with_specials(const QuantizerSpec& spec, const Value& x, const Fx& overflow, const Fx& code) {
  Graph& g = *code.graph;
  const ElementFormat& element = spec.format.element;
  const Fx infinity = constant(g, formats::inf_code(spec.input));
  const Fx nan = less(infinity, x.code);
  if (!formats::has_nan(element)) return mux(nan, constant(g, 0), code);
  Fx beyond = equal(x.code, infinity);
  if (!spec.format.has_scale() && spec.rounding.mode != RoundingMode::kRtz)
    beyond = or_(beyond, and_(overflow, not_(nan)));
  const Fx nan_code = constant(g, formats::nan_code(element));
  if (!formats::has_inf(element)) return mux(or_(nan, beyond), nan_code, code);
  const Fx inf_code =
      cat({x.sign, bits(constant(g, formats::inf_code(element)), 0, element.width() - 1)});
  return mux(nan, nan_code, mux(beyond, inf_code, code));
}

Fx encode_number(const QuantizerSpec& spec, const Value& x, const SharedScale& scale,
                 const Fx& random, int lane) {
  Graph& g = *x.code.graph;
  const ElementFormat& element = spec.format.element;
  const ElementFormat grid = grid_of(element);
  const std::string prefix = fmt::format("e{}", lane);
  const int emax = formats::max_exponent(element);
  Unrounded unrounded{x.significand, sub(x.exponent, constant(g, spec.input.bias)), constant(g, 0)};
  Int most;
  if (!scale.significand) {
    // A factor of 3/4 stands below the significand's top bit.
    if (spec.rule == ScaleRule::kThreeQuarters)
      unrounded.significand =
          widen(mul(x.significand, constant(g, 3)), 0, pow2(x.significand.width() + 2) - 1);
    unrounded.exponent = sub(unrounded.exponent, scale.exponent);
    // The top bit of a subnormal's significand is zero and may stand above what overflows, over the
    // lowest exponent.
    most = std::max(Int(emax + 1), Int(1 - spec.input.bias - scale.exponent.lo));
    // amax / 2^exponent lies below 4 * 2^emax but where the exponent is cut at 127: no rule wants
    // more for elements that reach 1/2. A given scale may be any.
    if (emax >= -1 && spec.format.block > 0)
      unrounded.exponent = assume(unrounded.exponent, unrounded.exponent.lo, most);
  } else {
    Float number = to_float(spec.input, x.code, prefix);
    int zeros = 1;  // that the quotient may begin with
    if (spec.format.scale.of_maximum) {
      const Float max = to_float(g, formats::max_value(element));
      const int width = number.significand.width() + max.significand.width();
      number.significand = widen(mul(number.significand, max.significand), 0, pow2(width) - 1);
      number.exponent = add(number.exponent, add(max.exponent, constant(g, 1)));
      zeros = 2;
    }
    const Quotient q = divide(number.significand, *scale.significand,
                              grid.man_bits + 1 + tail_bits(spec.rounding) + zeros, prefix);
    unrounded = {q.digits, sub(number.exponent, scale.exponent), q.rest};
    most = emax + 1 + zeros;
  }
  const Rounded rounded = round_to(grid, spec.rounding, unrounded, most, random, prefix);
  const Fx code = with_sign(element, x.sign, rounded.code);
  return spec.format.block > 0 ? code : with_specials(spec, x, rounded.overflow, code);
}

// Codes from c on are those of x > value, or x >= value where it is not strict.
struct Threshold {
  double value;
  bool strict;
};
Threshold threshold(const formats::CodeBook book, RoundingMode mode, std::size_t c) {
  const double lo = formats::code_book_values(book)[c - 1], hi = formats::code_book_values(book)[c];
  const double middle = (lo + hi) / 2;
  switch (mode) {
    case RoundingMode::kRne:
      return {middle, (c - 1) % 2 == 0};
    case RoundingMode::kRna:
      return {middle, std::fabs(hi) < std::fabs(lo)};
    case RoundingMode::kRtz:
      if (lo < 0 && hi > 0) return {middle, false};  // no value on the way to zero
      return lo < 0 ? Threshold{lo, true} : Threshold{hi, false};
    case RoundingMode::kStochastic:
      return {hi, false};
  }
  BLOCKDOT_CHECK(false, "rounding mode");
}

// entries[index] of constants, whose length is a power of two.
Fx look_up(std::vector<Fx> entries, const std::vector<Fx>& index_from_top) {
  for (std::size_t level = index_from_top.size(); level-- > 0;) {
    std::vector<Fx> next;
    for (std::size_t i = 0; i < entries.size(); i += 2)
      next.push_back(mux(index_from_top[level], entries[i + 1], entries[i]));
    entries = std::move(next);
  }
  return entries.front();
}

Fx encode_book(const QuantizerSpec& spec, const Value& x, const SharedScale& scale,
               const Fx& random, int lane) {
  Graph& g = *x.code.graph;
  const formats::CodeBook book = spec.format.element.book;
  const int width = formats::code_book_width(book);
  const bool stochastic = spec.rounding.stochastic();
  const auto label = [&](const char* what) { return fmt::format("e{}_{}", lane, what); };
  // Of code 0: none, its value is the lowest neighbour.
  std::vector<Threshold> thresholds = {
      {stochastic ? formats::code_book_values(book)[0] : 0.0, false}};
  for (std::size_t c = 1; c < (std::size_t{1} << width); ++c)
    thresholds.push_back(threshold(book, spec.rounding.mode, c));
  int fraction = 0;
  for (const Threshold& t : thresholds)
    while (std::ldexp(t.value, fraction) != std::floor(std::ldexp(t.value, fraction))) ++fraction;
  const auto integer = [&](double value) {
    return Int(static_cast<std::int64_t>(std::ldexp(value, fraction)));
  };
  // x in units of a threshold times the scale's last bit (with the places that stochastic rounding
  // reads), and a bit for what lies below. Beyond twice the scale every threshold is passed; far
  // below it only the sign counts.
  const int places = stochastic ? tail_bits(spec.rounding) : 0;
  const Fx significand = scale.significand.value_or(constant(g, 1));
  const Float number = to_float(spec.input, x.code, fmt::format("e{}", lane));
  const Fx behind = sub(add(scale.exponent, constant(g, 1)), number.exponent);
  const int whole = fraction + places + significand.width() + 1;  // bits of twice the scale
  const int tail = number.significand.width();
  const Fx capped = mux(less(constant(g, whole), behind), constant(g, whole), behind);
  const Fx shift =
      name(assume(mux(sign(behind), constant(g, 0), capped), 0, whole), label("shift"));
  const Fx placed = blockdot::rtl_gen::scale(extend_lsb(number.significand, -whole), whole);
  const Fx moved = name(shr_floor(placed, shift), label("moved"));
  const Fx field = widen(moved, 0, pow2(whole + tail) - 1);
  const Fx magnitude = cat({bits(field, tail, whole), nonzero(bits(field, 0, tail))});
  const Fx value = name(neg_if(x.sign, magnitude), label("value"));
  const Fx fine = blockdot::rtl_gen::scale(value, -(places + 1));  // in units of a threshold
  const Fx searched = stochastic ? floor_to(fine, 0) : value;
  const int below = stochastic ? 0 : 1;

  // The thresholds times the scale: all of them once for all lanes where they are few, else of each
  // lane's search the one that it comes to.
  const bool once = width <= 4 && lanes_of(spec) > 4;
  const auto bound = [&](const Fx& factor, const Fx& strict) {
    return add(mul(factor, significand), strict);
  };
  std::vector<Fx> code;  // from the top
  for (int level = 0; level < width; ++level) {
    std::vector<Fx> entries, factors, strict;
    const std::size_t step = std::size_t{1} << (width - 1 - level);
    for (std::size_t c = step; c < thresholds.size(); c += 2 * step) {
      factors.push_back(constant(g, integer(thresholds[c].value) << below));
      strict.push_back(constant(g, thresholds[c].strict ? 1 : 0));
      if (once)
        entries.push_back(name(bound(factors.back(), strict.back()), fmt::format("bound{}", c)));
    }
    const Fx border =
        once ? look_up(entries, code) : bound(look_up(factors, code), look_up(strict, code));
    code.push_back(not_(less(searched, name(border, fmt::format("e{}_bound{}", lane, level)))));
  }
  Fx found = cat(code);
  if (stochastic) {
    const std::size_t last = thresholds.size() - 1;
    std::vector<Fx> tops, gaps;  // of code c: the value above it, and how far that is
    for (std::size_t c = 0; c <= last; ++c) {
      const std::size_t above = std::min(c + 1, last);
      const Int top = integer(thresholds[above].value);
      const Int gap = top - integer(thresholds[above - 1].value);
      tops.push_back(constant(g, top));
      gaps.push_back(constant(g, gap));
      if (!once) continue;
      tops.back() = name(mul(tops.back(), significand), fmt::format("bound{}", above));
      gaps.back() = name(mul(gaps.back(), significand), fmt::format("gap{}", above));
    }
    Fx top = look_up(tops, code), gap = look_up(gaps, code);
    if (!once) {
      top = mul(top, significand);
      gap = mul(gap, significand);
    }
    // SRF and SRC stand half a draw lower; at an odd draw SRC's tie does not go up.
    const formats::SrVariant variant = spec.rounding.variant;
    const Fx draw = variant == formats::SrVariant::kSrff ? random : cat({random, constant(g, 1)});
    const Fx drop = name(mul(gap, draw), label("drop"));
    Fx border = sub(top, blockdot::rtl_gen::scale(drop, -places));
    if (variant == formats::SrVariant::kSrc)
      border = add(border, blockdot::rtl_gen::scale(bit(random, 0), -(places + 1)));
    const Fx at_end = is_zero(not_(found));
    const Fx up =
        name(and_(not_(less(fine, name(border, label("border")))), not_(at_end)), label("up"));
    found = name(assume(add(found, up), 0, Int(last)), label("code"));
  }
  if (spec.format.block > 0) return found;
  // NaN becomes the code of zero, or of the last value in a book without.
  const Fx nan = less(constant(g, formats::inf_code(spec.input)), x.code);
  return mux(nan, constant(g, formats::encode_code_book(book, std::nan(""), {}, 0)), found);
}

}  // namespace

Fx encode(const QuantizerSpec& spec, const Value& x, const SharedScale& scale, const Fx& random,
          int lane) {
  Graph& g = *x.code.graph;
  const Fx code = spec.format.element.kind == ElementKind::kCodeBook
                      ? encode_book(spec, x, scale, random, lane)
                      : encode_number(spec, x, scale, random, lane);
  const Fx zero = constant(g, formats::zero_code(spec.format.element));
  return bits(mux(scale.none, zero, code), 0, spec.format.element.width());
}

}  // namespace blockdot::rtl_gen::quantizer
