#include "models/gemm_aligned.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "formats/lfsr.h"
#include "models/gemm_pack.h"
#include "models/gemm_vector.h"
#include "models/parallel.h"

namespace blockdot::models {

using formats::BeatRange;
using formats::DotSpec;
using formats::QuantizedMatrix;

namespace {

constexpr int kRows = kVectorRows;
constexpr int kCols = kAlignedCols;
constexpr int kResults = kRows * kCols;

/// One operand: values and exponents [panel][beat][lane of the beat][width], scales and their
/// exponents [panel][beat][width]. A zero has the exponent kNoExponent.
struct Side {
  Side(const QuantizedMatrix& its_matrix, int its_width, std::int64_t beats, int lanes)
      : matrix(its_matrix),
        width(its_width),
        panels((matrix.rows + width - 1) / width),
        values(static_cast<size_t>(panels * beats * lanes * width)),
        exponents(values.size(), kNoExponent),
        scales(static_cast<size_t>(panels * beats * width)),
        scale_exponents(scales.size()),
        nan(static_cast<size_t>(matrix.rows)),
        far(static_cast<size_t>(matrix.rows)) {}
  const QuantizedMatrix& matrix;
  int width;
  std::int64_t panels;
  std::vector<double> values, exponents, scales, scale_exponents;
  std::vector<std::uint8_t> nan, far;  // rows with a NaN; rows that this way does not take
};

void pack_row(Side& side, const Units& units, const std::vector<double>& value_of,
              const std::vector<double>& exponent_of, const std::vector<BeatRange>& beats,
              int lanes, bool nan_for_inf, std::int64_t r) {
  const QuantizedMatrix& matrix = side.matrix;
  const auto mask = static_cast<std::uint32_t>(value_of.size() - 1);
  const auto at_row = static_cast<size_t>(r);
  for (size_t beat = 0; beat < beats.size(); ++beat) {
    const size_t at = static_cast<size_t>(r / side.width) * beats.size() + beat;
    const auto width = static_cast<size_t>(side.width), lane = static_cast<size_t>(r) % width;
    double& scale = side.scales[at * width + lane];
    double& scale_exponent = side.scale_exponents[at * width + lane];
    int exponent = 0;
    if (matrix.format.has_scale()) {
      const std::uint32_t code = matrix.scale(r, beats[beat].k);
      exponent = static_cast<int>(code) - formats::kE8M0Bias;
      if (code == formats::kE8M0Nan) {
        side.nan[at_row] = 1;
        exponent = 0;
      }
    }
    scale = std::ldexp(1.0, exponent);
    scale_exponent = exponent;
    for (int j = 0; j < beats[beat].count; ++j) {
      const std::int64_t k = beats[beat].k + j;
      const std::uint32_t code = matrix.code(r, k) & mask;
      if (units.nan[code] || (units.inf[code] && nan_for_inf)) side.nan[at_row] = 1;
      if (units.inf[code] && !nan_for_inf) side.far[at_row] = 1;
      if (value_of[code] == 0) continue;
      const int tau = matrix.micro(r, k);
      const size_t to = (at * static_cast<size_t>(lanes) + static_cast<size_t>(j)) * width + lane;
      side.values[to] = std::ldexp(value_of[code], -tau);
      side.exponents[to] = exponent_of[code] - tau;
    }
  }
}

/// False where a row is not for this way.
bool pack(Side& side, const Units& units, const std::vector<BeatRange>& beats, int lanes,
          bool nan_for_inf, int threads) {
  const formats::ElementFormat& element = side.matrix.format.element;
  std::vector<double> value_of, exponent_of;
  for (std::uint32_t code = 0; code < 1u << element.width(); ++code) {
    const double value = decode(element, code);
    const bool counts = std::isfinite(value) && value != 0;
    value_of.push_back(counts ? value : 0);
    exponent_of.push_back(counts ? formats::exponent_of(element, value) : kNoExponent);
  }
  parallel_ranges(side.matrix.rows, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      pack_row(side, units, value_of, exponent_of, beats, lanes, nan_for_inf, r);
  });
  return std::none_of(side.far.begin(), side.far.end(), [](std::uint8_t far) { return far != 0; });
}

}  // namespace

bool gemm_by_aligned(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
                     const std::vector<std::uint32_t>& states, int threads, GemmResult& result) {
  const formats::Accumulator& accumulator = spec.accumulator;
  if (accumulator.kind != formats::AccumulatorKind::kAligned ||
      accumulator.fraction_bits + 3 + ceil_log2(spec.lanes + 1) > 53 ||
      !power_of_two_scale(spec.a) || !power_of_two_scale(spec.b))
    return false;
  // Two scales, two elements and the bits kept: far from the ends of binary64.
  for (const formats::BlockFormat* format : {&spec.a, &spec.b})
    if (std::abs(max_exponent(format->element)) > 160 ||
        std::abs(lsb_exponent(format->element)) > 160)
      return false;
  if (std::abs(lsb_exponent(accumulator.format)) > 400) return false;
  StepFormat format;
  const std::optional<StepKind> step =
      rounding_step(accumulator.format, accumulator.rounding, format);
  const Units x = units_of(spec.a, 62), y = units_of(spec.b, 62);
  if (!step || !x.known || !y.known) return false;

  const std::vector<BeatRange> beats = beat_ranges(spec, a.length);
  const bool nan_for_inf = spec.specials == formats::SpecialsPolicy::kNan;
  const std::int64_t count = std::ssize(beats), m = a.rows, n = b.rows;
  Side rows(a, kRows, count, spec.lanes), columns(b, kCols, count, spec.lanes);
  if (!pack(rows, x, beats, spec.lanes, nan_for_inf, threads) ||
      !pack(columns, y, beats, spec.lanes, nan_for_inf, threads))
    return false;

  result.codes.resize(static_cast<size_t>(m * n));
  result.way = "aligned";
  const bool same_float = accumulator.format == spec.output;
  parallel_tasks(rows.panels * columns.panels, threads, [&](std::int64_t task) {
    const std::int64_t p = task / columns.panels, q = task % columns.panels;
    alignas(64) double acc[kResults] = {};
    std::vector<std::uint32_t> draws;
    std::uint32_t state[kResults];
    for (int i = 0; i < kResults; ++i) {
      const std::int64_t row = p * kRows + i / kCols, column = q * kCols + i % kCols;
      const bool inside = row < m && column < n && !states.empty();
      state[i] = inside ? states[static_cast<size_t>(row * n + column)] : 1;
    }
    if (accumulator.rounding.stochastic()) {
      draws.resize(static_cast<size_t>(count) * kResults);
      fill_draws(state, kResults, count, accumulator.rounding.random_bits, draws.data());
    }
    AlignedTile tile;
    const std::int64_t row = p * count * kRows, column = q * count * kCols;
    tile.rows = rows.values.data() + row * spec.lanes;
    tile.row_exponents = rows.exponents.data() + row * spec.lanes;
    tile.columns = columns.values.data() + column * spec.lanes;
    tile.column_exponents = columns.exponents.data() + column * spec.lanes;
    tile.row_scale = rows.scales.data() + row;
    tile.row_scale_exponent = rows.scale_exponents.data() + row;
    tile.column_scale = columns.scales.data() + column;
    tile.column_scale_exponent = columns.scale_exponents.data() + column;
    tile.draws = draws.data();
    tile.beats = count;
    tile.lanes = spec.lanes;
    tile.fraction_bits = accumulator.fraction_bits;
    tile.least_exponent = std::ilogb(min_normal(accumulator.format));
    tile.format = format;
    tile.acc = acc;
    aligned_tile(*step, tile);
    for (int i = 0; i < kResults; ++i) {
      const std::int64_t r = p * kRows + i / kCols, c = q * kCols + i % kCols;
      if (r >= m || c >= n) continue;
      double value = acc[i];
      if (value == 0 && !same_float) value = 0;
      if (rows.nan[static_cast<size_t>(r)] != 0 || columns.nan[static_cast<size_t>(c)] != 0)
        value = std::nan("");
      const bool draws_output = spec.rounding.stochastic() && !same_float;
      const std::uint32_t random =
          draws_output ? formats::Lfsr(state[i]).draw(spec.rounding.random_bits) : 0;
      result.codes[static_cast<size_t>(r * n + c)] =
          encode(spec.output, value, spec.rounding, random, formats::Overflow::kToSpecial);
    }
  });
  return true;
}

}  // namespace blockdot::models
