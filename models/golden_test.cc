// The golden model against outside oracles: the processor's conversions and fused multiply-add,
// quadruple precision, integer arithmetic that wraps and clamps by itself, rational numbers.
#include "models/golden.h"

#include <gtest/gtest.h>
#include <immintrin.h>

#include <algorithm>
#include <bit>
#include <cfenv>
#include <cmath>
#include <limits>
#include <random>

#include "formats/error.h"

namespace blockdot::models {
namespace {

using formats::DotSpec;
using formats::ElementFormat;
using formats::Overflow;
using formats::parse_dot_spec;
using formats::parse_element;
using formats::parse_rounding;
using formats::Rounding;
using formats::stochastic_rounding;
using Rational = boost::multiprecision::cpp_rational;
__extension__ typedef __float128 Float128;

const ElementFormat kFp32 = parse_element("fp32");
const ElementFormat kFp16 = parse_element("fp16");
const ElementFormat kBf16 = parse_element("bf16");
const Rounding kRne = parse_rounding("rne");
const Rounding kRna = parse_rounding("rna");
const Rounding kRtz = parse_rounding("rtz");
constexpr double kInf = std::numeric_limits<double>::infinity();

/// Doubles of all sizes that a float has and some beyond, ties between floats among them.
std::vector<double> doubles_around_floats(int count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<double> x;
  while (static_cast<int>(x.size()) < count) {
    auto bits = static_cast<std::uint32_t>(random());
    if (random() % 4 == 0) bits &= 0x807FFFFF;  // subnormal floats
    if (random() % 8 == 0) bits |= 0x7F000000;  // around the largest
    float f = std::bit_cast<float>(bits);
    if (!std::isfinite(f) || f == 0) continue;
    double ulp = std::fabs(static_cast<double>(std::nextafterf(f, 0.0f)) - f);
    double parts[] = {0,
                      0.5,
                      0.5,
                      0.25,
                      std::ldexp(1, -20),
                      0.5 + std::ldexp(1, -24),
                      0.5 - std::ldexp(1, -24),
                      1 - std::ldexp(1, -24)};
    x.push_back(f + parts[random() % 8] * ulp);
    x.push_back(std::ldexp(static_cast<double>(f), -static_cast<int>(random() % 30)));
    x.push_back(std::ldexp(static_cast<double>(f), static_cast<int>(random() % 3)));
  }
  return x;
}

std::uint32_t to_float_by_processor(double x, int mode) {
  volatile double in = x;
  std::fesetround(mode);
  volatile float out = static_cast<float>(in);
  std::fesetround(FE_TONEAREST);
  return std::bit_cast<std::uint32_t>(static_cast<float>(out));
}

TEST(GoldenRound, ToFp32MatchesTheProcessorsConversion) {
  for (double x : doubles_around_floats(30000, 1)) {
    ASSERT_EQ(golden_round(kFp32, Exact(x), kRne, 0, Overflow::kToSpecial),
              to_float_by_processor(x, FE_TONEAREST))
        << x;
    ASSERT_EQ(golden_round(kFp32, Exact(x), kRtz, 0, Overflow::kToSpecial),
              to_float_by_processor(x, FE_TOWARDZERO))
        << x;
  }
}

__attribute__((target("f16c"))) std::uint32_t half_nearest(float x) {
  return static_cast<std::uint32_t>(
             _mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_NEAREST_INT))) &
         0xFFFF;
}
__attribute__((target("f16c"))) std::uint32_t half_towards_zero(float x) {
  return static_cast<std::uint32_t>(
             _mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x), _MM_FROUND_TO_ZERO))) &
         0xFFFF;
}

TEST(GoldenRound, ToFp16MatchesTheProcessorsConversion) {
  std::mt19937 random(2);
  for (int i = 0; i < 60000; ++i) {
    // Exponents from below half's subnormals to beyond its largest.
    std::uint32_t exponent = 127 - 28 + static_cast<std::uint32_t>(random() % 46);
    std::uint32_t mantissa = static_cast<std::uint32_t>(random()) & 0x7FFFFF;
    if (i % 2) mantissa &= 0x7FF000;  // ties
    float x =
        std::bit_cast<float>((static_cast<std::uint32_t>(i) & 4) << 29 | exponent << 23 | mantissa);
    ASSERT_EQ(golden_round(kFp16, Exact(static_cast<double>(x)), kRne, 0, Overflow::kToSpecial),
              half_nearest(x))
        << x;
    ASSERT_EQ(golden_round(kFp16, Exact(static_cast<double>(x)), kRtz, 0, Overflow::kToSpecial),
              half_towards_zero(x))
        << x;
  }
}

TEST(GoldenRound, TiesAwayFromZeroMatchesRoundOfTheCLibrary) {
  // Between 2^10 and 2^11 a half is a whole number.
  for (int i = 0; i < 1023 * 8; ++i) {
    double x = 1024 + i / 8.0;
    EXPECT_EQ(decode(kFp16, golden_round(kFp16, Exact(x), kRna, 0, Overflow::kToSpecial)),
              std::round(x));
    EXPECT_EQ(decode(kFp16, golden_round(kFp16, Exact(-x), kRna, 0, Overflow::kToSpecial)),
              std::round(-x));
  }
}

TEST(GoldenRound, StochasticRoundsUpForExactlyTheWholePartOfTheFraction) {
  std::mt19937_64 random(3);
  for (const char* name : {"e2m1", "e4m3", "e5m2", "bf16", "fp32", "int8"}) {
    ElementFormat format = parse_element(name);
    for (int r : {1, 3, 8}) {
      for (int trial = 0; trial < 60; ++trial) {
        std::uint32_t low =
            static_cast<std::uint32_t>(random()) % (max_finite_code(format));  // has a next
        double lo = decode(format, low), hi = decode(format, low + 1);
        double f = static_cast<double>(random() % 4096) / 4096;  // fraction, exact
        Exact x = Exact(lo) + Exact(f) * (Exact(hi) - Exact(lo));
        int ups = 0;
        for (std::uint32_t draw = 0; draw < (1u << r); ++draw)
          ups += golden_round(format, x, stochastic_rounding(r), draw, Overflow::kSaturate) != low;
        EXPECT_EQ(ups, static_cast<int>(std::floor(f * (1 << r)))) << name << " r=" << r;
      }
    }
  }
}

TEST(GoldenRound, AgreesWithEncodeWhichShiftsBitsInstead) {
  std::mt19937_64 random(4);
  int checked = 0;
  for (const char* name :
       {"e2m1", "e2m3", "e3m2", "e4m3", "e5m2", "e4m3:fnuz", "e5m2:fnuz", "e3m0:bias=4",
        "e2m5:bias=2", "e4m3:ieee", "int8", "int4:full", "sm7", "e1m6", "fp16", "tf32", "fp32"}) {
    ElementFormat format = parse_element(name);
    for (const char* mode : {"rne", "rna", "rtz", "sr:1", "sr:7", "sr:32"}) {
      Rounding rounding = parse_rounding(mode);
      for (Overflow overflow : {Overflow::kSaturate, Overflow::kToSpecial}) {
        for (int i = 0; i < 300; ++i) {
          int span = max_exponent(format) - lsb_exponent(format) + 6;
          int exponent = lsb_exponent(format) - 3 + static_cast<int>(random() % span);
          double x = std::ldexp(1 + static_cast<double>(random() % 4096) / 4096, exponent);
          if (random() % 2) x = -x;
          auto draw = static_cast<std::uint32_t>(
              rounding.stochastic() ? random() & ((1ull << rounding.random_bits) - 1) : 0);
          ASSERT_EQ(golden_round(format, Exact(x), rounding, draw, overflow),
                    encode(format, x, rounding, draw, overflow))
              << name << " " << mode << " x=" << x << " draw=" << draw;
          ++checked;
        }
      }
    }
  }
  EXPECT_GT(checked, 0);
}

// ---- Whole dot products ----

/// Codes of one reduction, run through a unit of any lanes.
struct Terms {
  std::vector<std::uint32_t> a, b;
};

std::uint32_t run(const DotSpec& spec, const Terms& terms, std::uint64_t seed = 1,
                  std::uint32_t a_scale = 0, std::uint32_t b_scale = 0) {
  GoldenDot unit(spec, seed);
  auto lanes = static_cast<size_t>(spec.lanes);
  size_t beats = (terms.a.size() + lanes - 1) / lanes;
  std::optional<std::uint32_t> code;
  for (size_t beat = 0; beat < beats; ++beat) {
    BeatBuffer buffer;
    buffer.a.assign(lanes, 0);
    buffer.b.assign(lanes, 0);
    for (size_t j = 0; j < lanes && beat * lanes + j < terms.a.size(); ++j) {
      buffer.a[j] = terms.a[beat * lanes + j];
      buffer.b[j] = terms.b[beat * lanes + j];
    }
    buffer.a_scale = a_scale;
    buffer.b_scale = b_scale;
    code = unit.step(buffer.beat(beat == 0, beat + 1 == beats));
    EXPECT_EQ(code.has_value(), beat + 1 == beats);
  }
  return *code;
}

Terms terms_of(const ElementFormat& format, const std::vector<double>& a,
               const std::vector<double>& b) {
  Terms terms;
  for (double x : a) terms.a.push_back(encode(format, x, {}, 0, Overflow::kToSpecial));
  for (double x : b) terms.b.push_back(encode(format, x, {}, 0, Overflow::kToSpecial));
  return terms;
}

Terms random_terms(std::mt19937& random, const ElementFormat& format, int count) {
  Terms terms;
  while (static_cast<int>(terms.b.size()) < count) {
    std::uint32_t code = random() & ((1u << format.width()) - 1);
    if (!std::isfinite(decode(format, code))) continue;
    (terms.a.size() == terms.b.size() ? terms.a : terms.b).push_back(code);
  }
  return terms;
}

TEST(GoldenDot, OneLaneWithAnFp32AccumulatorIsTheProcessorsFma) {
  std::mt19937 random(5);
  int finite = 0;
  for (const char* name : {"bf16", "fp16", "e5m2", "e4m3"}) {
    DotSpec spec = parse_dot_spec(fmt::format("a={} lanes=1 accumulator=fp32", name));
    for (int trial = 0; trial < 300; ++trial) {
      Terms terms = random_terms(random, spec.a.element, 20);
      float acc = 0;
      for (size_t i = 0; i < terms.a.size(); ++i)
        acc = std::fma(static_cast<float>(decode(spec.a.element, terms.a[i])),
                       static_cast<float>(decode(spec.b.element, terms.b[i])), acc);
      if (std::isnan(acc)) continue;  // an overflow met the other Inf; ours holds the first
      float got = static_cast<float>(decode(kFp32, run(spec, terms)));
      if (std::isinf(acc)) {
        EXPECT_EQ(got, acc);
        continue;
      }
      ASSERT_EQ(std::bit_cast<std::uint32_t>(got), std::bit_cast<std::uint32_t>(acc)) << name;
      ++finite;
    }
  }
  EXPECT_GT(finite, 600);
}

TEST(GoldenDot, KulischToFp32IsTheQuadruplePrecisionSumRoundedOnce) {
  // Products of halves are multiples of 2^-48 below 2^32: 100 of them fit 113 bits.
  std::mt19937 random(6);
  DotSpec spec = parse_dot_spec("a=fp16 lanes=7");
  for (int trial = 0; trial < 500; ++trial) {
    Terms terms = random_terms(random, spec.a.element, 1 + static_cast<int>(random() % 100));
    Float128 sum = 0;
    for (size_t i = 0; i < terms.a.size(); ++i)
      sum += static_cast<Float128>(decode(kFp16, terms.a[i])) * decode(kFp16, terms.b[i]);
    EXPECT_EQ(run(spec, terms), std::bit_cast<std::uint32_t>(static_cast<float>(sum)));
  }
}

TEST(GoldenDot, KulischDoesNotDependOnOrderOrLanes) {
  std::mt19937 random(7);
  for (const char* name : {"e4m3", "e5m2", "int8", "bf16"}) {
    for (int trial = 0; trial < 20; ++trial) {
      DotSpec spec = parse_dot_spec(fmt::format("a={} lanes=32", name));
      Terms terms = random_terms(random, spec.a.element, 90);
      std::uint32_t expected = run(spec, terms);
      for (int lanes : {1, 2, 3, 8, 17, 64}) {
        spec.lanes = lanes;
        std::vector<size_t> order(terms.a.size());
        for (size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::shuffle(order.begin(), order.end(), random);
        Terms shuffled;
        for (size_t i : order) {
          shuffled.a.push_back(terms.a[i]);
          shuffled.b.push_back(terms.b[i]);
        }
        EXPECT_EQ(run(spec, shuffled), expected) << name << " lanes=" << lanes;
      }
    }
  }
}

TEST(GoldenDot, WindowWrapsAsSixteenBitIntegersDoAndSaturatesAsClampDoes) {
  // int8 products are multiples of 2^-12; a window of 16 bits whose lsb is 2^-8 or 2^-13.
  std::mt19937 random(8);
  for (bool saturate : {true, false}) {
    for (int lsb : {-8, -13}) {
      DotSpec spec = parse_dot_spec(fmt::format("a=int8 lanes=3 accumulator=kulisch[{}:{}]{}",
                                                lsb + 15, lsb, saturate ? "" : ":wrap"));
      int fitted = 0;
      for (int trial = 0; trial < 300; ++trial) {
        Terms terms = random_terms(random, spec.a.element, 300);
        if (trial % 2)  // mostly one sign, to leave the window
          for (size_t i = 0; i < terms.a.size(); ++i) terms.a[i] = terms.b[i];
        std::int16_t acc = 0;
        for (size_t i = 0; i < terms.a.size(); i += 3) {
          std::int64_t beat = 0;
          for (size_t j = i; j < i + 3; ++j)
            beat += static_cast<std::int8_t>(terms.a[j]) * static_cast<std::int8_t>(terms.b[j]);
          // Arithmetic shift: towards minus infinity.
          std::int64_t entry = lsb > -12 ? beat >> (lsb + 12) : beat * 2;
          std::int64_t next = acc + entry;
          if (next < -32768 || next > 32767) ++fitted;
          acc = static_cast<std::int16_t>(saturate ? std::clamp<std::int64_t>(next, -32768, 32767)
                                                   : next);
        }
        EXPECT_EQ(decode(kFp32, run(spec, terms)), std::ldexp(acc, lsb));
      }
      EXPECT_GT(fitted, 20);
    }
  }
}

TEST(GoldenDot, WindowsStickyBitIsTheBitBelowTheWindow) {
  // Oracle: the sum in integers of 64 bits, floored beat by beat, with one bit more at the end.
  std::mt19937 random(12);
  for (const char* rounding : {"rne", "rtz", "rna"}) {
    DotSpec spec = parse_dot_spec(fmt::format(
        "a=int8:full:frac=0 lanes=2 accumulator=kulisch[30:6]:sticky rounding={}", rounding));
    spec.output = parse_element("bf16");
    int decided = 0;
    for (int trial = 0; trial < 2000; ++trial) {
      Terms terms = random_terms(random, spec.a.element, 8);
      std::int64_t sum = 0;
      bool lost = false;
      for (size_t i = 0; i < 8; i += 2) {
        auto beat = static_cast<std::int64_t>(
            decode(spec.a.element, terms.a[i]) * decode(spec.b.element, terms.b[i]) +
            decode(spec.a.element, terms.a[i + 1]) * decode(spec.b.element, terms.b[i + 1]));
        sum += beat >> 6;
        lost |= (beat & 63) != 0;
      }
      double with = std::ldexp(static_cast<double>(2 * sum + (lost ? 1 : 0)), 5);
      std::uint32_t expected = encode(spec.output, with, spec.rounding, 0, Overflow::kToSpecial);
      ASSERT_EQ(run(spec, terms), expected);
      decided += expected != encode(spec.output, std::ldexp(static_cast<double>(sum), 6),
                                    spec.rounding, 0, Overflow::kToSpecial);
    }
    EXPECT_GT(decided, 0) << "the bit never mattered";
  }
}

// ---- The aligned accumulator ----

TEST(GoldenDot, AlignedAccumulatorCutsAsTensorCoresWereMeasuredTo) {
  // Fasi, Higham, Mikaitis and Pranesh, Numerical behavior of NVIDIA tensor cores, PeerJ Computer
  // Science 7:e330, 2021: a sum starts at its largest term, the others are cut towards zero below
  // its last place, on the V100 without a bit more than binary32 has, on the A100 with one; the sum
  // is normalised once, rounding towards zero.
  double quarter_ulp = std::ldexp(1, -24);
  Terms one_and_four =
      terms_of(kFp16, {1, 0, 0, 0, quarter_ulp, quarter_ulp, quarter_ulp, quarter_ulp},
               {1, 0, 0, 0, 1, 1, 1, 1});
  DotSpec v100 = parse_dot_spec("a=fp16 lanes=4 accumulator=aligned[23]:fp32");
  DotSpec a100 = parse_dot_spec("a=fp16 lanes=4 accumulator=aligned[24]:fp32");
  EXPECT_EQ(decode(kFp32, run(v100, one_and_four)), 1);
  EXPECT_EQ(decode(kFp32, run(a100, one_and_four)), 1 + std::ldexp(1, -22));

  // Carries make room at the top, not at the bottom: 1.5 + 1.5 + 2^-23 is cut after the sum.
  Terms carry = terms_of(kFp16, {1.5, 1.5, std::ldexp(1, -14)}, {1, 1, std::ldexp(1, -9)});
  EXPECT_EQ(decode(kFp32, run(v100, carry)), 3);
  v100.accumulator.rounding = v100.rounding = parse_rounding("rna");
  EXPECT_EQ(decode(kFp32, run(v100, carry)), 3 + std::ldexp(1, -22)) << "the kept bit is a tie";

  // Truncation on magnitudes: both signs towards zero.
  DotSpec coarse = parse_dot_spec("a=fp16 lanes=4 accumulator=aligned[2]:fp32");
  EXPECT_EQ(decode(kFp32, run(coarse, terms_of(kFp16, {4, 0.75}, {1, 1}))), 4);
  EXPECT_EQ(decode(kFp32, run(coarse, terms_of(kFp16, {4, -0.75}, {1, 1}))), 4);
  EXPECT_EQ(decode(kFp32, run(coarse, terms_of(kFp16, {4, 1.25, -1.75}, {1, 1, 1}))), 4);
}

TEST(GoldenDot, AlignedProductsKeepTheExponentsOfTheirCodes) {
  // Subnormals of binary16 have the exponent -14: 2^-24 x 2^-24 lies 20 bits below its exponent.
  DotSpec spec = parse_dot_spec("a=fp16 lanes=2 accumulator=aligned[19]:fp32");
  double least = std::ldexp(1, -24);
  EXPECT_EQ(decode(kFp32, run(spec, terms_of(kFp16, {least}, {least}))), 0);
  spec.accumulator.fraction_bits = 20;
  EXPECT_EQ(decode(kFp32, run(spec, terms_of(kFp16, {least}, {least}))), std::ldexp(1, -48));
  // 1.5 x 1.5 = 2.25 has the exponent 0: a term of 2^-2 survives two bits below it.
  spec.accumulator.fraction_bits = 2;
  EXPECT_EQ(decode(kFp32, run(spec, terms_of(kFp16, {1.5, 0.25}, {1.5, 1}))), 2.5);
  // Scales move every product alike, and against the accumulator.
  DotSpec scaled = parse_dot_spec("a=e4m3@e8m0/32 lanes=1 accumulator=aligned[3]:fp32");
  Terms ones = terms_of(scaled.a.element, {1.125}, {1});
  EXPECT_EQ(decode(kFp32, run(scaled, ones, 1, 127 + 60, 127 - 90)), std::ldexp(1.125, -30));
  // Zero terms have no exponent: a zero at the largest scale cuts nothing.
  EXPECT_EQ(decode(kFp32, run(spec, terms_of(kFp16, {0, 1}, {60000, 0.25}))), 0.25);
}

TEST(GoldenDot, AlignedAccumulatorIsTheIntegerSumOfItsCutTerms) {
  // Oracle: exponent fields by shifts of the codes, terms cut by trunc in double, summed in 64
  // bits.
  std::mt19937 random(13);
  int cut = 0;
  for (int kept : {0, 5, 13, 23, 24, 25, 30}) {
    DotSpec spec = parse_dot_spec(fmt::format("a=fp16 lanes=4 accumulator=aligned[{}]:fp32", kept));
    for (int trial = 0; trial < 400; ++trial) {
      Terms terms = random_terms(random, spec.a.element, 12);
      float acc = 0;
      for (size_t beat = 0; beat < 12; beat += 4) {
        auto field = [](std::uint32_t code) {
          return std::max(static_cast<int>(code >> 10 & 31), 1) - 15;
        };
        std::vector<std::pair<double, int>> all;
        for (size_t j = beat; j < beat + 4; ++j)
          all.emplace_back(decode(kFp16, terms.a[j]) * decode(kFp16, terms.b[j]),
                           field(terms.a[j]) + field(terms.b[j]));
        auto bits = std::bit_cast<std::uint32_t>(acc);
        all.emplace_back(acc, std::max(static_cast<int>(bits >> 23 & 255), 1) - 127);
        int top = -1000;
        for (auto [value, exponent] : all)
          if (value != 0) top = std::max(top, exponent);
        std::int64_t sum = 0;
        for (auto [value, exponent] : all) {
          double units = std::ldexp(value, kept - top);
          sum += static_cast<std::int64_t>(std::trunc(units));
          cut += std::trunc(units) != units;
        }
        double exact = std::ldexp(static_cast<double>(sum), top - kept);
        acc = static_cast<float>(exact);
        if (std::fabs(acc) > std::fabs(exact)) acc = std::nextafter(acc, 0.0f);
      }
      ASSERT_EQ(run(spec, terms), std::bit_cast<std::uint32_t>(acc + 0.0f)) << kept;
    }
  }
  EXPECT_GT(cut, 1000);
}

TEST(GoldenDot, AlignedProductsAddTheExponentsOfBothScalesOfASide) {
  // By hand, in units of the least bit: two products, the second one 2^-12 or so of the first.
  const auto sum = [](const char* formats, int kept, std::uint32_t a, std::uint32_t scale,
                      std::uint32_t outer, float mean, double second) {
    const DotSpec spec = parse_dot_spec(
        fmt::format("{} b=bf16 lanes=2 accumulator=aligned[{}]:fp32", formats, kept));
    const std::vector<std::uint32_t> x = {a, a};
    const std::vector<std::uint32_t> y = {encode(spec.b.element, 1),
                                          encode(spec.b.element, second)};
    Beat beat;
    beat.a = x;
    beat.b = y;
    beat.a_scale = scale;
    beat.a_outer = outer;
    beat.a_mean = mean;
    beat.first = beat.last = true;
    return decode(kFp32, GoldenDot(spec).step(beat).value());
  };
  // int8 has the exponent 6 and u6 5, whatever the code: 1 x 1 stands 11 bits below its exponent.
  const char* whole = "a=int8:frac=0@u6/16*e4m3/32";
  const std::uint32_t one = 7 << 3;  // of e4m3
  EXPECT_EQ(sum(whole, 22, 1, 1, one, 0, 0x1p-12), 1);
  EXPECT_EQ(sum(whole, 23, 1, 1, one, 0, 0x1p-12), 1 + 0x1p-12);
  // A subnormal e4m3, 2^-9, has the exponent -6: three more bits.
  EXPECT_EQ(sum(whole, 25, 1, 1, 1, 0, 0x1p-12), 0x1p-9);
  EXPECT_EQ(sum(whole, 26, 1, 1, 1, 0, 0x1p-12), 0x1p-9 + 0x1p-21);
  // 0 x outer - 12 is a binary32 number of exponent 3; the code book's is 0.
  const char* mean = "a=nf4@dynamic8/64*fp32/256:mean";
  const std::uint32_t zero = zero_code(formats::code_book(formats::CodeBook::kDynamic8));
  EXPECT_EQ(sum(mean, 9, 15, zero, 0, -12, 0x1p-10), -12);
  EXPECT_EQ(sum(mean, 10, 15, zero, 0, -12, 0x1p-10), -12 - 0x1p-7);
  EXPECT_EQ(sum(mean, 11, 15, zero, 0, -12, 0x1p-10), -12 - 0x1.8p-7);
}

TEST(GoldenDot, AlignedAccumulatorWithEnoughBitsIsTheFloatOne) {
  std::mt19937 random(14);
  for (const char* rest : {"e5m2 lanes=4 accumulator={}fp32:rne", "e4m3 lanes=3 accumulator={}bf16",
                           "e2m1 lanes=8 accumulator={}fp16:sr:9"}) {
    DotSpec wide = parse_dot_spec("a=" + fmt::format(fmt::runtime(rest), "aligned[120]:") +
                                  " output=e8m20 rounding=rna");
    DotSpec plain =
        parse_dot_spec("a=" + fmt::format(fmt::runtime(rest), "") + " output=e8m20 rounding=rna");
    wide.accumulator.rounding = plain.accumulator.rounding;
    for (int trial = 0; trial < 300; ++trial) {
      Terms terms = random_terms(random, wide.a.element, 25);
      ASSERT_EQ(run(wide, terms, trial + 1), run(plain, terms, trial + 1)) << rest;
    }
  }
}

TEST(GoldenDot, ScalesMultiplyTheBeat) {
  DotSpec spec = parse_dot_spec("a=e4m3@e8m0/32 b=int8@fp32/32 lanes=2");
  Terms terms;
  terms.a = {encode(spec.a.element, 1.5), encode(spec.a.element, -3)};
  terms.b = {encode(spec.b.element, 0.5), encode(spec.b.element, 1.25)};
  // (1.5 * 0.5 - 3 * 1.25) * 2^3 * 10 = -240
  EXPECT_EQ(decode(kFp32, run(spec, terms, 1, 130, std::bit_cast<std::uint32_t>(10.0f))), -240);
}

TEST(GoldenDot, MicroExponentsDivideTheirElements) {
  std::mt19937 random(9);
  std::normal_distribution<float> normal;
  for (const char* name : {"mx9", "mx6", "mx4", "sm3@e8m0/12+u2/3"}) {
    DotSpec spec = parse_dot_spec(fmt::format("a={} lanes=6", name));
    if (spec.a.micro.block == 2) spec.lanes = 8;
    std::vector<float> x(100), y(100);
    for (float& v : x) v = std::ldexp(normal(random), static_cast<int>(random() % 6));
    for (float& v : y) v = normal(random);
    auto a = quantize(spec.a, formats::row_major(x.data(), 1, 100));
    auto b = quantize(spec.b, formats::row_major(y.data(), 1, 100));
    Float128 sum = 0;
    for (int k = 0; k < 100; ++k) sum += static_cast<Float128>(a.value(0, k)) * b.value(0, k);
    EXPECT_EQ(gemm_golden(spec, a, b).codes[0],
              std::bit_cast<std::uint32_t>(static_cast<float>(sum)))
        << name;
  }
}

// ---- Signs of zero, NaN, Inf ----

TEST(GoldenDot, AnExactZeroIsPositiveAndARoundedOneKeepsItsSign) {
  DotSpec kulisch = parse_dot_spec("a=bf16 lanes=2 output=bf16");
  EXPECT_EQ(run(kulisch, terms_of(kBf16, {1, -1}, {3, 3})), 0u);
  EXPECT_EQ(run(kulisch, terms_of(kBf16, {-0.0, 0}, {3, -3})), 0u);
  double tiny = std::ldexp(1, -100);
  EXPECT_EQ(run(kulisch, terms_of(kBf16, {tiny}, {-tiny})), 0x8000u);
  EXPECT_EQ(run(kulisch, terms_of(kBf16, {tiny}, {tiny})), 0u);

  DotSpec same = parse_dot_spec("a=bf16 lanes=1 accumulator=bf16 output=bf16");
  EXPECT_EQ(run(same, terms_of(kBf16, {tiny}, {-tiny})), 0x8000u) << "rounded by the last beat";
  EXPECT_EQ(run(same, terms_of(kBf16, {tiny, 0}, {-tiny, 1})), 0u) << "-0 + 0 is an exact zero";
  DotSpec other = parse_dot_spec("a=bf16 lanes=1 accumulator=bf16 output=fp32");
  EXPECT_EQ(run(other, terms_of(kBf16, {tiny}, {-tiny})), 0u) << "its value is exactly zero";
}

constexpr std::uint32_t kFp32Nan = 0x7FC00000, kFp32Inf = 0x7F800000, kFp32MinusInf = 0xFF800000;

TEST(GoldenDot, InfElementsFollowIeee) {
  double nan = std::nan("");
  struct Case {
    std::vector<double> a, b;
    std::uint32_t expected;
    const char* why;
  };
  const Case cases[] = {
      {{1, nan, 1}, {1, 0, 1}, kFp32Nan, "a NaN, even times zero"},
      {{nan, 1, 1}, {kInf, 1, 1}, kFp32Nan, "a NaN times Inf"},
      {{kInf, 1, 1}, {2, 1, 1}, kFp32Inf, "Inf"},
      {{kInf, 1, 1}, {-2, 1, 1}, kFp32MinusInf, "product of signs"},
      {{-kInf, 1, 1}, {-kInf, 1, 1}, kFp32Inf, "Inf times Inf"},
      {{kInf, 1, 1}, {0, 1, 1}, kFp32Nan, "Inf times zero"},
      {{0, 1, -kInf}, {1, 1, -0.0}, kFp32Nan, "Inf times zero, last beat"},
      {{kInf, 1, kInf}, {1, 1, -1}, kFp32Nan, "Infs of both signs"},
      {{kInf, -3e38, -3e38}, {1, 3e38, 3e38}, kFp32Inf, "outlives any finite sum"},
  };
  for (const char* accumulator : {"kulisch", "fp32", "kulisch[10:-10]", "aligned[9]:fp32:rne"}) {
    DotSpec spec = parse_dot_spec(fmt::format("a=bf16 lanes=2 accumulator={}", accumulator));
    for (const Case& c : cases) {
      if (spec.accumulator.is_float() && c.a[1] == -3e38)
        continue;  // that accumulator overflows itself: the test below
      EXPECT_EQ(run(spec, terms_of(kBf16, c.a, c.b)), c.expected) << accumulator << ": " << c.why;
    }
    spec.specials = formats::SpecialsPolicy::kNan;
    EXPECT_EQ(run(spec, terms_of(kBf16, {kInf, 1}, {2, 1})), kFp32Nan);
    EXPECT_EQ(run(spec, terms_of(kBf16, {3, 1}, {2, 1})), std::bit_cast<std::uint32_t>(7.0f));
  }
}

TEST(GoldenDot, ScaleThatIsNanOrInfOrZero) {
  DotSpec e8m0 = parse_dot_spec("a=e5m2@e8m0/32 lanes=2");
  Terms ones = terms_of(e8m0.a.element, {1, 1}, {1, 1});
  EXPECT_EQ(run(e8m0, ones, 1, 127, 127), std::bit_cast<std::uint32_t>(2.0f));
  EXPECT_EQ(run(e8m0, ones, 1, 255, 127), kFp32Nan);
  EXPECT_EQ(run(e8m0, ones, 1, 127, 255), kFp32Nan);

  DotSpec fp32 = parse_dot_spec("a=e5m2@fp32/32 lanes=2");
  std::uint32_t one = std::bit_cast<std::uint32_t>(1.0f);
  EXPECT_EQ(run(fp32, ones, 1, one, kFp32Nan), kFp32Nan);
  EXPECT_EQ(run(fp32, ones, 1, kFp32Inf, one), kFp32Nan) << "an Inf scale is no Inf element";
  EXPECT_EQ(run(fp32, ones, 1, 0, one), 0u);
  Terms inf = terms_of(fp32.a.element, {kInf, 1}, {1, 1});
  EXPECT_EQ(run(fp32, inf, 1, one, one), kFp32Inf);
  EXPECT_EQ(run(fp32, inf, 1, one, 0), kFp32Nan) << "a zero scale times an Inf";
}

TEST(GoldenDot, FloatAccumulatorHoldsItsOverflow) {
  DotSpec spec = parse_dot_spec("a=bf16 lanes=1 accumulator=fp32");
  double big = std::ldexp(1, 100);
  EXPECT_EQ(run(spec, terms_of(kBf16, {big, -big, -big}, {big, big, big})), kFp32Inf);
  EXPECT_EQ(run(spec, terms_of(kBf16, {big, -kInf}, {big, 1})), kFp32Nan)
      << "its Inf counts among the Infs of the result";
  EXPECT_EQ(run(spec, terms_of(kBf16, {big, kInf}, {big, 1})), kFp32Inf);

  spec.accumulator.rounding = spec.rounding = kRtz;
  EXPECT_EQ(run(spec, terms_of(kBf16, {big, 1}, {big, 1})), 0x7F7FFFFFu)
      << "RTZ stays at the largest finite value";

  DotSpec fn = parse_dot_spec("a=bf16 lanes=1 accumulator=e4m3 output=fp32");
  EXPECT_EQ(run(fn, terms_of(kBf16, {464, -464}, {1, 1})), std::bit_cast<std::uint32_t>(-16.0f))
      << "the tie between 448 and where 480 would be goes to 448";
  EXPECT_EQ(run(fn, terms_of(kBf16, {466, -466}, {1, 1})), kFp32Nan) << "no Inf: NaN, and held";
  DotSpec finite = parse_dot_spec("a=bf16 lanes=1 accumulator=e2m1 output=fp32");
  EXPECT_EQ(run(finite, terms_of(kBf16, {100, -2}, {1, 1})), std::bit_cast<std::uint32_t>(4.0f))
      << "neither: saturates and goes on";
}

TEST(GoldenDot, OutputsWithoutInfOrNan) {
  double nan = std::nan("");
  DotSpec fn = parse_dot_spec("a=bf16 lanes=2 output=e4m3");
  EXPECT_EQ(run(fn, terms_of(kBf16, {kInf}, {1})), 0x7Fu);
  EXPECT_EQ(run(fn, terms_of(kBf16, {1e6}, {-1})), 0x7Fu) << "the canonical NaN has no sign";
  DotSpec finite = parse_dot_spec("a=bf16 lanes=2 output=e2m1");
  EXPECT_EQ(run(finite, terms_of(kBf16, {nan}, {1})), 0u);
  EXPECT_EQ(run(finite, terms_of(kBf16, {kInf}, {-1})), 0xFu) << "saturates";
  EXPECT_EQ(run(finite, terms_of(kBf16, {1e6}, {1})), 0x7u);
}

// ---- The random stream ----

TEST(GoldenDot, DrawsOnceForEachRoundingAndOnlyThen) {
  auto state_after = [](const char* text, int results, int beats) {
    DotSpec spec = parse_dot_spec(text);
    GoldenDot unit(spec, 77);
    BeatBuffer buffer;
    buffer.a = buffer.b = std::vector<std::uint32_t>(static_cast<size_t>(spec.lanes), 0x3F80);
    buffer.a[0] = 0x7FC0;  // a NaN draws as well
    for (int i = 0; i < results * beats; ++i)
      unit.step(buffer.beat(i % beats == 0, i % beats == beats - 1));
    return unit.random_state();
  };
  auto stepped = [](int steps) {
    formats::Lfsr stream(77);
    for (int i = 0; i < steps; ++i) stream.step();
    return stream.state();
  };
  EXPECT_EQ(state_after("a=bf16 lanes=2 rounding=sr:9", 5, 3), stepped(5 * 9));
  EXPECT_EQ(state_after("a=bf16 lanes=2 accumulator=fp32:sr:9", 5, 3), stepped(5 * 3 * 9));
  EXPECT_EQ(state_after("a=bf16 lanes=2 accumulator=bf16:sr:9", 5, 3), stepped(5 * 3 * 9));
  EXPECT_EQ(state_after("a=bf16 lanes=2 accumulator=bf16 rounding=sr:9", 5, 3), stepped(5 * 9));
  EXPECT_EQ(state_after("a=bf16 lanes=2", 5, 3), stepped(0));
}

// Oracle: the count of formats::round_tail's own derivation, over every draw.
TEST(GoldenRound, VariantsOfStochasticRoundingGoUpOnTheDrawsOfTheirDefinition) {
  const ElementFormat grid = formats::parse_element("int16");  // whole steps of 2^-14
  int checked = 0;
  for (const char* text : {"sr:3", "srf:3", "src:3", "srf:1", "src:1", "src:5"}) {
    const Rounding rounding = formats::parse_rounding(text);
    for (int tail = 0; tail < 256; ++tail)
      for (std::uint32_t random = 0; random < 1u << rounding.random_bits; ++random) {
        const Exact x = Exact(std::ldexp(256.0 * 7 + tail, -14 - 8));
        EXPECT_EQ(golden_round(grid, x, rounding, random, Overflow::kSaturate),
                  formats::round_tail(7, static_cast<std::uint64_t>(tail), 8, rounding, random))
            << text << " " << tail << " " << random;
        ++checked;
      }
  }
  EXPECT_GT(checked, 10'000);
}

// The mean of N roundings of x lies within the variant's bias of x, and 4.5 standard errors of a
// Bernoulli variable, 1/(2 sqrt N) at most: beyond it by chance in 7 of 10^6 such tests, and the
// seeds are fixed.
TEST(GoldenRound, TheMeanOfStochasticRoundingIsTheExactValue) {
  constexpr int kCount = 10000;
  const ElementFormat e2m1 = formats::parse_element("e2m1");  // 2 and 3 are neighbours
  for (const char* register_text : {"galois:32", "fibonacci:32", "galois:16", "fibonacci:61"})
    for (const char* text : {"sr:8", "srf:8", "src:8", "sr:16"}) {
      const Rounding rounding = formats::parse_rounding(text);
      formats::Lfsr stream(12345, formats::parse_lfsr(register_text));
      for (double f : {0.0, 0.0625, 0.3, 0.5, 0.77, 0.999}) {
        double sum = 0;
        for (int i = 0; i < kCount; ++i)
          sum += decode(e2m1, golden_round(e2m1, Exact(2 + f), rounding,
                                           stream.draw(rounding.random_bits), Overflow::kSaturate));
        const double bias = std::ldexp(1.0, -rounding.random_bits);  // of a truncated tail
        EXPECT_NEAR(sum / kCount, 2 + f, bias + 4.5 * std::sqrt(f * (1 - f) / kCount))
            << register_text << " " << text;
      }
    }
}

TEST(GoldenDot, ResetGivesTheSameResultsAgain) {
  DotSpec spec = parse_dot_spec("a=bf16 lanes=1 output=e2m1 rounding=sr:4");
  GoldenDot unit(spec, 5);
  BeatBuffer buffer;
  buffer.a = buffer.b = {0x3FA0};  // 1.25 * 1.25, between 1.5 and 2
  std::vector<std::uint32_t> first, second;
  for (int i = 0; i < 50; ++i) first.push_back(*unit.step(buffer.beat(true, true)));
  unit.reset(5);
  for (int i = 0; i < 50; ++i) second.push_back(*unit.step(buffer.beat(true, true)));
  EXPECT_EQ(first, second);
  EXPECT_NE(std::count(first.begin(), first.end(), first[0]), 50) << "both neighbours occur";
}

// ---- The bare block dot ----

TEST(GoldenBlockDot, GivesTheExactSumTheScaleExponentAndTheFlags) {
  std::mt19937 random(10);
  DotSpec spec = parse_dot_spec("a=mxfp8_e4m3 b=mxint8 lanes=32");
  for (int trial = 0; trial < 200; ++trial) {
    Terms a = random_terms(random, spec.a.element, 32),
          b = random_terms(random, spec.b.element, 32);
    BeatBuffer buffer;
    buffer.a = a.a;
    buffer.b = b.b;
    buffer.a_scale = random() % 255;
    buffer.b_scale = random() % 255;
    double sum = 0;  // exact: 36 bits
    for (size_t j = 0; j < 32; ++j)
      sum += decode(spec.a.element, buffer.a[j]) * decode(spec.b.element, buffer.b[j]);
    BlockDot dot = golden_block_dot(spec, buffer.beat(true, true));
    EXPECT_EQ(dot.sum, Exact(sum));
    EXPECT_EQ(dot.scale_exponent, static_cast<int>(buffer.a_scale + buffer.b_scale));
    EXPECT_EQ(dot.scale_significand, 1);
    EXPECT_EQ(dot.factor, ldexp(Exact(1), static_cast<int>(buffer.a_scale + buffer.b_scale) - 254));
    EXPECT_FALSE(dot.nan);
    EXPECT_FALSE(dot.scale_nan);
    buffer.a[3] = 0x7F;
    buffer.b_scale = 255;
    dot = golden_block_dot(spec, buffer.beat(true, true));
    EXPECT_TRUE(dot.nan);
    EXPECT_TRUE(dot.scale_nan);
  }
}

TEST(GoldenBlockDot, HoldsAMinifloatScaleAsSignificandAndExponent) {
  // float's own frexp: f = m * 2^e, 0.5 <= m < 1; the field is e + 126, the significand m * 2^24.
  std::mt19937 random(11);
  DotSpec spec = parse_dot_spec("a=int8@fp32/32 b=int8@e8m0/32 lanes=2");
  for (int trial = 0; trial < 200; ++trial) {
    BeatBuffer buffer;
    buffer.a = buffer.b = {1, 1};
    buffer.a_scale = random() % 0x7F800000;
    if (trial < 20) buffer.a_scale = random() % 0x800000;  // subnormal
    buffer.b_scale = random() % 255;
    BlockDot dot = golden_block_dot(spec, buffer.beat(true, true));
    int exponent;
    float value = std::bit_cast<float>(buffer.a_scale);
    auto significand = static_cast<int>(std::frexp(value, &exponent) * 0x1p24f);
    if (exponent + 126 < 1) {
      significand = static_cast<int>(buffer.a_scale);
      exponent = 1 - 126;
    }
    EXPECT_EQ(dot.scale_significand, significand);
    EXPECT_EQ(dot.scale_exponent, exponent + 126 + static_cast<int>(buffer.b_scale));
    EXPECT_EQ(dot.factor,
              ldexp(Exact(static_cast<double>(value)), static_cast<int>(buffer.b_scale) - 127));
    EXPECT_FALSE(dot.scale_nan);
  }
}

// ---- Every format of the catalogue ----

using boost::multiprecision::cpp_rational;

cpp_rational rational(double x) { return cpp_rational(x); }

/// Value of an element by multiplying out what the format's page says, in rational numbers; the
/// factor under a mean by the processor's fused multiply-add.
cpp_rational value_of(const formats::QuantizedMatrix& q, std::int64_t r, std::int64_t k) {
  const formats::BlockFormat& f = q.format;
  cpp_rational value = rational(decode(f.element, q.code(r, k)));
  double scale = decode(f.scale, q.scale(r, k));
  if (f.has_outer()) {
    double outer = decode(f.outer.scale, q.outer_scales[q.outer_index(r, k)]);
    if (f.outer.mean)
      value *= rational(std::fmaf(static_cast<float>(scale), static_cast<float>(outer), q.mean));
    else
      value *= rational(scale) * rational(outer);
  } else {
    value *= rational(scale);
  }
  if (f.scale.of_maximum) value /= rational(max_value(f.element));
  return value / rational(std::ldexp(1.0, q.micro(r, k)));
}

/// `code` is the binary32 nearest to x, by its neighbours; ties are not looked at closer.
bool nearest_binary32(std::uint32_t code, const cpp_rational& x) {
  float value = std::bit_cast<float>(code);
  const float infinity = std::numeric_limits<float>::infinity();
  if (std::isnan(value)) return false;
  if (std::isinf(value))
    return (x < 0 ? cpp_rational(-x) : x) >= rational(0x1.ffffffp127) && (value > 0) == (x > 0);
  auto distance = [&](float y) -> cpp_rational {
    cpp_rational difference = x - rational(static_cast<double>(y));
    return difference < 0 ? cpp_rational(-difference) : difference;
  };
  for (float other : {std::nextafter(value, infinity), std::nextafter(value, -infinity)})
    if (std::isfinite(other) && distance(other) < distance(value)) return false;
  return true;
}

TEST(GoldenGemm, RoundsTheExactRationalOfEveryPairOfCatalogueFormatsOnce) {
  std::mt19937 random(12);
  std::normal_distribution<float> normal;
  std::int64_t checked = 0, exact = 0;
  const std::int64_t kLength = 70, kRows = 2;
  auto operand = [&](const formats::BlockFormat& format, std::int64_t rows) {
    std::vector<float> x(static_cast<size_t>(rows * kLength));
    for (float& v : x) v = normal(random) * 3;
    return quantize(format, formats::row_major(x.data(), rows, kLength));
  };
  for (const formats::CatalogueEntry& a : formats::catalogue()) {
    for (const formats::CatalogueEntry& b : formats::catalogue()) {
      DotSpec spec;
      try {
        spec = parse_dot_spec(fmt::format("a={} b={} lanes=6", a.name, b.name));
      } catch (const ConfigError& error) {
        EXPECT_NE(std::string(error.what()).find("do not divide each other"), std::string::npos)
            << a.name << " x " << b.name << ": " << error.what();
        continue;
      }
      auto x = operand(spec.a, kRows), y = operand(spec.b, 1);
      GemmResult result = gemm_golden(spec, x, y);
      for (std::int64_t i = 0; i < kRows; ++i) {
        cpp_rational sum = 0;
        for (std::int64_t k = 0; k < kLength; ++k) sum += value_of(x, i, k) * value_of(y, 0, k);
        EXPECT_TRUE(nearest_binary32(result.code(i, 0), sum))
            << a.name << " x " << b.name << ": " << result.value(i, 0) << " for "
            << static_cast<double>(sum);
        exact += rational(result.value(i, 0)) == sum;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 5000);
  EXPECT_LT(exact, checked / 2) << "the data need a rounding";
}

TEST(GoldenDot, MultipliesTheFactorsOfTheResultOnceAndRoundsOnce) {
  DotSpec spec = parse_dot_spec("a=int8:frac=0@fp32:amax/row b=int8:frac=0 lanes=2 output=e4m3");
  auto result = [&](double a_scale, std::uint32_t last_scale) {
    GoldenDot unit(spec);
    BeatBuffer buffer;
    buffer.a = {3, 1};
    buffer.b = {20, 4};
    buffer.a_scale = static_cast<std::uint32_t>(encode(spec.a.scale, a_scale));
    EXPECT_FALSE(unit.step(buffer.beat(true, false)));
    buffer.a_scale = last_scale;
    return decode(spec.output, *unit.step(buffer.beat(false, true)));
  };
  auto one = static_cast<std::uint32_t>(encode(spec.a.scale, 1.0));
  // 2 * 64 / 127 = 1.0079: the scale of the last beat counts, an earlier one does not.
  EXPECT_EQ(result(100.0, one), 1.0);
  EXPECT_EQ(result(std::numeric_limits<double>::max(), one), 1.0);
  // 128/127 * 127/2 * (17/16) = 68: a tie of E4M3's 64 and 72, to the even 64.
  double tie = 127.0 / 128 * 68;
  auto code = static_cast<std::uint32_t>(encode(spec.a.scale, tie));
  ASSERT_EQ(decode(spec.a.scale, code), tie);
  EXPECT_EQ(result(1, code), 64);
  EXPECT_EQ(result(1, code + 1), 72) << "one step above the tie";
}

TEST(GoldenDot, ZeroesTheLanesThatDoNotCountWhereTheFormatHasNoZero) {
  DotSpec spec = parse_dot_spec("a=binary lanes=8");
  for (int count = 1; count <= 8; ++count) {
    GoldenDot unit(spec);
    BeatBuffer buffer;
    buffer.a.assign(8, 1);
    buffer.b.assign(8, 0);
    buffer.count = count;
    EXPECT_EQ(decode(spec.output, *unit.step(buffer.beat(true, true))), -count);
  }
  EXPECT_FALSE(needs_count(parse_dot_spec("a=binary b=ternary")));
}

TEST(GoldenDot, PadsNf4WithItsCodeOfZero) {
  DotSpec spec = parse_dot_spec("a=nf4 lanes=48");
  std::vector<float> x(64, 1.0f);
  auto q = quantize(spec.a, formats::row_major(x.data(), 1, 64));
  EXPECT_EQ(gemm_golden(spec, q, q).value(0, 0), 64) << "beats of 48 and 16";
}

TEST(GoldenDot, MakesAFactorThatIsNotFiniteOrZeroTimesInfANan) {
  const double infinity = std::numeric_limits<double>::infinity();
  DotSpec spec = parse_dot_spec("a=e5m2@fp32/tensor b=e5m2 lanes=1");
  auto result = [&](double element, double scale) {
    GoldenDot unit(spec);
    BeatBuffer buffer;
    buffer.a = {encode(spec.a.element, element, {}, 0, Overflow::kToSpecial)};
    buffer.b = {encode(spec.b.element, 1.0)};
    buffer.a_scale = std::bit_cast<std::uint32_t>(static_cast<float>(scale));
    return decode(spec.output, *unit.step(buffer.beat(true, true)));
  };
  EXPECT_EQ(result(infinity, 2), infinity);
  EXPECT_EQ(result(-infinity, 2), -infinity);
  EXPECT_TRUE(std::isnan(result(infinity, 0)));
  EXPECT_TRUE(std::isnan(result(1, infinity)));
  EXPECT_TRUE(std::isnan(result(1, std::nan(""))));
  EXPECT_EQ(std::signbit(result(-1, 0)), false) << "an exact zero";
}

// ---- What is refused ----

TEST(CheckOperands, NamesTheField) {
  std::vector<float> x(64, 1.0f);
  DotSpec spec = parse_dot_spec("a=mxint8 b=mxfp8_e4m3 max-k=64");
  auto a = quantize(spec.a, formats::row_major(x.data(), 1, 64));
  auto b = quantize(spec.b, formats::row_major(x.data(), 1, 64));
  EXPECT_NO_THROW(check_operands(spec, a, b));
  auto message = [&](const DotSpec& s, const formats::QuantizedMatrix& p,
                     const formats::QuantizedMatrix& q) -> std::string {
    try {
      check_operands(s, p, q);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(message(spec, b, b).substr(0, 2), "a:");
  EXPECT_EQ(message(spec, a, a).substr(0, 2), "b:");
  auto shorter = quantize(spec.b, formats::row_major(x.data(), 1, 60));
  EXPECT_EQ(message(spec, a, shorter).substr(0, 2), "k:");
  auto empty_a = quantize(spec.a, formats::row_major(x.data(), 1, 0));
  auto empty_b = quantize(spec.b, formats::row_major(x.data(), 1, 0));
  EXPECT_EQ(message(spec, empty_a, empty_b).substr(0, 5), "k = 0");
  spec.max_k = 63;
  EXPECT_NE(message(spec, a, b).find("max-k = 63"), std::string::npos);
}

TEST(GoldenDot, RefusesABeatOfTheWrongSize) {
  GoldenDot unit(parse_dot_spec("a=mx9 lanes=4"));
  BeatBuffer buffer;
  buffer.a = buffer.b = {0, 0, 0, 0};
  EXPECT_THROW(unit.step(buffer.beat(true, true)), InternalError) << "no micro exponents";
}

}  // namespace
}  // namespace blockdot::models
