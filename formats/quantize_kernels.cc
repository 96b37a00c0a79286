// How a run is encoded without a branch an element. The quotient t = x / divisor is formed in
// binary32:
//   divisor 2^e: t = x * 2^-e, exact but where t is below 2^-126, far under every element here;
//   binary32 divisor: t = x / divisor and the sign of the exact remainder (fma) round t to odd;
//   else, or with a multiplier: the definition's double quotient, rounded to odd into binary32.
// Rounding to odd keeps what a later rounding to p <= 22 bits needs (Boldo and Melquiond, 2008).
// A minifloat's code is then an integer rounding of t's own bits (normal) or of t added to a power
// of two (subnormal); integers likewise. Code books compare x with the midpoints times the divisor,
// rounded down to binary32, which decides as the exact products do.
#include "formats/quantize_kernels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include "formats/quantize.h"

namespace blockdot::formats {

namespace {

constexpr std::uint32_t kSignBit = 0x80000000u;

std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

// t with exact remainder r (x - t * divisor, or any number of its sign), rounded to odd: where t is
// even and inexact, its neighbour on the side of the exact value. A t of zero keeps its sign: the
// remainder then has it too.
template <typename Real>
float to_odd(float t, Real remainder) {
  std::uint32_t bits = bits_of(t);
  bool outward = std::signbit(remainder) == (bits >> 31 != 0);
  std::uint32_t odd = outward ? bits + 1 : bits - 1;
  return std::bit_cast<float>(remainder != 0 && (bits & 1) == 0 ? odd : bits);
}

struct TimesPowerOfTwo {
  const float* x;
  float factor;
  float operator()(std::int64_t i) const { return x[i] * factor; }
};

struct OverFloat {
  const float* x;
  float divisor;
  float operator()(std::int64_t i) const {
    float t = x[i] / divisor;
    return to_odd(t, std::fma(-t, divisor, x[i]));
  }
};

struct OverDouble {
  const float* x;
  double multiplier;
  double divisor;
  float operator()(std::int64_t i) const {
    double exact = x[i] * multiplier / divisor;
    auto t = static_cast<float>(exact);
    return to_odd(t, exact - t);
  }
};

// Largest binary32 that is not above `value`; one lower where `step_down` and it is equal.
float round_down(double value, bool step_down) {
  auto f = static_cast<float>(value);
  if (f > value || (step_down && f == value))
    f = std::nextafterf(f, -std::numeric_limits<float>::infinity());
  return f;
}

// x becomes code c + 1 rather than c exactly when x > threshold c. RNE: a tie goes up from odd c.
float book_threshold(std::span<const float> values, size_t c, double divisor) {
  double middle = (static_cast<double>(values[c]) + values[c + 1]) / 2;
  return round_down(middle * divisor, c % 2 == 1);
}

}  // namespace

std::uint32_t max_magnitude_bits(const float* x, std::int64_t n) {
  std::uint32_t most = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    std::uint32_t bits = bits_of(x[i]) & ~kSignBit;
    most = bits > most ? bits : most;
  }
  return most;
}

ElementKernel::ElementKernel(const ElementFormat& element, bool keep_negative_zero)
    : element_(element) {
  if (element.width() > 8) return;
  lsb_ = lsb_exponent(element);
  max_code_ = static_cast<int>(max_finite_code(element));
  sign_shift_ = element.width() - 1;
  negative_zero_ = keep_negative_zero;
  switch (element.kind) {
    case ElementKind::kMinifloat:
      if (element.special == Special::kFnuz) negative_zero_ = false;
      if (element.bias >= -60 && element.bias <= 60) way_ = Way::kMinifloat;
      break;
    case ElementKind::kInteger:
      way_ = Way::kInteger;
      break;
    case ElementKind::kSignMagnitude:
      way_ = Way::kSignMagnitude;
      break;
    case ElementKind::kCodeBook: {
      std::span<const float> values = code_book_values(element.book);
      way_ = values.size() <= 16 ? Way::kSmallBook : Way::kLargeBook;
      if (way_ == Way::kSmallBook) break;
      // A bucket of the upper 16 bits spans 2^-7 of its value; with a margin of 2^-20 it holds at
      // most one midpoint of the dynamic maps, whose neighbours differ by 2^-7.2 or more.
      start_.resize(65536);
      for (std::uint32_t high = 0; high < 65536; ++high) {
        float edge = std::bit_cast<float>(high << 16),
              far = std::bit_cast<float>(high << 16 | 0xFFFF);
        if (!std::isfinite(edge)) continue;
        double least = std::min(edge, far);
        least -= std::fabs(least) * 0x1p-20;
        std::uint32_t code = encode_code_book(element.book, least, {}, 0);
        start_[high] = static_cast<std::uint8_t>(std::min(code, 254u));
      }
      break;
    }
  }
}

template <typename Source>
void ElementKernel::encode_lanes(Source source, std::int64_t n, std::uint8_t* codes) const {
  int max_code = max_code_, sign_shift = sign_shift_;
  bool drop = !negative_zero_;
  if (way_ == Way::kMinifloat) {
    int shift = 23 - element_.man_bits;
    int rebias = (127 - element_.bias) << 23;
    std::uint32_t least_normal = static_cast<std::uint32_t>(128 - element_.bias) << 23;
    float magic = std::ldexp(1.0f, 23 + lsb_);
    auto magic_bits = static_cast<int>(bits_of(magic));
    int below_half = (1 << (shift - 1)) - 1;
    for (std::int64_t i = 0; i < n; ++i) {
      std::uint32_t bits = bits_of(source(i));
      std::uint32_t magnitude = bits & ~kSignBit;
      int rebiased = static_cast<int>(magnitude) - rebias;
      int normal = (rebiased + below_half + ((rebiased >> shift) & 1)) >> shift;
      int subnormal =
          static_cast<int>(bits_of(std::bit_cast<float>(magnitude) + magic)) - magic_bits;
      int code = magnitude >= least_normal ? normal : subnormal;
      code = code < max_code ? code : max_code;
      int sign = static_cast<int>(bits >> 31) << sign_shift;
      sign = drop && code == 0 ? 0 : sign;
      codes[i] = static_cast<std::uint8_t>(code | sign);
    }
    return;
  }
  float scale = std::ldexp(1.0f, element_.frac_bits);
  auto high = static_cast<float>(max_code);
  bool sign_magnitude = way_ == Way::kSignMagnitude;
  float low = sign_magnitude || element_.symmetric ? -high : -high - 1;
  constexpr float kMagic = 0x1.8p23f;  // adding it rounds to whole numbers, negative ones too
  auto magic_bits = static_cast<int>(bits_of(kMagic));
  if (sign_magnitude) {
    for (std::int64_t i = 0; i < n; ++i) {
      float t = source(i) * scale;
      float magnitude = std::fabs(t);
      magnitude = magnitude < high ? magnitude : high;
      int code = static_cast<int>(bits_of(magnitude + kMagic)) - magic_bits;
      int sign = static_cast<int>(bits_of(t) >> 31) << sign_shift;
      sign = drop && code == 0 ? 0 : sign;
      codes[i] = static_cast<std::uint8_t>(code | sign);
    }
    return;
  }
  int mask = (1 << element_.int_bits) - 1;
  for (std::int64_t i = 0; i < n; ++i) {
    float t = source(i) * scale;
    t = t < high ? t : high;
    t = t > low ? t : low;
    int code = static_cast<int>(bits_of(t + kMagic)) - magic_bits;
    codes[i] = static_cast<std::uint8_t>(code & mask);
  }
}

bool ElementKernel::encode_book(const float* x, std::int64_t n, double divisor, double multiplier,
                                std::uint8_t* codes) const {
  // Thresholds are 25 bits times the divisor's: exact in double for one binary32 scale.
  if (multiplier != 1.0 || static_cast<double>(static_cast<float>(divisor)) != divisor)
    return false;
  std::span<const float> values = code_book_values(element_.book);
  if (way_ == Way::kSmallBook) {
    // Missing thresholds of smaller books are never passed.
    std::array<float, 15> threshold;
    threshold.fill(std::numeric_limits<float>::infinity());
    for (size_t c = 0; c + 1 < values.size(); ++c)
      threshold[c] = book_threshold(values, c, divisor);
    for (std::int64_t i = 0; i < n; ++i) {
      float v = x[i];
      int code = 0;
      for (size_t c = 0; c < 15; ++c) code += v > threshold[c] ? 1 : 0;
      codes[i] = static_cast<std::uint8_t>(code);
    }
    return true;
  }
  // The estimate x * (1 / divisor) is within 2^-22 of the quotient where nothing underflows.
  if (divisor < 0x1p-60 || divisor > 0x1p60) return false;
  std::array<float, 256> threshold;
  for (size_t c = 0; c + 1 < values.size(); ++c) threshold[c] = book_threshold(values, c, divisor);
  threshold[255] = std::numeric_limits<float>::infinity();
  auto reciprocal = static_cast<float>(1 / divisor);
  const std::uint8_t* start = start_.data();
  for (std::int64_t i = 0; i < n; ++i) {
    float v = x[i];
    std::uint32_t code = start[bits_of(v * reciprocal) >> 16];
    code += v > threshold[code] ? 1 : 0;
    code += v > threshold[code] ? 1 : 0;
    codes[i] = static_cast<std::uint8_t>(code);
  }
  return true;
}

bool ElementKernel::encode(const float* x, std::int64_t n, double divisor, double multiplier,
                           std::uint8_t* codes) const {
  if (way_ == Way::kNone || !(divisor > 0) || std::isinf(divisor)) return false;
  if (way_ == Way::kSmallBook || way_ == Way::kLargeBook)
    return encode_book(x, n, divisor, multiplier, codes);
  int exponent;
  if (multiplier == 1.0 && std::frexp(divisor, &exponent) == 0.5) {
    --exponent;  // divisor = 2^exponent
    if (exponent < -127 || exponent > 127) return false;
    encode_lanes(TimesPowerOfTwo{x, std::ldexp(1.0f, -exponent)}, n, codes);
    return true;
  }
  // The fma's remainder is exact from |x| = 2^-101 on; below, the quotient must be far under half
  // of the element's least value.
  bool exact_remainder = divisor >= std::ldexp(1.0, -97 - lsb_) && divisor <= 0x1p100;
  if (multiplier == 1.0 && exact_remainder &&
      static_cast<double>(static_cast<float>(divisor)) == divisor) {
    encode_lanes(OverFloat{x, static_cast<float>(divisor)}, n, codes);
  } else {
    encode_lanes(OverDouble{x, multiplier, divisor}, n, codes);
  }
  return true;
}

bool dequantize_fast(const QuantizedMatrix& matrix, float* values) {
  const BlockFormat& format = matrix.format;
  if (format.element.width() > 8 || format.has_outer() || format.micro.bits > 0 ||
      !format.has_scale() || matrix.factor != 1)
    return false;
  // A product of a short element and a binary32 scale is exact in double, so the float product
  // rounds as the definition does; with :amax the definition's own division is used.
  std::array<float, 256> table{};
  std::array<double, 256> wide{};
  for (std::uint32_t code = 0; code < (1u << format.element.width()); ++code) {
    wide[code] = decode(format.element, code);
    table[code] = static_cast<float>(wide[code]);
    if (table[code] != wide[code] && !std::isnan(wide[code])) return false;
  }
  double max = max_value(format.element);
  std::int64_t columns = matrix.blocks_per_row();
  std::int64_t block = format.block > 0 ? format.block : matrix.length;
  for (std::int64_t r = 0; r < matrix.rows; ++r) {
    const std::uint8_t* codes = matrix.codes.data() + r * matrix.padded_length;
    float* row = values + r * matrix.length;
    for (std::int64_t column = 0; column < columns; ++column) {
      double exact = decode(format.scale, matrix.scales[static_cast<size_t>(r * columns + column)]);
      auto scale = static_cast<float>(exact);
      std::int64_t k1 = std::min((column + 1) * block, matrix.length);
      if (format.scale.of_maximum) {
        for (std::int64_t k = column * block; k < k1; ++k)
          row[k] = static_cast<float>(wide[codes[k]] * exact / max);
      } else if (static_cast<double>(scale) == exact || std::isnan(exact)) {
        for (std::int64_t k = column * block; k < k1; ++k) row[k] = table[codes[k]] * scale;
      } else {  // a scale format beyond binary32
        for (std::int64_t k = column * block; k < k1; ++k)
          row[k] = static_cast<float>(wide[codes[k]] * exact);
      }
    }
  }
  return true;
}

}  // namespace blockdot::formats
