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

// Middles between the magnitudes of a dynamic map, from zero on.
std::vector<double> dynamic_middles(CodeBook book) {
  std::span<const float> values = code_book_values(book);
  auto at = static_cast<size_t>(std::find(values.begin(), values.end(), 0.0f) - values.begin());
  std::vector<double> middles;
  for (; at + 1 < values.size(); ++at)
    middles.push_back((static_cast<double>(values[at]) + values[at + 1]) / 2);
  return middles;
}

// Decade d = 0..6 is [0.1, 1] times 10^(d-6) in n equal parts (see code_book.h); part j has the
// number start + j, and the borders of the parts are the middles, but those between two decades.
// A line is within 2^-16 of the true place: its slope and offset, the factor 1 / divisor and the
// table's own rounding are each 2^-24 of a number below 2^8. Between two decades the line below
// reaches one number too far, which `last` takes back.
DynamicMap dynamic_map(CodeBook book, const std::vector<double>& middles) {
  DynamicMap map;
  std::span<const float> values = code_book_values(book);
  map.zero = static_cast<int>(std::find(values.begin(), values.end(), 0.0f) - values.begin());
  int start = 1, n = map.zero == 0 ? 2 : 1;
  double decade = 1e6;
  for (int segment = 1; segment <= DynamicMap::kBorders; ++segment) {
    map.border[segment - 1] = middles[static_cast<size_t>(start - 1)];
    map.tie_up[segment - 1] = static_cast<std::uint32_t>(map.zero + start - 1) % 2;
    bool one = segment == DynamicMap::kBorders;
    int parts = one ? 1 : n;
    map.slope[segment] = parts == 1 ? 0 : decade * n / 0.9;
    map.offset[segment] =
        parts == 1 ? static_cast<float>(start) : static_cast<float>(start - n / 9.0 - 0.5);
    map.last[segment] = start + parts - 1;
    start += parts;
    n *= 2;
    decade /= 10;
  }
  return map;
}

bool is_float(double x) { return static_cast<double>(static_cast<float>(x)) == x; }

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
  if (element.book == CodeBook::kDynamic8 || element.book == CodeBook::kUDynamic8) {
    way_ = Way::kDynamic;
    middles_ = dynamic_middles(element.book);
    dynamic_ = dynamic_map(element.book, middles_);
    return;
  }
  std::span<const float> values = code_book_values(element.book);
  if (values.size() > 16) return;
  way_ = Way::kSmallBook;
  for (size_t c = 0; c < 16; ++c) {
    double middle = c + 1 < values.size() ? (static_cast<double>(values[c]) + values[c + 1]) / 2
                                          : std::numeric_limits<double>::infinity();
    book_.middle[c] = middle;
    std::int64_t down = c % 2 == 1 ? 1 : 0;
    book_.step[c] = middle < 0 ? (std::int64_t{1} << 29) - 1 + down : -down;
  }
}

bool ElementKernel::encode_book(const float* x, std::int64_t n, double divisor, double multiplier,
                                std::uint8_t* codes) const {
  // Thresholds are 25 bits times the divisor's: exact in double for one binary32 scale.
  if (multiplier != 1.0 || !is_float(divisor) || divisor < 0x1p-100 || divisor > 0x1p100)
    return false;
  if (way_ == Way::kSmallBook) {
    lanes_encode_book(book_, x, n, divisor, codes);
    return true;
  }
  DynamicMap map = dynamic_;
  map.middle = middles_.data();
  lanes_encode_dynamic(map, x, n, divisor, codes);
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
    : element_(element), block_(format.block), emax_(max_exponent(format.element)) {
  bool lanes = element.way_ == ElementKernel::Way::kLanes;
  bool book = element.way_ == ElementKernel::Way::kSmallBook ||
              element.way_ == ElementKernel::Way::kDynamic;
  if (!(lanes || book) || !floor_rule || format.block < 1 || format.tile_rows != 1 ||
      format.micro.bits > 0 || format.has_outer())
    return;
  if (format.scale.kind == ScaleKind::kE8M0 && lanes) scale_ = Scale::kE8M0;
  if (format.scale.kind != ScaleKind::kMinifloat) return;
  rule_.of_maximum = format.scale.of_maximum;
  if (rule_.of_maximum && (book || element.lanes_.way != LaneFormat::Way::kInteger)) return;
  if (!rule_.of_maximum) rule_.amax_divisor = static_cast<float>(max_value(format.element));
  double least = std::max(std::ldexp(1.0, -97 - element.lsb_), 0x1p-100);
  const ElementFormat& scale = format.scale.minifloat;
  rule_.fp32 = scale == minifloat(8, 23);
  if (!rule_.fp32) {
    // A quotient rounded to odd serves 22 bits.
    if (scale.width() > 17 || !(fits_lanes(scale) || scale.bias == 127)) return;
    rule_.format = lane_format(scale, true);
    least = std::max(least, min_normal(scale));
  }
  rule_.least = static_cast<float>(least);
  scale_ = Scale::kFloat;
}

std::span<const std::int64_t> RowKernel::encode(const float* x, std::int64_t blocks,
                                                std::uint32_t* scales, std::uint8_t* codes) {
  declined_.resize(static_cast<size_t>(blocks));
  using Way = ElementKernel::Way;
  const BookLanes* book = element_.way_ == Way::kSmallBook ? &element_.book_ : nullptr;
  DynamicMap map = element_.dynamic_;
  map.middle = element_.middles_.data();
  const DynamicMap* dynamic = element_.way_ == Way::kDynamic ? &map : nullptr;
  std::int64_t undone = scale_ == Scale::kE8M0
                            ? lanes_rows_pow2(element_.lanes_, x, block_, blocks, emax_, scales,
                                              codes, declined_.data())
                            : lanes_rows_float(element_.lanes_, book, dynamic, rule_, x, block_,
                                               blocks, scales, codes, declined_.data());
  return {declined_.data(), static_cast<size_t>(undone)};
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
  // The division by max, of code * scale of at most 24 bits: the double quotient is never so near
  // a halfway point of binary32 that rounding it again would differ from rounding once.
  bool divided = format.scale.of_maximum;
  if (divided) {
    by_lanes = by_lanes && format.element.kind == ElementKind::kInteger && !fp32 &&
               format.scale.minifloat.man_bits < 16;
    decoder.divisor = static_cast<float>(max_finite_code(format.element));
  }
  std::int64_t columns = matrix.blocks_per_row();
  std::int64_t block = format.block > 0 ? format.block : matrix.length;
  std::vector<float> row_scales(static_cast<size_t>(columns));
  for (std::int64_t r = 0; r < matrix.rows; ++r) {
    const std::uint8_t* codes = matrix.codes.data() + r * matrix.padded_length;
    float* row = values + r * matrix.length;
    const std::uint32_t* scales = matrix.scales.data() + r * columns;
    auto exact_scale = [&](std::int64_t column) {
      std::uint32_t code = scales[column];
      return fp32                   ? magnitude_of(code)
             : scale_values.empty() ? decode(format.scale, code)
                                    : scale_values[code];
    };
    bool whole_row = by_lanes;
    for (std::int64_t column = 0; column < columns && whole_row; ++column) {
      double exact = exact_scale(column);
      auto scale = static_cast<float>(exact);
      row_scales[static_cast<size_t>(column)] = scale;
      whole_row = static_cast<double>(scale) == exact || std::isnan(exact);
      if (divided) whole_row = whole_row && (exact == 0 || (exact >= 0x1p-80 && exact <= 0x1p100));
    }
    if (whole_row) {
      lanes_decode(decoder, codes, matrix.length, block, row_scales.data(), row);
      continue;
    }
    for (std::int64_t column = 0; column < columns; ++column) {
      double exact = exact_scale(column);
      auto scale = static_cast<float>(exact);
      std::int64_t k0 = column * block, n = std::min(k0 + block, matrix.length) - k0;
      if (divided) {
        // The definition's own division: one an entry of the table where that is cheaper.
        if (n >= 512) {
          std::array<float, 256> quotients;
          for (size_t c = 0; c < 256; ++c) quotients[c] = static_cast<float>(wide[c] * exact / max);
          scale_codes(codes + k0, n, quotients.data(), 1.0f, row + k0);
        } else {
          for (std::int64_t k = k0; k < k0 + n; ++k)
            row[k] = static_cast<float>(wide[codes[k]] * exact / max);
        }
      } else if (static_cast<double>(scale) != exact && !std::isnan(exact)) {
        for (std::int64_t k = k0; k < k0 + n; ++k)  // a scale format beyond binary32
          row[k] = static_cast<float>(wide[codes[k]] * exact);
      } else {
        scale_codes(codes + k0, n, table.data(), scale, row + k0);
      }
    }
  }
  return true;
}

}  // namespace blockdot::formats
