#include "models/gemm_integer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "formats/error.h"
#include "models/gemm_pack.h"
#include "models/integer_kernels.h"
#include "models/parallel.h"

namespace blockdot::models {

using formats::AccumulatorKind;
using formats::BeatRange;
using formats::DotSpec;
using formats::QuantizedMatrix;
using formats::RoundingMode;

namespace {

/// One GEMM; T holds an element, Scale a scale and an accumulator.
template <typename T, typename Scale>
class IntegerGemm {
 public:
  static constexpr bool kBytes = sizeof(T) == 1;
  static constexpr int kInWord = kBytes ? 4 : 2;

  IntegerGemm(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
              const Units& a_units, const Units& b_units, std::vector<BeatRange> chunks,
              int threads)
      : spec_(spec),
        a_(a),
        b_(b),
        chunks_(std::move(chunks)),
        threads_(threads),
        words_(words_of(chunks_)),
        row_panels_((a.rows + kIntegerRows - 1) / kIntegerRows),
        column_panels_((b.rows + kIntegerCols - 1) / kIntegerCols),
        rows_(row_panels_ * count() * words_ * kIntegerRows),
        columns_(column_panels_ * count() * words_ * kIntegerCols),
        start_(row_panels_ * count() * kIntegerRows),
        row_scales_(row_panels_ * count() * kIntegerRows),
        column_scales_(column_panels_ * count() * kIntegerCols),
        row_ranges_(static_cast<size_t>(a.rows)),
        column_ranges_(static_cast<size_t>(b.rows)) {
    pack<kIntegerRows, false>(a, a_units, row_panels_, rows_.data(), row_scales_.data(),
                              row_ranges_);
    pack<kIntegerCols, kBytes>(b, b_units, column_panels_, columns_.data(), column_scales_.data(),
                               column_ranges_);
    most_sum_bits_ = ceil_log2(a_units.most * b_units.most * words_ * kInWord);
  }

  bool exact() const {
    for (std::int64_t p = 0; p < row_panels_; ++p)
      for (std::int64_t q = 0; q < column_panels_; ++q) {
        RowRange x = joint(row_ranges_, p * kIntegerRows, (p + 1) * kIntegerRows);
        RowRange y = joint(column_ranges_, q * kIntegerCols, (q + 1) * kIntegerCols);
        if (x.empty || y.empty) continue;
        int low = x.low + y.low, high = x.high + y.high;
        if constexpr (std::is_same_v<Scale, float>) {
          if (low < -149 || high > 127 - 24) return false;
          // Each alone, and the column's times the sum.
          if (x.low < -149 || x.high > 127 || y.low < -149 || y.high > 127 - 24) return false;
        } else {
          int more = ceil_log2(count());
          if (most_sum_bits_ + more + high - low > 53 || low < -900 || high > 900) return false;
        }
      }
    return true;
  }

  void run(GemmResult& result) const {
    parallel_ranges(
        a_.rows, threads_,
        [&](std::int64_t begin, std::int64_t end) {
          alignas(64) Scale acc[kIntegerRows * kIntegerCols];
          for (std::int64_t q = 0; q < column_panels_; ++q)
            for (std::int64_t p = begin / kIntegerRows; p * kIntegerRows < end; ++p) {
              tile(p, q, acc);
              store(p, q, acc, result);
            }
        },
        kIntegerRows);
  }

 private:
  std::int64_t count() const { return std::ssize(chunks_); }

  static int words_of(const std::vector<BeatRange>& chunks) {
    int longest = 0;
    for (const BeatRange& chunk : chunks) longest = std::max(longest, chunk.count);
    return (longest + kInWord - 1) / kInWord;
  }

  void tile(std::int64_t p, std::int64_t q, Scale* acc) const {
    IntegerTile<Scale> t;
    t.rows = rows_.data() + p * count() * words_ * kIntegerRows;
    t.columns = columns_.data() + q * count() * words_ * kIntegerCols;
    t.start = start_.data() + p * count() * kIntegerRows;
    t.row_scale = row_scales_.data() + p * count() * kIntegerRows;
    t.column_scale = column_scales_.data() + q * count() * kIntegerCols;
    t.chunks = count();
    t.words = words_;
    t.acc = acc;
    if constexpr (kBytes)
      byte_tile(t);
    else
      half_tile(t);
  }

  /// Panels of kWidth rows of an operand: words [chunk][word][kWidth], scales [chunk][kWidth].
  template <int kWidth, bool kBiased>
  void pack(const QuantizedMatrix& matrix, const Units& units, std::int64_t panels,
            std::int32_t* words, Scale* scales, std::vector<RowRange>& ranges) {
    std::array<T, 256> table;
    for (size_t code = 0; code < 256; ++code) table[code] = static_cast<T>(units.value[code]);
    const std::uint8_t mask = static_cast<std::uint8_t>((1u << matrix.format.element.width()) - 1);
    const bool identity = kBytes && matrix.format.element.kind == formats::ElementKind::kInteger &&
                          matrix.format.element.width() == 8;
    parallel_ranges(panels, threads_, [&](std::int64_t begin, std::int64_t end) {
      const int length = words_ * kInWord;
      std::vector<T> units_of_chunk(static_cast<size_t>(length));
      T* unit = units_of_chunk.data();
      // Chunk by chunk, so that what a panel's rows write lies together.
      for (std::int64_t panel = begin; panel < end; ++panel)
        for (std::int64_t c = 0; c < count(); ++c)
          for (int lane = 0; lane < kWidth; ++lane) {
            const std::int64_t r = panel * kWidth + lane, at = panel * count() + c;
            std::int32_t* to = words + at * words_ * kWidth + lane;
            Scale& scale = scales[at * kWidth + lane];
            const BeatRange& chunk = chunks_[static_cast<size_t>(c)];
            std::int32_t sum = 0, any = 0;
            scale = 0;
            std::fill(unit, unit + length, T{});
            if (r < matrix.rows) {
              const std::uint8_t* code = matrix.codes.data() + r * matrix.padded_length + chunk.k;
              if (identity)
                std::memcpy(unit, code, static_cast<size_t>(chunk.count));
              else
                for (int k = 0; k < chunk.count; ++k) unit[k] = table[code[k] & mask];
              if (units.tau_most > 0)
                for (int k = 0; k < chunk.count; ++k)
                  unit[k] = static_cast<T>(unit[k] *
                                           (1 << (units.tau_most - matrix.micro(r, chunk.k + k))));
              for (int k = 0; k < length; ++k) {
                sum += unit[k];
                any |= unit[k];
              }
              scale = scale_of(matrix, units, r, chunk.k, any != 0, ranges[static_cast<size_t>(r)]);
            }
            if (kWidth == kIntegerRows) start_.data()[at * kWidth + lane] = kBytes ? -128 * sum : 0;
            if constexpr (kBiased)
              for (int k = 0; k < length; ++k) unit[k] = static_cast<T>(unit[k] ^ -128);
            for (int w = 0; w < words_; ++w)
              std::memcpy(to + w * kWidth, unit + w * kInWord, sizeof(std::int32_t));
          }
    });
  }

  /// The scale of a chunk, 0 where it does not matter.
  Scale scale_of(const QuantizedMatrix& matrix, const Units& units, std::int64_t r, std::int64_t k,
                 bool matters, RowRange& range) const {
    int exponent;
    if (!unit_exponent(matrix, units, r, k, exponent)) {
      range.nan = true;
      return 0;
    }
    if (!matters) return 0;
    range.take(exponent);
    return std::ldexp(Scale{1}, exponent);
  }

  void store(std::int64_t p, std::int64_t q, const Scale* acc, GemmResult& result) const {
    const bool same_bits =
        spec_.output == formats::minifloat(8, 23) && spec_.rounding.mode == RoundingMode::kRne;
    const bool keeps_zero = spec_.accumulator.kind == AccumulatorKind::kFloat &&
                            spec_.accumulator.format == spec_.output;
    for (int r = 0; r < kIntegerRows; ++r) {
      const std::int64_t i = p * kIntegerRows + r;
      if (i >= a_.rows) return;
      const std::int64_t j0 = q * kIntegerCols;
      const auto columns = static_cast<int>(std::min<std::int64_t>(kIntegerCols, b_.rows - j0));
      std::uint32_t* codes = result.codes.data() + i * b_.rows + j0;
      const Scale* values = acc + r * kIntegerCols;
      const bool row_nan = row_ranges_[static_cast<size_t>(i)].nan;
      if (same_bits) {
        for (int c = 0; c < columns; ++c)
          codes[c] = std::bit_cast<std::uint32_t>(static_cast<float>(values[c]));
      } else {
        for (int c = 0; c < columns; ++c) {
          double value = values[c];
          if (value == 0 && !keeps_zero) value = 0;
          codes[c] = encode(spec_.output, value, spec_.rounding, 0, formats::Overflow::kToSpecial);
        }
      }
      for (int c = 0; c < columns; ++c)
        if (row_nan || column_ranges_[static_cast<size_t>(j0 + c)].nan)
          codes[c] =
              encode(spec_.output, std::nan(""), spec_.rounding, 0, formats::Overflow::kToSpecial);
    }
  }

  const DotSpec& spec_;
  const QuantizedMatrix& a_;
  const QuantizedMatrix& b_;
  std::vector<BeatRange> chunks_;
  int threads_, words_, most_sum_bits_ = 0;
  std::int64_t row_panels_, column_panels_;
  Buffer<std::int32_t> rows_, columns_, start_;
  Buffer<Scale> row_scales_, column_scales_;
  std::vector<RowRange> row_ranges_, column_ranges_;
};

template <typename T, typename Scale>
bool run_with(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
              const Units& x, const Units& y, std::vector<BeatRange> chunks, int threads,
              GemmResult& result) {
  IntegerGemm<T, Scale> gemm(spec, a, b, x, y, std::move(chunks), threads);
  if (!gemm.exact()) return false;
  gemm.run(result);
  return true;
}

}  // namespace

bool gemm_by_integers(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
                      int threads, GemmResult& result) {
  const formats::Accumulator& accumulator = spec.accumulator;
  const bool kulisch = accumulator.kind == AccumulatorKind::kKulisch;
  const bool fp32 = has_nearest_fp32_accumulator(spec);
  if (!(kulisch || fp32) || !power_of_two_scale(spec.a) || !power_of_two_scale(spec.b))
    return false;
  const bool rounds = !fp32 || spec.accumulator.format != spec.output;
  if (rounds && spec.rounding.stochastic()) return false;
  if (formats::has_nan(spec.a.element) || formats::has_nan(spec.b.element)) return false;
  const Units x = units_of(spec.a, 15), y = units_of(spec.b, 15);
  if (!x.known || !y.known || x.most == 0 || y.most == 0) return false;

  // Products whose sum stays below 2^24 (a float has it) or 2^31 (the sum's own bits).
  const double product = static_cast<double>(x.most) * static_cast<double>(y.most);
  std::vector<BeatRange> chunks;
  if (fp32) {
    if (product * spec.lanes > 0x1p24) return false;
    chunks = beat_ranges(spec, a.length);
  } else {
    DotSpec coarse = spec;
    const double most = std::min(std::floor(0x1p30 / product), 1024.0);
    if (most < spec.lanes) return false;
    coarse.lanes = static_cast<int>(most);
    chunks = beat_ranges(coarse, a.length);
  }
  // Biased bytes: 255 * 128 * length stays far below 2^31.
  const bool bytes = has_fast_bytes() && x.most <= 128 && y.most <= 128;
  if (bytes)
    return fp32 ? run_with<std::int8_t, float>(spec, a, b, x, y, chunks, threads, result)
                : run_with<std::int8_t, double>(spec, a, b, x, y, chunks, threads, result);
  return fp32 ? run_with<std::int16_t, float>(spec, a, b, x, y, chunks, threads, result)
              : run_with<std::int16_t, double>(spec, a, b, x, y, chunks, threads, result);
}

}  // namespace blockdot::models
