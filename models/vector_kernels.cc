#include "models/vector_kernels.h"

// Else a compiler whose own baseline is that target (-march=native) finds it missing.
#define HWY_WANT_AVX3_DL
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "models/vector_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace blockdot::models {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<double>;
using U = hn::RebindToUnsigned<D>;
using F = hn::ScalableTag<float>;
using I = hn::ScalableTag<std::int32_t>;
using HalfI = hn::Rebind<std::int32_t, D>;
using HalfF = hn::Rebind<float, D>;
using VD = hn::Vec<D>;
using VU = hn::Vec<U>;
using VI = hn::Vec<I>;

constexpr int kDoubleLanes = static_cast<int>(hn::MaxLanes(D()));

// ---- Sums ----

// Four products a word, the column's bytes unsigned.
struct Bytes {
  using Tag = I;
  using Word = std::int32_t;
  static constexpr Source kSource = Source::kBytes;
  static HWY_INLINE VI start(const VectorTile& t, std::int64_t at) {
    return hn::Set(I(), t.start[at]);
  }
  static HWY_INLINE VI add(VI acc, VI column, VI row) {
#if HWY_TARGET == HWY_AVX3_DL
    // As text: the compiler moves the operands of its intrinsic through needless copies.
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc.raw) : "v"(column.raw), "v"(row.raw));
    return acc;
#else
    const I i;
    const VI byte = hn::Set(i, 0xFF);
    for (int at = 0; at < 4; ++at) {
      acc =
          hn::Add(acc, hn::Mul(hn::And(column, byte), hn::ShiftRight<24>(hn::ShiftLeft<24>(row))));
      column = hn::ShiftRight<8>(column);
      row = hn::ShiftRight<8>(row);
    }
    return acc;
#endif
  }
};

// Two products a word.
struct Halves {
  using Tag = I;
  using Word = std::int32_t;
  static constexpr Source kSource = Source::kHalves;
  static HWY_INLINE VI start(const VectorTile&, std::int64_t) { return hn::Zero(I()); }
  static HWY_INLINE VI add(VI acc, VI column, VI row) {
#if HWY_TARGET == HWY_AVX3_DL
    __asm__("vpdpwssd %2, %1, %0" : "+v"(acc.raw) : "v"(column.raw), "v"(row.raw));
    return acc;
#elif HWY_TARGET == HWY_AVX3
    return hn::Add(acc, VI{_mm512_madd_epi16(column.raw, row.raw)});
#elif HWY_TARGET == HWY_AVX2
    return hn::Add(acc, VI{_mm256_madd_epi16(column.raw, row.raw)});
#else
    const auto low = [](VI v) HWY_ATTR { return hn::ShiftRight<16>(hn::ShiftLeft<16>(v)); };
    acc = hn::Add(acc, hn::Mul(low(column), low(row)));
    return hn::Add(acc, hn::Mul(hn::ShiftRight<16>(column), hn::ShiftRight<16>(row)));
#endif
  }
};

struct Doubles {
  using Tag = D;
  using Word = double;
  static constexpr Source kSource = Source::kDoubles;
  static HWY_INLINE VD start(const VectorTile&, std::int64_t) { return hn::Zero(D()); }
  static HWY_INLINE VD add(VD acc, VD column, VD row) { return hn::MulAdd(row, column, acc); }
};

#if HWY_TARGET != HWY_SCALAR
HWY_INLINE VD lower_doubles(VI x) { return hn::PromoteTo(D(), hn::LowerHalf(HalfI(), x)); }
HWY_INLINE VD upper_doubles(VI x) { return hn::PromoteTo(D(), hn::UpperHalf(HalfI(), x)); }
#endif

// part(at, vector of doubles) for the doubles in a vector of sums.
template <typename Part>
HWY_INLINE void in_doubles(VD sum, Part part) {
  part(0, sum);
}
template <typename Part>
HWY_INLINE void in_doubles(VI sum, Part part) {
#if HWY_TARGET == HWY_SCALAR
  part(0, hn::PromoteTo(D(), sum));
#else
  part(0, lower_doubles(sum));
  part(kDoubleLanes, upper_doubles(sum));
#endif
}

#if HWY_TARGET == HWY_AVX3_DL

// High and low digits: sums of halves in int32, put together in binary64.
struct Digits {
  using Tag = D;
  using Word = std::int32_t;
  static constexpr Source kSource = Source::kDigits;
};

// take(r, at, sum) for each vector of doubles: one digit of the rows times both of the columns.
template <bool kColumnLow, typename Take>
HWY_INLINE void digit_sums(const VectorTile& t, std::int64_t c, int row_digit, Take take) {
  const I i;
  constexpr int kCols = vector_cols(Source::kDigits);
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(I()));
  constexpr int kVectors = 2;
  for (int first = 0; first < kCols; first += kVectors * kLanes) {
    const std::int32_t* row =
        static_cast<const std::int32_t*>(t.rows) + (2 * c + row_digit) * t.words * kVectorRows;
    const std::int32_t* column =
        static_cast<const std::int32_t*>(t.columns) + 2 * c * t.words * kCols + first;
    VI high[kVectorRows][kVectors], low[kVectorRows][kVectors];
#pragma GCC unroll 6
    for (int r = 0; r < kVectorRows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) high[r][v] = low[r][v] = hn::Zero(i);
    for (int w = 0; w < t.words; ++w) {
      VI y[2][kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        y[0][v] = hn::LoadU(i, column + v * kLanes);
        if constexpr (kColumnLow) y[1][v] = hn::LoadU(i, column + kCols + v * kLanes);
      }
#pragma GCC unroll 6
      for (int r = 0; r < kVectorRows; ++r) {
        const VI x = hn::Set(i, row[r]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          high[r][v] = Halves::add(high[r][v], y[0][v], x);
          if constexpr (kColumnLow) low[r][v] = Halves::add(low[r][v], y[1][v], x);
        }
      }
      row += kVectorRows;
      column += 2 * kCols;
    }
    const VD base = hn::Set(D(), 1 << kColumnDigit);
#pragma GCC unroll 6
    for (int r = 0; r < kVectorRows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const int at = first + v * kLanes;
        VD sums[2] = {lower_doubles(high[r][v]), upper_doubles(high[r][v])};
        if constexpr (kColumnLow) {
          sums[0] = hn::MulAdd(sums[0], base, lower_doubles(low[r][v]));
          sums[1] = hn::MulAdd(sums[1], base, upper_doubles(low[r][v]));
        }
        take(r, at, sums[0]);
        take(r, at + kDoubleLanes, sums[1]);
      }
  }
}

// What the low digits of the rows add.
template <bool kColumnLow>
HWY_NOINLINE void low_digit_sums(const VectorTile& t, std::int64_t c, double* rest) {
  digit_sums<kColumnLow>(t, c, 1, [&](int r, int at, VD sum) HWY_ATTR {
    const VD part = hn::Mul(sum, hn::Set(D(), 1.0 / (1 << kRowDigit)));
    hn::StoreU(part, D(), rest + r * vector_cols(Source::kDigits) + at);
  });
}

template <bool kColumnLow, typename Take>
HWY_INLINE void digits_of_chunk(const VectorTile& t, std::int64_t c, Take take) {
  constexpr int kCols = vector_cols(Source::kDigits);
  // Apart, so that the usual one keeps its sums in registers.
  if (HWY_LIKELY(t.row_low[c] == 0)) return digit_sums<kColumnLow>(t, c, 0, take);
  alignas(64) double rest[kVectorRows * kCols];
  low_digit_sums<kColumnLow>(t, c, rest);
  digit_sums<kColumnLow>(t, c, 0, [&](int r, int at, VD sum) HWY_ATTR {
    take(r, at, hn::Add(sum, hn::LoadU(D(), rest + r * kCols + at)));
  });
}

#endif

template <typename Sums, typename Take>
HWY_INLINE void whole_sums(const VectorTile& t, std::int64_t c, Take take) {
  using Word = typename Sums::Word;
  using V = hn::Vec<typename Sums::Tag>;
  const typename Sums::Tag tag;
  constexpr int kCols = vector_cols(Sums::kSource);
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(typename Sums::Tag()));
  constexpr int kVectors = sizeof(Word) * kLanes >= 64 ? 4 : 2;
  for (int first = 0; first < kCols; first += kVectors * kLanes) {
    const Word* row = static_cast<const Word*>(t.rows) + c * t.words * kVectorRows;
    const Word* column = static_cast<const Word*>(t.columns) + c * t.words * kCols + first;
    V sum[kVectorRows][kVectors];
#pragma GCC unroll 6
    for (int r = 0; r < kVectorRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Sums::start(t, c * kVectorRows + r);
    for (int w = 0; w < t.words; ++w) {
      V b[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        b[v] = hn::LoadU(tag, column + v * kLanes);
        __builtin_prefetch(column + 8 * kCols + v * kLanes);
      }
#pragma GCC unroll 6
      for (int r = 0; r < kVectorRows; ++r) {
        const V a = hn::Set(tag, row[r]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[r][v] = Sums::add(sum[r][v], b[v], a);
      }
      row += kVectorRows;
      column += kCols;
    }
#pragma GCC unroll 6
    for (int r = 0; r < kVectorRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) take(r, first + v * kLanes, sum[r][v]);
  }
}

// take(r, at, sum) for each vector of sums of chunk c: row r, columns from `at` on.
template <typename Sums, typename Take>
HWY_INLINE void chunk_sums(const VectorTile& t, std::int64_t c, Take take) {
#if HWY_TARGET == HWY_AVX3_DL
  if constexpr (Sums::kSource == Source::kDigits)
    return t.column_low ? digits_of_chunk<true>(t, c, take) : digits_of_chunk<false>(t, c, take);
#endif
  if constexpr (Sums::kSource != Source::kDigits) whole_sums<Sums>(t, c, take);
}

// ---- Steps in registers ----

// The pointers of a tile are copied: a store might change the tile's own, as far as a compiler
// sees.

// The powers of two of a chunk, each row's to be added to each column's, times 2^shift.
template <int kCols>
struct ChunkExponents {
  HWY_INLINE ChunkExponents(const VectorTile& t, std::int64_t c, int offset, int shift) {
    const I i;
    for (int r = 0; r < kVectorRows; ++r)
      row[r] = static_cast<std::int32_t>(
          static_cast<std::uint32_t>(t.row_exponent[c * kVectorRows + r]) << shift);
    for (int at = 0; at < kCols; at += static_cast<int>(hn::MaxLanes(I()))) {
      const VI exponent =
          hn::Add(hn::LoadU(i, t.column_exponent + c * kCols + at), hn::Set(i, offset));
      hn::Store(hn::ShiftLeftSame(exponent, shift), i, column + at);
    }
  }
  HWY_INLINE VI operator()(int r, int at) const {
    return hn::Add(hn::Load(I(), column + at), hn::Set(I(), row[r]));
  }
  alignas(64) std::int32_t column[kCols];
  std::int32_t row[kVectorRows];
};
constexpr int kFloatBias = 127, kFloatMantissa = 23;

template <typename Sums>
void tile_fma32(const VectorTile& t) {
  const F f;
  constexpr int kCols = vector_cols(Sums::kSource);
  float* const acc = t.acc32;
  for (std::int64_t c = 0; c < t.chunks; ++c) {
    const ChunkExponents<kCols> scale(t, c, kFloatBias, kFloatMantissa);
    chunk_sums<Sums>(t, c, [&](int r, int at, VI sum) HWY_ATTR {
      float* to = acc + r * kCols + at;
      hn::StoreU(hn::MulAdd(hn::ConvertTo(f, sum), hn::BitCast(f, scale(r, at)), hn::LoadU(f, to)),
                 f, to);
    });
  }
}

template <typename Sums>
void tile_shift(const VectorTile& t) {
  const I i;
  constexpr int kCols = vector_cols(Sums::kSource);
  std::int32_t* const total = t.total;
  for (std::int64_t c = 0; c < t.chunks; ++c) {
    const ChunkExponents<kCols> shift(t, c, -t.lowest, 0);
    chunk_sums<Sums>(t, c, [&](int r, int at, VI sum) HWY_ATTR {
      VI by = shift(r, at);
#if HWY_TARGET == HWY_SCALAR
      by = hn::And(by, hn::Set(i, 31));  // of a sum of zero it may be anything
#endif
      std::int32_t* to = total + r * kCols + at;
      hn::StoreU(hn::Add(hn::LoadU(i, to), hn::Shl(sum, by)), i, to);
    });
  }
}

// x + y as a rounded sum and the exact rest (Knuth).
struct TwoSum {
  HWY_INLINE TwoSum(VD x, VD y) {
    sum = hn::Add(x, y);
    const VD part = hn::Sub(sum, x);
    rest = hn::Add(hn::Sub(x, hn::Sub(sum, part)), hn::Sub(y, part));
  }
  VD sum, rest;
};

// The bound of the error of T at (r, at) of chunk c.
template <Certainty kCertainty>
HWY_INLINE VD term_error(const VectorTile& t, std::int64_t c, int r, int cols, int at) {
  const D d;
  const VD error = hn::Mul(hn::Set(d, t.row_error[c * kVectorRows + r]),
                           hn::LoadU(d, t.column_error + c * cols + at));
  if constexpr (kCertainty == Certainty::kChecked) return error;
  const VD span = hn::Add(hn::Set(d, t.row_span[c * kVectorRows + r]),
                          hn::LoadU(d, t.column_span + c * cols + at));
  return hn::IfThenElseZero(hn::Gt(span, hn::Set(d, t.span_limit)), error);
}

// acc + S * scales: the product of the scales is exact.
template <typename Sums, Certainty kCertainty>
void tile_add(const VectorTile& t) {
  const D d;
  constexpr int kCols = vector_cols(Sums::kSource);
  const double *row_scales = t.row_scale, *column_scales = t.column_scale;
  double *const sums = t.acc, *const rest = t.rest;
  for (std::int64_t c = 0; c < t.chunks; ++c, row_scales += kVectorRows, column_scales += kCols)
    chunk_sums<Sums>(t, c, [&](int r, int first, auto sum) HWY_ATTR {
      const VD row_scale = hn::Set(d, row_scales[r]);
      in_doubles(sum, [&](int more, VD s) HWY_ATTR {
        const int column = first + more, at = r * kCols + column;
        const VD scale = hn::Mul(row_scale, hn::LoadU(d, column_scales + column));
        const VD acc = hn::LoadU(d, sums + at);
        if constexpr (kCertainty == Certainty::kExact) {
          hn::StoreU(hn::MulAdd(s, scale, acc), d, sums + at);
        } else {
          const TwoSum next(acc, hn::Mul(s, scale));
          hn::StoreU(next.sum, d, sums + at);
          hn::StoreU(hn::Add(hn::LoadU(d, rest + at), next.rest), d, rest + at);
          if constexpr (kCertainty == Certainty::kMixed)
            hn::StoreU(
                hn::Add(hn::LoadU(d, t.doubt + at), term_error<kCertainty>(t, c, r, kCols, column)),
                d, t.doubt + at);
        }
      });
    });
}

// RNE, beyond the largest to Inf.
HWY_INLINE hn::Vec<HalfF> to_float(VD x) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Vec<HalfF>(static_cast<float>(x.raw));  // the library's saturates
#else
  return hn::DemoteTo(HalfF(), x);
#endif
}

// RNE_binary32(acc + T) where binary64 holds the sum.
template <typename Sums>
void tile_nearest32(const VectorTile& t) {
  const D d;
  const HalfF f;
  constexpr int kCols = vector_cols(Sums::kSource);
  alignas(64) float held[kVectorRows * kCols];
  for (int i = 0; i < kVectorRows * kCols; ++i) held[i] = static_cast<float>(t.acc[i]);
  const double *row_scales = t.row_scale, *column_scales = t.column_scale;
  for (std::int64_t c = 0; c < t.chunks; ++c, row_scales += kVectorRows, column_scales += kCols)
    chunk_sums<Sums>(t, c, [&](int r, int first, auto sum) HWY_ATTR {
      const VD row_scale = hn::Set(d, row_scales[r]);
      in_doubles(sum, [&](int more, VD s) HWY_ATTR {
        float* acc = held + r * kCols + first + more;
        const VD scale = hn::Mul(row_scale, hn::LoadU(d, column_scales + first + more));
        const VD exact = hn::MulAdd(s, scale, hn::PromoteTo(d, hn::LoadU(f, acc)));
        hn::StoreU(to_float(exact), f, acc);
      });
    });
  for (int i = 0; i < kVectorRows * kCols; ++i) t.acc[i] = held[i];
}

// The same where T is known up to an error.
template <typename Sums>
void tile_checked32(const VectorTile& t) {
  const D d;
  constexpr int kCols = vector_cols(Sums::kSource);
  const double *row_scales = t.row_scale, *column_scales = t.column_scale;
  const double *row_errors = t.row_error, *column_errors = t.column_error;
  double *const sums = t.acc, *const doubt = t.doubt;
  for (std::int64_t c = 0; c < t.chunks; ++c) {
    chunk_sums<Sums>(t, c, [&](int r, int first, auto sum) HWY_ATTR {
      const VD row_scale = hn::Set(d, row_scales[r]);
      const VD row_error = hn::Set(d, row_errors[r]);
      in_doubles(sum, [&](int more, VD s) HWY_ATTR {
        const int column = first + more, at = r * kCols + column;
        const VD scale = hn::Mul(row_scale, hn::LoadU(d, column_scales + column));
        const VD x = hn::MulAdd(s, scale, hn::LoadU(d, sums + at));
        VD error = hn::Mul(row_error, hn::LoadU(d, column_errors + column));
        error = hn::MulAdd(hn::Abs(x), hn::Set(d, 0x1p-51), error);
        const auto low = to_float(hn::Sub(x, error)), high = to_float(hn::Add(x, error));
        hn::StoreU(hn::PromoteTo(d, low), d, sums + at);
        const HalfI i;
        const auto same = hn::Eq(hn::BitCast(i, low), hn::BitCast(i, high));
        if (HWY_UNLIKELY(!hn::AllTrue(i, same))) {
          alignas(64) std::int32_t ends[2][hn::MaxLanes(HalfI())];
          hn::StoreU(hn::BitCast(i, low), i, ends[0]);
          hn::StoreU(hn::BitCast(i, high), i, ends[1]);
          for (size_t lane = 0; lane < hn::Lanes(i); ++lane)
            if (ends[0][lane] != ends[1][lane]) doubt[at + static_cast<int>(lane)] = 1;
        }
      });
    });
    row_scales += kVectorRows, row_errors += kVectorRows;
    column_scales += kCols, column_errors += kCols;
  }
}

// ---- Steps from memory: any accumulator ----

HWY_INLINE VD power_of_two_in(VD x) {
  const U u;
  return hn::BitCast(D(), hn::And(hn::BitCast(u, x), hn::Set(u, 0x7FF0000000000000)));
}

// |x| in units of its last place in the format: rounded, and what a unit is worth times 2^man_bits.
struct Rounded {
  VD n, power;
};
template <StepKind kStep>
HWY_INLINE Rounded rounded_units(const StepFormat& q, VD magnitude, VD draw) {
  const D d;
  const U u;
  const VD power = hn::Max(power_of_two_in(magnitude), hn::Set(d, q.least_normal));
  // 1 / power: the exponent field mirrored.
  const VD inverse =
      hn::BitCast(d, hn::Sub(hn::Set(u, std::uint64_t{2046} << 52), hn::BitCast(u, power)));
  const VD units = hn::Mul(hn::Mul(magnitude, hn::Set(d, q.to_units)), inverse);
  if constexpr (kStep == StepKind::kNearestEven) return {hn::Round(units), power};
  const VD one = hn::Set(d, 1.0);
  VD n = hn::Trunc(units);
  const VD fraction = hn::Sub(units, n);
  if constexpr (kStep == StepKind::kNearestAway) {
    n = hn::Add(n, hn::IfThenElseZero(hn::Ge(fraction, hn::Set(d, 0.5)), one));
  } else if constexpr (kStep != StepKind::kTowardsZero) {
    const VD range = hn::Set(d, q.random_range);
    VD tail = hn::Mul(fraction, range);
    tail = kStep == StepKind::kStochastic ? hn::Floor(tail) : hn::Round(tail);
    n = hn::Add(n, hn::IfThenElseZero(hn::Ge(hn::Add(tail, draw), range), one));
  }
  return {n, power};
}

// What is added to a tail, from random bits.
HWY_INLINE VD load_draw(const StepFormat& q, const std::uint32_t* bits) {
  const D d;
  VD draw = hn::PromoteTo(d, hn::LoadU(HalfI(), reinterpret_cast<const std::int32_t*>(bits)));
  // Read as signed.
  draw = hn::Add(draw, hn::IfThenElseZero(hn::Lt(draw, hn::Zero(d)), hn::Set(d, 0x1p32)));
  return hn::MulAdd(draw, hn::Set(d, q.random_factor), hn::Set(d, q.random_offset));
}

HWY_INLINE VD largest() { return hn::Set(D(), 1.7976931348623157e308); }

// The value that x rounds to.
template <StepKind kStep>
HWY_INLINE VD rounded(const StepFormat& q, VD x, VD draw) {
  const D d;
  if constexpr (kStep == StepKind::kNearest32) {
    return hn::PromoteTo(d, to_float(x));
  } else if constexpr (kStep == StepKind::kNearestEven) {
    // 1.5 * 2^52 units leave no room for less than one: to add them is to round. Their exponent is
    // that of the unit (an Inf's or a NaN's is cut, and they stay what they are).
    const VD power =
        hn::Min(hn::Max(power_of_two_in(x), hn::Set(d, q.least_normal)), hn::Set(d, 0x1p900));
    const VD many = hn::Mul(power, hn::Set(d, 0x1.8p52 * q.from_units));
    const VD result = hn::CopySign(hn::Sub(hn::Add(x, many), many), x);
    const VD beyond = hn::CopySign(hn::Set(d, q.overflow), x);
    return hn::IfThenElse(hn::Gt(hn::Abs(result), hn::Set(d, q.most)), beyond, result);
  } else {
    const VD magnitude = hn::Abs(x);
    const Rounded units = rounded_units<kStep>(q, magnitude, draw);
    VD result = hn::Mul(hn::Mul(units.n, hn::Set(d, q.from_units)), units.power);
    result = hn::IfThenElse(hn::Gt(result, hn::Set(d, q.most)), hn::Set(d, q.overflow), result);
    // An Inf or a NaN stays.
    const auto finite = hn::Le(magnitude, largest());
    return hn::CopySign(hn::IfThenElse(finite, result, magnitude), x);
  }
}

// A beat value T, with its possible error, joins a window's accumulator (in its lowest units).
template <StepKind kStep>
HWY_INLINE VD windowed(const StepFormat& q, VD acc, VD t) {
  const D d;
  VD entry = hn::Floor(hn::Mul(t, hn::Set(d, q.to_lowest)));
  const VD half = hn::Set(d, q.half), span = hn::Set(d, q.span);
  if constexpr (kStep == StepKind::kSaturate) {
    // Beyond twice the window it decides alone.
    const VD most = hn::Add(span, span);
    entry = hn::Min(hn::Max(entry, hn::Neg(most)), most);
    const VD top = hn::Sub(half, hn::Set(d, 1.0));
    return hn::Min(hn::Max(hn::Add(acc, entry), hn::Neg(half)), top);
  } else {
    const VD turns = hn::Floor(hn::Mul(entry, hn::Set(d, q.from_span)));
    entry = hn::Sub(entry, hn::Mul(turns, span));  // 0 .. 2^width - 1
    const VD sum = hn::Add(acc, entry);
    return hn::Sub(sum, hn::IfThenElseZero(hn::Ge(sum, half), span));
  }
}

// Sets the flags of a vector's lanes.
HWY_INLINE void note_lost(hn::Mask<D> lost, double* flags) {
  const D d;
  hn::StoreU(hn::IfThenElse(lost, hn::Set(d, 1.0), hn::LoadU(d, flags)), d, flags);
}

HWY_INLINE VD load_sums(const double* at) { return hn::LoadU(D(), at); }
HWY_INLINE VD load_sums(const std::int32_t* at) {
  return hn::PromoteTo(D(), hn::LoadU(HalfI(), at));
}

constexpr bool is_stochastic(StepKind step) {
  return step == StepKind::kStochastic || step == StepKind::kStochasticNearest;
}
constexpr bool is_window(StepKind step) {
  return step == StepKind::kSaturate || step == StepKind::kWrap;
}

// One chunk's sums [kVectorRows][kCols] join the accumulators.
template <StepKind kStep, Certainty kCertainty, int kCols, typename Sum>
HWY_NOINLINE void step_chunk(const VectorTile& t, std::int64_t c, const Sum* sums) {
  const D d;
  const U u;
  const StepFormat& q = t.format;
  for (int r = 0; r < kVectorRows; ++r) {
    const VD row_scale = hn::Set(d, t.row_scale[c * kVectorRows + r]);
    for (int first = 0; first < kCols; first += kDoubleLanes) {
      const int at = r * kCols + first;
      const VD scale = hn::Mul(row_scale, hn::LoadU(d, t.column_scale + c * kCols + first));
      const VD term = hn::Mul(load_sums(sums + at), scale);
      const VD acc = hn::LoadU(d, t.acc + at);
      VD draw = hn::Zero(d);
      if constexpr (is_stochastic(kStep)) {
        draw = load_draw(q, t.draws + c * kVectorRows * kCols + at);
      }
      const auto next = [&](VD x) HWY_ATTR {
        if constexpr (is_window(kStep))
          return windowed<kStep>(q, acc, x);
        else
          return rounded<kStep>(q, x, draw);
      };
      VD x = term;
      if constexpr (!is_window(kStep)) x = hn::Add(acc, term);
      if constexpr (!is_window(kStep) &&
                    (kCertainty == Certainty::kOdd || kCertainty == Certainty::kMixed)) {
        // The rest decides between the neighbours of an even significand.
        const TwoSum both(acc, term);
        const auto bits = hn::BitCast(u, x);
        const auto one = hn::Set(u, 1);
        const auto inexact = hn::Or(hn::Gt(both.rest, hn::Zero(d)), hn::Lt(both.rest, hn::Zero(d)));
        const auto even = hn::RebindMask(d, hn::Eq(hn::And(bits, one), hn::Zero(u)));
        const auto outward =
            hn::Ge(hn::CopySign(hn::Set(d, 1.0), hn::Xor(both.rest, x)), hn::Zero(d));
        const auto moved =
            hn::IfThenElse(hn::RebindMask(u, outward), hn::Add(bits, one), hn::Sub(bits, one));
        x = hn::IfThenElse(hn::And(inexact, even), hn::BitCast(d, moved), x);
      }
      if constexpr (kCertainty == Certainty::kMixed || kCertainty == Certainty::kChecked) {
        VD error = term_error<kCertainty>(t, c, r, kCols, first);
        // The roundings of acc + T and of the two ends.
        const VD roundings = hn::Mul(hn::Abs(x), hn::Set(d, 0x1p-51));
        if constexpr (kCertainty == Certainty::kMixed)
          error = hn::Add(error, hn::IfThenElseZero(hn::Gt(error, hn::Zero(d)), roundings));
        else
          error = hn::Add(error, roundings);
        const VD low = next(hn::Sub(x, error)), high = next(hn::Add(x, error));
        // By their bits: zeros of both signs are not the same.
        auto same = hn::RebindMask(d, hn::Eq(hn::BitCast(u, low), hn::BitCast(u, high)));
        // Wrapped, far entries may meet.
        if constexpr (kStep == StepKind::kWrap) {
          const VD unit = hn::Set(d, q.to_lowest);
          same = hn::Eq(hn::Floor(hn::Mul(hn::Sub(x, error), unit)),
                        hn::Floor(hn::Mul(hn::Add(x, error), unit)));
        }
        if constexpr (is_window(kStep)) {
          if (q.sticky) {
            const VD unit = hn::Set(d, q.to_lowest);
            const VD from = hn::Mul(hn::Sub(x, error), unit), whole = hn::Floor(from);
            note_lost(hn::Ne(from, whole), t.rest + at);
            // Between two multiples T lost a bit, where its error reaches one it may have lost
            // none.
            const auto between = hn::And(hn::Eq(whole, hn::Floor(hn::Mul(hn::Add(x, error), unit))),
                                         hn::Or(hn::Ne(from, whole), hn::Eq(error, hn::Zero(d))));
            same = hn::And(same, between);
          }
        }
        hn::StoreU(low, d, t.acc + at);
        if (HWY_UNLIKELY(!hn::AllTrue(d, same))) {
          const VD doubt = hn::LoadU(d, t.doubt + at);
          hn::StoreU(hn::IfThenElse(same, doubt, hn::Set(d, 1.0)), d, t.doubt + at);
        }
      } else {
        if constexpr (is_window(kStep)) {
          if (q.sticky) {
            const VD units = hn::Mul(x, hn::Set(d, q.to_lowest));
            note_lost(hn::Ne(units, hn::Floor(units)), t.rest + at);
          }
        }
        hn::StoreU(next(x), d, t.acc + at);
      }
    }
  }
}

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL

bool single_steps() { return true; }

// acc + s * scale, rounded as kMode says.
template <int kMode>
HWY_INLINE hn::Vec<F> sum_by(hn::Vec<F> s, hn::Vec<F> scale, hn::Vec<F> acc) {
  return hn::Vec<F>{_mm512_fmadd_round_ps(s.raw, scale.raw, acc.raw, kMode | _MM_FROUND_NO_EXC)};
}

// x + y towards zero.
HWY_INLINE hn::Vec<F> truncated_sum(hn::Vec<F> x, hn::Vec<F> y) {
  return hn::Vec<F>{_mm512_add_round_ps(x.raw, y.raw, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)};
}

// A float accumulator in binary32. As in `rounded`, many units leave no room for less than one.
template <typename Sums, StepKind kStep>
void tile_single(const VectorTile& t) {
  const F f;
  const I i;
  constexpr int kCols = vector_cols(Sums::kSource);
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(F()));
  const StepFormat& q = t.format;
  const auto least = hn::Set(f, static_cast<float>(q.least_normal));
  const auto most = hn::Set(f, static_cast<float>(q.most));
  const auto overflow = hn::Set(f, static_cast<float>(q.overflow));
  const auto unit = static_cast<float>(q.from_units);
  // Of 2^23 units the sum is still in the same binade.
  const auto many = hn::Set(f, kStep == StepKind::kNearestEven ? 0x1.8p23f * unit : 0x1p23f * unit);
  const auto draw_unit = hn::Set(f, unit / static_cast<float>(q.random_range));
  alignas(64) float held[kVectorRows * kCols];
  for (int at = 0; at < kVectorRows * kCols; ++at) held[at] = static_cast<float>(t.acc[at]);
  const std::uint32_t* draws = t.draws;
  for (std::int64_t c = 0; c < t.chunks; ++c) {
    const ChunkExponents<kCols> scales(t, c, kFloatBias, kFloatMantissa);
    chunk_sums<Sums>(t, c, [&](int r, int first, VI sum) HWY_ATTR {
      static_assert(kCols % kLanes == 0);
      float* acc = held + r * kCols + first;
      const auto scale = hn::BitCast(f, scales(r, first));
      const auto s = hn::ConvertTo(f, sum), old = hn::LoadU(f, acc);
      hn::Vec<F> x;
      if constexpr (kStep == StepKind::kNearestEven) {
        // Rounded to odd: of the two neighbours, where the sum is between them.
        const auto low = sum_by<_MM_FROUND_TO_NEG_INF>(s, scale, old);
        const auto high = sum_by<_MM_FROUND_TO_POS_INF>(s, scale, old);
        const auto odd = hn::TestBit(hn::BitCast(i, low), hn::Set(i, 1));
        x = hn::IfThenElse(hn::RebindMask(f, odd), low, high);
      } else {
        x = sum_by<_MM_FROUND_TO_ZERO>(s, scale, old);
      }
      const auto exponent = hn::And(hn::BitCast(i, x), hn::Set(i, 0x7F800000));
      const auto power = hn::Min(hn::Max(hn::BitCast(f, exponent), least), hn::Set(f, 0x1p100f));
      const auto base = hn::Mul(power, many);
      hn::Vec<F> result;
      if constexpr (kStep == StepKind::kNearestEven) {
        result = hn::Abs(hn::Sub(hn::Add(x, base), base));
      } else {
        result = hn::Abs(x);
        if constexpr (kStep == StepKind::kStochastic) {
          const auto* bits = reinterpret_cast<const std::int32_t*>(draws + r * kCols + first);
          const auto draw = hn::ConvertTo(f, hn::LoadU(i, bits));
          result = truncated_sum(result, hn::Mul(draw, hn::Mul(power, draw_unit)));
        }
        result = hn::Sub(truncated_sum(result, base), base);
      }
      result = hn::IfThenElse(hn::Gt(result, most), overflow, result);
      hn::StoreU(hn::CopySign(result, x), f, acc);
    });
    if constexpr (kStep == StepKind::kStochastic) draws += kVectorRows * kCols;
  }
  for (int at = 0; at < kVectorRows * kCols; ++at) t.acc[at] = held[at];
}

#else

bool single_steps() { return false; }
template <typename Sums, StepKind kStep>
void tile_single(const VectorTile&) {}

#endif

template <typename Sums>
using SumOf = hn::TFromD<typename Sums::Tag>;

template <typename Sums>
HWY_NOINLINE void store_sums(const VectorTile& t, std::int64_t c, SumOf<Sums>* sums) {
  constexpr int kCols = vector_cols(Sums::kSource);
  chunk_sums<Sums>(t, c, [&](int r, int at, auto sum) HWY_ATTR {
    hn::StoreU(sum, typename Sums::Tag(), sums + r * kCols + at);
  });
}

template <typename Sums, StepKind kStep, Certainty kCertainty>
void tile_from_memory(const VectorTile& t) {
  constexpr int kCols = vector_cols(Sums::kSource);
  alignas(64) SumOf<Sums> sums[kVectorRows * kCols];
  for (std::int64_t c = 0; c < t.chunks; ++c) {
    store_sums<Sums>(t, c, sums);
    step_chunk<kStep, kCertainty, kCols>(t, c, sums);
  }
}

template <typename Sums, StepKind kStep>
void tile_by_certainty(Certainty certainty, const VectorTile& t) {
  switch (certainty) {
    case Certainty::kSingle:
      if constexpr (std::is_same_v<typename Sums::Tag, I> &&
                    (kStep == StepKind::kNearestEven || kStep == StepKind::kTowardsZero ||
                     kStep == StepKind::kStochastic))
        tile_single<Sums, kStep>(t);
      return;
    case Certainty::kExact:
      return tile_from_memory<Sums, kStep, Certainty::kExact>(t);
    case Certainty::kOdd:
      // A window sees T alone.
      return tile_from_memory < Sums, kStep,
             is_window(kStep) ? Certainty::kExact : Certainty::kOdd > (t);
    case Certainty::kMixed:
      return tile_from_memory<Sums, kStep, Certainty::kMixed>(t);
    case Certainty::kChecked:
      return tile_from_memory<Sums, kStep, Certainty::kChecked>(t);
  }
}

template <typename Sums>
void tile_of(StepKind step, Certainty certainty, const VectorTile& t) {
  switch (step) {
    case StepKind::kAdd:
      if (certainty == Certainty::kOdd) return tile_add<Sums, Certainty::kOdd>(t);
      if (certainty == Certainty::kMixed) return tile_add<Sums, Certainty::kMixed>(t);
      return tile_add<Sums, Certainty::kExact>(t);
    case StepKind::kFma32:
    case StepKind::kShift:
      if constexpr (std::is_same_v<typename Sums::Tag, I>)
        step == StepKind::kShift ? tile_shift<Sums>(t) : tile_fma32<Sums>(t);
      return;
    case StepKind::kNearest32:
      if (certainty == Certainty::kExact) return tile_nearest32<Sums>(t);
      if (certainty == Certainty::kChecked) return tile_checked32<Sums>(t);
      return tile_by_certainty<Sums, StepKind::kNearest32>(certainty, t);
    case StepKind::kNearestEven:
      return tile_by_certainty<Sums, StepKind::kNearestEven>(certainty, t);
    case StepKind::kNearestAway:
      return tile_by_certainty<Sums, StepKind::kNearestAway>(certainty, t);
    case StepKind::kTowardsZero:
      return tile_by_certainty<Sums, StepKind::kTowardsZero>(certainty, t);
    case StepKind::kStochastic:
      return tile_by_certainty<Sums, StepKind::kStochastic>(certainty, t);
    case StepKind::kStochasticNearest:
      return tile_by_certainty<Sums, StepKind::kStochasticNearest>(certainty, t);
    case StepKind::kSaturate:
      return tile_by_certainty<Sums, StepKind::kSaturate>(certainty, t);
    case StepKind::kWrap:
      return tile_by_certainty<Sums, StepKind::kWrap>(certainty, t);
  }
}

void tile_of_source(Source source, StepKind step, Certainty certainty, const VectorTile& t) {
  switch (source) {
    case Source::kBytes:
      return tile_of<Bytes>(step, certainty, t);
    case Source::kHalves:
      return tile_of<Halves>(step, certainty, t);
    case Source::kDigits:
#if HWY_TARGET == HWY_AVX3_DL
      tile_of<Digits>(step, certainty, t);
#endif
      return;  // where has_fast_bytes
    case Source::kDoubles:
      return tile_of<Doubles>(step, certainty, t);
  }
}

bool fast_bytes() { return HWY_TARGET == HWY_AVX3_DL; }

// ---- The aligned accumulator ----

// 2^e of an integer e that a double holds, |e| < 1022.
HWY_INLINE VD power_of(VD e) {
  const U u;
  const VD biased = hn::Add(e, hn::Set(D(), 0x1p52 + 1023));
  return hn::BitCast(D(), hn::ShiftLeft<52>(hn::BitCast(u, biased)));
}

// floor(log2 |x|) of a normal number.
HWY_INLINE VD exponent_in(VD x) {
  const D d;
  const U u;
  const VU field = hn::ShiftRight<52>(hn::BitCast(u, hn::Abs(x)));
  const VD biased = hn::BitCast(d, hn::Or(field, hn::BitCast(u, hn::Set(d, 0x1p52))));
  return hn::Sub(biased, hn::Set(d, 0x1p52 + 1023));
}

// Products in binary32; cut, they are integers. kMostExponent: 2^e times two significands of
// scales, each below 2, is still finite, so that a zero times it is one; no term that counts asks
// for more.
struct NarrowTerms {
  using Value = float;
  using Tag = F;
  using Sum = std::int32_t;
  using SumTag = I;
  static constexpr int kLeastExponent = -126, kMostExponent = 125;
  static HWY_INLINE hn::Vec<F> power(const std::int32_t* e) {
    const I i;
    const VI field = hn::ShiftLeft<23>(hn::Add(hn::LoadU(i, e), hn::Set(i, 127)));
    return hn::BitCast(F(), field);
  }
  static HWY_INLINE VI cut(hn::Vec<F> x) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
    return VI{_mm512_cvttps_epi32(x.raw)};  // the library's takes care of what is too large
#elif HWY_TARGET == HWY_AVX2
    return VI{_mm256_cvttps_epi32(x.raw)};
#else
    return hn::ConvertTo(I(), x);
#endif
  }
};

struct WideTerms {
  using Value = double;
  using Tag = D;
  using Sum = double;
  using SumTag = D;
  static constexpr int kLeastExponent = -1022, kMostExponent = 1021;
  static HWY_INLINE VD power(const std::int32_t* e) {
    return power_of(hn::PromoteTo(D(), hn::LoadU(HalfI(), e)));
  }
  static HWY_INLINE VD cut(VD x) { return hn::Trunc(x); }
};

constexpr int kAlignedResults = kVectorRows * kAlignedCols;

// The largest exponents of a beat's products, without the scales'.
HWY_INLINE void largest_exponents(const AlignedTile& t, std::int64_t beat, std::int16_t* most) {
  using Tag = hn::CappedTag<std::int16_t, kAlignedCols>;
  const Tag tag;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(Tag()));
  const auto both = [&](std::int32_t pair) HWY_ATTR {
#if HWY_TARGET == HWY_SCALAR
    return hn::Set(tag, static_cast<std::int16_t>(pair));
#else
    return hn::BitCast(tag, hn::Set(hn::RepartitionToWide<Tag>(), pair));
#endif
  };
  for (int first = 0; first < kAlignedCols; first += kLanes) {
    const std::int32_t* row = t.row_exponents + beat * t.lanes * kVectorRows;
    const std::int16_t* column = t.column_exponents + beat * t.lanes * kAlignedCols + first;
    hn::Vec<Tag> largest[kVectorRows];
#pragma GCC unroll 6
    for (int r = 0; r < kVectorRows; ++r) largest[r] = hn::Set(tag, 2 * kNoExponent);
    for (int k = 0; k < t.lanes; ++k) {
      const auto y = hn::LoadU(tag, column);
#pragma GCC unroll 6
      for (int r = 0; r < kVectorRows; ++r)
        largest[r] = hn::Max(largest[r], hn::Add(both(row[r]), y));
      row += kVectorRows;
      column += kAlignedCols;
    }
#pragma GCC unroll 6
    for (int r = 0; r < kVectorRows; ++r)
      hn::StoreU(largest[r], tag, most + r * kAlignedCols + first);
  }
}

// A beat's sums of products that are cut below 1 after the factor 2^shift.
template <typename Terms>
HWY_INLINE void cut_sums(const AlignedTile& t, std::int64_t beat, const std::int32_t* shift,
                         typename Terms::Sum* sums) {
  using Value = typename Terms::Value;
  using V = hn::Vec<typename Terms::Tag>;
  const typename Terms::Tag tag;
  const typename Terms::SumTag sum_tag;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(typename Terms::Tag()));
  constexpr int kVectors = 2;
  const Value* row_scale = static_cast<const Value*>(t.row_scale) + beat * kVectorRows;
  const Value* column_scale = static_cast<const Value*>(t.column_scale) + beat * kAlignedCols;
  for (int first = 0; first < kAlignedCols; first += kVectors * kLanes) {
    const Value* row = static_cast<const Value*>(t.rows) + beat * t.lanes * kVectorRows;
    const Value* column =
        static_cast<const Value*>(t.columns) + beat * t.lanes * kAlignedCols + first;
    V factor[kVectorRows][kVectors];
    hn::Vec<typename Terms::SumTag> sum[kVectorRows][kVectors];
#pragma GCC unroll 6
    for (int r = 0; r < kVectorRows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const int at = first + v * kLanes;
        const V scale = hn::Mul(hn::Set(tag, row_scale[r]), hn::LoadU(tag, column_scale + at));
        factor[r][v] = hn::Mul(Terms::power(shift + r * kAlignedCols + at), scale);
        sum[r][v] = hn::Zero(sum_tag);
      }
    for (int k = 0; k < t.lanes; ++k) {
      V y[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) y[v] = hn::LoadU(tag, column + v * kLanes);
#pragma GCC unroll 6
      for (int r = 0; r < kVectorRows; ++r) {
        const V x = hn::Set(tag, row[r]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v)
          sum[r][v] = hn::Add(sum[r][v], Terms::cut(hn::Mul(hn::Mul(x, y[v]), factor[r][v])));
      }
      row += kVectorRows;
      column += kAlignedCols;
    }
#pragma GCC unroll 6
    for (int r = 0; r < kVectorRows; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v)
        hn::StoreU(sum[r][v], sum_tag, sums + r * kAlignedCols + first + v * kLanes);
  }
}

template <typename Terms, StepKind kStep>
void aligned_by(const AlignedTile& t) {
  const D d;
  const I i;
  constexpr int kNone = -100000;  // exponent of an accumulator of zero
  alignas(64) std::int16_t most[kAlignedResults];
  alignas(64) std::int32_t acc_exponent[kAlignedResults], top[kAlignedResults],
      shift[kAlignedResults];
  alignas(64) typename Terms::Sum sums[kAlignedResults];
  for (std::int32_t& exponent : acc_exponent) exponent = kNone;
  for (std::int64_t beat = 0; beat < t.beats; ++beat) {
    largest_exponents(t, beat, most);
    for (int r = 0; r < kVectorRows; ++r) {
      const VI row_scale = hn::Set(i, t.row_scale_exponent[beat * kVectorRows + r]);
      for (int c = 0; c < kAlignedCols; c += static_cast<int>(hn::MaxLanes(I()))) {
        const int at = r * kAlignedCols + c;
        const VI scale =
            hn::Add(row_scale, hn::LoadU(i, t.column_scale_exponent + beat * kAlignedCols + c));
        const VI products = hn::PromoteTo(i, hn::LoadU(hn::Rebind<std::int16_t, I>(), most + at));
        VI largest = hn::Max(hn::Add(products, scale), hn::LoadU(i, acc_exponent + at));
        // Every term is zero: so is the sum, whatever the unit.
        largest =
            hn::IfThenElse(hn::Lt(largest, hn::Set(i, kNoExponent / 2)), hn::Zero(i), largest);
        hn::StoreU(largest, i, top + at);
        // So far below, every term is cut to nothing.
        const VI up = hn::Sub(hn::Add(hn::Set(i, t.fraction_bits), scale), largest);
        hn::StoreU(hn::Min(hn::Max(up, hn::Set(i, Terms::kLeastExponent)),
                           hn::Set(i, Terms::kMostExponent)),
                   i, shift + at);
      }
    }
    cut_sums<Terms>(t, beat, shift, sums);
    for (int at = 0; at < kAlignedResults; at += kDoubleLanes) {
      const VD acc = hn::LoadU(d, t.acc + at);
      const VD up =
          hn::Sub(hn::Set(d, t.fraction_bits), hn::PromoteTo(d, hn::LoadU(HalfI(), top + at)));
      const VD kept = hn::Trunc(hn::Mul(acc, power_of(up)));
      const VD sum = hn::Add(kept, load_sums(sums + at));
      VD draw = hn::Zero(d);
      if constexpr (is_stochastic(kStep))
        draw = load_draw(t.format, t.draws + beat * kAlignedResults + at);
      // A sum of zero is +0.
      const VD value = hn::Mul(hn::Add(sum, hn::Zero(d)), power_of(hn::Neg(up)));
      // An Inf or a NaN is held.
      const VD next = hn::IfThenElse(hn::Le(hn::Abs(acc), largest()),
                                     rounded<kStep>(t.format, value, draw), acc);
      hn::StoreU(next, d, t.acc + at);
      VD exponent = hn::Max(exponent_in(next), hn::Set(d, t.least_exponent));
      const auto counts =
          hn::And(hn::Gt(hn::Abs(next), hn::Zero(d)), hn::Le(hn::Abs(next), largest()));
      exponent = hn::IfThenElse(counts, exponent, hn::Set(d, kNone));
      hn::StoreU(hn::DemoteTo(HalfI(), exponent), HalfI(), acc_exponent + at);
    }
  }
}

template <typename Terms>
void aligned_of(StepKind step, const AlignedTile& t) {
  switch (step) {
    case StepKind::kNearest32:
      return aligned_by<Terms, StepKind::kNearest32>(t);
    case StepKind::kNearestEven:
      return aligned_by<Terms, StepKind::kNearestEven>(t);
    case StepKind::kNearestAway:
      return aligned_by<Terms, StepKind::kNearestAway>(t);
    case StepKind::kTowardsZero:
      return aligned_by<Terms, StepKind::kTowardsZero>(t);
    case StepKind::kStochastic:
      return aligned_by<Terms, StepKind::kStochastic>(t);
    case StepKind::kStochasticNearest:
      return aligned_by<Terms, StepKind::kStochasticNearest>(t);
    case StepKind::kAdd:
    case StepKind::kShift:
    case StepKind::kFma32:
    case StepKind::kSaturate:
    case StepKind::kWrap:
      return;  // no rounding of a float accumulator
  }
}

void aligned_all(bool narrow, StepKind step, const AlignedTile& t) {
  narrow ? aligned_of<NarrowTerms>(step, t) : aligned_of<WideTerms>(step, t);
}

// ---- Output ----

template <StepKind kRounding>
void encode_as(const OutputFormat& f, const double* values, const std::uint32_t* draws, int count,
               std::uint32_t* codes) {
  const D d;
  const U u;
  for (int i = 0; i < count; i += kDoubleLanes) {
    const VD x = hn::LoadU(d, values + i);
    const VD magnitude = hn::Abs(x);
    VD draw = hn::Zero(d);
    if constexpr (is_stochastic(kRounding)) draw = load_draw(f.step, draws + i);
    const Rounded units = rounded_units<kRounding>(f.step, magnitude, draw);
    // A code is the units above those of its exponent's start, 2^man_bits for every exponent.
    const VD magic = hn::Set(d, 0x1p52);
    const VU n = hn::Sub(hn::BitCast(u, hn::Add(units.n, magic)), hn::BitCast(u, magic));
    const VU exponent = hn::Sub(hn::ShiftRight<52>(hn::BitCast(u, units.power)),
                                hn::Set(u, static_cast<std::uint64_t>(f.least_exponent)));
    VU code = hn::Add(hn::ShiftLeftSame(exponent, f.man_bits), n);
    const VD value = hn::Mul(hn::Mul(units.n, hn::Set(d, f.step.from_units)), units.power);
    const auto select = [&](auto mask, std::uint32_t to) HWY_ATTR {
      code = hn::IfThenElse(hn::RebindMask(u, mask), hn::Set(u, to), code);
    };
    select(hn::Gt(value, hn::Set(d, f.step.most)), f.overflow);
    select(hn::Gt(magnitude, largest()), f.inf);
    VU sign = hn::And(hn::ShiftRight<63>(hn::BitCast(u, x)), hn::Set(u, 1));
    sign = hn::IfThenElseZero(hn::Ne(sign, hn::Zero(u)), hn::Set(u, f.sign));
    if (!f.negative_zero) sign = hn::IfThenZeroElse(hn::Eq(code, hn::Zero(u)), sign);
    const auto nan = hn::Or(hn::IsNaN(x), hn::RebindMask(d, hn::Eq(code, hn::Set(u, f.nan))));
    code = hn::Or(code, sign);
    select(nan, f.nan);
    HWY_ALIGN std::uint64_t wide[hn::MaxLanes(D())];
    hn::Store(code, u, wide);
    for (int lane = 0; lane < kDoubleLanes; ++lane)
      codes[i + lane] = static_cast<std::uint32_t>(wide[lane]);
  }
}

void encode_all(const OutputFormat& f, const double* x, const std::uint32_t* draws, int count,
                std::uint32_t* codes) {
  switch (f.rounding) {
    case StepKind::kNearestEven:
      return encode_as<StepKind::kNearestEven>(f, x, draws, count, codes);
    case StepKind::kNearestAway:
      return encode_as<StepKind::kNearestAway>(f, x, draws, count, codes);
    case StepKind::kTowardsZero:
      return encode_as<StepKind::kTowardsZero>(f, x, draws, count, codes);
    case StepKind::kStochastic:
      return encode_as<StepKind::kStochastic>(f, x, draws, count, codes);
    case StepKind::kStochasticNearest:
      return encode_as<StepKind::kStochasticNearest>(f, x, draws, count, codes);
    case StepKind::kAdd:
    case StepKind::kShift:
    case StepKind::kFma32:
    case StepKind::kNearest32:
    case StepKind::kSaturate:
    case StepKind::kWrap:
      return;  // no rounding of an output
  }
}

// ---- Tables ----

template <typename T>
HWY_INLINE void look_up_rest(const std::uint8_t* codes, std::int64_t from, std::int64_t count,
                             std::uint8_t mask, const T* table, T* out) {
  for (std::int64_t i = from; i < count; ++i) out[i] = table[codes[i] & mask];
}

void look_up_bytes(const std::uint8_t* codes, std::int64_t count, std::uint8_t mask,
                   const std::int8_t* table, std::int8_t* out) {
  std::int64_t i = 0;
#if HWY_TARGET == HWY_AVX3_DL
  const __m512i all = _mm512_loadu_si512(table);
  const __m512i low = _mm512_set1_epi8(static_cast<char>(mask));
  for (; i + 64 <= count; i += 64) {
    const __m512i index = _mm512_and_si512(_mm512_loadu_si512(codes + i), low);
    _mm512_storeu_si512(out + i, _mm512_permutexvar_epi8(index, all));
  }
#endif
  look_up_rest(codes, i, count, mask, table, out);
}

void look_up_halves(const std::uint8_t* codes, std::int64_t count, std::uint8_t mask,
                    const std::int16_t* table, std::int16_t* out) {
  std::int64_t i = 0;
#if HWY_TARGET == HWY_AVX3_DL
  const __m512i first = _mm512_loadu_si512(table), second = _mm512_loadu_si512(table + 32);
  const __m512i low = _mm512_set1_epi16(mask);
  for (; i + 32 <= count; i += 32) {
    const __m512i index =
        _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes + i)));
    _mm512_storeu_si512(out + i,
                        _mm512_permutex2var_epi16(first, _mm512_and_si512(index, low), second));
  }
#endif
  look_up_rest(codes, i, count, mask, table, out);
}

// ---- Draws ----

// `steps` <= 16 steps of the LFSR: with b what they shift out, (s - b p) / x^steps, where
// p = x^32 + x^22 + x^2 + x + 1 and b = s / (1 + x + x^2) modulo x^steps;
// 1 / (1 + x + x^2) = (1 + x) (1 + x^3) (1 + x^6) (1 + x^12) ...
template <typename V>
HWY_INLINE V stepped(V s, int steps) {
  const hn::RebindToUnsigned<I> u;
  auto b = hn::Xor(s, hn::ShiftLeft<1>(s));
  b = hn::Xor(b, hn::ShiftLeft<3>(b));
  b = hn::Xor(b, hn::ShiftLeft<6>(b));
  b = hn::Xor(b, hn::ShiftLeft<12>(b));
  b = hn::And(b, hn::Set(u, (1u << steps) - 1));
  const auto low = hn::Xor(hn::Xor(s, b), hn::Xor(hn::ShiftLeft<1>(b), hn::ShiftLeft<2>(b)));
  return hn::Xor(hn::Xor(hn::ShiftRightSame(low, steps), hn::ShiftLeftSame(b, 22 - steps)),
                 hn::ShiftLeftSame(b, 32 - steps));
}

void draws_of(std::uint32_t* states, int count, std::int64_t chunks, int r, std::uint32_t* draws) {
  const hn::RebindToUnsigned<I> u;
  const auto mask = hn::Set(u, r == 32 ? ~0u : (1u << r) - 1);
  for (int i = 0; i < count; i += static_cast<int>(hn::MaxLanes(I()))) {
    auto s = hn::LoadU(u, states + i);
    for (std::int64_t c = 0; c < chunks; ++c) {
      hn::StoreU(hn::And(s, mask), u, draws + c * count + i);
      for (int left = r; left > 0; left -= 16) s = stepped(s, left < 16 ? left : 16);
    }
    hn::StoreU(s, u, states + i);
  }
}

#if HWY_TARGET == HWY_AVX3_DL

bool bit_matrices() { return __builtin_cpu_supports("gfni") != 0; }

// Each byte of x times the matrix. As text: the target does not name the extension.
HWY_INLINE __m512i times_matrix(__m512i x, const std::uint64_t& matrix) {
  __m512i y;
  __asm__("vgf2p8affineqb $0, %2%{1to8%}, %1, %0" : "=v"(y) : "v"(x), "m"(matrix));
  return y;
}

// Byte `to` of all states, a power on.
template <int kBytes>
HWY_INLINE __m512i byte_on(const __m512i* state, const std::uint64_t* matrices) {
  __m512i sum = times_matrix(state[0], matrices[0]);
#pragma GCC unroll 8
  for (int from = 1; from < kBytes; ++from)
    sum = _mm512_xor_si512(sum, times_matrix(state[from], matrices[from]));
  return sum;
}

// 64 streams at once, as bytes: byte b of all of them in state[b]. In an order that unpacking turns
// into that of the results: 16 lane + 4 k + e holds result 16 k + 4 lane + e.
template <int kBytes, int kDrawn>
void draws_by_matrices(const DrawMatrices& m, std::uint64_t* states, int count, std::int64_t chunks,
                       std::uint32_t* draws) {
  const auto result_at = [](int at) { return 16 * (at / 4 % 4) + 4 * (at / 16) + at % 4; };
  const __m512i mask = _mm512_set1_epi32(static_cast<int>((std::uint64_t{1} << m.bits) - 1));
  const __m512i zero = _mm512_setzero_si512();
  alignas(64) std::uint8_t bytes[kBytes][64];
  for (int first = 0; first < count; first += 64) {
    for (int at = 0; at < 64; ++at)
      for (int b = 0; b < kBytes; ++b)
        bytes[b][at] = static_cast<std::uint8_t>(states[first + result_at(at)] >> (8 * b));
    __m512i state[kBytes];
    for (int b = 0; b < kBytes; ++b) state[b] = _mm512_load_si512(bytes[b]);
    const auto advance = [&](std::int64_t draws_on) HWY_ATTR {
      __m512i next[kBytes];
      for (int b = 0; b < kBytes; ++b) next[b] = byte_on<kBytes>(state, m.power[draws_on - 1][b]);
      for (int b = 0; b < kBytes; ++b) state[b] = next[b];
    };
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const std::int64_t power = chunk % DrawMatrices::kPowers;
      if (power == 0 && chunk > 0) advance(DrawMatrices::kPowers);
      __m512i drawn[4] = {zero, zero, zero, zero};
      for (int b = 0; b < kDrawn; ++b)
        drawn[b] = power == 0 ? state[b] : byte_on<kBytes>(state, m.power[power - 1][b]);
      const __m512i low[2] = {_mm512_unpacklo_epi8(drawn[0], drawn[1]),
                              _mm512_unpackhi_epi8(drawn[0], drawn[1])};
      const __m512i high[2] = {kDrawn > 2 ? _mm512_unpacklo_epi8(drawn[2], drawn[3]) : zero,
                               kDrawn > 2 ? _mm512_unpackhi_epi8(drawn[2], drawn[3]) : zero};
      std::uint32_t* to = draws + chunk * count + first;
      for (int half = 0; half < 2; ++half) {
        _mm512_storeu_si512(to + 32 * half,
                            _mm512_and_si512(mask, _mm512_unpacklo_epi16(low[half], high[half])));
        _mm512_storeu_si512(to + 32 * half + 16,
                            _mm512_and_si512(mask, _mm512_unpackhi_epi16(low[half], high[half])));
      }
    }
    if (chunks > 0) advance((chunks - 1) % DrawMatrices::kPowers + 1);
    for (int b = 0; b < kBytes; ++b) _mm512_store_si512(bytes[b], state[b]);
    for (int at = 0; at < 64; ++at) {
      std::uint64_t s = 0;
      for (int b = 0; b < kBytes; ++b) s |= std::uint64_t{bytes[b][at]} << (8 * b);
      states[first + result_at(at)] = s;
    }
  }
}

template <int kBytes>
void draws_of_bytes(const DrawMatrices& m, std::uint64_t* states, int count, std::int64_t chunks,
                    std::uint32_t* draws) {
  switch ((m.bits + 7) / 8) {
    case 1:
      return draws_by_matrices<kBytes, 1>(m, states, count, chunks, draws);
    case 2:
      return draws_by_matrices<kBytes, 2>(m, states, count, chunks, draws);
    case 3:
      return draws_by_matrices<kBytes, 3>(m, states, count, chunks, draws);
    default:
      return draws_by_matrices<kBytes, 4>(m, states, count, chunks, draws);
  }
}

void matrix_draws(const DrawMatrices& m, std::uint64_t* states, int count, std::int64_t chunks,
                  std::uint32_t* draws) {
  m.bytes == 4 ? draws_of_bytes<4>(m, states, count, chunks, draws)
               : draws_of_bytes<8>(m, states, count, chunks, draws);
}

#else

bool bit_matrices() { return false; }
void matrix_draws(const DrawMatrices&, std::uint64_t*, int, std::int64_t, std::uint32_t*) {}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace blockdot::models
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockdot::models {

HWY_EXPORT(tile_of_source);
HWY_EXPORT(fast_bytes);
HWY_EXPORT(single_steps);
HWY_EXPORT(bit_matrices);
HWY_EXPORT(matrix_draws);
HWY_EXPORT(draws_of);
HWY_EXPORT(encode_all);
HWY_EXPORT(aligned_all);
HWY_EXPORT(look_up_bytes);
HWY_EXPORT(look_up_halves);

void vector_tile(Source source, StepKind step, Certainty certainty, const VectorTile& tile) {
  HWY_DYNAMIC_DISPATCH(tile_of_source)(source, step, certainty, tile);
}
void aligned_tile(bool narrow, StepKind step, const AlignedTile& tile) {
  HWY_DYNAMIC_DISPATCH(aligned_all)(narrow, step, tile);
}
bool has_single_step(StepKind step, int man_bits, int lowest, int random_bits) {
  // Nearest: two bits below the last one, rounded to odd. Stochastic: what a draw is added to.
  const bool fits = step == StepKind::kNearestEven   ? man_bits <= 21
                    : step == StepKind::kTowardsZero ? man_bits <= 22
                    : step == StepKind::kStochastic ? man_bits + random_bits <= 23 && man_bits <= 22
                                                    : false;
  return fits && lowest >= -149 && lowest + man_bits >= -126 &&
         HWY_DYNAMIC_DISPATCH(single_steps)();
}
bool has_fast_bytes() { return HWY_DYNAMIC_DISPATCH(fast_bytes)(); }
void encode_values(const OutputFormat& format, const double* x, const std::uint32_t* draws,
                   int count, std::uint32_t* codes) {
  HWY_DYNAMIC_DISPATCH(encode_all)(format, x, draws, count, codes);
}
void look_up(const std::uint8_t* codes, std::int64_t count, std::uint8_t mask,
             const std::int8_t* table, std::int8_t* out) {
  HWY_DYNAMIC_DISPATCH(look_up_bytes)(codes, count, mask, table, out);
}
void look_up(const std::uint8_t* codes, std::int64_t count, std::uint8_t mask,
             const std::int16_t* table, std::int16_t* out) {
  HWY_DYNAMIC_DISPATCH(look_up_halves)(codes, count, mask, table, out);
}
bool has_bit_matrices() { return HWY_DYNAMIC_DISPATCH(bit_matrices)(); }
void fill_draws(const DrawMatrices& matrices, std::uint64_t* states, int count, std::int64_t chunks,
                std::uint32_t* draws) {
  HWY_DYNAMIC_DISPATCH(matrix_draws)(matrices, states, count, chunks, draws);
}
void fill_draws(std::uint32_t* states, int count, std::int64_t chunks, int r,
                std::uint32_t* draws) {
  HWY_DYNAMIC_DISPATCH(draws_of)(states, count, chunks, r, draws);
}

}  // namespace blockdot::models
#endif
