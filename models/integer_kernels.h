// The inner loops of the integer way: exact 32-bit sums of products of 8-bit or 16-bit integers,
// six rows against 64 columns at once, then one step of the accumulator a chunk. Vector code for
// the processor at run time (Google Highway); every target gives the same bits, since every
// operation is exact or is the one rounding of the accumulator.
#pragma once

#include <cstdint>

namespace blockdot::models {

inline constexpr int kIntegerRows = 6;
inline constexpr int kIntegerCols = 64;

/// A panel of rows against a panel of columns. A word is 32 bits: four bytes or two halves of
/// consecutive k.
///
///   rows      [chunk][word][kIntegerRows]     signed
///   columns   [chunk][word][kIntegerCols]     bytes: unsigned, biased by 128; halves: signed
///   start     [chunk][kIntegerRows]           what the sums start from: takes the bias back
///   row_scale [chunk][kIntegerRows], column_scale [chunk][kIntegerCols]
///   acc       [kIntegerRows][kIntegerCols]    set, not added to
///
/// For each chunk and result: acc = fl(acc + sum * column_scale * row_scale), acc = 0 before. The
/// products with the scales must be exact in Scale.
template <typename Scale>
struct IntegerTile {
  const std::int32_t* rows;
  const std::int32_t* columns;
  const std::int32_t* start;
  const Scale* row_scale;
  const Scale* column_scale;
  std::int64_t chunks;
  int words;
  Scale* acc;
};

void byte_tile(const IntegerTile<float>& tile);
void byte_tile(const IntegerTile<double>& tile);
void half_tile(const IntegerTile<float>& tile);
void half_tile(const IntegerTile<double>& tile);

/// The processor multiplies bytes four at a time.
bool has_fast_bytes();

}  // namespace blockdot::models
