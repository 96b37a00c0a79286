#include "rtl_gen/units/result.h"

#include "rtl_gen/units/lfsr.h"

namespace blockdot::rtl_gen {

using formats::Accumulation;
using formats::AccumulatorKind;
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
  Magnitude x{significand, above, constant(g, 0)};
  // Subnormals stay so: only normal numbers reach the output's smallest normal exponent.
  if (offset < 0) x.field = offset == -1 ? field : name(add(above, constant(g, 1)), "acc_field");
  return build_round(to, rounding, raise_to_normal(to, rounding, x, "acc"), random, "out");
}

}  // namespace

Framing declare_framing(Graph& g) {
  return {control(input(g, "valid_i", 1)), input(g, "first_i", 1), input(g, "last_i", 1)};
}

Fx build_done(const Framing& framing) {
  return control(name(and_(framing.valid, framing.last), "done"));
}

Fx build_random(Graph& g, const Accumulation& spec, bool factor, const Framing& framing,
                const Fx& done) {
  const formats::Rounding drawn = formats::drawn_rounding(spec, factor);
  if (!drawn.stochastic()) return constant(g, 0);
  return build_lfsr(g, spec.lfsr, drawn.random_bits,
                    formats::draws_each_beat(spec) ? framing.valid : done);
}

void build_result(Graph& g, const Accumulation& spec,
                  const std::variant<BeatValue, BeatTerms>& beat, const Framing& framing,
                  const Fx& done, const Fx& random, const std::optional<ResultFactor>& factor,
                  const Structure& structure, UnitFacts& facts) {
  const bool same_format = !formats::output_rounds(spec, factor.has_value());
  Flags flags;
  Fx opposed = constant(g, 0);  // Infs of both signs
  Rounded rounded;
  Fx sign_bit;
  const auto fixed = [&](const FixedTotal& total, const Flags& of_beat) {
    facts.accumulator_width = total.width;
    facts.accumulator_lsb = total.lsb;
    flags = build_flags(g, of_beat, framing);
    opposed = and_(flags.plus_inf, flags.minus_inf);
    g.section("normalise and round");
    sign_bit = total.sign;
    const Fx& magnitude = total.magnitude;
    rounded =
        factor ? build_round_product(spec.output, spec.rounding, scale(magnitude, -magnitude.lsb),
                                     constant(g, magnitude.lsb), *factor, random, "out")
               : build_round_fixed(spec.output, spec.rounding, magnitude, random, "out");
  };
  const auto floating = [&](const FloatTotal& total, const Flags& of_beat) {
    facts.accumulator_width = spec.accumulator.format.width();
    flags = build_flags(g, of_beat, framing);
    // Without Inf elements only the accumulator's own is left, of one sign.
    const bool of_elements = g.node(flags.plus_inf.node).op != Op::kConst ||
                             g.node(flags.minus_inf.node).op != Op::kConst;
    if (formats::has_inf(spec.accumulator.format)) {
      flags.plus_inf =
          name(or_(flags.plus_inf, and_(total.held, not_(total.sign))), "any_plus_inf");
      flags.minus_inf = name(or_(flags.minus_inf, and_(total.held, total.sign)), "any_minus_inf");
    } else {
      flags.nan = or_(flags.nan, total.held);
    }
    if (of_elements) opposed = and_(flags.plus_inf, flags.minus_inf);
    // The accumulator's -0 is an exact zero, and that is +0 in another format.
    sign_bit = same_format ? total.sign : name(and_(total.sign, nonzero(total.code)), "out_sign");
    if (same_format) {
      rounded = {total.code, constant(g, 0)};
    } else if (!factor) {
      rounded = convert(g, spec.accumulator.format, total.code, spec.output, spec.rounding, random);
    } else {
      g.section("normalise and round");
      const FloatFields fields = split(g, spec.accumulator.format, total.code);
      rounded = build_round_product(spec.output, spec.rounding, fields.significand, fields.exponent,
                                    *factor, random, "out");
    }
  };
  switch (spec.accumulator.kind) {
    case AccumulatorKind::kKulisch: {
      const BeatValue& term = std::get<BeatValue>(beat);
      fixed(build_kulisch(g, term, framing, structure), term.flags);
      break;
    }
    case AccumulatorKind::kKulischWindow: {
      const BeatValue& term = std::get<BeatValue>(beat);
      fixed(build_kulisch_window(g, spec, term, framing, structure), term.flags);
      break;
    }
    case AccumulatorKind::kFloat: {
      const BeatValue& term = std::get<BeatValue>(beat);
      floating(build_float_accumulator(g, spec, term, framing, random, structure.rounding),
               term.flags);
      break;
    }
    case AccumulatorKind::kAligned: {
      const BeatTerms& terms = std::get<BeatTerms>(beat);
      floating(build_aligned_accumulator(g, spec, terms, framing, random), terms.flags);
      break;
    }
  }
  if (factor) {
    // Zero times Inf; zero times a number is an exact zero.
    flags.nan = any_of(g, {flags.nan, factor->scale.not_finite,
                           and_(factor->scale.zero, or_(flags.plus_inf, flags.minus_inf))});
    sign_bit = name(and_(sign_bit, not_(factor->scale.zero)), "out_neg");
  }
  g.section("encode");
  const Fx nan = name(or_(flags.nan, opposed), "result_nan");
  const Fx inf = name(or_(flags.plus_inf, flags.minus_inf), "result_inf");
  output("valid_o", done);
  output("result_o", name(build_encode(spec.output, spec.rounding, sign_bit, rounded, nan, inf,
                                       flags.minus_inf, "out"),
                          "result"));
}

}  // namespace blockdot::rtl_gen
