#include "rtl_gen/units/decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "formats/error.h"

namespace blockdot::rtl_gen {

using formats::ElementFormat;
using formats::ElementKind;
using formats::Special;

namespace {

// Exponent and mantissa of a minifloat magnitude code.
struct Fields {
  Fx significand, shift;  // hidden one and mantissa; max(exponent, 1) less `base`
  int base = 0;
  Fx nan, inf;
};

// `magnitude`: exp_bits + man_bits bits. Special codes keep their significand here.
Fields split(Graph& g, const ElementFormat& f, const Fx& magnitude, std::string_view name) {
  const Fx exponent = bits(magnitude, f.man_bits, f.exp_bits);
  Fx normal = nonzero(exponent);
  if (f.exp_bits > 1) normal = rtl_gen::name(normal, fmt::format("{}_normal", name));
  Fields out;
  out.significand = f.man_bits == 0 ? normal
                                    : rtl_gen::name(cat({normal, bits(magnitude, 0, f.man_bits)}),
                                                    fmt::format("{}_sig", name));
  // A subnormal has the shift of exponent 1: its lowest bit becomes one.
  const bool top_is_special = f.special == Special::kIeee;
  const Int most = pow2(f.exp_bits) - (top_is_special ? 2 : 1);
  if (f.exp_bits == 1) {
    out.shift = constant(g, 1);
  } else if (f.exp_bits == 2 && !top_is_special) {
    // 0, 0, 1, 2: two gates, and one bit less in the sum of two.
    const Fx high = bit(exponent, 1), low = bit(exponent, 0);
    out.shift =
        rtl_gen::name(cat({and_(high, low), and_(high, not_(low))}), fmt::format("{}_exp", name));
    out.shift.hi = 2;
    out.base = 1;
  } else {
    const Fx low = or_(bit(exponent, 0), not_(normal));
    Fx shift = cat({bits(exponent, 1, f.exp_bits - 1), low});
    shift.lo = 1;
    if (range_width(1, most) == shift.width()) shift.hi = most;
    out.shift = rtl_gen::name(shift, fmt::format("{}_exp", name));
  }
  out.nan = out.inf = constant(g, 0);
  switch (f.special) {
    case Special::kFinite:
    case Special::kFnuz:
      break;  // fnuz: its NaN is a matter of the sign
    case Special::kFn:
      out.nan = is_zero(not_(magnitude));
      break;
    case Special::kIeee: {
      const Fx special = is_zero(not_(exponent));
      const Fx fraction = nonzero(bits(magnitude, 0, f.man_bits));
      out.nan = and_(special, fraction);
      out.inf = and_(special, not_(fraction));
      break;
    }
  }
  return out;
}

// Magnitudes of a code book in units of 2^lsb_exponent, by code.
std::vector<Int> book_magnitudes(const ElementFormat& f) {
  std::vector<Int> magnitudes;
  for (float value : formats::code_book_values(f.book))
    magnitudes.emplace_back(
        static_cast<std::int64_t>(std::ldexp(std::fabs(value), -formats::lsb_exponent(f))));
  return magnitudes;
}

using Tables = std::map<std::vector<Int>, Fx>;

Fx lookup_in(Graph& g, const Fx& code, const std::vector<Int>& table, Tables& made) {
  if (std::all_of(table.begin(), table.end(), [&](const Int& v) { return v == table[0]; }))
    return constant(g, table[0]);
  const auto found = made.find(table);
  if (found != made.end()) return found->second;
  const auto middle = table.begin() + static_cast<std::ptrdiff_t>(table.size() / 2);
  const int below = code.width() - 1;
  const Fx rest = below > 0 ? bits(code, 0, below) : code;
  const Fx out = mux(bit(code, below), lookup_in(g, rest, {middle, table.end()}, made),
                     lookup_in(g, rest, {table.begin(), middle}, made));
  made.emplace(table, out);
  return out;
}

}  // namespace

Fx lookup(Graph& g, const Fx& code, const std::vector<Int>& table) {
  BLOCKDOT_CHECK(table.size() == std::size_t{1} << static_cast<unsigned>(code.width()));
  Tables made;
  return lookup_in(g, code, table, made);
}

Int magnitude_of(const ElementFormat& f, std::uint32_t code) {
  switch (f.kind) {
    case ElementKind::kInteger:
      return abs(to_signed_int(to_bits(Int(code), f.int_bits)));
    case ElementKind::kSignMagnitude:
      return code;
    case ElementKind::kCodeBook:
      return book_magnitudes(f)[code];
    case ElementKind::kMinifloat:
      break;
  }
  if (code > formats::max_finite_code(f)) return 0;
  const unsigned exponent = code >> static_cast<unsigned>(f.man_bits);
  const Int mantissa = code & ((1u << static_cast<unsigned>(f.man_bits)) - 1);
  return exponent == 0 ? mantissa : (mantissa + pow2(f.man_bits)) << (exponent - 1);
}

Int max_integer(const ElementFormat& f) {
  if (f.kind == ElementKind::kInteger) return pow2(f.int_bits - 1) - (f.symmetric ? 1 : 0);
  if (f.kind == ElementKind::kCodeBook) {
    const std::vector<Int> magnitudes = book_magnitudes(f);
    return *std::max_element(magnitudes.begin(), magnitudes.end());
  }
  return magnitude_of(f, formats::max_finite_code(f));
}

Fx decode_integer(const ElementFormat& f, const Fx& code, std::string_view name) {
  BLOCKDOT_CHECK(f.kind == ElementKind::kInteger && code.width() == f.int_bits);
  const Int hi = pow2(f.int_bits - 1) - 1, lo = f.symmetric ? Int(-hi) : Int(-hi - 1);
  return rtl_gen::name(scale(assume(code, lo, hi), -f.frac_bits), name);
}

Element decode_element(Graph& g, const ElementFormat& f, const Fx& code, std::string_view name) {
  BLOCKDOT_CHECK(code.width() == f.width(), "{} code of {} bits", formats::to_text(f),
                 code.width());
  Element e;
  e.nan = e.inf = constant(g, 0);
  e.shift = constant(g, 0);
  e.weight = formats::lsb_exponent(f);
  e.max_magnitude = max_integer(f);
  e.sign = bit(code, code.width() - 1);
  switch (f.kind) {
    case ElementKind::kInteger:
      e.significand = rtl_gen::name(scale(magnitude(decode_integer(f, code, name)), f.frac_bits),
                                    fmt::format("{}_sig", name));
      break;
    case ElementKind::kSignMagnitude:
      e.significand = bits(code, 0, f.int_bits);
      break;
    case ElementKind::kCodeBook: {
      // Values rise with the code: the negative ones come first.
      std::vector<Int> negative;
      for (float value : formats::code_book_values(f.book))
        negative.emplace_back(value < 0 ? 1 : 0);
      e.significand =
          rtl_gen::name(lookup(g, code, book_magnitudes(f)), fmt::format("{}_sig", name));
      e.sign = lookup(g, code, negative);
      break;
    }
    case ElementKind::kMinifloat: {
      const Fields fields = split(g, f, bits(code, 0, f.exp_bits + f.man_bits), name);
      e.significand = fields.significand;
      e.shift = fields.shift;
      e.weight += fields.base - 1;  // exponent 1 is the subnormals' place
      e.nan = fields.nan;
      e.inf = fields.inf;
      if (f.special == Special::kFnuz) {
        e.nan = and_(e.sign, is_zero(bits(code, 0, code.width() - 1)));
        break;  // the code of -0 has significand 0 already
      }
      // A NaN makes every result NaN: its significand may be anything. Not so beside Inf.
      if (f.special == Special::kFinite || f.special == Special::kFn) break;
      const Fx special = is_zero(not_(bits(code, f.man_bits, f.exp_bits)));
      e.significand =
          rtl_gen::name(and_(e.significand, repeat(not_(special), e.significand.width())),
                        fmt::format("{}_fin", name));
      break;
    }
  }
  if (f.kind == ElementKind::kInteger) e.significand.lsb = 0;
  e.nan = rtl_gen::name(e.nan, fmt::format("{}_nan", name));
  e.inf = rtl_gen::name(e.inf, fmt::format("{}_inf", name));
  return e;
}

Scale decode_scale(Graph& g, const formats::ScaleFormat& f, const Fx& code, std::string_view name) {
  Scale s;
  s.significand = constant(g, 1);
  s.sign = s.shift = s.not_finite = s.zero = constant(g, 0);
  switch (f.kind) {
    case formats::ScaleKind::kNone:
      break;
    case formats::ScaleKind::kInteger:
      s.significand = code;
      s.zero = is_zero(code);
      s.most = pow2(f.int_bits) - 1;
      break;
    case formats::ScaleKind::kCodeBook: {
      const ElementFormat book = formats::code_book(f.book);
      const Element entry = decode_element(g, book, code, name);
      s.sign = entry.sign;
      s.significand = entry.significand;
      s.zero = is_zero(entry.significand);
      s.weight = entry.weight;
      s.most = entry.max_magnitude;
      break;
    }
    case formats::ScaleKind::kE8M0:
      s.shift = code;
      s.weight = -formats::kE8M0Bias;
      s.most = pow2(static_cast<int>(formats::kE8M0Nan) - 1);
      s.not_finite = is_zero(not_(code));
      break;
    case formats::ScaleKind::kMinifloat: {
      const ElementFormat& m = f.minifloat;
      const Fields fields = split(g, m, code, name);
      s.significand = fields.significand;
      s.shift = fields.shift;
      s.base = fields.base;
      s.weight = formats::lsb_exponent(m) + fields.base - 1;
      s.most = fields.base == 0 ? Int(max_integer(m) * 2) : max_integer(m);
      s.not_finite = or_(fields.nan, fields.inf);
      s.zero = is_zero(code);
      break;
    }
  }
  s.not_finite = rtl_gen::name(s.not_finite, fmt::format("{}_not_finite", name));
  return s;
}

}  // namespace blockdot::rtl_gen
