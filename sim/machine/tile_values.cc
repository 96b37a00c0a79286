#include "sim/machine/tile_values.h"

#include <algorithm>

#include "formats/error.h"
#include "formats/lfsr_jump.h"
#include "models/gemm.h"

namespace blockdot::sim {

using formats::QuantizedMatrix;

bool draws(const formats::DotSpec& spec) { return formats::drawn_rounding(spec).stochastic(); }

TileValues::TileValues(const Schedule& schedule) : schedule_(schedule) {
  if (!draws(schedule.spec)) return;
  BLOCKDOT_CHECK(schedule.os(), "a weight-stationary array has no random streams");
  const auto units = static_cast<std::uint64_t>(schedule.machine.rows * schedule.machine.cols);
  for (std::uint64_t seed : formats::lfsr_streams(schedule.spec.lfsr, units).states)
    units_.emplace_back(schedule.spec, seed);
}

std::vector<std::uint32_t> TileValues::compute(const QuantizedMatrix& a, const QuantizedMatrix& b) {
  if (units_.empty()) return models::gemm(schedule_.spec, a, b).codes;
  std::vector<std::uint32_t> codes(static_cast<std::size_t>(a.rows * b.rows));
  models::BeatBuffer beat;
  for (std::int64_t r = 0; r < schedule_.machine.rows; ++r)
    for (std::int64_t c = 0; c < schedule_.machine.cols; ++c) {
      // A unit beyond the tile computes something and draws as often.
      const bool inside = r < a.rows && c < b.rows;
      models::GoldenDot& unit = units_[static_cast<std::size_t>(r * schedule_.machine.cols + c)];
      std::optional<std::uint32_t> code;
      for (std::size_t t = 0; t < schedule_.ranges.size(); ++t) {
        fill_beat(schedule_.spec, a, inside ? r : 0, b, inside ? c : 0, schedule_.ranges[t], beat);
        code = unit.step(beat.beat(t == 0, t + 1 == schedule_.ranges.size()));
      }
      if (inside) codes[static_cast<std::size_t>(r * b.rows + c)] = code.value();
    }
  return codes;
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
  models::check_operands(schedule.spec, a, b);
  if (!draws(schedule.spec)) return models::gemm(schedule.spec, a, b, {.threads = threads}).codes;
  TileValues values(schedule);
  std::vector<std::uint32_t> codes(static_cast<std::size_t>(a.rows * b.rows));
  for (std::int64_t t = 0; t < schedule.tiles(); ++t) {
    const MachineTile tile = schedule.tile(t);
    const auto part =
        values.compute(rows_of(a, tile.row, tile.rows), rows_of(b, tile.col, tile.cols));
    for (std::int64_t r = 0; r < tile.rows; ++r)
      std::copy_n(part.begin() + r * tile.cols, tile.cols,
                  codes.begin() + (tile.row + r) * schedule.n + tile.col);
  }
  return codes;
}

}  // namespace blockdot::sim
