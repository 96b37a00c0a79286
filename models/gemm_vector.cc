// Both operands are packed once, as words of the source (vector_kernels.h) in panels, chunk after
// chunk: for a float accumulator or a window a chunk is a beat, for Kulisch it is as long as its
// sum stays small. What a row's chunks span is noted on the way, in bits:
//
//   high .. low   from the highest that |element * scale| stays below to the lowest that is set
//
// From it each tile takes its step. |a b| < 2^(high_a + high_b), and every sum is a multiple of
// 2^(low_a + low_b); so n products span high - low + ceil(log2 n) bits.
#include "models/gemm_vector.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>

#include "formats/error.h"
#include "models/gemm_encode.h"
#include "models/gemm_factor.h"
#include "models/gemm_pack.h"
#include "models/gemm_results.h"
#include "models/parallel.h"
#include "models/vector_kernels.h"
#include "models/wide_int.h"

namespace blockdot::models {

using formats::AccumulatorKind;
using formats::BeatRange;
using formats::DotSpec;
using formats::ElementFormat;
using formats::QuantizedMatrix;
using formats::Rounding;

namespace {

constexpr int kDoubleBits = 53;
constexpr int kFarthest = 400;  // exponents of binary64 that stay far from its ends

/// The step of an accumulator.
std::optional<StepKind> step_of(const DotSpec& spec, StepFormat& format) {
  const formats::Accumulator& accumulator = spec.accumulator;
  if (accumulator.kind == AccumulatorKind::kKulisch) return StepKind::kAdd;
  if (accumulator.kind == AccumulatorKind::kKulischWindow) {
    const formats::FixedFormat& window = accumulator.window;
    const int width = window.width();
    // acc + entry, up to 2^(width + 2), stays exact.
    if (width > 50 || std::abs(window.lsb) > kFarthest) return std::nullopt;
    format.to_lowest = std::ldexp(1.0, -window.lsb);
    format.half = std::ldexp(1.0, width - 1);
    format.span = std::ldexp(1.0, width);
    format.from_span = std::ldexp(1.0, -width);
    format.sticky = window.sticky;
    return window.saturate ? StepKind::kSaturate : StepKind::kWrap;
  }
  if (accumulator.kind == AccumulatorKind::kAligned) return std::nullopt;
  if (has_nearest_fp32_accumulator(spec)) return StepKind::kNearest32;
  return rounding_step(accumulator.format, accumulator.rounding, format);
}

/// How a tile is computed.
struct Way {
  bool solved = false;  // one result at a time
  StepKind step = StepKind::kAdd;
  Certainty certainty = Certainty::kExact;
};

template <Source kSource>
class VectorGemm {
 public:
  static constexpr int kCols = vector_cols(kSource);
  static constexpr int kInWord = products_in_word(kSource);
  using Word = std::conditional_t<kSource == Source::kDoubles, double, std::int32_t>;
  using Element =
      std::conditional_t<kSource == Source::kBytes, std::int8_t,
                         std::conditional_t<kSource == Source::kDoubles, double, std::int16_t>>;
  /// Words of a place: of the two digits, or one.
  static constexpr int kParts = kSource == Source::kDigits ? 2 : 1;

  VectorGemm(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
             const Units& x, const Units& y, StepKind step, const StepFormat& format,
             std::vector<BeatRange> chunks, const RandomStreams& streams, int threads)
      : spec_(spec),
        step_(step),
        format_(format),
        chunks_(std::move(chunks)),
        streams_(streams),
        threads_(threads),
        words_((longest(chunks_) + kInWord - 1) / kInWord),
        encoder_(spec),
        output_rounds_(formats::output_rounds(spec)),
        sums_are_codes_(spec.output == formats::minifloat(8, 23) && !output_rounds_),
        rows_(a, x, kVectorRows, count(), words_, spec.specials),
        columns_(b, y, kCols, count(), words_, spec.specials),
        start_(rows_.panels * count() * kVectorRows),
        row_low_(static_cast<size_t>(rows_.panels * count())),
        factors_(spec, a, b) {
    if (kSource == Source::kDigits) {
      row_digit_ = rows_.split(kRowDigit);
      column_digit_ = columns_.split(kColumnDigit);
      rows_.unit = std::ldexp(rows_.unit, row_digit_);
    }
  }

  bool run(GemmResult& result) {
    parallel_tasks(rows_.panels + columns_.panels, threads_, [&](std::int64_t task) {
      if (task < rows_.panels)
        pack<kVectorRows, false>(rows_, task);
      else
        pack<kCols, kSource == Source::kBytes>(columns_, task - rows_.panels);
    });
    if (!choose_ways()) return false;
    if (needs_errors_) {
      note_errors<kVectorRows>(rows_);
      note_errors<kCols>(columns_);
    }
    // Slabs of a column panel that stay in the second cache while a group of row panels passes by.
    const std::int64_t groups = (rows_.panels + kGroup - 1) / kGroup;
    const std::int64_t together = count() <= slab() ? 1 : kGroup;
    parallel_tasks(groups * columns_.panels, threads_, [&](std::int64_t task) {
      const std::int64_t q = task % columns_.panels, first = task / columns_.panels * kGroup;
      const std::int64_t last = std::min(first + kGroup, rows_.panels);
      std::vector<Tile> tiles(static_cast<size_t>(together));
      for (std::int64_t p = first; p < last; p += together)
        multiply_panels(p, std::min(p + together, last), q, tiles, result);
    });
    result.way = widest_way();
    return true;
  }

 private:
  static constexpr std::uint64_t kNanMark = std::uint64_t{1} << 62;
  static constexpr std::uint64_t kInfMark = std::uint64_t{1} << 61;
  static constexpr double kMostTotal = 0x1p31;
  static constexpr int kDigitBits = 32;    // of both together
  static constexpr int kMostShort = 1024;  // elements of a chunk
  static constexpr std::int64_t kGroup = 48;
  static constexpr std::int64_t kSlabBytes = 128 << 10;
  static constexpr int kResults = kVectorRows * kCols;

  struct Side {
    Side(const QuantizedMatrix& its_matrix, const Units& its_units, int width, std::int64_t chunks,
         int words_a_chunk, formats::SpecialsPolicy specials)
        : matrix(its_matrix),
          units(its_units),
          panels((its_matrix.rows + width - 1) / width),
          words(panels * chunks * words_a_chunk * width * kParts),
          scales(panels * chunks * width),
          spans(panels * chunks * width),
          exponents(panels * chunks * width),
          tops(panels * chunks),
          ranges(static_cast<size_t>(its_matrix.rows)),
          panel_ranges(static_cast<size_t>(panels)) {
      const int block = matrix.format.block;
      powers = matrix.format.scale.kind == formats::ScaleKind::kE8M0 &&
               !scale_in_result(matrix.format) && block > 0 && (block & (block - 1)) == 0;
      if (powers) {
        block_shift = std::countr_zero(static_cast<unsigned>(block));
        blocks = matrix.blocks_per_row();
      }
      if (units.known) unit = std::ldexp(1.0, units.unit);
      for (size_t code = 0; code < 256; ++code) {
        values[code] = static_cast<double>(units.value[code]);
        marks[code] = static_cast<std::uint64_t>(units.magnitude[code]);
        if (units.nan[code]) marks[code] = kNanMark;
        if (units.inf[code])
          marks[code] = specials == formats::SpecialsPolicy::kNan ? kNanMark : kInfMark;
      }
    }
    /// chunk_scale of the chunk at element (r, k).
    bool scale_of(std::int64_t r, std::int64_t k, ChunkScale& scale) const {
      if (!powers) return chunk_scale(matrix, r, k, scale);
      // Blocks of 2^block_shift.
      const std::uint32_t code =
          matrix.scales[static_cast<size_t>(r * blocks + (k >> block_shift))];
      return e8m0_scale(code, scale);
    }
    /// Sets the digits of codes, where they do not fit a half; bits of the low one.
    int split(int low_bits) {
      const int bits = units.most < 1 << 15 ? 0 : low_bits;
      for (size_t code = 0; code < 256; ++code) {
        // To the nearest: the low digit has a sign.
        const std::int64_t half = bits > 0 ? std::int64_t{1} << (bits - 1) : 0;
        const std::int64_t high = (units.value[code] + half) >> bits;
        const std::int64_t low = units.value[code] - (high << bits);
        digits[code] = static_cast<std::uint16_t>(high) |
                       std::uint64_t{static_cast<std::uint16_t>(low)} << 16 |
                       (marks[code] >= kInfMark ? marks[code] : marks[code] << kDigitBits);
      }
      return bits;
    }

    const QuantizedMatrix& matrix;
    const Units& units;
    std::int64_t panels;
    Buffer<Word> words;
    Buffer<double> scales, spans;
    Buffer<std::int32_t> exponents;  // of scales that are powers of two; 0 where a chunk is zero
    Buffer<double> tops;             // [panel][chunk]: no |element * scale| is larger
    bool powers = false;             // scales are E8M0, of blocks of 2^block_shift
    int block_shift = 0;
    std::int64_t blocks = 0;    // of a row
    double unit = 1;            // what a unit is worth
    double values[256];         // kDoubles: of codes, in units
    std::uint64_t marks[256];   // and their magnitudes, with the marks above
    std::uint64_t digits[256];  // kDigits: high, low, and from kDigitBits on the same magnitudes
    std::vector<RowRange> ranges, panel_ranges;
    std::vector<double> errors;  // [panel][chunk][width]: norm of the chunk's values
    std::vector<double> norms;   // of the rows
  };

  /// A tile on its way; no initialiser, since most of it is not used.
  struct Tile {
    Tile() {}  // NOLINT
    alignas(64) double acc[kResults];
    alignas(64) float acc32[kResults];         // kFma32
    alignas(64) std::int32_t total[kResults];  // kShift
    alignas(64) double rest[kResults];
    alignas(64) double doubt[kResults];
    std::uint64_t states[kResults];
    std::vector<std::uint32_t> draws;
    double bound;  // kShift: of the total
    bool flushed;  // kShift: acc holds a part of it
  };

  /// Chunks of a slab.
  std::int64_t slab() const {
    return std::max<std::int64_t>(1, kSlabBytes / (words_ * kCols * word_bytes(kSource)));
  }

  std::int64_t count() const { return std::ssize(chunks_); }

  static int longest(const std::vector<BeatRange>& chunks) {
    int length = 0;
    for (const BeatRange& chunk : chunks) length = std::max(length, chunk.count);
    return length;
  }

  // ---- Packing ----

  template <int kWidth, bool kBiased>
  void pack(Side& side, std::int64_t panel) {
    const QuantizedMatrix& matrix = side.matrix;
    const int words = words_;  // no store changes it
    const int length = words * kInWord;
    const std::int64_t stride =
        matrix.length + length;  // room to read a short chunk as a whole one
    const auto lanes =
        static_cast<int>(std::min<std::int64_t>(kWidth, matrix.rows - panel * kWidth));
    constexpr bool kIntegers = kSource == Source::kBytes || kSource == Source::kHalves;
    const Buffer<Element> elements(kIntegers ? lanes * stride : length);
    if constexpr (kIntegers) {
      for (int lane = 0; lane < lanes; ++lane)
        integers_of_row(side, panel * kWidth + lane, elements.data() + lane * stride);
    }
    // Chunk by chunk, so that what a panel's rows write lies together.
    for (std::int64_t c = 0; c < count(); ++c) {
      const BeatRange& chunk = chunks_[static_cast<size_t>(c)];
      const std::int64_t at = (panel * count() + c) * kWidth;
      double& top = side.tops.data()[panel * count() + c];
      top = 0;
      for (int lane = 0; lane < kWidth; ++lane) {
        Word* to = side.words.data() + at * words_ * kParts + lane;
        if (lane >= lanes) {
          set_scale(side, at + lane, matrix.rows, chunk, {});
          clear_words<kWidth, kBiased>(to, at + lane);
          continue;
        }
        const std::int64_t r = panel * kWidth + lane;
        if constexpr (kSource == Source::kDigits) {
          digits_of_chunk<kWidth>(side, r, chunk, at + lane, to);
        } else if constexpr (kSource == Source::kDoubles) {
          set_scale(side, at + lane, r, chunk, doubles_of_chunk(side, r, chunk, elements.data()));
          for (int w = 0; w < words_; ++w)
            to[w * kWidth] = w < chunk.count ? elements.data()[w] : 0;
        } else {
          Element short_chunk[kMostShort];
          const Element* from = elements.data() + lane * stride + chunk.k;
          if (chunk.count < length) {
            std::fill(short_chunk, short_chunk + length, Element{0});
            std::copy(from, from + chunk.count, short_chunk);
            from = short_chunk;
          }
          std::int32_t sum = 0;
          std::make_unsigned_t<Element> joint = 0;
          for (int k = 0; k < length; ++k) {
            joint |= static_cast<std::make_unsigned_t<Element>>(from[k] < 0 ? -from[k] : from[k]);
            if (kSource == Source::kBytes && !kBiased) sum += from[k];
          }
          set_scale(side, at + lane, r, chunk, {joint});
          top = std::max(top, joint * side.scales.data()[at + lane]);
          if (kSource == Source::kBytes && !kBiased) start_.data()[at + lane] = -128 * sum;
          for (int w = 0; w < words; ++w) {
            Word word;
            std::memcpy(&word, from + w * kInWord, sizeof(Word));
            to[w * kWidth] = kBiased ? word ^ kBiasWord : word;
          }
        }
        // Under a scale of zero a negative sum would be -0, and an accumulator that holds -0 is to
        // become +0 by the next beat.
        if (side.scales.data()[at + lane] == 0) clear_words<kWidth, kBiased>(to, at + lane);
      }
    }
    side.panel_ranges[static_cast<size_t>(panel)] =
        joint(side.ranges, panel * kWidth, (panel + 1) * kWidth);
  }

  /// Zeros for a chunk's words from `to` on, and what the sum starts from; `at` of a row.
  template <int kWidth, bool kBiased>
  void clear_words(Word* to, std::int64_t at) {
    for (int w = 0; w < words_ * kParts; ++w) to[w * kWidth] = kBiased ? kBiasWord : Word{0};
    if (kSource == Source::kBytes && !kBiased) start_.data()[at] = 0;
  }

  /// The elements of a row in units.
  void integers_of_row(const Side& side, std::int64_t r, Element* out) const {
    const QuantizedMatrix& matrix = side.matrix;
    const Units& units = side.units;
    const std::uint8_t* codes = matrix.codes.data() + r * matrix.padded_length;
    const auto mask = static_cast<std::uint8_t>((1u << matrix.format.element.width()) - 1);
    if (kSource == Source::kBytes && mask == 0xFF &&
        matrix.format.element.kind == formats::ElementKind::kInteger) {
      std::memcpy(out, codes, static_cast<size_t>(matrix.length));
    } else if constexpr (kSource != Source::kDoubles) {
      Element table[256];
      std::copy(units.value, units.value + 256, table);
      if (mask < 64)
        look_up(codes, matrix.length, mask, table, out);
      else
        for (std::int64_t k = 0; k < matrix.length; ++k) out[k] = table[codes[k] & mask];
    }
    if (units.tau_most == 0) return;
    const int block = matrix.format.micro.block;
    const std::uint8_t* taus = matrix.micros.data() + r * (matrix.padded_length / block);
    for (std::int64_t k = 0; k < matrix.length; k += block, ++taus)
      for (std::int64_t j = k; j < std::min(k + block, matrix.length); ++j)
        out[j] = static_cast<Element>(out[j] * (1 << (units.tau_most - *taus)));
  }

  /// Both digits of a chunk's elements: a row's high ones before its low ones, a column's word by
  /// word.
  template <int kWidth>
  void digits_of_chunk(Side& side, std::int64_t r, const BeatRange& chunk, std::int64_t at,
                       Word* to) {
    constexpr bool kRow = kWidth == kVectorRows;
    const QuantizedMatrix& matrix = side.matrix;
    const std::uint8_t* codes = matrix.codes.data() + r * matrix.padded_length + chunk.k;
    const auto mask = static_cast<std::uint8_t>((1u << matrix.format.element.width()) - 1);
    const std::int64_t step = kRow ? kWidth : 2 * kWidth;
    Word* low = to + (kRow ? words_ * kWidth : kWidth);
    std::uint64_t joint = 0;
    const int words = words_;
    for (int w = 0; w < words; ++w) {
      std::uint64_t place[2] = {};
      for (int half = 0; half < 2 && 2 * w + half < chunk.count; ++half) {
        place[half] = side.digits[codes[2 * w + half] & mask];
        joint |= place[half];
      }
      to[w * step] = static_cast<Word>((place[0] & 0xFFFF) | (place[1] & 0xFFFF) << 16);
      low[w * step] = static_cast<Word>((place[0] >> 16 & 0xFFFF) | (place[1] & 0xFFFF0000));
    }
    note_marks(side, r, joint);
    if (kRow && (joint & 0xFFFF0000) != 0) row_low_[static_cast<size_t>(at / kWidth)] = 1;
    set_scale(side, at, r, chunk, {(joint & (kInfMark - 1)) >> kDigitBits});
  }

  /// NaN and Inf among the marks of a row's codes.
  static void note_marks(Side& side, std::int64_t r, std::uint64_t joint) {
    RowRange& range = side.ranges[static_cast<size_t>(r)];
    range.nan |= (joint & kNanMark) != 0;
    range.inf |= (joint & kInfMark) != 0;
  }

  /// What the magnitudes of a chunk's elements span: as the OR of units, or as exponents.
  struct ChunkBits {
    std::uint64_t units = 0;
    int low = 0, high = 0;  // where there are no units: high > low, or all are zero
  };

  /// The elements of a chunk in units, or as values where they have none.
  ChunkBits doubles_of_chunk(Side& side, std::int64_t r, const BeatRange& chunk, double* out) {
    const QuantizedMatrix& matrix = side.matrix;
    const Units& units = side.units;
    RowRange& range = side.ranges[static_cast<size_t>(r)];
    if (!units.known) return decode_chunk(matrix, r, chunk, out, range);
    const std::uint8_t* codes = matrix.codes.data() + r * matrix.padded_length + chunk.k;
    const auto mask = static_cast<std::uint8_t>((1u << matrix.format.element.width()) - 1);
    std::uint64_t joint = 0;
    for (int k = 0; k < chunk.count; ++k) {
      const std::uint8_t code = codes[k] & mask;
      joint |= side.marks[code];
      out[k] = side.values[code];
    }
    note_marks(side, r, joint);
    joint &= kInfMark - 1;
    if (units.tau_most == 0 || joint == 0) return {joint};
    for (int k = 0; k < chunk.count; ++k)
      out[k] *= 1 << (units.tau_most - matrix.micro(r, chunk.k + k));
    return {joint | joint << units.tau_most};
  }

  /// Scale and range of a chunk.
  void set_scale(Side& side, std::int64_t at, std::int64_t r, const BeatRange& chunk,
                 const ChunkBits& bits) {
    double& scale = side.scales.data()[at];
    scale = side.spans.data()[at] = 0;
    side.exponents.data()[at] = 0;
    if (r >= side.matrix.rows) return;
    RowRange& range = side.ranges[static_cast<size_t>(r)];
    ChunkScale factor;
    if (!side.scale_of(r, chunk.k, factor)) {
      range.nan = true;
      return;
    }
    const int unit = side.units.known ? side.units.unit : 0;
    int low = bits.low, high = bits.high;
    if (bits.units != 0) {
      // The OR of the magnitudes has the lowest bit and the highest of them all.
      low = unit + std::countr_zero(bits.units);
      high = unit + static_cast<int>(std::bit_width(bits.units));
    }
    if (high <= low || factor.value == 0) return;
    scale = factor.value * side.unit;
    side.exponents.data()[at] = factor.low + unit;
    side.spans.data()[at] = high - low + factor.high - factor.low;
    range.take(low + factor.low, high + factor.high);
    range.take_scale(factor.low + unit, factor.high + unit);
  }

  /// Elements as values.
  ChunkBits decode_chunk(const QuantizedMatrix& matrix, std::int64_t r, const BeatRange& chunk,
                         double* elements, RowRange& range) const {
    const ElementFormat& format = matrix.format.element;
    if (format.kind == formats::ElementKind::kMinifloat && matrix.code_bytes == 2 &&
        format.bias >= 0) {
      // The fields of a code stand for those of a binary64 far below; a product brings it up,
      // subnormals too. A negative bias would ask for a factor beyond binary64.
      const auto* codes = reinterpret_cast<const std::uint16_t*>(matrix.codes.data()) +
                          r * matrix.padded_length + chunk.k;
      const std::uint32_t sign = 1u << (format.width() - 1);
      const double up = std::ldexp(1.0, 1023 - format.bias);
      const std::uint32_t most = max_finite_code(format);
      bool finite = true;
      for (int k = 0; k < chunk.count; ++k) {
        const std::uint32_t magnitude = codes[k] & (sign - 1);
        finite &= magnitude <= most;
        const auto field = static_cast<std::uint64_t>(magnitude) << (52 - format.man_bits);
        const double value = std::bit_cast<double>(field) * up;
        elements[k] = (codes[k] & sign) != 0 ? -value : value;
      }
      if (!finite || format.special == formats::Special::kFnuz)
        for (int k = 0; k < chunk.count; ++k) elements[k] = finite_value(format, codes[k], range);
    } else {
      for (int k = 0; k < chunk.count; ++k)
        elements[k] = finite_value(format, matrix.code(r, chunk.k + k), range);
    }
    if (matrix.format.micro.bits > 0)
      for (int k = 0; k < chunk.count; ++k)
        elements[k] = std::ldexp(elements[k], -matrix.micro(r, chunk.k + k));
    std::uint64_t least = ~std::uint64_t{0}, most = 0;  // magnitudes as bits
    std::uint64_t joint = 0;
    for (int k = 0; k < chunk.count; ++k) {
      const auto code = std::bit_cast<std::uint64_t>(elements[k]) & 0x7FFFFFFFFFFFFFFF;
      least = std::min(least, code - 1);  // a zero is the largest
      most = std::max(most, code);
      joint |= code;
    }
    if (most == 0) return {};
    // Below the leading bit the significands set bits down to this one.
    const int below = 52 - std::min(52, std::countr_zero(joint | (std::uint64_t{1} << 52)));
    return {0, static_cast<int>((least + 1) >> 52) - 1023 - below,
            static_cast<int>(most >> 52) - 1023 + 1};
  }

  /// 0 for NaN and Inf, which the range takes note of.
  double finite_value(const ElementFormat& format, std::uint32_t code, RowRange& range) const {
    const double value = decode(format, code);
    if (std::isfinite(value)) return value;
    const bool nan = std::isnan(value) || spec_.specials == formats::SpecialsPolicy::kNan;
    (nan ? range.nan : range.inf) = true;
    return 0;
  }

  // ---- Ways ----

  bool choose_ways() {
    const int beat = ceil_log2(words_ * kInWord);
    const int all = ceil_log2(words_ * kInWord * count()) + growth();
    const bool integers = (kSource == Source::kBytes || kSource == Source::kHalves) &&
                          power_of_two_scale(spec_.a) && power_of_two_scale(spec_.b);
    // T is a binary32 number, but for its range.
    const bool float_sums = integers && fits_float();
    const ElementFormat& held = spec_.accumulator.format;
    const Rounding& rounding = spec_.accumulator.rounding;
    const bool single_step =
        float_sums && spec_.accumulator.kind == AccumulatorKind::kFloat &&
        rounding.variant == formats::SrVariant::kSrff &&
        has_single_step(step_, held.man_bits, lsb_exponent(held), rounding.random_bits);
    ways_.resize(static_cast<size_t>(rows_.panels * columns_.panels));
    const bool accumulator_odd = spec_.accumulator.kind != AccumulatorKind::kFloat ||
                                 odd_suffices(spec_.accumulator.format, spec_.accumulator.rounding);
    span_limit_ = kDoubleBits - beat;
    // A stochastic step may add a whole unit of the accumulator to a T far below it.
    const bool raises = spec_.accumulator.kind == AccumulatorKind::kFloat && rounding.stochastic();
    std::int64_t solved = 0;
    for (std::int64_t p = 0; p < rows_.panels; ++p)
      for (std::int64_t q = 0; q < columns_.panels; ++q) {
        const RowRange& x = rows_.panel_ranges[static_cast<size_t>(p)];
        const RowRange& y = columns_.panel_ranges[static_cast<size_t>(q)];
        Way& way = ways_[static_cast<size_t>(p * columns_.panels + q)];
        way.step = step_;
        const bool some = !x.empty && !y.empty;
        const int low = some ? x.low + y.low : 0, high = some ? x.high + y.high : 0;
        way.solved = some && (std::min({low, x.low, y.low}) < -kFarthest ||
                              std::max({high, x.high, y.high}) > kFarthest);
        if (way.solved || x.inf || y.inf) ++solved;
        if (!some || way.solved) continue;
        if (float_sums && x.scale_low + y.scale_low >= -126 && x.scale_low >= -126 &&
            y.scale_low >= -126 && x.scale_high <= 127 - 24 && y.scale_high <= 127 - 24 &&
            x.scale_high + y.scale_high <= 127 - 24) {
          if (step_ == StepKind::kNearest32) {
            way.step = StepKind::kFma32;
            continue;
          }
          if (single_step && high + all <= 100) {
            way.certainty = Certainty::kSingle;
            continue;
          }
        }
        const bool term = x.span + y.span + beat <= kDoubleBits;
        const int reached = raises ? std::max(high, lsb_exponent(held)) + 1 : high;
        const bool everything = term && reached - low + all <= kDoubleBits;
        // Rests of a sum of T: each up to half a unit in its last place, all in a second double.
        const bool rests = high + all - kDoubleBits + ceil_log2(count()) - low <= kDoubleBits &&
                           odd_suffices(spec_.output, spec_.rounding);
        const bool odd = step_ == StepKind::kAdd ? rests : accumulator_odd;
        if (everything) {
          way.certainty = Certainty::kExact;
          if (step_ == StepKind::kAdd && integers && slabs_fit_total(p, q))
            way.step = StepKind::kShift;
        } else if (term && odd)
          way.certainty = Certainty::kOdd;
        else if (odd && x.mean_span() + y.mean_span() + beat <= kDoubleBits)
          way.certainty = Certainty::kMixed;
        else
          way.certainty = Certainty::kChecked;
        needs_errors_ |= checks(way);
      }
    return solved * 4 <= rows_.panels * columns_.panels;
  }

  // ---- kShift ----

  /// 2^this is the unit of a tile's total.
  int total_unit(std::int64_t p, std::int64_t q) const {
    return rows_.panel_ranges[static_cast<size_t>(p)].scale_low +
           columns_.panel_ranges[static_cast<size_t>(q)].scale_low;
  }

  /// More than any sum of products of these chunks, in units of the total.
  double total_bound(std::int64_t p, std::int64_t q, std::int64_t c, std::int64_t chunks) const {
    const double* x = rows_.tops.data() + p * count() + c;
    const double* y = columns_.tops.data() + q * count() + c;
    double sum = 0;
    for (std::int64_t i = 0; i < chunks; ++i) sum += x[i] * y[i];
    return std::ldexp(sum * (words_ * kInWord) * (1 + 0x1p-20), -total_unit(p, q));
  }

  bool slabs_fit_total(std::int64_t p, std::int64_t q) const {
    for (std::int64_t c = 0; c < count(); c += slab())
      if (total_bound(p, q, c, std::min(slab(), count() - c)) >= kMostTotal) return false;
    return true;
  }

  /// The total goes over to the accumulator.
  void flush(std::int64_t p, std::int64_t q, Tile& tile) const {
    if (!tile.flushed) std::fill(tile.acc, tile.acc + kResults, 0.0);
    const double unit = std::ldexp(1.0, total_unit(p, q));
    for (int i = 0; i < kResults; ++i) {
      tile.acc[i] += tile.total[i] * unit;
      tile.total[i] = 0;
    }
    tile.bound = 0;
    tile.flushed = true;
  }

  std::string_view widest_way() const {
    constexpr std::string_view kInteger[] = {
        "integers:fma",   "integers:single",  "integers:exact", "integers:odd",
        "integers:mixed", "integers:checked", "integers:solved"};
    constexpr std::string_view kDigit[] = {
        "", "", "digits:exact", "digits:odd", "digits:mixed", "digits:checked", "digits:solved"};
    constexpr std::string_view kDouble[] = {"",
                                            "",
                                            "doubles:exact",
                                            "doubles:odd",
                                            "doubles:mixed",
                                            "doubles:checked",
                                            "doubles:solved"};
    size_t widest = 0;
    for (const Way& way : ways_)
      widest =
          std::max<size_t>(widest, way.solved ? 6
                                   : way.step == StepKind::kFma32 || way.step == StepKind::kShift
                                       ? 0
                                       : 1 + static_cast<size_t>(way.certainty));
    if (kSource == Source::kDoubles) return kDouble[widest];
    if (kSource == Source::kDigits) return kDigit[widest];
    return widest == 0 && step_ == StepKind::kAdd ? "integers:shift" : kInteger[widest];
  }

  /// A beat's sum stays within binary32.
  bool fits_float() const {
    return static_cast<double>(rows_.units.most) * static_cast<double>(columns_.units.most) *
               longest(chunks_) <=
           0x1p24;
  }

  /// Bits by which the roundings of a float accumulator may raise the sum.
  int growth() const {
    if (spec_.accumulator.kind != AccumulatorKind::kFloat) return 0;
    // (1 + 2^-m)^n < 2^(1.45 n 2^-m).
    const double bits =
        std::ldexp(1.45 * static_cast<double>(count()), -spec_.accumulator.format.man_bits);
    return static_cast<int>(std::min(bits, 1e6)) + 1;
  }

  /// The norms of what the chunks hold (or more), for the bound |x . y| <= |x| |y|.
  template <int kWidth>
  void note_errors(Side& side) {
    side.errors.assign(static_cast<size_t>(side.panels * count() * kWidth), 0);
    side.norms.assign(static_cast<size_t>(side.panels * kWidth), 0);
    // Digits: in what S is made of.
    const double most =
        std::ldexp(static_cast<double>(side.units.most), kWidth == kVectorRows ? -row_digit_ : 0);
    const double length = words_ * kInWord;
    // n products and additions, each rounded, err by 2 n 2^-53 of the sum of the magnitudes; the
    // scales by a little more. The bound is a product: one side takes the factor.
    const double factor = kWidth == kVectorRows ? std::ldexp(2 * length + 16, -53) : 1.0;
    parallel_tasks(side.panels, threads_, [&](std::int64_t panel) {
      double squares[kWidth] = {};
      for (std::int64_t c = 0; c < count(); ++c) {
        double sum[kWidth];
        const std::int64_t at = panel * count() + c;
        std::fill(sum, sum + kWidth, kSource == Source::kDoubles ? 0.0 : most * most * length);
        if constexpr (kSource == Source::kDoubles) {
          const double* words = side.words.data() + at * words_ * kWidth;
          for (int w = 0; w < words_; ++w)
            for (int lane = 0; lane < kWidth; ++lane)
              sum[lane] += words[w * kWidth + lane] * words[w * kWidth + lane];
        }
        for (int lane = 0; lane < kWidth; ++lane) {
          // A little more than its own roundings lose.
          const double norm =
              std::sqrt(sum[lane]) * side.scales.data()[at * kWidth + lane] * (1 + 0x1p-20);
          side.errors[static_cast<size_t>(at * kWidth + lane)] = norm * factor;
          squares[lane] += norm * norm;
        }
      }
      for (int lane = 0; lane < kWidth; ++lane)
        side.norms[static_cast<size_t>(panel * kWidth + lane)] =
            std::sqrt(squares[lane]) * (1 + 0x1p-20);
    });
  }

  // ---- Tiles ----

  static bool checks(const Way& way) {
    return way.certainty == Certainty::kMixed || way.certainty == Certainty::kChecked;
  }

  const Way& way_of(std::int64_t p, std::int64_t q) const {
    return ways_[static_cast<size_t>(p * columns_.panels + q)];
  }

  void begin(std::int64_t p, std::int64_t q, Tile& tile) const {
    const Way& way = way_of(p, q);
    if (way.solved || in_doubt(way) || rows_.panel_ranges[static_cast<size_t>(p)].inf ||
        columns_.panel_ranges[static_cast<size_t>(q)].inf)
      std::fill(tile.doubt, tile.doubt + kResults, way.solved ? 1.0 : 0.0);
    if (way.step == StepKind::kAdd || format_.sticky)
      std::fill(tile.rest, tile.rest + kResults, 0.0);
    tile.bound = 0;
    tile.flushed = false;
    if (way.step == StepKind::kFma32)
      std::fill(tile.acc32, tile.acc32 + kResults, 0.0f);
    else if (way.step == StepKind::kShift)
      std::fill(tile.total, tile.total + kResults, 0);
    else
      std::fill(tile.acc, tile.acc + kResults, 0.0);
    if (draws_a_beat()) streams_.begin(p * kVectorRows, kVectorRows, q * kCols, kCols, tile.states);
  }

  /// Chunks [c, c + chunks).
  void advance(std::int64_t p, std::int64_t q, std::int64_t c, std::int64_t chunks,
               Tile& tile) const {
    const Way& way = way_of(p, q);
    if (way.solved) return;
    VectorTile t;
    if (way.step == StepKind::kShift) {
      const double bound = total_bound(p, q, c, chunks);
      if (tile.bound + bound >= kMostTotal) flush(p, q, tile);
      tile.bound += bound;
      t.lowest = total_unit(p, q);
    }
    const std::int64_t row = (p * count() + c), column = (q * count() + c);
    t.rows = rows_.words.data() + row * words_ * kVectorRows * kParts;
    t.columns = columns_.words.data() + column * words_ * kCols * kParts;
    t.row_low = row_low_.data() + row;
    t.column_low = column_digit_ > 0;
    t.start = start_.data() + row * kVectorRows;
    t.row_scale = rows_.scales.data() + row * kVectorRows;
    t.column_scale = columns_.scales.data() + column * kCols;
    t.row_exponent = rows_.exponents.data() + row * kVectorRows;
    t.column_exponent = columns_.exponents.data() + column * kCols;
    if (checks(way)) {
      t.row_span = rows_.spans.data() + row * kVectorRows;
      t.column_span = columns_.spans.data() + column * kCols;
      t.span_limit = span_limit_;
      t.row_error = rows_.errors.data() + row * kVectorRows;
      t.column_error = columns_.errors.data() + column * kCols;
    }
    t.chunks = chunks;
    t.words = words_;
    t.format = format_;
    t.acc = tile.acc;
    t.acc32 = tile.acc32;
    t.total = tile.total;
    t.rest = tile.rest;
    t.doubt = tile.doubt;
    if (draws_a_beat()) {
      tile.draws.resize(static_cast<size_t>(chunks) * kResults);
      streams_.draw(p * kVectorRows, kVectorRows, q * kCols, kCols, c, chunks, tile.states,
                    tile.draws.data());
      t.draws = tile.draws.data();
    }
    vector_tile(kSource, way.step, way.certainty, t);
  }

  bool draws_a_beat() const {
    return step_ == StepKind::kStochastic || step_ == StepKind::kStochasticNearest;
  }

  /// Row panels [first, last) against column panel q.
  void multiply_panels(std::int64_t first, std::int64_t last, std::int64_t q,
                       std::vector<Tile>& tiles, GemmResult& result) const {
    for (std::int64_t p = first; p < last; ++p) {
      prefetch(p + 1, q, result);
      begin(p, q, tiles[static_cast<size_t>(p - first)]);
    }
    for (std::int64_t c = 0; c < count(); c += slab())
      for (std::int64_t p = first; p < last; ++p)
        advance(p, q, c, std::min(slab(), count() - c), tiles[static_cast<size_t>(p - first)]);
    for (std::int64_t p = first; p < last; ++p)
      store(p, q, tiles[static_cast<size_t>(p - first)], result);
  }

  /// Brings the memory of a tile's results near.
  void prefetch(std::int64_t p, std::int64_t q, const GemmResult& result) const {
    constexpr int kLine = 64 / sizeof(std::uint32_t);
    const std::int64_t m = rows_.matrix.rows, n = columns_.matrix.rows;
    for (std::int64_t i = p * kVectorRows; i < std::min((p + 1) * kVectorRows, m); ++i)
      for (std::int64_t j = q * kCols; j < std::min((q + 1) * kCols, n); j += kLine)
        __builtin_prefetch(result.codes.data() + i * n + j, 1);
  }

  void store(std::int64_t p, std::int64_t q, Tile& tile, GemmResult& result) const {
    const Way& way = way_of(p, q);
    const std::int64_t n = columns_.matrix.rows, j0 = q * kCols;
    const auto columns = static_cast<int>(std::min<std::int64_t>(kCols, n - j0));
    const RowRange& column_range = columns_.panel_ranges[static_cast<size_t>(q)];
    std::int64_t doubts = 0;
    if (tile.flushed) flush(p, q, tile);
    for (int r = 0; r < kVectorRows && p * kVectorRows + r < rows_.matrix.rows; ++r) {
      const std::int64_t i = p * kVectorRows + r;
      const RowRange& row_range = rows_.ranges[static_cast<size_t>(i)];
      std::uint32_t* codes = result.codes.data() + i * n + j0;
      double* doubt = tile.doubt + r * kCols;
      if (way.solved) {
        doubts += columns;
        continue;
      }
      if (way.step == StepKind::kFma32 && sums_are_codes_) {
        std::memcpy(codes, tile.acc32 + r * kCols,
                    static_cast<size_t>(columns) * sizeof(std::uint32_t));
      } else {
        std::uint32_t row_codes[kCols];
        encode_row(p, q, r, tile, columns == kCols ? codes : row_codes);
        if (columns < kCols) std::copy(row_codes, row_codes + columns, codes);
      }
      if (row_range.inf || column_range.inf)
        for (int c = 0; c < columns; ++c)
          if (row_range.inf || columns_.ranges[static_cast<size_t>(j0 + c)].inf) doubt[c] = 1;
      if (row_range.nan || column_range.nan)
        for (int c = 0; c < columns; ++c)
          if (row_range.nan || columns_.ranges[static_cast<size_t>(j0 + c)].nan) {
            codes[c] = encoder_.code(std::nan(""), 0);
            doubt[c] = 0;
          }
      if (in_doubt(way) || row_range.inf || column_range.inf)
        for (int c = 0; c < columns; ++c) doubts += doubt[c] != 0;
    }
    if (doubts > 0) solve(p, q, doubts, tile, result);
  }

  /// Codes of row r of a tile; doubts, where a sum is known up to an error.
  void encode_row(std::int64_t p, std::int64_t q, int r, Tile& tile, std::uint32_t* codes) const {
    const Way& way = way_of(p, q);
    const std::int64_t i = p * kVectorRows + r, j0 = q * kCols;
    const bool same_float = !output_rounds_;
    alignas(64) double values[kCols];
    std::uint32_t draws[kCols] = {};
    // A draw of r bits is the low bits of the state (formats/lfsr.h).
    const auto draw_mask =
        static_cast<std::uint32_t>((std::uint64_t{1} << spec_.rounding.random_bits) - 1);
    if (spec_.rounding.stochastic() && !same_float)
      for (int c = 0; c < kCols; ++c)
        draws[c] = static_cast<std::uint32_t>(streams_.first(i, j0 + c)) & draw_mask;
    const double* acc = tile.acc + r * kCols;
    // The one accumulator that is already the output may hold -0; elsewhere a zero is +0.
    const double zero = same_float ? -0.0 : 0.0;
    if (way.step == StepKind::kFma32) {
      for (int c = 0; c < kCols; ++c) values[c] = tile.acc32[r * kCols + c] + zero;
    } else if (way.step == StepKind::kShift && !tile.flushed) {
      const double unit = std::ldexp(1.0, total_unit(p, q));
      for (int c = 0; c < kCols; ++c) values[c] = tile.total[r * kCols + c] * unit + zero;
    } else if (spec_.accumulator.kind == AccumulatorKind::kKulischWindow) {
      const double unit = std::ldexp(1.0, spec_.accumulator.window.lsb);
      const bool sticky = spec_.accumulator.window.sticky;
      // `rest`: 1 where a beat lost a bit, which then stands below the last one.
      for (int c = 0; c < kCols; ++c)
        values[c] = (acc[c] + (sticky ? 0.5 * tile.rest[r * kCols + c] : 0.0)) * unit + zero;
    } else if (way.step == StepKind::kAdd &&
               (way.certainty == Certainty::kOdd || way.certainty == Certainty::kMixed)) {
      for (int c = 0; c < kCols; ++c)
        values[c] = odd_sum_of(acc[c], tile.rest[r * kCols + c]) + zero;
    } else {
      for (int c = 0; c < kCols; ++c) values[c] = acc[c] + zero;
    }
    if (way.step != StepKind::kAdd || !in_doubt(way)) {
      multiply(values, draws, i, j0);
      return encoder_(values, draws, kCols, codes);
    }

    double* doubt = tile.doubt + r * kCols;
    // kChecked: n products and additions in every chunk, then one a chunk, each rounded.
    const double roundings = static_cast<double>(2 * words_ * kInWord + 2 * count() + 16);
    const bool checked = way.certainty == Certainty::kChecked;
    const double bound =
        checked ? std::ldexp(roundings, -53) * rows_.norms[static_cast<size_t>(i)] : 0;
    alignas(64) double high[kCols];
    std::uint32_t high_codes[kCols];
    for (int c = 0; c < kCols; ++c) {
      double error = checked ? bound * columns_.norms[static_cast<size_t>(j0 + c)] : 0;
      if (way.certainty == Certainty::kMixed)
        error = doubt[c] > 0 ? doubt[c] * (1 + 0x1p-40) + std::fabs(values[c]) * 0x1p-51 : 0;
      // A sum that was rounded to odd cannot be multiplied as if it were exact.
      if (factors_.any() && (std::bit_cast<std::uint64_t>(values[c]) & 1) != 0)
        error += std::fabs(values[c]) * 0x1p-51;
      high[c] = values[c] + error;
      values[c] -= error;
      // An overflow to NaN has no sign.
      doubt[c] = (values[c] < 0) != (high[c] < 0);
    }
    multiply(values, draws, i, j0);
    multiply(high, draws, i, j0);
    encoder_(values, draws, kCols, codes);
    encoder_(high, draws, kCols, high_codes);
    for (int c = 0; c < kCols; ++c)
      if (codes[c] != high_codes[c]) doubt[c] = 1;
  }

  /// By the factors of the results of row i from column j0 on.
  void multiply(double* values, const std::uint32_t* draws, std::int64_t i, std::int64_t j0) const {
    if (!factors_.any()) return;
    const auto columns = static_cast<int>(std::min<std::int64_t>(kCols, columns_.matrix.rows - j0));
    for (int c = 0; c < columns; ++c) values[c] = factors_.times(values[c], i, j0 + c, draws[c]);
  }

  /// The sum is known up to an error only.
  bool in_doubt(const Way& way) const {
    return checks(way) ||
           (factors_.any() && way.step == StepKind::kAdd && way.certainty == Certainty::kOdd);
  }

  /// x + rest, where |rest| is far below |x|'s last place or so, rounded to odd.
  static double odd_sum_of(double x, double rest) {
    const double sum = x + rest;
    const double part = sum - x;
    const double left = (x - (sum - part)) + (rest - part);
    const auto bits = std::bit_cast<std::int64_t>(sum);
    const std::int64_t inexact = left != 0 ? 1 : 0;
    const std::int64_t outward = (left > 0) == (sum > 0) ? 1 : -1;
    return std::bit_cast<double>(bits + (inexact & ~bits) * outward);
  }

  /// The results in doubt, exactly.
  void solve(std::int64_t p, std::int64_t q, std::int64_t doubts, const Tile& tile,
             GemmResult& result) const {
    const QuantizedMatrix& a = rows_.matrix;
    const QuantizedMatrix& b = columns_.matrix;
    const std::int64_t i0 = p * kVectorRows, j0 = q * kCols;
    const std::int64_t m = std::min<std::int64_t>(kVectorRows, a.rows - i0);
    const std::int64_t n = std::min<std::int64_t>(kCols, b.rows - j0);
    std::optional<ResultSolver> together;
    if (doubts > 8) together.emplace(spec_, a, i0, m, b, j0, n, 1);
    for (std::int64_t i = 0; i < m; ++i)
      for (std::int64_t j = 0; j < n; ++j) {
        if (tile.doubt[i * kCols + j] == 0) continue;
        std::uint32_t& code = result.codes[static_cast<size_t>((i0 + i) * b.rows + j0 + j)];
        code = together ? together->code(i, j, streams_)
                        : ResultSolver(spec_, a, i0 + i, 1, b, j0 + j, 1, 1).code(0, 0, streams_);
      }
  }

  static constexpr Word kBiasWord = static_cast<Word>(kSource == Source::kBytes ? -0x7F7F7F80 : 0);

  const DotSpec& spec_;
  StepKind step_;
  StepFormat format_;
  std::vector<BeatRange> chunks_;
  const RandomStreams& streams_;
  int threads_, words_;
  Encoder encoder_;
  bool output_rounds_;
  bool sums_are_codes_;  // of kFma32
  Side rows_, columns_;
  Buffer<std::int32_t> start_;
  std::vector<std::uint8_t> row_low_;     // kDigits: [panel][chunk]
  int row_digit_ = 0, column_digit_ = 0;  // kDigits: bits of the low one
  ResultFactors factors_;
  std::vector<Way> ways_;
  bool needs_errors_ = false;
  double span_limit_ = 0;
};

}  // namespace

bool gemm_by_vectors(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
                     const RandomStreams& streams, int threads, GemmResult& result) {
  StepFormat format;
  const std::optional<StepKind> step = step_of(spec, format);
  if (!step) return false;
  // A factor of the beat that may be negative or has two scales' bits.
  for (const formats::BlockFormat* side : {&spec.a, &spec.b})
    if (outer_in_beat(*side) || side->scale.kind == formats::ScaleKind::kCodeBook) return false;

  // Products whose sum stays below 2^31.
  const Units x = units_of(spec.a, 15), y = units_of(spec.b, 15);
  const bool finite = !formats::has_nan(spec.a.element) && !formats::has_nan(spec.b.element);
  double lanes = 0;
  if (x.known && y.known && x.most > 0 && y.most > 0 && finite)
    lanes = std::floor(0x1p30 / (static_cast<double>(x.most) * static_cast<double>(y.most)));
  auto chunks = [&](double most) {
    DotSpec coarse = spec;
    // A Kulisch sum does not depend on the order.
    if (*step == StepKind::kAdd)
      coarse.lanes = std::max(spec.lanes, static_cast<int>(std::min(most, 1024.0)));
    return beat_ranges(coarse, a.length);
  };
  auto run = [&]<Source kSource>(const Units& a_units, const Units& b_units, double most) {
    return VectorGemm<kSource>(spec, a, b, a_units, b_units, *step, format, chunks(most), streams,
                               threads)
        .run(result);
  };
  if (lanes >= spec.lanes) {
    // Biased bytes: 255 * 128 * length stays far below 2^31. A byte has -128 but no 128.
    const auto bytes = [](const Units& units) { return units.most <= 128 && units.highest < 128; };
    if (has_fast_bytes() && bytes(x) && bytes(y))
      return run.template operator()<Source::kBytes>(x, y, lanes);
    return run.template operator()<Source::kHalves>(x, y, lanes);
  }
  // Digits: elements within 2^18, sums below 2^31. On other processors, and of a few lanes, doubles
  // are as fast.
  const Units u = units_of(spec.a, 18), v = units_of(spec.b, 18);
  if (has_fast_bytes() && u.known && v.known && u.most > 0 && v.most > 0 && u.tau_most == 0 &&
      v.tau_most == 0 && power_of_two_scale(spec.a) && power_of_two_scale(spec.b)) {
    const auto digit = [](std::int64_t most, int low_bits) {
      return most < 1 << 15 ? most
                            : std::max((most >> low_bits) + 1, std::int64_t{1} << (low_bits - 1));
    };
    const double most = std::floor(
        (0x1p31 - 1) / static_cast<double>(digit(u.most, kRowDigit) * digit(v.most, kColumnDigit)));
    // The high digit of a row is a half: (2^18 - 5 + 4) >> 3 < 2^15.
    if (most >= spec.lanes && u.most + 4 < 1 << 18 && (*step == StepKind::kAdd || spec.lanes >= 8))
      return run.template operator()<Source::kDigits>(u, v, std::min(most, 64.0));
  }
  return run.template operator()<Source::kDoubles>(units_of(spec.a, 52), units_of(spec.b, 52), 64);
}

}  // namespace blockdot::models
