// The inner loops of the fast GEMM: exact sums of products of small integers held in floating
// point, kRows rows against kCols<T> columns at once.
#pragma once

#include <cstdint>

namespace blockdot::models {

inline constexpr int kTileRows = 8;
template <typename T>
inline constexpr int kTileCols = 2 * 64 / static_cast<int>(sizeof(T));  // two vectors of 64 bytes

/// sums[r][c] = sum_k a[k][r] * b[k][c], k < count. Exact while every |sum| stays within the
/// significand (24 bits of float, 53 of double), in which case the order does not matter either.
/// `b` and `sums` aligned to 64 bytes.
void tile_sums(const float* a, const float* b, std::int64_t count, float* sums);
void tile_sums(const double* a, const double* b, std::int64_t count, double* sums);

}  // namespace blockdot::models
