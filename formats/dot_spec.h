// DotSpec: the contract. What a dot-product unit computes, and nothing of how it is built. The
// golden model (models), the generated hardware (rtl_gen) and the fast kernels all follow this
// page.
//
// ## Beats
// A unit takes beats of `lanes` element pairs. Operands are split into blocks along the reduction
// axis K; a beat never straddles a block of either operand, so all its pairs share one scale of
// each side. A segment between two block borders of either side takes ceil(length / lanes) beats;
// the last of them is padded with zero codes, and so is the last of the whole reduction
// (beat_ranges). `first` marks the first beat of a result, `last` its last.
//
//   beat value   T = Xa * Xb * sum_j a_j * b_j * 2^-(tau_a(j) + tau_b(j))     exact, no rounding
//
// Where neither side has a code of zero (binary times binary), a beat says how many of its lanes
// count, and the products of the others are zero (needs_count).
//
// ## Factors
// Of everything that multiplies a side's elements, what changes along K belongs to the beat, and
// what does not to the result, once:
//
//   Xa  of the beat     the scale of a block; times the outer scale where that is one of groups of
//                       blocks, exactly; with a :mean, scale * outer + mean rounded once to
//                       binary32 (RNE), which is the factor that QLoRA's weights have. It may be
//                       negative.
//   Ra  of the result   the scale of a row or a tensor; the outer scale of a row or a tensor; under
//                       :amax also 1 / max_value(element). Read with the last beat.
//
// ## Accumulators (the field that the standards leave open)
//   kulisch          acc <- acc + T, exact; wide enough for any two scales and `max_k` products.
//   kulisch window   acc <- fit(acc + floor(T / 2^lsb) * 2^lsb), two's complement in [msb:lsb]: the
//                    beat value is truncated towards minus infinity at entry; fit saturates or
//                    wraps after every beat.
//                    With `sticky` the result is rounded from acc + 2^(lsb-1) where some beat lost
//                    a bit that is not zero: the sticky bit stands below the window's last.
//   float F          acc <- round_F(acc + T): one rounding of the exact sum each beat, by
//                    `accumulator.rounding`. Overflow goes to Inf, or to NaN where F has no Inf, or
//                    saturates where it has neither (`encode` with kToSpecial).
//   aligned F        acc <- round_F(sum of terms cut to W fraction bits), see below.
// acc starts at +0 on a `first` beat.
//
// ## The aligned accumulator
// What fused adders of several terms compute that align to the largest and cut the rest, as
// measured on industrial tensor cores. The terms of a beat are its products
// Xa * Xb * a_j * b_j * 2^-(tau_a(j) + tau_b(j)), each for itself, and acc: lanes + 1 of them, so
// results depend on `lanes`. Each has an exponent that is read off the codes, before any product is
// normalised:
//
//   minifloat value, element or scale or acc   max(E, 1) - bias: the place of the hidden bit, for a
//                                              subnormal that of exponent 1 (`exponent_of`)
//   integer, sign-magnitude, code book         floor(log2(largest value)), whatever the code
//   e8m0 scale                                 c - 127; no scale: 0
//   Xa of two scales                           the sum of theirs; with a :mean that of the
//                                              binary32 number that they become
//   product                                    the sum of its two elements' and Xa's and Xb's less
//                                              its taus: |product| may reach 2^(exponent + 2) and
//                                              more, and lie below 2^exponent
//
// e is the largest exponent of the terms that are not zero. Each term is truncated towards zero, on
// its magnitude, to a multiple of 2^(e - W); the multiples are added exactly, and the sum is
// rounded once to F by `accumulator.rounding` (subnormals included). A sum of zero is +0. Overflow
// as with a float accumulator.
//
// ## Output
// acc * Ra * Rb after the `last` beat, the exact rational number rounded once to `output` by
// `rounding`. Where no side has a factor of the result and the accumulator is a float of the same
// format, that step changes nothing (output_rounds). Overflow goes to Inf, or to NaN where the
// format has no Inf, or saturates where it has neither.
//
// ## Signs of zero
// An exact zero is +0. A value that is not zero keeps its sign when it rounds to zero. A float
// accumulator that holds -0 has the value zero: the next beat, and an output of another format, see
// an exact zero.
//
// ## NaN and Inf
// A NaN element, or a factor that is NaN or Inf (any of its scales, its mean, or the sum with it),
// makes the result NaN (the canonical quiet NaN; +0 where `output` has no NaN), wherever in the
// result it stands. Inf elements follow `specials`:
//   ieee   Inf times zero is NaN, Inf times anything else is Inf with the product's sign; all
//          Infs of a result must agree in sign, else it is NaN; they outlive any finite sum.
//   nan    an Inf element counts as NaN.
// These are flags beside the accumulator, which goes on with the finite products of the beat (the
// others count as zero). A float accumulator that overflowed to Inf or NaN holds it until the next
// `first` beat; its Inf counts among the Infs of the result. A zero factor times an Inf is NaN.
//
// ## Random bits
// Stochastic rounding draws from one Lfsr (formats/lfsr.h) of the kind, width and seed of `lfsr`,
// one draw of r bits for each rounding that is issued and only then: each result for a Kulisch
// accumulator, each beat for a float one. It draws also where the rounding turns out exact, NaN or
// Inf. r is at most the register's width: a wider draw would repeat what its own first bits say.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/block_format.h"
#include "formats/lfsr.h"
#include "formats/rounding.h"

namespace blockdot::formats {

/// Two's complement fixed point: bits msb..lsb, the sign bit weighs -2^msb.
/// Values -2^msb .. 2^msb - 2^lsb in steps of 2^lsb.
struct FixedFormat {
  int msb = 0;
  int lsb = 0;
  bool saturate = true;  // else wraps modulo 2^(msb+1)
  bool sticky = false;   // keeps in one bit whether anything was lost below lsb
  bool exact = false;    // wraps, and is valid only where it never has to and loses no bit

  int width() const { return msb - lsb + 1; }
  bool operator==(const FixedFormat&) const = default;
};

enum class AccumulatorKind { kKulisch, kKulischWindow, kFloat, kAligned };

/// The most fraction bits of an aligned accumulator.
inline constexpr int kMaxAlignedBits = 128;

/// Text forms: `kulisch`; `kulisch[MSB:LSB]` with `:saturate` (the default), `:wrap` or `:exact`,
/// and `:sticky`; a minifloat with an optional rounding: `fp32`, `bf16`, `fp32:sr:16`;
/// `aligned[W]:` before such a minifloat: `aligned[13]:fp32`, whose rounding is rtz where none is
/// named.
struct Accumulator {
  AccumulatorKind kind = AccumulatorKind::kKulisch;
  FixedFormat window;     // kKulischWindow
  ElementFormat format;   // kFloat, kAligned: a minifloat
  Rounding rounding;      // kFloat, kAligned: each beat
  int fraction_bits = 0;  // kAligned: W, 0..kMaxAlignedBits

  /// Holds a code of `format`, and rounds each beat.
  bool is_float() const {
    return kind == AccumulatorKind::kFloat || kind == AccumulatorKind::kAligned;
  }
  bool operator==(const Accumulator&) const = default;
};

enum class SpecialsPolicy { kIeee, kNan };

/// What becomes of the beat values, wherever they come from: the part of the contract that units of
/// several formats (formats/multi_spec.h) have in common with this one.
struct Accumulation {
  Accumulator accumulator;
  ElementFormat output;        // a minifloat
  Rounding rounding;           // to the output
  std::int64_t max_k = 65536;  // longest reduction, in products with padding; 1..2^32
  LfsrSpec lfsr;               // where a rounding is stochastic

  bool operator==(const Accumulation&) const = default;
};

struct DotSpec : Accumulation {
  BlockFormat a;
  BlockFormat b;
  int lanes = 32;  // element pairs a beat, 1..1024
  SpecialsPolicy specials = SpecialsPolicy::kIeee;

  bool operator==(const DotSpec&) const = default;
};

Accumulator parse_accumulator(std::string_view text);
std::string to_text(const Accumulator& accumulator);

/// ConfigError naming field, value and range: lanes; blocks where neither divides the other; lanes
/// beyond the shorter block; a micro block that divides not the lanes or not the shorter block;
/// output or accumulator that is no minifloat; window with msb <= lsb
/// or wider than 4096 bits, or `:exact` and narrower than exact_window; fraction bits; two
/// stochastic roundings at once; more random bits than the lfsr has.
void validate(const DotSpec& spec);
/// Its part that is of the accumulation alone; `factor`: the result has one (has_result_factor).
void validate(const Accumulation& spec, bool factor);
/// ConfigError where the accumulator is a window with :exact that does not hold `needs`, the sums
/// of max_k products; `stated`: also where it names no border but its user stated max_k.
void check_window(const Accumulation& spec, const FixedFormat& needs, bool stated);

/// The outer scale belongs to the beat: it changes along K, or a mean is added to its product.
bool outer_in_beat(const BlockFormat& format);
/// The scale (of a row or a tensor), or the outer one, belongs to the result.
bool scale_in_result(const BlockFormat& format);
bool outer_in_result(const BlockFormat& format);
/// The side's factor of the result is more than 1: one of these two, or :amax.
bool has_result_factor(const BlockFormat& format);
bool has_result_factor(const DotSpec& spec);
/// The output is a rounding of its own, after the accumulator's.
bool output_rounds(const DotSpec& spec);
bool output_rounds(const Accumulation& spec, bool factor);
/// Padded lanes have no code of zero on either side: beats carry the number of lanes that count.
bool needs_count(const DotSpec& spec);
/// max_value(element) = odd * 2^exponent: what :amax divides by.
struct OddFactor {
  std::uint32_t odd = 1;
  int exponent = 0;
};
OddFactor amax_divisor(const BlockFormat& format);  // 1 without :amax

/// One line of key=value, every field, the lfsr only where it is not galois:32: `a=e4m3@e8m0/32
/// b=e4m3@e8m0/32 lanes=32 accumulator=kulisch output=fp32 rounding=rne specials=ieee max-k=65536`.
std::string to_text(const DotSpec& spec);

/// The same form; all but `a` may be left out (b = a, lanes = 32 or the shorter block, accumulator
/// kulisch, output fp32, rounding rne). Where the accumulator's rounding is the last one
/// (output_rounds), there is one rounding: an accumulator that names none takes the output's, and
/// the output's default is the accumulator's. Validated. Unknown keys are errors with suggestions,
/// and so is a window that max-k products, where max-k is given, would overflow and that names
/// neither :saturate nor :wrap.
DotSpec parse_dot_spec(std::string_view text);

/// Applies the defaults that depend on other fields, as parse_dot_spec does, to parts given as text
/// (empty: left out), and validates. Used by the command line and the design files.
struct DotSpecText {
  std::string a, b, lanes, accumulator, output, rounding, specials, max_k, lfsr;
};
DotSpec resolve(const DotSpecText& text);
/// The fields of the accumulation among them, not validated; `factor` as for validate.
Accumulation resolve_accumulation(const DotSpecText& text, bool factor);
/// The text names a max-k, and a window that does not say what becomes of sums beyond it.
bool states_sums(const DotSpecText& text);

/// Exponent of a finite value that is not zero in the sense of the aligned accumulator.
int exponent_of(const ElementFormat& format, double value);

/// The narrowest window that holds every sum of max_k products (in whole beats) at any finite
/// scales, and every bit of them: with N that number of products, [msb:lsb] such that
/// N * (largest product) < 2^msb, N * (least product) >= -2^msb, and every product is a multiple of
/// 2^lsb. A full Kulisch accumulator is this wide.
FixedFormat exact_window(const DotSpec& spec);

/// The rounding that draws random bits: the accumulator's or the output's; neither: not stochastic.
Rounding drawn_rounding(const DotSpec& spec);
Rounding drawn_rounding(const Accumulation& spec, bool factor);
/// Where it draws: every beat, else every result.
bool draws_each_beat(const Accumulation& spec);
/// Results depend on random bits.
inline bool draws(const DotSpec& spec) { return drawn_rounding(spec).stochastic(); }

/// Length of the segments that a beat may not straddle: the shorter of the blocks; 0: no border.
int segment_length(const DotSpec& spec);

/// The elements of one beat: k .. k + count - 1 of the reduction; the other lanes take zero codes.
struct BeatRange {
  std::int64_t k = 0;
  int count = 0;  // 1..lanes
};
/// The beats of a reduction over k >= 1 elements, in order.
std::vector<BeatRange> beat_ranges(const DotSpec& spec, std::int64_t k);
/// Their number: beat_ranges(spec, k).size().
std::int64_t beats_for(const DotSpec& spec, std::int64_t k);

}  // namespace blockdot::formats
