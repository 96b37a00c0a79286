// Elements are x over the scale's value, rounded once. Over a power of two that is an exponent;
// over any other scale a restoring division gives the digits that the rounding reads and whether
// anything is left, so that the rounding is that of the exact quotient.
//
// A code of a book is found bit by bit, from the top: bit by bit the threshold between the codes
// below and above, times the scale, is compared with x, exactly.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "formats/code_book.h"
#include "formats/error.h"
#include "rtl_gen/units/divide.h"
#include "rtl_gen/units/quantizer_parts.h"
#include "rtl_gen/units/round.h"

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
    // more for elements that reach 1/2.
    if (emax >= -1) unrounded.exponent = assume(unrounded.exponent, unrounded.exponent.lo, most);
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
  return with_sign(element, x.sign, round_to(grid, spec.rounding, unrounded, most, random, prefix));
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
      break;
  }
  BLOCKDOT_CHECK(false, "validate refuses the rounding");
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

Fx encode_book(const QuantizerSpec& spec, const Value& x, const SharedScale& scale, int lane) {
  Graph& g = *x.code.graph;
  const formats::CodeBook book = spec.format.element.book;
  const int width = formats::code_book_width(book);
  const auto label = [&](const char* what) { return fmt::format("e{}_{}", lane, what); };
  std::vector<Threshold> thresholds = {{0, false}};  // of code 0: none
  int fraction = 0;
  for (std::size_t c = 1; c < (std::size_t{1} << width); ++c) {
    thresholds.push_back(threshold(book, spec.rounding.mode, c));
    while (std::ldexp(thresholds[c].value, fraction) !=
           std::floor(std::ldexp(thresholds[c].value, fraction)))
      ++fraction;
  }
  // x in units of a threshold times the scale's last bit, and a bit for what lies below. Beyond
  // twice the scale every threshold is passed; far below it only the sign counts.
  const Fx significand = scale.significand.value_or(constant(g, 1));
  const Float number = to_float(spec.input, x.code, fmt::format("e{}", lane));
  const Fx behind = sub(add(scale.exponent, constant(g, 1)), number.exponent);
  const int whole = fraction + significand.width() + 1;  // bits of twice the scale
  const int tail = number.significand.width();
  const Fx capped = mux(less(constant(g, whole), behind), constant(g, whole), behind);
  const Fx shift =
      name(assume(mux(sign(behind), constant(g, 0), capped), 0, whole), label("shift"));
  const Fx placed = blockdot::rtl_gen::scale(extend_lsb(number.significand, -whole), whole);
  const Fx moved = name(shr_floor(placed, shift), label("moved"));
  const Fx field = widen(moved, 0, pow2(whole + tail) - 1);
  const Fx magnitude = cat({bits(field, tail, whole), nonzero(bits(field, 0, tail))});
  const Fx value = name(neg_if(x.sign, magnitude), label("value"));

  std::vector<Fx> code;  // from the top
  for (int level = 0; level < width; ++level) {
    std::vector<Fx> entries, strict;
    const std::size_t step = std::size_t{1} << (width - 1 - level);
    for (std::size_t c = step; c < thresholds.size(); c += 2 * step) {
      entries.push_back(constant(
          g, Int(static_cast<std::int64_t>(std::ldexp(thresholds[c].value, fraction))) * 2));
      strict.push_back(constant(g, thresholds[c].strict ? 1 : 0));
    }
    const Fx bound = add(mul(look_up(entries, code), significand), look_up(strict, code));
    code.push_back(not_(less(value, name(bound, fmt::format("e{}_bound{}", lane, level)))));
  }
  return cat(code);
}

}  // namespace

Fx encode(const QuantizerSpec& spec, const Value& x, const SharedScale& scale, const Fx& random,
          int lane) {
  Graph& g = *x.code.graph;
  const Fx code = spec.format.element.kind == ElementKind::kCodeBook
                      ? encode_book(spec, x, scale, lane)
                      : encode_number(spec, x, scale, random, lane);
  const Fx zero = constant(g, formats::zero_code(spec.format.element));
  return bits(mux(scale.none, zero, code), 0, spec.format.element.width());
}

}  // namespace blockdot::rtl_gen::quantizer
