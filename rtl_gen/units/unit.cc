#include "rtl_gen/units/unit.h"

#include <algorithm>

#include "formats/error.h"
#include "rtl_gen/build/fx.h"
#include "rtl_gen/units/accumulate.h"
#include "rtl_gen/units/dot.h"
#include "rtl_gen/units/factor.h"
#include "rtl_gen/units/lfsr.h"
#include "rtl_gen/units/round.h"

namespace blockdot::rtl_gen {

using formats::AccumulatorKind;
using formats::DotSpec;
using formats::ElementFormat;

namespace {

// A finite float code as significand * 2^exponent.
struct FloatFields {
  Fx significand;
  Fx field;     // the exponent field, 1 for subnormals
  Fx exponent;  // of the significand's lowest bit
};
FloatFields split(Graph& g, const ElementFormat& f, const Fx& code) {
  const Fx exponent = bits(code, f.man_bits, f.exp_bits);
  const Fx normal = name(nonzero(exponent), "acc_normal");
  FloatFields out;
  out.significand =
      name(f.man_bits == 0 ? normal : cat({normal, bits(code, 0, f.man_bits)}), "acc_sig");
  out.field = constant(g, 1);
  if (f.exp_bits > 1) {
    out.field = cat({bits(exponent, 1, f.exp_bits - 1), or_(bit(exponent, 0), not_(normal))});
    out.field.lo = 1;
  }
  out.exponent = add(out.field, constant(g, smallest_normal(f) - 1 - f.man_bits));
  return out;
}

// A finite float code rounded to another format.
Rounded convert(Graph& g, const ElementFormat& from, const Fx& code, const ElementFormat& to,
                const formats::Rounding& rounding, const Fx& random) {
  g.section("convert to the output");
  const auto [significand, field, exponent] = split(g, from, code);
  // Exponent of the significand's top bit over the output's smallest normal one.
  const int offset = smallest_normal(from) - 1 - smallest_normal(to);
  const Fx above = name(add(field, constant(g, offset)), "acc_above");
  return build_round(to, rounding,
                     raise_to_normal(to, rounding, {significand, above, constant(g, 0)}, "acc"),
                     random, "out");
}

}  // namespace

Graph build_dot_unit(const DotSpec& spec, UnitFacts* facts, const Structure& structure,
                     Technology technology, bool to_open) {
  Graph g;
  const Framing framing{control(input(g, "valid_i", 1)), input(g, "first_i", 1),
                        input(g, "last_i", 1)};
  const OperandPorts a = declare_operand(g, spec.a, spec.lanes, "a", true);
  const OperandPorts b = declare_operand(g, spec.b, spec.lanes, "b", true);
  const std::optional<Fx> count = declare_count(g, spec);
  const Fx done = control(name(and_(framing.valid, framing.last), "done"));
  const bool same_format = !formats::output_rounds(spec);
  const bool has_factor = formats::has_result_factor(spec);

  Fx random = constant(g, 0);
  if (const formats::Rounding drawn = formats::drawn_rounding(spec); drawn.stochastic())
    random = to_open ? input(g, "random_i", drawn.random_bits)
                     : build_lfsr(g, spec.lfsr, drawn.random_bits,
                                  formats::draws_each_beat(spec) ? framing.valid : done);

  const SumRange sum = block_dot_range(spec);
  UnitFacts found;
  found.sum_width = range_width(sum.range.lo, sum.range.hi);
  found.sum_lsb = sum.lsb;

  Flags flags;
  Fx opposed = constant(g, 0);  // Infs of both signs
  Rounded rounded;
  Fx sign_bit;
  ResultFactor factor;
  if (has_factor) {
    g.section("factor of the result");
    factor = build_result_factor(g, spec, a, b);
    if (to_open) factor = hold(factor, framing.valid);
  }
  const auto fixed = [&](const FixedTotal& total, const Flags& beat) {
    found.accumulator_width = total.width;
    found.accumulator_lsb = total.lsb;
    flags = build_flags(g, beat, framing);
    opposed = and_(flags.plus_inf, flags.minus_inf);
    g.section("normalise and round");
    sign_bit = total.sign;
    const Fx& magnitude = total.magnitude;
    rounded = has_factor ? build_round_product(spec.output, spec.rounding,
                                               scale(magnitude, -magnitude.lsb),
                                               constant(g, magnitude.lsb), factor, random, "out")
                         : build_round_fixed(spec.output, spec.rounding, magnitude, random, "out");
  };
  const auto floating = [&](const FloatTotal& total, const Flags& beat) {
    found.accumulator_width = spec.accumulator.format.width();
    flags = build_flags(g, beat, framing);
    if (formats::has_inf(spec.accumulator.format)) {
      // Without Inf elements only the accumulator's own is left, of one sign.
      const bool of_elements = g.node(flags.plus_inf.node).op != Op::kConst ||
                               g.node(flags.minus_inf.node).op != Op::kConst;
      flags.plus_inf =
          name(or_(flags.plus_inf, and_(total.held, not_(total.sign))), "any_plus_inf");
      flags.minus_inf = name(or_(flags.minus_inf, and_(total.held, total.sign)), "any_minus_inf");
      if (of_elements) opposed = and_(flags.plus_inf, flags.minus_inf);
    } else {
      flags.nan = or_(flags.nan, total.held);
    }
    // The accumulator's -0 is an exact zero, and that is +0 in another format.
    sign_bit = same_format ? total.sign : name(and_(total.sign, nonzero(total.code)), "out_sign");
    if (same_format) {
      rounded = {total.code, constant(g, 0)};
    } else if (!has_factor) {
      rounded = convert(g, spec.accumulator.format, total.code, spec.output, spec.rounding, random);
    } else {
      g.section("normalise and round");
      const FloatFields fields = split(g, spec.accumulator.format, total.code);
      rounded = build_round_product(spec.output, spec.rounding, fields.significand, fields.exponent,
                                    factor, random, "out");
    }
  };
  const auto beat_value = [&] {
    return build_beat_value(g, spec, a, b, count, structure, technology);
  };
  switch (spec.accumulator.kind) {
    case AccumulatorKind::kKulisch: {
      const BeatValue term = beat_value();
      fixed(build_kulisch(g, spec, term, framing, structure), term.flags);
      break;
    }
    case AccumulatorKind::kKulischWindow: {
      const BeatValue term = beat_value();
      fixed(build_kulisch_window(g, spec, term, framing, structure), term.flags);
      break;
    }
    case AccumulatorKind::kFloat: {
      const BeatValue term = beat_value();
      floating(build_float_accumulator(g, spec, term, framing, random, structure.rounding),
               term.flags);
      break;
    }
    case AccumulatorKind::kAligned: {
      const BeatTerms terms = build_beat_terms(g, spec, a, b, count, structure, technology);
      floating(build_aligned_accumulator(g, spec, terms, framing, random), terms.flags);
      break;
    }
  }
  if (has_factor) {
    // Zero times Inf; zero times a number is an exact zero.
    flags.nan = any_of(g, {flags.nan, factor.scale.not_finite,
                           and_(factor.scale.zero, or_(flags.plus_inf, flags.minus_inf))});
    sign_bit = name(and_(sign_bit, not_(factor.scale.zero)), "out_neg");
  }
  g.section("encode");
  const Fx nan = name(or_(flags.nan, opposed), "result_nan");
  const Fx inf = name(or_(flags.plus_inf, flags.minus_inf), "result_inf");
  output("valid_o", done);
  output("result_o", name(build_encode(spec.output, spec.rounding, sign_bit, rounded, nan, inf,
                                       flags.minus_inf, "out"),
                          "result"));
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
