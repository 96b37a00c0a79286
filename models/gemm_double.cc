#include "models/gemm_double.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "models/double_kernels.h"
#include "models/gemm_pack.h"
#include "models/parallel.h"

namespace blockdot::models {

using formats::AccumulatorKind;
using formats::BeatRange;
using formats::DotSpec;
using formats::QuantizedMatrix;
using formats::RoundingMode;

namespace {

class DoubleGemm {
 public:
  DoubleGemm(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b, bool fp32,
             std::vector<BeatRange> chunks, int threads)
      : spec_(spec),
        a_(a),
        b_(b),
        fp32_(fp32),
        chunks_(std::move(chunks)),
        threads_(threads),
        length_(longest(chunks_)),
        row_panels_((a.rows + kDoubleRows - 1) / kDoubleRows),
        column_panels_((b.rows + kDoubleCols - 1) / kDoubleCols),
        rows_(row_panels_ * count() * length_ * kDoubleRows),
        columns_(column_panels_ * count() * length_ * kDoubleCols),
        row_scales_(row_panels_ * count() * kDoubleRows),
        column_scales_(column_panels_ * count() * kDoubleCols),
        row_ranges_(static_cast<size_t>(a.rows)),
        column_ranges_(static_cast<size_t>(b.rows)) {}

  bool run(const Units& x, const Units& y, GemmResult& result) {
    column_bits_ = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(y.most)));
    pack<kDoubleRows>(a_, x, row_panels_, rows_.data(), row_scales_.data(), row_ranges_);
    pack<kDoubleCols>(b_, y, column_panels_, columns_.data(), column_scales_.data(),
                      column_ranges_);
    if (!choose_ways()) return false;
    if (splits_) split_columns();
    parallel_ranges(
        a_.rows, threads_,
        [&](std::int64_t begin, std::int64_t end) {
          alignas(64) double acc[kDoubleRows * kDoubleCols], low[kDoubleRows * kDoubleCols];
          for (std::int64_t q = 0; q < column_panels_; ++q)
            for (std::int64_t p = begin / kDoubleRows; p * kDoubleRows < end; ++p) {
              tile(p, q, acc, low);
              store(p, q, acc, result);
            }
        },
        kDoubleRows);
    return true;
  }

 private:
  std::int64_t count() const { return std::ssize(chunks_); }

  static int longest(const std::vector<BeatRange>& chunks) {
    int length = 0;
    for (const BeatRange& chunk : chunks) length = std::max(length, chunk.count);
    return length;
  }

  /// How a tile is computed.
  struct Way {
    bool split = false;
    bool wide = false;  // Kulisch: a second accumulator
  };
  Way& way(std::int64_t p, std::int64_t q) {
    return ways_[static_cast<size_t>(p * column_panels_ + q)];
  }

  /// False where a tile has no exact way.
  bool choose_ways() {
    for (const std::vector<RowRange>* ranges : {&row_ranges_, &column_ranges_})
      for (const RowRange& range : *ranges)
        if (range.inf) return false;
    std::vector<RowRange> columns;
    for (std::int64_t q = 0; q < column_panels_; ++q)
      columns.push_back(joint(column_ranges_, q * kDoubleCols, (q + 1) * kDoubleCols));
    ways_.resize(static_cast<size_t>(row_panels_ * column_panels_));
    const int beat = ceil_log2(length_), all = ceil_log2(length_ * count());
    for (std::int64_t p = 0; p < row_panels_; ++p) {
      const RowRange x = joint(row_ranges_, p * kDoubleRows, (p + 1) * kDoubleRows);
      for (std::int64_t q = 0; q < column_panels_; ++q) {
        const RowRange& y = columns[static_cast<size_t>(q)];
        if (x.empty || y.empty) continue;
        Way& chosen = way(p, q);
        const int low = x.low + y.low, high = x.high + y.high;
        if (low < -900 || high > 900) return false;
        chosen.split = x.span + y.span + beat > 53;
        if (chosen.split && (column_bits_ > 2 * kSplitBits || x.span + kSplitBits + beat > 53))
          return false;
        splits_ |= chosen.split;
        if (fp32_) {
          if (low < -149) return false;
          continue;
        }
        chosen.wide = chosen.split || high - low + all > 53;
        // Two rests a beat, each half a unit in the last place of the sum at most.
        if (chosen.wide && high + all - 53 + ceil_log2(2 * count()) - low > 53) return false;
        if (chosen.wide && spec_.output.man_bits + 3 > 51) return false;
      }
    }
    return true;
  }

  static constexpr int kSplitBits = 16;

  void split_columns() {
    const std::int64_t size = column_panels_ * count() * length_ * kDoubleCols;
    low_columns_.resize(static_cast<size_t>(size));
    high_columns_.resize(static_cast<size_t>(size));
    const double* whole = columns_.data();
    parallel_ranges(size, threads_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const double high = std::trunc(whole[i] * 0x1p-16) * 0x1p16;
        high_columns_[static_cast<size_t>(i)] = high;
        low_columns_[static_cast<size_t>(i)] = whole[i] - high;
      }
    });
  }

  void tile(std::int64_t p, std::int64_t q, double* acc, double* low) {
    const Way& chosen = way(p, q);
    const std::int64_t column = q * count() * length_ * kDoubleCols;
    DoubleTile t;
    t.rows = rows_.data() + p * count() * length_ * kDoubleRows;
    t.columns = (chosen.split ? high_columns_.data() : columns_.data()) + column;
    if (chosen.split) t.low_columns = low_columns_.data() + column;
    t.row_scale = row_scales_.data() + p * count() * kDoubleRows;
    t.column_scale = column_scales_.data() + q * count() * kDoubleCols;
    t.chunks = count();
    t.length = length_;
    t.acc = acc;
    if (fp32_) return double_tile_fp32(t);
    if (!chosen.wide) return double_tile_exact(t);
    t.low_acc = low;
    double_tile_wide(t);
    for (int i = 0; i < kDoubleRows * kDoubleCols; ++i) {
      const double sum = acc[i] + low[i];
      const double part = sum - acc[i];
      acc[i] = odd_of(sum, (acc[i] - (sum - part)) + (low[i] - part));
    }
  }

  template <int kWidth>
  void pack(const QuantizedMatrix& matrix, const Units& units, std::int64_t panels, double* values,
            double* scales, std::vector<RowRange>& ranges) {
    const auto mask = static_cast<std::uint8_t>((1u << matrix.format.element.width()) - 1);
    // 1: NaN, 2: Inf.
    std::uint8_t special[256] = {};
    double value[256];
    for (size_t code = 0; code < 256; ++code) {
      if (units.nan[code]) special[code] = 1;
      if (units.inf[code]) special[code] = spec_.specials == formats::SpecialsPolicy::kNan ? 1 : 2;
      value[code] = static_cast<double>(units.value[code]);
    }
    parallel_ranges(panels, threads_, [&](std::int64_t begin, std::int64_t end) {
      std::fill(values + begin * count() * length_ * kWidth,
                values + end * count() * length_ * kWidth, 0.0);
      std::fill(scales + begin * count() * kWidth, scales + end * count() * kWidth, 0.0);
      // Chunk by chunk, so that what a panel's rows write lies together.
      for (std::int64_t panel = begin; panel < end; ++panel)
        for (std::int64_t c = 0; c < count(); ++c)
          for (int lane = 0; lane < kWidth; ++lane) {
            const std::int64_t r = panel * kWidth + lane;
            if (r >= matrix.rows) break;
            const BeatRange& chunk = chunks_[static_cast<size_t>(c)];
            const std::uint8_t* codes = matrix.codes.data() + r * matrix.padded_length + chunk.k;
            double* to = values + (panel * count() + c) * length_ * kWidth + lane;
            RowRange& range = ranges[static_cast<size_t>(r)];
            std::int64_t any = 0;
            std::uint8_t specials = 0;
            for (int k = 0; k < chunk.count; ++k) {
              const std::uint8_t code = codes[k] & mask;
              any |= std::abs(units.value[code]);
              specials |= special[code];
              to[k * kWidth] = value[code];
            }
            if (units.tau_most > 0)
              for (int k = 0; k < chunk.count; ++k)
                to[k * kWidth] *= 1 << (units.tau_most - matrix.micro(r, chunk.k + k));
            range.nan |= (specials & 1) != 0;
            range.inf |= (specials & 2) != 0;
            int exponent;
            if (!unit_exponent(matrix, units, r, chunk.k, exponent)) {
              range.nan = true;
            } else if (any != 0) {
              // The OR of the magnitudes has the lowest bit and the highest of them all.
              const auto bits = static_cast<std::uint64_t>(any);
              range.take(exponent + std::countr_zero(bits),
                         exponent + units.tau_most + static_cast<int>(std::bit_width(bits)));
              scales[(panel * count() + c) * kWidth + lane] = std::ldexp(1.0, exponent);
            }
          }
    });
  }

  void store(std::int64_t p, std::int64_t q, const double* acc, GemmResult& result) const {
    const bool keeps_zero = spec_.accumulator.kind == AccumulatorKind::kFloat &&
                            spec_.accumulator.format == spec_.output;
    const bool nearest_fp32 =
        spec_.output == formats::minifloat(8, 23) && spec_.rounding.mode == RoundingMode::kRne;
    for (int r = 0; r < kDoubleRows && p * kDoubleRows + r < a_.rows; ++r)
      for (int c = 0; c < kDoubleCols && q * kDoubleCols + c < b_.rows; ++c) {
        const std::int64_t i = p * kDoubleRows + r, j = q * kDoubleCols + c;
        double value = acc[r * kDoubleCols + c];
        if (value == 0 && !keeps_zero) value = 0;
        if (row_ranges_[static_cast<size_t>(i)].nan || column_ranges_[static_cast<size_t>(j)].nan)
          value = std::nan("");
        std::uint32_t& code = result.codes[static_cast<size_t>(i * b_.rows + j)];
        if (nearest_fp32 && !std::isnan(value))
          code = std::bit_cast<std::uint32_t>(static_cast<float>(value));
        else
          code = encode(spec_.output, value, spec_.rounding, 0, formats::Overflow::kToSpecial);
      }
  }

  const DotSpec& spec_;
  const QuantizedMatrix& a_;
  const QuantizedMatrix& b_;
  bool fp32_;
  std::vector<BeatRange> chunks_;
  int threads_, length_;
  std::int64_t row_panels_, column_panels_;
  Buffer<double> rows_, columns_, row_scales_, column_scales_;
  std::vector<double> high_columns_, low_columns_;
  std::vector<Way> ways_;
  bool splits_ = false;
  int column_bits_ = 0;
  std::vector<RowRange> row_ranges_, column_ranges_;
};

}  // namespace

bool gemm_by_doubles(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
                     int threads, GemmResult& result) {
  const formats::Accumulator& accumulator = spec.accumulator;
  const bool kulisch = accumulator.kind == AccumulatorKind::kKulisch;
  const bool fp32 = has_nearest_fp32_accumulator(spec);
  if (!(kulisch || fp32) || !power_of_two_scale(spec.a) || !power_of_two_scale(spec.b))
    return false;
  if (spec.rounding.stochastic() && (kulisch || accumulator.format != spec.output)) return false;
  const Units x = units_of(spec.a, 44), y = units_of(spec.b, 44);
  if (!x.known || !y.known) return false;
  DotSpec coarse = spec;
  if (kulisch) coarse.lanes = std::max(spec.lanes, 64);
  DoubleGemm gemm(spec, a, b, fp32, beat_ranges(coarse, a.length), threads);
  return gemm.run(x, y, result);
}

}  // namespace blockdot::models
