#include "models/integer_kernels.h"

// Else a compiler whose own baseline is that target (-march=native) finds it missing.
#define HWY_WANT_AVX3_DL
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "models/integer_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace blockdot::models {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using I = hn::ScalableTag<std::int32_t>;
using VI = hn::Vec<I>;

// acc + the two products of the halves of each word.
struct Halves {
  static HWY_INLINE VI add(VI acc, VI column, VI row) {
#if HWY_TARGET == HWY_AVX3_DL
    // As text: the compiler moves the operands of its intrinsic through needless copies.
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

// acc + the four products of the bytes of each word, the column's unsigned.
struct Bytes {
  static HWY_INLINE VI add(VI acc, VI column, VI row) {
#if HWY_TARGET == HWY_AVX3_DL
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

// One step of a vector of accumulators.
HWY_INLINE void step(VI sum, const float* column_scale, float row_scale, float* acc) {
  const hn::ScalableTag<float> f;
  const auto scaled = hn::Mul(hn::ConvertTo(f, sum), hn::LoadU(f, column_scale));
  hn::StoreU(hn::MulAdd(scaled, hn::Set(f, row_scale), hn::LoadU(f, acc)), f, acc);
}
HWY_INLINE void step(VI sum, const double* column_scale, double row_scale, double* acc) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<std::int32_t, hn::ScalableTag<double>> half;
  const auto part = [&](auto v, size_t at) HWY_ATTR {
    const auto scaled = hn::Mul(hn::PromoteTo(d, v), hn::LoadU(d, column_scale + at));
    hn::StoreU(hn::MulAdd(scaled, hn::Set(d, row_scale), hn::LoadU(d, acc + at)), d, acc + at);
  };
#if HWY_TARGET == HWY_SCALAR
  (void)half;
  part(sum, 0);
#else
  part(hn::LowerHalf(half, sum), 0);
  part(hn::UpperHalf(half, sum), hn::Lanes(d));
#endif
}

template <typename Dot, typename Scale>
HWY_INLINE void run_tile(const IntegerTile<Scale>& t) {
  const I i;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(I()));
  constexpr int kVectors = kLanes >= 16 ? 4 : 2;
  constexpr int kPass = kVectors * kLanes;
  for (int r = 0; r < kIntegerRows * kIntegerCols; ++r) t.acc[r] = 0;
  for (int first = 0; first < kIntegerCols; first += kPass) {
    const std::int32_t* row = t.rows;
    const std::int32_t* column = t.columns + first;
    for (std::int64_t c = 0; c < t.chunks; ++c) {
      VI sum[kIntegerRows][kVectors];
#pragma GCC unroll 6
      for (int r = 0; r < kIntegerRows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Set(i, t.start[c * kIntegerRows + r]);
      for (int w = 0; w < t.words; ++w) {
        VI b[kVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) b[v] = hn::LoadU(i, column + v * kLanes);
#pragma GCC unroll 6
        for (int r = 0; r < kIntegerRows; ++r) {
          const VI a = hn::Set(i, row[r]);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) sum[r][v] = Dot::add(sum[r][v], b[v], a);
        }
        row += kIntegerRows;
        column += kIntegerCols;
      }
      const Scale* scales = t.column_scale + c * kIntegerCols + first;
#pragma GCC unroll 6
      for (int r = 0; r < kIntegerRows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v)
          step(sum[r][v], scales + v * kLanes, t.row_scale[c * kIntegerRows + r],
               t.acc + r * kIntegerCols + first + v * kLanes);
    }
  }
}

void byte_tile_float(const IntegerTile<float>& t) { run_tile<Bytes>(t); }
void byte_tile_double(const IntegerTile<double>& t) { run_tile<Bytes>(t); }
void half_tile_float(const IntegerTile<float>& t) { run_tile<Halves>(t); }
void half_tile_double(const IntegerTile<double>& t) { run_tile<Halves>(t); }
bool fast_bytes() { return HWY_TARGET == HWY_AVX3_DL; }

}  // namespace HWY_NAMESPACE
}  // namespace blockdot::models
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockdot::models {

HWY_EXPORT(byte_tile_float);
HWY_EXPORT(byte_tile_double);
HWY_EXPORT(half_tile_float);
HWY_EXPORT(half_tile_double);
HWY_EXPORT(fast_bytes);

void byte_tile(const IntegerTile<float>& t) { HWY_DYNAMIC_DISPATCH(byte_tile_float)(t); }
void byte_tile(const IntegerTile<double>& t) { HWY_DYNAMIC_DISPATCH(byte_tile_double)(t); }
void half_tile(const IntegerTile<float>& t) { HWY_DYNAMIC_DISPATCH(half_tile_float)(t); }
void half_tile(const IntegerTile<double>& t) { HWY_DYNAMIC_DISPATCH(half_tile_double)(t); }
bool has_fast_bytes() { return HWY_DYNAMIC_DISPATCH(fast_bytes)(); }

}  // namespace blockdot::models
#endif
