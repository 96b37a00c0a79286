#include "models/double_kernels.h"

// Else a compiler whose own baseline is that target (-march=native) finds it missing.
#define HWY_WANT_AVX3_DL
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "models/double_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <bit>
#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace blockdot::models {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<double>;
using L = hn::RebindToSigned<D>;
using VD = hn::Vec<D>;

// RNE to binary32 of acc + t, t exact, where the double sum alone does not tell: it lies half-way,
// and the rest decides.
HWY_INLINE double nearest_float(double acc, double t) {
  const double s = acc + t;
  const double b = s - acc;
  const double rest = (acc - (s - b)) + (t - b);
  const double side =
      rest == 0 || !std::isfinite(s) ? s : std::nextafter(s, rest > 0 ? HUGE_VAL : -HUGE_VAL);
  return static_cast<float>(side);
}

/// acc + sum * scales, rounded to binary32.
struct Fp32Step {
  static HWY_INLINE VD take(VD sum, VD column_scale, VD row_scale, VD acc) {
    const D d;
    const L l;
    const hn::Rebind<float, D> f;
    const VD t = hn::Mul(hn::Mul(sum, column_scale), row_scale);
    const VD s = hn::Add(acc, t);
    // Rounding a double to float again is rounding once, but where the double is a halfway point.
    const auto tail = hn::And(hn::BitCast(l, s), hn::Set(l, 0x1FFFFFFF));
    const auto halfway = hn::Eq(tail, hn::Set(l, 0x10000000));
    if (HWY_UNLIKELY(!hn::AllFalse(l, halfway))) {
      HWY_ALIGN double a[hn::MaxLanes(d)], b[hn::MaxLanes(d)];
      hn::Store(acc, d, a);
      hn::Store(t, d, b);
      for (size_t i = 0; i < hn::Lanes(d); ++i) a[i] = nearest_float(a[i], b[i]);
      return hn::Load(d, a);
    }
    return hn::PromoteTo(d, hn::DemoteTo(f, s));
  }
};

struct ExactStep {
  static HWY_INLINE VD take(VD sum, VD column_scale, VD row_scale, VD acc) {
    return hn::MulAdd(hn::Mul(sum, column_scale), row_scale, acc);
  }
};

template <typename Step>
HWY_INLINE void run_tile(const DoubleTile& t) {
  const D d;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
  constexpr int kVectors = kLanes >= 8 ? 4 : 2;
  for (int i = 0; i < kDoubleRows * kDoubleCols; ++i) t.acc[i] = 0;
  for (int first = 0; first < kDoubleCols; first += kVectors * kLanes) {
    const double* row = t.rows;
    const double* column = t.columns + first;
    for (std::int64_t c = 0; c < t.chunks; ++c) {
      VD sum[kDoubleRows][kVectors];
#pragma GCC unroll 6
      for (int r = 0; r < kDoubleRows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::Zero(d);
      for (int k = 0; k < t.length; ++k) {
        VD b[kVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) b[v] = hn::LoadU(d, column + v * kLanes);
#pragma GCC unroll 6
        for (int r = 0; r < kDoubleRows; ++r) {
          const VD a = hn::Set(d, row[r]);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) sum[r][v] = hn::MulAdd(a, b[v], sum[r][v]);
        }
        row += kDoubleRows;
        column += kDoubleCols;
      }
#pragma GCC unroll 6
      for (int r = 0; r < kDoubleRows; ++r) {
        const VD row_scale = hn::Set(d, t.row_scale[c * kDoubleRows + r]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          double* acc = t.acc + r * kDoubleCols + first + v * kLanes;
          const VD column_scale =
              hn::LoadU(d, t.column_scale + c * kDoubleCols + first + v * kLanes);
          hn::StoreU(Step::take(sum[r][v], column_scale, row_scale, hn::LoadU(d, acc)), d, acc);
        }
      }
    }
  }
}

void tile_exact(const DoubleTile& t) { run_tile<ExactStep>(t); }
void tile_fp32(const DoubleTile& t) { run_tile<Fp32Step>(t); }

}  // namespace HWY_NAMESPACE
}  // namespace blockdot::models
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockdot::models {

HWY_EXPORT(tile_exact);
HWY_EXPORT(tile_fp32);

void double_tile_exact(const DoubleTile& tile) { HWY_DYNAMIC_DISPATCH(tile_exact)(tile); }
void double_tile_fp32(const DoubleTile& tile) { HWY_DYNAMIC_DISPATCH(tile_fp32)(tile); }

}  // namespace blockdot::models
#endif
