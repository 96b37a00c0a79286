#include "models/gemm_encode.h"

#include <bit>
#include <cmath>
#include <limits>

namespace blockdot::models {

using formats::DotSpec;
using formats::ElementFormat;
using formats::Rounding;
using formats::RoundingMode;

std::optional<StepKind> rounding_step(const ElementFormat& f, const Rounding& rounding,
                                      StepFormat& format) {
  format.to_units = std::ldexp(1.0, f.man_bits);
  format.from_units = std::ldexp(1.0, -f.man_bits);
  format.least_normal = min_normal(f);
  format.most = max_value(f);
  const bool saturates = !has_nan(f) || rounding.mode == RoundingMode::kRtz;
  format.overflow = saturates    ? format.most
                    : has_inf(f) ? std::numeric_limits<double>::infinity()
                                 : std::numeric_limits<double>::quiet_NaN();
  switch (rounding.mode) {
    case RoundingMode::kRne:
      // Without mantissa bits a tie goes by the exponent's parity.
      if (f.man_bits == 0) return std::nullopt;
      return StepKind::kNearestEven;
    case RoundingMode::kRna:
      return StepKind::kNearestAway;
    case RoundingMode::kRtz:
      return StepKind::kTowardsZero;
    case RoundingMode::kStochastic:
      break;
  }
  const bool twice = rounding.variant == formats::SrVariant::kSrf;
  format.random_range = std::ldexp(1.0, rounding.random_bits + (twice ? 1 : 0));
  format.random_factor = twice ? 2 : 1;
  format.random_offset = twice ? 1 : 0;
  return rounding.variant == formats::SrVariant::kSrc ? StepKind::kStochasticNearest
                                                      : StepKind::kStochastic;
}

Encoder::Encoder(const DotSpec& spec) : spec_(spec) {
  const ElementFormat& f = spec.output;
  nearest32_ = f == formats::minifloat(8, 23) && spec.rounding.mode == RoundingMode::kRne;
  const std::optional<StepKind> step = rounding_step(f, spec.rounding, format_.step);
  vector_ = step.has_value() && !nearest32_;
  if (step) format_.rounding = *step;
  constexpr double kInf = std::numeric_limits<double>::infinity();
  format_.man_bits = f.man_bits;
  format_.least_exponent =
      static_cast<int>(std::bit_cast<std::uint64_t>(format_.step.least_normal) >> 52);
  format_.overflow = code(std::ldexp(max_value(f), 2), 0);
  format_.inf = code(kInf, 0);
  format_.nan = code(std::nan(""), 0);
  format_.sign = 1u << (f.width() - 1);
  format_.negative_zero = f.special != formats::Special::kFnuz;
  // Where no code is a NaN it is encoded as zero, and no other code may pass for it.
  vector_ = vector_ && has_nan(f);
}

std::uint32_t Encoder::code(double value, std::uint32_t random) const {
  return encode(spec_.output, value, spec_.rounding, random, formats::Overflow::kToSpecial);
}

void Encoder::operator()(const double* x, const std::uint32_t* draws, int count,
                         std::uint32_t* codes) const {
  if (nearest32_) {
    const std::uint32_t nan = format_.nan;  // a store to codes cannot change it
    for (int i = 0; i < count; ++i) {
      const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(x[i]));
      codes[i] = (bits & 0x7FFFFFFF) > 0x7F800000 ? nan : bits;
    }
  } else if (vector_) {
    encode_values(format_, x, draws, count, codes);
  } else {
    for (int i = 0; i < count; ++i) codes[i] = code(x[i], draws[i]);
  }
}

}  // namespace blockdot::models
