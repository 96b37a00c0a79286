// The inner loops of the double way (Google Highway): exact sums of products in binary64, six rows
// against 32 columns at once, then one step of the accumulator a chunk.
#pragma once

#include <cstdint>

namespace blockdot::models {

inline constexpr int kDoubleRows = 6;
inline constexpr int kDoubleCols = 32;

/// rows [k][kDoubleRows] and columns [k][kDoubleCols] hold integers, chunk after chunk of `length`
/// elements (the last ones of a short chunk are 0); row_scale [chunk][kDoubleRows] and column_scale
/// [chunk][kDoubleCols] powers of two or 0; acc [kDoubleRows][kDoubleCols] is set.
struct DoubleTile {
  const double* rows;
  const double* columns;
  const double* low_columns = nullptr;  // else the columns are `columns` + `low_columns`
  const double* row_scale;
  const double* column_scale;
  std::int64_t chunks;
  int length;
  double* acc;
  double* low_acc = nullptr;  // for double_tile_wide
};

/// acc = acc + sum * row_scale * column_scale, all exact.
void double_tile_exact(const DoubleTile& tile);
/// acc + low_acc, which is exact; acc is its rounding.
void double_tile_wide(const DoubleTile& tile);
/// acc = RNE_binary32(acc + sum * row_scale * column_scale); everything is a multiple of 2^-149.
void double_tile_fp32(const DoubleTile& tile);

/// x + rest rounded to odd: every later rounding to at most 51 bits is that of the sum.
double odd_of(double x, double rest);

}  // namespace blockdot::models
