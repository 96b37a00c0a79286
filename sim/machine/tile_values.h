// The results of a tile from its operands, exactly as the array's units compute them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "formats/quantize.h"
#include "models/golden_array.h"
#include "sim/machine/schedule.h"

namespace blockdot::sim {

/// Takes the tiles in the schedule's order. With stochastic rounding the array has its streams
/// (models/golden_array.h); else no tile depends on another.
class TileValues {
 public:
  explicit TileValues(const Schedule& schedule);

  /// The next rows `a` of a tile of `rows` rows (ws: in one call or in several) and its `b` [cols]:
  /// codes [a.rows][cols].
  std::vector<std::uint32_t> compute(const formats::QuantizedMatrix& a,
                                     const formats::QuantizedMatrix& b, std::int64_t rows);

 private:
  const Schedule& schedule_;
  std::optional<models::GoldenArray> array_;  // with stochastic rounding
  std::int64_t row_ = 0;                      // of the tile under way, the next one
};

/// Rows [row, row + rows) alone.
formats::QuantizedMatrix rows_of(const formats::QuantizedMatrix& matrix, std::int64_t row,
                                 std::int64_t rows);

/// All results of a product [m][n] on the machine, without its cycles.
std::vector<std::uint32_t> machine_values(const Schedule& schedule,
                                          const formats::QuantizedMatrix& a,
                                          const formats::QuantizedMatrix& b, int threads = 1);

}  // namespace blockdot::sim
