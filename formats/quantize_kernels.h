// The fast inner loops of quantise and dequantise: plain loops that the compiler turns into vector
// code. Each gives the bits of the definition (encode of the exact quotient, value) or declines.
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/block_format.h"
#include "formats/lanes.h"

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
  friend class RowKernel;
  enum class Way { kNone, kLanes, kSmallBook, kDynamic };

  bool encode_book(const float* x, std::int64_t n, double divisor, double multiplier,
                   std::uint8_t* codes) const;

  Way way_ = Way::kNone;
  ElementFormat element_;
  int lsb_ = 0;  // lsb_exponent
  LaneFormat lanes_;
  BookLanes book_{};  // kSmallBook
  DynamicMap dynamic_;
  std::vector<double> middles_;  // kDynamic: between each magnitude and the next
};

/// Whole rows of one-row blocks under the rule floor: scales and codes in one pass. The caller
/// gives each block that it declines (NaN, Inf, subnormal maxima, odd scales) to the definition.
class RowKernel {
 public:
  RowKernel(const BlockFormat& format, const ElementKernel& element, bool floor_rule);
  bool takes() const { return scale_ != Scale::kNone; }

  /// One row of `blocks` whole blocks; the numbers of those left undone.
  std::span<const std::int64_t> encode(const float* x, std::int64_t blocks, std::uint32_t* scales,
                                       std::uint8_t* codes);

 private:
  enum class Scale { kNone, kE8M0, kFloat };

  const ElementKernel& element_;
  Scale scale_ = Scale::kNone;
  std::int64_t block_ = 0;
  int emax_ = 0;
  RowScale rule_;
  std::vector<std::int64_t> declined_;
};

/// Values of a matrix of at most 8 bits an element with one level of scales; false: declined.
bool dequantize_fast(const QuantizedMatrix& matrix, float* values);

}  // namespace blockdot::formats
