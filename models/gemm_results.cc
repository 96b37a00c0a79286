#include "models/gemm_results.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "formats/lfsr.h"
#include "models/beats.h"
#include "models/gemm_pack.h"
#include "models/golden.h"
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

namespace {

int ceil_log2(double x) { return x <= 1 ? 0 : std::ilogb(x) + (std::exp2(std::ilogb(x)) < x); }

constexpr int kSafeExponent = 900;  // doubles and their errors stay normal within

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

/// Whether t is no multiple of 2^bits.
template <typename Wide>
bool loses_bits(const Wide& t, int bits) {
  if (bits <= 0) return false;
  const Wide magnitude = t < 0 ? Wide(-t) : t;
  return bits > kCapacity<Wide> ? t != 0 : Wide((magnitude >> bits) << bits) != magnitude;
}

}  // namespace

ResultSolver::ResultSolver(const DotSpec& spec, const QuantizedMatrix& a, std::int64_t first_row,
                           std::int64_t rows, const QuantizedMatrix& b, std::int64_t first_col,
                           std::int64_t cols, int threads)
    : spec_(spec),
      a_matrix_(a),
      b_matrix_(b),
      beats_(beat_ranges(spec, a.length)),
      a_(decode_operand(a, first_row, rows, spec.specials, threads)),
      b_(decode_operand(b, first_col, cols, spec.specials, threads)),
      factors_(spec, a, b),
      into_accumulator_(spec.accumulator.format, spec.accumulator.rounding),
      into_output_(spec.output, spec.rounding) {
  chunks_ = beats_;
  if (spec.accumulator.kind == AccumulatorKind::kKulisch) {
    // The order does not matter: no need to stop after every beat.
    DotSpec coarse = spec;
    coarse.lanes = std::max(spec.lanes, 256);
    chunks_ = beat_ranges(coarse, a.length);
  }
  for (const BeatRange& chunk : chunks_) longest_ = std::max(longest_, chunk.count);
  set_chunks(a_, a, chunks_, threads);
  set_chunks(b_, b, chunks_, threads);
  if (spec.accumulator.kind == AccumulatorKind::kAligned) {
    a_exponents_ = exponents_of(a_, a, threads);
    b_exponents_ = exponents_of(b_, b, threads);
  }
}

ResultSolver::Exponents ResultSolver::exponents_of(const Operand& operand,
                                                   const QuantizedMatrix& matrix,
                                                   int threads) const {
  Exponents exponents;
  exponents.elements.resize(operand.units.size());
  exponents.scales.resize(operand.significands.size());
  parallel_ranges(operand.rows, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      for (std::int64_t c = 0; c < operand.chunks; ++c) {
        const BeatRange& beat = beats_[static_cast<size_t>(c)];
        const auto at = static_cast<size_t>(r * operand.chunks + c);
        if (operand.significands[at] == 0) continue;
        exponents.scales[at] = beat_factor_exponent(matrix, operand.first + r, beat.k);
        for (std::int64_t k = beat.k; k < beat.k + beat.count; ++k)
          if (operand.units_of(r)[k] != 0)
            exponents.elements[static_cast<size_t>(r * operand.length + k)] =
                element_exponent(matrix, operand.first + r, k);
      }
  });
  return exponents;
}

/// Of the result, without the division.
double ResultSolver::factor(std::int64_t i, std::int64_t j) const {
  return factors_.product(a_.first + i, b_.first + j);
}

bool ResultSolver::plain(std::int64_t i, std::int64_t j) const {
  const Operand::Row& x = a_.row[static_cast<size_t>(i)];
  const Operand::Row& y = b_.row[static_cast<size_t>(j)];
  return !x.nan && !y.nan && x.infs.empty() && y.infs.empty() && std::isfinite(factor(i, j));
}

/// What the Inf elements of row i and column j do (dot_spec.h, "NaN and Inf").
ResultSolver::Flags ResultSolver::inf_flags(std::int64_t i, std::int64_t j) const {
  Flags flags;
  auto product = [&](std::int64_t k) {
    double x = decode(spec_.a.element, a_matrix_.code(a_.first + i, k));
    double y = decode(spec_.b.element, b_matrix_.code(b_.first + j, k));
    double xa = beat_factor(a_matrix_, a_.first + i, k);
    double xb = beat_factor(b_matrix_, b_.first + j, k);
    if (x == 0 || y == 0 || xa == 0 || xb == 0 || factor(i, j) == 0)
      flags.nan = true;
    else
      ((x < 0) ^ (y < 0) ^ (xa < 0) ^ (xb < 0) ? flags.minus_inf : flags.plus_inf) = true;
  };
  for (std::int64_t k : a_.row[static_cast<size_t>(i)].infs) product(k);
  for (std::int64_t k : b_.row[static_cast<size_t>(j)].infs) product(k);
  return flags;
}

/// The result's code from its accumulator times its factor: a float accumulator's value, or what
/// stands for the exact number (WideRounding). `random`: the output's draw.
std::uint32_t ResultSolver::finish(std::int64_t i, std::int64_t j, double value,
                                   std::uint32_t random) const {
  const ElementFormat& output = spec_.output;
  if (!plain(i, j)) {
    Flags flags = inf_flags(i, j);
    if (a_.row[static_cast<size_t>(i)].nan || b_.row[static_cast<size_t>(j)].nan ||
        !std::isfinite(factor(i, j)))
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
  if (value == 0 && output_rounds(spec_)) value = 0;
  return encode(output, value, spec_.rounding, random, Overflow::kToSpecial);
}

std::uint32_t ResultSolver::golden(std::int64_t i, std::int64_t j,
                                   const RandomStreams& streams) const {
  GoldenDot unit(spec_);
  BeatBuffer buffer;
  const std::int64_t row = a_.first + i, column = b_.first + j;
  Lfsr stream(streams.first(row, column), spec_.lfsr);
  for (size_t beat = 0;; ++beat) {
    fill_beat(spec_, a_matrix_, row, b_matrix_, column, beats_[beat], buffer);
    streams.enter(row, column, static_cast<std::int64_t>(beat), stream);
    if (auto code = unit.step(buffer.beat(beat == 0, beat + 1 == beats_.size()), stream))
      return *code;
  }
}

/// The aligned accumulator after a beat.
template <typename Wide>
double ResultSolver::aligned_step(std::int64_t i, std::int64_t j, std::int64_t beat, double acc,
                                  std::uint32_t random) const {
  const formats::Accumulator& accumulator = spec_.accumulator;
  const BeatRange& range = beats_[static_cast<size_t>(beat)];
  const std::int64_t* x = a_.units_of(i) + range.k;
  const std::int64_t* y = b_.units_of(j) + range.k;
  const std::int32_t* x_exponent = a_exponents_.elements.data() + i * a_.length + range.k;
  const std::int32_t* y_exponent = b_exponents_.elements.data() + j * b_.length + range.k;
  const auto at = static_cast<size_t>(i * a_.chunks + beat);
  const auto bt = static_cast<size_t>(j * b_.chunks + beat);
  const Wide scale = Wide(a_.significands[at]) * Wide(b_.significands[bt]);
  const int scale_exponent = a_exponents_.scales[at] + b_exponents_.scales[bt];

  constexpr int kNone = std::numeric_limits<int>::min();
  int top = kNone;
  if (scale != 0)
    for (int k = 0; k < range.count; ++k)
      if (x[k] != 0 && y[k] != 0) top = std::max(top, x_exponent[k] + y_exponent[k]);
  if (top != kNone) top += scale_exponent;
  if (acc != 0) top = std::max(top, exponent_of(accumulator.format, acc));
  if (top == kNone) return 0;

  const int unit = top - accumulator.fraction_bits;
  Wide sum = 0;
  auto add_cut = [&](const Wide& magnitude, int shift, bool negative) {
    const Wide cut = shift >= 0 ? Wide(magnitude << shift) : floor_shift(magnitude, -shift);
    sum += negative ? Wide(-cut) : cut;
  };
  const int shift = a_.exponents[at] + b_.exponents[bt] - unit;
  if (scale != 0)
    for (int k = 0; k < range.count; ++k)
      if (x[k] != 0 && y[k] != 0)
        add_cut(widen(Int128{std::abs(x[k])} * std::abs(y[k]), static_cast<Wide*>(nullptr)) * scale,
                shift, (x[k] < 0) != (y[k] < 0));
  if (acc != 0) {
    int exponent;
    const double significand = std::ldexp(std::frexp(std::fabs(acc), &exponent), 53);
    add_cut(Wide(static_cast<std::int64_t>(significand)), exponent - 53 - unit, acc < 0);
  }
  return into_accumulator_(sum, unit, random);
}

template <typename Wide, typename Sum>
std::uint32_t ResultSolver::wide(std::int64_t i, std::int64_t j, const RandomStreams& streams,
                                 int scale_low) const {
  const DotSpec& spec = spec_;
  const std::int64_t* x = a_.units_of(i);
  const std::int64_t* y = b_.units_of(j);
  const std::int64_t row = a_.first + i, column = b_.first + j;
  Lfsr stream(streams.first(row, column), spec.lfsr);
  Wide fixed = 0;       // Kulisch: units of 2^scale_low; window: of its lsb
  bool lost = false;    // below the window
  double floating = 0;  // float accumulator
  const Rounding& rounding = spec.accumulator.rounding;
  bool nearest_fp32 = has_nearest_fp32_accumulator(spec);
  // Into a float accumulator, which holds on to NaN and Inf; `add` gives what it rounds.
  auto round_into = [&](std::int64_t c, auto add) {
    streams.enter(row, column, c, stream);
    const std::uint32_t random = rounding.stochastic() ? stream.draw(rounding.random_bits) : 0;
    if (!std::isfinite(floating)) return;
    const ElementFormat& format = spec.accumulator.format;
    const double exact = add(random);
    floating = nearest_fp32
                   ? static_cast<float>(exact)
                   : decode(format, encode(format, exact, rounding, random, Overflow::kToSpecial));
  };
  for (std::int64_t c = 0; c < a_.chunks; ++c) {
    if (spec.accumulator.kind == AccumulatorKind::kAligned) {
      round_into(
          c, [&](std::uint32_t random) { return aligned_step<Wide>(i, j, c, floating, random); });
      continue;
    }
    const BeatRange& chunk = chunks_[static_cast<size_t>(c)];
    Sum sum = 0;
    for (std::int64_t k = chunk.k; k < chunk.k + chunk.count; ++k)
      sum += static_cast<Sum>(x[k]) * y[k];
    auto at = static_cast<size_t>(i * a_.chunks + c);
    auto bt = static_cast<size_t>(j * b_.chunks + c);
    Wide t = widen(sum, static_cast<Wide*>(nullptr)) * Wide(a_.significands[at]) *
             Wide(b_.significands[bt]);
    int exponent = a_.exponents[at] + b_.exponents[bt];
    switch (spec.accumulator.kind) {
      case AccumulatorKind::kKulisch:
        if (t != 0) fixed += t << (exponent - scale_low);
        break;
      case AccumulatorKind::kKulischWindow:
        lost = lost || loses_bits(t, spec.accumulator.window.lsb - exponent);
        fixed = window_step(spec.accumulator.window, fixed, t, exponent);
        break;
      case AccumulatorKind::kAligned:
        break;  // above
      case AccumulatorKind::kFloat:
        round_into(c, [&](std::uint32_t random) {
          return round_sum(floating, t, exponent, [&](const Wide& total, int unit) {
            return into_accumulator_(total, unit, random);
          });
        });
        break;
    }
  }
  const bool draws = spec.rounding.stochastic() && output_rounds(spec);
  const std::uint32_t random = draws ? stream.draw(spec.rounding.random_bits) : 0;
  double value = floating;
  if (spec.accumulator.is_float()) {
    if (factors_.any()) value = factors_.times(floating, row, column, random);
  } else {
    // A window's sticky bit has the weight below its last one.
    const bool window = spec.accumulator.kind == AccumulatorKind::kKulischWindow;
    const int unit = window ? spec.accumulator.window.lsb - 1 : scale_low;
    const Wide sum =
        window ? Wide(fixed * 2 + (lost && spec.accumulator.window.sticky ? 1 : 0)) : Wide(fixed);
    value = factors_.any() ? factors_.times(sum, unit, row, column, random)
                           : into_output_(sum, unit, random);
  }
  return finish(i, j, value, random);
}

ResultSolver::Range ResultSolver::range(std::int64_t i, std::int64_t j) const {
  const OperandRange& x = a_.row[static_cast<size_t>(i)].range;
  const OperandRange& y = b_.row[static_cast<size_t>(j)].range;
  Range range;
  if (!x.empty && !y.empty) {
    range.scale_low = x.scale_low + y.scale_low;
    range.scale_high = x.scale_high + y.scale_high;
  }
  range.sum_bits =
      ceil_log2(static_cast<double>(x.max_units) * static_cast<double>(y.max_units) * longest_) + 1;
  return range;
}

ResultSolver::Width ResultSolver::width(std::int64_t i, std::int64_t j) const {
  const DotSpec& spec = spec_;
  const Range range = this->range(i, j);
  const int bits = range.sum_bits + beat_factor_bits(spec.a) + beat_factor_bits(spec.b);
  bool fits = !a_.row[static_cast<size_t>(i)].range.wild &&
              !b_.row[static_cast<size_t>(j)].range.wild && range.sum_bits <= 126 &&
              range.scale_low > -kSafeExponent && range.scale_high + bits < kSafeExponent;
  // Bits of T; with a Kulisch accumulator, of its sum; with the others, room beside T.
  int need = bits;
  switch (spec.accumulator.kind) {
    case AccumulatorKind::kKulisch:
      need = range.sum_bits + range.scale_high - range.scale_low +
             ceil_log2(static_cast<double>(a_.chunks));
      break;
    case AccumulatorKind::kKulischWindow:
      need = std::max(need, spec.accumulator.window.width() + 3);
      fits &= std::abs(spec.accumulator.window.lsb) < kSafeExponent &&
              std::abs(spec.accumulator.window.msb) < kSafeExponent;
      break;
    case AccumulatorKind::kAligned:
      // A term is at most 2^6 times 2^exponent: of two elements and four scales, each at most twice
      // its own.
      need = std::max({need, 53,
                       spec.accumulator.fraction_bits + 6 +
                           ceil_log2(static_cast<double>(spec.lanes + 1)) + 1});
      fits &= range.scale_low - spec.accumulator.fraction_bits > -kSafeExponent;
      break;
    case AccumulatorKind::kFloat:
      need += 30;
      break;
  }
  const int room =
      factors_.any() && !spec.accumulator.is_float() ? ResultFactors::kFactorBits + 2 : 0;
  if (!fits || need + room > kCapacity<Int512>) return Width::kGolden;
  return need <= kCapacity<Int128> ? Width::k126 : Width::k510;
}

std::uint32_t ResultSolver::code(std::int64_t i, std::int64_t j,
                                 const RandomStreams& streams) const {
  const Width width = this->width(i, j);
  if (width == Width::kGolden) return golden(i, j, streams);
  const Range range = this->range(i, j);
  const bool narrow_sum = range.sum_bits <= 63;
  if (width == Width::k126)
    return narrow_sum ? wide<Int128, std::int64_t>(i, j, streams, range.scale_low)
                      : wide<Int128, Int128>(i, j, streams, range.scale_low);
  return narrow_sum ? wide<Int512, std::int64_t>(i, j, streams, range.scale_low)
                    : wide<Int512, Int128>(i, j, streams, range.scale_low);
}

}  // namespace blockdot::models
