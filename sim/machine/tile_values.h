// The results of a tile from its operands, exactly as the array's units compute them.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/quantize.h"
#include "models/golden.h"
#include "sim/machine/schedule.h"

namespace blockdot::sim {

/// Whether results depend on random bits.
bool draws(const formats::DotSpec& spec);

/// Takes the tiles in the schedule's order. With stochastic rounding every unit has its own stream
/// and draws for every tile (docs/arrays.md); else no tile depends on another.
class TileValues {
 public:
  explicit TileValues(const Schedule& schedule);

  /// `a` [rows] and `b` [cols] of one tile: codes [rows][cols].
  std::vector<std::uint32_t> compute(const formats::QuantizedMatrix& a,
                                     const formats::QuantizedMatrix& b);

 private:
  const Schedule& schedule_;
  std::vector<models::GoldenDot> units_;  // with stochastic rounding, row by row
};

/// Rows [row, row + rows) alone.
formats::QuantizedMatrix rows_of(const formats::QuantizedMatrix& matrix, std::int64_t row,
                                 std::int64_t rows);

/// All results of a product [m][n] on the machine, without its cycles. `threads` where no result
/// depends on random bits.
std::vector<std::uint32_t> machine_values(const Schedule& schedule,
                                          const formats::QuantizedMatrix& a,
                                          const formats::QuantizedMatrix& b, int threads = 1);

}  // namespace blockdot::sim
