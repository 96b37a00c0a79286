#include "models/reference.h"

#include <cmath>

#include "formats/error.h"
#include "models/parallel.h"

namespace blockdot::models {

using formats::MatrixView;

namespace {

/// Rows of the result in parallel; columns in tiles, so that the sums of a tile advance side by
/// side, each still in the order of k.
template <typename T, typename Step>
std::vector<T> product(const MatrixView& a, const MatrixView& b, int threads, Step step) {
  if (a.length != b.length)
    throw ConfigError("k: a has {} elements along the reduction and b has {}; must be equal",
                      a.length, b.length);
  constexpr std::int64_t kTile = 64;
  std::vector<T> result(static_cast<size_t>(a.rows * b.rows));
  std::vector<float> packed(static_cast<size_t>(b.length * kTile));
  for (std::int64_t j0 = 0; j0 < b.rows; j0 += kTile) {
    std::int64_t width = std::min(kTile, b.rows - j0);
    for (std::int64_t j = 0; j < width; ++j)
      for (std::int64_t k = 0; k < b.length; ++k)
        packed[static_cast<size_t>(k * kTile + j)] = b.at(j0 + j, k);
    parallel_ranges(a.rows, threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        T sums[kTile] = {};
        for (std::int64_t k = 0; k < a.length; ++k) {
          T x = a.at(i, k);
          const float* y = packed.data() + k * kTile;
          for (std::int64_t j = 0; j < kTile; ++j) sums[j] = step(x, static_cast<T>(y[j]), sums[j]);
        }
        for (std::int64_t j = 0; j < width; ++j)
          result[static_cast<size_t>(i * b.rows + j0 + j)] = sums[j];
      }
    });
  }
  return result;
}

}  // namespace

std::vector<double> reference_gemm(const MatrixView& a, const MatrixView& b, int threads) {
  return product<double>(a, b, threads, [](double x, double y, double sum) { return x * y + sum; });
}

std::vector<float> reference_gemm_fp32(const MatrixView& a, const MatrixView& b, int threads) {
  return product<float>(a, b, threads,
                        [](float x, float y, float sum) { return std::fma(x, y, sum); });
}

}  // namespace blockdot::models
