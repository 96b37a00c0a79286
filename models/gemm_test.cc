// The fast GEMM against the golden model, bit for bit, over formats, shapes, accumulators,
// roundings and hostile data.
#include "models/gemm.h"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <string>

#include "formats/error.h"
#include "formats/lanes.h"
#include "models/gemm_draws.h"
#include "models/vector_kernels.h"
#include "models/wide_int.h"
#include "models/wide_rounding.h"

namespace blockdot::models {
namespace {

using formats::DotSpec;
using formats::parse_dot_spec;
using formats::quantize;
using formats::QuantizedMatrix;
using formats::row_major;

enum class Data {
  kNormal,      // what layers hold
  kWide,        // exponents spread over +-60
  kExtreme,     // over all that float32 has
  kSpread,      // blocks far apart and many small elements, as far as the exact sums just fit
  kCancelling,  // pairs that cancel up to a small rest
  kFar,         // a large part that a later one cancels exactly; what is left is small
  kSpecials,    // NaN, Inf, zeros and -0 in between
  kCodes,       // any codes, any scales
  kZeroSide,    // one operand all zeros, the other as kExtreme
};
constexpr Data kAllData[] = {Data::kNormal,   Data::kSpread,     Data::kWide,
                             Data::kExtreme,  Data::kCancelling, Data::kFar,
                             Data::kSpecials, Data::kCodes,      Data::kZeroSide};

/// `sign`: of the part that cancels; the two operands take different ones.
std::vector<float> values(std::mt19937& random, std::int64_t rows, std::int64_t length, Data data,
                          float sign) {
  std::normal_distribution<float> normal;
  auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::vector<float> x(static_cast<size_t>(rows * length));
  for (size_t i = 0; i < x.size(); ++i) {
    float v = normal(random);
    switch (data) {
      case Data::kNormal:
      case Data::kCodes:
        break;
      case Data::kWide:
        v = std::ldexp(v, below(121) - 60);
        break;
      case Data::kExtreme:
      case Data::kZeroSide:
        v = std::ldexp(v, below(276) - 149);
        if (!std::isfinite(v)) v = 3e38f;
        break;
      case Data::kSpread:
        v = std::ldexp(v, static_cast<int>(i / 32 * 7 % 23) - below(8));
        break;
      case Data::kCancelling:
        if (i % 2 == 1) v = -x[i - 1] * (below(4) == 0 ? 1.0f : 1.0009765625f);
        break;
      case Data::kFar: {
        // [ 32 small | part | its negative in one operand | small ]
        auto row = static_cast<std::int64_t>(i) / length, k = static_cast<std::int64_t>(i) % length;
        std::int64_t part = std::max<std::int64_t>(0, length / 64 * 32 - 32);
        if (k < 32 || k >= 32 + 2 * part)
          v = std::ldexp(v, -static_cast<int>(row % 13));
        else if (k >= 32 + part)
          v = sign * x[i - static_cast<size_t>(part)];
        break;
      }
      case Data::kSpecials: {
        constexpr float kInf = std::numeric_limits<float>::infinity();
        int pick = below(200);
        if (pick == 0) v = kInf;
        if (pick == 1) v = -kInf;
        if (pick == 2 && below(4) == 0) v = std::nanf("");
        if (pick < 40 && pick > 20) v = 0;
        if (pick < 20 && pick > 10) v = -0.0f;
        break;
      }
    }
    x[i] = v;
  }
  return x;
}

QuantizedMatrix operand(std::mt19937& random, const formats::BlockFormat& format, std::int64_t rows,
                        std::int64_t length, Data data, float sign) {
  std::vector<float> x = values(random, rows, length, data, sign);
  if (data == Data::kZeroSide && (sign > 0) == (length % 2 == 0)) std::fill(x.begin(), x.end(), 0);
  QuantizedMatrix q = quantize(format, row_major(x.data(), rows, length));
  if (data == Data::kCodes) {
    std::uint32_t mask =
        static_cast<std::uint32_t>((std::uint64_t{1} << format.element.width()) - 1);
    // Few NaN and Inf codes, or every result would be NaN.
    for (std::int64_t i = 0; i < rows * q.padded_length; ++i) {
      if (i % q.padded_length >= length) continue;
      std::uint32_t code = random() & mask;
      if (!std::isfinite(decode(format.element, code)) && random() % 64 != 0) code = 1;
      std::memcpy(q.codes.data() + i * q.code_bytes, &code, static_cast<size_t>(q.code_bytes));
    }
    for (std::uint32_t& scale : q.scales) {
      std::uint32_t code = random() & ((1u << format.scale.width()) - 1);
      if (std::isfinite(decode(format.scale, code)) || random() % 16 == 0) scale = code;
      if (random() % 16 == 0) scale = 0;
    }
    for (std::uint32_t& outer : q.outer_scales) {
      std::uint32_t code = random() & ((1u << format.outer.scale.width()) - 1);
      if (random() % 4 == 0) outer = random() % 8 == 0 ? 0 : code;
    }
    // About what it is added to, so that factors cancel and change their sign.
    if (format.outer.mean)
      q.mean = -static_cast<float>(decode(format.outer.scale, q.outer_scales[0])) * 0.25f;
    for (std::uint8_t& tau : q.micros) tau = random() & ((1u << format.micro.bits) - 1);
  }
  return q;
}

/// Compares one GEMM and returns the number of results.
std::int64_t expect_equal(const std::string& text, std::int64_t m, std::int64_t n, std::int64_t k,
                          Data data, unsigned seed, int threads,
                          std::map<std::string, int>* ways = nullptr) {
  SCOPED_TRACE(fmt::format("{} m={} n={} k={} data={} seed={} threads={}", text, m, n, k,
                           static_cast<int>(data), seed, threads));
  std::mt19937 random(seed);
  DotSpec spec = parse_dot_spec(text);
  QuantizedMatrix a = operand(random, spec.a, m, k, data, 1);
  QuantizedMatrix b = operand(random, spec.b, n, k, data, -1);
  GemmResult golden = gemm_golden(spec, a, b, seed);
  // Every code is to be written.
  GemmResult fast;
  fast.codes.assign(static_cast<size_t>(a.rows * b.rows), 0xDEADBEEF);
  gemm_into(fast, spec, a, b, {seed, threads});
  if (ways != nullptr) ++(*ways)[std::string(fast.way)];
  EXPECT_EQ(fast.codes.size(), static_cast<size_t>(m * n));
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      if (fast.code(i, j) == golden.code(i, j)) continue;
      ADD_FAILURE() << fmt::format("({}, {}): {:#x} = {}, golden {:#x} = {}", i, j, fast.code(i, j),
                                   fast.value(i, j), golden.code(i, j), golden.value(i, j));
      return m * n;
    }
  }
  return m * n;
}

/// Every data kind and a few ragged shapes for one spec.
void sweep(const std::string& text, unsigned seed) {
  std::int64_t checked = 0;
  std::mt19937 random(seed);
  auto below = [&](int n) {
    return 1 + static_cast<std::int64_t>(random() % static_cast<unsigned>(n));
  };
  for (Data data : kAllData) {
    checked += expect_equal(text, below(10), below(36), below(100), data, random(), 1);
    checked += expect_equal(text, below(4), below(4), below(200), data, random(), 2);
  }
  EXPECT_GT(checked, 0) << "vacuous comparison";
}

class EqualsGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(EqualsGolden, ForEveryAccumulatorAndRounding) {
  const char* rests[] = {
      "",
      "rounding=sr:16",
      "rounding=rtz output=bf16",
      "rounding=rna output=fp16",
      "output=e4m3 rounding=sr:3",
      "accumulator=fp32",
      "accumulator=fp32 output=bf16",
      "accumulator=fp32 output=bf16 rounding=sr:8",
      "accumulator=fp32 rounding=sr:16",
      "accumulator=fp32 rounding=sr:32",
      "accumulator=fp32 rounding=rtz",
      "accumulator=bf16 output=bf16 rounding=rna",
      "accumulator=bf16:sr:8",
      "accumulator=e4m3 output=e5m2",
      "accumulator=kulisch[20:-30]",
      "accumulator=kulisch[4:-9]:wrap output=bf16",
      "accumulator=kulisch[2:-2] specials=nan",
      "accumulator=kulisch[150:-150]:wrap",
      "accumulator=kulisch[4:-3]:sticky output=bf16",
      "accumulator=kulisch[20:-9]:wrap:sticky output=e4m3 rounding=sr:5",
      "accumulator=aligned[13]:fp32",
      "accumulator=aligned[7]:bf16:sr:8",
      "accumulator=aligned[3]:e5m2",
      "accumulator=aligned[70]:e4m3:rne",
      "accumulator=fp16:sr:6 output=fp32",
      "accumulator=tf32:sr:10 rounding=rtz",
      "accumulator=bf16:rtz output=e5m2 rounding=sr:4",
      "accumulator=e5m2:rna output=bf16 rounding=sr:5",
  };
  unsigned seed = 1;
  for (const char* rest : rests) {
    sweep(GetParam() + " " + rest, ++seed);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Formats, EqualsGolden,
    ::testing::Values("a=mxfp8_e4m3", "a=mxfp8_e5m2", "a=mxfp6_e3m2", "a=mxfp6_e2m3 lanes=8",
                      "a=mxfp4_e2m1", "a=mxint8", "a=int4@e8m0/32 lanes=5", "a=bm8",
                      "a=bm8 b=bm8_e4m3", "a=bm6_e3m2 lanes=16", "a=mx9", "a=mx6 lanes=4", "a=mx4",
                      "a=int8@fp32/32", "a=e4m3@e4m3/16", "a=e2m1@e4m3/16 b=int8@fp32/32", "a=bf16",
                      "a=fp16 lanes=1", "a=bf16 b=mxfp4_e2m1", "a=mxfp8_e4m3 b=mxint8",
                      "a=e5m2@fp32/32 lanes=7", "a=e4m3:fnuz@e8m0/8", "a=int8:full:frac=0 lanes=64",
                      "a=e3m3@e8m0/32", "a=int12@e8m0/64 lanes=64", "a=e7m0@e8m0/32", "a=nvfp4",
                      "a=nvfp4_tile b=mxfp8_e4m3 lanes=16", "a=vsq8 lanes=5", "a=abfp8_8 b=mx9",
                      "a=nf4_dq", "a=nf4_dq lanes=1", "a=int4@u4/16*fp32/3 b=bm8_e4m3",
                      "a=int8_row lanes=9", "a=fp8_e4m3_tensor b=fp8_e5m2_tensor",
                      "a=wage_e8 b=vsq4", "a=binary lanes=7", "a=tf32 lanes=4",
                      "a=fp32 b=int8_tensor lanes=2"),
    [](const auto& param) {
      std::string name = param.param;
      for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
      return name;
    });

TEST(Gemm, EqualsGoldenOnLongReductionsWhoseSumsOutgrowEveryWay) {
  // Partial sums near 53, 62, 126 and 510 bits, by the spread of the scales.
  for (const char* text :
       {"a=mxfp8_e4m3", "a=mxint8", "a=mxfp6_e3m2 accumulator=fp32",
        "a=mxfp8_e4m3 accumulator=fp32", "a=mxfp8_e5m2", "a=bf16 accumulator=fp32",
        "a=int8@fp32/32", "a=e3m3@e8m0/32 accumulator=fp32"}) {
    unsigned seed = 100;
    for (Data data : kAllData) {
      expect_equal(text, 3, 5, 1500, data, ++seed, 1);
      expect_equal(text, 9, 33, 320, data, ++seed, 1);
    }
  }
}

TEST(Gemm, MultipliesTheFastSumsByTheScalesOfRows) {
  std::mt19937 random(77);
  for (const char* text : {"a=int8_row accumulator=fp32", "a=int8_row", "a=fp8_e4m3_row",
                           "a=fp8_e4m3_row accumulator=fp32", "a=nvfp4", "a=vsq8"}) {
    DotSpec spec = parse_dot_spec(text);
    QuantizedMatrix a = operand(random, spec.a, 5, 100, Data::kNormal, 1);
    QuantizedMatrix b = operand(random, spec.b, 7, 100, Data::kNormal, 1);
    GemmResult fast = gemm(spec, a, b);
    EXPECT_FALSE(fast.way.starts_with("results")) << text;
    EXPECT_EQ(fast.codes, gemm_golden(spec, a, b).codes) << text << " by " << fast.way;
  }
}

TEST(Gemm, TakesOneQuantisationOfSquareTilesOnEitherAxis) {
  // A weight [K][N]: fprop reduces over K, dgrad over N, and a tile serves both.
  const std::int64_t k = 100, n = 70, m = 5;
  std::mt19937 random(78);
  for (const char* format : {"bm8", "nvfp4_tile"}) {
    DotSpec spec = parse_dot_spec(fmt::format("a={} accumulator=fp32 lanes=16", format));
    std::vector<float> w = values(random, k, n, Data::kNormal, 1);
    QuantizedMatrix along_n = quantize(spec.b, row_major(w.data(), k, n));
    QuantizedMatrix along_k = quantize(spec.b, formats::transposed(w.data(), n, k));
    for (std::int64_t i = 0; i < k; ++i)
      for (std::int64_t j = 0; j < n; ++j)
        ASSERT_EQ(along_n.value(i, j), along_k.value(j, i)) << format << " " << i << " " << j;
    for (const QuantizedMatrix* b : {&along_k, &along_n}) {
      QuantizedMatrix a = operand(random, spec.a, m, b->length, Data::kNormal, 1);
      EXPECT_EQ(gemm(spec, a, *b).codes, gemm_golden(spec, a, *b).codes) << format;
    }
  }
}

TEST(Gemm, EqualsGoldenBeyondTheWidestInteger) {
  // One block at the largest scales and one at the smallest: 549 bits.
  DotSpec spec = parse_dot_spec("a=mxfp8_e4m3");
  std::vector<float> x(64, 448.0f);
  x[63] = 1;
  QuantizedMatrix a = quantize(spec.a, row_major(x.data(), 1, 64)), b = a;
  a.scales = {254, 0};
  for (std::uint32_t first : {254, 127, 0}) {
    b.scales = {first, 0};
    for (std::size_t k = 0; k < 32; ++k) b.codes[k] = a.codes[k] ^ (k % 2 ? 0x80 : 0);  // cancels
    EXPECT_EQ(gemm(spec, a, b).codes, gemm_golden(spec, a, b).codes) << first;
    b.codes[0] = 0;
    EXPECT_EQ(gemm(spec, a, b).codes, gemm_golden(spec, a, b).codes) << first;
  }
}

TEST(Gemm, KulischKeepsASmallTermBesideLargeOnesThatCancel) {
  // [ 32 smallest products | 32 largest | 32 largest, negative ]: what is left is known.
  for (const char* text : {"a=mxint8", "a=mxfp4_e2m1", "a=mxfp6_e3m2", "a=mxfp8_e4m3"}) {
    DotSpec spec = parse_dot_spec(text);
    std::vector<float> x(96);
    QuantizedMatrix a = quantize(spec.a, row_major(x.data(), 1, 96)), b = a;
    double small = min_positive(spec.a.element);
    for (std::size_t k = 0; k < 96; ++k) {
      double large = max_value(spec.a.element);
      a.codes[k] = static_cast<std::uint8_t>(encode(spec.a.element, k < 32 ? small : large));
      b.codes[k] = static_cast<std::uint8_t>(encode(spec.a.element, k < 32   ? small
                                                                    : k < 64 ? large
                                                                             : -large));
    }
    b.scales = {120, 120, 120};
    for (int shift = 0; shift <= 254; ++shift) {
      a.scales = {static_cast<std::uint32_t>(254 - shift), 254, 254};
      EXPECT_EQ(gemm(spec, a, b).value(0, 0), std::ldexp(32 * small * small, 120 - shift))
          << text << " " << shift;
    }
  }
}

// Beats far below the last place of the accumulator, which a draw lifts to a whole unit of it: more
// than the products' sum, and with it a sum that binary64 does not hold.
TEST(Gemm, EqualsGoldenWhereRandomBitsRaiseTermsBelowTheAccumulatorsLeast) {
  constexpr std::int64_t kSide = 64;
  for (const char* accumulator : {"e4m3:sr:4", "e4m3:srf:4", "e4m3:src:5", "e5m2:sr:9"}) {
    const DotSpec spec =
        parse_dot_spec(fmt::format("a=bf16 lanes=1 accumulator={} output=fp32", accumulator));
    std::vector<float> x, y;
    for (std::int64_t i = 0; i < kSide; ++i) {
      x.insert(x.end(), {1.984375f, -0x1p-30f});
      y.insert(y.end(), {1.984375f * 0x1p-14f, 0x1p-33f});
    }
    const QuantizedMatrix a = quantize(spec.a, row_major(x.data(), kSide, 2));
    const QuantizedMatrix b = quantize(spec.b, row_major(y.data(), kSide, 2));
    for (std::uint64_t seed : {1, 7, 12345}) {
      const GemmResult golden = gemm_golden(spec, a, b, seed);
      EXPECT_EQ(gemm(spec, a, b, {seed, 1}).codes, golden.codes) << accumulator << " " << seed;
      EXPECT_GT(std::set<std::uint32_t>(golden.codes.begin(), golden.codes.end()).size(), 1u);
    }
  }
}

// Elements and scales at the ends of what the grammar can say, beside zeros too.
TEST(Gemm, EqualsGoldenForNegativeBiasesAndScalesBeyondBinary32) {
  std::mt19937 random(5);
  std::map<std::string, int> ways;
  for (const char* operands :
       {"a=bf16 b=e5m10:bias=-1 lanes=4", "a=e5m10:bias=-7@e8m0/32 lanes=8",
        "a=e5m3:bias=-128@e8m3:bias=-128/32", "a=e5m3:bias=-128@e8m3:bias=-128/32 b=e4m3",
        "a=e8m7:bias=-128@e8m3:bias=-128/32 b=e8m7:bias=256@e8m3:bias=256/32",
        "a=mxfp8_e4m3 lanes=1"})
    for (const char* accumulator :
         {"fp32", "kulisch", "bf16:sr:4", "bf16", "aligned[40]:fp32", "aligned[12]:bf16"})
      for (Data data : {Data::kZeroSide, Data::kCodes, Data::kExtreme})
        for (std::int64_t k : {40, 41})
          expect_equal(fmt::format("{} accumulator={}", operands, accumulator), 3, 21, k, data,
                       random(), 1, &ways);
  for (const char* way : {"doubles:exact", "doubles:odd", "doubles:checked", "aligned:wide"})
    EXPECT_GT(ways[way], 0) << way;
}

// Scales that are no binary32 numbers: beyond 2^128, with biases of their own.
TEST(Gemm, AddsTheMeanToTheExactProductOfTwoScales) {
  unsigned seed = 4;
  for (const char* text :
       {"a=nf4@ue8m3/8*fp32/4:mean accumulator=fp32", "a=int4@ue8m3/32*fp32/tensor:mean b=mxint8",
        "a=int8@e8m7:finite/32*fp32/tensor:mean b=mxint8 accumulator=aligned[20]:fp32",
        "a=dynamic8@e8m23:bias=-128/32*bf16/4:mean accumulator=fp32 output=fp32"})
    for (Data data : kAllData) expect_equal(text, 5, 35, 128, data, ++seed, 1);
}

TEST(Gemm, NanHeldByTheAccumulatorOutlivesAnInfElement) {
  for (const char* text : {"a=bf16 lanes=1 accumulator=e4m3 output=fp32",
                           "a=bf16 lanes=1 accumulator=fp32", "a=bf16 lanes=1"}) {
    DotSpec spec = parse_dot_spec(text);
    const float inf = std::numeric_limits<float>::infinity();
    // Overflow by finite products, then an Inf of each sign. Rows of a narrow range: a wide one
    // would go to the golden model.
    const float big = 0x1p70f;
    std::vector<float> x = {big, big, big, big, big, big}, y = {big, big, inf, big, big, -inf};
    QuantizedMatrix a = quantize(spec.a, row_major(x.data(), 2, 3));
    QuantizedMatrix b = quantize(spec.b, row_major(y.data(), 2, 3));
    EXPECT_EQ(gemm(spec, a, b).codes, gemm_golden(spec, a, b).codes) << text;
  }
}

TEST(Gemm, EqualsGoldenProductByProductInABf16Accumulator) {
  std::int64_t checked = 0;
  unsigned seed = 300;
  for (const char* format : {"mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4_e2m1",
                             "mxint8", "bm8_e4m3", "bm6", "e4m3"})
    for (const char* rest :
         {"accumulator=bf16 output=bf16", "accumulator=bf16", "accumulator=bf16 output=e4m3",
          "accumulator=bf16:sr:16 output=bf16 rounding=sr:16",
          "accumulator=bf16:sr:8 output=bf16 rounding=sr:8", "accumulator=bf16:sr:5",
          "accumulator=bf16:sr:13 output=fp16 rounding=rtz", "accumulator=bf16:sr:1"})
      for (Data data : kAllData) {
        std::string text = fmt::format("a={} lanes=1 {}", format, rest);
        checked += expect_equal(text, 3, 37, 70, data, ++seed, 1);
        ++seed;
        checked += expect_equal(text, 9, 3, 1 + seed % 80, data, seed, 2);
      }
  EXPECT_GT(checked, 50'000);
}

// The kernel of the MACs draws as galois:32 does, and rounds by SRFF.
TEST(Gemm, EqualsGoldenWithEveryRegisterAndVariantOfStochasticRounding) {
  const std::string mac = "a=mxfp8_e4m3 lanes=1 accumulator=bf16:";
  unsigned seed = 700;
  for (const char* rest : {"sr:8 lfsr=fibonacci:32", "sr:8 lfsr=galois:31", "sr:4 lfsr=galois:4",
                           "sr:16 lfsr=galois:64", "sr:12 lfsr=fibonacci:17", "srf:8", "src:8",
                           "src:16 lfsr=fibonacci:64"}) {
    for (Data data : kAllData) expect_equal(mac + rest, 5, 19, 40, data, ++seed, 2);
    const DotSpec spec = parse_dot_spec(mac + rest);
    std::mt19937 random(seed);
    const QuantizedMatrix a = operand(random, spec.a, 4, 40, Data::kNormal, 1);
    EXPECT_NE(gemm(spec, a, a).way, "macs") << rest;
  }
  for (const char* text :
       {"a=mxfp8_e4m3 rounding=sr:8 output=bf16 lfsr=fibonacci:24",
        "a=mxfp4_e2m1 rounding=srf:5 output=e4m3 lfsr=galois:64",
        "a=mxint8 rounding=src:7 output=fp16",
        "a=mxfp8_e5m2 lanes=8 accumulator=fp32:srf:27 lfsr=galois:29",
        "a=mxfp8_e5m2 lanes=8 accumulator=fp32:src:32 output=bf16",
        "a=mxfp6_e3m2 accumulator=kulisch[20:-20] rounding=src:3 output=e5m2 lfsr=fibonacci:5"})
    for (Data data : kAllData) expect_equal(text, 3, 7, 96, data, ++seed, 2);
}

TEST(Gemm, StartsAtTheSeedOfTheSpecWhereNoneIsGiven) {
  const DotSpec spec = parse_dot_spec("a=mxfp8_e4m3 rounding=sr:8 output=bf16 lfsr=galois:32:77");
  std::mt19937 random(1);
  const QuantizedMatrix a = operand(random, spec.a, 9, 64, Data::kNormal, 1);
  EXPECT_EQ(gemm(spec, a, a).codes, gemm_golden(spec, a, a).codes);
  EXPECT_EQ(gemm(spec, a, a).codes, gemm(spec, a, a, {.seed = 77}).codes);
  EXPECT_NE(gemm(spec, a, a).codes, gemm(spec, a, a, {.seed = 1}).codes);
}

TEST(Gemm, EqualsGoldenForEveryKernelAccumulatorAndRoundingOnEveryTargetOfTheProcessor) {
  const std::vector<std::string> targets = formats::lanes_targets();
  EXPECT_TRUE(std::find(targets.begin(), targets.end(), "SCALAR") != targets.end());
  std::int64_t checked = 0;
  unsigned seed = 500;
  // Bytes, halves, doubles of units, doubles of values; scales of many bits; a second level.
  for (const char* operands : {"a=mxint8", "a=mxfp6_e3m2", "a=mxfp8_e4m3 b=mxfp4_e2m1", "a=bf16",
                               "a=mxfp8_e5m2", "a=int8@fp32/32", "a=mx9"})
    for (const char* rest :
         {"", "accumulator=fp32", "accumulator=fp32:rna output=bf16", "accumulator=fp32:rtz",
          "accumulator=bf16 output=fp16 rounding=rtz", "accumulator=fp32:sr:16",
          "accumulator=fp16:sr:9", "accumulator=bf16:sr:20 output=bf16 rounding=sr:20",
          "accumulator=kulisch[14:-8] output=e5m2 rounding=sr:4",
          "accumulator=kulisch[9:-9]:wrap output=bf16 rounding=rna", "accumulator=aligned[13]:fp32",
          "accumulator=aligned[6]:bf16:rne output=fp16", "accumulator=aligned[24]:fp32:sr:16",
          "accumulator=aligned[9]:e4m3:rna output=e5m2", "lanes=1 accumulator=bf16 output=bf16",
          "lanes=1 accumulator=bf16:sr:16 output=bf16 rounding=sr:16"}) {
      if (std::string(rest).starts_with("lanes") && std::string(operands) == "a=mx9") continue;
      DotSpec spec = parse_dot_spec(fmt::format("{} {}", operands, rest));
      for (Data data : {Data::kNormal, Data::kWide, Data::kCodes}) {
        std::mt19937 random(++seed);
        // Past a panel of either kind by a little; three blocks, the last one short.
        const std::int64_t m = 7, n = data == Data::kNormal ? 67 : 3, k = 1 + 64 + seed % 31;
        QuantizedMatrix a = operand(random, spec.a, m, k, data, 1);
        QuantizedMatrix b = operand(random, spec.b, n, k, data, -1);
        const GemmResult golden = gemm_golden(spec, a, b, seed);
        for (const std::string& target : targets) {
          formats::lanes_use_target(target);
          EXPECT_EQ(gemm(spec, a, b, {seed, 2}).codes, golden.codes)
              << target << " " << operands << " " << rest << " " << static_cast<int>(data);
          ++checked;
        }
      }
    }
  formats::lanes_use_target("");
  EXPECT_GT(checked, 0) << "vacuous comparison";
}

TEST(Gemm, EqualsGoldenForEveryRoundingOfEveryAccumulatorOnEveryTarget) {
  const std::vector<std::string> targets = formats::lanes_targets();
  const std::string roundings[] = {"rne", "rna", "rtz", "sr:9", "srf:9", "src:9"};
  const std::string registers[] = {"galois:32", "fibonacci:32", "galois:64:12345", "fibonacci:17",
                                   "galois:9:3"};
  std::vector<std::string> rests;
  for (const std::string& rounding : roundings) {
    for (const char* fixed :
         {"kulisch", "kulisch[14:-8]", "kulisch[5:-6]:wrap", "kulisch[3:-4]:sticky",
          "kulisch[30:-3]:wrap:sticky", "kulisch[700:-700]:exact", "fp32", "aligned[13]:fp32"})
      for (const char* output : {"bf16", "e4m3"})
        rests.push_back(
            fmt::format("accumulator={} output={} rounding={}", fixed, output, rounding));
    for (const char* floating : {"fp32", "bf16", "fp16", "e5m2", "aligned[13]:fp32",
                                 "aligned[30]:bf16", "aligned[5]:e4m3", "lanes=1 bf16"}) {
      std::string text = floating;
      const std::string lanes = text.starts_with("lanes") ? "lanes=1 " : "";
      if (!lanes.empty()) text = "bf16";
      rests.push_back(fmt::format("{}accumulator={}:{} output=tf32", lanes, text, rounding));
    }
  }
  std::int64_t checked = 0;
  unsigned seed = 900;
  for (const char* operands : {"a=mxint8", "a=mxfp6_e3m2 b=mxfp8_e4m3", "a=bf16 b=mxfp8_e5m2"})
    for (const std::string& rest : rests) {
      ++seed;
      // An exact window is for what it can hold.
      if (rest.find(":exact") != std::string::npos && std::string(operands) != "a=mxint8") continue;
      const DotSpec spec = parse_dot_spec(
          fmt::format("{} {} lfsr={}", operands, rest, registers[seed % std::size(registers)]));
      std::mt19937 random(seed);
      const Data data = kAllData[seed % std::size(kAllData)];
      const std::int64_t m = 1 + seed % 7, n = seed % 3 == 0 ? 35 : 3, k = 1 + seed % 70;
      const QuantizedMatrix a = operand(random, spec.a, m, k, data, 1);
      const QuantizedMatrix b = operand(random, spec.b, n, k, data, -1);
      const GemmResult golden = gemm_golden(spec, a, b);
      for (const std::string& target : targets) {
        formats::lanes_use_target(target);
        const GemmResult fast = gemm(spec, a, b, {.threads = 2});
        EXPECT_EQ(fast.codes, golden.codes) << target << " " << to_text(spec) << " by " << fast.way;
        ++checked;
      }
    }
  formats::lanes_use_target("");
  EXPECT_GT(checked, 200) << "vacuous comparison";
}

// One product of two blocks a side, whose elements and scales are given as codes.
struct Edge {
  const char* spec;
  std::vector<std::uint32_t> a_scales, b_scales;
  std::vector<std::uint32_t> first, second;  // the blocks' first elements, of both sides alike
  const char* way;
  std::vector<std::uint32_t> a_outer = {}, b_outer = {};  // outer scales, where a side has them
};

// Sums at the ends of a format and in its subnormals, and accumulators that have overflowed.
TEST(Gemm, RoundsInBinary32AsTheGoldenModelDoes) {
  std::int64_t checked = 0;
  unsigned seed = 1300;
  for (const char* operands : {"a=mxint8", "a=mxfp4_e2m1", "a=mxfp6_e3m2"})
    for (const char* accumulator :
         {"bf16", "bf16:rtz", "bf16:sr:16", "fp16", "fp16:rtz", "fp16:sr:13", "fp16:sr:1", "e5m2",
          "e5m2:rtz", "e5m2:sr:8", "e4m3", "e4m3:sr:20", "e2m1", "e2m1:sr:5", "tf32", "e8m21",
          "e6m22:rtz", "e6m13:sr:10", "e8m1:sr:22"})
      for (const int middle : {127, 112, 90, 65, 150}) {
        const DotSpec spec = parse_dot_spec(
            fmt::format("{} lanes=4 accumulator={} output=fp32", operands, accumulator));
        std::mt19937 random(++seed);
        QuantizedMatrix a = operand(random, spec.a, 7, 96, Data::kNormal, 1);
        QuantizedMatrix b = operand(random, spec.b, 5, 96, Data::kNormal, 1);
        for (QuantizedMatrix* side : {&a, &b})
          for (std::uint32_t& scale : side->scales)
            scale = static_cast<std::uint32_t>(middle) + random() % 7 - 3;
        const GemmResult fast = gemm(spec, a, b);
        EXPECT_EQ(fast.codes, gemm_golden(spec, a, b).codes) << to_text(spec) << " by " << fast.way;
        if (fast.way == "integers:single") ++checked;
      }
  if (has_single_step(StepKind::kNearestEven, 7, -133, 0)) {
    EXPECT_GT(checked, 150) << "vacuous comparison";
  }
}

// acc = 2^m or 2^m + 1 units, and then half a unit, a little more and a little less: further below
// than a rounding of the sum itself can tell.
TEST(Gemm, RoundsBesideATieAsTheGoldenModelDoes) {
  struct Held {
    const char* accumulator;
    int factors[2][2];  // of 2^m and 2^m + 1
  };
  std::set<std::string> ways;
  for (const Held& held : {Held{"e5m3", {{8, 1}, {9, 1}}}, Held{"bf16", {{64, 2}, {43, 3}}},
                           Held{"fp16", {{64, 16}, {41, 25}}}, Held{"tf32", {{64, 16}, {41, 25}}}})
    for (const char* rounding : {"rne", "rna", "rtz", "sr:4", "src:4", "srf:4"})
      for (const int below : {19, 49}) {  // the second in binary64 alone
        const DotSpec spec = parse_dot_spec(
            fmt::format("a=mxint8 accumulator={}:{} output=fp32", held.accumulator, rounding));
        for (const auto& factors : held.factors)
          for (const int last : {15, 16, 17})  // 2^18 - 1, 2^18 and 2^18 + 1
            for (const int sign : {1, -1}) {
              std::vector<float> zeros(96);
              QuantizedMatrix a = quantize(spec.a, row_major(zeros.data(), 1, 96)), b = a;
              const auto set = [&](size_t k, int x, int y) {
                a.codes[k] = static_cast<std::uint8_t>(sign * x);
                b.codes[k] = static_cast<std::uint8_t>(y);
              };
              set(0, factors[0], factors[1]);
              for (size_t k = 32; k < 48; ++k) set(k, 127, 127);
              set(48, 127, 32);
              set(49, last, 1);
              set(64, 1, 1);  // far below
              a.scales = {127, 127 - 19, static_cast<std::uint32_t>(127 - below)};
              b.scales = {127, 127, 127};
              const GemmResult fast = gemm(spec, a, b);
              EXPECT_EQ(fast.codes, gemm_golden(spec, a, b).codes)
                  << to_text(spec) << " " << factors[0] << " " << last << " " << sign;
              ways.emplace(fast.way);
            }
      }
  EXPECT_TRUE(ways.contains("integers:odd"));
  EXPECT_EQ(ways.contains("integers:single"), has_single_step(StepKind::kNearestEven, 7, -133, 0));
}

TEST(Gemm, SumsOfTheLargestElementsStayWithinTheirIntegers) {
  std::int64_t checked = 0;
  for (const char* text :
       {"a=e4m3@e8m0/256 lanes=166", "a=e4m3@e8m0/256 lanes=167",
        "a=e4m3@e8m0/256 b=e2m1 lanes=200", "a=int8:full@e8m0/256 b=e4m3@e8m0/256 lanes=128",
        "a=int8:full@e8m0/1024 lanes=1024", "a=e3m2@e8m0/1024 lanes=1024",
        "a=e3m4@e8m0/1024 lanes=1024"})
    for (const char* rest : {"accumulator=fp32", "accumulator=kulisch"}) {
      const DotSpec spec = parse_dot_spec(fmt::format("{} {}", text, rest));
      std::vector<float> zeros(7 * 1024);
      for (const int sign : {1, -1}) {
        QuantizedMatrix a = quantize(spec.a, row_major(zeros.data(), 7, 1024));
        QuantizedMatrix b = quantize(spec.b, row_major(zeros.data(), 3, 1024));
        for (QuantizedMatrix* side : {&a, &b})
          for (std::uint8_t& code : side->codes)
            code = static_cast<std::uint8_t>(
                encode(side->format.element, side == &a ? sign * max_value(side->format.element)
                                                        : max_value(side->format.element)));
        // The most negative integer lies beyond.
        if (spec.a.element.kind == formats::ElementKind::kInteger && sign < 0)
          std::fill(a.codes.begin(), a.codes.end(), std::uint8_t{0x80});
        EXPECT_EQ(gemm(spec, a, b).codes, gemm_golden(spec, a, b).codes) << text << " " << rest;
        ++checked;
      }
    }
  EXPECT_EQ(checked, 28);
}

TEST(Gemm, TakesTheNextWiderWayOneStepPastEachBoundWithTheSameBits) {
  const std::string mac = "a=mxfp4_e2m1 lanes=1 accumulator=bf16 output=bf16";
  const Edge edges[] = {
      // FP32: the product of the scales times the unit 2^-12 of MXINT8 at 2^-126, and below.
      {"a=mxint8 accumulator=fp32", {81, 127}, {59, 127}, {1, 127}, {1, 127}, "integers:fma"},
      {"a=mxint8 accumulator=fp32", {80, 127}, {59, 127}, {1, 127}, {1, 127}, "integers:odd"},
      // 2^103 is the largest.
      {"a=mxint8 accumulator=fp32", {192, 127}, {177, 127}, {1, 127}, {1, 127}, "integers:fma"},
      {"a=mxint8 accumulator=fp32", {192, 127}, {178, 127}, {1, 127}, {1, 127}, "integers:odd"},
      // Elements of 18 bits: a sum beyond 2^24.
      {"a=int8@e8m0/32 b=e4m1@e8m0/32 accumulator=fp32",
       {127, 127},
       {127, 127},
       {1, 127},
       {1, 0x1F},
       "digits:exact"},
      // The same ends for a float that is rounded in binary32; sums of 2^100, and beyond.
      {"a=mxint8 accumulator=bf16", {81, 127}, {59, 127}, {1, 127}, {1, 127}, "integers:single"},
      {"a=mxint8 accumulator=bf16", {80, 127}, {59, 127}, {1, 127}, {1, 127}, "integers:odd"},
      {"a=mxint8 accumulator=bf16", {173, 127}, {172, 127}, {1, 127}, {1, 127}, "integers:single"},
      {"a=mxint8 accumulator=bf16", {173, 127}, {173, 127}, {1, 127}, {1, 127}, "integers:odd"},
      // Bits that it keeps below the last one.
      {"a=mxint8 accumulator=e6m21", {127, 127}, {127, 127}, {1}, {1, 127}, "integers:single"},
      {"a=mxint8 accumulator=e6m22", {127, 127}, {127, 127}, {1}, {1, 127}, "integers:exact"},
      {"a=mxint8 accumulator=e6m22:rtz", {127, 127}, {127, 127}, {1}, {1, 127}, "integers:single"},
      {"a=mxint8 accumulator=fp32:rtz", {127, 127}, {127, 127}, {1}, {1, 127}, "integers:exact"},
      {"a=mxint8 accumulator=fp16:sr:13", {127, 127}, {127, 127}, {1}, {1, 127}, "integers:single"},
      {"a=mxint8 accumulator=fp16:sr:14", {127, 127}, {127, 127}, {1}, {1, 127}, "integers:exact"},
      // A beat's sum of 2^24: 18 and 19 products of 960 * 960.
      {"a=e3m3:finite@e8m0/32 lanes=18 accumulator=bf16",
       {127, 127},
       {127, 127},
       {1},
       {1, 127},
       "integers:single"},
      {"a=e3m3:finite@e8m0/32 lanes=19 accumulator=bf16",
       {127, 127},
       {127, 127},
       {1},
       {1, 127},
       "integers:exact"},
      // Digits: elements of 18 bits, of 19; and that a sum of beats stays below 2^31.
      {"a=mxfp8_e4m3 accumulator=fp32", {127, 127}, {127, 127}, {0x7E}, {0x7E}, "digits:exact"},
      {"a=e4m4@e8m0/32 accumulator=fp32", {127, 127}, {127, 127}, {0x7E}, {0x7E}, "doubles:exact"},
      {"a=e4m3@e8m0/256 lanes=166 accumulator=fp32",
       {127, 127},
       {127, 127},
       {0x7E},
       {0x7E},
       "digits:exact"},
      {"a=e4m3@e8m0/256 lanes=167 accumulator=fp32",
       {127, 127},
       {127, 127},
       {0x7E},
       {0x7E},
       "doubles:exact"},
      {"a=mxfp8_e4m3 lanes=8 accumulator=fp32", {127, 127}, {127, 127}, {1}, {1}, "digits:exact"},
      {"a=mxfp8_e4m3 lanes=7 accumulator=fp32", {127, 127}, {127, 127}, {1}, {1}, "doubles:exact"},
      // Kulisch in int32: 32 * 127 * 127 * (1 + 2^12) in units of the lower scales, and above 2^31.
      {"a=mxint8", {127, 139}, {127, 127}, {1, 127}, {1, 127}, "integers:shift"},
      {"a=mxint8", {127, 140}, {127, 127}, {1, 127}, {1, 127}, "integers:exact"},
      // In binary64: 7 bits a side, six for 64 products, 33 for the scales: 53.
      {"a=mxint8", {127, 144}, {127, 143}, {1, 127}, {1, 127}, "integers:exact"},
      {"a=mxint8", {127, 144}, {127, 144}, {1, 127}, {1, 127}, "integers:odd"},
      // 20 bits, 85 for the scales, and one for two rests: 2 * 53.
      {"a=mxint8", {127, 170}, {127, 169}, {1, 127}, {1, 127}, "integers:odd"},
      {"a=mxint8", {127, 170}, {127, 170}, {1, 127}, {1, 127}, "integers:checked"},
      // E5M2, 2^-16 and 2^7 in a block: 24 bits a side and five for 32 products, and more.
      {"a=mxfp8_e5m2 accumulator=fp32",
       {127, 127},
       {127, 127},
       {0x01, 0x58},
       {0x01, 0x58},
       "doubles:odd"},
      {"a=mxfp8_e5m2 accumulator=fp32",
       {127, 127},
       {127, 127},
       {0x01, 0x5C},
       {0x01, 0x5C},
       "doubles:checked"},
      {"a=mxfp8_e5m2 accumulator=fp32",
       {127, 127},
       {127, 127},
       {0x01, 0x5C},
       {0x38},
       "doubles:mixed"},
      {"a=mxfp8_e5m2", {127, 127}, {127, 127}, {0x01, 0x5C}, {0x38}, "doubles:mixed"},
      {"a=mxfp8_e5m2 accumulator=kulisch[20:-10]",
       {127, 127},
       {127, 127},
       {0x01, 0x5C},
       {0x38},
       "doubles:mixed"},
      // Scales of 23 bits each, one for each element, five for 32 products: 53; of 24 bits.
      {"a=e2m1@fp32/32 accumulator=fp32",
       {0x3F800002, 0x3F800000},
       {0x3F800002, 0x3F800000},
       {1},
       {1},
       "integers:odd"},
      {"a=e2m1@fp32/32 accumulator=fp32",
       {0x3F800001, 0x3F800000},
       {0x3F800001, 0x3F800000},
       {1},
       {1},
       "integers:mixed"},
      {"a=e2m1@fp32/32 accumulator=fp32",
       {0x3F800001, 0x3F800001},
       {0x3F800001, 0x3F800001},
       {1},
       {1},
       "integers:checked"},
      // 2^-400, and below: an element of 2^-133 under a scale of 2^-67.
      {"a=bf16@fp32/32 accumulator=fp32",
       {0x1E000000, 0x3F800000},
       {0x1E000000, 0x3F800000},
       {1},
       {1},
       "doubles:odd"},
      {"a=bf16@fp32/32 accumulator=fp32",
       {0x1E000000, 0x3F800000},
       {0x1D800000, 0x3F800000},
       {1},
       {1},
       "results:126"},
      // 2^400, and above: an element of 2^73 under a scale of 2^126.
      {"a=bf16@fp32/32 accumulator=fp32",
       {0x7E800000, 0x3F800000},
       {0x7E800000, 0x3F800000},
       {0x6400},
       {0},
       "doubles:exact"},
      {"a=bf16@fp32/32 accumulator=fp32",
       {0x7E800000, 0x3F800000},
       {0x7F000000, 0x3F800000},
       {0x6400},
       {0},
       "results:126"},
      // A random rounding that a sum rounded to odd still serves, and one that it does not.
      {"a=mxint8 accumulator=fp32:sr:26", {58, 127}, {58, 127}, {1, 127}, {1, 127}, "integers:odd"},
      {"a=mxint8 accumulator=fp32:sr:27",
       {58, 127},
       {58, 127},
       {1, 127},
       {1, 127},
       "integers:checked"},
      // Windows of 50 and 51 bits that lose the products' last one, 2^-12.
      {"a=mxint8 accumulator=kulisch[38:-11]",
       {127, 127},
       {127, 127},
       {1, 127},
       {1, 127},
       "integers:exact"},
      {"a=mxint8 accumulator=kulisch[39:-11]",
       {127, 127},
       {127, 127},
       {1, 127},
       {1, 127},
       "results:126"},
      {"a=mxint8 accumulator=kulisch[38:-11]:sticky",
       {127, 127},
       {127, 127},
       {1, 127},
       {1, 127},
       "integers:exact"},
      {"a=mxint8 accumulator=kulisch[39:-11]:sticky",
       {127, 127},
       {127, 127},
       {1, 127},
       {1, 127},
       "results:126"},
      // Wide windows that lose nothing, and that lose one bit; that 64 products of 4 stay below,
      // and that they may reach.
      {"a=mxint8 accumulator=kulisch[47:-12]:sticky",
       {127, 127},
       {127, 127},
       {1, 127},
       {1, 127},
       "integers:shift"},
      {"a=mxint8 accumulator=kulisch[47:-11]:sticky",
       {127, 127},
       {127, 127},
       {1, 127},
       {1, 127},
       "results:126"},
      {"a=mxint8 accumulator=kulisch[9:-50]:wrap",
       {127, 127},
       {127, 127},
       {1, 127},
       {1, 127},
       "integers:shift"},
      {"a=mxint8 accumulator=kulisch[8:-50]:wrap",
       {127, 127},
       {127, 127},
       {1, 127},
       {1, 127},
       "results:126"},
      // The same for scales: 2^6 more.
      {"a=mxint8 accumulator=kulisch[15:-50]",
       {127, 133},
       {127, 127},
       {1, 127},
       {1, 127},
       "integers:shift"},
      {"a=mxint8 accumulator=kulisch[15:-50]",
       {127, 134},
       {127, 127},
       {1, 127},
       {1, 127},
       "results:126"},
      // A float without mantissa.
      {"a=mxint8 accumulator=e5m1", {127, 127}, {127, 127}, {1, 127}, {1, 127}, "integers:single"},
      {"a=mxint8 accumulator=e5m0", {127, 127}, {127, 127}, {1, 127}, {1, 127}, "results:126"},
      // An Inf in every result.
      {"a=mxfp8_e5m2 accumulator=fp32",
       {127, 127},
       {127, 127},
       {0x7C, 0x38},
       {0x7C, 0x38},
       "results:126"},
      // Cut terms: 22 fraction bits, two more and six for 33 terms: 30; 45 of them: 53.
      {"a=mxint8 accumulator=aligned[22]:fp32",
       {127, 120},
       {127, 110},
       {1, 127},
       {1, 127},
       "aligned:narrow"},
      {"a=mxint8 accumulator=aligned[23]:fp32",
       {127, 120},
       {127, 110},
       {1, 127},
       {1, 127},
       "aligned:wide"},
      {"a=mxint8 accumulator=aligned[45]:fp32",
       {127, 120},
       {127, 110},
       {1, 127},
       {1, 127},
       "aligned:wide"},
      {"a=mxint8 accumulator=aligned[46]:fp32",
       {127, 120},
       {127, 110},
       {1, 127},
       {1, 127},
       "results:126"},
      // 126 bits for the sum of 33 terms, each up to 2^6 times its exponent.
      {"a=mxint8 accumulator=aligned[113]:fp32",
       {127, 70},
       {127, 75},
       {1, 127},
       {1, 127},
       "results:126"},
      {"a=mxint8 accumulator=aligned[114]:fp32",
       {127, 70},
       {127, 75},
       {1, 127},
       {1, 127},
       "results:510"},
      // Windows of 123 bits and of 507, and a bit more, which lose what the second block has.
      {"a=mxint8 accumulator=kulisch[61:-61]:wrap:sticky output=fp32",
       {127, 90},
       {127, 90},
       {1, 127},
       {1, 127},
       "results:126"},
      {"a=mxint8 accumulator=kulisch[62:-61]:wrap:sticky output=fp32",
       {127, 90},
       {127, 90},
       {1, 127},
       {1, 127},
       "results:510"},
      {"a=mxint8 accumulator=kulisch[253:-253]:wrap:sticky output=fp32",
       {127, 1},
       {127, 1},
       {1, 127},
       {1, 127},
       "results:510"},
      {"a=mxint8 accumulator=kulisch[254:-253]:wrap:sticky output=fp32",
       {127, 1},
       {127, 1},
       {1, 127},
       {1, 127},
       "results:golden"},
      // Kulisch: 20 bits of a sum at 105 places, and a bit for two; 489 places.
      {"a=int8@e4m3/32*fp32/1",
       {0x38, 0x38},
       {0x38, 0x38},
       {1, 127},
       {1, 127},
       "results:126",
       {0x5a000000, 0x3f800000},
       {0x59800000, 0x3f800000}},
      {"a=int8@e4m3/32*fp32/1",
       {0x38, 0x38},
       {0x38, 0x38},
       {1, 127},
       {1, 127},
       "results:510",
       {0x5a000000, 0x3f800000},
       {0x5a000000, 0x3f800000}},
      {"a=int8@e4m3/32*fp32/1",
       {0x38, 0x38},
       {0x38, 0x38},
       {1, 127},
       {1, 127},
       "results:510",
       {0x7f000000, 0x800000},
       {0x76800000, 0x800000}},
      {"a=int8@e4m3/32*fp32/1",
       {0x38, 0x38},
       {0x38, 0x38},
       {1, 127},
       {1, 127},
       "results:golden",
       {0x7f000000, 0x800000},
       {0x77000000, 0x800000}},
      // Sums of 94 bits (the second 3 + 2^-86, beside a tie), of 96; of 126, of 128.
      {"a=fp32 accumulator=e5m0",
       {},
       {},
       {0x3FC00000, 0x2A000000},
       {0x3F800000, 0x2A000000},
       "results:126"},
      {"a=fp32 accumulator=e5m0",
       {},
       {},
       {0x3FC00000, 0x2A000000},
       {0x3F800000, 0x29800000},
       "results:510"},
      {"a=fp32 accumulator=e5m0",
       {},
       {},
       {0x3FC00000, 0x22000000},
       {0x3F800000, 0x22000000},
       "results:510"},
      {"a=fp32 accumulator=e5m0",
       {},
       {},
       {0x3FC00000, 0x22000000},
       {0x3F800000, 0x21800000},
       "results:golden"},
      // Minifloat scales take a bit each; significands of 24 bits together, and of 25.
      {"a=int8@e4m3/32 accumulator=aligned[20]:fp32",
       {0x3C, 0x41},
       {0x38, 0x01},
       {1, 127},
       {1, 127},
       "aligned:narrow"},
      {"a=int8@e4m3/32 accumulator=aligned[21]:fp32",
       {0x3C, 0x41},
       {0x38, 0x01},
       {1, 127},
       {1, 127},
       "aligned:wide"},
      {"a=int8@e4m3/32 b=int9@e4m2/32 accumulator=aligned[9]:fp32",
       {0x3C, 0x41},
       {0x1D, 0x01},
       {1, 127},
       {1, 127},
       "aligned:narrow"},
      {"a=int8@e4m3/32 b=int9@e4m3/32 accumulator=aligned[9]:fp32",
       {0x3C, 0x41},
       {0x38, 0x01},
       {1, 127},
       {1, 127},
       "aligned:wide"},
      // Elements within 2^+-48; of 26 and of 27 bits; an accumulator without mantissa.
      {"a=e5m3:bias=46@e8m0/32 accumulator=aligned[9]:fp32",
       {127, 120},
       {127, 110},
       {1, 127},
       {1, 127},
       "aligned:narrow"},
      {"a=e5m3:bias=47@e8m0/32 accumulator=aligned[9]:fp32",
       {127, 120},
       {127, 110},
       {1, 127},
       {1, 127},
       "aligned:wide"},
      // Elements within 2^+-160; scales together within 2^+-600.
      {"a=e5m3:bias=158@e8m0/32 accumulator=aligned[9]:fp32",
       {127, 120},
       {127, 110},
       {1, 127},
       {1, 127},
       "aligned:wide"},
      {"a=e5m3:bias=159@e8m0/32 accumulator=aligned[9]:fp32",
       {127, 120},
       {127, 110},
       {1, 127},
       {1, 127},
       "results:126"},
      {"a=e4m3@e8m3:bias=-46/32 accumulator=aligned[9]:fp32",
       {1, 1},
       {1, 9},
       {1, 7},
       {1, 7},
       "aligned:narrow"},
      {"a=e4m3@e8m3:bias=-47/32 accumulator=aligned[9]:fp32",
       {1, 1},
       {1, 9},
       {1, 7},
       {1, 7},
       "results:126"},
      {"a=mxint8 accumulator=aligned[10]:e5m1:rne",
       {127, 120},
       {127, 110},
       {1, 127},
       {1, 127},
       "aligned:narrow"},
      {"a=mxint8 accumulator=aligned[10]:e5m0:rne",
       {127, 120},
       {127, 110},
       {1, 127},
       {1, 127},
       "results:126"},
      // An Inf in every result.
      {"a=mxfp8_e5m2 accumulator=aligned[10]:fp32",
       {127, 127},
       {127, 127},
       {0x7B, 0x38},
       {1},
       "aligned:narrow"},
      {"a=mxfp8_e5m2 accumulator=aligned[10]:fp32",
       {127, 127},
       {127, 127},
       {0x7C, 0x38},
       {1},
       "results:126"},
      // MACs: significands of 8 bits together, of 9; draws of 16 bits, of 17.
      {"a=mxfp8_e4m3 lanes=1 accumulator=bf16",
       {127, 127},
       {127, 127},
       {1, 0x38},
       {1, 0x38},
       "macs"},
      {"a=mxfp8_e4m3 b=e3m4@e8m0/32 lanes=1 accumulator=bf16",
       {127, 127},
       {127, 127},
       {1, 0x38},
       {1, 0x38},
       "doubles:exact"},
      {"a=mxfp8_e4m3 lanes=1 accumulator=bf16:sr:17",
       {127, 127},
       {127, 127},
       {1, 0x38},
       {1, 0x38},
       "doubles:exact"},
      // 2^-110 for the product of two units.
      {mac.c_str(), {73, 127}, {73, 127}, {1, 7}, {1, 7}, "macs"},
      {mac.c_str(), {73, 127}, {72, 127}, {1, 7}, {1, 7}, "integers:single"},
      // One side alone: its least at 2^-126, its largest below 2^120.
      {mac.c_str(), {2, 127}, {145, 145}, {1, 7}, {1, 7}, "macs"},
      {mac.c_str(), {1, 127}, {145, 145}, {1, 7}, {1, 7}, "integers:odd"},
      {mac.c_str(), {244, 127}, {90, 90}, {1, 7}, {1, 7}, "macs"},
      {mac.c_str(), {245, 127}, {90, 90}, {1, 7}, {1, 7}, "integers:odd"},
      // 2^110, with 12 bits of growth.
      {mac.c_str(), {173, 127}, {173, 127}, {1, 7}, {1, 7}, "macs"},
      {mac.c_str(), {174, 127}, {173, 127}, {1, 7}, {1, 7}, "integers:odd"},
  };
  for (const Edge& edge : edges) {
    SCOPED_TRACE(edge.spec);
    DotSpec spec = parse_dot_spec(edge.spec);
    std::vector<float> zeros(64);
    QuantizedMatrix a = quantize(spec.a, row_major(zeros.data(), 1, 64));
    QuantizedMatrix b = quantize(spec.b, row_major(zeros.data(), 1, 64));
    for (QuantizedMatrix* side : {&a, &b})
      for (size_t k = 0; k < 64; ++k) {
        const std::vector<std::uint32_t>& codes = k < 32 ? edge.first : edge.second;
        std::uint32_t code = k % 32 < codes.size() ? codes[k % 32] : 0;
        auto bytes = static_cast<size_t>(side->code_bytes);
        std::memcpy(side->codes.data() + k * bytes, &code, bytes);
      }
    a.scales = edge.a_scales;
    b.scales = edge.b_scales;
    if (!edge.a_outer.empty()) a.outer_scales = edge.a_outer;
    if (!edge.b_outer.empty()) b.outer_scales = edge.b_outer;
    // Blocks longer than the rows have one.
    a.scales.resize(static_cast<size_t>(a.blocks_per_row()));
    b.scales.resize(static_cast<size_t>(b.blocks_per_row()));
    GemmResult fast = gemm(spec, a, b);
    EXPECT_EQ(fast.codes, gemm_golden(spec, a, b).codes);
    // On a processor that multiplies no bytes at once they are halves, and the way is the same;
    // digits are doubles.
    std::string way = edge.way;
    if (!has_fast_bytes() && way.starts_with("digits")) way.replace(0, 6, "doubles");
    // Without a rounding by instruction it is a wider step.
    if (!has_single_step(StepKind::kNearestEven, 7, -133, 0) && way.ends_with("single"))
      way = fast.way;
    EXPECT_EQ(fast.way, way) << fmt::format("scales {}, {}", fmt::join(edge.a_scales, " "),
                                            fmt::join(edge.b_scales, " "));
  }
}

// Slabs whose sums int32 holds one by one, not all together: of the largest scales two of 2048
// products do not fit, and some tiles have small ones only.
TEST(Gemm, TotalsOfSlabsGoOverToTheAccumulator) {
  const DotSpec spec = parse_dot_spec("a=mxint8 accumulator=kulisch");
  const std::int64_t rows = 13, columns = 67, length = 3 * 4096 + 32;
  std::mt19937 random(5);
  std::vector<float> zeros(static_cast<size_t>(columns * length));
  QuantizedMatrix a = quantize(spec.a, row_major(zeros.data(), rows, length));
  QuantizedMatrix b = quantize(spec.b, row_major(zeros.data(), columns, length));
  for (QuantizedMatrix* side : {&a, &b}) {
    for (std::uint8_t& code : side->codes) code = random() % 8 == 0 ? 0x81 : 0x7F;
    for (std::uint32_t& scale : side->scales) scale = 127;
  }
  for (std::int64_t r = 0; r < 7; ++r)
    for (std::int64_t block = 1; block < length / 32; ++block)
      a.scales[static_cast<size_t>(r * (length / 32) + block)] = 132;
  const GemmResult fast = gemm(spec, a, b);
  EXPECT_EQ(fast.way, "integers:shift");
  EXPECT_EQ(fast.codes, gemm_golden(spec, a, b).codes);
}

// Any spec that the grammar has: every field drawn by itself, far from the formats in use too.
std::string random_spec(std::mt19937& random) {
  auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  auto pick = [&](std::initializer_list<const char*> from) {
    return std::string(from.begin()[random() % from.size()]);
  };
  auto minifloat = [&](int exp_bits, int man_bits) {
    const int e = 1 + below(exp_bits);
    std::string text = fmt::format("e{}m{}", e, below(man_bits + 1));
    if (below(4) == 0) text += fmt::format(":bias={}", below(2 << e) - (1 << e) / 2);
    return text + pick({"", "", "", ":ieee", ":fn", ":fnuz", ":finite"});
  };
  auto side = [&] {
    std::string text;
    switch (below(4)) {
      case 0:
        text = minifloat(below(3) == 0 ? 8 : 5, below(3) == 0 ? 10 : 3);
        break;
      case 1:
        text = fmt::format("int{}", 2 + below(11)) + pick({"", ":full", ":frac=0", ":full:frac=3"});
        break;
      case 2:
        text = pick({"sm1", "sm2", "sm3", "sm4", "sm6", "sm7", "sm9", "nf4", "dynamic8", "binary"});
        break;
      default:
        text = pick({"e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "int8", "int4", "bf16", "fp16"});
    }
    if (below(8) == 0) return text + "@none";
    auto scale = [&] {
      return below(6) == 0 ? "u" + minifloat(8, 10)
                           : pick({"fp32", "bf16", "e4m3", "e5m3", "u4", "u8", "dynamic8"});
    };
    if (below(8) == 0)
      return text + "@" + scale() + pick({"", ":amax"}) + pick({"/row", "/tensor"});
    text += "@" + (below(2) == 0 ? "e8m0" : scale()) + pick({"", "", "", ":amax"}) +
            pick({"/32", "/16", "/8", "/64", "/5"});
    if (below(6) == 0) text += fmt::format("+u{}/{}", 1 + below(4), 1 << below(4));
    if (below(6) == 0)
      text += "*" + scale() + pick({"/tensor", "/row", "/3", "/4:mean", "/tensor:mean"});
    return text;
  };
  auto rounding = [&] {
    const std::string mode = pick({"rne", "rna", "rtz", "sr", "sr", "srf", "src"});
    return mode[0] == 's' ? fmt::format("{}:{}", mode, 1 + below(below(2) == 0 ? 12 : 32)) : mode;
  };
  auto held = [&] { return pick({"fp32", "fp32", "bf16", "fp16", "tf32", "e5m2", "e4m3"}); };
  std::string text = "a=" + side();
  if (below(2) == 0) text += " b=" + side();
  if (below(20) == 0) return text + " lanes=1 accumulator=bf16:" + rounding();
  if (below(2) == 0) text += fmt::format(" lanes={}", 1 << below(7));
  switch (below(6)) {
    case 0:
      break;
    case 1: {
      const int msb = below(50) - 10;
      text += fmt::format(" accumulator=kulisch[{}:{}]", msb, msb - 1 - below(70)) +
              pick({":saturate", ":wrap"}) + pick({"", ":sticky"});
      break;
    }
    case 2:
      text += fmt::format(" accumulator=aligned[{}]:", below(below(4) == 0 ? 129 : 27)) +
              (below(4) == 0 ? minifloat(8, 23) : held()) + (below(2) == 0 ? ":" + rounding() : "");
      break;
    default:
      text += " accumulator=" + (below(4) == 0 ? minifloat(8, 23) : held()) +
              (below(2) == 0 ? ":" + rounding() : "");
  }
  if (below(2) == 0)
    text += " output=" + (below(3) == 0 ? minifloat(8, 23)
                                        : pick({"fp32", "bf16", "fp16", "e5m2", "e4m3", "e2m1"}));
  if (below(2) == 0) text += " rounding=" + rounding();
  if (below(4) == 0) text += " specials=nan";
  if (below(2) == 0)
    text += " lfsr=" + pick({"galois", "fibonacci"}) + fmt::format(":{}", 4 + below(61));
  return text;
}

// BLOCKDOT_RANDOM_SPECS: how many; the first of them are always the same.
TEST(Gemm, EqualsGoldenForRandomSpecs) {
  const char* asked = std::getenv("BLOCKDOT_RANDOM_SPECS");
  const int trials = asked == nullptr ? 4000 : std::atoi(asked);
  const std::vector<std::string> targets = formats::lanes_targets();
  std::mt19937 random(7);
  std::int64_t checked = 0;
  std::map<std::string, int> ways;
  for (int trial = 0; trial < trials; ++trial) {
    const std::string text = random_spec(random);
    const auto m = static_cast<std::int64_t>(1 + random() % 9);
    const auto n = static_cast<std::int64_t>(1 + random() % (random() % 4 == 0 ? 70 : 9));
    const auto k = static_cast<std::int64_t>(1 + random() % (random() % 4 == 0 ? 300 : 90));
    const Data data = kAllData[random() % std::size(kAllData)];
    const unsigned seed = random();
    const std::string& target = targets[random() % targets.size()];
    try {
      parse_dot_spec(text);
    } catch (const ConfigError&) {
      continue;  // two fields that do not go together
    }
    SCOPED_TRACE(fmt::format("trial {} on {}", trial, target));
    formats::lanes_use_target(target);
    checked += expect_equal(text, m, n, k, data, seed, 1 + trial % 2, &ways);
    if (HasFailure()) break;
  }
  formats::lanes_use_target("");
  EXPECT_GT(checked, trials * 10);
  for (const char* way :
       {"aligned:narrow", "aligned:wide", "digits:exact", "doubles:exact", "doubles:odd",
        "integers:exact", "integers:fma", "macs", "results:126", "results:510", "results:golden"})
    EXPECT_GT(ways[way], 0) << way;
}

/// The product tile by tile on the golden array.
std::vector<std::uint32_t> golden_on_array(const DotSpec& spec, const ArrayTiles& tiles,
                                           const QuantizedMatrix& a, const QuantizedMatrix& b) {
  GoldenArray array(spec, tiles.shape);
  const std::vector<formats::BeatRange> ranges = formats::beat_ranges(spec, a.length);
  std::vector<std::uint32_t> codes(static_cast<size_t>(a.rows * b.rows));
  BeatBuffer beat;
  for (std::int64_t i0 = 0; i0 < a.rows; i0 += tiles.height)
    for (std::int64_t j0 = 0; j0 < b.rows; j0 += tiles.shape.cols) {
      const std::int64_t rows = std::min(tiles.height, a.rows - i0);
      const std::int64_t cols = std::min<std::int64_t>(tiles.shape.cols, b.rows - j0);
      const std::vector<std::uint32_t> part = array.compute(
          {rows, cols, std::ssize(ranges)}, rows,
          [&](std::int64_t i, std::int64_t j, std::int64_t t) {
            fill_beat(spec, a, i0 + i, b, j0 + j, ranges[static_cast<size_t>(t)], beat);
            return beat.beat(false, false);
          });
      for (std::int64_t i = 0; i < rows; ++i)
        std::copy_n(part.begin() + i * cols, cols, codes.begin() + (i0 + i) * b.rows + j0);
    }
  return codes;
}

TEST(Gemm, EqualsTheGoldenArrayWhateverStreamsItsUnitsDrawFrom) {
  std::mt19937 random(55);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  std::int64_t checked = 0;
  std::set<std::string> ways;
  for (const char* text :
       {"a=mxfp8_e4m3 rounding=sr:8 output=bf16", "a=mxint8 lanes=8 accumulator=fp32:sr:16",
        "a=mxfp4_e2m1 accumulator=bf16:src:11 lfsr=fibonacci:40",
        "a=mxfp8_e5m2 lanes=4 accumulator=aligned[13]:bf16:srf:5 lfsr=galois:17",
        "a=mxfp8_e4m3 lanes=1 accumulator=bf16:sr:16", "a=bf16 b=mxfp6_e3m2 accumulator=e5m0:sr:3",
        "a=mxint8 accumulator=kulisch[9:-9]:sticky rounding=sr:4 output=fp16", "a=mxint8"})
    for (const bool weight_stationary : {false, true})
      for (int trial = 0; trial < 8; ++trial) {
        const DotSpec spec = parse_dot_spec(text);
        ArrayTiles tiles{{weight_stationary, 1 + below(5), 1 + below(9)}, 0};
        tiles.height = weight_stationary ? 1 + below(30) : tiles.shape.rows;
        const std::int64_t m = 1 + below(40), n = 1 + below(40), k = 1 + below(200);
        const Data data = kAllData[trial];
        const QuantizedMatrix a = operand(random, spec.a, m, k, data, 1);
        const QuantizedMatrix b = operand(random, spec.b, n, k, data, -1);
        const GemmResult fast = gemm_on_array(spec, tiles, a, b, 1 + trial % 2);
        ASSERT_EQ(fast.codes, golden_on_array(spec, tiles, a, b))
            << text << " ws=" << weight_stationary << " " << tiles.shape.rows << "x"
            << tiles.shape.cols << " height=" << tiles.height << " m=" << m << " n=" << n
            << " k=" << k << " by " << fast.way;
        ways.insert(std::string(fast.way.substr(0, fast.way.find(':'))));
        checked += m * n;
      }
  EXPECT_GT(checked, 20'000);
  EXPECT_EQ(ways, (std::set<std::string>{"aligned", "digits", "doubles", "integers", "results"}));
}

TEST(Gemm, DoesNotDependOnThreads) {
  for (const char* text :
       {"a=mxint8 accumulator=fp32", "a=bf16 accumulator=fp32:sr:16",
        "a=mxfp8_e4m3 rounding=sr:8 output=bf16", "a=mxfp8_e4m3 accumulator=aligned[13]:fp32:sr:16",
        "a=mxfp8_e4m3 lanes=1 accumulator=bf16:sr:16", "a=mxint8 accumulator=kulisch[5:-6]:sticky",
        "a=mxint8 lanes=8 accumulator=bf16:src:11 lfsr=fibonacci:40"})
    for (int threads : {1, 2, 5, 64}) expect_equal(text, 37, 40, 64, Data::kNormal, 1, threads);
}

TEST(Gemm, TakesResultsWithoutRowsOrColumns) {
  DotSpec spec = parse_dot_spec("a=mxint8");
  std::vector<float> x(64, 1.0f);
  QuantizedMatrix none = quantize(spec.a, row_major(x.data(), 0, 32));
  QuantizedMatrix two = quantize(spec.a, row_major(x.data(), 2, 32));
  EXPECT_TRUE(gemm(spec, none, two).codes.empty());
  EXPECT_TRUE(gemm(spec, two, none).codes.empty());
  EXPECT_EQ(gemm(spec, two, two).values(), std::vector<float>(4, 32.0f));
}

TEST(Gemm, RefusesBadInputAndNamesTheField) {
  DotSpec spec = parse_dot_spec("a=mxint8 max-k=64");
  std::vector<float> x(96, 1.0f);
  QuantizedMatrix a = quantize(spec.a, row_major(x.data(), 1, 96));
  QuantizedMatrix b = quantize(spec.a, row_major(x.data(), 1, 64));
  auto complaint = [&](const QuantizedMatrix& left, const QuantizedMatrix& right, int threads) {
    try {
      gemm(spec, left, right, {.threads = threads});
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  auto names = [&](const std::string& field, const std::string& text) {
    EXPECT_TRUE(text.starts_with(field)) << field << ": " << text;
  };
  names("k = 96", complaint(a, a, 1));
  names("k: a has 96", complaint(a, b, 1));
  names("threads = 0", complaint(b, b, 0));
  spec.max_k = 128;
  spec.lanes = 0;
  names("lanes = 0", complaint(b, b, 1));
  spec.lanes = 32;
  // A pair whose blocks do not fit each other, and a beat that would split a second-level block.
  spec.b = formats::parse_block_format("int8@e8m0/48");
  names("b = int8@e8m0/48", complaint(b, quantize(spec.b, row_major(x.data(), 1, 64)), 1));
  spec = parse_dot_spec("a=mx9 lanes=16");
  spec.lanes = 3;
  const QuantizedMatrix mx9 = quantize(spec.a, row_major(x.data(), 1, 64));
  names("lanes = 3", complaint(mx9, mx9, 1));
  spec = parse_dot_spec("a=mxint8 max-k=128");
  QuantizedMatrix other =
      quantize(formats::parse_block_format("mxfp8_e4m3"), row_major(x.data(), 1, 64));
  names("a: quantised as", complaint(other, b, 1));
  names("b: quantised as", complaint(b, other, 1));
  other = b;
  other.factor = 4.0 / 3;
  names("a: has a factor of 1.3", complaint(other, b, 1));
  other = b;
  other.codes.pop_back();
  names("b.codes: has 63 entries", complaint(b, other, 1));
  other = b;
  other.scales.push_back(127);
  names("a.scales: has 3 entries", complaint(other, b, 1));
  std::vector<float> none;
  names("k = 0", complaint(quantize(spec.a, row_major(none.data(), 1, 0)),
                           quantize(spec.a, row_major(none.data(), 1, 0)), 1));
}

TEST(Gemm, RefusesArraysWithoutUnitsAndRegistersOfTooFewStates) {
  const DotSpec spec = parse_dot_spec("a=mxint8 max-k=64 rounding=sr:4 output=bf16 lfsr=galois:5");
  const std::vector<float> x(64, 1);
  const QuantizedMatrix a = quantize(spec.a, row_major(x.data(), 1, 64));
  const auto complaint = [&](const ArrayTiles& tiles) {
    try {
      gemm_on_array(spec, tiles, a, a);
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string("none");
  };
  EXPECT_EQ(complaint({{false, 2, 3}, 2}), "none");
  EXPECT_EQ(complaint({{true, 2, 7}, 4}), "none");  // a stream a column: 28 of 31 states
  for (const auto& [tiles, field] : std::initializer_list<std::pair<ArrayTiles, const char*>>{
           {{{false, 0, 3}, 1}, "rows = 0"},
           {{{true, 2, 0}, 4}, "cols = 0"},
           {{{true, 2, 3}, 0}, "height = 0"},
           {{{false, 2, 3}, 4}, "height = 4"},
           // 32 steps, of 31 states
           {{{false, 2, 4}, 2},
            "lfsr = galois:5: 8 streams that draw 4 bits each would share some: it has 31 states; "
            "take lfsr = galois:6 or wider"}})
    EXPECT_TRUE(complaint(tiles).starts_with(field)) << field << ": " << complaint(tiles);
}

TEST(Gemm, IsUsedAsItsHeaderSays) {
  const std::int64_t M = 3, K = 64, N = 2;
  // Small integers: every product and every sum is one too, so that float has them exactly.
  std::vector<float> x(static_cast<size_t>(M * K)), w(static_cast<size_t>(K * N));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(static_cast<int>(i % 7) - 3);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(static_cast<int>(i % 5) - 2);

  DotSpec spec = parse_dot_spec("a=mxfp8_e4m3 lanes=32 accumulator=fp32");
  QuantizedMatrix a = quantize(spec.a, row_major(x.data(), M, K));
  QuantizedMatrix b = quantize(spec.b, formats::transposed(w.data(), N, K));
  GemmResult y = gemm(spec, a, b, {.threads = 2});

  for (std::int64_t i = 0; i < M; ++i)
    for (std::int64_t j = 0; j < N; ++j) {
      float sum = 0;
      for (std::int64_t k = 0; k < K; ++k)
        sum += x[static_cast<size_t>(i * K + k)] * w[static_cast<size_t>(k * N + j)];
      EXPECT_EQ(y.values()[static_cast<size_t>(i * N + j)], sum);
      EXPECT_EQ(y.code(i, j), std::bit_cast<std::uint32_t>(sum));
    }
}

TEST(Gemm, StochasticResultsHaveTheExactSumAsTheirMean) {
  // The same dot product 64 x 64 times, each with its own draws. With r bits a rounding errs by
  // less than a unit, and its mean by at most 2^-r units (Fitzgibbon and Felix: srff truncates).
  for (const char* text :
       {"a=mxint8 accumulator=bf16:sr:16 output=bf16 rounding=sr:16",
        "a=mxfp8_e4m3 rounding=sr:12 output=fp16", "a=mxfp6_e3m2 rounding=sr:8 output=bf16",
        "a=mxfp8_e4m3 lanes=1 accumulator=bf16:sr:16 output=bf16 rounding=sr:16",
        "a=mxint8 accumulator=fp16:sr:12 lanes=8",
        "a=mxint8 accumulator=fp16:srf:12 lanes=8 lfsr=fibonacci:64",
        "a=mxint8 accumulator=bf16:src:12 lanes=8 lfsr=galois:41"}) {
    DotSpec spec = parse_dot_spec(text);
    const std::int64_t copies = 64, k = 64;
    std::mt19937 random(11);
    std::vector<float> row = values(random, 1, k, Data::kNormal, 1);
    for (float& v : row) v = std::fabs(v);  // no cancelling: the sum has the largest unit
    std::vector<float> x;
    for (std::int64_t i = 0; i < copies; ++i) x.insert(x.end(), row.begin(), row.end());
    QuantizedMatrix a = quantize(spec.a, row_major(x.data(), copies, k));
    QuantizedMatrix b = quantize(spec.b, row_major(x.data(), copies, k));
    DotSpec exact_spec = spec;
    exact_spec.accumulator = formats::parse_accumulator("kulisch");
    exact_spec.output = formats::minifloat(8, 23);
    exact_spec.rounding = {};
    const double exact = gemm_golden(exact_spec, a, b).value(0, 0);
    const GemmResult result = gemm(spec, a, b, {.seed = 5});
    double sum = 0;
    for (std::int64_t i = 0; i < copies * copies; ++i) sum += result.value(i / copies, i % copies);
    const double results = static_cast<double>(copies * copies);
    const bool floating = spec.accumulator.kind == formats::AccumulatorKind::kFloat;
    const formats::ElementFormat& format = floating ? spec.accumulator.format : spec.output;
    const double unit = std::ldexp(1.0, std::ilogb(exact) + 1 - format.man_bits);
    const double roundings = floating ? static_cast<double>(formats::beats_for(spec, k)) : 1.0;
    // Six standard deviations of the mean, each rounding's at most half a unit, and the bias.
    const double bound = 6 * 0.5 * unit * std::sqrt(roundings / results) + roundings * unit / 256;
    EXPECT_NEAR(sum / results, exact, bound) << text;
    EXPECT_LT(bound, 0.2 * unit * std::sqrt(roundings)) << "says little";
    EXPECT_GT(std::set<std::uint32_t>(result.codes.begin(), result.codes.end()).size(), 1u);
  }
}

// ---- Its parts ----

TEST(Draws, AreThoseOfTheRegisterStepByStepOnEveryTarget) {
  std::int64_t checked = 0;
  for (const std::string& target : formats::lanes_targets()) {
    formats::lanes_use_target(target);
    for (const formats::LfsrKind kind : {formats::LfsrKind::kGalois, formats::LfsrKind::kFibonacci})
      for (int width = 4; width <= 64; ++width)
        for (const int bits : {1, 5, 8, 13, 16, 23, 32}) {
          if (bits > width) continue;
          const formats::LfsrSpec lfsr{kind, width, 1};
          const Draws draws(lfsr, bits);
          constexpr int kCount = 128;
          std::uint64_t states[kCount];
          std::vector<formats::Lfsr> streams;
          for (int i = 0; i < kCount; ++i) {
            streams.emplace_back(0x9E3779B97F4A7C15 * static_cast<unsigned>(i + 1) >> 3, lfsr);
            states[i] = streams.back().state();
          }
          for (const std::int64_t chunks : {1, 8, 11}) {
            std::vector<std::uint32_t> drawn(static_cast<size_t>(chunks) * kCount);
            draws(states, kCount, chunks, drawn.data());
            for (std::int64_t c = 0; c < chunks; ++c)
              for (int i = 0; i < kCount; ++i, ++checked)
                ASSERT_EQ(drawn[static_cast<size_t>(c * kCount + i)],
                          streams[static_cast<size_t>(i)].draw(bits))
                    << target << " " << to_text(lfsr) << " " << bits << " " << c << " " << i;
          }
          for (int i = 0; i < kCount; ++i)
            ASSERT_EQ(states[i], streams[static_cast<size_t>(i)].state());
        }
  }
  formats::lanes_use_target("");
  EXPECT_GT(checked, 100'000);
}

TEST(Draws, StartWhereTheResultsBeforeHaveLeftTheRegister) {
  for (const char* text : {"a=mxint8 rounding=sr:7 output=bf16 lfsr=fibonacci:19",
                           "a=mxint8 lanes=8 accumulator=fp32:sr:16 lfsr=galois:64"}) {
    const DotSpec spec = parse_dot_spec(text);
    const std::int64_t m = 5, n = 7, k = 100;
    const int bits = formats::drawn_rounding(spec).random_bits;
    const std::int64_t draws = formats::draws_each_beat(spec) ? formats::beats_for(spec, k) : 1;
    formats::Lfsr stream(321, spec.lfsr);
    const RandomStreams streams = RandomStreams::of_unit(spec, m, n, k, 321, 3);
    for (std::int64_t result = 0; result < m * n; ++result) {
      EXPECT_EQ(streams.first(result / n, result % n), stream.state()) << text;
      for (std::int64_t draw = 0; draw < draws; ++draw) stream.draw(bits);
    }
  }
}

template <typename Wide>
void expect_odd_sums_round_as_exact_ones(unsigned seed) {
  std::mt19937_64 random(seed);
  const formats::ElementFormat fp32 = formats::parse_element("fp32");
  for (int i = 0; i < 20000; ++i) {
    auto bits = static_cast<std::uint32_t>(random());
    float acc = std::bit_cast<float>(bits & 0xBFFFFFFF);  // below 2
    if (random() % 8 == 0) acc = 0;
    auto units = static_cast<std::int64_t>(random()) >> (random() % 60);
    Wide t = units;
    int up = static_cast<int>(random() % 30);
    t <<= up;
    int exponent = static_cast<int>(random() % 260) - 200;
    // Cancel up to a little, now and then.
    if (random() % 4 == 0 && acc != 0) {
      t = static_cast<std::int64_t>(std::ldexp(std::frexp(acc, &exponent), 40)) * -1;
      exponent -= 40;
      t += static_cast<std::int64_t>(random() % 3) - 1;
      up = 0;
      units = static_cast<std::int64_t>(t);
    }
    Exact exact = Exact(static_cast<double>(acc)) + Exact(Exact::Integer(units), exponent + up);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(
                  static_cast<float>(round_sum(acc, t, exponent, odd_double<Wide>))),
              golden_round(fp32, exact, {}, 0, formats::Overflow::kToSpecial))
        << acc << " + " << exact.text();
  }
}

// Tails longer and shorter than the random bits, draws beside the one that decides. The definition
// is golden_round's search among the format's values.
template <typename Wide>
void expect_wide_numbers_round_as_exact_ones(unsigned seed) {
  std::mt19937_64 random(seed);
  for (const char* name : {"fp32", "bf16", "e4m3", "e5m2:fnuz", "e5m0"})
    for (const char* mode : {"rne", "rtz", "sr:27", "sr:32", "srf:32", "src:31", "sr:8"})
      for (int i = 0; i < 2000; ++i) {
        const formats::ElementFormat format = formats::parse_element(name);
        const formats::Rounding rounding = formats::parse_rounding(mode);
        const int up = static_cast<int>(random() % (kCapacity<Wide> - 64));
        auto units = static_cast<std::int64_t>(random()) >> (random() % 62);
        // A tie of what the random bits, or none, see.
        const int tie = format.man_bits + 1 + rounding.random_bits;
        if (i % 16 < 4)
          units = (std::int64_t{2} << tie) - (units & ((std::int64_t{1} << tie) - 2)) - 1;
        Wide x = units;
        x <<= up;
        const std::int64_t low = random() % 2 == 0 ? 0 : static_cast<std::int64_t>(random() % 3);
        x += low;
        const int exponent = static_cast<int>(random() % 60) - 30 - up;
        const Exact exact =
            Exact(Exact::Integer(units), exponent + up) + Exact(Exact::Integer(low), exponent);
        auto golden = [&](std::uint64_t draw) {
          return golden_round(format, exact, rounding, static_cast<std::uint32_t>(draw),
                              formats::Overflow::kToSpecial);
        };
        const std::uint64_t most = (std::uint64_t{1} << rounding.random_bits) - 1;
        std::uint64_t draw = random() & most;
        // The first draw that rounds up, if one does, and the one before.
        if (rounding.stochastic() && i % 16 < 8) {
          std::uint64_t below = 0;
          draw = most;
          while (below < draw) {
            const std::uint64_t middle = (below + draw) / 2;
            if (golden(middle) == golden(most))
              draw = middle;
            else
              below = middle + 1;
          }
          if (i % 2 == 1 && draw > 0) --draw;
        }
        const auto bits = static_cast<std::uint32_t>(draw);
        const double value = WideRounding(format, rounding)(x, exponent, bits);
        ASSERT_EQ(encode(format, value, rounding, bits, formats::Overflow::kToSpecial),
                  golden(draw))
            << exact.text() << " to " << name << " by " << mode << " of " << draw;
      }
}

TEST(WideRounding, GivesTheCodeOfTheExactNumber) {
  expect_wide_numbers_round_as_exact_ones<Int128>(1);
  expect_wide_numbers_round_as_exact_ones<Int512>(2);
}

TEST(OddSum, RoundedToFp32IsTheExactSumRounded) {
  expect_odd_sums_round_as_exact_ones<Int128>(1);
  expect_odd_sums_round_as_exact_ones<Int512>(2);
}

}  // namespace
}  // namespace blockdot::models
