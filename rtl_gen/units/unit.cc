#include "rtl_gen/units/unit.h"

#include <algorithm>

#include "formats/error.h"
#include "rtl_gen/build/fx.h"
#include "rtl_gen/units/accumulate.h"
#include "rtl_gen/units/dot.h"
#include "rtl_gen/units/lfsr.h"
#include "rtl_gen/units/round.h"

namespace blockdot::rtl_gen {

using formats::AccumulatorKind;
using formats::DotSpec;
using formats::ElementFormat;

namespace {

// A finite float code rounded to another format.
Rounded convert(Graph& g, const ElementFormat& from, const Fx& code, const ElementFormat& to,
                const formats::Rounding& rounding, const Fx& random) {
  g.section("convert to the output");
  const Fx exponent = bits(code, from.man_bits, from.exp_bits);
  const Fx normal = nonzero(exponent);
  const Fx significand =
      name(from.man_bits == 0 ? normal : cat({normal, bits(code, 0, from.man_bits)}), "acc_sig");
  Fx field = constant(g, 1);
  if (from.exp_bits > 1) {
    field = cat({bits(exponent, 1, from.exp_bits - 1), or_(bit(exponent, 0), not_(normal))});
    field.lo = 1;
  }
  // Exponent of the significand's top bit over the output's smallest normal one.
  const int offset = smallest_normal(from) - 1 - smallest_normal(to);
  const Fx above = name(add(field, constant(g, offset)), "acc_above");
  return build_round(to, rounding,
                     raise_to_normal(to, rounding, {significand, above, constant(g, 0)}, "acc"),
                     random, "out");
}

}  // namespace

Graph build_dot_unit(const DotSpec& spec, UnitFacts* facts, const Structure& structure,
                     Technology technology) {
  Graph g;
  const Framing framing{control(input(g, "valid_i", 1)), input(g, "first_i", 1),
                        input(g, "last_i", 1)};
  const OperandPorts a = declare_operand(g, spec.a, spec.lanes, "a");
  const OperandPorts b = declare_operand(g, spec.b, spec.lanes, "b");
  const Fx done = control(name(and_(framing.valid, framing.last), "done"));
  const bool is_float = spec.accumulator.is_float();
  const bool same_format = is_float && spec.accumulator.format == spec.output;

  Fx random = constant(g, 0);
  if (const formats::Rounding drawn = formats::drawn_rounding(spec); drawn.stochastic())
    random = build_lfsr(g, spec.lfsr, drawn.random_bits,
                        formats::draws_each_beat(spec) ? framing.valid : done);

  const SumRange sum = block_dot_range(spec);
  UnitFacts found;
  found.sum_width = range_width(sum.range.lo, sum.range.hi);
  found.sum_lsb = sum.lsb;

  Flags flags;
  Rounded rounded;
  Fx sign_bit;
  const auto fixed = [&](const FixedTotal& total, const Flags& beat) {
    found.accumulator_width = total.width;
    found.accumulator_lsb = total.lsb;
    flags = build_flags(g, beat, framing);
    g.section("normalise and round");
    sign_bit = total.sign;
    rounded = build_round_fixed(spec.output, spec.rounding, total.magnitude, random, "out");
  };
  const auto floating = [&](const FloatTotal& total, const Flags& beat) {
    found.accumulator_width = spec.accumulator.format.width();
    flags = build_flags(g, beat, framing);
    if (formats::has_inf(spec.accumulator.format)) {
      flags.plus_inf = or_(flags.plus_inf, and_(total.held, not_(total.sign)));
      flags.minus_inf = or_(flags.minus_inf, and_(total.held, total.sign));
    } else {
      flags.nan = or_(flags.nan, total.held);
    }
    // The accumulator's -0 is an exact zero, and that is +0 in another format.
    sign_bit = same_format ? total.sign : name(and_(total.sign, nonzero(total.code)), "out_sign");
    rounded = same_format ? Rounded{total.code, constant(g, 0)}
                          : convert(g, spec.accumulator.format, total.code, spec.output,
                                    spec.rounding, random);
  };
  const auto beat_value = [&] { return build_beat_value(g, spec, a, b, structure, technology); };
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
      floating(build_float_accumulator(g, spec, term, framing, random, structure.rounding), term.flags);
      break;
    }
    case AccumulatorKind::kAligned: {
      const BeatTerms terms = build_beat_terms(g, spec, a, b, structure, technology);
      floating(build_aligned_accumulator(g, spec, terms, framing, random), terms.flags);
      break;
    }
  }
  g.section("encode");
  const Fx nan = name(or_(flags.nan, and_(flags.plus_inf, flags.minus_inf)), "result_nan");
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
  for (const auto& [side, format] : {std::pair{"a", &spec.a}, std::pair{"b", &spec.b}})
    if (format->scale.kind == formats::ScaleKind::kMinifloat)
      throw ConfigError("{} = {}: a bare block dot takes scale e8m0 or none; use unit dot", side,
                        formats::to_text(*format));
  Graph g;
  if (framed) output("valid_o", control(input(g, "valid_i", 1)));
  const OperandPorts a = declare_operand(g, spec.a, spec.lanes, "a");
  const OperandPorts b = declare_operand(g, spec.b, spec.lanes, "b");
  const BlockDot dot = build_block_dot(g, spec, a, b, structure, technology);
  output("sum_o", dot.sum);
  g.section("scale");
  // Elements that are always finite have no flag: their one NaN, a scale code of 255, is with
  // whoever drives the scale ports.
  Fx not_finite = dot.any_special;
  const bool element_specials = g.node(not_finite.node).op != Op::kConst;
  if (a.scale || b.scale) {
    const Fx none = constant(g, 0);
    const Scale x = decode_scale(g, spec.a.scale, a.scale.value_or(none), "a_scale");
    const Scale y = decode_scale(g, spec.b.scale, b.scale.value_or(none), "b_scale");
    output("scale_o", name(add(x.shift, y.shift), "scale_sum"));
    if (element_specials) not_finite = any_of(g, {not_finite, x.not_finite, y.not_finite});
  }
  if (element_specials) output("nan_o", name(not_finite, "not_finite"));
  if (facts) {
    facts->sum_width = dot.sum.width();
    facts->sum_lsb = dot.sum.lsb;
  }
  return g;
}

}  // namespace blockdot::rtl_gen
