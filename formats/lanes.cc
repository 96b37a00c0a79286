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
// Two of x86's older targets say nothing that SSE2 and AVX2 do not.
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "formats/lanes.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
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

// Largest magnitude of 8 values, where a vector is longer than that.
HWY_INLINE std::uint32_t max_of_8(const float* x) {
  const hn::CappedTag<std::int32_t, 8> i;
  auto most = hn::Zero(i);
  for (size_t at = 0; at < 8; at += hn::Lanes(i)) {
    const auto bits = hn::BitCast(i, hn::LoadU(hn::RebindToFloat<decltype(i)>(), x + at));
    most = hn::Max(most, hn::And(bits, hn::Set(i, 0x7FFFFFFF)));
  }
  return static_cast<std::uint32_t>(hn::GetLane(hn::MaxOfLanes(i, most)));
}

/// A table of 16 entries by index: one permutation where a vector holds it.
template <typename T>
class Table16 {
 public:
  using D = hn::ScalableTag<T>;
  static constexpr bool kInVector = hn::MaxLanes(D()) == 16;

  /// `entries`: aligned, and alive as long as the table.
  explicit Table16(const T* entries) : entries_(entries), first_(hn::Load(D(), entries)) {}

  HWY_INLINE hn::Vec<D> operator[](VI index) const {
    if constexpr (kInVector)
      return hn::TableLookupLanes(first_, hn::IndicesFromVec(D(), index));
    else
      return hn::GatherIndex(D(), entries_, index);
  }

 private:
  const T* entries_;
  hn::Vec<D> first_;
};

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
  /// reciprocal: 1 / divisor in binary32.
  QuotientLane(const Encoder<kWay>& lanes, VF divisor, VF reciprocal)
      : encoder(lanes), d(divisor), y(reciprocal) {}

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
  const F f;
  run(x, n, codes, QuotientLane<kWay>(encoder, hn::Set(f, divisor), hn::Set(f, 1.0f / divisor)));
}

/// Integers: the code of v * high / divisor.
struct AmaxLane {
  /// reciprocal: 1 / divisor in binary32.
  AmaxLane(const LaneFormat& format, VF divisor, VF reciprocal)
      : d(divisor),
        most(hn::Set(F(), format.high)),
        low(hn::Set(F(), format.low)),
        estimate(hn::Mul(most, reciprocal)),
        mask(hn::Set(I(), format.mask)) {}

  HWY_INLINE VI operator()(VF v) const {
    const F f;
    const I i;
    const VF whole = hn::Set(f, kWhole);
    // Within 2^-14 of the quotient, which is below 2^8: only next to a half is more asked for.
    const VF e = hn::Mul(v, estimate);
    const VF near = hn::Sub(hn::Add(e, whole), whole);
    const VF off = hn::Abs(hn::Sub(e, near));
    VF number = near;
    if (HWY_UNLIKELY(!hn::AllTrue(f, hn::Lt(off, hn::Set(f, 0.5f - 0x1p-12f)))))
      number = exact(v, e, near);
    number = hn::Min(hn::Max(number, low), most);
    return hn::And(hn::Sub(hn::BitCast(i, hn::Add(number, whole)), hn::BitCast(i, whole)), mask);
  }

  // The half-integer next to the estimate on its side; the whole numbers around it are the
  // candidates.
  HWY_INLINE VF exact(VF v, VF e, VF near) const {
    const F f;
    const I i;
    const VF whole = hn::Set(f, kWhole), half = hn::Set(f, 0.5f), zero = hn::Zero(f);
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
    return hn::IfThenElse(up, above, below);
  }

  VF d, most, low, estimate;
  VI mask;
};

void encode_amax(const LaneFormat& format, const float* x, std::int64_t n, float divisor,
                 std::uint8_t* codes) {
  const F f;
  run(x, n, codes, AmaxLane(format, hn::Set(f, divisor), hn::Set(f, 1.0f / divisor)));
}

// Thresholds of a small code book, see the header.
HWY_INLINE void thresholds(const BookLanes& book, double divisor, float* threshold) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, hn::ScalableTag<double>> f;
  const hn::RebindToSigned<decltype(d)> i;
  const auto by = hn::Set(d, divisor);
  // A binary32 has 29 bits less: cutting them rounds towards zero.
  const auto kept = hn::Set(i, -(std::int64_t{1} << 29));
  for (size_t c = 0; c < 16; c += hn::Lanes(d)) {
    const auto exact = hn::BitCast(i, hn::Mul(hn::LoadU(d, book.middle + c), by));
    const auto moved = hn::And(hn::Add(exact, hn::LoadU(i, book.step + c)), kept);
    hn::StoreU(hn::DemoteTo(f, hn::BitCast(d, moved)), f, threshold + c);
  }
}

/// The number of thresholds below v.
struct BookLane {
  explicit BookLane(const float* thresholds) : threshold(thresholds), table(thresholds) {}

  HWY_INLINE VI operator()(VF v) const {
    const F f;
    const I i;
    VI code = hn::Zero(i);
    if constexpr (Table16<float>::kInVector) {
      for (int step = 8; step > 0; step /= 2) {
        const VF t = table[hn::Add(code, hn::Set(i, step - 1))];
        const auto above = hn::RebindMask(i, hn::Gt(v, t));
        code = hn::Add(code, hn::IfThenElseZero(above, hn::Set(i, step)));
      }
    } else {
      for (int c = 0; c < 15; ++c) {
        const auto above = hn::RebindMask(i, hn::Gt(v, hn::Set(f, threshold[c])));
        code = hn::Sub(code, hn::VecFromMask(i, above));
      }
    }
    return code;
  }

  const float* threshold;
  Table16<float> table;
};

HWY_INLINE void book_run(const BookLanes& book, const float* x, std::int64_t n, double divisor,
                         std::uint8_t* codes) {
  HWY_ALIGN float threshold[16];
  thresholds(book, divisor, threshold);
  run(x, n, codes, BookLane(threshold));
}

void encode_book(const BookLanes& book, const float* x, std::int64_t n, double divisor,
                 std::uint8_t* codes) {
  book_run(book, x, n, divisor, codes);
}

/// A dynamic map under a divisor, as the lanes want it.
struct DividedMap {
  DividedMap(const DynamicMap& dynamic, double by) : map(dynamic), divisor(by) {
    for (int s = 0; s < DynamicMap::kBorders; ++s) {
      // As the thresholds of a small book.
      auto bits = std::bit_cast<std::uint64_t>(map.border[s] * divisor) - map.tie_up[s];
      bits &= ~std::uint64_t{(1u << 29) - 1};
      border[s] = static_cast<float>(std::bit_cast<double>(bits));
    }
    const double reciprocal = 1 / divisor;
    for (int s = 0; s <= DynamicMap::kBorders; ++s) {
      slope[s] = static_cast<float>(map.slope[s] * reciprocal);
      offset[s] = map.offset[s];
      last[s] = map.last[s];
    }
  }

  const DynamicMap& map;
  double divisor;
  float border[DynamicMap::kBorders];
  HWY_ALIGN float slope[16] = {}, offset[16] = {};
  HWY_ALIGN std::int32_t last[16] = {};
};

// The numbers of magnitudes that are next to a border of two numbers.
HWY_NOINLINE VI numbers_at_borders(const DividedMap& by, VF magnitude, VF place, VI number) {
  const F f;
  const I i;
  HWY_ALIGN float x[hn::MaxLanes(f)], at[hn::MaxLanes(f)];
  HWY_ALIGN std::int32_t numbers[hn::MaxLanes(f)];
  hn::Store(magnitude, f, x);
  hn::Store(place, f, at);
  hn::Store(number, i, numbers);
  for (size_t lane = 0; lane < hn::Lanes(f); ++lane) {
    const float border = at[lane] + 0.5f;
    const auto upper = static_cast<std::int32_t>(std::floor(border + 0.5f));
    if (std::fabs(border - static_cast<float>(upper)) > 0x1p-12f || upper < 1) continue;
    const double middle = by.map.middle[upper - 1] * by.divisor;
    const bool tie_up = (by.map.zero + upper - 1) % 2 == 1;
    const bool above = x[lane] > middle || (x[lane] == middle && tie_up);
    numbers[lane] = above ? upper : upper - 1;
  }
  return hn::Load(i, numbers);
}

/// The code of v / divisor: the segment by exact thresholds, the place in it by its line, and next
/// to a border of two numbers the exact middle.
struct DynamicLane {
  explicit DynamicLane(const DividedMap& divided)
      : by(divided),
        slope(by.slope),
        offset(by.offset),
        last(by.last),
        zero(hn::Set(I(), by.map.zero)) {
    for (int s = 0; s < DynamicMap::kBorders; ++s) border[s] = hn::Set(F(), by.border[s]);
  }

  HWY_INLINE VI operator()(VF v) const {
    const F f;
    const I i;
    const VF whole = hn::Set(f, kWhole);
    const VF magnitude = hn::Abs(v);
    VI segment = hn::Zero(i);
    for (int s = 0; s < DynamicMap::kBorders; ++s)
      segment = hn::IfThenElse(hn::RebindMask(i, hn::Gt(magnitude, border[s])), hn::Set(i, s + 1),
                               segment);
    const VF place = hn::MulAdd(magnitude, slope[segment], offset[segment]);
    const VF rounded = hn::Add(place, whole);
    VI number = hn::Sub(hn::BitCast(i, rounded), hn::BitCast(i, whole));
    // Within 2^-16 of the true place, see quantize_kernels.cc.
    const VF from_middle = hn::Abs(hn::Sub(place, hn::Sub(rounded, whole)));
    if (HWY_UNLIKELY(!hn::AllTrue(f, hn::Lt(from_middle, hn::Set(f, 0.5f - 0x1p-13f)))))
      number = numbers_at_borders(by, magnitude, place, number);
    number = hn::Min(number, last[segment]);
    // zero - number where negative, not below the lowest code.
    const VI negative = hn::BroadcastSignBit(hn::BitCast(i, v));
    const VI with_sign = hn::Sub(hn::Xor(number, negative), negative);
    return hn::Max(hn::Add(zero, with_sign), hn::Zero(i));
  }

  const DividedMap& by;
  VF border[DynamicMap::kBorders];
  Table16<float> slope, offset;
  Table16<std::int32_t> last;
  VI zero;
};

HWY_INLINE void dynamic_run(const DynamicMap& map, const float* x, std::int64_t n, double divisor,
                            std::uint8_t* codes) {
  const DividedMap divided(map, divisor);
  run(x, n, codes, DynamicLane(divided));
}

void encode_dynamic(const DynamicMap& map, const float* x, std::int64_t n, double divisor,
                    std::uint8_t* codes) {
  dynamic_run(map, x, n, divisor, codes);
}

// Largest magnitudes of as many blocks side by side as a vector has lanes, one a lane.
HWY_INLINE VI max_of_blocks(const float* x, std::int64_t block) {
  const F f;
  const I i;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(F()));
  const VI magnitude = hn::Set(i, 0x7FFFFFFF);
  if (block % kLanes != 0) {
    HWY_ALIGN std::int32_t most[kLanes];
    for (int b = 0; b < kLanes; ++b)
      most[b] = static_cast<std::int32_t>(block == 8 ? max_of_8(x + b * 8)
                                                     : max_bits_inline(x + b * block, block));
    return hn::Load(i, most);
  }
  VI most[kLanes];
#pragma GCC unroll 16
  for (int b = 0; b < kLanes; ++b) {
    most[b] = hn::And(hn::BitCast(i, hn::LoadU(f, x + b * block)), magnitude);
    for (std::int64_t at = kLanes; at < block; at += kLanes)
      most[b] =
          hn::Max(most[b], hn::And(hn::BitCast(i, hn::LoadU(f, x + b * block + at)), magnitude));
  }
#if HWY_TARGET != HWY_SCALAR
  // Two vectors become one of their pairs' maxima, until a lane is a block.
#pragma GCC unroll 4
  for (int left = kLanes / 2; left > 0; left /= 2)
#pragma GCC unroll 8
    for (int v = 0; v < left; ++v)
      most[v] = hn::Max(hn::ConcatEven(i, most[2 * v + 1], most[2 * v]),
                        hn::ConcatOdd(i, most[2 * v + 1], most[2 * v]));
#endif
  return most[0];
}

template <LaneFormat::Way kWay>
std::int64_t rows_pow2_way(const LaneFormat& format, const float* x, std::int64_t block,
                           std::int64_t blocks, int emax, std::uint32_t* scales,
                           std::uint8_t* codes, std::int64_t* declined) {
  const Encoder<kWay> encoder(format);
  const F f;
  const I i;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(f));
  HWY_ALIGN std::int32_t most[hn::MaxLanes(f)] = {}, bad[hn::MaxLanes(f)], code[hn::MaxLanes(f)];
  HWY_ALIGN float factor[hn::MaxLanes(f)];
  std::int64_t left_out = 0;
  for (std::int64_t first = 0; first < blocks; first += lanes) {
    const std::int64_t count = std::min(lanes, blocks - first);
    const float* group = x + first * block;
    VI largest;
    if (count == lanes) {
      largest = max_of_blocks(group, block);
    } else {
      for (std::int64_t b = 0; b < count; ++b)
        most[b] = static_cast<std::int32_t>(max_bits_inline(group + b * block, block));
      largest = hn::Load(i, most);
    }
    // NaN, Inf, or a subnormal maximum, whose exponent is not in its bits.
    const auto zero = hn::Eq(largest, hn::Zero(i));
    const auto odd = hn::Or(hn::Gt(largest, hn::Set(i, 0x7F7FFFFF)),
                            hn::AndNot(zero, hn::Lt(largest, hn::Set(i, 0x00800000))));
    VI biased = hn::Sub(hn::ShiftRight<23>(largest), hn::Set(i, emax));
    biased = hn::Min(hn::Max(biased, hn::Zero(i)), hn::Set(i, 254));
    biased = hn::IfThenZeroElse(zero, biased);
    // 2^-exponent; 2^-127 is subnormal.
    const VI inverse = hn::IfThenElse(hn::Eq(biased, hn::Set(i, 254)), hn::Set(i, 0x00400000),
                                      hn::ShiftLeft<23>(hn::Sub(hn::Set(i, 254), biased)));
    hn::Store(hn::VecFromMask(i, odd), i, bad);
    hn::Store(hn::BitCast(f, inverse), f, factor);
    hn::Store(biased, i, code);
    std::copy(code, code + count, scales + first);
    for (std::int64_t b = 0; b < count; ++b) {
      if (bad[b] != 0) {
        declined[left_out++] = first + b;
        continue;
      }
      const VF by = hn::Set(f, factor[b]);
      // The next group's maxima come in a burst: its memory is asked for while there is work.
      for (std::int64_t at = 0; at < block; at += 16)
        hwy::Prefetch(group + (lanes + b) * block + at);
      run(group + b * block, block, codes + (first + b) * block,
          [&](VF v) HWY_ATTR { return encoder.code(hn::Mul(v, by)); });
    }
  }
  return left_out;
}

// of[0] in the lower half of the lanes, of[1] in the upper.
HWY_INLINE VF pair(const float* of) {
  const F f;
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(f, of[0]);
#else
  const hn::Half<F> half;
  return hn::Combine(f, hn::Set(half, of[1]), hn::Set(half, of[0]));
#endif
}

/// The scales of as many blocks as a vector has lanes.
struct RowScales {
  explicit RowScales(const RowScale& scale_rule) : rule(scale_rule), encoder(scale_rule.format) {}

  /// From the largest magnitudes' bits; codes to `scales`. Whether all are taken.
  HWY_INLINE bool of(const std::uint32_t* most, std::uint32_t* scales) {
    const F f;
    const I i;
    const VI bits = hn::BitCast(i, hn::Load(U(), most));
    const VF amax = hn::BitCast(f, bits);
    const VF max = hn::Set(f, rule.amax_divisor);
    VF scale;
    VI code;
    if (rule.fp32) {
      scale = hn::Div(amax, max);
      code = hn::BitCast(i, scale);
    } else {
      code = QuotientLane<LaneFormat::Way::kMinifloat>(encoder, max,
                                                       hn::Set(f, 1 / rule.amax_divisor))(amax);
      scale = hn::BitCast(
          f, hn::Add(hn::ShiftLeftSame(code, rule.format.shift), hn::Set(i, rule.format.rebias)));
    }
    const auto small = hn::Lt(hn::Div(amax, max), hn::Set(f, rule.least));
    const auto odd = hn::Or(small, hn::Gt(scale, hn::Set(f, 0x1p100f)));
    const auto special = hn::Gt(bits, hn::Set(i, 0x7F7FFFFF));
    const auto declined = hn::Or(special, hn::RebindMask(i, odd));
    hn::Store(hn::VecFromMask(i, declined), i, bad);
    hn::Store(scale, f, divisor);
    hn::Store(hn::Div(hn::Set(f, 1.0f), scale), f, reciprocal);
    hn::Store(hn::BitCast(U(), code), U(), scales);
    return hn::AllFalse(i, declined);
  }

  const RowScale& rule;
  Encoder<LaneFormat::Way::kMinifloat> encoder;
  HWY_ALIGN float divisor[hn::MaxLanes(F())], reciprocal[hn::MaxLanes(F())];
  HWY_ALIGN std::int32_t bad[hn::MaxLanes(F())];
};

template <LaneFormat::Way kWay>
std::int64_t rows_float_way(const LaneFormat& format, const BookLanes* book,
                            const DynamicMap* dynamic, const RowScale& rule, const float* x,
                            std::int64_t block, std::int64_t blocks, std::uint32_t* scales,
                            std::uint8_t* codes, std::int64_t* declined) {
  const F f;
  const Encoder<kWay> encoder(format);
  RowScales row(rule);
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(f));
  HWY_ALIGN std::uint32_t most[hn::MaxLanes(f)] = {}, group_scales[hn::MaxLanes(f)];
  std::int64_t left_out = 0;
  for (std::int64_t first = 0; first < blocks; first += lanes) {
    const std::int64_t count = std::min(lanes, blocks - first);
    const float* group = x + first * block;
    std::uint8_t* group_codes = codes + first * block;
    if (count == lanes)
      hn::Store(hn::BitCast(U(), max_of_blocks(group, block)), U(), most);
    else
      for (std::int64_t b = 0; b < count; ++b) most[b] = max_bits_inline(group + b * block, block);
    const bool all = row.of(most, group_scales);
    std::copy(group_scales, group_scales + count, scales + first);
    if (all && count == lanes && 2 * block == lanes && rule.of_maximum) {
      for (std::int64_t b = 0; b < count; b += 2)
        run(group + b * block, lanes, group_codes + b * block,
            AmaxLane(format, pair(row.divisor + b), pair(row.reciprocal + b)));
      continue;
    }
    for (std::int64_t b = 0; b < count; ++b) {
      if (row.bad[b] != 0) {
        declined[left_out++] = first + b;
        continue;
      }
      const float* at = group + b * block;
      std::uint8_t* to = group_codes + b * block;
      const VF divisor = hn::Set(f, row.divisor[b]), reciprocal = hn::Set(f, row.reciprocal[b]);
      if (book != nullptr)
        book_run(*book, at, block, row.divisor[b], to);
      else if (dynamic != nullptr)
        dynamic_run(*dynamic, at, block, row.divisor[b], to);
      else if (rule.of_maximum)
        run(at, block, to, AmaxLane(format, divisor, reciprocal));
      else
        run(at, block, to, QuotientLane<kWay>(encoder, divisor, reciprocal));
    }
  }
  return left_out;
}

/// The value of a code times a scale.
template <LaneFormat::Way kWay>
struct DecodeLane {
  explicit DecodeLane(const LaneDecoder& decoder)
      : width(decoder.width),
        shift(decoder.shift),
        divide(decoder.divisor != 1),
        unit(hn::Set(F(), decoder.unit)),
        factor(hn::Set(F(), decoder.factor)),
        divisor(hn::Set(F(), decoder.divisor)),
        reciprocal(hn::Set(F(), 1 / decoder.divisor)),
        magnitude_mask(hn::Set(I(), (1 << (decoder.width - 1)) - 1)),
        man_mask(hn::Set(I(), decoder.man_mask)),
        first_special(hn::Set(I(), decoder.first_special)),
        inf(hn::Set(I(), decoder.inf)) {}

  HWY_INLINE VF operator()(VI code, VF by) const {
    const F f;
    const I i;
    const VI at_top = hn::ShiftLeftSame(code, 32 - width);
    if constexpr (kWay == LaneFormat::Way::kInteger) {
      const VF number = hn::ConvertTo(f, hn::ShiftRightSame(at_top, 32 - width));
      if (!divide) return hn::Mul(hn::Mul(number, unit), by);
      const VF p = hn::Mul(number, by);
      const VF q = hn::Mul(p, reciprocal);
      return hn::MulAdd(negated_product_plus(q, divisor, p), reciprocal, q);
    }
    const VI magnitude = hn::And(code, magnitude_mask);
    VF small = hn::Mul(hn::ConvertTo(f, magnitude), unit);
    if constexpr (kWay == LaneFormat::Way::kMinifloat) {
      // A subnormal code goes by its whole number: as binary32 bits it would be a slow subnormal.
      const auto normal = hn::Gt(magnitude, man_mask);
      const VI place = hn::IfThenElseZero(normal, hn::ShiftLeftSame(magnitude, shift));
      small =
          hn::IfThenElse(hn::RebindMask(f, normal), hn::Mul(hn::BitCast(f, place), factor), small);
      VI special =
          hn::IfThenElse(hn::Eq(magnitude, inf), hn::Set(i, 0x7F800000), hn::Set(i, 0x7FC00000));
      small = hn::BitCast(
          f, hn::IfThenElse(hn::Lt(magnitude, first_special), hn::BitCast(i, small), special));
    }
    const VI sign = hn::And(at_top, hn::Set(i, INT32_MIN));
    return hn::Mul(hn::BitCast(f, hn::Or(hn::BitCast(i, small), sign)), by);
  }

  int width, shift;
  bool divide;
  VF unit, factor, divisor, reciprocal;
  VI magnitude_mask, man_mask, first_special, inf;
};

template <LaneFormat::Way kWay>
void decode_way(const LaneDecoder& format, const std::uint8_t* codes, std::int64_t n,
                std::int64_t block, const float* scales, float* out) {
  const F f;
  const I i;
  const B b;
  const DecodeLane<kWay> lane(format);
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(f));
  const auto load = [&](const std::uint8_t* from)
                        HWY_ATTR { return hn::PromoteTo(i, hn::LoadU(b, from)); };
  std::int64_t from = 0;
  if (2 * block == lanes)
    for (; from + lanes <= n; from += lanes)
      hn::StoreU(lane(load(codes + from), pair(scales + from / block)), f, out + from);
  for (; from < n; from += block) {
    const VF by = hn::Set(f, scales[from / block]);
    const std::int64_t to = std::min(from + block, n);
    std::int64_t at = from;
    for (; at + lanes <= to; at += lanes) hn::StoreU(lane(load(codes + at), by), f, out + at);
    if (at >= to) continue;
    HWY_ALIGN std::uint8_t tail_codes[hn::MaxLanes(f)] = {};
    HWY_ALIGN float tail[hn::MaxLanes(f)];
    const auto count = static_cast<size_t>(to - at);
    std::memcpy(tail_codes, codes + at, count);
    hn::Store(lane(load(tail_codes), by), f, tail);
    std::memcpy(out + at, tail, count * sizeof(float));
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
    rows_pow2(const LaneFormat& format, const float* x, std::int64_t block, std::int64_t blocks,
              int emax, std::uint32_t* scales, std::uint8_t* codes, std::int64_t* declined) {
  BLOCKDOT_WAYS(rows_pow2_way, x, block, blocks, emax, scales, codes, declined)
  return 0;
}

std::int64_t rows_float(const LaneFormat& format, const BookLanes* book, const DynamicMap* dynamic,
                        const RowScale& scale, const float* x, std::int64_t block,
                        std::int64_t blocks, std::uint32_t* scales, std::uint8_t* codes,
                        std::int64_t* declined) {
  BLOCKDOT_WAYS(rows_float_way, book, dynamic, scale, x, block, blocks, scales, codes, declined)
  return 0;
}

void decode(const LaneDecoder& format, const std::uint8_t* codes, std::int64_t n,
            std::int64_t block, const float* scales, float* out) {
  BLOCKDOT_WAYS(decode_way, codes, n, block, scales, out)
}
#undef BLOCKDOT_WAYS

}  // namespace HWY_NAMESPACE
}  // namespace blockdot::formats
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockdot::formats {

std::vector<std::string> lanes_targets() {
  std::vector<std::string> names;
  for (std::int64_t target = 1; target > 0; target <<= 1)
    if ((hwy::SupportedTargets() & HWY_TARGETS & target) != 0)
      names.emplace_back(hwy::TargetName(target));
  return names;
}

void lanes_use_target(std::string_view name) {
  for (std::int64_t target = 1; target > 0; target <<= 1)
    if ((HWY_TARGETS & target) != 0 && hwy::TargetName(target) == name)
      return hwy::SetSupportedTargetsForTest(target);
  hwy::SetSupportedTargetsForTest(0);
}

HWY_EXPORT(max_bits);
HWY_EXPORT(encode_pow2);
HWY_EXPORT(encode_quotient);
HWY_EXPORT(encode_amax);
HWY_EXPORT(encode_book);
HWY_EXPORT(encode_dynamic);
HWY_EXPORT(rows_pow2);
HWY_EXPORT(rows_float);
HWY_EXPORT(decode);

void lanes_decode(const LaneDecoder& decoder, const std::uint8_t* codes, std::int64_t n,
                  std::int64_t block, const float* scales, float* out) {
  HWY_DYNAMIC_DISPATCH(decode)(decoder, codes, n, block, scales, out);
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

void lanes_encode_dynamic(const DynamicMap& map, const float* x, std::int64_t n, double divisor,
                          std::uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(encode_dynamic)(map, x, n, divisor, codes);
}

std::int64_t lanes_rows_pow2(const LaneFormat& format, const float* x, std::int64_t block,
                             std::int64_t blocks, int emax, std::uint32_t* scales,
                             std::uint8_t* codes, std::int64_t* declined) {
  return HWY_DYNAMIC_DISPATCH(rows_pow2)(format, x, block, blocks, emax, scales, codes, declined);
}

std::int64_t lanes_rows_float(const LaneFormat& format, const BookLanes* book,
                              const DynamicMap* dynamic, const RowScale& scale, const float* x,
                              std::int64_t block, std::int64_t blocks, std::uint32_t* scales,
                              std::uint8_t* codes, std::int64_t* declined) {
  return HWY_DYNAMIC_DISPATCH(rows_float)(format, book, dynamic, scale, x, block, blocks, scales,
                                          codes, declined);
}

}  // namespace blockdot::formats
#endif
