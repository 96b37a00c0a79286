// What multiplies a result after the sums: the scales of rows and tensors, and the division by the
// largest element (dot_spec.h, "Factors").
#pragma once

#include <cstdint>

#include "formats/dot_spec.h"
#include "formats/quantize.h"
#include "models/wide_rounding.h"

namespace blockdot::models {

/// Ra * Rb of every result of two operands, which must outlive it.
class ResultFactors {
 public:
  ResultFactors(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                const formats::QuantizedMatrix& b);

  bool any() const { return any_; }  // else the factor of every result is 1
  /// Without the division: exact, since both have 24 bits; NaN and Inf too.
  double product(std::int64_t i, std::int64_t j) const;

  /// x * 2^exponent times the factor as the double that stands for it in the output's rounding with
  /// this draw (WideRounding); far outside of every output it stops. `Wide`: Int128 or Int512,
  /// whose magnitude has kFactorBits left there.
  template <typename Wide>
  double times(const Wide& x, int exponent, std::int64_t i, std::int64_t j,
               std::uint32_t random) const;
  /// The same for what an accumulator holds as a double: NaN and Inf as the contract has them.
  double times(double acc, std::int64_t i, std::int64_t j, std::uint32_t random) const;

  /// Bits of Int512 that the multiplication takes.
  static constexpr int kFactorBits = 48;

 private:
  template <typename Wide>
  double divided(Wide x, int exponent, std::uint32_t random) const;

  const formats::QuantizedMatrix& a_;
  const formats::QuantizedMatrix& b_;
  bool any_;
  WideRounding output_;
  std::uint64_t divisor_;
  int divisor_exponent_;
};

}  // namespace blockdot::models
