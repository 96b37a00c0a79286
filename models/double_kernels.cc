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

// a + b as a rounded sum and the exact rest (Knuth).
struct Sum {
  HWY_INLINE Sum(VD a, VD b) {
    value = hn::Add(a, b);
    const VD part = hn::Sub(value, a);
    rest = hn::Add(hn::Sub(a, hn::Sub(value, part)), hn::Sub(b, part));
  }
  VD value, rest;
};

// RNE to binary32 of acc + t + more, in doubles that hold it: exact = s + e, and the float next to
// s is the right one but where s lies half-way between two, where e decides.
HWY_INLINE VD nearest_float(VD acc, VD t, VD more) {
  const D d;
  const hn::Rebind<float, D> f;
  const Sum first(acc, t);
  const Sum rests(first.rest, more);
  const Sum second(first.value, rests.value);
  const VD rest = hn::Add(second.rest, rests.rest);  // of the right sign
  HWY_ALIGN double held[hn::MaxLanes(d)], s[hn::MaxLanes(d)], e[hn::MaxLanes(d)];
  hn::Store(acc, d, held);
  hn::Store(second.value, d, s);
  hn::Store(rest, d, e);
  for (size_t i = 0; i < hn::Lanes(d); ++i) {
    if (!std::isfinite(held[i]))
      s[i] = held[i];
    else if (e[i] > 0 || e[i] < 0)
      s[i] = std::nextafter(s[i], e[i] > 0 ? HUGE_VAL : -HUGE_VAL);
  }
  return hn::PromoteTo(d, hn::DemoteTo(f, hn::Load(d, s)));
}

/// acc + sum * scales, rounded to binary32. T = t + more, the parts of split columns.
struct Fp32Step {
  static HWY_INLINE void take(VD t, VD* low, double* acc, double*) {
    const D d;
    const L l;
    const hn::Rebind<float, D> f;
    const VD before = hn::LoadU(d, acc);
    VD more = hn::Zero(d);
    bool plain = true;
    if (low != nullptr) {
      const Sum both(t, *low);
      t = both.value;
      more = both.rest;
      plain = hn::AllTrue(d, hn::Eq(more, hn::Zero(d)));
    }
    const VD s = hn::Add(before, t);
    // Rounding a double to float again is rounding once, but where the double is a halfway point.
    const auto tail = hn::And(hn::BitCast(l, s), hn::Set(l, 0x1FFFFFFF));
    plain = plain && hn::AllFalse(l, hn::Eq(tail, hn::Set(l, 0x10000000)));
    const VD after =
        HWY_LIKELY(plain) ? hn::PromoteTo(d, hn::DemoteTo(f, s)) : nearest_float(before, t, more);
    hn::StoreU(after, d, acc);
  }
};

struct ExactStep {
  static HWY_INLINE void take(VD t, VD*, double* acc, double*) {
    const D d;
    hn::StoreU(hn::Add(hn::LoadU(d, acc), t), d, acc);
  }
};

struct WideStep {
  static HWY_INLINE void take(VD t, VD* low, double* acc, double* low_acc) {
    const D d;
    Sum sum(hn::LoadU(d, acc), t);
    VD rest = hn::Add(hn::LoadU(d, low_acc), sum.rest);
    if (low != nullptr) {
      sum = Sum(sum.value, *low);
      rest = hn::Add(rest, sum.rest);
    }
    hn::StoreU(sum.value, d, acc);
    hn::StoreU(rest, d, low_acc);
  }
};

template <typename Step, bool kSplit>
HWY_INLINE void run_tile(const DoubleTile& t) {
  const D d;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(D()));
  constexpr int kVectors = (kLanes >= 8 ? 4 : 2) / (kSplit ? 2 : 1);
  constexpr int kParts = kSplit ? 2 : 1;
  for (int i = 0; i < kDoubleRows * kDoubleCols; ++i) t.acc[i] = 0;
  if (t.low_acc != nullptr)
    for (int i = 0; i < kDoubleRows * kDoubleCols; ++i) t.low_acc[i] = 0;
  for (int first = 0; first < kDoubleCols; first += kVectors * kLanes) {
    const double* row = t.rows;
    const double* column[kParts] = {t.columns + first};
    if (kSplit) column[kParts - 1] = t.low_columns + first;
    for (std::int64_t c = 0; c < t.chunks; ++c) {
      VD sum[kDoubleRows][kVectors * kParts];
#pragma GCC unroll 6
      for (int r = 0; r < kDoubleRows; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors * kParts; ++v) sum[r][v] = hn::Zero(d);
      for (int k = 0; k < t.length; ++k) {
        VD b[kVectors * kParts];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors * kParts; ++v)
          b[v] = hn::LoadU(d, column[v / kVectors] + v % kVectors * kLanes);
#pragma GCC unroll 6
        for (int r = 0; r < kDoubleRows; ++r) {
          const VD a = hn::Set(d, row[r]);
#pragma GCC unroll 4
          for (int v = 0; v < kVectors * kParts; ++v) sum[r][v] = hn::MulAdd(a, b[v], sum[r][v]);
        }
        row += kDoubleRows;
        for (const double*& at : column) at += kDoubleCols;
      }
#pragma GCC unroll 6
      for (int r = 0; r < kDoubleRows; ++r) {
        const VD row_scale = hn::Set(d, t.row_scale[c * kDoubleRows + r]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const int at = r * kDoubleCols + first + v * kLanes;
          const VD scale = hn::Mul(
              hn::LoadU(d, t.column_scale + c * kDoubleCols + first + v * kLanes), row_scale);
          double* low_acc = t.low_acc == nullptr ? nullptr : t.low_acc + at;
          VD low = hn::Mul(sum[r][v + kVectors * (kParts - 1)], scale);
          Step::take(hn::Mul(sum[r][v], scale), kSplit ? &low : nullptr, t.acc + at, low_acc);
        }
      }
    }
  }
}

void tile_exact(const DoubleTile& t) { run_tile<ExactStep, false>(t); }
void tile_wide(const DoubleTile& t) {
  t.low_columns == nullptr ? run_tile<WideStep, false>(t) : run_tile<WideStep, true>(t);
}
void tile_fp32(const DoubleTile& t) {
  t.low_columns == nullptr ? run_tile<Fp32Step, false>(t) : run_tile<Fp32Step, true>(t);
}

}  // namespace HWY_NAMESPACE
}  // namespace blockdot::models
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockdot::models {

HWY_EXPORT(tile_exact);
HWY_EXPORT(tile_wide);
HWY_EXPORT(tile_fp32);

void double_tile_exact(const DoubleTile& tile) { HWY_DYNAMIC_DISPATCH(tile_exact)(tile); }
void double_tile_wide(const DoubleTile& tile) { HWY_DYNAMIC_DISPATCH(tile_wide)(tile); }
void double_tile_fp32(const DoubleTile& tile) { HWY_DYNAMIC_DISPATCH(tile_fp32)(tile); }

double odd_of(double x, double rest) {
  if (!(rest > 0 || rest < 0) || (std::bit_cast<std::uint64_t>(x) & 1) != 0) return x;
  return std::nextafter(x, rest > 0 ? HUGE_VAL : -HUGE_VAL);
}

}  // namespace blockdot::models
#endif
