// Quantising goes group by group; a group is what shares one scale (a block, a tile, a row, the
// tensor). Its largest magnitude gives the scale, the scale the divisor of its elements, and each
// element is encoded once. Under an outer scale all groups are measured first. Where the options
// are the standard's, rows of a group go through the vector kernels (formats/quantize_kernels.h),
// which give the same bits; quantize_by_definition never does.
#include "formats/quantize.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "formats/error.h"
#include "formats/quantize_kernels.h"
#include "formats/text.h"

namespace blockdot::formats {

namespace {

constexpr float kLargestFloat = std::numeric_limits<float>::max();

int bytes_for(int width) { return width <= 8 ? 1 : width <= 16 ? 2 : 4; }

void store(QuantizedMatrix& q, std::int64_t index, std::uint32_t code) {
  // Little-endian, as every machine this runs on.
  std::memcpy(q.codes.data() + index * q.code_bytes, &code, static_cast<size_t>(q.code_bytes));
}

// floor(log2 x) of a positive finite value, subnormals too: from the exponent, never a logarithm.
int floor_log2(double x) { return std::ilogb(x); }

/// What a group's elements say about its scale.
struct Stats {
  float amax = 0;  // of the finite elements
  bool nan = false;
  bool inf = false;
  bool finite() const { return !nan && !inf; }
};

/// What a group shares: its scale, as code and as value. `exponent`: of an e8m0 scale.
struct Shared {
  std::uint32_t code = 0;
  double value = 1;  // as stored, with outer scale and mean
  int exponent = 0;
  bool is_nan = false;
};

struct Group {
  std::int64_t row0, row1, k0, k1;
};

// ---- scale rules ----

// Least e with max * 2^e >= amax, from a start near it.
int ceil_exponent(double amax, double max) {
  int e = floor_log2(amax) - floor_log2(max);
  while (std::ldexp(max, e) < amax) ++e;
  while (std::ldexp(max, e - 1) >= amax) --e;
  return e;
}

// Least e with 2^e >= x > 0.
int ceil_log2(double x) { return floor_log2(x) + (std::ldexp(1.0, floor_log2(x)) < x ? 1 : 0); }

// amax rounded RNE to the significand of the element format, then its floor(log2): only a carry
// out of an all-ones significand changes it.
int even_exponent(double amax, const ElementFormat& element) {
  int precision = element.kind == ElementKind::kMinifloat ? element.man_bits + 1
                  : element.kind == ElementKind::kInteger ? element.int_bits - 1
                                                          : element.width() - 1;
  double unit = std::ldexp(1.0, floor_log2(amax) + 1 - precision);
  return floor_log2(std::nearbyint(amax / unit) * unit);
}

int exponent_by_rule(ScaleRule rule, double amax, const ElementFormat& element) {
  double max = max_value(element);
  int emax = max_exponent(element);
  switch (rule) {
    case ScaleRule::kFloor:
    case ScaleRule::kThreeQuarters:
      return floor_log2(amax) - emax;
    case ScaleRule::kCeil:
    case ScaleRule::kOptimal:  // where its search starts
      return ceil_exponent(amax, max);
    case ScaleRule::kEven:
      return even_exponent(amax, element) - emax;
    case ScaleRule::kRceil: {
      auto ratio = static_cast<float>(amax) / static_cast<float>(max);
      return ratio > 0 ? ceil_log2(ratio) : -kE8M0Bias;
    }
    case ScaleRule::kRceilReciprocal: {
      float ratio = static_cast<float>(amax) * static_cast<float>(1.0 / max);
      return ratio > 0 ? ceil_log2(ratio) : -kE8M0Bias;
    }
    case ScaleRule::kAmax: {
      // amax / max against 3/2 * 2^e, exactly: both sides are products of short significands.
      int e = ceil_exponent(amax, max) - 1;  // 2^e < amax / max <= 2^(e+1)
      return amax >= std::ldexp(1.5 * max, e) ? e + 1 : e;
    }
    case ScaleRule::kShift: {
      // round(log2 amax): up when the significand's square exceeds 2; 48 bits, exact.
      int e = floor_log2(amax);
      double significand = std::ldexp(amax, -e);
      return e + (significand * significand > 2 ? 1 : 0) - emax - 1;
    }
    case ScaleRule::kCeilExponent:
      return ceil_log2(amax) - emax;
  }
  BLOCKDOT_CHECK(false, "scale rule");
}

// ---- the quantiser ----

/// The rows of a matrix one after the other, as binary32 side by side in memory: as they lie, or
/// sixteen at a time turned into a buffer, so that both sides are read and written line by line.
class RowStrip {
 public:
  explicit RowStrip(const MatrixView& x) : x_(x) {
    if (!in_place()) buffer_.resize(static_cast<size_t>(kRows * x.length));
  }

  const float* row(std::int64_t r) {
    if (in_place()) return x_.data + r * x_.row_stride;
    float* const to = buffer_.data() + r % kRows * x_.length;
    if (x_.k_stride == 1) {
      const std::uint16_t* from = x_.bfloat16 + r * x_.row_stride;
      for (std::int64_t k = 0; k < x_.length; ++k)
        to[k] = std::bit_cast<float>(std::uint32_t{from[k]} << 16);
    } else if (r % kRows == 0) {
      std::int64_t count = std::min(kRows, x_.rows - r);
      for (std::int64_t k = 0; k < x_.length; ++k) {
        const std::int64_t from = r * x_.row_stride + k * x_.k_stride;
        for (std::int64_t i = 0; i < count; ++i)
          buffer_[static_cast<size_t>(i * x_.length + k)] = x_.at(from + i * x_.row_stride);
      }
    }
    return to;
  }

 private:
  static constexpr std::int64_t kRows = 16;
  bool in_place() const { return x_.k_stride == 1 && x_.bfloat16 == nullptr; }

  const MatrixView& x_;
  std::vector<float> buffer_;
};

class Quantizer {
 public:
  Quantizer(const BlockFormat& format, const MatrixView& x, const QuantizeOptions& options,
            bool by_definition, QuantizedMatrix& q)
      : format_(format),
        element_(format.element),
        x_(x),
        options_(options),
        q_(q),
        stream_(options.seed, options.lfsr),
        max_(max_value(format.element)),
        zero_code_(zero_code(format.element)) {
    overflow_ =
        options.overflow.value_or(format.has_scale() ? Overflow::kSaturate : Overflow::kToSpecial);
    by_stored_ = options.divide_by_stored.value_or(!format.outer.mean);
    prescale_ = options.scale_rule == ScaleRule::kThreeQuarters ? 0.75 : 1.0;
    validate(options.lfsr);
    if (options.rounding.random_bits > options.lfsr.width)
      throw ConfigError("rounding = {}: draws more bits than lfsr = {} has",
                        to_text(options.rounding), to_text(options.lfsr));
    if (!by_definition) kernel_ = choose_kernel();
  }

  void run() {
    check_rule();
    prepare();
    if (x_.length == 0 || x_.rows == 0) return;
    if (!format_.has_scale()) {
      for (std::int64_t r = 0; r < x_.rows; ++r) encode_run(r, 0, x_.length, 1.0);
      return;
    }
    if (format_.has_outer()) {
      measure_all();
      choose_outer();
    }
    RowKernel rows(format_, kernel_, options_.scale_rule == ScaleRule::kFloor);
    if (rows.takes() && !options_.flush_input_subnormals) {
      std::int64_t whole = x_.length / block_, columns = q_.blocks_per_row();
      RowStrip strip(x_);
      for (std::int64_t r = 0; r < x_.rows; ++r) {
        auto by_group = [&](std::int64_t b) {
          Group group{r, r + 1, b * block_, std::min((b + 1) * block_, x_.length)};
          quantize_group(group, measure(group));
        };
        for (std::int64_t b : rows.encode(strip.row(r), whole, q_.scales.data() + r * columns,
                                          q_.codes.data() + r * q_.padded_length))
          by_group(b);
        if (whole < columns) by_group(whole);
      }
      return;
    }
    if (format_.tile_rows > 1 && !format_.has_outer() && !options_.rounding.stochastic()) {
      run_bands();
      return;
    }
    size_t index = 0;
    for_each_group([&](const Group& group) {
      Stats stats = format_.has_outer() ? stats_[index] : measure(group);
      quantize_group(group, stats);
      ++index;
    });
  }

 private:
  // A kernel stands for the standard's options alone.
  ElementKernel choose_kernel() const {
    bool standard = options_.rounding.mode == RoundingMode::kRne &&
                    overflow_ == Overflow::kSaturate && !options_.flush_subnormals &&
                    prescale_ == 1.0 && by_stored_ && format_.has_scale();
    return standard ? ElementKernel(element_, options_.keep_negative_zero) : ElementKernel();
  }

  void check_rule() const {
    ScaleRule rule = options_.scale_rule;
    if (!format_.has_scale() || format_.scale.kind == ScaleKind::kE8M0) {
      if (format_.micro.bits > 0 && rule != ScaleRule::kFloor)
        throw ConfigError("scale-rule = {}: a second level of shared exponents takes floor",
                          to_text(rule));
      return;
    }
    bool small = format_.scale.kind == ScaleKind::kMinifloat && format_.scale.width() <= 8 &&
                 !format_.has_outer();
    if (rule == ScaleRule::kFloor || rule == ScaleRule::kCeil ||
        (rule == ScaleRule::kOptimal && small))
      return;
    throw ConfigError(
        "scale-rule = {}: is for scale e8m0; {} takes floor (amax / max to nearest), ceil{}",
        to_text(rule), to_text(format_), small ? " or optimal" : "");
  }

  void prepare() {
    q_.format = format_;
    q_.rows = x_.rows;
    q_.length = x_.length;
    std::int64_t block = format_.block > 0 ? format_.block : std::max<std::int64_t>(x_.length, 1);
    q_.padded_length = format_.block > 0 ? (x_.length + block - 1) / block * block : x_.length;
    q_.code_bytes = bytes_for(element_.width());
    q_.mean = 0;
    q_.factor = prescale_ == 1.0 ? 1.0 : 4.0 / 3.0;
    block_ = block;
    q_.codes.resize(static_cast<size_t>(q_.rows * q_.padded_length * q_.code_bytes));
    q_.scales.assign(static_cast<size_t>(q_.rows * q_.blocks_per_row()), 0);
    q_.micros.assign(format_.micro.bits > 0
                         ? static_cast<size_t>(q_.rows * q_.padded_length / format_.micro.block)
                         : 0,
                     0);
    q_.outer_scales.clear();
    for (std::int64_t r = 0; r < q_.rows; ++r) {
      std::int64_t from = r * q_.padded_length + q_.length, to = (r + 1) * q_.padded_length;
      if (from == to) continue;
      if (q_.code_bytes == 1)
        std::memset(q_.codes.data() + from, static_cast<int>(zero_code_),
                    static_cast<size_t>(to - from));
      else
        for (; from < to; ++from) store(q_, from, zero_code_);
    }
    scratch_.resize(static_cast<size_t>(std::max<std::int64_t>(block_, 1)));
  }

  template <typename Call>
  void for_each_group(Call call) const {
    std::int64_t height = format_.span == Span::kTensor ? x_.rows : format_.tile_rows;
    for (std::int64_t row0 = 0; row0 < x_.rows; row0 += height)
      for (std::int64_t k0 = 0; k0 < x_.length; k0 += block_)
        call(Group{row0, std::min<std::int64_t>(row0 + height, x_.rows), k0,
                   std::min(k0 + block_, x_.length)});
  }

  // Elements k0..k1 of a row side by side: where they lie, or a copy.
  const float* run_of(std::int64_t r, std::int64_t k0, std::int64_t k1) {
    if (x_.k_stride == 1 && x_.bfloat16 == nullptr && !options_.flush_input_subnormals)
      return x_.data + r * x_.row_stride + k0;
    for (std::int64_t k = k0; k < k1; ++k) {
      float v = x_.at(r, k);
      if (options_.flush_input_subnormals && std::fpclassify(v) == FP_SUBNORMAL)
        v = std::copysign(0.0f, v);
      scratch_[static_cast<size_t>(k - k0)] = v;
    }
    return scratch_.data();
  }

  Stats measure(const Group& group) {
    Stats stats;
    std::uint32_t most = 0;
    for (std::int64_t r = group.row0; r < group.row1; ++r)
      most = std::max(most, max_magnitude_bits(run_of(r, group.k0, group.k1), group.k1 - group.k0));
    if (most < kInfBits) {
      stats.amax = magnitude_of(most);
      return stats;
    }
    for (std::int64_t r = group.row0; r < group.row1; ++r) {
      const float* run = run_of(r, group.k0, group.k1);
      for (std::int64_t k = 0; k < group.k1 - group.k0; ++k) {
        if (std::isnan(run[k]))
          stats.nan = true;
        else if (std::isinf(run[k]))
          stats.inf = true;
        else
          stats.amax = std::max(stats.amax, std::fabs(run[k]));
      }
    }
    return stats;
  }

  void measure_all() {
    stats_.clear();
    for_each_group([&](const Group& group) { stats_.push_back(measure(group)); });
  }

  // The factor that maps the group's largest magnitude on the largest element, before rounding.
  double wanted(const Stats& stats) const {
    return format_.scale.of_maximum ? stats.amax : stats.amax / max_;
  }

  size_t outer_of(size_t group, std::int64_t row) const {
    switch (format_.outer.span) {
      case Span::kBlock:
        return group / static_cast<size_t>(format_.outer.blocks);
      case Span::kRow:
        return static_cast<size_t>(row);
      case Span::kTensor:
        return 0;
    }
    BLOCKDOT_CHECK(false, "span");
  }

  void choose_outer() {
    std::vector<std::int64_t> rows;
    for_each_group([&](const Group& group) { rows.push_back(group.row0); });
    double sum = 0;
    for (Stats& stats : stats_) {
      if (!stats.finite() && options_.specials == BlockSpecials::kSaturate)
        stats.amax = kLargestFloat;
      sum += wanted(stats);
    }
    if (format_.outer.mean) q_.mean = static_cast<float>(sum / static_cast<double>(stats_.size()));
    std::vector<double> largest(outer_of(stats_.size() - 1, rows.back()) + 1, 0.0);
    std::vector<bool> is_nan(largest.size(), false);
    for (size_t g = 0; g < stats_.size(); ++g) {
      size_t outer = outer_of(g, rows[g]);
      largest[outer] = std::max(largest[outer], std::fabs(wanted(stats_[g]) - q_.mean));
      if (nan_block(stats_[g]) && !has_nan(format_.scale)) is_nan[outer] = true;
    }
    double most = max_value(format_.scale);
    for (size_t i = 0; i < largest.size(); ++i) {
      // One rounding in double before the one to the outer format: see divide() for why it is none.
      std::uint32_t code = encode(format_.outer.scale, largest[i] > 0 ? largest[i] / most : 1.0);
      if (is_nan[i] && has_nan(format_.outer.scale)) code = nan_code(format_.outer.scale);
      q_.outer_scales.push_back(code);
    }
  }

  bool nan_block(const Stats& stats) const {
    switch (options_.specials) {
      case BlockSpecials::kNanBlock:
        return !stats.finite();
      case BlockSpecials::kSaturate:
        return stats.nan;
      case BlockSpecials::kPerElement:
        return false;
    }
    BLOCKDOT_CHECK(false, "block specials");
  }

  double outer_value(size_t group, std::int64_t row) const {
    return format_.has_outer() ? decode(format_.outer.scale, q_.outer_scales[outer_of(group, row)])
                               : 1.0;
  }

  Shared choose_scale(const Group& group, Stats stats, double unit) {
    Shared shared;
    if (nan_block(stats) && has_nan(format_.scale)) {
      shared.code = nan_code(format_.scale);
      shared.is_nan = true;
      return shared;
    }
    if (!stats.finite() && options_.specials != BlockSpecials::kPerElement)
      stats.amax = kLargestFloat;  // E8M0: the rules then give 2^(127 - emax); see below
    if (format_.scale.kind == ScaleKind::kE8M0) {
      int exponent = -kE8M0Bias;
      if (!stats.finite() && options_.specials == BlockSpecials::kSaturate)
        exponent = kE8M0Bias;
      else if (stats.amax > 0)
        exponent = exponent_by_rule(options_.scale_rule, stats.amax, element_);
      shared.exponent = std::clamp(exponent, -kE8M0Bias, kE8M0Bias);
      if (options_.scale_rule == ScaleRule::kOptimal && stats.amax > 0)
        shared.exponent = optimal_exponent(group, shared.exponent);
      shared.code = static_cast<std::uint32_t>(shared.exponent + kE8M0Bias);
      shared.value = std::ldexp(1.0, shared.exponent);
      return shared;
    }
    // amax / (max * unit) in double, then to the scale format: the double quotient is far finer
    // than any scale format's halfway points (see divide).
    double quotient;
    if (format_.outer.mean) {
      quotient = (wanted(stats) - q_.mean) / unit;
    } else if (stats.amax > 0) {
      quotient = stats.amax / (format_.scale.of_maximum ? unit : max_ * unit);
    } else {
      quotient = format_.scale.kind == ScaleKind::kMinifloat ? 1.0 : 0.0;
    }
    shared.code = encode(format_.scale, quotient);
    if (options_.scale_rule == ScaleRule::kCeil && stats.amax > 0 &&
        shared.code < largest_code(format_.scale) && decode(format_.scale, shared.code) < quotient)
      ++shared.code;
    if (options_.scale_rule == ScaleRule::kOptimal && stats.amax > 0)
      shared.code = optimal_code(group, shared.code);
    shared.value = decode(format_.scale, shared.code) * unit + q_.mean;
    return shared;
  }

  static std::uint32_t largest_code(const ScaleFormat& scale) {
    if (scale.kind == ScaleKind::kMinifloat) return max_finite_code(scale.minifloat);
    return (1u << scale.width()) - 1;
  }

  // Sum of squared errors of the group under a divisor, in the order of its elements.
  double squared_error(const Group& group, double divisor) const {
    double sum = 0;
    for (std::int64_t r = group.row0; r < group.row1; ++r)
      for (std::int64_t k = group.k0; k < group.k1; ++k) {
        double x = x_.at(r, k);
        double error =
            decode(element_, encode(element_, x / divisor, {}, 0, Overflow::kSaturate)) * divisor -
            x;
        sum += error * error;
      }
    return sum;
  }

  // A scale below amax / max * 2^-4 clips the largest element to a sixteenth; one above 2 wastes a
  // bit of every element: the best is between.
  int optimal_exponent(const Group& group, int ceil) const {
    int best = ceil;
    double least = std::numeric_limits<double>::infinity();
    for (int e = std::max(ceil - 4, -kE8M0Bias); e <= std::min(ceil + 1, kE8M0Bias); ++e) {
      double error = squared_error(group, std::ldexp(1.0, e));
      if (error < least) {
        least = error;
        best = e;
      }
    }
    return best;
  }

  std::uint32_t optimal_code(const Group& group, std::uint32_t nearest) const {
    double centre = decode(format_.scale, nearest);
    std::uint32_t best = nearest;
    double least = std::numeric_limits<double>::infinity();
    for (std::uint32_t code = 1; code <= largest_code(format_.scale); ++code) {
      double value = decode(format_.scale, code);
      if (value < centre / 16 || value > centre * 2) continue;
      double error = squared_error(group, format_.scale.of_maximum ? value / max_ : value);
      if (error < least) {
        least = error;
        best = code;
      }
    }
    return best;
  }

  // A band of tiles row by row, as memory lies: first all maxima, then all codes. Stochastic
  // rounding draws tile by tile and does not come here.
  void run_bands() {
    std::int64_t columns = q_.blocks_per_row();
    std::vector<Stats> stats(static_cast<size_t>(columns));
    std::vector<GroupCode> codes(static_cast<size_t>(columns));
    for (std::int64_t row0 = 0; row0 < x_.rows; row0 += format_.tile_rows) {
      std::int64_t row1 = std::min<std::int64_t>(row0 + format_.tile_rows, x_.rows);
      auto group_of = [&](std::int64_t column) {
        return Group{row0, row1, column * block_, std::min((column + 1) * block_, x_.length)};
      };
      std::fill(stats.begin(), stats.end(), Stats{});
      for (std::int64_t r = row0; r < row1; ++r)
        for (std::int64_t column = 0; column < columns; ++column) {
          Group part = group_of(column);
          part.row0 = r;
          part.row1 = r + 1;
          Stats row = measure(part);
          Stats& all = stats[static_cast<size_t>(column)];
          all.amax = std::max(all.amax, row.amax);
          all.nan |= row.nan;
          all.inf |= row.inf;
        }
      for (std::int64_t column = 0; column < columns; ++column)
        codes[static_cast<size_t>(column)] =
            prepare_group(group_of(column), stats[static_cast<size_t>(column)]);
      for (std::int64_t r = row0; r < row1; ++r)
        for (std::int64_t column = 0; column < columns; ++column)
          encode_row(group_of(column), r, codes[static_cast<size_t>(column)]);
    }
  }

  /// What the rows of a group need: its shared scale and the divisor of its elements.
  struct GroupCode {
    Shared shared;
    double divisor = 1;
    bool no_elements = false;
    bool finite = true;
  };

  std::int64_t column_of(const Group& group) const {
    return format_.block > 0 ? group.k0 / block_ : 0;
  }

  GroupCode prepare_group(const Group& group, const Stats& stats) {
    auto index = static_cast<size_t>(group.row0 * q_.blocks_per_row() + column_of(group));
    double unit = outer_value(index, group.row0);
    GroupCode code;
    code.shared = choose_scale(group, stats, unit);
    code.finite = stats.finite();
    code.divisor = by_stored_ ? code.shared.value : stats.amax > 0 ? wanted(stats) : 1.0;
    // An outer NaN makes all factors NaN, a mean may leave a factor of 0 or less.
    code.no_elements = code.shared.is_nan || !(code.divisor > 0) || std::isnan(unit);
    return code;
  }

  void quantize_group(const Group& group, const Stats& stats) {
    GroupCode code = prepare_group(group, stats);
    for (std::int64_t r = group.row0; r < group.row1; ++r) encode_row(group, r, code);
  }

  void encode_row(const Group& group, std::int64_t r, const GroupCode& code) {
    group_finite_ = code.finite;
    q_.scales[static_cast<size_t>(r * q_.blocks_per_row() + column_of(group))] = code.shared.code;
    if (code.no_elements) {
      for (std::int64_t k = group.k0; k < group.k1; ++k)
        store(q_, r * q_.padded_length + k, zero_code_);
      return;
    }
    if (format_.micro.bits == 0) {
      encode_run(r, group.k0, group.k1, code.divisor);
      return;
    }
    int tau_max = (1 << format_.micro.bits) - 1;
    for (std::int64_t s0 = group.k0; s0 < group.k1; s0 += format_.micro.block) {
      std::int64_t s1 = std::min(s0 + format_.micro.block, group.k1);
      float largest = magnitude_of(max_magnitude_bits(run_of(r, s0, s1), s1 - s0));
      int tau = largest > 0 ? std::clamp(code.shared.exponent - floor_log2(largest), 0, tau_max)
                            : tau_max;
      q_.micros[static_cast<size_t>((r * q_.padded_length + s0) / format_.micro.block)] =
          static_cast<std::uint8_t>(tau);
      encode_run(r, s0, s1, std::ldexp(code.divisor, -tau));
    }
  }

  // Dividing by a power of two is exact in double. By a minifloat scale it is rounded once, which
  // decides nothing: a quotient of significands of 24 (x) and up to 28 bits (scale times outer)
  // that is not a halfway point of p <= 24 bits is at least 2^-53 of itself away from one for all
  // p + 28 <= 52. Only the truncated tail of stochastic rounding may see the rounded quotient.
  double divide(float x, double divisor) const {
    return format_.scale.of_maximum ? x * max_ / divisor : x * prescale_ / divisor;
  }

  void encode_run(std::int64_t r, std::int64_t k0, std::int64_t k1, double divisor) {
    const float* run = run_of(r, k0, k1);
    std::int64_t at = r * q_.padded_length + k0;
    double over_max = format_.scale.of_maximum ? max_ : 1.0;
    if (group_finite_ && kernel_.encode(run, k1 - k0, divisor, over_max, q_.codes.data() + at))
      return;
    for (std::int64_t k = 0; k < k1 - k0; ++k) {
      std::uint32_t random =
          options_.rounding.stochastic() ? stream_.draw(options_.rounding.random_bits) : 0u;
      store(q_, at + k, encode_one(run[k], divisor, random));
    }
  }

  std::uint32_t encode_one(float x, double divisor, std::uint32_t random) const {
    Overflow overflow = overflow_;
    if (std::isinf(x) && options_.specials == BlockSpecials::kPerElement && !options_.overflow)
      overflow = Overflow::kToSpecial;
    std::uint32_t code = encode(element_, divide(x, divisor), options_.rounding, random, overflow);
    bool signed_zero =
        element_.kind == ElementKind::kMinifloat || element_.kind == ElementKind::kSignMagnitude;
    if (options_.flush_subnormals && element_.kind == ElementKind::kMinifloat) {
      double value = decode(element_, code);
      if (std::fabs(value) < min_normal(element_))
        code = encode(element_, std::copysign(0.0, value));
    }
    if (!options_.keep_negative_zero && signed_zero && decode(element_, code) == 0) code = 0;
    return code;
  }

  const BlockFormat& format_;
  const ElementFormat& element_;
  const MatrixView& x_;
  const QuantizeOptions& options_;
  QuantizedMatrix& q_;
  Lfsr stream_;
  double max_;
  std::uint32_t zero_code_;
  Overflow overflow_;
  bool by_stored_;
  double prescale_;
  ElementKernel kernel_;
  bool group_finite_ = true;  // a kernel takes finite values
  std::int64_t block_ = 0;
  std::vector<float> scratch_;
  std::vector<Stats> stats_;  // of all groups, under an outer scale
};

constexpr std::pair<ScaleRule, const char*> kRules[] = {
    {ScaleRule::kFloor, "floor"},
    {ScaleRule::kCeil, "ceil"},
    {ScaleRule::kEven, "even"},
    {ScaleRule::kRceil, "rceil"},
    {ScaleRule::kAmax, "amax"},
    {ScaleRule::kThreeQuarters, "three-quarters"},
    {ScaleRule::kOptimal, "optimal"},
    {ScaleRule::kShift, "shift"},
    {ScaleRule::kCeilExponent, "ceil-exponent"},
    {ScaleRule::kRceilReciprocal, "rceil-reciprocal"}};

constexpr std::pair<BlockSpecials, const char*> kSpecials[] = {
    {BlockSpecials::kNanBlock, "nan-block"},
    {BlockSpecials::kPerElement, "per-element"},
    {BlockSpecials::kSaturate, "saturate"}};

template <typename Table>
auto by_name(const char* field, std::string_view text, const Table& table) {
  std::vector<std::string> names;
  for (auto [value, name] : table) {
    if (text == name) return value;
    names.emplace_back(name);
  }
  throw ConfigError("{} = {}: must be one of {}{}", field, shown(text), fmt::join(names, ", "),
                    did_you_mean(text, names));
}

template <typename Value, typename Table>
std::string name_of(Value value, const Table& table) {
  for (auto [known, name] : table)
    if (known == value) return name;
  BLOCKDOT_CHECK(false, "a name");
}

}  // namespace

ScaleRule parse_scale_rule(std::string_view text) { return by_name("scale-rule", text, kRules); }
std::string to_text(ScaleRule rule) { return name_of(rule, kRules); }

ScaleRule parse_operand_scale_rule(std::string_view text) {
  ScaleRule rule = parse_scale_rule(text);
  if (rule == ScaleRule::kThreeQuarters)
    throw ConfigError(
        "scale-rule = three-quarters: leaves a factor 4/3 on every operand that no unit applies; "
        "`blockdot quantize` takes it, a GEMM takes the others, such as floor or ceil");
  return rule;
}

const std::vector<std::string>& scale_rule_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (auto [rule, name] : kRules) list.emplace_back(name);
    return list;
  }();
  return names;
}

BlockSpecials parse_block_specials(std::string_view text) {
  return by_name("specials", text, kSpecials);
}
std::string to_text(BlockSpecials specials) { return name_of(specials, kSpecials); }

std::uint32_t QuantizedMatrix::code(std::int64_t r, std::int64_t k) const {
  std::uint32_t code = 0;
  std::memcpy(&code, codes.data() + (r * padded_length + k) * code_bytes,
              static_cast<size_t>(code_bytes));
  return code;
}

std::uint32_t QuantizedMatrix::scale(std::int64_t r, std::int64_t k) const {
  if (scales.empty()) return 0;
  return scales[static_cast<size_t>(r * blocks_per_row() +
                                    (format.block > 0 ? k / format.block : 0))];
}

int QuantizedMatrix::micro(std::int64_t r, std::int64_t k) const {
  if (micros.empty()) return 0;
  return micros[static_cast<size_t>((r * padded_length + k) / format.micro.block)];
}

std::size_t QuantizedMatrix::outer_index(std::int64_t r, std::int64_t k) const {
  switch (format.outer.span) {
    case Span::kBlock:
      return static_cast<size_t>((r * blocks_per_row() + k / format.block) / format.outer.blocks);
    case Span::kRow:
      return static_cast<size_t>(r);
    case Span::kTensor:
      return 0;
  }
  BLOCKDOT_CHECK(false, "span");
}

double QuantizedMatrix::scale_factor(std::int64_t r, std::int64_t k) const {
  double scale_value = decode(format.scale, scale(r, k));
  if (format.has_outer())
    scale_value = scale_value * decode(format.outer.scale, outer_scales[outer_index(r, k)]) + mean;
  return scale_value;
}

double QuantizedMatrix::value(std::int64_t r, std::int64_t k) const {
  double product = decode(format.element, code(r, k)) * scale_factor(r, k);
  if (format.scale.of_maximum) product /= max_value(format.element);
  if (format.micro.bits > 0) product = std::ldexp(product, -micro(r, k));
  return product * factor;
}

void quantize_into(const BlockFormat& format, const MatrixView& x, const QuantizeOptions& options,
                   QuantizedMatrix& out) {
  validate(format);
  BLOCKDOT_CHECK(x.rows >= 0 && x.length >= 0, "shape {} x {}", x.rows, x.length);
  Quantizer(format, x, options, false, out).run();
}

QuantizedMatrix quantize(const BlockFormat& format, const MatrixView& x,
                         const QuantizeOptions& options) {
  QuantizedMatrix q;
  quantize_into(format, x, options, q);
  return q;
}

QuantizedMatrix quantize_by_definition(const BlockFormat& format, const MatrixView& x,
                                       const QuantizeOptions& options) {
  validate(format);
  QuantizedMatrix q;
  Quantizer(format, x, options, true, q).run();
  return q;
}

void dequantize_into(const QuantizedMatrix& matrix, std::span<float> values) {
  BLOCKDOT_CHECK(static_cast<std::int64_t>(values.size()) == matrix.rows * matrix.length,
                 "{} values for {} x {}", values.size(), matrix.rows, matrix.length);
  if (dequantize_fast(matrix, values.data())) return;
  for (std::int64_t r = 0; r < matrix.rows; ++r)
    for (std::int64_t k = 0; k < matrix.length; ++k)
      values[static_cast<size_t>(r * matrix.length + k)] = static_cast<float>(matrix.value(r, k));
}

std::vector<float> dequantize(const QuantizedMatrix& matrix) {
  std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.length));
  dequantize_into(matrix, values);
  return values;
}

}  // namespace blockdot::formats
