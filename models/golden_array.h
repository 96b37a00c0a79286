// The golden model of an array of units whose results depend on random bits: which stream each
// rounding draws from, and in which order (docs/arrays.md).
//
//   os                  unit (r, c) has stream r C + c. It draws as a dot unit does, for
//                       every tile, also where the tile has no such row or column.
//   ws, drawn by beat   unit (r, c) has stream r C + c. It draws once for every row of the tile in
//                       every pass in which it holds a weight: beat t of a result is rounded in row
//                       t mod R of the array, in pass t / R, after that beat of the rows above.
//   ws, by result       column c has stream c: one draw a result, row after row of the tile.
//
// Columns beyond a tile draw as well.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "formats/dot_spec.h"
#include "models/golden.h"

namespace blockdot::models {

struct ArrayShape {
  bool weight_stationary = false;
  int rows = 1, cols = 1;  // R, C
};

class GoldenArray {
 public:
  /// `seeds`: state of each stream; empty: those of formats::lfsr_streams.
  GoldenArray(const formats::DotSpec& spec, const ArrayShape& shape,
              std::vector<std::uint64_t> seeds = {});

  /// Beat `beat` of result (row, col) of a tile; first and last are set by the caller.
  using BeatAt = std::function<Beat(std::int64_t row, std::int64_t col, std::int64_t beat)>;
  struct Tile {
    std::int64_t rows = 1, cols = 1, beats = 1;
  };
  /// The next `count` rows of a tile, row-major [count][tile.cols]. A tile's rows may come in
  /// several calls, ws only; tiles follow each other.
  std::vector<std::uint32_t> compute(const Tile& tile, std::int64_t count, const BeatAt& at);

 private:
  std::size_t stream_of(std::int64_t row, std::int64_t col) const {
    return static_cast<std::size_t>(row * shape_.cols + col);
  }
  /// Each beat of a column draws from its own part of a stream: passes follow each other there.
  void begin(const Tile& tile);
  void end(const Tile& tile);

  formats::DotSpec spec_;
  ArrayShape shape_;
  int bits_;        // of a draw, 0 without
  bool by_beat_;    // a draw each beat, else one a result
  GoldenDot unit_;  // results are computed one after the other
  std::vector<formats::Lfsr> streams_;
  std::vector<formats::Lfsr> parts_;  // of the tile under way, ws by beat: [beat][column]
  std::int64_t done_ = 0;             // its rows so far
};

}  // namespace blockdot::models
