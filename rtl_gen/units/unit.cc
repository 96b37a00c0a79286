#include "rtl_gen/units/unit.h"

#include "formats/error.h"
#include "rtl_gen/build/fx.h"
#include "rtl_gen/units/dot.h"
#include "rtl_gen/units/factor.h"
#include "rtl_gen/units/result.h"

namespace blockdot::rtl_gen {

using formats::DotSpec;

Graph build_dot_unit(const DotSpec& spec, UnitFacts* facts, const Structure& structure,
                     Technology technology, bool to_open) {
  Graph g;
  const Framing framing = declare_framing(g);
  const OperandPorts a = declare_operand(g, spec.a, spec.lanes, "a", true);
  const OperandPorts b = declare_operand(g, spec.b, spec.lanes, "b", true);
  const std::optional<Fx> count = declare_count(g, spec);
  const Fx done = build_done(framing);
  const bool has_factor = formats::has_result_factor(spec);
  const Fx random = to_open && formats::draws(spec)
                        ? input(g, "random_i", formats::drawn_rounding(spec).random_bits)
                        : build_random(g, spec, has_factor, framing, done);

  const SumRange sum = block_dot_range(spec);
  UnitFacts found;
  found.sum_width = range_width(sum.range.lo, sum.range.hi);
  found.sum_lsb = sum.lsb;

  std::optional<ResultFactor> factor;
  if (has_factor) {
    g.section("factor of the result");
    factor = build_result_factor(g, spec, a, b);
    if (to_open) factor = hold(*factor, framing.valid);
  }
  std::variant<BeatValue, BeatTerms> beat;
  if (spec.accumulator.kind == formats::AccumulatorKind::kAligned)
    beat = build_beat_terms(g, spec, a, b, count, structure, technology);
  else
    beat = build_beat_value(g, spec, a, b, count, structure, technology);
  build_result(g, spec, beat, framing, done, random, factor, structure, found);
  if (facts) *facts = found;
  return g;
}

Graph build_block_dot_unit(const DotSpec& spec, bool framed, UnitFacts* facts,
                           const Structure& structure, Technology technology) {
  Graph g;
  if (framed) output("valid_o", control(input(g, "valid_i", 1)));
  const OperandPorts a = declare_operand(g, spec.a, spec.lanes, "a", false);
  const OperandPorts b = declare_operand(g, spec.b, spec.lanes, "b", false);
  const std::optional<Fx> count = declare_count(g, spec);
  const BlockDot dot = build_block_dot(g, spec, a, b, count, structure, technology);
  output("sum_o", dot.sum);
  g.section("scale");
  const Scale factor =
      product(build_beat_factor(g, spec.a, a, "a"), build_beat_factor(g, spec.b, b, "b"), "scale");
  const auto is_constant = [&](const Fx& x) { return g.node(x.node).op == Op::kConst; };
  if (!is_constant(factor.significand)) {
    output("scale_sig_o", name(is_constant(factor.sign) ? factor.significand
                                                        : neg_if(factor.sign, factor.significand),
                               "scale_significand"));
  }
  if (!is_constant(factor.shift))
    output("scale_o", name(add(factor.shift, constant(g, factor.base)), "scale_sum"));
  // Where elements are always finite and scales are powers of two there is no flag: their one NaN,
  // a scale code of 255, is with whoever drives the scale ports.
  if (!is_constant(dot.any_special) ||
      (!is_constant(factor.significand) && !is_constant(factor.not_finite)))
    output("nan_o", name(or_(dot.any_special, factor.not_finite), "not_finite"));
  if (facts) {
    facts->sum_width = dot.sum.width();
    facts->sum_lsb = dot.sum.lsb;
    facts->scale_lsb = factor.weight - factor.base;
    facts->has_scale_sig = !is_constant(factor.significand);
    facts->scale_sig_signed = !is_constant(factor.sign);
    facts->has_scale_exponent = !is_constant(factor.shift);
  }
  return g;
}

}  // namespace blockdot::rtl_gen
