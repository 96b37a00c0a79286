// The fast GEMM: the first way that is exact for the operands. The vector ways have their own files
// (gemm_integer.h, gemm_mac.h, gemm_double.h); here is what takes any element and any scale.
//
// Elements become integers in units of their row (gemm_operand.h), so a
// beat's sum S of products is an integer, and the beat value T = S * xa * xb with real scales.
// Then, tile by tile, the cheapest way is taken whose conditions the tile's bounds fulfil:
//
//   fma     FP32 accumulator, RNE. |S| <= 2^24 and xa * xb exact in float:
//           acc = fma(S, xa * xb, acc) is the one rounding of the definition.
//   odd     FP32 accumulator, RNE. T exact in double: acc + T rounded to odd in double, then RNE
//           to float, is that rounding too (Boldo and Melquiond, 2008: 53 >= 24 + 2).
//   double  Kulisch. All partial sums of T fit 53 bits: plain double arithmetic is exact.
//   int64   Kulisch. T exact in double, partial sums fit 62 bits.
//   wide    Any accumulator, one result at a time, T and the sums in 126 or 510 bits.
//   golden  What is left.
//
// What multiplies a whole result (scales of rows and tensors, dot_spec.h) comes after the sums: the
// exact accumulator times the factor is rounded to odd in double, then to the output. A float
// accumulator's sums are a product of their own, by any way.
//
// "Fits" counts from the lowest bit that the data set to the highest that they can reach. A Kulisch
// sum does not depend on the order or on the lanes, so its chunks may be longer than beats. NaN and
// Inf are flags beside the sums, as in the contract, and join at the end.
#include "models/gemm.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <new>
#include <optional>

#include "formats/error.h"
#include "formats/lfsr_jump.h"
#include "models/gemm_double.h"
#include "models/gemm_integer.h"
#include "models/gemm_kernels.h"
#include "models/gemm_mac.h"
#include "models/gemm_operand.h"
#include "models/gemm_pack.h"
#include "models/parallel.h"
#include "models/wide_int.h"

namespace blockdot::models {

using formats::AccumulatorKind;
using formats::BeatRange;
using formats::DotSpec;
using formats::ElementFormat;
using formats::Lfsr;
using formats::Overflow;
using formats::QuantizedMatrix;
using formats::Rounding;
using formats::RoundingMode;
using formats::ScaleKind;

namespace {

enum class Way { kFma, kOdd, kDouble, kInt64, kWide };

/// Aligned memory for the tiles.
template <typename T>
class Panel {
 public:
  explicit Panel(std::int64_t size)
      : data_(static_cast<T*>(
            ::operator new (static_cast<size_t>(size) * sizeof(T), std::align_val_t{64}))) {
    std::fill(data_, data_ + size, T{});
  }
  ~Panel() { ::operator delete (data_, std::align_val_t{64}); }
  Panel(const Panel&) = delete;
  Panel& operator=(const Panel&) = delete;
  T* data() { return data_; }
  const T* data() const { return data_; }

 private:
  T* data_;
};

int ceil_log2(double x) { return x <= 1 ? 0 : std::ilogb(x) + (std::exp2(std::ilogb(x)) < x); }

bool is_fp32(const ElementFormat& format) { return format == formats::minifloat(8, 23); }

/// Ra * Rb of every result.
class Factors {
 public:
  Factors(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b)
      : any_(has_result_factor(spec)) {
    if (!any_) return;
    for (std::int64_t i = 0; i < a.rows; ++i) a_.push_back(result_factor(a, i));
    for (std::int64_t j = 0; j < b.rows; ++j) b_.push_back(result_factor(b, j));
    formats::OddFactor x = amax_divisor(spec.a), y = amax_divisor(spec.b);
    divisor_ = std::uint64_t{x.odd} * y.odd;
    divisor_exponent_ = x.exponent + y.exponent;
  }

  bool any() const { return any_; }
  /// Without the division: exact, since both have 24 bits; NaN and Inf too.
  double product(std::int64_t i, std::int64_t j) const {
    return any_ ? a_[static_cast<size_t>(i)] * b_[static_cast<size_t>(j)] : 1;
  }

  /// acc * Ra * Rb as a double rounded to odd, in a range where the doubles are normal: far outside
  /// of every output it stops. acc: x * 2^exponent.
  template <typename Wide>
  double times(const Wide& x, int exponent, std::int64_t i, std::int64_t j) const {
    double factor = product(i, j);
    if (!std::isfinite(factor)) return std::numeric_limits<double>::quiet_NaN();
    if (x == 0 || factor == 0) return 0;
    int factor_exponent;
    auto significand =
        static_cast<std::int64_t>(std::ldexp(std::frexp(factor, &factor_exponent), kFactorBits));
    exponent += factor_exponent - kFactorBits - divisor_exponent_;
    Wide magnitude = x < 0 ? Wide(-x) : x;
    double value = bit_length(magnitude) + kFactorBits <= kCapacity<Int128> - 1
                       ? divided<Int128>(static_cast<Int128>(magnitude) * significand, exponent)
                       : divided<Int512>(Int512(to_512(magnitude) * significand), exponent);
    return x < 0 ? -value : value;
  }

  /// The same for what a float accumulator holds: NaN and Inf as the contract has them.
  double times(double acc, std::int64_t i, std::int64_t j) const {
    if (std::isnan(acc) || std::isinf(acc))
      return acc * (product(i, j) > 0 && std::isfinite(product(i, j))
                        ? 1
                        : std::numeric_limits<double>::quiet_NaN());
    if (acc == 0) return times(Int128{0}, 0, i, j);
    int exponent;
    auto significand = static_cast<std::int64_t>(std::ldexp(std::frexp(acc, &exponent), 53));
    return times(Int128{significand}, exponent - 53, i, j);
  }

  Exact divisor() const { return Exact(Exact::Integer(divisor_), divisor_exponent_); }

 private:
  static constexpr int kFactorBits = 48;

  static Int512 to_512(const Int512& x) { return x; }
  static Int512 to_512(const Int128& x) { return widen(x, static_cast<Int512*>(nullptr)); }

  template <typename Wide>
  double divided(Wide x, int exponent) const {
    if (divisor_ > 1) {
      // Far more bits than a double has; the last one stands for the remainder.
      int shift = kCapacity<Wide> - 1 - bit_length(x);
      x <<= shift;
      exponent -= shift;
      Wide quotient = x / Wide(divisor_);
      if (quotient * Wide(divisor_) != x) quotient |= 1;
      x = quotient;
    }
    // Doubles end beyond every output on both sides.
    const int top = bit_length(x) + exponent, beyond = std::clamp(top, -900, 900) - top;
    return odd_double(x, exponent + beyond);
  }

  bool any_;
  std::vector<double> a_, b_;
  std::uint64_t divisor_ = 1;
  int divisor_exponent_ = 0;
};

/// Results (i, j) of one GEMM; shared, and only read, by all threads.
struct Job {
  const DotSpec& spec;
  const QuantizedMatrix& a_matrix;
  const QuantizedMatrix& b_matrix;
  Operand a, b;
  std::vector<BeatRange> beats;
  std::vector<BeatRange> chunks;            // beats, or longer where the order does not matter
  int max_count = 0;                        // longest chunk
  std::vector<std::uint32_t> random_state;  // [m][n] Lfsr state at the result's first draw
  GemmResult result;
  Factors factors;

  bool float_accumulator() const { return spec.accumulator.kind == AccumulatorKind::kFloat; }
  /// The accumulator's rounding is the last one.
  bool same_float() const { return !output_rounds(spec); }
  std::uint32_t state(std::int64_t i, std::int64_t j) const {
    return random_state.empty() ? 1 : random_state[static_cast<size_t>(i * result.n + j)];
  }
  bool plain(std::int64_t i, std::int64_t j) const {
    const Operand::Row& x = a.row[static_cast<size_t>(i)];
    const Operand::Row& y = b.row[static_cast<size_t>(j)];
    return !x.nan && !y.nan && x.infs.empty() && y.infs.empty() &&
           std::isfinite(factors.product(i, j));
  }
};

// ---- The end of a result ----

struct Flags {
  bool nan = false, plus_inf = false, minus_inf = false;
};

/// What the Inf elements of row i and column j do (dot_spec.h, "NaN and Inf").
Flags inf_flags(const Job& job, std::int64_t i, std::int64_t j) {
  Flags flags;
  auto product = [&](std::int64_t k) {
    double x = decode(job.spec.a.element, job.a_matrix.code(i, k));
    double y = decode(job.spec.b.element, job.b_matrix.code(j, k));
    double xa = beat_factor(job.a_matrix, i, k);
    double xb = beat_factor(job.b_matrix, j, k);
    if (x == 0 || y == 0 || xa == 0 || xb == 0 || job.factors.product(i, j) == 0)
      flags.nan = true;
    else
      ((x < 0) ^ (y < 0) ^ (xa < 0) ^ (xb < 0) ? flags.minus_inf : flags.plus_inf) = true;
  };
  for (std::int64_t k : job.a.row[static_cast<size_t>(i)].infs) product(k);
  for (std::int64_t k : job.b.row[static_cast<size_t>(j)].infs) product(k);
  return flags;
}

/// The result's code from its accumulator times its factor: a float accumulator's value, or the
/// exact number rounded to odd. `random`: the output's draw.
std::uint32_t finish(const Job& job, std::int64_t i, std::int64_t j, double value,
                     std::uint32_t random) {
  const ElementFormat& output = job.spec.output;
  if (!job.plain(i, j)) {
    Flags flags = inf_flags(job, i, j);
    if (job.a.row[static_cast<size_t>(i)].nan || job.b.row[static_cast<size_t>(j)].nan ||
        !std::isfinite(job.factors.product(i, j)))
      flags.nan = true;
    // What a float accumulator holds.
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if (std::isnan(value)) flags.nan = true;
    if (value == infinity) flags.plus_inf = true;
    if (value == -infinity) flags.minus_inf = true;
    if (flags.nan || (flags.plus_inf && flags.minus_inf))
      value = std::numeric_limits<double>::quiet_NaN();
    else if (flags.plus_inf || flags.minus_inf)
      value = flags.plus_inf ? infinity : -infinity;
  }
  // The one accumulator that is already the output may hold -0; elsewhere a zero is +0.
  if (value == 0 && !job.same_float()) value = 0;
  return encode(output, value, job.spec.rounding, random, Overflow::kToSpecial);
}

// ---- One result at a time ----

std::uint32_t golden_result(const Job& job, std::int64_t i, std::int64_t j) {
  GoldenDot unit(job.spec, job.state(i, j));
  BeatBuffer buffer;
  for (size_t beat = 0;; ++beat) {
    fill_beat(job.spec, job.a_matrix, i, job.b_matrix, j, job.beats[beat], buffer);
    if (auto code = unit.step(buffer.beat(beat == 0, beat + 1 == job.beats.size()))) return *code;
  }
}

/// acc + floor(t * 2^exponent / 2^lsb) in units of 2^lsb, fitted to the window.
template <typename Wide>
Wide window_step(const formats::FixedFormat& window, const Wide& acc, const Wide& t, int exponent) {
  if (t == 0) return acc;
  int shift = exponent - window.lsb;
  int width = window.width();
  Wide half = Wide(1) << (width - 1);
  Wide entry = 0;
  if (shift <= 0) {
    entry = floor_shift(t, -shift);
  } else if (window.saturate) {
    // Beyond twice the window it decides alone.
    if (bit_length(t < 0 ? Wide(-t) : t) + shift > width + 1)
      return t < 0 ? Wide(-half) : Wide(half - 1);
    entry = t << shift;
  } else if (shift < width) {
    entry = Wide(t - (floor_shift(t, width - shift) << (width - shift))) << shift;
  }
  Wide sum = acc + entry;
  if (window.saturate) return sum < -half ? Wide(-half) : sum >= half ? Wide(half - 1) : sum;
  sum -= floor_shift(sum, width) << width;  // 0 .. 2^width - 1
  return sum >= half ? Wide(sum - half - half) : sum;
}

template <typename Wide, typename Sum>
std::uint32_t wide_result_with(const Job& job, std::int64_t i, std::int64_t j, int scale_low) {
  const DotSpec& spec = job.spec;
  const std::int64_t* x = job.a.units_of(i);
  const std::int64_t* y = job.b.units_of(j);
  Lfsr stream(job.state(i, j));
  Wide fixed = 0;       // Kulisch: units of 2^scale_low; window: of its lsb
  double floating = 0;  // float accumulator
  const Rounding& rounding = spec.accumulator.rounding;
  bool nearest_fp32 = has_nearest_fp32_accumulator(spec);
  for (std::int64_t c = 0; c < job.a.chunks; ++c) {
    const BeatRange& chunk = job.chunks[static_cast<size_t>(c)];
    Sum sum = 0;
    for (std::int64_t k = chunk.k; k < chunk.k + chunk.count; ++k)
      sum += static_cast<Sum>(x[k]) * y[k];
    auto at = static_cast<size_t>(i * job.a.chunks + c);
    auto bt = static_cast<size_t>(j * job.b.chunks + c);
    Wide t = widen(sum, static_cast<Wide*>(nullptr)) * Wide(job.a.significands[at]) *
             Wide(job.b.significands[bt]);
    int exponent = job.a.exponents[at] + job.b.exponents[bt];
    switch (spec.accumulator.kind) {
      case AccumulatorKind::kKulisch:
        if (t != 0) fixed += t << (exponent - scale_low);
        break;
      case AccumulatorKind::kKulischWindow:
        fixed = window_step(spec.accumulator.window, fixed, t, exponent);
        break;
      case AccumulatorKind::kFloat: {
        std::uint32_t random = rounding.stochastic() ? stream.draw(rounding.random_bits) : 0;
        if (!std::isfinite(floating)) break;
        const ElementFormat& format = spec.accumulator.format;
        double exact = odd_sum(floating, t, exponent);
        floating =
            nearest_fp32
                ? static_cast<float>(exact)
                : decode(format, encode(format, exact, rounding, random, Overflow::kToSpecial));
        break;
      }
    }
  }
  double value = floating;
  if (job.float_accumulator()) {
    if (job.factors.any()) value = job.factors.times(floating, i, j);
  } else {
    int unit = spec.accumulator.kind == AccumulatorKind::kKulisch ? scale_low
                                                                  : spec.accumulator.window.lsb;
    value = job.factors.any() ? job.factors.times(fixed, unit, i, j) : odd_double(fixed, unit);
  }
  bool draws = spec.rounding.stochastic() && !job.same_float();
  return finish(job, i, j, value, draws ? stream.draw(spec.rounding.random_bits) : 0);
}

/// A rounding sees no difference between a value and its double rounded to odd.
bool odd_suffices(const ElementFormat& format, const Rounding& rounding) {
  return format.man_bits + 1 + rounding.random_bits + 2 <= 53 && max_exponent(format) < 800 &&
         lsb_exponent(format) - rounding.random_bits > -800;
}

struct Bounds {
  bool wild = false;
  double units = 0;   // |S| <= units
  int units_low = 0;  // S is a multiple of 2^units_low
  int scale_low = 0, scale_high = 0;
};

Bounds bounds_of(const Job& job, const OperandRange& a, const OperandRange& b) {
  Bounds bounds;
  bounds.wild = a.wild || b.wild;
  bounds.units =
      static_cast<double>(a.max_units) * static_cast<double>(b.max_units) * job.max_count;
  bounds.units_low = a.units_low + b.units_low;
  if (!a.empty && !b.empty) {
    bounds.scale_low = a.scale_low + b.scale_low;
    bounds.scale_high = a.scale_high + b.scale_high;
  }
  return bounds;
}

constexpr int kSafeExponent = 900;  // doubles and their errors stay normal within

std::uint32_t wide_result(const Job& job, std::int64_t i, std::int64_t j) {
  const DotSpec& spec = job.spec;
  Bounds bounds = bounds_of(job, job.a.row[static_cast<size_t>(i)].range,
                            job.b.row[static_cast<size_t>(j)].range);
  int sum_bits = ceil_log2(bounds.units) + 1;
  int bits = sum_bits + beat_factor_bits(spec.a) + beat_factor_bits(spec.b);
  bool fits = !bounds.wild && sum_bits <= 126 && bounds.scale_low > -kSafeExponent &&
              bounds.scale_high + bits < kSafeExponent && odd_suffices(spec.output, spec.rounding);
  // Bits of T; with a Kulisch accumulator, of its sum; with the others, room beside T.
  int need = bits;
  switch (spec.accumulator.kind) {
    case AccumulatorKind::kKulisch:
      need = sum_bits + bounds.scale_high - bounds.scale_low +
             ceil_log2(static_cast<double>(job.a.chunks));
      break;
    case AccumulatorKind::kKulischWindow:
      need = std::max(need, spec.accumulator.window.width() + 2);
      fits &= std::abs(spec.accumulator.window.lsb) < kSafeExponent &&
              std::abs(spec.accumulator.window.msb) < kSafeExponent;
      break;
    case AccumulatorKind::kFloat:
      need += 30;
      fits &= spec.accumulator.format.width() <= 32 &&
              odd_suffices(spec.accumulator.format, spec.accumulator.rounding);
      break;
  }
  const int factor_bits = job.factors.any() ? 64 : 0;
  if (!fits || need + factor_bits > kCapacity<Int512>) return golden_result(job, i, j);
  int low = bounds.scale_low;
  bool narrow_sum = sum_bits <= 63;
  if (need <= kCapacity<Int128>)
    return narrow_sum ? wide_result_with<Int128, std::int64_t>(job, i, j, low)
                      : wide_result_with<Int128, Int128>(job, i, j, low);
  return narrow_sum ? wide_result_with<Int512, std::int64_t>(job, i, j, low)
                    : wide_result_with<Int512, Int128>(job, i, j, low);
}

// ---- Tiles ----

/// Both operands laid out for tile_sums, in T = float or double.
///   units_a [panel][k][kTileRows]     scales_a [panel][chunk][kTileRows]    and b with kTileCols
template <typename T>
struct Tiles {
  static constexpr int kCols = kTileCols<T>;
  std::int64_t a_panels, b_panels;
  Panel<T> a, b;
  Panel<double> scales_a, scales_b;

  Tiles(const Job& job, int threads)
      : a_panels((job.a.rows + kTileRows - 1) / kTileRows),
        b_panels((job.b.rows + kCols - 1) / kCols),
        a(a_panels * job.a.length * kTileRows),
        b(b_panels * job.b.length * kCols),
        scales_a(a_panels * job.a.chunks * kTileRows),
        scales_b(b_panels * job.b.chunks * kCols) {
    pack(job.a, kTileRows, a.data(), scales_a.data(), threads);
    pack(job.b, kCols, b.data(), scales_b.data(), threads);
  }

  static void pack(const Operand& operand, int width, T* units, double* scales, int threads) {
    parallel_ranges(operand.rows, threads, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r) {
        const std::int64_t* source = operand.units_of(r);
        T* to = units + r / width * operand.length * width + r % width;
        for (std::int64_t k = 0; k < operand.length; ++k) to[k * width] = static_cast<T>(source[k]);
        double* scale = scales + r / width * operand.chunks * width + r % width;
        for (std::int64_t c = 0; c < operand.chunks; ++c) scale[c * width] = operand.scale(r, c);
      }
    });
  }
};

/// RNE to float of acc + t, exactly: the error of the double sum decides the odd neighbour.
inline float add_odd(float acc, double t) {
  double x = acc;
  double s = x + t;
  double bb = s - x;
  double error = (x - (s - bb)) + (t - bb);  // NaN where acc is Inf: no fix
  auto bits = std::bit_cast<std::int64_t>(s);
  std::int64_t inexact = (error > 0) | (error < 0);
  std::int64_t outward = (error > 0) == (s > 0) ? 1 : -1;
  bits += inexact & ~bits & 1 ? outward : 0;
  return static_cast<float>(std::bit_cast<double>(bits));
}

template <typename T>
class TileRunner {
 public:
  static constexpr int kCols = kTileCols<T>;

  TileRunner(const Job& job, const Tiles<T>& tiles) : job_(job), tiles_(tiles) {
    for (std::int64_t p = 0; p < tiles.b_panels; ++p)
      b_ranges_.push_back(joint_range(job.b, p * kCols, std::min(job.b.rows, (p + 1) * kCols)));
  }

  /// Rows [begin, end) of the result, begin a multiple of kTileRows.
  void run(std::int64_t begin, std::int64_t end, std::uint32_t* codes) const {
    for (std::int64_t jp = 0; jp < tiles_.b_panels; ++jp) {
      for (std::int64_t ip = begin / kTileRows; ip * kTileRows < end; ++ip) {
        std::int64_t last = std::min(job_.a.rows, (ip + 1) * kTileRows);
        Bounds bounds = bounds_of(job_, joint_range(job_.a, ip * kTileRows, last),
                                  b_ranges_[static_cast<size_t>(jp)]);
        run_tile(ip, jp, bounds, codes);
      }
    }
  }

 private:
  Way way_of(const Bounds& bounds) const {
    const DotSpec& spec = job_.spec;
    int scales = beat_factor_bits(spec.a) + beat_factor_bits(spec.b);
    // Floating point sees only the bits from the lowest one that is set.
    int sum_bits = ceil_log2(bounds.units) - bounds.units_low;  // |S| = 2^sum_bits fits too
    bool in_double = !bounds.wild && sum_bits + (scales == 2 ? 0 : scales) <= 53 &&
                     bounds.scale_low > -kSafeExponent && bounds.scale_high < kSafeExponent - 128;
    if (!in_double) return Way::kWide;
    if (job_.factors.any() && !odd_suffices(spec.output, spec.rounding)) return Way::kWide;
    if (job_.float_accumulator()) {
      // xa * xb is formed in double and then narrowed, exactly both times.
      bool in_float = sizeof(T) == sizeof(float) && bounds.units <= 0x1p24 && scales <= 24 &&
                      bounds.scale_low >= -149 && bounds.scale_high <= 127;
      return in_float ? Way::kFma : Way::kOdd;
    }
    if (!odd_suffices(spec.output, spec.rounding)) return Way::kWide;
    int total = sum_bits + bounds.scale_high - bounds.scale_low +
                ceil_log2(static_cast<double>(job_.a.chunks));
    return total <= 53 ? Way::kDouble : total <= 62 ? Way::kInt64 : Way::kWide;
  }

  void run_tile(std::int64_t ip, std::int64_t jp, const Bounds& bounds,
                std::uint32_t* codes) const {
    switch (way_of(bounds)) {
      case Way::kFma:
        return accumulate<float>(ip, jp, codes, 1, [](T s, double x, float acc) {
          return std::fma(static_cast<float>(s), static_cast<float>(x), acc);
        });
      case Way::kOdd:
        return accumulate<float>(ip, jp, codes, 1, [](T s, double x, float acc) {
          return add_odd(acc, static_cast<double>(s) * x);
        });
      case Way::kDouble:
        return accumulate<double>(ip, jp, codes, 1, [](T s, double x, double acc) {
          return std::fma(static_cast<double>(s), x, acc);
        });
      case Way::kInt64:
        return accumulate<std::int64_t>(
            ip, jp, codes, std::ldexp(1.0, -bounds.scale_low - bounds.units_low),
            [](T s, double x, std::int64_t acc) {
              return acc + static_cast<std::int64_t>(static_cast<double>(s) * x);
            });
      case Way::kWide:
        for (std::int64_t i = ip * kTileRows; i < std::min(job_.a.rows, (ip + 1) * kTileRows); ++i)
          for (std::int64_t j = jp * kCols; j < std::min(job_.b.rows, (jp + 1) * kCols); ++j)
            codes[i * job_.b.rows + j] = wide_result(job_, i, j);
        return;
    }
  }

  /// One tile: sums chunk by chunk, step(S, xa * xb * factor, acc) for each, then the codes.
  template <typename Acc, typename Step>
  void accumulate(std::int64_t ip, std::int64_t jp, std::uint32_t* codes, double factor,
                  Step step) const {
    alignas(64) Acc acc[kTileRows * kCols] = {};
    alignas(64) T sums[kTileRows * kCols];
    const T* a = tiles_.a.data() + ip * job_.a.length * kTileRows;
    const T* b = tiles_.b.data() + jp * job_.b.length * kCols;
    const double* xa = tiles_.scales_a.data() + ip * job_.a.chunks * kTileRows;
    const double* xb = tiles_.scales_b.data() + jp * job_.b.chunks * kCols;
    for (std::int64_t c = 0; c < job_.a.chunks; ++c) {
      const BeatRange& chunk = job_.chunks[static_cast<size_t>(c)];
      tile_sums(a + chunk.k * kTileRows, b + chunk.k * kCols, chunk.count, sums);
      for (int r = 0; r < kTileRows; ++r) {
        double x = xa[c * kTileRows + r] * factor;
        for (int j = 0; j < kCols; ++j)
          acc[r * kCols + j] = step(sums[r * kCols + j], x * xb[c * kCols + j], acc[r * kCols + j]);
      }
    }
    store(ip, jp, acc, factor, codes);
  }

  double exact_value(float acc, double) const { return acc; }
  double exact_value(double acc, double) const { return acc; }
  double exact_value(std::int64_t acc, double factor) const {
    return odd_double<Int128>(acc, -std::ilogb(factor));
  }

  double scaled_value(double acc, double, std::int64_t i, std::int64_t j) const {
    return job_.factors.times(acc, i, j);
  }
  double scaled_value(std::int64_t acc, double factor, std::int64_t i, std::int64_t j) const {
    return job_.factors.times(Int128{acc}, -std::ilogb(factor), i, j);
  }

  template <typename Acc>
  void store(std::int64_t ip, std::int64_t jp, const Acc* acc, double factor,
             std::uint32_t* codes) const {
    const Rounding& rounding = job_.spec.rounding;
    bool nearest_fp32 = is_fp32(job_.spec.output) && rounding.mode == RoundingMode::kRne;
    bool draws = rounding.stochastic() && !job_.same_float();
    for (int r = 0; r < kTileRows; ++r) {
      std::int64_t i = ip * kTileRows + r;
      if (i >= job_.a.rows) return;
      for (int c = 0; c < kCols; ++c) {
        std::int64_t j = jp * kCols + c;
        if (j >= job_.b.rows) break;
        const Acc& sum = acc[r * kCols + c];
        double value =
            job_.factors.any() ? scaled_value(sum, factor, i, j) : exact_value(sum, factor);
        std::uint32_t& code = codes[i * job_.b.rows + j];
        if (nearest_fp32 && job_.plain(i, j) && !std::isnan(value))
          code = std::bit_cast<std::uint32_t>(static_cast<float>(value));
        else
          code = finish(job_, i, j, value,
                        draws ? Lfsr(job_.state(i, j)).draw(rounding.random_bits) : 0);
      }
    }
  }

  const Job& job_;
  const Tiles<T>& tiles_;
  std::vector<OperandRange> b_ranges_;
};

template <typename T>
void run_tiles(Job& job, int threads) {
  Tiles<T> tiles(job, threads);
  TileRunner<T> runner(job, tiles);
  std::uint32_t* codes = job.result.codes.data();
  parallel_ranges(
      job.a.rows, threads,
      [&](std::int64_t begin, std::int64_t end) { runner.run(begin, end, codes); }, kTileRows);
}

void run_wide(Job& job, int threads) {
  std::uint32_t* codes = job.result.codes.data();
  parallel_ranges(job.a.rows, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      for (std::int64_t j = 0; j < job.b.rows; ++j)
        codes[i * job.b.rows + j] = wide_result(job, i, j);
  });
}

/// Lfsr state before each result's first draw, in the order of results.
std::vector<std::uint32_t> random_states(const DotSpec& spec, std::int64_t results,
                                         std::int64_t beats, std::uint64_t seed) {
  std::int64_t steps = 0;
  if (spec.accumulator.kind == AccumulatorKind::kFloat)
    steps += beats * spec.accumulator.rounding.random_bits;
  if (output_rounds(spec)) steps += spec.rounding.random_bits;
  if (steps == 0) return {};
  formats::LfsrJump jump(static_cast<std::uint64_t>(steps));
  std::vector<std::uint32_t> states(static_cast<size_t>(results));
  auto state = static_cast<std::uint32_t>(Lfsr(seed).state());
  for (std::uint32_t& at : states) {
    at = state;
    state = jump(state);
  }
  return states;
}

/// A side whose scales of the result are taken off, where what is left is a format.
std::optional<QuantizedMatrix> without_result_factor(const QuantizedMatrix& matrix) {
  const formats::BlockFormat& format = matrix.format;
  if (format.scale.kind == ScaleKind::kInteger || format.scale.kind == ScaleKind::kCodeBook)
    return has_result_factor(format) ? std::nullopt : std::optional(matrix);
  QuantizedMatrix rest = matrix;
  rest.format.scale.of_maximum = false;
  if (outer_in_result(format)) {
    rest.format.outer = {};
    rest.outer_scales.clear();
  }
  if (scale_in_result(format)) {
    rest.format.scale = {};
    rest.format.span = formats::Span::kBlock;
    rest.scales.clear();
  }
  return rest;
}

/// With a float accumulator that has Inf and NaN: the accumulators as a product of their own, by
/// the fastest way that there is for it; then each times its factor, rounded.
std::optional<GemmResult> gemm_by_accumulators(const DotSpec& spec, const QuantizedMatrix& a,
                                               const QuantizedMatrix& b,
                                               const GemmOptions& options) {
  const formats::Accumulator& accumulator = spec.accumulator;
  if (accumulator.kind != AccumulatorKind::kFloat || !has_inf(accumulator.format))
    return std::nullopt;
  // Its draws and the output's would alternate.
  if (accumulator.rounding.stochastic() && spec.rounding.stochastic()) return std::nullopt;
  auto x = without_result_factor(a), y = without_result_factor(b);
  if (!x || !y) return std::nullopt;
  DotSpec inner = spec;
  inner.a = x->format;
  inner.b = y->format;
  inner.output = accumulator.format;
  inner.rounding = accumulator.rounding;
  GemmResult result = gemm(inner, *x, *y, options);
  result.output = spec.output;
  Factors factors(spec, a, b);
  const bool odd = odd_suffices(spec.output, spec.rounding);
  Lfsr random(options.seed);
  const Exact divisor = factors.divisor();
  for (std::int64_t i = 0; i < result.m; ++i)
    for (std::int64_t j = 0; j < result.n; ++j) {
      std::uint32_t& code = result.codes[static_cast<size_t>(i * result.n + j)];
      const std::uint32_t draw =
          spec.rounding.stochastic() ? random.draw(spec.rounding.random_bits) : 0;
      const double acc = decode(accumulator.format, code);
      const double factor = factors.product(i, j);
      if (odd || !std::isfinite(acc) || !std::isfinite(factor))
        code = encode(spec.output, factors.times(acc, i, j), spec.rounding, draw,
                      Overflow::kToSpecial);
      else
        code = golden_round(spec.output, Exact(acc) * Exact(factor), spec.rounding, draw,
                            Overflow::kToSpecial, divisor);
    }
  return result;
}

}  // namespace

GemmResult gemm(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
                const GemmOptions& options) {
  if (options.threads < 1) throw ConfigError("threads = {}: must be at least 1", options.threads);
  check_operands(spec, a, b);
  if (has_result_factor(spec))
    if (auto result = gemm_by_accumulators(spec, a, b, options)) return std::move(*result);
  GemmResult quick{a.rows, b.rows, spec.output, {}};
  quick.codes.resize(static_cast<size_t>(a.rows * b.rows));
  auto taken = [&quick](std::string_view way) {
    quick.way = way;
    return std::move(quick);
  };
  if (gemm_by_integers(spec, a, b, options.threads, quick)) return taken("integers");
  if (gemm_by_macs(spec, a, b, options.seed, options.threads, quick)) return taken("macs");
  if (gemm_by_doubles(spec, a, b, options.threads, quick)) return taken("doubles");
  Job job{spec,
          a,
          b,
          decode_operand(a, spec.specials, options.threads),
          decode_operand(b, spec.specials, options.threads),
          beat_ranges(spec, a.length),
          {},
          0,
          {},
          std::move(quick),
          Factors(spec, a, b)};
  job.random_state = random_states(spec, a.rows * b.rows,
                                   static_cast<std::int64_t>(job.beats.size()), options.seed);

  // The most products whose sum a float or a double holds.
  double product = 1;
  int product_low = 0;
  for (const Operand* side : {&job.a, &job.b}) {
    OperandRange range = joint_range(*side, 0, side->rows);
    product *= std::max(1.0, static_cast<double>(range.max_units));
    product_low += range.units_low;
  }
  double float_count = std::floor(0x1p24 / product);
  double double_count = std::floor(std::ldexp(0x1p53 / product, product_low));

  job.chunks = job.beats;
  if (spec.accumulator.kind == AccumulatorKind::kKulisch) {
    DotSpec coarse = spec;
    double lanes = std::clamp(float_count >= 16 ? float_count : double_count, 1.0, 1024.0);
    coarse.lanes = std::max(static_cast<int>(lanes), spec.lanes);
    job.chunks = beat_ranges(coarse, a.length);
  }
  for (const BeatRange& chunk : job.chunks) job.max_count = std::max(job.max_count, chunk.count);
  set_chunks(job.a, a, job.chunks, options.threads);
  set_chunks(job.b, b, job.chunks, options.threads);

  // Two scales of many bits never fit beside the sum.
  bool tiled =
      (spec.accumulator.kind == AccumulatorKind::kKulisch || has_nearest_fp32_accumulator(spec)) &&
      beat_factor_bits(spec.a) + beat_factor_bits(spec.b) <= 32;
  job.result.way = tiled ? "tiles" : "results";
  if (tiled && job.max_count <= float_count)
    run_tiles<float>(job, options.threads);
  else if (tiled)
    run_tiles<double>(job, options.threads);
  else
    run_wide(job, options.threads);
  return std::move(job.result);
}

}  // namespace blockdot::models
