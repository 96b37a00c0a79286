#include "models/gemm_factor.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace blockdot::models {

using formats::QuantizedMatrix;

namespace {

Int512 to_512(const Int512& x) { return x; }
Int512 to_512(const Int128& x) { return widen(x, static_cast<Int512*>(nullptr)); }

/// Of a row, without the division.
double result_factor(const QuantizedMatrix& matrix, std::int64_t r) {
  const formats::BlockFormat& format = matrix.format;
  if (scale_in_result(format)) return decode(format.scale, matrix.scale(r, 0));
  if (outer_in_result(format))
    return decode(format.outer.scale, matrix.outer_scales[matrix.outer_index(r, 0)]);
  return 1;
}

}  // namespace

ResultFactors::ResultFactors(const formats::DotSpec& spec, const QuantizedMatrix& a,
                             const QuantizedMatrix& b)
    : a_(a), b_(b), any_(has_result_factor(spec)), output_(spec.output, spec.rounding) {
  const formats::OddFactor x = amax_divisor(spec.a), y = amax_divisor(spec.b);
  divisor_ = std::uint64_t{x.odd} * y.odd;
  divisor_exponent_ = x.exponent + y.exponent;
}

double ResultFactors::product(std::int64_t i, std::int64_t j) const {
  return any_ ? result_factor(a_, i) * result_factor(b_, j) : 1;
}

template <typename Wide>
double ResultFactors::times(const Wide& x, int exponent, std::int64_t i, std::int64_t j,
                            std::uint32_t random) const {
  const double factor = product(i, j);
  if (!std::isfinite(factor)) return std::numeric_limits<double>::quiet_NaN();
  if (x == 0 || factor == 0) return 0;
  int factor_exponent;
  const auto significand =
      static_cast<std::int64_t>(std::ldexp(std::frexp(factor, &factor_exponent), kFactorBits));
  exponent += factor_exponent - kFactorBits - divisor_exponent_;
  const Wide magnitude = x < 0 ? Wide(-x) : x;
  const double value =
      bit_length(magnitude) + kFactorBits <= kCapacity<Int128> - 1
          ? divided<Int128>(static_cast<Int128>(magnitude) * significand, exponent, random)
          : divided<Int512>(Int512(to_512(magnitude) * significand), exponent, random);
  return x < 0 ? -value : value;
}

template double ResultFactors::times(const Int128&, int, std::int64_t, std::int64_t,
                                     std::uint32_t) const;
template double ResultFactors::times(const Int512&, int, std::int64_t, std::int64_t,
                                     std::uint32_t) const;

double ResultFactors::times(double acc, std::int64_t i, std::int64_t j,
                            std::uint32_t random) const {
  if (!std::isfinite(acc)) {
    const double factor = product(i, j);
    return factor > 0 && std::isfinite(factor) ? acc : std::numeric_limits<double>::quiet_NaN();
  }
  int exponent;
  const auto significand = static_cast<std::int64_t>(std::ldexp(std::frexp(acc, &exponent), 53));
  return times(Int128{significand}, exponent - 53, i, j, random);
}

template <typename Wide>
double ResultFactors::divided(Wide x, int exponent, std::uint32_t random) const {
  if (divisor_ > 1) {
    // Far more bits than a double has; the last one stands for the remainder.
    const int shift = kCapacity<Wide> - 1 - bit_length(x);
    x <<= shift;
    exponent -= shift;
    Wide quotient = x / Wide(divisor_);
    if (Wide(quotient * Wide(divisor_)) != x) quotient |= 1;
    x = quotient;
  }
  const int top = bit_length(x) + exponent;
  return output_(x, exponent + std::clamp(top, -kBeyondFormats, kBeyondFormats) - top, random);
}

}  // namespace blockdot::models
