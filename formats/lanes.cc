// Sixteen (or as many as the processor has) elements a step, without a branch an element. The
// quotient t = x / divisor is formed in binary32:
//   divisor 2^e   t = x * 2^-e, exact but where t is below 2^-126, far under every element here.
//   divisor d     y = 1/d; q = x y; one Newton step q + (x - q d) y gives a neighbour of the exact
//                 quotient (or itself); the exact remainder x - q d (fma) rounds it to odd.
// Rounding to odd keeps all that a later rounding to p <= 22 bits needs (Boldo and Melquiond,
// 2008). Integers of x * high / d: the nearest half-integer h to an estimate, then the exact sign
// of x * high - h * d, both products as a sum of two floats.
#include "formats/lanes.h"

// Else a compiler whose own baseline is that target (-march=native) finds it missing.
#define HWY_WANT_AVX3_DL
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats/lanes.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <bit>
#include <cmath>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace blockdot::formats {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F = hn::ScalableTag<float>;
using I = hn::RebindToSigned<F>;
using U = hn::RebindToUnsigned<F>;
using B = hn::Rebind<std::uint8_t, F>;
using VF = hn::Vec<F>;
using VI = hn::Vec<I>;

constexpr float kWhole = 0x1.8p23f;  // adding it rounds to whole numbers, negative ones too

// c - a * b with one rounding, also where the target has no such instruction.
HWY_INLINE VF negated_product_plus(VF a, VF b, VF c) {
#if HWY_NATIVE_FMA
  return hn::NegMulAdd(a, b, c);
#else
  const F f;
  HWY_ALIGN float x[hn::MaxLanes(f)], y[hn::MaxLanes(f)], z[hn::MaxLanes(f)];
  hn::Store(a, f, x);
  hn::Store(b, f, y);
  hn::Store(c, f, z);
  for (size_t i = 0; i < hn::Lanes(f); ++i) z[i] = std::fma(-x[i], y[i], z[i]);
  return hn::Load(f, z);
#endif
}

template <LaneFormat::Way kWay>
struct Encoder {
  explicit Encoder(const LaneFormat& l)
      : max_code(hn::Set(I(), l.max_code)),
        rebias(hn::Set(I(), l.rebias)),
        below_half(hn::Set(I(), (1 << (l.shift - 1)) - 1)),
        least_normal(hn::Set(I(), l.least_normal)),
        magic(hn::Set(F(), l.magic)),
        scale(hn::Set(F(), l.scale)),
        low(hn::Set(F(), l.low)),
        high(hn::Set(F(), l.high)),
        mask(hn::Set(I(), l.mask)),
        shift(l.shift),
        sign_shift(31 - l.sign_shift),
        drop(l.drop_zero_sign) {}

  // The code of t in each lane.
  HWY_INLINE VI code(VF t) const {
    const I i;
    const F f;
    if constexpr (kWay == LaneFormat::Way::kInteger) {
      VF units = hn::Min(hn::Max(hn::Mul(t, scale), low), high);
      const VF whole = hn::Set(f, kWhole);
      VI number = hn::Sub(hn::BitCast(i, hn::Add(units, whole)), hn::BitCast(i, whole));
      return hn::And(number, mask);
    }
    const VI bits = hn::BitCast(i, t);
    const VI magnitude = hn::And(bits, hn::Set(i, 0x7FFFFFFF));
    VI value;
    if constexpr (kWay == LaneFormat::Way::kSignMagnitude) {
      VF units = hn::Min(hn::Mul(hn::BitCast(f, magnitude), scale), high);
      const VF whole = hn::Set(f, kWhole);
      value = hn::Sub(hn::BitCast(i, hn::Add(units, whole)), hn::BitCast(i, whole));
    } else {
      VI rebiased = hn::Sub(magnitude, rebias);
      VI odd = hn::And(hn::ShiftRightSame(rebiased, shift), hn::Set(i, 1));
      VI normal = hn::ShiftRightSame(hn::Add(hn::Add(rebiased, below_half), odd), shift);
      VI subnormal =
          hn::Sub(hn::BitCast(i, hn::Add(hn::BitCast(f, magnitude), magic)), hn::BitCast(i, magic));
      value = hn::IfThenElse(hn::Lt(magnitude, least_normal), subnormal, normal);
      value = hn::Min(value, max_code);
    }
    const U u;
    VI sign = hn::BitCast(
        i, hn::ShiftRightSame(hn::And(hn::BitCast(u, t), hn::Set(u, 0x80000000u)), sign_shift));
    if (drop) sign = hn::IfThenZeroElse(hn::Eq(value, hn::Zero(i)), sign);
    return hn::Or(value, sign);
  }

  VI max_code, rebias, below_half, least_normal;
  VF magic, scale, low, high;
  VI mask;
  int shift, sign_shift;
  bool drop;
};

// codes[i] = lane(x[i]); the last ones through a padded copy.
template <typename Lane>
HWY_INLINE void run(const float* x, std::int64_t n, std::uint8_t* codes, const Lane& lane) {
  const F f;
  const B b;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(f));
  std::int64_t at = 0;
  for (; at + lanes <= n; at += lanes)
    hn::StoreU(hn::DemoteTo(b, lane(hn::LoadU(f, x + at))), b, codes + at);
  if (at >= n) return;
  HWY_ALIGN float tail[hn::MaxLanes(f)] = {};
  HWY_ALIGN std::uint8_t tail_codes[hn::MaxLanes(f)];
  const auto bytes = static_cast<size_t>(n - at);
  std::memcpy(tail, x + at, bytes * sizeof(float));
  hn::StoreU(hn::DemoteTo(b, lane(hn::Load(f, tail))), b, tail_codes);
  std::memcpy(codes + at, tail_codes, bytes);
}

HWY_INLINE std::uint32_t max_bits_inline(const float* x, std::int64_t n) {
  const F f;
  const I i;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const VI magnitude = hn::Set(i, 0x7FFFFFFF);
  VI most = hn::Zero(i), other = hn::Zero(i);
  std::int64_t at = 0;
  for (; at + 2 * lanes <= n; at += 2 * lanes) {
    most = hn::Max(most, hn::And(hn::BitCast(i, hn::LoadU(f, x + at)), magnitude));
    other = hn::Max(other, hn::And(hn::BitCast(i, hn::LoadU(f, x + at + lanes)), magnitude));
  }
  for (; at + lanes <= n; at += lanes)
    most = hn::Max(most, hn::And(hn::BitCast(i, hn::LoadU(f, x + at)), magnitude));
  most = hn::Max(most, other);
  auto largest = static_cast<std::uint32_t>(hn::GetLane(hn::MaxOfLanes(i, most)));
  for (; at < n; ++at) {
    std::uint32_t bits;
    std::memcpy(&bits, x + at, sizeof bits);
    bits &= 0x7FFFFFFFu;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

std::uint32_t max_bits(const float* x, std::int64_t n) { return max_bits_inline(x, n); }

template <LaneFormat::Way kWay>
void encode_pow2_way(const LaneFormat& format, const float* x, std::int64_t n, float factor,
                     std::uint8_t* codes) {
  const Encoder<kWay> encoder(format);
  const VF by = hn::Set(F(), factor);
  run(x, n, codes, [&](VF v) HWY_ATTR { return encoder.code(hn::Mul(v, by)); });
}

/// The code of v / divisor.
template <LaneFormat::Way kWay>
struct QuotientLane {
  QuotientLane(const Encoder<kWay>& lanes, float divisor)
      : encoder(lanes), d(hn::Set(F(), divisor)), y(hn::Set(F(), 1.0f / divisor)) {}

  HWY_INLINE VI operator()(VF v) const {
    const F f;
    const I i;
    VF q = hn::Mul(v, y);
    q = negated_product_plus(hn::Neg(negated_product_plus(q, d, v)), y, q);
    q = hn::CopySign(q, v);  // a quotient of 0 keeps the sign
    const VF r = negated_product_plus(q, d, v);
    VI bits = hn::BitCast(i, q);
    // Remainder and value of one sign: the exact quotient lies outward.
    const VI step = hn::Or(hn::ShiftRight<31>(hn::BitCast(i, hn::Xor(r, v))), hn::Set(i, 1));
    const auto even = hn::Eq(hn::And(bits, hn::Set(i, 1)), hn::Zero(i));
    const auto inexact = hn::RebindMask(i, hn::Ne(r, hn::Zero(f)));
    bits = hn::Add(bits, hn::IfThenElseZero(hn::And(even, inexact), step));
    return encoder.code(hn::BitCast(f, bits));
  }

  const Encoder<kWay>& encoder;
  VF d, y;
};

template <LaneFormat::Way kWay>
void encode_quotient_way(const LaneFormat& format, const float* x, std::int64_t n, float divisor,
                         std::uint8_t* codes) {
  const Encoder<kWay> encoder(format);
  run(x, n, codes, QuotientLane<kWay>(encoder, divisor));
}

/// Integers: the code of v * high / divisor.
struct AmaxLane {
  AmaxLane(const LaneFormat& format, float divisor)
      : d(hn::Set(F(), divisor)),
        most(hn::Set(F(), format.high)),
        low(hn::Set(F(), format.low)),
        estimate(hn::Set(F(), format.high / divisor)),
        mask(hn::Set(I(), format.mask)) {}

  HWY_INLINE VI operator()(VF v) const {
    const F f;
    const I i;
    const VF whole = hn::Set(f, kWhole), half = hn::Set(f, 0.5f), zero = hn::Zero(f);
    const VF e = hn::Mul(v, estimate);
    const VF near = hn::Sub(hn::Add(e, whole), whole);
    // The half-integer next to the estimate on its side; the whole numbers around it are the
    // candidates.
    const VF h = hn::Add(near, hn::CopySign(half, hn::Sub(e, near)));
    // The fma gives p - v * most, exactly: what p has too much.
    const VF p = hn::Mul(v, most), p_over = negated_product_plus(v, most, p);
    const VF c = hn::Mul(h, d), c_over = negated_product_plus(h, d, c);
    const VF side = hn::Add(hn::Sub(p, c), hn::Sub(c_over, p_over));
    const VF below = hn::Sub(h, half), above = hn::Add(h, half);
    const auto below_odd =
        hn::Ne(hn::And(hn::BitCast(i, hn::Add(below, whole)), hn::Set(i, 1)), hn::Zero(i));
    const auto up =
        hn::Or(hn::Gt(side, zero), hn::And(hn::Eq(side, zero), hn::RebindMask(f, below_odd)));
    const VF number = hn::Min(hn::Max(hn::IfThenElse(up, above, below), low), most);
    return hn::And(hn::Sub(hn::BitCast(i, hn::Add(number, whole)), hn::BitCast(i, whole)), mask);
  }

  VF d, most, low, estimate;
  VI mask;
};

void encode_amax(const LaneFormat& format, const float* x, std::int64_t n, float divisor,
                 std::uint8_t* codes) {
  run(x, n, codes, AmaxLane(format, divisor));
}

// middle[c] * divisor rounded down, see the header; `count` is a multiple of 16.
HWY_INLINE void thresholds_inline(const double* middle, int count, double divisor,
                                  float* threshold) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, hn::ScalableTag<double>> f;
  const hn::RebindToSigned<decltype(f)> i;
  const hn::RebindToSigned<decltype(d)> wide;
  const auto by = hn::Set(d, divisor);
  const auto odd =
      hn::Iota(wide, 0);  // the parity of c, as lanes of a full vector are even in count
  const auto is_odd = hn::Ne(hn::And(odd, hn::Set(wide, 1)), hn::Zero(wide));
  const auto lanes = static_cast<int>(hn::Lanes(d));
  for (int c = 0; c < count; c += lanes) {
    const auto exact = hn::Mul(hn::LoadU(d, middle + c), by);
    const auto rounded = hn::DemoteTo(f, exact);
    const auto back = hn::PromoteTo(d, rounded);
    const auto equal_odd = lanes == 1 ? (c % 2 == 1 ? hn::Eq(back, exact) : hn::Lt(back, back))
                                      : hn::And(hn::Eq(back, exact), hn::RebindMask(d, is_odd));
    const auto lower = hn::DemoteTo(
        i, hn::IfThenElseZero(hn::Or(hn::Gt(back, exact), equal_odd), hn::Set(d, -1.0)));
    // One step down (lower = -1): outward for negative values; from either zero to the least
    // negative value.
    const auto bits = hn::BitCast(i, rounded);
    const auto step = hn::IfThenElse(hn::Lt(bits, hn::Zero(i)), hn::Neg(lower), lower);
    const auto is_zero = hn::Eq(hn::And(bits, hn::Set(i, 0x7FFFFFFF)), hn::Zero(i));
    const auto from_zero = hn::And(lower, hn::Set(i, INT32_MIN + 1));
    hn::StoreU(hn::BitCast(f, hn::IfThenElse(is_zero, from_zero, hn::Add(bits, step))), f,
               threshold + c);
  }
}

void thresholds(const double* middle, double divisor, float* threshold) {
  thresholds_inline(middle, 256, divisor, threshold);
}

/// The number of thresholds below v.
struct BookLane {
  BookLane(const BookLanes& book, double divisor) {
    thresholds_inline(book.middle, 16, divisor, threshold);
  }

  HWY_INLINE VI operator()(VF v) const {
    const I i;
    VI code = hn::Zero(i), other = hn::Zero(i);
    for (int c = 0; c < 14; c += 2) {
      code = hn::Add(code, below(v, threshold[c]));
      other = hn::Add(other, below(v, threshold[c + 1]));
    }
    code = hn::Add(code, below(v, threshold[14]));
    return hn::Neg(hn::Add(code, other));
  }

  HWY_INLINE static VI below(VF v, float t) {  // -1 where t < v
    return hn::VecFromMask(I(), hn::RebindMask(I(), hn::Gt(v, hn::Set(F(), t))));
  }

  HWY_ALIGN float threshold[16];
};

void encode_book(const BookLanes& book, const float* x, std::int64_t n, double divisor,
                 std::uint8_t* codes) {
  run(x, n, codes, BookLane(book, divisor));
}

void encode_large_book(const std::int32_t* start, const float* threshold, const float* x,
                       std::int64_t n, float reciprocal, std::uint8_t* codes) {
  const F f;
  const I i;
  const U u;
  const VF by = hn::Set(f, reciprocal);
  run(x, n, codes, [&](VF v) HWY_ATTR {
    const VI high = hn::BitCast(i, hn::ShiftRight<16>(hn::BitCast(u, hn::Mul(v, by))));
    VI code = hn::GatherIndex(i, start, high);
    for (int step = 0; step < 2; ++step) {
      const VF t = hn::GatherIndex(f, threshold, code);
      code = hn::Sub(code, hn::VecFromMask(i, hn::RebindMask(i, hn::Gt(v, t))));
    }
    return code;
  });
}

template <LaneFormat::Way kWay>
std::int64_t rows_pow2_way(const LaneFormat& format, const float* x, std::int64_t block,
                           std::int64_t first, std::int64_t blocks, int emax, std::uint32_t* scales,
                           std::uint8_t* codes) {
  const Encoder<kWay> encoder(format);
  const F f;
  for (std::int64_t b = first; b < blocks; ++b) {
    const float* at = x + b * block;
    const std::uint32_t most = max_bits_inline(at, block);
    if (most >= 0x7F800000u || (most < 0x00800000u && most != 0)) return b;
    int exponent = static_cast<int>(most >> 23) - 127 - emax;
    exponent = exponent < -127 || most == 0 ? -127 : exponent > 127 ? 127 : exponent;
    scales[b] = static_cast<std::uint32_t>(exponent + 127);
    // 2^-exponent; 2^-127 is subnormal.
    const std::uint32_t bits =
        exponent == 127 ? 0x00400000u : static_cast<std::uint32_t>(127 - exponent) << 23;
    float factor;
    std::memcpy(&factor, &bits, sizeof factor);
    const VF by = hn::Set(f, factor);
    run(at, block, codes + b * block, [&](VF v) HWY_ATTR { return encoder.code(hn::Mul(v, by)); });
  }
  return blocks;
}

// The scale of a largest magnitude and its code; false: declined.
HWY_INLINE bool row_scale(const RowScale& rule, std::uint32_t most, float& scale,
                          std::uint32_t& code) {
  if (most >= 0x7F800000u || most == 0) return false;
  const double quotient = static_cast<double>(std::bit_cast<float>(most)) / rule.amax_divisor;
  if (!(quotient >= rule.least && quotient <= 0x1p100)) return false;
  auto wide = std::bit_cast<std::uint64_t>(quotient);
  switch (rule.kind) {
    case RowScale::Kind::kFp32:
      scale = static_cast<float>(quotient);
      code = std::bit_cast<std::uint32_t>(scale);
      break;
    case RowScale::Kind::kBf16:
      // RNE to 8 significand bits on the bits of the double; a carry runs into the exponent.
      wide += (std::uint64_t{1} << 44) - 1 + ((wide >> 45) & 1);
      scale = static_cast<float>(std::bit_cast<double>(wide >> 45 << 45));
      code = std::bit_cast<std::uint32_t>(scale) >> 16;
      break;
    case RowScale::Kind::kSmall: {
      // An encoder's lane on the double's bits.
      const int shift = 29 + rule.small_shift;
      const auto rebiased =
          static_cast<std::int64_t>(wide) - ((std::int64_t{rule.small_rebias >> 23} + 896) << 52);
      if (rebiased < std::int64_t{1} << 52) return false;  // subnormal
      const std::int64_t half = (std::int64_t{1} << (shift - 1)) - 1;
      std::int64_t rounded = (rebiased + half + ((rebiased >> shift) & 1)) >> shift;
      rounded = rounded < rule.small_max ? rounded : rule.small_max;
      code = static_cast<std::uint32_t>(rounded);
      scale = rule.small_values[rounded];
      break;
    }
  }
  return scale >= rule.least && scale <= 0x1p100f;
}

template <LaneFormat::Way kWay>
std::int64_t rows_float_way(const LaneFormat& format, const BookLanes* book, const RowScale& rule,
                            const float* x, std::int64_t block, std::int64_t first,
                            std::int64_t blocks, std::uint32_t* scales, std::uint8_t* codes) {
  const Encoder<kWay> encoder(format);
  for (std::int64_t b = first; b < blocks; ++b) {
    const float* at = x + b * block;
    float scale = 1;
    if (!row_scale(rule, max_bits_inline(at, block), scale, scales[b])) return b;
    if (book != nullptr)
      run(at, block, codes + b * block, BookLane(*book, scale));
    else if (rule.of_maximum)
      run(at, block, codes + b * block, AmaxLane(format, scale));
    else
      run(at, block, codes + b * block, QuotientLane<kWay>(encoder, scale));
  }
  return blocks;
}

template <LaneFormat::Way kWay>
void decode_way(const LaneDecoder& d, const std::uint8_t* codes, std::int64_t n, float scale,
                float* out) {
  const F f;
  const I i;
  const B b;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const VF by = hn::Set(f, scale), unit = hn::Set(f, d.unit), factor = hn::Set(f, d.factor);
  const VI magnitude_mask = hn::Set(i, (1 << (d.width - 1)) - 1);
  const VI sign_bit = hn::Set(i, INT32_MIN), man_mask = hn::Set(i, d.man_mask);
  const VI first_special = hn::Set(i, d.first_special), inf = hn::Set(i, d.inf);
  auto value = [&](VI code) HWY_ATTR {
    const VI at_top = hn::ShiftLeftSame(code, 32 - d.width);
    if constexpr (kWay == LaneFormat::Way::kInteger)
      return hn::Mul(hn::Mul(hn::ConvertTo(f, hn::ShiftRightSame(at_top, 32 - d.width)), unit), by);
    const VI magnitude = hn::And(code, magnitude_mask);
    VF small = hn::Mul(hn::ConvertTo(f, magnitude), unit);
    if constexpr (kWay == LaneFormat::Way::kMinifloat) {
      // A subnormal code goes by its whole number: as binary32 bits it would be a slow subnormal.
      const auto normal = hn::Gt(magnitude, man_mask);
      const VI place = hn::IfThenElseZero(normal, hn::ShiftLeftSame(magnitude, d.shift));
      small =
          hn::IfThenElse(hn::RebindMask(f, normal), hn::Mul(hn::BitCast(f, place), factor), small);
      VI special =
          hn::IfThenElse(hn::Eq(magnitude, inf), hn::Set(i, 0x7F800000), hn::Set(i, 0x7FC00000));
      small = hn::BitCast(
          f, hn::IfThenElse(hn::Lt(magnitude, first_special), hn::BitCast(i, small), special));
    }
    return hn::Mul(hn::BitCast(f, hn::Or(hn::BitCast(i, small), hn::And(at_top, sign_bit))), by);
  };
  std::int64_t at = 0;
  for (; at + lanes <= n; at += lanes)
    hn::StoreU(value(hn::PromoteTo(i, hn::LoadU(b, codes + at))), f, out + at);
  if (at >= n) return;
  HWY_ALIGN std::uint8_t tail_codes[hn::MaxLanes(f)] = {};
  HWY_ALIGN float tail[hn::MaxLanes(f)];
  const auto count = static_cast<size_t>(n - at);
  std::memcpy(tail_codes, codes + at, count);
  hn::Store(value(hn::PromoteTo(i, hn::LoadU(b, tail_codes))), f, tail);
  std::memcpy(out + at, tail, count * sizeof(float));
}

void decode(const LaneDecoder& decoder, const std::uint8_t* codes, std::int64_t n, float scale,
            float* out) {
  switch (decoder.way) {
    case LaneFormat::Way::kMinifloat:
      return decode_way<LaneFormat::Way::kMinifloat>(decoder, codes, n, scale, out);
    case LaneFormat::Way::kInteger:
      return decode_way<LaneFormat::Way::kInteger>(decoder, codes, n, scale, out);
    case LaneFormat::Way::kSignMagnitude:
      return decode_way<LaneFormat::Way::kSignMagnitude>(decoder, codes, n, scale, out);
  }
}

// One instance a kind of element.
#define BLOCKDOT_WAYS(function, ...)                                         \
  switch (format.way) {                                                      \
    case LaneFormat::Way::kMinifloat:                                        \
      return function<LaneFormat::Way::kMinifloat>(format, __VA_ARGS__);     \
    case LaneFormat::Way::kInteger:                                          \
      return function<LaneFormat::Way::kInteger>(format, __VA_ARGS__);       \
    case LaneFormat::Way::kSignMagnitude:                                    \
      return function<LaneFormat::Way::kSignMagnitude>(format, __VA_ARGS__); \
  }

void encode_pow2(const LaneFormat& format, const float* x, std::int64_t n, float factor,
                 std::uint8_t* codes) {
  BLOCKDOT_WAYS(encode_pow2_way, x, n, factor, codes)
}

void encode_quotient(const LaneFormat& format, const float* x, std::int64_t n, float divisor,
                     std::uint8_t* codes){BLOCKDOT_WAYS(encode_quotient_way, x, n, divisor, codes)}

std::int64_t
    rows_pow2(const LaneFormat& format, const float* x, std::int64_t block, std::int64_t first,
              std::int64_t blocks, int emax, std::uint32_t* scales, std::uint8_t* codes) {
  BLOCKDOT_WAYS(rows_pow2_way, x, block, first, blocks, emax, scales, codes)
  return first;
}

std::int64_t rows_float(const LaneFormat& format, const BookLanes* book, const RowScale& scale,
                        const float* x, std::int64_t block, std::int64_t first, std::int64_t blocks,
                        std::uint32_t* scales, std::uint8_t* codes) {
  BLOCKDOT_WAYS(rows_float_way, book, scale, x, block, first, blocks, scales, codes)
  return first;
}
#undef BLOCKDOT_WAYS

}  // namespace HWY_NAMESPACE
}  // namespace blockdot::formats
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockdot::formats {

HWY_EXPORT(max_bits);
HWY_EXPORT(encode_pow2);
HWY_EXPORT(encode_quotient);
HWY_EXPORT(encode_amax);
HWY_EXPORT(encode_book);
HWY_EXPORT(encode_large_book);
HWY_EXPORT(thresholds);
HWY_EXPORT(rows_pow2);
HWY_EXPORT(rows_float);
HWY_EXPORT(decode);

void lanes_decode(const LaneDecoder& decoder, const std::uint8_t* codes, std::int64_t n,
                  float scale, float* out) {
  HWY_DYNAMIC_DISPATCH(decode)(decoder, codes, n, scale, out);
}

std::uint32_t lanes_max_bits(const float* x, std::int64_t n) {
  return HWY_DYNAMIC_DISPATCH(max_bits)(x, n);
}

void lanes_encode_pow2(const LaneFormat& format, const float* x, std::int64_t n, float factor,
                       std::uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(encode_pow2)(format, x, n, factor, codes);
}

void lanes_encode_quotient(const LaneFormat& format, const float* x, std::int64_t n, float divisor,
                           std::uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(encode_quotient)(format, x, n, divisor, codes);
}

void lanes_encode_amax(const LaneFormat& format, const float* x, std::int64_t n, float divisor,
                       std::uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(encode_amax)(format, x, n, divisor, codes);
}

void lanes_encode_book(const BookLanes& book, const float* x, std::int64_t n, double divisor,
                       std::uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(encode_book)(book, x, n, divisor, codes);
}

void lanes_encode_large_book(const std::int32_t* start, const float* threshold, const float* x,
                             std::int64_t n, float reciprocal, std::uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(encode_large_book)(start, threshold, x, n, reciprocal, codes);
}

void lanes_thresholds(const double* middle, double divisor, float* threshold) {
  HWY_DYNAMIC_DISPATCH(thresholds)(middle, divisor, threshold);
}

std::int64_t lanes_rows_float(const LaneFormat& format, const BookLanes* book,
                              const RowScale& scale, const float* x, std::int64_t block,
                              std::int64_t first, std::int64_t blocks, std::uint32_t* scales,
                              std::uint8_t* codes) {
  return HWY_DYNAMIC_DISPATCH(rows_float)(format, book, scale, x, block, first, blocks, scales,
                                          codes);
}

std::int64_t lanes_rows_pow2(const LaneFormat& format, const float* x, std::int64_t block,
                             std::int64_t first, std::int64_t blocks, int emax,
                             std::uint32_t* scales, std::uint8_t* codes) {
  return HWY_DYNAMIC_DISPATCH(rows_pow2)(format, x, block, first, blocks, emax, scales, codes);
}

}  // namespace blockdot::formats
#endif
