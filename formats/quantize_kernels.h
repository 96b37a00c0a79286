// The fast inner loops of quantise and dequantise: plain loops that the compiler turns into vector
// code. Each gives the bits of the definition (encode of the exact quotient, value) or declines.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "formats/block_format.h"

namespace blockdot::formats {

struct QuantizedMatrix;

inline constexpr std::uint32_t kInfBits = 0x7F800000u;

inline float magnitude_of(std::uint32_t bits) { return std::bit_cast<float>(bits); }

/// The largest magnitude of x[0..n) as binary32 bits; kInfBits or more when one is Inf or NaN.
std::uint32_t max_magnitude_bits(const float* x, std::int64_t n);

/// Encodes runs of finite values that share a divisor: RNE, saturating, elements of at most 8 bits.
class ElementKernel {
 public:
  ElementKernel() = default;  // declines everything
  ElementKernel(const ElementFormat& element, bool keep_negative_zero);

  /// codes[i] = encode(element, x[i] * multiplier / divisor) for i in [0, n), or false and nothing
  /// written. `multiplier` is 1 or a number of at most 8 bits.
  bool encode(const float* x, std::int64_t n, double divisor, double multiplier,
              std::uint8_t* codes) const;

 private:
  enum class Way { kNone, kMinifloat, kInteger, kSignMagnitude, kSmallBook, kLargeBook };

  template <typename Source>
  void encode_lanes(Source source, std::int64_t n, std::uint8_t* codes) const;
  bool encode_book(const float* x, std::int64_t n, double divisor, double multiplier,
                   std::uint8_t* codes) const;

  Way way_ = Way::kNone;
  ElementFormat element_;
  int lsb_ = 0;         // lsb_exponent
  int sign_shift_ = 0;  // of the sign bit in the code
  int max_code_ = 0;    // of the magnitude
  bool negative_zero_ = true;
  std::vector<std::uint8_t> start_;  // kLargeBook: by the upper 16 bits of x / divisor
};

/// Values of a matrix of at most 8 bits an element with one level of scales; false: declined.
bool dequantize_fast(const QuantizedMatrix& matrix, float* values);

}  // namespace blockdot::formats
