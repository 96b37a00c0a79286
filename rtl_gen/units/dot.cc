// Lanes multiply significands, shift the product by the sum of both exponents, and put it into one
// heap. A negative product enters as its complement; the missing +1s are counted apart, because the
// signs are known long before the products:
//
//   -p = ~p + 1        sum = sum_j (p_j ^ sign_j) + count(sign_j)
//
// Two two's complement operands go into the heap as rows of partial products instead (Baugh and
// Wooley): row i is b masked by bit i of a; the row of a's sign bit is subtracted.
#include "rtl_gen/units/dot.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"

namespace blockdot::rtl_gen {

using formats::BlockFormat;
using formats::DotSpec;
using formats::ElementKind;

namespace {

int micro_groups(const BlockFormat& f, int lanes) { return lanes / f.micro.block; }

// 2^d - 1 - tau = ~tau: a left shift that the unit of the sum takes back.
Fx micro_shift(const BlockFormat& f, const OperandPorts& ports, int lane) {
  const int group = lane / f.micro.block;
  return not_(bits(*ports.micro, group * f.micro.bits, f.micro.bits));
}

int micro_most(const BlockFormat& f) { return f.micro.bits == 0 ? 0 : (1 << f.micro.bits) - 1; }

Fx element_code(const BlockFormat& f, const OperandPorts& ports, int lane) {
  return bits(ports.elements, lane * f.element.width(), f.element.width());
}

bool is_integer_pair(const DotSpec& spec) {
  return spec.a.element.kind == ElementKind::kInteger &&
         spec.b.element.kind == ElementKind::kInteger;
}

// Rows of a * b for the heap, in units of the product.
void partial_products(const Fx& a, const Fx& b, int lane, std::vector<Fx>& rows,
                      std::vector<Fx>& ones) {
  const int n = a.width();
  const Fx b0 = scale(b, -b.lsb);
  for (int i = 0; i < n; ++i) {
    const Fx masked =
        name(mux(bit(a, i), b0, constant(*a.graph, 0)), fmt::format("row{}_{}", lane, i));
    if (i + 1 < n) {
      rows.push_back(scale(masked, i));
      continue;
    }
    // The sign bit weighs -2^(n-1): -x = ~x + 1.
    Fx inverted = not_(masked);
    inverted.lo = -pow2(masked.width() - 1);
    inverted.hi = pow2(masked.width() - 1) - 1;
    rows.push_back(scale(inverted, i));
    ones.push_back(scale(constant(*a.graph, 1), i));
  }
}

}  // namespace

OperandPorts declare_operand(Graph& g, const BlockFormat& f, int lanes, std::string_view side) {
  OperandPorts ports;
  ports.elements = input(g, fmt::format("{}_i", side), lanes * f.element.width());
  if (f.scale.width() > 0) ports.scale = input(g, fmt::format("{}_scale_i", side), f.scale.width());
  if (f.micro.bits > 0)
    ports.micro = input(g, fmt::format("{}_micro_i", side), micro_groups(f, lanes) * f.micro.bits);
  return ports;
}

SumRange block_dot_range(const DotSpec& spec) {
  const auto& ea = spec.a.element;
  const auto& eb = spec.b.element;
  const int micro = micro_most(spec.a) + micro_most(spec.b);
  const auto low = [](const formats::ElementFormat& f) { return -max_integer(f); };
  const auto high = [](const formats::ElementFormat& f) {
    return f.kind == ElementKind::kInteger ? pow2(f.int_bits - 1) - 1 : max_integer(f);
  };
  const Int products[] = {low(ea) * low(eb), low(ea) * high(eb), high(ea) * low(eb),
                          high(ea) * high(eb)};
  const Int scale = pow2(micro) * spec.lanes;
  return {{*std::min_element(std::begin(products), std::end(products)) * scale,
           *std::max_element(std::begin(products), std::end(products)) * scale},
          formats::lsb_exponent(ea) + formats::lsb_exponent(eb) - micro};
}

BlockDot build_block_dot(Graph& g, const DotSpec& spec, const OperandPorts& a,
                         const OperandPorts& b) {
  const int lanes = spec.lanes;
  const SumRange total = block_dot_range(spec);
  const int micro = micro_most(spec.a) + micro_most(spec.b);
  std::vector<Fx> terms;
  BlockDot out;
  out.nan = out.plus_inf = out.minus_inf = out.any_special = constant(g, 0);

  if (is_integer_pair(spec) && micro == 0) {
    g.section("partial products");
    std::vector<Fx> ones;
    for (int j = 0; j < lanes; ++j) {
      const Fx x =
          decode_integer(spec.a.element, element_code(spec.a, a, j), fmt::format("a{}", j));
      const Fx y =
          decode_integer(spec.b.element, element_code(spec.b, b, j), fmt::format("b{}", j));
      partial_products(x, y, j, terms, ones);
    }
    terms.insert(terms.end(), ones.begin(), ones.end());
    g.section("sum");
    out.sum = name(scale(sum(g, terms, total.range), total.lsb), "sum");
    return out;
  }

  g.section("decode");
  std::vector<Element> xs, ys;
  for (int j = 0; j < lanes; ++j) {
    xs.push_back(
        decode_element(g, spec.a.element, element_code(spec.a, a, j), fmt::format("a{}", j)));
    ys.push_back(
        decode_element(g, spec.b.element, element_code(spec.b, b, j), fmt::format("b{}", j)));
  }
  const auto finish = [&](int j, const char* what) { return fmt::format("{}{}", what, j); };

  g.section("multiply");
  std::vector<Fx> products, signs;
  for (int j = 0; j < lanes; ++j) {
    products.push_back(name(mul(xs[static_cast<std::size_t>(j)].significand,
                                ys[static_cast<std::size_t>(j)].significand),
                            finish(j, "prod")));
    signs.push_back(
        name(xor_(xs[static_cast<std::size_t>(j)].sign, ys[static_cast<std::size_t>(j)].sign),
             finish(j, "neg")));
  }

  g.section("align");
  for (int j = 0; j < lanes; ++j) {
    const auto i = static_cast<std::size_t>(j);
    std::vector<Fx> parts = {xs[i].shift, ys[i].shift};
    if (spec.a.micro.bits > 0) parts.push_back(micro_shift(spec.a, a, j));
    if (spec.b.micro.bits > 0) parts.push_back(micro_shift(spec.b, b, j));
    const Fx shift = name(sum(g, parts), finish(j, "shift"));
    Fx aligned = shl(products[i], shift);
    aligned = scale(aligned, xs[i].weight + ys[i].weight - micro - total.lsb);
    BLOCKDOT_CHECK(aligned.lsb == 0, "unit of lane {}: {}", j, aligned.lsb);
    aligned = assume(aligned, 0, total.range.hi / lanes);
    aligned = name(aligned, finish(j, "aligned"));
    // Complemented where negative, as a two's complement number with the sign on top.
    const int w = aligned.width();
    Fx term = cat({signs[i], xor_(aligned, repeat(signs[i], w))});
    term.lo = -pow2(w);
    term.hi = pow2(w) - 1;
    terms.push_back(term);
  }

  g.section("sum");
  terms.push_back(name(sum(g, signs), "negatives"));
  out.sum = name(scale(sum(g, terms, total.range), total.lsb), "sum");

  g.section("NaN and Inf");
  std::vector<Fx> nans, plus, minus, special;
  const bool inf_is_nan = spec.specials == formats::SpecialsPolicy::kNan;
  for (int j = 0; j < lanes; ++j) {
    const auto i = static_cast<std::size_t>(j);
    const Element& x = xs[i];
    const Element& y = ys[i];
    const bool x_inf = formats::has_inf(spec.a.element), y_inf = formats::has_inf(spec.b.element);
    nans.push_back(x.nan);
    nans.push_back(y.nan);
    for (const Fx& f : {x.nan, x.inf, y.nan, y.inf}) special.push_back(f);
    if (inf_is_nan) {
      nans.push_back(x.inf);
      nans.push_back(y.inf);
      continue;
    }
    if (!x_inf && !y_inf) continue;
    // A zero is an element whose code has no bit below the sign.
    const auto zero = [&](const BlockFormat& f, const OperandPorts& p) {
      const Fx code = element_code(f, p, j);
      const int low = f.element.kind == ElementKind::kInteger ? code.width() : code.width() - 1;
      return is_zero(bits(code, 0, low));
    };
    if (x_inf) nans.push_back(and_(x.inf, zero(spec.b, b)));
    if (y_inf) nans.push_back(and_(y.inf, zero(spec.a, a)));
    const Fx inf = name(or_(x.inf, y.inf), finish(j, "inf"));
    plus.push_back(and_(inf, not_(signs[i])));
    minus.push_back(and_(inf, signs[i]));
  }
  out.nan = name(any_of(g, nans), "beat_nan");
  out.plus_inf = name(any_of(g, plus), "beat_plus_inf");
  out.minus_inf = name(any_of(g, minus), "beat_minus_inf");
  out.any_special = name(any_of(g, special), "any_special");
  return out;
}

BeatValue build_beat_value(Graph& g, const DotSpec& spec, const OperandPorts& a,
                           const OperandPorts& b) {
  const BlockDot dot = build_block_dot(g, spec, a, b);
  g.section("scale");
  const Fx none = constant(g, 0);
  const Scale x = decode_scale(g, spec.a.scale, a.scale.value_or(none), "a_scale");
  const Scale y = decode_scale(g, spec.b.scale, b.scale.value_or(none), "b_scale");
  BeatValue out;
  const Fx factor = name(mul(x.significand, y.significand), "scale_sig");
  out.significand = name(scale(mul(dot.sum, factor), x.weight + y.weight), "scaled");
  out.shift = name(add(x.shift, y.shift), "scale_shift");

  // The largest factor: NaN and Inf codes are left out, they do not count.
  const auto most = [](const formats::ScaleFormat& f) -> Int {
    switch (f.kind) {
      case formats::ScaleKind::kNone:
      case formats::ScaleKind::kInteger:  // no unit takes these two
      case formats::ScaleKind::kCodeBook:
        return 1;
      case formats::ScaleKind::kE8M0:
        return pow2(static_cast<int>(formats::kE8M0Nan) - 1);
      case formats::ScaleKind::kMinifloat:
        return max_integer(f.minifloat) * 2;  // in units of shift 0
    }
    return 1;
  };
  const Int scales = most(spec.a.scale) * most(spec.b.scale);
  const SumRange total = block_dot_range(spec);
  out.limit = {total.range.lo * scales, total.range.hi * scales};

  out.nan = name(any_of(g, {dot.nan, x.not_finite, y.not_finite,
                            and_(or_(x.zero, y.zero), or_(dot.plus_inf, dot.minus_inf))}),
                 "term_nan");
  out.plus_inf = dot.plus_inf;
  out.minus_inf = dot.minus_inf;
  return out;
}

}  // namespace blockdot::rtl_gen
