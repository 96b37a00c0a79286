// Magnitude codes of a float format rise with the value, so the largest magnitude is the largest
// code, and one compare with the code of Inf says whether the block is finite.
//
// The shared exponent is floor(log2 amax) - emax plus what the rule adds: rules compare amax's
// significand, normalised, with constants.
//
// An integer or sign-magnitude element of n magnitude bits is a float of one exponent bit: below
// and above its smallest normal value the steps are the same, so its magnitude codes are the
// integers, and one rounding (units/round.h) serves all elements.
#include "rtl_gen/units/quantizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"
#include "rtl_gen/units/lfsr.h"
#include "rtl_gen/units/round.h"

namespace blockdot::rtl_gen {

using formats::ElementFormat;
using formats::ElementKind;
using formats::Rounding;
using formats::ScaleRule;

namespace {

constexpr int kMostLanes = 1024;

// The float whose magnitude codes are the element's.
ElementFormat grid_of(const ElementFormat& f) {
  if (f.kind == ElementKind::kMinifloat) return f;
  // A full integer has one more magnitude on the negative side.
  const int n =
      f.kind == ElementKind::kInteger ? (f.symmetric ? f.int_bits - 1 : f.int_bits) : f.int_bits;
  return formats::minifloat(1, n - 1, formats::Special::kFinite, f.frac_bits - n + 2);
}

struct Value {
  Fx sign, code;   // code: magnitude
  Fx exponent;     // biased, 1 for subnormals
  Fx significand;  // with hidden one
};

Value split(const ElementFormat& input, const Fx& x, int lane) {
  Value v;
  const int width = input.width();
  v.sign = bit(x, width - 1);
  v.code = name(bits(x, 0, width - 1), fmt::format("mag{}", lane));
  const Fx exponent = bits(v.code, input.man_bits, input.exp_bits);
  const Fx normal = nonzero(exponent);
  v.significand = name(cat({normal, bits(v.code, 0, input.man_bits)}), fmt::format("sig{}", lane));
  Fx field = cat({bits(exponent, 1, input.exp_bits - 1), or_(bit(exponent, 0), not_(normal))});
  field.lo = 1;
  v.exponent = name(field, fmt::format("exp{}", lane));
  return v;
}

Fx largest(std::vector<Fx> codes, std::string_view what) {
  for (int level = 0; codes.size() > 1; ++level) {
    std::vector<Fx> next;
    for (std::size_t i = 0; i + 1 < codes.size(); i += 2)
      next.push_back(name(mux(less(codes[i], codes[i + 1]), codes[i + 1], codes[i]),
                          fmt::format("{}_max{}_{}", what, level, i / 2)));
    if (codes.size() % 2) next.push_back(codes.back());
    codes = std::move(next);
  }
  return codes.front();
}

// floor(log2) of a finite magnitude code, and its significand with the top bit one. A zero gives
// the lowest exponent and a significand of zero.
struct Logarithm {
  Fx exponent, significand;
};
Logarithm logarithm(const ElementFormat& input, const Fx& code, std::string_view what) {
  Graph& g = *code.graph;
  const Fx exponent = bits(code, input.man_bits, input.exp_bits);
  const Fx normal = nonzero(exponent);
  const Fx significand = cat({normal, bits(code, 0, input.man_bits)});
  const Normalized norm = normalize(significand, what);
  Fx field = cat({bits(exponent, 1, input.exp_bits - 1), or_(bit(exponent, 0), not_(normal))});
  field.lo = 1;
  return {name(sub(field, add(norm.shift, constant(g, input.bias))), fmt::format("{}_log", what)),
          norm.value};
}

// What the rule adds to floor(log2 amax) - emax.
Fx rule_step(const QuantizerSpec& spec, const Logarithm& amax, const Fx& base) {
  Graph& g = *base.graph;
  const int man = spec.input.man_bits;
  const ElementFormat& element = spec.format.element;
  // max_value / 2^emax in units of 2^-kFine, exactly: elements have at most 16 bits.
  constexpr int kFine = 40;
  const Int most(static_cast<std::int64_t>(
      std::ldexp(formats::max_value(element), kFine - formats::max_exponent(element))));
  // Significands at least t / 2^kFine.
  const auto at_least = [&](const Int& t) -> Fx {
    const Int scaled = t >> static_cast<unsigned>(kFine - man);  // floor
    const bool exact = (scaled << static_cast<unsigned>(kFine - man)) == t;
    const Int least = exact ? scaled : Int(scaled + 1);
    if (least > amax.significand.hi) return constant(g, 0);
    return not_(less(amax.significand, constant(g, least)));
  };
  switch (spec.rule) {
    case ScaleRule::kFloor:
      return constant(g, 0);
    case ScaleRule::kCeil:
      return at_least(most + 1);
    case ScaleRule::kRceil: {
      // The quotient in binary32 is a power of two only where it is one, but for subnormals: just
      // above 2^-127 the next significand up rounds down to it.
      const Int grid = most >> static_cast<unsigned>(kFine - man);
      const Fx next = equal(amax.significand, constant(g, grid + 1));
      const Fx lowest = equal(base, constant(g, -formats::kE8M0Bias));
      // bfloat16's next significand is too far away.
      const Fx back = man == 23 ? and_(next, lowest) : constant(g, 0);
      return and_(at_least(most + 1), not_(back));
    }
    case ScaleRule::kAmax:
      // -1, 0 or 1: amax / max below 3/4, below 3/2, above.
      return add(sub(at_least(most * 3 / 4), constant(g, 1)), at_least(most * 3 / 2));
    case ScaleRule::kEven: {
      const int precision = element.kind == ElementKind::kMinifloat ? element.man_bits + 1
                            : element.kind == ElementKind::kInteger ? element.int_bits - 1
                                                                    : element.width() - 1;
      if (precision > man) return constant(g, 0);
      return is_zero(not_(bits(amax.significand, man - precision, precision + 1)));
    }
    case ScaleRule::kCeilExponent:
      return nonzero(bits(amax.significand, 0, man));
    case ScaleRule::kThreeQuarters:
    case ScaleRule::kOptimal:
    case ScaleRule::kShift:
    case ScaleRule::kRceilReciprocal:
      break;
  }
  BLOCKDOT_CHECK(false, "validate refuses the rule");
}

// x / 2^exponent rounded to the element.
Fx encode(const QuantizerSpec& spec, const Value& v, const Fx& exponent, const Fx& random,
          int lane) {
  Graph& g = *v.code.graph;
  const ElementFormat& element = spec.format.element;
  const ElementFormat grid = grid_of(element);
  const auto label = [&](const char* what) { return fmt::format("e{}_{}", lane, what); };
  // Exponent of the significand's top bit over the grid's smallest normal one. What is rounded is
  // no larger than amax, and amax / 2^exponent lies below 4 * 2^emax; the top bit of a subnormal's
  // significand is zero and may stand above that, over the lowest exponent.
  Fx above =
      name(sub(add(v.exponent, constant(g, -spec.input.bias - smallest_normal(grid))), exponent),
           label("above"));
  const Int subnormal = 1 - spec.input.bias - exponent.lo;
  const Int most =
      std::max(Int(formats::max_exponent(element) + 1), subnormal) - smallest_normal(grid);
  const int reach = grid.man_bits + 1 + tail_bits(spec.rounding) + 1;
  const Fx below = sign(above);
  const Fx distance = mux(below, assume(neg(above), 0, -above.lo), constant(g, 0));
  const Fx shift =
      name(assume(mux(less(constant(g, reach), distance), constant(g, reach), distance), 0, reach),
           label("shift"));
  const Fx moved =
      name(shr_floor(scale(extend_lsb(v.significand, -reach), reach), shift), label("moved"));
  const Fx up = mux(below, constant(g, 0), assume(above, 0, std::max(most, Int(1))));
  const Fx magnitude = widen(moved, 0, pow2(v.significand.width() + reach) - 1);
  const Rounded rounded = build_round(grid, spec.rounding, {magnitude, up, constant(g, 0)}, random,
                                      fmt::format("e{}", lane));
  switch (element.kind) {
    case ElementKind::kMinifloat: {
      // The code of fnuz's -0 is its NaN.
      const Fx sign_bit =
          element.special == formats::Special::kFnuz ? and_(v.sign, nonzero(rounded.code)) : v.sign;
      return cat({sign_bit, rounded.code});
    }
    case ElementKind::kSignMagnitude:
      return cat({v.sign, rounded.code});
    case ElementKind::kInteger: {
      const Int top = pow2(element.int_bits - 1) - 1;
      Fx code = rounded.code;
      if (!element.symmetric) {
        const Fx limit = mux(v.sign, constant(g, top + 1), constant(g, top));
        code = mux(less(limit, code), limit, code);
      }
      return bits(neg_if(v.sign, code), 0, element.int_bits);
    }
    case ElementKind::kCodeBook:
      break;
  }
  BLOCKDOT_CHECK(false, "validate refuses the element");
}

}  // namespace

void validate(const QuantizerSpec& spec) {
  const formats::BlockFormat& f = spec.format;
  formats::validate(f);
  const std::string text = to_text(f);
  if (f.element.kind == ElementKind::kCodeBook)
    throw ConfigError(
        "format = {}: a quantiser unit takes minifloat, integer and sign-magnitude "
        "elements; `blockdot quantize` takes code books",
        text);
  if (f.element.width() > 16)
    throw ConfigError("format = {}: element of {} bits; a quantiser unit takes at most 16", text,
                      f.element.width());
  if (f.scale.kind != formats::ScaleKind::kE8M0 || f.has_outer())
    throw ConfigError(
        "format = {}: a quantiser unit takes scale e8m0 alone: other scales need a "
        "division; `blockdot quantize` takes them",
        text);
  if (f.tile_rows > 1) {
    formats::BlockFormat row = f;
    row.tile_rows = 1;
    throw ConfigError("format = {}: a quantiser unit takes a block a beat and no tiles; try {}",
                      text, to_text(row));
  }
  if (f.block > kMostLanes)
    throw ConfigError("format = {}: block of {}; a quantiser unit takes at most {}", text, f.block,
                      kMostLanes);
  if (spec.input != formats::minifloat(8, 23) && spec.input != formats::minifloat(8, 7))
    throw ConfigError("input = {}: must be fp32 or bf16", to_text(spec.input));
  switch (spec.rule) {
    case ScaleRule::kFloor:
    case ScaleRule::kCeil:
    case ScaleRule::kEven:
    case ScaleRule::kRceil:
    case ScaleRule::kAmax:
    case ScaleRule::kCeilExponent:
      break;
    case ScaleRule::kThreeQuarters:
    case ScaleRule::kOptimal:
    case ScaleRule::kShift:
    case ScaleRule::kRceilReciprocal:
      throw ConfigError(
          "scale-rule = {}: a quantiser unit takes floor, ceil, even, rceil, amax or "
          "ceil-exponent",
          to_text(spec.rule));
  }
  if (f.micro.bits > 0 && spec.rule != ScaleRule::kFloor)
    throw ConfigError("scale-rule = {}: a second level of shared exponents takes floor",
                      to_text(spec.rule));
  const Rounding& r = spec.rounding;
  if (r.stochastic() && (r.random_bits < 1 || r.random_bits > 32))
    throw ConfigError("rounding = {}: random bits must be in [1, 32]", to_text(r));
  formats::validate(spec.lfsr);
  if (r.stochastic() && r.random_bits > spec.lfsr.width)
    throw ConfigError("rounding = {}: draws more bits than lfsr = {} has", to_text(r),
                      to_text(spec.lfsr));
}

std::string to_text(const QuantizerSpec& spec) {
  return fmt::format("format={} input={} scale-rule={} rounding={}{}", to_text(spec.format),
                     to_text(spec.input), to_text(spec.rule), to_text(spec.rounding),
                     spec.lfsr == formats::LfsrSpec{} ? "" : " lfsr=" + to_text(spec.lfsr));
}

Graph build_quantizer(const QuantizerSpec& spec) {
  validate(spec);
  const formats::BlockFormat& f = spec.format;
  const int lanes = f.block, width = spec.input.width();
  Graph g;
  const Fx valid = control(input(g, "valid_i", 1));
  const Fx x = input(g, "x_i", lanes * width);

  g.section("largest magnitude");
  std::vector<Value> values;
  for (int j = 0; j < lanes; ++j) values.push_back(split(spec.input, bits(x, j * width, width), j));
  const int group = f.micro.bits > 0 ? f.micro.block : lanes;
  std::vector<Fx> group_max;
  for (int j = 0; j < lanes; j += group) {
    std::vector<Fx> codes;
    for (int i = j; i < j + group; ++i) codes.push_back(values[static_cast<std::size_t>(i)].code);
    group_max.push_back(largest(std::move(codes), fmt::format("g{}", j / group)));
  }
  const Fx amax = name(largest(group_max, "block"), "amax");
  const Fx finite = name(less(amax, constant(g, formats::inf_code(spec.input))), "finite");

  g.section("shared exponent");
  const Logarithm log = logarithm(spec.input, amax, "amax");
  const Fx base = name(sub(log.exponent, constant(g, formats::max_exponent(f.element))), "base");
  const Fx wanted = name(add(base, rule_step(spec, log, base)), "wanted");
  const Int low = -formats::kE8M0Bias, high = formats::kE8M0Bias;
  const Fx too_low = or_(less(wanted, constant(g, low)), is_zero(amax));
  Fx shared = mux(too_low, constant(g, low),
                  mux(less(constant(g, high), wanted), constant(g, high), wanted));
  shared = name(assume(shared, low, high), "shared");
  const Fx scale_code = name(assume(add(shared, constant(g, formats::kE8M0Bias)), 0, 254), "code");

  std::vector<Fx> random(static_cast<std::size_t>(lanes), constant(g, 0));
  if (spec.rounding.stochastic())
    random = build_draws(g, spec.lfsr, lanes, spec.rounding.random_bits, and_(valid, finite));

  g.section("elements");
  std::vector<Fx> elements, micros;
  for (int j = 0; j < lanes; ++j) {
    Fx exponent = shared;
    if (f.micro.bits > 0) {
      const auto at = static_cast<std::size_t>(j / group);
      const Int most = (1 << f.micro.bits) - 1;
      const Fx code = group_max[at];
      const auto label = [&](const char* what) { return fmt::format("g{}_{}", at, what); };
      const Logarithm own = logarithm(spec.input, code, label("own"));
      const Fx gap = name(sub(shared, own.exponent), label("gap"));
      const Fx far = or_(less(constant(g, most), gap), is_zero(code));
      const Fx tau =
          name(assume(mux(far, constant(g, most), mux(sign(gap), constant(g, 0), gap)), 0, most),
               label("tau"));
      exponent = name(sub(shared, tau), label("exponent"));
      if (j % group == 0) micros.push_back(and_(tau, repeat(finite, f.micro.bits)));
    }
    const Fx code = encode(spec, values[static_cast<std::size_t>(j)], exponent,
                           random[static_cast<std::size_t>(j)], j);
    elements.push_back(and_(code, repeat(finite, code.width())));
  }
  const auto all = [](std::vector<Fx> parts) {
    std::reverse(parts.begin(), parts.end());
    return cat(parts);
  };
  output("valid_o", valid);
  output("elements_o", name(all(elements), "elements"));
  output("scale_o",
         name(bits(mux(finite, scale_code, constant(g, formats::kE8M0Nan)), 0, 8), "scale"));
  if (f.micro.bits > 0) output("micro_o", name(all(micros), "micro"));
  return g;
}

Unit generate_quantizer(const QuantizerSpec& spec, const Arch& wanted, std::string_view top) {
  if (wanted.structure != Structure{})
    throw ConfigError("arch = {}: structures are those of dot units; a quantiser has none",
                      to_text(wanted.structure));
  Arch arch = wanted;
  arch.structure = plain_structure(arch.technology);
  const formats::BlockFormat& f = spec.format;
  UnitText text;
  text.purpose = fmt::format("{} values {} a beat to a block of {}.", f.block, to_text(spec.input),
                             display_name(f));
  text.spec = to_text(spec);
  text.exact = "the shared exponent is exact; every element is rounded once";
  text.meaning = [&](const std::string& port) -> std::string {
    if (port == "valid_i") return "a block is presented";
    if (port == "x_i")
      return fmt::format("{} values {}, value j at bits [j*{} +: {}]", f.block, to_text(spec.input),
                         spec.input.width(), spec.input.width());
    if (port == "seed_load_i") return "load seed_i for the roundings of the beats after this one";
    if (port == "seed_i") return "state of the random stream; 0 is read as 1";
    if (port == "valid_o") return "the outputs are those of a block";
    if (port == "elements_o")
      return fmt::format("{} codes {}, element j at bits [j*{} +: {}]", f.block, to_text(f.element),
                         f.element.width(), f.element.width());
    if (port == "scale_o") return "e8m0 code: 2^(code-127), 255 is NaN";
    if (port == "micro_o")
      return fmt::format("tau of each {} elements, group g at bits [g*{} +: {}]", f.micro.block,
                         f.micro.bits, f.micro.bits);
    BLOCKDOT_CHECK(false, "port {}", port);
  };
  text.command = [&](const Arch& a) {
    std::string line = fmt::format(
        "blockdot gen --unit quantizer --a '{}' --input {} --scale-rule {} --rounding {}",
        to_text(f), to_text(spec.input), to_text(spec.rule), to_text(spec.rounding));
    if (spec.lfsr != formats::LfsrSpec{}) line += " --lfsr " + to_text(spec.lfsr);
    line += a.combinational ? " --combinational" : fmt::format(" --clock-ns {}", a.clock_ns);
    line += fmt::format(" --tech {}", to_text(a.technology));
    if (!a.combinational && a.schedule != ScheduleKind::kMinRegister)
      line += fmt::format(" --schedule {}", to_text(a.schedule));
    if (a.schedule == ScheduleKind::kRandom)
      line += fmt::format(" --schedule-seed {}", a.schedule_seed);
    return line + fmt::format(" --top {}", top);
  };
  return build_unit(build_quantizer(spec), arch, top, text);
}

nlohmann::json quantizer_json(const Unit& unit) {
  nlohmann::json json = to_json(unit.report);
  json["schema"] = "blockdot.quantizer/1";
  json["kind"] = "quantizer";
  json.erase("sum");
  json.erase("accumulator");
  return json;
}

}  // namespace blockdot::rtl_gen
