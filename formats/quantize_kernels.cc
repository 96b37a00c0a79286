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
#include <cstring>
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
  TimesPowerOfTwo from(const float* other) const { return {other, factor}; }
  float operator()(std::int64_t i) const { return x[i] * factor; }
};

struct OverFloat {
  const float* x;
  float divisor;
  OverFloat from(const float* other) const { return {other, divisor}; }
  float operator()(std::int64_t i) const {
    float t = x[i] / divisor;
    return to_odd(t, std::fma(-t, divisor, x[i]));
  }
};

struct OverDouble {
  const float* x;
  double multiplier;
  double divisor;
  OverDouble from(const float* other) const { return {other, multiplier, divisor}; }
  float operator()(std::int64_t i) const {
    double exact = x[i] * multiplier / divisor;
    auto t = static_cast<float>(exact);
    return to_odd(t, exact - t);
  }
};

constexpr float kWholeMagic = 0x1.8p23f;  // adding it rounds to whole numbers, negative ones too

// 2^e for -127 <= e <= 127 (2^-127 is subnormal).
float power_of_two(int e) {
  return std::bit_cast<float>(e == -127 ? 0x00400000u : static_cast<std::uint32_t>(e + 127) << 23);
}

template <int kCount>
[[gnu::always_inline]] inline std::uint32_t most_magnitude(const float* x, std::int64_t n) {
  if (kCount > 0) n = kCount;
  std::uint32_t most = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    std::uint32_t bits = bits_of(x[i]) & ~kSignBit;
    most = bits > most ? bits : most;
  }
  return most;
}

// Largest binary32 that is not above `value`; one lower where `step_down` and it is equal.
float round_down(double value, bool step_down) {
  auto f = static_cast<float>(value);
  bool lower = f > value || (step_down && f == value);
  std::uint32_t bits = bits_of(f);
  // The next below: outward for negative values, the least negative one for +0 and -0.
  std::uint32_t next = (bits & ~kSignBit) == 0 ? kSignBit + 1
                       : bits >> 31 != 0       ? bits + 1
                                               : bits - 1;
  return std::bit_cast<float>(lower ? next : bits);
}

// x becomes code c + 1 rather than c exactly when x > threshold c. RNE: a tie goes up from odd c.
float book_threshold(std::span<const float> values, size_t c, double divisor) {
  double middle = (static_cast<double>(values[c]) + values[c + 1]) / 2;
  return round_down(middle * divisor, c % 2 == 1);
}

}  // namespace

std::uint32_t max_magnitude_bits(const float* x, std::int64_t n) { return most_magnitude<0>(x, n); }

ElementKernel::ElementKernel(const ElementFormat& element, bool keep_negative_zero)
    : element_(element) {
  if (element.width() > 8) return;
  lsb_ = lsb_exponent(element);
  max_code_ = static_cast<int>(max_finite_code(element));
  sign_shift_ = element.width() - 1;
  drop_zero_sign_ = !keep_negative_zero;
  switch (element.kind) {
    case ElementKind::kMinifloat:
      if (element.special == Special::kFnuz) drop_zero_sign_ = true;
      if (element.bias < -60 || element.bias > 60) return;
      way_ = Way::kMinifloat;
      shift_ = 23 - element.man_bits;
      rebias_ = (127 - element.bias) << 23;
      least_normal_ = static_cast<std::uint32_t>(128 - element.bias) << 23;
      magic_ = std::ldexp(1.0f, 23 + lsb_);
      break;
    case ElementKind::kInteger:
    case ElementKind::kSignMagnitude:
      way_ = element.kind == ElementKind::kInteger ? Way::kInteger : Way::kSignMagnitude;
      scale_ = std::ldexp(1.0f, element.frac_bits);
      high_ = static_cast<float>(max_code_);
      low_ = way_ == Way::kSignMagnitude || element.symmetric ? -high_ : -high_ - 1;
      mask_ = (1 << element.width()) - 1;
      break;
    case ElementKind::kCodeBook: {
      std::span<const float> values = code_book_values(element.book);
      way_ = values.size() <= 16 ? Way::kSmallBook : Way::kLargeBook;
      if (way_ == Way::kSmallBook) break;
      // A bucket of the upper 16 bits spans 2^-7 of its value; with a margin of 2^-20 it holds at
      // most one midpoint of the dynamic maps, whose neighbours differ by 2^-7.2 or more.
      start_.resize(65536);
      for (std::uint32_t high = 0; high < 65536; ++high) {
        float edge = std::bit_cast<float>(high << 16);
        float far = std::bit_cast<float>(high << 16 | 0xFFFF);
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

/// The loops over lanes. kCount: number of lanes, 0 where it is `n`.
struct Lanes {
  const ElementKernel& kernel;

  // Sixteen at a time, the last ones through a padded copy: no lane is left to a scalar loop.
  template <int kCount, typename Source>
  [[gnu::always_inline]] void encode(Source source, std::int64_t n, std::uint8_t* codes) const {
    if (kCount > 0) n = kCount;
    switch (kernel.way_) {
      case ElementKernel::Way::kMinifloat:
        chunks<ElementKernel::Way::kMinifloat>(source, n, codes);
        return;
      case ElementKernel::Way::kSignMagnitude:
        chunks<ElementKernel::Way::kSignMagnitude>(source, n, codes);
        return;
      case ElementKernel::Way::kInteger:
        chunks<ElementKernel::Way::kInteger>(source, n, codes);
        return;
      case ElementKernel::Way::kNone:
      case ElementKernel::Way::kSmallBook:
      case ElementKernel::Way::kLargeBook:
        return;
    }
  }

  template <ElementKernel::Way kWay, typename Source>
  [[gnu::always_inline]] void chunks(const Source& source, std::int64_t n,
                                     std::uint8_t* codes) const {
    std::int64_t at = 0;
    for (; at + 16 <= n; at += 16) sixteen<kWay>(source.from(source.x + at), codes + at);
    if (at == n) return;
    float tail[16] = {};
    std::uint8_t tail_codes[16];
    std::memcpy(tail, source.x + at, static_cast<size_t>(n - at) * sizeof(float));
    sixteen<kWay>(source.from(tail), tail_codes);
    std::memcpy(codes + at, tail_codes, static_cast<size_t>(n - at));
  }

  // The codes as 32-bit lanes, then their low bytes.
  template <ElementKernel::Way kWay, typename Source>
  [[gnu::always_inline]] void sixteen(const Source& source, std::uint8_t* codes) const {
    const ElementKernel& k = kernel;
    const int max_code = k.max_code_, sign_shift = k.sign_shift_, mask = k.mask_;
    const int drop = k.drop_zero_sign_ ? -1 : 0;
    const int shift = k.shift_, rebias = k.rebias_, below_half = (1 << (shift - 1)) - 1;
    const std::uint32_t least_normal = k.least_normal_;
    const float magic = k.magic_, scale = k.scale_, high = k.high_, low = k.low_;
    const auto magic_bits = static_cast<int>(bits_of(magic));
    const auto whole_bits = static_cast<int>(bits_of(kWholeMagic));
    int lanes[16];
    for (int i = 0; i < 16; ++i) {
      float t = source(i);
      std::uint32_t bits = bits_of(t);
      int code;
      if constexpr (kWay == ElementKernel::Way::kInteger) {
        t = t * scale;
        t = t < high ? t : high;
        t = t > low ? t : low;
        lanes[i] = (static_cast<int>(bits_of(t + kWholeMagic)) - whole_bits) & mask;
        continue;
      } else if constexpr (kWay == ElementKernel::Way::kSignMagnitude) {
        float magnitude = std::fabs(t * scale);
        magnitude = magnitude < high ? magnitude : high;
        code = static_cast<int>(bits_of(magnitude + kWholeMagic)) - whole_bits;
      } else {
        std::uint32_t magnitude = bits & ~kSignBit;
        int rebiased = static_cast<int>(magnitude) - rebias;
        int normal = (rebiased + below_half + ((rebiased >> shift) & 1)) >> shift;
        int subnormal =
            static_cast<int>(bits_of(std::bit_cast<float>(magnitude) + magic)) - magic_bits;
        code = magnitude >= least_normal ? normal : subnormal;
        code = code < max_code ? code : max_code;
      }
      int sign = static_cast<int>(bits >> 31) << sign_shift;
      int without = code == 0 ? drop : 0;
      lanes[i] = code | (sign & ~without);
    }
    for (int i = 0; i < 16; ++i) codes[i] = static_cast<std::uint8_t>(lanes[i]);
  }

  // x * multiplier / divisor to integers where the quotient has no short binary form: an estimate
  // in binary32, put right by the exact remainder in double (31 and 33 bits).
  [[gnu::always_inline]] void encode_integer(const float* x, std::int64_t n, double multiplier,
                                             double divisor, std::uint8_t* codes) const {
    double scale = kernel.scale_, high = kernel.high_, low = kernel.low_;
    double unit = divisor / scale, half = unit / 2, estimate = 1 / unit * multiplier;
    constexpr double kMagic = 0x1.8p52;
    int mask = kernel.mask_;
    for (std::int64_t i = 0; i < n; ++i) {
      double v = x[i];
      double q = v * estimate;
      q = q < high ? q : high;
      q = q > low ? q : low;
      double whole = (q + kMagic) - kMagic;
      double rest = v * multiplier - whole * unit;
      // A tie rounds to the even one of `whole` and its neighbour.
      double odd = whole - 2 * ((whole * 0.5 + kMagic) - kMagic);
      double up = rest > half || (rest == half && odd != 0) ? 1.0 : 0.0;
      double down = rest < -half || (rest == -half && odd != 0) ? 1.0 : 0.0;
      whole += up - down;
      whole = whole < high ? whole : high;
      whole = whole > low ? whole : low;
      codes[i] = static_cast<std::uint8_t>(static_cast<int>(whole) & mask);
    }
  }
};

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
    auto sixteen = [&](const float* run, std::uint8_t* out) {
      int lanes[16] = {};
      for (size_t c = 0; c + 1 < values.size(); ++c)
        for (int i = 0; i < 16; ++i) lanes[i] += run[i] > threshold[c] ? 1 : 0;
      for (int i = 0; i < 16; ++i) out[i] = static_cast<std::uint8_t>(lanes[i]);
    };
    std::int64_t at = 0;
    for (; at + 16 <= n; at += 16) sixteen(x + at, codes + at);
    if (at < n) {
      float tail[16] = {};
      std::uint8_t tail_codes[16];
      std::memcpy(tail, x + at, static_cast<size_t>(n - at) * sizeof(float));
      sixteen(tail, tail_codes);
      std::memcpy(codes + at, tail_codes, static_cast<size_t>(n - at));
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
  Lanes lanes{*this};
  auto wide = std::bit_cast<std::uint64_t>(divisor);
  if (multiplier == 1.0 && (wide & 0xFFFFFFFFFFFFF) == 0) {
    int exponent = static_cast<int>(wide >> 52) - 1023;  // divisor = 2^exponent
    if (exponent < -127 || exponent > 127) return false;
    lanes.encode<0>(TimesPowerOfTwo{x, power_of_two(-exponent)}, n, codes);
    return true;
  }
  // The fma's remainder is exact from |x| = 2^-101 on; below, the quotient must be far under half
  // of the element's least value.
  bool exact_remainder = divisor >= std::ldexp(1.0, -97 - lsb_) && divisor <= 0x1p100;
  if (multiplier == 1.0 && exact_remainder &&
      static_cast<double>(static_cast<float>(divisor)) == divisor) {
    lanes.encode<0>(OverFloat{x, static_cast<float>(divisor)}, n, codes);
  } else if (way_ == Way::kInteger && multiplier != 1.0 && divisor >= 0x1p-100 &&
             static_cast<double>(static_cast<float>(divisor)) == divisor) {
    lanes.encode_integer(x, n, multiplier, divisor, codes);
  } else {
    lanes.encode<0>(OverDouble{x, multiplier, divisor}, n, codes);
  }
  return true;
}

RowKernel::RowKernel(const BlockFormat& format, const ElementKernel& element, bool floor_rule)
    : element_(element),
      block_(format.block),
      emax_(max_exponent(format.element)),
      max_(max_value(format.element)) {
  bool lanes = element.way_ == ElementKernel::Way::kMinifloat ||
               element.way_ == ElementKernel::Way::kInteger ||
               element.way_ == ElementKernel::Way::kSignMagnitude;
  if (!lanes || !floor_rule || format.block < 1 || format.tile_rows != 1 || format.micro.bits > 0 ||
      format.has_outer() || format.scale.of_maximum)
    return;
  if (format.scale.kind == ScaleKind::kE8M0) scale_ = Scale::kE8M0;
  if (format.scale.kind == ScaleKind::kMinifloat) {
    if (format.scale.minifloat == minifloat(8, 23)) scale_ = Scale::kFp32;
    if (format.scale.minifloat == minifloat(8, 7)) scale_ = Scale::kBf16;
  }
}

std::int64_t RowKernel::encode_until(const float* x, std::int64_t first, std::int64_t blocks,
                                     std::uint32_t* scales, std::uint8_t* codes) const {
  bool pow2 = scale_ == Scale::kE8M0;
  switch (block_) {
    case 16:
      return pow2 ? encode_pow2<16>(x, first, blocks, scales, codes)
                  : encode_float<16>(x, first, blocks, scales, codes);
    case 32:
      return pow2 ? encode_pow2<32>(x, first, blocks, scales, codes)
                  : encode_float<32>(x, first, blocks, scales, codes);
    case 64:
      return pow2 ? encode_pow2<64>(x, first, blocks, scales, codes)
                  : encode_float<64>(x, first, blocks, scales, codes);
    default:
      return pow2 ? encode_pow2<0>(x, first, blocks, scales, codes)
                  : encode_float<0>(x, first, blocks, scales, codes);
  }
}

template <int kBlock>
std::int64_t RowKernel::encode_pow2(const float* x, std::int64_t first, std::int64_t blocks,
                                    std::uint32_t* scales, std::uint8_t* codes) const {
  std::int64_t n = kBlock > 0 ? kBlock : block_;
  Lanes lanes{element_};
  for (std::int64_t b = first; b < blocks; ++b) {
    const float* run = x + b * n;
    std::uint32_t most = most_magnitude<kBlock>(run, n);
    if (most >= kInfBits || (most < 0x00800000u && most != 0)) return b;
    int exponent = static_cast<int>(most >> 23) - 127 - emax_;
    exponent = exponent < -127 || most == 0 ? -127 : exponent > 127 ? 127 : exponent;
    scales[b] = static_cast<std::uint32_t>(exponent + 127);
    lanes.encode<kBlock>(TimesPowerOfTwo{run, power_of_two(-exponent)}, n, codes + b * n);
  }
  return blocks;
}

template <int kBlock>
std::int64_t RowKernel::encode_float(const float* x, std::int64_t first, std::int64_t blocks,
                                     std::uint32_t* scales, std::uint8_t* codes) const {
  std::int64_t n = kBlock > 0 ? kBlock : block_;
  Lanes lanes{element_};
  // Where the division's remainder is exact, see ElementKernel::encode, and no scale is subnormal.
  double least = std::max(std::ldexp(1.0, -97 - element_.lsb_), 0x1p-100);
  for (std::int64_t b = first; b < blocks; ++b) {
    const float* run = x + b * n;
    std::uint32_t most = most_magnitude<kBlock>(run, n);
    if (most >= kInfBits) return b;
    double quotient = static_cast<double>(magnitude_of(most)) / max_;
    auto scale = static_cast<float>(quotient);
    if (scale_ == Scale::kBf16) {
      // RNE to 8 significand bits on the bits of the double; a carry runs into the exponent.
      auto wide = std::bit_cast<std::uint64_t>(quotient);
      wide += (std::uint64_t{1} << 44) - 1 + ((wide >> 45) & 1);
      scale = static_cast<float>(std::bit_cast<double>(wide >> 45 << 45));
    }
    if (!(scale >= least && scale <= 0x1p100f)) return b;
    scales[b] = bits_of(scale) >> (scale_ == Scale::kBf16 ? 16 : 0);
    lanes.encode<kBlock>(OverFloat{run, scale}, n, codes + b * n);
  }
  return blocks;
}

namespace {

// table[code] * scale for a run; the table stands for any element format of 8 bits.
void scale_codes(const std::uint8_t* codes, std::int64_t n, const float* table, float scale,
                 float* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = table[codes[i]] * scale;
}

/// Codes of at most 8 bits to values without a table: for vectors. Minifloats: the code's magnitude
/// put in a binary32's place is the value times 2^(bias - 127), subnormals too.
struct Decoder {
  explicit Decoder(const ElementFormat& f) : integer(f.kind == ElementKind::kInteger) {
    int width = f.width();
    sign_shift = 32 - width;
    if (f.kind == ElementKind::kMinifloat) {
      shift = 23 - f.man_bits;
      // In two exact steps where 2^(127 - bias) alone is beyond binary32.
      factor = power_of_two(std::min(127 - f.bias, 127));
      auto most = max_finite_code(f);
      first_special = static_cast<int>(most) + 1;
      inf = has_inf(f) ? static_cast<int>(inf_code(f)) : -1;
      man_mask = (1 << f.man_bits) - 1;
      least = std::ldexp(1.0f, lsb_exponent(f));
      takes = f.special != Special::kFnuz && f.bias >= 0 && f.bias <= 60;
    } else {
      factor = std::ldexp(1.0f, -f.frac_bits);
      takes = f.kind == ElementKind::kInteger;
    }
    magnitude_mask = (1 << (width - 1)) - 1;
  }

  [[gnu::always_inline]] void run(const std::uint8_t* codes, std::int64_t n, float scale,
                                  float* out) const {
    if (integer) {
      for (std::int64_t i = 0; i < n; ++i) {
        int code =
            static_cast<int>(static_cast<std::uint32_t>(codes[i]) << sign_shift) >> sign_shift;
        out[i] = static_cast<float>(code) * factor * scale;
      }
      return;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      int magnitude = codes[i] & magnitude_mask;
      std::uint32_t sign = static_cast<std::uint32_t>(codes[i]) << sign_shift & kSignBit;
      // A subnormal code would be a slow subnormal binary32: it goes by its whole number instead.
      float normal = std::bit_cast<float>(magnitude << shift) * factor;
      float subnormal = static_cast<float>(magnitude) * least;
      std::uint32_t bits = bits_of(magnitude > man_mask ? normal : subnormal);
      std::uint32_t special = magnitude == inf ? kInfBits : 0x7FC00000u;
      bits = magnitude >= first_special ? special : bits;
      out[i] = std::bit_cast<float>(bits | sign) * scale;
    }
  }

  bool takes = false;
  bool integer;
  int shift = 0, sign_shift = 0, magnitude_mask = 0, first_special = 256, inf = -1;
  int man_mask = 0;
  float factor = 1, least = 1;
};

}  // namespace

bool dequantize_fast(const QuantizedMatrix& matrix, float* values) {
  const BlockFormat& format = matrix.format;
  if (format.element.width() > 8 || format.has_outer() || format.micro.bits > 0 ||
      !format.has_scale() || matrix.factor != 1)
    return false;
  // A product of a short element and a binary32 scale is exact in double, so the float product
  // rounds as the definition does.
  std::array<float, 256> table{};
  std::array<double, 256> wide{};
  for (std::uint32_t code = 0; code < (1u << format.element.width()); ++code) {
    wide[code] = decode(format.element, code);
    table[code] = static_cast<float>(wide[code]);
    if (table[code] != wide[code] && !std::isnan(wide[code])) return false;
  }
  Decoder decoder(format.element);
  double max = max_value(format.element);
  bool fp32 =
      format.scale.kind == ScaleKind::kMinifloat && format.scale.minifloat == minifloat(8, 23);
  std::vector<double> scale_values;
  if (!fp32 && format.scale.width() <= 16) {
    scale_values.resize(size_t{1} << format.scale.width());
    for (std::uint32_t code = 0; code < scale_values.size(); ++code)
      scale_values[code] = decode(format.scale, code);
  }
  std::int64_t columns = matrix.blocks_per_row();
  std::int64_t block = format.block > 0 ? format.block : matrix.length;
  for (std::int64_t r = 0; r < matrix.rows; ++r) {
    const std::uint8_t* codes = matrix.codes.data() + r * matrix.padded_length;
    float* row = values + r * matrix.length;
    for (std::int64_t column = 0; column < columns; ++column) {
      std::uint32_t code = matrix.scales[static_cast<size_t>(r * columns + column)];
      double exact = fp32                   ? magnitude_of(code)
                     : scale_values.empty() ? decode(format.scale, code)
                                            : scale_values[code];
      auto scale = static_cast<float>(exact);
      std::int64_t k0 = column * block, n = std::min(k0 + block, matrix.length) - k0;
      if (format.scale.of_maximum) {
        // The definition's own division by max: one an entry of the table where that is cheaper.
        if (n >= 512) {
          std::array<float, 256> divided;
          for (size_t c = 0; c < 256; ++c) divided[c] = static_cast<float>(wide[c] * exact / max);
          scale_codes(codes + k0, n, divided.data(), 1.0f, row + k0);
        } else {
          for (std::int64_t k = k0; k < k0 + n; ++k)
            row[k] = static_cast<float>(wide[codes[k]] * exact / max);
        }
      } else if (static_cast<double>(scale) != exact && !std::isnan(exact)) {
        for (std::int64_t k = k0; k < k0 + n; ++k)  // a scale format beyond binary32
          row[k] = static_cast<float>(wide[codes[k]] * exact);
      } else if (!decoder.takes) {
        scale_codes(codes + k0, n, table.data(), scale, row + k0);
      } else if (n == 32) {
        decoder.run(codes + k0, 32, scale, row + k0);
      } else if (n == 16) {
        decoder.run(codes + k0, 16, scale, row + k0);
      } else {
        decoder.run(codes + k0, n, scale, row + k0);
      }
    }
  }
  return true;
}

}  // namespace blockdot::formats
