// Elements are packed as values beside their exponents, both tables by code where codes are short.
// A zero, and every element under a scale of zero, has no exponent.
#include "models/gemm_aligned.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "models/gemm_encode.h"
#include "models/gemm_factor.h"
#include "models/gemm_operand.h"
#include "models/gemm_pack.h"
#include "models/gemm_results.h"
#include "models/parallel.h"

namespace blockdot::models {

using formats::BeatRange;
using formats::BlockFormat;
using formats::DotSpec;
using formats::ElementFormat;
using formats::QuantizedMatrix;

namespace {

constexpr int kRows = kVectorRows;
constexpr int kCols = kAlignedCols;
constexpr int kResults = kRows * kCols;

/// One operand: values and exponents [panel][beat][lane of the beat][width], scales [panel][beat]
/// [width]. `Exponent`: int16, or int32 with the exponent in both halves.
template <typename Value, typename Exponent>
class Side {
 public:
  Side(const QuantizedMatrix& matrix, int width, const std::vector<BeatRange>& beats, int lanes,
       bool nan_for_inf, int threads)
      : matrix_(matrix),
        width_(width),
        lanes_(lanes),
        nan_for_inf_(nan_for_inf),
        panels((matrix.rows + width - 1) / width),
        values(static_cast<size_t>(panels * std::ssize(beats) * lanes * width)),
        exponents(values.size(), both(kNoExponent)),
        scales(static_cast<size_t>(panels * std::ssize(beats) * width)),
        scale_exponents(scales.size()),
        nan(static_cast<size_t>(matrix.rows)),
        inf(static_cast<size_t>(matrix.rows)) {
    if (matrix.format.element.width() <= 8)
      for (std::uint32_t code = 0; code < 1u << matrix.format.element.width(); ++code)
        table_.push_back(element(code));
    parallel_ranges(matrix.rows, threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) pack_row(beats, r);
    });
  }

  double share_of_inf() const {
    const auto rows = static_cast<double>(std::count(inf.begin(), inf.end(), 1));
    return rows / static_cast<double>(std::max<size_t>(1, inf.size()));
  }

 private:
  struct Element {
    double value = 0;
    int exponent = kNoExponent;
    bool nan = false, inf = false;
  };

  static Exponent both(int exponent) {
    const auto half = static_cast<std::uint16_t>(exponent);
    return static_cast<Exponent>(sizeof(Exponent) == 4 ? half * 0x10001u : half);
  }

  Element element(std::uint32_t code) const {
    const ElementFormat& format = matrix_.format.element;
    const double value = decode(format, code);
    if (std::isinf(value)) return {.nan = nan_for_inf_, .inf = !nan_for_inf_};
    if (std::isnan(value)) return {.nan = true};
    if (value == 0) return {};
    return {value, formats::exponent_of(format, value)};
  }

  /// False: every product of the beat is zero or NaN.
  bool set_scale(std::int64_t r, std::int64_t k, size_t at) {
    const BlockFormat& format = matrix_.format;
    scales[at] = 1;
    if (!format.has_scale() || scale_in_result(format)) return true;
    ChunkScale scale;
    if (!chunk_scale(matrix_, r, k, scale)) nan[static_cast<size_t>(r)] = 1;
    if (nan[static_cast<size_t>(r)] != 0 || scale.value == 0) return false;
    const int exponent = beat_factor_exponent(matrix_, r, k);
    scales[at] = static_cast<Value>(std::ldexp(scale.value, -exponent));
    scale_exponents[at] = exponent;
    return true;
  }

  void pack_row(const std::vector<BeatRange>& beats, std::int64_t r) {
    const auto row = static_cast<size_t>(r), width = static_cast<size_t>(width_);
    for (size_t beat = 0; beat < beats.size(); ++beat) {
      const size_t at = static_cast<size_t>(r / width_) * beats.size() + beat;
      const bool counts = set_scale(r, beats[beat].k, at * width + row % width);
      size_t to = at * static_cast<size_t>(lanes_) * width + row % width;
      for (int j = 0; j < beats[beat].count; ++j, to += width) {
        const std::int64_t k = beats[beat].k + j;
        const std::uint32_t code = matrix_.code(r, k);
        const Element x = table_.empty() ? element(code) : table_[code & (table_.size() - 1)];
        if (x.nan) nan[row] = 1;
        if (x.inf) inf[row] = 1;
        if (x.value == 0 || !counts) continue;
        const int tau = matrix_.format.micro.bits > 0 ? matrix_.micro(r, k) : 0;
        values[to] = static_cast<Value>(tau == 0 ? x.value : std::ldexp(x.value, -tau));
        exponents[to] = both(x.exponent - tau);
      }
    }
  }

  const QuantizedMatrix& matrix_;
  int width_, lanes_;
  bool nan_for_inf_;
  std::vector<Element> table_;

 public:
  std::int64_t panels;
  std::vector<Value> values;
  std::vector<Exponent> exponents;
  std::vector<Value> scales;
  std::vector<std::int32_t> scale_exponents;
  std::vector<std::uint8_t> nan, inf;  // rows with one
};

template <typename Value>
bool run(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
         const RandomStreams& streams, int threads, StepKind step, const StepFormat& format,
         GemmResult& result) {
  const formats::Accumulator& accumulator = spec.accumulator;
  const std::vector<BeatRange> beats = beat_ranges(spec, a.length);
  const bool nan_for_inf = spec.specials == formats::SpecialsPolicy::kNan;
  const std::int64_t count = std::ssize(beats), m = a.rows, n = b.rows;
  const Side<Value, std::int32_t> rows(a, kRows, beats, spec.lanes, nan_for_inf, threads);
  const Side<Value, std::int16_t> columns(b, kCols, beats, spec.lanes, nan_for_inf, threads);
  if (rows.share_of_inf() + columns.share_of_inf() > 0.25) return false;

  const bool same_float = !output_rounds(spec);
  const ResultFactors factors(spec, a, b);
  const Encoder encoder(spec);
  const auto mask = static_cast<std::uint32_t>((std::uint64_t{1} << spec.rounding.random_bits) - 1);

  parallel_tasks(rows.panels * columns.panels, threads, [&](std::int64_t task) {
    const std::int64_t p = task % rows.panels, q = task / rows.panels;
    const std::int64_t i0 = p * kRows, j0 = q * kCols;
    const auto in_rows = static_cast<int>(std::min<std::int64_t>(kRows, m - i0));
    const auto in_columns = static_cast<int>(std::min<std::int64_t>(kCols, n - j0));
    alignas(64) double acc[kResults] = {};
    std::vector<std::uint32_t> draws;
    if (accumulator.rounding.stochastic()) {
      std::uint64_t states[kResults];
      streams.begin(i0, kRows, j0, kCols, states);
      draws.resize(static_cast<size_t>(count) * kResults);
      streams.draw(i0, kRows, j0, kCols, 0, count, states, draws.data());
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
    tile.least_exponent = 1 - accumulator.format.bias;
    tile.format = format;
    tile.acc = acc;
    aligned_tile(std::is_same_v<Value, float>, step, tile);

    for (int r = 0; r < in_rows; ++r) {
      const auto i = static_cast<size_t>(i0 + r);
      double* value = acc + r * kCols;
      std::uint32_t random[kCols] = {}, codes[kCols];
      // The one accumulator that is already the output may hold -0; elsewhere a zero is +0.
      if (!same_float)
        for (int c = 0; c < kCols; ++c) value[c] += 0.0;
      // A draw of r bits is the low bits of the state (formats/lfsr.h).
      if (spec.rounding.stochastic() && !same_float)
        for (int c = 0; c < kCols; ++c)
          random[c] = static_cast<std::uint32_t>(streams.first(i0 + r, j0 + c)) & mask;
      for (int c = 0; c < in_columns; ++c) {
        const auto j = static_cast<size_t>(j0 + c);
        if (factors.any()) value[c] = factors.times(value[c], i0 + r, j0 + c, random[c]);
        if (rows.nan[i] != 0 || columns.nan[j] != 0) value[c] = std::nan("");
      }
      encoder(value, random, kCols, codes);
      for (int c = 0; c < in_columns; ++c) {
        const auto j = static_cast<size_t>(j0 + c);
        std::uint32_t& code = result.codes[i * static_cast<size_t>(n) + j];
        const bool solve =
            (rows.inf[i] != 0 || columns.inf[j] != 0) && rows.nan[i] == 0 && columns.nan[j] == 0;
        code = !solve ? codes[c]
                      : ResultSolver(spec, a, i0 + r, 1, b, j0 + c, 1, 1).code(0, 0, streams);
      }
    }
  });
  result.way = std::is_same_v<Value, float> ? "aligned:narrow" : "aligned:wide";
  return true;
}

/// The beat's factor is no scale, an e8m0 or a minifloat: set_scale reads one exponent off it.
bool one_float_scale(const BlockFormat& format) {
  const bool other = format.scale.kind == formats::ScaleKind::kInteger ||
                     format.scale.kind == formats::ScaleKind::kCodeBook;
  return !outer_in_beat(format) && (!other || scale_in_result(format));
}

/// Every scale of a beat is within 2^+-this.
int scale_reach(const BlockFormat& format) {
  if (!format.has_scale() || scale_in_result(format)) return 0;
  if (format.scale.kind != formats::ScaleKind::kMinifloat) return 127;
  const ElementFormat& scale = format.scale.minifloat;
  return std::max(std::abs(max_exponent(scale)), std::abs(lsb_exponent(scale)));
}

/// Significant bits of element times scale, at most.
int significant_bits(const BlockFormat& format) {
  const ElementFormat& element = format.element;
  const int bits = element.kind == formats::ElementKind::kMinifloat  ? element.man_bits + 1
                   : element.kind == formats::ElementKind::kCodeBook ? 24
                                                                     : element.width();
  const int scale = beat_factor_bits(format);
  return scale > 1 ? bits + scale : bits;
}

}  // namespace

bool gemm_by_aligned(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
                     const RandomStreams& streams, int threads, GemmResult& result) {
  const formats::Accumulator& accumulator = spec.accumulator;
  if (accumulator.kind != formats::AccumulatorKind::kAligned) return false;
  if (!one_float_scale(spec.a) || !one_float_scale(spec.b)) return false;
  int sum_bits = accumulator.fraction_bits + 2 + ceil_log2(spec.lanes + 1), farthest = 0, reach = 0;
  for (const BlockFormat* format : {&spec.a, &spec.b}) {
    if (beat_factor_bits(*format) > 1) ++sum_bits;
    const ElementFormat& element = format->element;
    const int lowest = lsb_exponent(element) - ((1 << format->micro.bits) - 1);
    farthest = std::max({farthest, std::abs(max_exponent(element)), std::abs(lowest)});
    reach += scale_reach(*format);
  }
  // Powers of two that the kernels make from their exponents: 2 * 160 of elements, 53 of the sum.
  if (reach > 600) return false;
  StepFormat format;
  std::optional<StepKind> step = rounding_step(accumulator.format, accumulator.rounding, format);
  if (!step) return false;
  if (accumulator.format == formats::minifloat(8, 23) && *step == StepKind::kNearestEven)
    step = StepKind::kNearest32;  // the processor's
  const int bits = significant_bits(spec.a) + significant_bits(spec.b);
  if (bits <= 24 && sum_bits <= 30 && farthest <= 48)
    return run<float>(spec, a, b, streams, threads, *step, format, result);
  if (bits <= 53 && sum_bits <= 53 && farthest <= 160)
    return run<double>(spec, a, b, streams, threads, *step, format, result);
  return false;
}

}  // namespace blockdot::models
