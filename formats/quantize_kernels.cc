// Which way a run is encoded, and the ways that are not vector code: the large code books, and
// divisors beyond binary32. The lanes themselves are in lanes.cc.
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

// 2^e for -127 <= e <= 127 (2^-127 is subnormal).
float power_of_two(int e) {
  return std::bit_cast<float>(e == -127 ? 0x00400000u : static_cast<std::uint32_t>(e + 127) << 23);
}

LaneFormat lane_format(const ElementFormat& element, bool keep_negative_zero) {
  LaneFormat lanes;
  lanes.max_code = static_cast<int>(max_finite_code(element));
  lanes.sign_shift = element.width() - 1;
  lanes.drop_zero_sign = !keep_negative_zero;
  if (element.kind == ElementKind::kMinifloat) {
    lanes.way = LaneFormat::Way::kMinifloat;
    if (element.special == Special::kFnuz) lanes.drop_zero_sign = true;
    lanes.shift = 23 - element.man_bits;
    lanes.rebias = (127 - element.bias) * (1 << 23);
    lanes.least_normal = static_cast<std::int32_t>(128 - element.bias) << 23;
    lanes.magic = std::ldexp(1.0f, 23 + lsb_exponent(element));
  } else {
    bool integer = element.kind == ElementKind::kInteger;
    lanes.way = integer ? LaneFormat::Way::kInteger : LaneFormat::Way::kSignMagnitude;
    lanes.scale = std::ldexp(1.0f, element.frac_bits);
    lanes.high = static_cast<float>(lanes.max_code);
    lanes.low = !integer || element.symmetric ? -lanes.high : -lanes.high - 1;
    lanes.mask = (1 << element.width()) - 1;
  }
  return lanes;
}

bool fits_lanes(const ElementFormat& element) {
  // The bias keeps every power of two of a minifloat's lane within binary32.
  return element.kind != ElementKind::kCodeBook &&
         (element.kind != ElementKind::kMinifloat || (element.bias >= -60 && element.bias <= 60));
}

// Where the remainder of a binary32 division is exact: |x| from 2^-101 on. Below, the quotient must
// be far under half of the element's least value.
bool exact_remainder(double divisor, int lsb) {
  return divisor >= std::max(std::ldexp(1.0, -97 - lsb), 0x1p-100) && divisor <= 0x1p100;
}

bool is_float(double x) { return static_cast<double>(static_cast<float>(x)) == x; }

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

}  // namespace

std::uint32_t max_magnitude_bits(const float* x, std::int64_t n) {
  if (n >= 16) return lanes_max_bits(x, n);
  std::uint32_t most = 0;
  for (std::int64_t i = 0; i < n; ++i) most = std::max(most, bits_of(x[i]) & ~kSignBit);
  return most;
}

ElementKernel::ElementKernel(const ElementFormat& element, bool keep_negative_zero)
    : element_(element) {
  if (element.width() > 8) return;
  lsb_ = lsb_exponent(element);
  if (element.kind != ElementKind::kCodeBook) {
    if (!fits_lanes(element)) return;
    way_ = Way::kLanes;
    lanes_ = lane_format(element, keep_negative_zero);
    return;
  }
  std::span<const float> values = code_book_values(element.book);
  for (size_t c = 0; c + 1 < values.size(); ++c)
    middles_.push_back((static_cast<double>(values[c]) + values[c + 1]) / 2);
  way_ = values.size() <= 16 ? Way::kSmallBook : Way::kLargeBook;
  if (way_ == Way::kSmallBook) return;
  // A bucket of the upper 16 bits spans 2^-7 of its value; with a margin of 2^-20 it holds at most
  // one midpoint of the dynamic maps, whose neighbours differ by 2^-7.2 or more.
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
}

bool ElementKernel::encode_book(const float* x, std::int64_t n, double divisor, double multiplier,
                                std::uint8_t* codes) const {
  // Thresholds are 25 bits times the divisor's: exact in double for one binary32 scale.
  if (multiplier != 1.0 || !is_float(divisor)) return false;
  auto count = static_cast<int>(middles_.size());
  if (way_ == Way::kSmallBook) {
    lanes_encode_book(middles_.data(), count, x, n, divisor, codes);
    return true;
  }
  // The estimate x * (1 / divisor) is within 2^-22 of the quotient where nothing underflows.
  if (divisor < 0x1p-60 || divisor > 0x1p60) return false;
  std::array<float, 256> threshold;
  for (int c = 0; c < count; ++c)
    threshold[static_cast<size_t>(c)] =
        round_down(middles_[static_cast<size_t>(c)] * divisor, c % 2 == 1);
  threshold[255] = std::numeric_limits<float>::infinity();
  auto reciprocal = static_cast<float>(1 / divisor);
  const std::uint8_t* start = start_.data();
  for (std::int64_t i = 0; i < n; ++i) {
    float v = x[i];
    std::uint32_t code = start[bits_of(v * reciprocal) >> 16];
    // Two steps at most, as sums: which one is taken no branch predictor can know.
    code += static_cast<std::uint32_t>(v > threshold[code]);
    code += static_cast<std::uint32_t>(v > threshold[code]);
    codes[i] = static_cast<std::uint8_t>(code);
  }
  return true;
}

bool ElementKernel::encode(const float* x, std::int64_t n, double divisor, double multiplier,
                           std::uint8_t* codes) const {
  if (way_ == Way::kNone || !(divisor > 0) || std::isinf(divisor)) return false;
  if (way_ != Way::kLanes) return encode_book(x, n, divisor, multiplier, codes);
  auto wide = std::bit_cast<std::uint64_t>(divisor);
  if (multiplier == 1.0 && (wide & 0xFFFFFFFFFFFFF) == 0) {
    int exponent = static_cast<int>(wide >> 52) - 1023;  // divisor = 2^exponent
    if (exponent < -127 || exponent > 127) return false;
    lanes_encode_pow2(lanes_, x, n, power_of_two(-exponent), codes);
    return true;
  }
  if (!is_float(divisor) || !exact_remainder(divisor, lsb_)) return false;
  auto d = static_cast<float>(divisor);
  if (multiplier == 1.0) {
    lanes_encode_quotient(lanes_, x, n, d, codes);
    return true;
  }
  // x * max / d in units of 1 / scale: max * scale is the largest code.
  if (lanes_.way != LaneFormat::Way::kInteger || multiplier * lanes_.scale != lanes_.high)
    return false;
  lanes_encode_amax(lanes_, x, n, d, codes);
  return true;
}

RowKernel::RowKernel(const BlockFormat& format, const ElementKernel& element, bool floor_rule)
    : element_(element),
      of_maximum_(format.scale.of_maximum),
      block_(format.block),
      emax_(max_exponent(format.element)),
      max_(max_value(format.element)) {
  if (element.way_ == ElementKernel::Way::kNone || !floor_rule || format.block < 1 ||
      format.tile_rows != 1 || format.micro.bits > 0 || format.has_outer())
    return;
  if (format.scale.kind == ScaleKind::kE8M0 && element.way_ == ElementKernel::Way::kLanes)
    scale_ = Scale::kE8M0;
  if (format.scale.kind != ScaleKind::kMinifloat) return;
  const ElementFormat& scale = format.scale.minifloat;
  if (scale == minifloat(8, 23)) {
    scale_ = Scale::kFp32;
  } else if (scale == minifloat(8, 7)) {
    scale_ = Scale::kBf16;
  } else if (scale.width() <= 9 && fits_lanes(scale)) {
    scale_ = Scale::kSmall;
    scale_lanes_ = lane_format(scale, true);
    for (std::uint32_t code = 0; code <= max_finite_code(scale); ++code)
      scale_table_.push_back(static_cast<float>(decode(scale, code)));
  }
}

std::int64_t RowKernel::encode_until(const float* x, std::int64_t first, std::int64_t blocks,
                                     std::uint32_t* scales, std::uint8_t* codes) const {
  if (scale_ == Scale::kE8M0)
    return lanes_rows_pow2(element_.lanes_, x, block_, first, blocks, emax_, scales, codes);
  double divisor_of_amax = of_maximum_ ? 1.0 : max_, multiplier = of_maximum_ ? max_ : 1.0;
  for (std::int64_t b = first; b < blocks; ++b) {
    const float* run = x + b * block_;
    std::uint32_t most = max_magnitude_bits(run, block_);
    if (most >= kInfBits || most == 0) return b;
    // RNE of the double quotient to the scale's bits; what leaves its normal range is declined.
    double quotient = static_cast<double>(magnitude_of(most)) / divisor_of_amax;
    if (!(quotient >= 0x1p-100 && quotient <= 0x1p100)) return b;
    auto wide = std::bit_cast<std::uint64_t>(quotient);
    float scale = 0;
    switch (scale_) {
      case Scale::kNone:
      case Scale::kE8M0:
        return b;
      case Scale::kFp32:
        scale = static_cast<float>(quotient);
        scales[b] = bits_of(scale);
        break;
      case Scale::kBf16:
        wide += (std::uint64_t{1} << 44) - 1 + ((wide >> 45) & 1);
        scale = static_cast<float>(std::bit_cast<double>(wide >> 45 << 45));
        scales[b] = bits_of(scale) >> 16;
        break;
      case Scale::kSmall: {
        // The lane's arithmetic on the double's bits.
        int shift = 52 - (23 - scale_lanes_.shift);
        auto rebiased = static_cast<std::int64_t>(wide) -
                        (static_cast<std::int64_t>(scale_lanes_.rebias >> 23) + 896) * (1ll << 52);
        if (rebiased < 1ll << 52) return b;  // subnormal
        std::int64_t code =
            (rebiased + (1ll << (shift - 1)) - 1 + ((rebiased >> shift) & 1)) >> shift;
        code = std::min<std::int64_t>(code, scale_lanes_.max_code);
        scale = scale_table_[static_cast<size_t>(code)];
        scales[b] = static_cast<std::uint32_t>(code);
        break;
      }
    }
    if (!element_.encode(run, block_, scale, multiplier, codes + b * block_)) return b;
  }
  return blocks;
}

namespace {

// table[code] * scale for a run; the table stands for any element format of 8 bits.
void scale_codes(const std::uint8_t* codes, std::int64_t n, const float* table, float scale,
                 float* out) {
  for (std::int64_t i = 0; i < n; ++i) out[i] = table[codes[i]] * scale;
}

LaneDecoder lane_decoder(const ElementFormat& f) {
  LaneDecoder decoder;
  decoder.width = f.width();
  decoder.unit = std::ldexp(1.0f, lsb_exponent(f));
  decoder.way = f.kind == ElementKind::kInteger     ? LaneFormat::Way::kInteger
                : f.kind == ElementKind::kMinifloat ? LaneFormat::Way::kMinifloat
                                                    : LaneFormat::Way::kSignMagnitude;
  if (f.kind != ElementKind::kMinifloat) return decoder;
  decoder.shift = 23 - f.man_bits;
  decoder.factor = power_of_two(127 - f.bias);
  decoder.man_mask = (1 << f.man_bits) - 1;
  decoder.first_special = static_cast<int>(max_finite_code(f)) + 1;
  decoder.inf = has_inf(f) ? static_cast<int>(inf_code(f)) : -1;
  return decoder;
}

bool fits_decoder(const ElementFormat& f) {
  if (f.kind == ElementKind::kCodeBook || f.width() < 2) return false;
  // fnuz has its NaN at the code of -0.
  return f.kind != ElementKind::kMinifloat ||
         (f.special != Special::kFnuz && f.bias >= 0 && f.bias <= 60);
}

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
  bool by_lanes = fits_decoder(format.element);
  LaneDecoder decoder = by_lanes ? lane_decoder(format.element) : LaneDecoder{};
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
      } else if (!by_lanes) {
        scale_codes(codes + k0, n, table.data(), scale, row + k0);
      } else {
        lanes_decode(decoder, codes + k0, n, scale, row + k0);
      }
    }
  }
  return true;
}

}  // namespace blockdot::formats
