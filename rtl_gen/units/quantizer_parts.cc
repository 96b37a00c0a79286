#include "rtl_gen/units/quantizer_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "formats/error.h"
#include "rtl_gen/units/round.h"

namespace blockdot::rtl_gen::quantizer {

using formats::ElementFormat;
using formats::ElementKind;
using formats::Rounding;

Fields fields(const ElementFormat& f, const Fx& code) {
  Graph& g = *code.graph;
  const Fx exponent = bits(code, f.man_bits, f.exp_bits);
  const Fx normal = nonzero(exponent);
  const Fx significand = f.man_bits == 0 ? normal : cat({normal, bits(code, 0, f.man_bits)});
  if (f.exp_bits == 1) return {constant(g, 1), significand};
  Fx field = cat({bits(exponent, 1, f.exp_bits - 1), or_(bit(exponent, 0), not_(normal))});
  field.lo = 1;
  return {field, significand};
}

Value split(const ElementFormat& input, const Fx& x, int lane) {
  Value v;
  const int width = input.width();
  v.sign = bit(x, width - 1);
  v.code = name(bits(x, 0, width - 1), fmt::format("mag{}", lane));
  const Fields parts = fields(input, v.code);
  v.significand = name(parts.significand, fmt::format("sig{}", lane));
  v.exponent = name(parts.exponent, fmt::format("exp{}", lane));
  return v;
}

Float to_float(const ElementFormat& f, const Fx& code, std::string_view prefix) {
  Graph& g = *code.graph;
  const Fields parts = fields(f, code);
  const Normalized norm = normalize(parts.significand, prefix);
  return {name(sub(parts.exponent, add(norm.shift, constant(g, f.bias))),
               fmt::format("{}_log", prefix)),
          norm.value};
}

Float to_float(Graph& g, double value) {
  int exponent;
  auto whole = static_cast<std::int64_t>(std::ldexp(std::frexp(value, &exponent), 53));
  while (whole % 2 == 0) whole /= 2;
  return {constant(g, exponent - 1), constant(g, whole)};
}

Float multiply(const Float& a, const Float& b, std::string_view prefix) {
  Graph& g = *a.exponent.graph;
  const int width = a.significand.width() + b.significand.width();
  const Fx exponent = add(a.exponent, b.exponent);
  // One has the significand 1.
  if (a.significand.lo == 1 && a.significand.hi == 1) return {exponent, b.significand};
  if (b.significand.lo == 1 && b.significand.hi == 1) return {exponent, a.significand};
  const Fx product = name(widen(mul(a.significand, b.significand), 0, pow2(width) - 1),
                          fmt::format("{}_product", prefix));
  const Fx high = bit(product, width - 1);  // in [2, 4), else in [1, 2)
  const Fx shifted = cat({bits(product, 0, width - 1), constant(g, 0)});
  return {name(add(exponent, high), fmt::format("{}_exponent", prefix)),
          name(mux(high, product, shifted), fmt::format("{}_norm", prefix))};
}

Fx largest(std::vector<Fx> codes, std::string_view prefix) {
  for (int level = 0; codes.size() > 1; ++level) {
    std::vector<Fx> next;
    for (std::size_t i = 0; i + 1 < codes.size(); i += 2)
      next.push_back(name(mux(less(codes[i], codes[i + 1]), codes[i + 1], codes[i]),
                          fmt::format("{}_max{}_{}", prefix, level, i / 2)));
    if (codes.size() % 2) next.push_back(codes.back());
    codes = std::move(next);
  }
  return codes.front();
}

namespace {
ElementFormat integer_grid(int bits, int frac_bits) {
  return formats::minifloat(1, bits - 1, formats::Special::kFinite, frac_bits - bits + 2);
}
}  // namespace

ElementFormat grid_of(const ElementFormat& f) {
  if (f.kind == ElementKind::kMinifloat) return f;
  // A full integer has one more magnitude on the negative side.
  const bool symmetric = f.kind == ElementKind::kInteger && f.symmetric;
  return integer_grid(symmetric ? f.int_bits - 1 : f.int_bits, f.frac_bits);
}

ElementFormat grid_of(const formats::ScaleFormat& scale) {
  if (scale.kind == formats::ScaleKind::kMinifloat) return scale.minifloat;
  return integer_grid(scale.int_bits, 0);
}

namespace {

Fx round_within(const ElementFormat& grid, const Rounding& rounding, int reach, const Unrounded& x,
                const Int& most, const Fx& random, std::string_view prefix) {
  Graph& g = *x.significand.graph;
  const auto label = [&](const char* what) { return fmt::format("{}_{}", prefix, what); };
  Fx above = sub(x.exponent, constant(g, smallest_normal(grid)));
  const Int limit = std::max(Int(most - smallest_normal(grid)), Int(1));
  if (above.hi > limit) above = mux(less(constant(g, limit), above), constant(g, limit), above);
  above = name(above, label("above"));
  // Below the smallest normal exponent it moves right; past `reach` only being nonzero counts.
  const Fx below = sign(above);
  const Fx distance =
      above.lo < 0 ? mux(below, assume(neg(above), 0, -above.lo), constant(g, 0)) : constant(g, 0);
  const Fx shift =
      name(assume(mux(less(constant(g, reach), distance), constant(g, reach), distance), 0, reach),
           label("shift"));
  const Fx moved =
      name(shr_floor(scale(extend_lsb(x.significand, -reach), reach), shift), label("moved"));
  const Fx up = mux(below, constant(g, 0), assume(above, 0, limit));
  const Fx magnitude = widen(moved, 0, pow2(x.significand.width() + reach) - 1);
  return build_round(grid, rounding, {magnitude, up, x.rest}, random, prefix).code;
}

}  // namespace

Fx round_to(const ElementFormat& grid, const Rounding& rounding, const Unrounded& x,
            const Int& most, const Fx& random, std::string_view prefix) {
  const int reach = grid.man_bits + 1 + tail_bits(rounding) + 1;
  return round_within(grid, rounding, reach, x, most, random, prefix);
}

Fx round_up_to(const ElementFormat& grid, const Unrounded& x, const Int& most,
               std::string_view prefix) {
  Graph& g = *x.significand.graph;
  // The stochastic rounding whose draw is all ones carries unless its whole tail is zero; from two
  // places below the last mantissa bit on, every tail is the same.
  const Unrounded whole{cat({x.significand, x.rest}), x.exponent, constant(g, 0)};
  const int reach = grid.man_bits + 2, tail = whole.significand.width() + 1;
  return round_within(grid, formats::stochastic_rounding(tail), reach, whole, most,
                      constant(g, pow2(tail) - 1), prefix);
}

}  // namespace blockdot::rtl_gen::quantizer
