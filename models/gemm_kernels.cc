// Compiled with contraction to fma: every operation here is exact, so it changes no value.
#include "models/gemm_kernels.h"

namespace blockdot::models {

namespace {

template <typename T>
void sums_of(const T* a, const T* b, std::int64_t count, T* sums) {
  typedef T Vector __attribute__((vector_size(64)));
  constexpr int kLanes = kTileCols<T> / 2;
  Vector left[kTileRows] = {}, right[kTileRows] = {};
  for (std::int64_t k = 0; k < count; ++k) {
    Vector b0 = *reinterpret_cast<const Vector*>(b + k * 2 * kLanes);
    Vector b1 = *reinterpret_cast<const Vector*>(b + k * 2 * kLanes + kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kTileRows; ++r) {
      T x = a[k * kTileRows + r];
      left[r] += x * b0;
      right[r] += x * b1;
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kTileRows; ++r) {
    *reinterpret_cast<Vector*>(sums + r * 2 * kLanes) = left[r];
    *reinterpret_cast<Vector*>(sums + r * 2 * kLanes + kLanes) = right[r];
  }
}

}  // namespace

void tile_sums(const float* a, const float* b, std::int64_t count, float* sums) {
  sums_of(a, b, count, sums);
}
void tile_sums(const double* a, const double* b, std::int64_t count, double* sums) {
  sums_of(a, b, count, sums);
}

}  // namespace blockdot::models
