#include "sim/machine/tile_values.h"

#include <algorithm>

#include "formats/error.h"
#include "models/gemm.h"

namespace blockdot::sim {

using formats::QuantizedMatrix;

TileValues::TileValues(const Schedule& schedule) : schedule_(schedule) {
  if (draws(schedule.spec))
    array_.emplace(schedule.spec, models::ArrayShape{!schedule.os(), schedule.machine.rows,
                                                     schedule.machine.cols});
}

std::vector<std::uint32_t> TileValues::compute(const QuantizedMatrix& a, const QuantizedMatrix& b,
                                               std::int64_t rows) {
  if (!array_) return models::gemm(schedule_.spec, a, b).codes;
  models::BeatBuffer beat;
  const std::int64_t first = row_;
  row_ = (row_ + a.rows) % rows;
  return array_->compute({rows, b.rows, schedule_.beats()}, a.rows,
                         [&](std::int64_t i, std::int64_t c, std::int64_t t) {
                           fill_beat(schedule_.spec, a, i - first, b, c,
                                     schedule_.ranges[static_cast<std::size_t>(t)], beat);
                           return beat.beat(false, false);
                         });
}

QuantizedMatrix rows_of(const QuantizedMatrix& matrix, std::int64_t row, std::int64_t rows) {
  QuantizedMatrix part;
  part.format = matrix.format;
  part.rows = rows;
  part.length = matrix.length;
  part.padded_length = matrix.padded_length;
  part.code_bytes = matrix.code_bytes;
  const auto take = [&](const auto& from, auto& to) {
    const auto stride = static_cast<std::ptrdiff_t>(from.size()) / matrix.rows;
    to.assign(from.begin() + row * stride, from.begin() + (row + rows) * stride);
  };
  take(matrix.codes, part.codes);
  take(matrix.scales, part.scales);
  take(matrix.micros, part.micros);
  if (matrix.format.outer.span == formats::Span::kRow)
    take(matrix.outer_scales, part.outer_scales);
  else
    part.outer_scales = matrix.outer_scales;
  return part;
}

std::vector<std::uint32_t> machine_values(const Schedule& schedule, const QuantizedMatrix& a,
                                          const QuantizedMatrix& b, int threads) {
  const models::ArrayTiles tiles{{!schedule.os(), schedule.machine.rows, schedule.machine.cols},
                                 schedule.height};
  return models::gemm_on_array(schedule.spec, tiles, a, b, threads).codes;
}

}  // namespace blockdot::sim
