#include "models/gemm_mac.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "formats/lfsr.h"
#include "formats/lfsr_jump.h"
#include "models/gemm_pack.h"
#include "models/mac_kernels.h"
#include "models/parallel.h"

namespace blockdot::models {

using formats::DotSpec;
using formats::QuantizedMatrix;
using formats::RoundingMode;

namespace {

/// Elements times scales, as float: row r at out[at(r) + k * stride].
template <typename At>
void pack_values(const QuantizedMatrix& matrix, const Units& units, int threads,
                 std::vector<RowRange>& ranges, float* out, std::int64_t stride, At at) {
  const auto mask = static_cast<std::uint32_t>((1u << matrix.format.element.width()) - 1);
  const std::int64_t block =
      matrix.format.block > 0 ? matrix.format.block : std::max<std::int64_t>(matrix.length, 1);
  parallel_ranges(matrix.rows, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      RowRange& range = ranges[static_cast<size_t>(r)];
      float* to = out + at(r);
      const std::uint8_t* codes = matrix.codes.data() + r * matrix.padded_length;
      for (std::int64_t k0 = 0; k0 < matrix.length; k0 += block) {
        int exponent;
        if (!unit_exponent(matrix, units, r, k0, exponent)) {
          range.nan = true;
          exponent = 0;
        }
        const float scale = std::ldexp(1.0f, std::clamp(exponent, -126, 120));
        bool any = false;
        for (std::int64_t k = k0; k < std::min(k0 + block, matrix.length); ++k) {
          const std::uint32_t code = codes[k] & mask;
          std::int64_t unit = units.value[code];
          if (units.tau_most > 0) unit *= std::int64_t{1} << (units.tau_most - matrix.micro(r, k));
          range.nan |= units.nan[code];
          range.inf |= units.inf[code];
          any |= unit != 0;
          to[k * stride] = static_cast<float>(unit) * scale;
        }
        if (any && !range.nan) range.take(exponent);
      }
    }
  });
}

bool has_inf(const std::vector<RowRange>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(), [](const RowRange& r) { return r.inf; });
}

class MacGemm {
 public:
  MacGemm(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b, const Units& x,
          const Units& y, int threads)
      : spec_(spec),
        a_(a),
        b_(b),
        x_(x),
        y_(y),
        threads_(threads),
        row_ranges_(static_cast<size_t>(a.rows)),
        column_ranges_(static_cast<size_t>(b.rows)) {}

  bool nearest(GemmResult& result) {
    const std::int64_t k = a_.length;
    const std::int64_t panels = (b_.rows + kMacCols - 1) / kMacCols;
    const std::int64_t groups = (a_.rows + kMacRows - 1) / kMacRows;
    const Buffer<float> rows(groups * kMacRows * k), columns(panels * kMacCols * k);
    pack(kMacRows, rows, groups * kMacRows, columns, panels * kMacCols, kMacCols,
         [](std::int64_t c, std::int64_t length) {
           return c / kMacCols * length * kMacCols + c % kMacCols;
         });
    if (!in_range(12)) return false;
    parallel_ranges(
        a_.rows, threads_,
        [&](std::int64_t begin, std::int64_t end) {
          alignas(64) float acc[kMacRows * kMacCols];
          for (std::int64_t q = 0; q < panels; ++q)
            for (std::int64_t p = begin / kMacRows; p * kMacRows < end; ++p) {
              mac_tile_nearest(rows.data() + p * k * kMacRows, columns.data() + q * k * kMacCols, k,
                               acc);
              for (int r = 0; r < kMacRows && p * kMacRows + r < a_.rows; ++r)
                store_row(p * kMacRows + r, q * kMacCols, acc + r * kMacCols, result);
            }
        },
        kMacRows);
    return true;
  }

  /// A lane takes `depth` columns side by side one after the other: its stream goes on.
  bool stochastic(std::uint64_t seed, GemmResult& result) {
    const std::int64_t k = a_.length;
    const int r = spec_.accumulator.rounding.random_bits;
    const std::int64_t depth = (b_.rows + kStreamLanes - 1) / kStreamLanes;
    const std::int64_t groups = (a_.rows + kStreamRows - 1) / kStreamRows;
    const Buffer<float> rows(groups * kStreamRows * k), columns(depth * kStreamLanes * k);
    pack(kStreamRows, rows, groups * kStreamRows, columns, depth * kStreamLanes, kStreamLanes,
         [depth](std::int64_t c, std::int64_t length) {
           return c % depth * length * kStreamLanes + c / depth;
         });
    // A draw may add a unit in the last place, 2^-7 of the sum, to every product.
    if (!in_range(12 + static_cast<int>(static_cast<double>(k) * 0.0113))) return false;

    const auto beats = static_cast<std::uint64_t>(k) * static_cast<std::uint64_t>(r);
    const formats::LfsrJump row_jump(beats * static_cast<std::uint64_t>(b_.rows));
    const formats::LfsrJump lane_jump(beats * static_cast<std::uint64_t>(depth));
    std::vector<std::uint32_t> states(static_cast<size_t>(a_.rows));
    auto state = static_cast<std::uint32_t>(formats::Lfsr(seed).state());
    for (std::uint32_t& at : states) {
      at = state;
      state = static_cast<std::uint32_t>(row_jump(state));
    }
    parallel_ranges(
        a_.rows, threads_,
        [&](std::int64_t begin, std::int64_t end) {
          alignas(64) float acc[kStreamRows * kStreamLanes];
          std::vector<LaneStreams> streams(kStreamRows);
          for (std::int64_t p = begin / kStreamRows; p * kStreamRows < end; ++p) {
            for (int row = 0; row < kStreamRows; ++row) {
              const std::int64_t i = std::min(p * kStreamRows + row, a_.rows - 1);
              std::uint32_t lane[kStreamLanes];
              lane[0] = states[static_cast<size_t>(i)];
              for (int l = 1; l < kStreamLanes; ++l)
                lane[l] = static_cast<std::uint32_t>(lane_jump(lane[l - 1]));
              start_streams(lane, streams[static_cast<size_t>(row)]);
            }
            for (std::int64_t d = 0; d < depth; ++d) {
              mac_tile_stochastic(rows.data() + p * k * kStreamRows,
                                  columns.data() + d * k * kStreamLanes, k, r, streams.data(), acc);
              for (int row = 0; row < kStreamRows && p * kStreamRows + row < a_.rows; ++row)
                for (int l = 0; l < kStreamLanes && l * depth + d < b_.rows; ++l)
                  store(p * kStreamRows + row, l * depth + d, acc[row * kStreamLanes + l], result);
            }
          }
        },
        kStreamRows);
    return true;
  }

 private:
  template <typename At>
  void pack(int row_width, const Buffer<float>& rows, std::int64_t padded_rows,
            const Buffer<float>& columns, std::int64_t padded_columns, std::int64_t stride, At at) {
    const std::int64_t k = a_.length;
    std::fill_n(rows.data(), padded_rows * k, 0.0f);
    std::fill_n(columns.data(), padded_columns * k, 0.0f);
    pack_values(a_, x_, threads_, row_ranges_, rows.data(), row_width,
                [&](std::int64_t r) { return r / row_width * k * row_width + r % row_width; });
    pack_values(b_, y_, threads_, column_ranges_, columns.data(), stride,
                [&](std::int64_t c) { return at(c, k); });
    any_column_nan_ = std::any_of(column_ranges_.begin(), column_ranges_.end(),
                                  [](const RowRange& column) { return column.nan; });
  }

  /// Operands and sums are ordinary numbers, with `growth` bits above the largest product.
  bool in_range(int growth) const {
    if (has_inf(row_ranges_) || has_inf(column_ranges_)) return false;
    const RowRange x = joint(row_ranges_, 0, a_.rows), y = joint(column_ranges_, 0, b_.rows);
    const int a_bits = std::bit_width(static_cast<std::uint64_t>(x_.most));
    const int b_bits = std::bit_width(static_cast<std::uint64_t>(y_.most));
    // Beside zeros too: 0 times a number is 0, 0 times an overflow is not.
    const auto ordinary = [](const RowRange& range, int bits) {
      return range.empty || (range.low >= -126 && range.high + bits <= 120);
    };
    if (!ordinary(x, a_bits) || !ordinary(y, b_bits)) return false;
    return x.empty || y.empty ||
           (x.low + y.low >= -110 && x.high + y.high + a_bits + b_bits + growth <= 110);
  }

  /// Up to kMacCols results from (i, j) on.
  void store_row(std::int64_t i, std::int64_t j, const float* acc, GemmResult& result) const {
    const std::int64_t count = std::min<std::int64_t>(kMacCols, b_.rows - j);
    const bool nan = row_ranges_[static_cast<size_t>(i)].nan || any_column_nan_;
    if (nan || spec_.output != spec_.accumulator.format) {
      for (std::int64_t c = 0; c < count; ++c) store(i, j + c, acc[c], result);
      return;
    }
    std::uint32_t* codes = result.codes.data() + i * b_.rows + j;
    for (std::int64_t c = 0; c < count; ++c) codes[c] = std::bit_cast<std::uint32_t>(acc[c]) >> 16;
  }

  void store(std::int64_t i, std::int64_t j, float acc, GemmResult& result) const {
    std::uint32_t& code = result.codes[static_cast<size_t>(i * b_.rows + j)];
    if (row_ranges_[static_cast<size_t>(i)].nan || column_ranges_[static_cast<size_t>(j)].nan)
      code = encode(spec_.output, std::nan(""), {}, 0, formats::Overflow::kToSpecial);
    else if (spec_.output == spec_.accumulator.format)
      code = std::bit_cast<std::uint32_t>(acc) >> 16;
    else
      code = encode(spec_.output, acc, spec_.rounding, 0, formats::Overflow::kToSpecial);
  }

  const DotSpec& spec_;
  const QuantizedMatrix& a_;
  const QuantizedMatrix& b_;
  const Units& x_;
  const Units& y_;
  int threads_;
  std::vector<RowRange> row_ranges_, column_ranges_;
  bool any_column_nan_ = false;
};

}  // namespace

bool gemm_by_macs(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
                  std::uint64_t seed, int threads, GemmResult& result) {
  const formats::Accumulator& accumulator = spec.accumulator;
  if (accumulator.kind != formats::AccumulatorKind::kFloat ||
      accumulator.format != formats::minifloat(8, 7) || spec.lanes != 1 || a.rows == 0 ||
      b.rows == 0 || !power_of_two_scale(spec.a) || !power_of_two_scale(spec.b) ||
      has_result_factor(spec))
    return false;
  if (spec.rounding.stochastic() && spec.output != accumulator.format) return false;
  const Units x = units_of(spec.a, 40), y = units_of(spec.b, 40);
  if (!x.known || !y.known) return false;
  result.way = "macs";
  MacGemm gemm(spec, a, b, x, y, threads);
  const formats::Rounding& rounding = accumulator.rounding;
  if (rounding.mode == RoundingMode::kRne) return x.bits + y.bits <= 8 && gemm.nearest(result);
  // The kernel draws as galois:32 does and adds to truncated tails.
  return rounding.mode == RoundingMode::kStochastic && rounding.random_bits <= 16 &&
         spec.lfsr.kind == formats::LfsrKind::kGalois && spec.lfsr.width == 32 &&
         rounding.variant == formats::SrVariant::kSrff && x.bits + y.bits <= 24 &&
         has_stochastic_macs() && gemm.stochastic(seed, result);
}

}  // namespace blockdot::models
