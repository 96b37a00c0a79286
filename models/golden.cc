#include "models/golden.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "formats/code_book.h"
#include "formats/error.h"

namespace blockdot::models {

using formats::AccumulatorKind;
using formats::BlockFormat;
using formats::DotSpec;
using formats::ElementFormat;
using formats::ElementKind;
using formats::FixedFormat;
using formats::Overflow;
using formats::QuantizedMatrix;
using formats::Rounding;
using formats::RoundingMode;
using formats::ScaleKind;
using formats::SpecialsPolicy;
using formats::SrVariant;

namespace {

/// Where the grid of magnitudes goes on above the largest finite value.
Exact above_max(const ElementFormat& format) {
  int step = format.kind == ElementKind::kMinifloat
                 ? std::max(max_exponent(format), 1 - format.bias) - format.man_bits
                 : -format.frac_bits;
  return Exact(max_value(format)) + ldexp(1, step);
}

}  // namespace

std::uint32_t golden_round(const ElementFormat& format, const Exact& x, const Rounding& rounding,
                           std::uint32_t random, Overflow overflow, const Exact& divisor) {
  if (x.is_zero()) return 0;
  bool negative = x.sign() < 0;
  Exact magnitude = abs(x);
  std::uint32_t max_code = max_finite_code(format);
  auto value = [&](std::uint32_t code) {
    return divisor * (code > max_code ? above_max(format) : Exact(decode(format, code)));
  };

  // The largest code whose value is not above |x|: value(low) <= |x| < value(high).
  std::uint32_t low = 0, high = max_code + 1;
  bool beyond = magnitude >= value(high);
  while (!beyond && high - low > 1) {
    std::uint32_t middle = low + (high - low) / 2;
    (value(middle) <= magnitude ? low : high) = middle;
  }

  std::uint32_t code = high;
  if (!beyond) {
    Exact down = magnitude - value(low);
    Exact up = value(high) - magnitude;
    bool round_up = false;
    switch (rounding.mode) {
      case RoundingMode::kRne:
        round_up = up < down || (up == down && low % 2 == 1);
        break;
      case RoundingMode::kRna:
        round_up = up <= down;
        break;
      case RoundingMode::kRtz:
        break;
      case RoundingMode::kStochastic: {
        // f = down / (down + up), in the variants' terms (formats/rounding.h):
        //   SRFF   floor(f 2^r) + random >= 2^r; since 2^r - random is whole, f 2^r >= 2^r - random
        //   SRF    floor(f 2^(r+1)) + 2 random + 1 >= 2^(r+1): f 2^(r+1) >= 2^(r+1) - 2 random - 1
        //   SRC    nearest(f 2^r) >= 2^r - random = n: f 2^r at n - 1/2 rounds to the even of n - 1
        //          and n, so it takes n only where n is even
        const Exact all = ldexp(1, rounding.random_bits);
        const Exact whole = down + up;
        const Exact least = all - Exact(static_cast<double>(random));  // n
        const Exact half = ldexp(1, -1);
        switch (rounding.variant) {
          case SrVariant::kSrff:
            round_up = down * all >= whole * least;
            break;
          case SrVariant::kSrf:
            round_up = down * all >= whole * (least - half);
            break;
          case SrVariant::kSrc:
            round_up = random % 2 == 0 ? down * all >= whole * (least - half)
                                       : down * all > whole * (least - half);
            break;
        }
        break;
      }
    }
    code = round_up ? high : low;
  }

  if (format.kind == ElementKind::kInteger) {
    // Two's complement; without `symmetric` the negative side has one magnitude more.
    std::int64_t limit = max_code;
    if (negative && !format.symmetric) ++limit;
    std::int64_t whole = std::min<std::int64_t>(code, limit);
    std::uint64_t bits = static_cast<std::uint64_t>(negative ? -whole : whole);
    return static_cast<std::uint32_t>(bits & ((std::uint64_t{1} << format.int_bits) - 1));
  }
  if (code > max_code) {
    if (overflow == Overflow::kSaturate || rounding.mode == RoundingMode::kRtz || !has_nan(format))
      code = max_code;
    else if (has_inf(format))
      code = inf_code(format);
    else
      return nan_code(format);
  }
  bool signed_zero =
      format.kind == ElementKind::kSignMagnitude || format.special != formats::Special::kFnuz;
  if (code == 0 && !signed_zero) return 0;
  return negative ? code | (1u << (format.width() - 1)) : code;
}

namespace {

struct Factor {
  Exact value;  // when finite
  bool nan = false;
  bool inf = false;
  int sign = 0;      // of the value or the Inf: -1, 0, +1
  int exponent = 0;  // of the aligned accumulator's rule; means nothing for zero, NaN and Inf
};

Factor factor_of(double value) {
  Factor factor;
  factor.nan = std::isnan(value);
  factor.inf = std::isinf(value);
  factor.sign = value > 0 ? 1 : value < 0 ? -1 : 0;
  if (std::isfinite(value)) factor.value = Exact(value);
  return factor;
}

Factor product(const Factor& x, const Factor& y) {
  Factor factor;
  factor.nan = x.nan || y.nan || x.inf || y.inf;
  factor.value = x.value * y.value;
  factor.sign = x.sign * y.sign;
  factor.exponent = x.exponent + y.exponent;
  return factor;
}

const ElementFormat kBinary32 = formats::minifloat(8, 23);

Factor scale_factor(const formats::ScaleFormat& format, std::uint32_t code) {
  double value = decode(format, code);
  Factor factor = factor_of(value);
  if (factor.sign == 0 || factor.inf) return factor;
  switch (format.kind) {
    case ScaleKind::kNone:
    case ScaleKind::kE8M0:
      factor.exponent = std::ilogb(value);
      break;
    case ScaleKind::kMinifloat:
      factor.exponent = exponent_of(format.minifloat, value);
      break;
    case ScaleKind::kInteger:
      factor.exponent = format.int_bits - 1;
      break;
    case ScaleKind::kCodeBook:
      factor.exponent = exponent_of(formats::code_book(format.book), value);
      break;
  }
  return factor;
}

/// Xa or Xb: what the beat's scales multiply a side's elements by.
Factor beat_factor(const BlockFormat& format, std::uint32_t scale, std::uint32_t outer,
                   float mean) {
  if (scale_in_result(format)) return factor_of(1);
  Factor inner = scale_factor(format.scale, scale);
  if (!outer_in_beat(format)) return inner;
  Factor factor = product(inner, scale_factor(format.outer.scale, outer));
  if (!format.outer.mean) return factor;
  Factor added = factor_of(static_cast<double>(mean));
  if (factor.nan || added.nan || added.inf)
    return factor_of(std::numeric_limits<double>::quiet_NaN());
  const double rounded = decode(kBinary32, golden_round(kBinary32, factor.value + added.value,
                                                        Rounding{}, 0, Overflow::kToSpecial));
  factor = factor_of(rounded);
  if (factor.sign != 0 && !factor.inf) factor.exponent = exponent_of(kBinary32, rounded);
  return factor;
}

/// Ra or Rb without the division by the largest element.
Factor result_factor(const BlockFormat& format, std::uint32_t scale, std::uint32_t outer) {
  Factor factor = factor_of(scale_in_result(format) ? decode(format.scale, scale) : 1);
  return product(factor,
                 factor_of(outer_in_result(format) ? decode(format.outer.scale, outer) : 1));
}

/// That divisor.
Exact result_divisor(const BlockFormat& format) {
  return format.scale.of_maximum ? Exact(max_value(format.element)) : Exact(1);
}

/// Element j of one side with its second-level scale.
Factor element(const BlockFormat& format, std::span<const std::uint32_t> codes,
               std::span<const std::uint8_t> micro, int j) {
  double value = decode(format.element, codes[static_cast<size_t>(j)]);
  Factor factor = factor_of(value);
  if (factor.sign != 0 && !factor.inf) factor.exponent = exponent_of(format.element, value);
  if (format.micro.bits > 0) {
    int tau = micro[static_cast<size_t>(j / format.micro.block)];
    factor.value = ldexp(factor.value, -tau);
    factor.exponent -= tau;
  }
  return factor;
}

void check_beat(const DotSpec& spec, const Beat& beat) {
  auto check_side = [&](const BlockFormat& format, size_t codes, size_t micros) {
    auto lanes = static_cast<size_t>(spec.lanes);
    size_t taus = format.micro.bits > 0 ? lanes / static_cast<size_t>(format.micro.block) : 0;
    BLOCKDOT_CHECK(codes == lanes && micros == taus, "beat of {} codes and {} taus", codes, micros);
  };
  check_side(spec.a, beat.a.size(), beat.a_micro.size());
  check_side(spec.b, beat.b.size(), beat.b_micro.size());
  if (needs_count(spec))
    BLOCKDOT_CHECK(beat.count >= 1 && beat.count <= spec.lanes, "beat of {} lanes", beat.count);
}

/// Lanes whose products are not zero by decree.
int live_lanes(const DotSpec& spec, const Beat& beat) {
  return needs_count(spec) ? beat.count : spec.lanes;
}

/// Two's complement of the window, by saturation or modulo 2^(msb + 1).
Exact fit(const Exact& x, const FixedFormat& window) {
  Exact modulus = ldexp(1, window.msb + 1);
  Exact lowest = -ldexp(1, window.msb);
  Exact highest = ldexp(1, window.msb) - ldexp(1, window.lsb);
  if (!window.saturate) return x - floor_to_multiple(x - lowest, window.msb + 1);
  return x < lowest ? lowest : x > highest ? highest : x;
}

}  // namespace

GoldenAccumulator::GoldenAccumulator(const formats::Accumulation& spec, bool factor)
    : spec_(spec), output_rounds_(output_rounds(spec, factor)) {}

void GoldenAccumulator::clear() {
  accumulator_ = Exact();
  accumulator_code_ = 0;
  held_ = Held::kFinite;
  lost_ = false;
  flags_ = {};
}

void GoldenAccumulator::add(const Flags& flags, const std::vector<Term>& products,
                            const Term& scale, formats::Lfsr& random) {
  flags_.nan = flags_.nan || flags.nan;
  flags_.plus_inf = flags_.plus_inf || flags.plus_inf;
  flags_.minus_inf = flags_.minus_inf || flags.minus_inf;
  Exact sum;
  for (const Term& product : products) sum += product.value;
  const Exact beat_value = sum * scale.value;
  switch (spec_.accumulator.kind) {
    case AccumulatorKind::kKulisch:
      accumulator_ += beat_value;
      return;
    case AccumulatorKind::kKulischWindow: {
      const FixedFormat& window = spec_.accumulator.window;
      Exact kept = floor_to_multiple(beat_value, window.lsb);
      if (kept != beat_value) lost_ = true;
      accumulator_ = fit(accumulator_ + kept, window);
      return;
    }
    case AccumulatorKind::kFloat:
      return round_into_accumulator(accumulator_ + beat_value, random);
    case AccumulatorKind::kAligned:
      return round_into_accumulator(aligned_sum(products, scale), random);
  }
}

Exact GoldenAccumulator::aligned_sum(const std::vector<Term>& products, const Term& scale) const {
  std::vector<Term> terms;
  for (const Term& product : products)
    terms.push_back({product.value * scale.value, product.exponent + scale.exponent});
  if (!accumulator_.is_zero())
    terms.push_back(
        {accumulator_, exponent_of(spec_.accumulator.format, accumulator_.to_double())});
  std::erase_if(terms, [](const Term& term) { return term.value.is_zero(); });
  if (terms.empty()) return {};
  int top = std::max_element(terms.begin(), terms.end(), [](const Term& x, const Term& y) {
              return x.exponent < y.exponent;
            })->exponent;
  Exact sum;
  for (const Term& term : terms) {
    Exact cut = floor_to_multiple(abs(term.value), top - spec_.accumulator.fraction_bits);
    sum += term.value.sign() < 0 ? -cut : cut;
  }
  return sum;
}

void GoldenAccumulator::round_into_accumulator(const Exact& sum, formats::Lfsr& stream) {
  const Rounding& rounding = spec_.accumulator.rounding;
  std::uint32_t random = rounding.stochastic() ? stream.draw(rounding.random_bits) : 0;
  if (held_ != Held::kFinite) return;
  const ElementFormat& format = spec_.accumulator.format;
  accumulator_code_ = golden_round(format, sum, rounding, random, Overflow::kToSpecial);
  double value = decode(format, accumulator_code_);
  if (std::isnan(value)) {
    held_ = Held::kNan;
  } else if (std::isinf(value)) {
    held_ = value > 0 ? Held::kPlusInf : Held::kMinusInf;
  } else {
    accumulator_ = Exact(value);
  }
}

std::uint32_t GoldenAccumulator::result(const ResultFactor& factor, formats::Lfsr& stream) const {
  const ElementFormat& output = spec_.output;
  std::uint32_t random = 0;
  if (output_rounds_ && spec_.rounding.stochastic())
    random = stream.draw(spec_.rounding.random_bits);

  bool plus_inf = flags_.plus_inf || held_ == Held::kPlusInf;
  bool minus_inf = flags_.minus_inf || held_ == Held::kMinusInf;
  bool nan = flags_.nan || held_ == Held::kNan || factor.nan || (plus_inf && minus_inf) ||
             ((plus_inf || minus_inf) && factor.sign == 0);
  if (nan) return has_nan(output) ? nan_code(output) : 0;
  if (plus_inf || minus_inf) {
    // Inf, or NaN where the output has no Inf, or its largest value where it has neither.
    std::uint32_t sign = minus_inf ? 1u << (output.width() - 1) : 0;
    if (has_inf(output)) return inf_code(output) | sign;
    return has_nan(output) ? nan_code(output) : max_finite_code(output) | sign;
  }
  if (!output_rounds_) return accumulator_code_;
  Exact total = accumulator_;
  if (lost_ && spec_.accumulator.window.sticky) total += ldexp(1, spec_.accumulator.window.lsb - 1);
  return golden_round(output, total * factor.value, spec_.rounding, random, Overflow::kToSpecial,
                      factor.divisor);
}

GoldenDot::GoldenDot(const DotSpec& spec, std::optional<std::uint64_t> seed)
    : spec_(spec),
      random_(seed.value_or(spec.lfsr.seed), spec.lfsr),
      accumulator_(spec, has_result_factor(spec)) {
  validate(spec);
}

void GoldenDot::reset(std::optional<std::uint64_t> seed) {
  random_ = formats::Lfsr(seed.value_or(spec_.lfsr.seed), spec_.lfsr);
  accumulator_.clear();
}

std::optional<std::uint32_t> GoldenDot::step(const Beat& beat, formats::Lfsr& random) {
  check_beat(spec_, beat);
  if (beat.first) accumulator_.clear();

  Factor xa = beat_factor(spec_.a, beat.a_scale, beat.a_outer, beat.a_mean);
  Factor xb = beat_factor(spec_.b, beat.b_scale, beat.b_outer, beat.b_mean);
  GoldenAccumulator::Flags flags;
  flags.nan = xa.nan || xa.inf || xb.nan || xb.inf;
  std::vector<GoldenAccumulator::Term> products;
  for (int j = 0; j < live_lanes(spec_, beat); ++j) {
    Factor a = element(spec_.a, beat.a, beat.a_micro, j);
    Factor b = element(spec_.b, beat.b, beat.b_micro, j);
    if (a.nan || b.nan) {
      flags.nan = true;
    } else if (a.inf || b.inf) {
      int sign = a.sign * b.sign * xa.sign * xb.sign;  // 0: Inf times zero
      if (spec_.specials == SpecialsPolicy::kNan || sign == 0) flags.nan = true;
      if (sign > 0) flags.plus_inf = true;
      if (sign < 0) flags.minus_inf = true;
    } else {
      products.push_back({a.value * b.value, a.exponent + b.exponent});
    }
  }
  accumulator_.add(flags, products, {xa.value * xb.value, xa.exponent + xb.exponent}, random);
  if (!beat.last) return std::nullopt;
  const Factor factor = product(result_factor(spec_.a, beat.a_scale, beat.a_outer),
                                result_factor(spec_.b, beat.b_scale, beat.b_outer));
  return accumulator_.result(
      {factor.value, result_divisor(spec_.a) * result_divisor(spec_.b), factor.nan, factor.sign},
      random);
}

namespace {

/// x * 2^-exponent, a whole number.
Exact::Integer units(const Exact& x, int exponent) {
  if (x.is_zero()) return 0;
  Exact scaled = ldexp(x, -exponent);
  Exact::Integer whole = scaled.exponent() >= 0
                             ? Exact::Integer(scaled.significand() << scaled.exponent())
                             : Exact::Integer(scaled.significand() >> -scaled.exponent());
  BLOCKDOT_CHECK(Exact(whole, 0) == scaled, "{} is no multiple of 2^{}", x.text(), exponent);
  return whole;
}

/// A finite scale as the ports of a bare block dot hold it (BlockDot).
struct PortScale {
  Exact::Integer significand = 1;
  int exponent = 0;
};

PortScale port_minifloat(const ElementFormat& format, double value) {
  int exponent = 1;  // of zero and of subnormals
  if (value != 0) exponent = std::max(1, Exact(value).floor_log2() + format.bias);
  return {units(Exact(value), exponent - format.bias - format.man_bits), exponent};
}

PortScale port_scale(const formats::ScaleFormat& format, std::uint32_t code) {
  double value = decode(format, code);
  switch (format.kind) {
    case ScaleKind::kNone:
      return {};
    case ScaleKind::kE8M0:
      return {1, static_cast<int>(code)};
    case ScaleKind::kMinifloat:
      return std::isfinite(value) ? port_minifloat(format.minifloat, value) : PortScale{};
    case ScaleKind::kInteger:
      return {units(Exact(value), 0), 0};
    case ScaleKind::kCodeBook:
      return {units(Exact(value), lsb_exponent(formats::code_book(format.book))), 0};
  }
  BLOCKDOT_CHECK(false, "scale kind");
}

}  // namespace

BlockDot golden_block_dot(const DotSpec& spec, const Beat& beat) {
  validate(spec);
  check_beat(spec, beat);
  BlockDot dot;
  dot.factor = Exact(1);
  auto multiply = [&](const PortScale& scale) {
    dot.scale_significand *= scale.significand;
    dot.scale_exponent += scale.exponent;
  };
  auto add_side = [&](const BlockFormat& format, std::uint32_t scale, std::uint32_t outer,
                      float mean) {
    Factor factor = beat_factor(format, scale, outer, mean);
    dot.factor *= factor.value;
    dot.scale_nan = dot.scale_nan || factor.nan || factor.inf;
    if (scale_in_result(format)) return;
    if (outer_in_beat(format) && format.outer.mean) {
      if (!factor.nan && !factor.inf) multiply(port_minifloat(kBinary32, factor.value.to_double()));
      return;
    }
    multiply(port_scale(format.scale, scale));
    if (outer_in_beat(format)) multiply(port_scale(format.outer.scale, outer));
  };
  add_side(spec.a, beat.a_scale, beat.a_outer, beat.a_mean);
  add_side(spec.b, beat.b_scale, beat.b_outer, beat.b_mean);
  for (int j = 0; j < live_lanes(spec, beat); ++j) {
    Factor a = element(spec.a, beat.a, beat.a_micro, j);
    Factor b = element(spec.b, beat.b, beat.b_micro, j);
    if (a.nan || b.nan || a.inf || b.inf)
      dot.nan = true;
    else
      dot.sum += a.value * b.value;
  }
  return dot;
}

std::vector<float> GemmResult::values() const {
  std::vector<float> values(codes.size());
  for (size_t i = 0; i < codes.size(); ++i)
    values[i] = static_cast<float>(decode(output, codes[i]));
  return values;
}

GemmResult gemm_golden(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
                       std::optional<std::uint64_t> seed) {
  check_operands(spec, a, b);
  GemmResult result{a.rows, b.rows, spec.output, {}};
  result.codes.reserve(static_cast<size_t>(a.rows * b.rows));
  std::vector<formats::BeatRange> ranges = beat_ranges(spec, a.length);
  GoldenDot unit(spec, seed);
  BeatBuffer buffer;
  for (std::int64_t i = 0; i < a.rows; ++i) {
    for (std::int64_t j = 0; j < b.rows; ++j) {
      for (size_t beat = 0; beat < ranges.size(); ++beat) {
        fill_beat(spec, a, i, b, j, ranges[beat], buffer);
        auto code = unit.step(buffer.beat(beat == 0, beat + 1 == ranges.size()));
        if (code) result.codes.push_back(*code);
      }
    }
  }
  return result;
}

}  // namespace blockdot::models
