#include "formats/quantize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "formats/error.h"
#include "formats/file_io.h"

namespace blockdot::formats {
namespace {

template <typename T>
std::vector<T> read_vector(const std::string& name) {
  std::string bytes = read_file(std::string(BLOCKDOT_SOURCE_DIR "/testbench/vectors/") + name);
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

constexpr const char* kOcpFormats[] = {"mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2",
                                       "mxfp6_e2m3", "mxfp4_e2m1", "mxint8"};

// Equal as numbers: the sign of zero is left out, since microxcaling drops it.
bool same(float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); }

struct Comparison {
  std::int64_t blocks = 0, differing = 0;
};

// Blocks of a category set against one column of the outside vectors (testbench/vectors/README.md).
template <typename Chosen>
Comparison compare(const std::string& format, const std::string& column, Chosen chosen) {
  std::vector<float> inputs = read_vector<float>("inputs.f32");
  std::vector<float> expected = read_vector<float>(format + "." + column + ".f32");
  std::vector<std::int8_t> category = read_vector<std::int8_t>("category.i8");
  auto blocks = static_cast<std::int64_t>(category.size());
  std::vector<float> ours =
      dequantize(quantize(parse_block_format(format), row_major(inputs.data(), blocks, 32)));
  Comparison result;
  for (std::int64_t i = 0; i < blocks; ++i) {
    if (!chosen(category[static_cast<size_t>(i)])) continue;
    ++result.blocks;
    for (std::int64_t j = i * 32; j < i * 32 + 32; ++j) {
      if (!same(ours[static_cast<size_t>(j)], expected[static_cast<size_t>(j)])) {
        ++result.differing;
        break;
      }
    }
  }
  return result;
}

bool every(int) { return true; }
bool finite(int category) { return category < 9; }

TEST(OutsideVectors, EqualTheOcpTextInExactArithmeticInEveryBlock) {
  for (const char* format : kOcpFormats) {
    Comparison result = compare(format, "exact", every);
    EXPECT_EQ(result.blocks, 1400) << format;
    EXPECT_EQ(result.differing, 0) << format;
  }
}

TEST(OutsideVectors, ScaleExponentsEqualTheOcpText) {
  std::vector<float> inputs = read_vector<float>("inputs.f32");
  for (const char* format : kOcpFormats) {
    std::vector<float> expected = read_vector<float>(std::string(format) + ".scale_exponent.f32");
    QuantizedMatrix q =
        quantize(parse_block_format(format),
                 row_major(inputs.data(), static_cast<std::int64_t>(expected.size()), 32));
    ASSERT_EQ(q.scales.size(), 1400u);
    for (size_t i = 0; i < q.scales.size(); ++i) {
      if (std::isnan(expected[i])) {
        EXPECT_EQ(q.scales[i], kE8M0Nan) << format << " block " << i;
      } else {
        EXPECT_EQ(static_cast<int>(q.scales[i]) - 127, expected[i]) << format << " block " << i;
      }
    }
  }
}

TEST(OutsideVectors, EqualMicroxcalingInEveryBlock) {
  for (const char* format : kOcpFormats) {
    Comparison result = compare(format, "microxcaling", every);
    EXPECT_EQ(result.blocks, 1400) << format;
    EXPECT_EQ(result.differing, 0) << format;
  }
}

TEST(OutsideVectors, EqualGfloatInEveryFiniteBlockOfTheFloatingFormats) {
  for (const char* format : kOcpFormats) {
    if (std::string(format) == "mxint8") continue;  // gfloat uses the code -128 there
    Comparison result = compare(format, "gfloat", finite);
    EXPECT_GT(result.blocks, 1000) << format;
    EXPECT_EQ(result.differing, 0) << format;
  }
}

std::vector<float> random_values(std::uint32_t seed, size_t n) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<int> exponent(-30, 30);
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i)
    values[i] = std::ldexp(normal(engine), i % 3 == 0 ? exponent(engine) : 0);
  return values;
}

TEST(Quantize, OfItsOwnResultChangesNothing) {
  std::vector<float> x = random_values(1, 96 * 96);
  for (const char* text :
       {"mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4", "mxint8", "mx9", "mx6",
        "mx4", "bm8", "bm8_e4m3", "bm4_e3m0", "bf16", "msfp12"}) {
    BlockFormat format = parse_block_format(text);
    QuantizedMatrix once = quantize(format, row_major(x.data(), 96, 96));
    std::vector<float> values = dequantize(once);
    EXPECT_EQ(dequantize(quantize(format, row_major(values.data(), 96, 96))), values) << text;
  }
}

TEST(Quantize, NegatedInputGivesNegatedValues) {
  std::vector<float> x = random_values(2, 96 * 48), minus(x);
  for (float& v : minus) v = -v;
  for (const CatalogueEntry& entry : catalogue()) {
    BlockFormat format = parse_block_format(entry.name);
    // NF4 and the dynamic maps lack the negatives of some values.
    if (!sign_symmetric(format.element)) continue;
    if (format.element.kind == ElementKind::kCodeBook) continue;  // binary has no zero to tie at
    std::vector<float> plus = dequantize(quantize(format, row_major(x.data(), 48, 96)));
    std::vector<float> other = dequantize(quantize(format, row_major(minus.data(), 48, 96)));
    for (size_t i = 0; i < plus.size(); ++i) ASSERT_TRUE(same(plus[i], -other[i])) << entry.name;
  }
}

TEST(Quantize, CeilRuleNeverSaturatesAndFloorStaysWithinAFactorOfTwo) {
  std::vector<float> x = random_values(3, 64 * 32);
  for (const char* text : kOcpFormats) {
    BlockFormat format = parse_block_format(text);
    double max = max_value(format.element);
    QuantizeOptions ceil;
    ceil.scale_rule = ScaleRule::kCeil;
    QuantizedMatrix up = quantize(format, row_major(x.data(), 64, 32), ceil);
    QuantizedMatrix down = quantize(format, row_major(x.data(), 64, 32));
    for (std::int64_t r = 0; r < 64; ++r) {
      float amax = 0;
      for (int k = 0; k < 32; ++k)
        amax = std::max(amax, std::fabs(x[static_cast<size_t>(r * 32 + k)]));
      double up_scale = decode(format.scale, up.scale(r, 0));
      double down_scale = decode(format.scale, down.scale(r, 0));
      EXPECT_LE(amax, max * up_scale);
      EXPECT_GT(amax, max * up_scale / 2);
      EXPECT_TRUE(up_scale == down_scale || up_scale == 2 * down_scale);
    }
  }
}

TEST(QuantizeMx9, FollowsAWorkedExampleOfTheSharedMicroexponents) {
  // By hand from ISCA'23, section 3: E = 1 (largest 3.0); pair (3, 1) tau 0, step 2^(1-6);
  // pair (0.75, 0.3) exponent -1, tau = min(2, 1) = 1, step 2^(1-1-6): 0.3 * 64 = 19.2 -> 19.
  std::vector<float> x(16, 0.0f);
  x[0] = 3.0f;
  x[1] = 1.0f;
  x[2] = 0.75f;
  x[3] = -0.3f;
  QuantizedMatrix q = quantize(parse_block_format("mx9"), row_major(x.data(), 1, 16));
  EXPECT_EQ(q.scales[0], 128u);
  EXPECT_EQ(q.micro(0, 0), 0);
  EXPECT_EQ(q.micro(0, 2), 1);
  EXPECT_EQ(q.micro(0, 4), 1);  // a zero pair takes the largest tau
  EXPECT_EQ(q.code(0, 0), 96u);
  EXPECT_EQ(q.code(0, 1), 32u);
  EXPECT_EQ(q.code(0, 2), 48u);
  EXPECT_EQ(q.code(0, 3), 128u + 19u);
  EXPECT_EQ(q.value(0, 3), -19.0 / 64);
}

TEST(QuantizeMx9, MeetsTheQsnrBoundOfThePaper) {
  // ISCA'23, theorem 1: QSNR >= 6.02 m + 10 log10(2^(2B) / (min(N, k1) + (2^(2B) - 1) k2)), for any
  // data.
  std::vector<float> x = random_values(4, 16 * 4096);
  for (auto [name, m] : {std::pair{"mx9", 7}, {"mx6", 4}, {"mx4", 2}}) {
    QuantizedMatrix q = quantize(parse_block_format(name), row_major(x.data(), 4096, 16));
    for (std::int64_t r = 0; r < 4096; ++r) {
      double noise = 0, signal = 0;
      for (int k = 0; k < 16; ++k) {
        double v = x[static_cast<size_t>(r * 16 + k)];
        noise += (q.value(r, k) - v) * (q.value(r, k) - v);
        signal += v * v;
      }
      double bound = 6.02 * m + 10 * std::log10(4.0 / (16 + 3 * 2));
      if (noise > 0) {
        ASSERT_GE(10 * std::log10(signal / noise), bound) << name << " row " << r;
      }
    }
  }
}

TEST(QuantizeTile, SharesOneScaleAmongItsRowsSoThatTheTransposeQuantisesAlike) {
  std::vector<float> x = random_values(5, 96 * 144);
  BlockFormat format = parse_block_format("bm8");
  QuantizedMatrix rows = quantize(format, row_major(x.data(), 96, 144));
  QuantizedMatrix columns = quantize(format, transposed(x.data(), 144, 96));
  for (std::int64_t r = 0; r < 96; ++r)
    for (std::int64_t k = 0; k < 144; ++k) {
      ASSERT_EQ(rows.scale(r, k), rows.scale(r / 48 * 48, k / 48 * 48));
      ASSERT_EQ(rows.value(r, k), columns.value(k, r));
    }
}

TEST(QuantizeFp32Scale, DividesByAmaxOverMaxAndKeepsTheLargestElement) {
  std::vector<float> x = random_values(6, 8 * 64);
  for (const char* text : {"int8@fp32/64", "e4m3@fp32/64", "int4@fp32/32"}) {
    BlockFormat format = parse_block_format(text);
    QuantizedMatrix q = quantize(format, row_major(x.data(), 8, 64));
    for (std::int64_t r = 0; r < 8; ++r) {
      for (std::int64_t k0 = 0; k0 < 64; k0 += format.block) {
        double amax = 0, largest = 0;
        for (std::int64_t k = k0; k < k0 + format.block; ++k) {
          amax = std::max<double>(amax, std::fabs(x[static_cast<size_t>(r * 64 + k)]));
          largest = std::max(largest, std::fabs(decode(format.element, q.code(r, k))));
        }
        EXPECT_EQ(largest, max_value(format.element)) << text;
        // Outside oracle: the machine's own division and rounding to binary32.
        EXPECT_EQ(decode(format.scale, q.scale(r, k0)),
                  static_cast<float>(amax / max_value(format.element)));
      }
    }
  }
}

TEST(QuantizeSpecials, NanOrInfMakesTheBlockNanAndOnlyThatBlock) {
  std::vector<float> x(96, 1.0f);
  x[40] = std::numeric_limits<float>::infinity();
  x[70] = std::numeric_limits<float>::quiet_NaN();
  for (const char* text : {"mxfp8_e4m3", "mxint8", "e4m3@fp32/32"}) {
    QuantizedMatrix q = quantize(parse_block_format(text), row_major(x.data(), 1, 96));
    for (std::int64_t k = 0; k < 96; ++k) EXPECT_EQ(std::isnan(q.value(0, k)), k >= 32) << text;
  }
  QuantizedMatrix plain = quantize(parse_block_format("bf16"), row_major(x.data(), 1, 96));
  EXPECT_TRUE(std::isinf(plain.value(0, 40)));
  EXPECT_TRUE(std::isnan(plain.value(0, 70)));
  EXPECT_EQ(plain.value(0, 0), 1.0);
}

TEST(QuantizeZeros, TakesTheSmallestE8M0ScaleAndKeepsTheSignOfZero) {
  std::vector<float> x(32, -0.0f);
  QuantizedMatrix q = quantize(parse_block_format("mxfp8_e4m3"), row_major(x.data(), 1, 32));
  EXPECT_EQ(q.scales[0], 0u);
  EXPECT_EQ(q.code(0, 3), 0x80u);
}

TEST(QuantizeShape, PadsRaggedRowsWithZeroCodes) {
  std::vector<float> x = random_values(7, 3 * 45);
  QuantizedMatrix q = quantize(parse_block_format("mxint8"), row_major(x.data(), 3, 45));
  EXPECT_EQ(q.padded_length, 64);
  EXPECT_EQ(q.scales.size(), 6u);
  for (std::int64_t k = 45; k < 64; ++k) EXPECT_EQ(q.code(2, k), 0u);
  EXPECT_EQ(quantize(parse_block_format("mxint8"), row_major(x.data(), 0, 45)).codes.size(), 0u);
}

TEST(QuantizeStochastic, IsUnbiasedOverManyElementsAndRepeatsWithItsSeed) {
  std::vector<float> x(32 * 2048, 0.3f);
  for (size_t i = 0; i < x.size(); i += 32) x[i] = 1.0f;  // fixes the scale
  BlockFormat format = parse_block_format("mxfp4");
  QuantizeOptions options;
  options.rounding = stochastic_rounding(16);
  options.seed = 12345;
  std::vector<float> a = dequantize(quantize(format, row_major(x.data(), 2048, 32), options));
  EXPECT_EQ(a, dequantize(quantize(format, row_major(x.data(), 2048, 32), options)));
  double mean = 0;
  for (size_t i = 0; i < a.size(); ++i) mean += i % 32 == 0 ? 0 : a[i];
  mean /= 31.0 * 2048;
  // Neighbours of 0.3 at scale 2^-2: 0.25 and 0.375; sigma of the mean about 0.061/sqrt(63488).
  EXPECT_NEAR(mean, 0.3, 5 * 0.061 / std::sqrt(31.0 * 2048));
}

// ---- libraries: every difference of the outside vectors is a named test ----

// Blocks of `format` under a profile against a column, bit for bit with the sign of zero, NaN
// alike.
Comparison compare_compat(const std::string& name, const std::string& profile, bool signs) {
  std::vector<float> inputs = read_vector<float>("inputs.f32");
  std::vector<float> expected = read_vector<float>(name + "." + profile + ".f32");
  BlockFormat format = parse_block_format(name);
  QuantizeOptions options;
  apply_compat(profile, format, options);
  std::vector<float> ours =
      dequantize(quantize(format, row_major(inputs.data(), 1400, 32), options));
  Comparison result;
  for (size_t i = 0; i < 1400; ++i) {
    ++result.blocks;
    for (size_t j = i * 32; j < i * 32 + 32; ++j) {
      bool equal =
          same(ours[j], expected[j]) &&
          (!signs || std::isnan(ours[j]) || std::signbit(ours[j]) == std::signbit(expected[j]));
      if (!equal) {
        ++result.differing;
        break;
      }
    }
  }
  return result;
}

TEST(CompatMicroxcaling, EqualsItsResultsWithTheSignOfZeroInEveryBlock) {
  for (const char* format : kOcpFormats) {
    Comparison result = compare_compat(format, "microxcaling", true);
    EXPECT_EQ(result.blocks, 1400) << format;
    EXPECT_EQ(result.differing, 0) << format;
  }
}

TEST(CompatGfloat, EqualsItsResultsWithTheSignOfZeroInEveryBlockAlsoWithInfAndNan) {
  for (const char* format : kOcpFormats) {
    Comparison result = compare_compat(format, "gfloat", true);
    EXPECT_EQ(result.blocks, 1400) << format;
    EXPECT_EQ(result.differing, 0) << format;
  }
}

TEST(OutsideVectors, MicroxcalingDropsTheSignOfZeroAndTheStandardsRuleKeepsIt) {
  std::vector<float> inputs = read_vector<float>("inputs.f32");
  std::vector<float> theirs = read_vector<float>("mxfp8_e4m3.microxcaling.f32");
  std::vector<float> ours =
      dequantize(quantize(parse_block_format("mxfp8_e4m3"), row_major(inputs.data(), 1400, 32)));
  int differing = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    if (std::isnan(ours[i]) || std::signbit(ours[i]) == std::signbit(theirs[i])) continue;
    ++differing;
    EXPECT_EQ(ours[i], 0.0f);
    EXPECT_TRUE(std::signbit(ours[i]) && std::signbit(inputs[i]));
  }
  EXPECT_GT(differing, 100);
}

TEST(OutsideVectors, GfloatUsesTheMostNegativeCodeOfMxint8WhereWeClampTo127) {
  // OCP MX v1.0, 5.3.4: an implementation may leave it unused.
  Comparison symmetric = compare("mxint8", "gfloat", finite);
  EXPECT_EQ(symmetric.differing, 48);
  std::vector<float> inputs = read_vector<float>("inputs.f32");
  std::vector<float> theirs = read_vector<float>("mxint8.gfloat.f32");
  QuantizedMatrix q = quantize(parse_block_format("mxint8"), row_major(inputs.data(), 1400, 32));
  for (std::int64_t r = 0; r < 1400; ++r)
    for (std::int64_t k = 0; k < 32; ++k) {
      double other = theirs[static_cast<size_t>(r * 32 + k)];
      if (!std::isfinite(other) || std::isnan(q.value(r, k)) || other == q.value(r, k)) continue;
      EXPECT_EQ(q.code(r, k), 0x81u);
      EXPECT_EQ(other, -2 * decode(q.format.scale, q.scale(r, k)));
    }
}

TEST(OutsideVectors, GfloatSaturatesAnInfWhereTheStandardsDefaultMakesTheBlockNan) {
  Comparison differing =
      compare("mxfp8_e4m3", "gfloat", [](int category) { return category == 10; });
  EXPECT_EQ(differing.blocks, 30);
  EXPECT_EQ(differing.differing, 30);
}

TEST(CompatTorchao, CeilTakesTheNextPowerOfTwoAlsoWhereTheMaximumFits) {
  // Its documented ceil: ceil(log2 amax) - emax. amax = 5 in e2m1: floor and our ceil 2^0 (5 <= 6),
  // torchao's ceil 2^1.
  std::vector<float> x(32, 1.0f);
  x[0] = 5.0f;
  BlockFormat format = parse_block_format("mxfp4");
  QuantizeOptions options;
  options.scale_rule = ScaleRule::kCeil;
  EXPECT_EQ(quantize(format, row_major(x.data(), 1, 32), options).scales[0], 127u);
  apply_compat("torchao", format, options);
  EXPECT_EQ(quantize(format, row_major(x.data(), 1, 32), options).scales[0], 128u);
  BlockFormat int8 = parse_block_format("mxint8");
  EXPECT_THROW(apply_compat("torchao", int8, options), ConfigError);
  EXPECT_THROW(apply_compat("torchoa", format, options), ConfigError);
}

TEST(CompatTorchao, EqualsItsScalesInEveryBlockOfItsFiveFormatsUnderItsFourModes) {
  std::vector<float> inputs = read_vector<float>("inputs.f32");
  std::vector<std::uint8_t> theirs = read_vector<std::uint8_t>("torchao.scales.u8");
  ASSERT_EQ(theirs.size(), 5u * 4 * 1400);
  size_t at = 0;
  int overflows = 0;
  for (const char* name : {"mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4_e2m1"})
    for (const char* rule : {"floor", "ceil", "even", "rceil"}) {
      BlockFormat format = parse_block_format(name);
      QuantizeOptions options;
      options.scale_rule = parse_scale_rule(rule);
      apply_compat("torchao", format, options);
      QuantizedMatrix q = quantize(format, row_major(inputs.data(), 1400, 32), options);
      for (size_t block = 0; block < 1400; ++block, ++at) {
        if (q.scales[block] == theirs[at]) continue;
        // The documented difference: `even` rounds the maximum in binary32, and past its end the
        // block is NaN.
        float amax = 0;
        for (size_t i = 0; i < 32; ++i) amax = std::max(amax, std::fabs(inputs[block * 32 + i]));
        ASSERT_STREQ(rule, "even") << name << " block " << block;
        ASSERT_EQ(theirs[at], 255) << name << " block " << block;
        ASSERT_GE(amax, 0x1.8p127f) << name << " block " << block;
        ++overflows;
      }
    }
  EXPECT_GT(overflows, 0);
}

// ---- rules ----

std::uint32_t scale_by(const char* format, const char* rule, float amax) {
  std::vector<float> x(32, 0.0f);
  x[5] = -amax;
  QuantizeOptions options;
  options.scale_rule = parse_scale_rule(rule);
  return quantize(parse_block_format(format), row_major(x.data(), 1, 32), options).scales[0];
}

TEST(ScaleRules, ChooseTheExponentsWorkedByHand) {
  // e2m1: max 6, emax 2. By hand: code 127 is 2^0.
  for (auto [amax, floor, ceil, even, amax_rule] :
       {std::tuple{4.0f, 127u, 127u, 127u, 126u},
        {6.0f, 127u, 127u, 127u, 127u},
        {std::nextafter(6.0f, 9.0f), 127u, 128u, 127u, 127u},
        {7.0f, 127u, 128u, 128u, 127u},  // 1.75 rounds to 2.0 at two bits; 7/6 is nearer to 1
        {std::nextafter(7.0f, 0.0f), 127u, 128u, 127u, 127u},
        {7.9f, 127u, 128u, 128u, 127u},
        {8.0f, 128u, 128u, 128u, 127u},     // 8/6 is nearer to 1
        {9.0f, 128u, 128u, 128u, 128u}}) {  // 9/6 is the tie: to the upper one
    EXPECT_EQ(scale_by("mxfp4", "floor", amax), floor) << amax;
    EXPECT_EQ(scale_by("mxfp4", "ceil", amax), ceil) << amax;
    EXPECT_EQ(scale_by("mxfp4", "rceil", amax), ceil) << amax;
    EXPECT_EQ(scale_by("mxfp4", "even", amax), even) << amax;
    EXPECT_EQ(scale_by("mxfp4", "amax", amax), amax_rule) << amax;
  }
  // WAGE's shift: 2^round(log2 amax), the border is the square root of 2.
  EXPECT_EQ(scale_by("int8:frac=7@e8m0/32", "shift", 1.41421354f), 127u);
  EXPECT_EQ(scale_by("int8:frac=7@e8m0/32", "shift", 1.41421366f), 128u);
}

TEST(ScaleRules, OptimalHasNoMoreErrorThanAnyOther) {
  std::vector<float> x = random_values(21, 256 * 32);
  for (const char* text : kOcpFormats) {
    auto error = [&](const char* rule) {
      QuantizeOptions options;
      options.scale_rule = parse_scale_rule(rule);
      std::vector<float> y =
          dequantize(quantize(parse_block_format(text), row_major(x.data(), 256, 32), options));
      std::vector<double> sums(256, 0.0);
      for (size_t i = 0; i < x.size(); ++i)
        sums[i / 32] += (static_cast<double>(y[i]) - x[i]) * (static_cast<double>(y[i]) - x[i]);
      return sums;
    };
    std::vector<double> best = error("optimal");
    for (const char* rule : {"floor", "ceil", "even", "rceil", "amax"}) {
      std::vector<double> other = error(rule);
      for (size_t b = 0; b < 256; ++b) ASSERT_LE(best[b], other[b]) << text << " " << rule;
    }
  }
}

TEST(ScaleRules, ThreeQuartersCarriesItsFactorAndStaysUnbiasedUnderStochasticRounding) {
  // Tseng et al., 2025: under floor 7.5 saturates to 6; three quarters of it, 5.625, does not.
  std::vector<float> x(32 * 4096, 7.5f);
  QuantizeOptions options;
  options.scale_rule = ScaleRule::kThreeQuarters;
  options.rounding = stochastic_rounding(16);
  QuantizedMatrix q = quantize(parse_block_format("mxfp4"), row_major(x.data(), 4096, 32), options);
  EXPECT_EQ(q.factor, 4.0 / 3.0);
  double mean = 0;
  for (float v : dequantize(q)) mean += v;
  mean /= static_cast<double>(x.size());
  // Values 4 and 6 times 4/3: sigma below 4/3.
  EXPECT_NEAR(mean, 7.5, 5 * (4.0 / 3) / std::sqrt(static_cast<double>(x.size())));
  EXPECT_THROW(parse_operand_scale_rule("three-quarters"), ConfigError);
}

TEST(QuantizeNvfp4, FollowsAWorkedExample) {
  // By hand: tensor amax 2688 = 448 * 6, so s_global = 1; block 0 has s = 448, block 1 amax 3 has
  // s = 3 / 6 = 0.5, x / s = 6, 2, 1.
  std::vector<float> x(32, 0.0f);
  x[0] = 2688.0f;
  x[1] = -448.0f;
  x[16] = 3.0f;
  x[17] = 1.0f;
  x[18] = 0.5f;
  QuantizedMatrix q = quantize(parse_block_format("nvfp4"), row_major(x.data(), 1, 32));
  ASSERT_EQ(q.outer_scales, std::vector<std::uint32_t>{0x3F800000u});
  EXPECT_EQ(decode(q.format.scale, q.scale(0, 0)), 448);
  EXPECT_EQ(decode(q.format.scale, q.scale(0, 16)), 0.5);
  for (std::int64_t k : {0, 1, 16, 17, 18}) EXPECT_EQ(q.value(0, k), x[static_cast<size_t>(k)]);
}

TEST(QuantizeVsq, TakesTheRowsLargestScaleToTheLargestInteger) {
  // By hand: amax 105 and 7: factors 15 and 1; gamma = 15 / 15 = 1; scales 15 and 1.
  std::vector<float> x(32, 0.0f);
  x[0] = 105.0f;
  x[16] = 7.0f;
  x[17] = -3.0f;
  QuantizedMatrix q = quantize(parse_block_format("vsq4"), row_major(x.data(), 1, 32));
  EXPECT_EQ(q.scales, (std::vector<std::uint32_t>{15, 1}));
  EXPECT_EQ(q.outer_scales, std::vector<std::uint32_t>{0x3F800000u});
  EXPECT_EQ(q.value(0, 0), 105);
  EXPECT_EQ(q.value(0, 17), -3);
}

TEST(QuantizeNf4, DoubleQuantisationKeepsTheElementsAndOnlyChangesTheScales) {
  // QLoRA, section 3: the weights are encoded with the exact absmax, which is quantised afterwards.
  std::vector<float> x = random_values(31, 64 * 1024);
  QuantizedMatrix plain = quantize(parse_block_format("nf4"), row_major(x.data(), 64, 1024));
  QuantizedMatrix twice = quantize(parse_block_format("nf4_dq"), row_major(x.data(), 64, 1024));
  EXPECT_EQ(plain.codes, twice.codes);
  double sum = 0, worst = 0, spread = 0;
  for (std::int64_t r = 0; r < 64; ++r)
    for (std::int64_t k = 0; k < 1024; k += 64) sum += plain.scale_factor(r, k);
  EXPECT_EQ(twice.mean, static_cast<float>(sum / (64 * 16)));
  for (std::int64_t r = 0; r < 64; ++r)
    for (std::int64_t k = 0; k < 1024; k += 64) {
      worst = std::max(worst, std::fabs(plain.scale_factor(r, k) - twice.scale_factor(r, k)));
      spread = std::max(spread, std::fabs(plain.scale_factor(r, k) - twice.mean));
    }
  EXPECT_LE(worst, spread * 0.0142 / 2 * 1.001);  // half the map's widest step, 0.9 / 64
}

TEST(QuantizeRowAndTensor, ShareOneScaleAsTheirNameSays) {
  std::vector<float> x = random_values(33, 8 * 50);
  QuantizedMatrix rows = quantize(parse_block_format("int8_row"), row_major(x.data(), 8, 50));
  QuantizedMatrix all = quantize(parse_block_format("int8_tensor"), row_major(x.data(), 8, 50));
  float most = 0;
  for (std::int64_t r = 0; r < 8; ++r) {
    float amax = 0;
    for (std::int64_t k = 0; k < 50; ++k)
      amax = std::max(amax, std::fabs(x[static_cast<size_t>(r * 50 + k)]));
    EXPECT_EQ(rows.scale_factor(r, 0), amax);
    EXPECT_EQ(rows.scale_factor(r, 49), amax);
    most = std::max(most, amax);
    for (std::int64_t k = 0; k < 50; ++k) {
      // SwitchBack: round(127 x / absmax), here in long double.
      long double q = 127.0L * x[static_cast<size_t>(r * 50 + k)] / amax;
      EXPECT_EQ(decode(rows.format.element, rows.code(r, k)), std::nearbyint(q));
    }
  }
  for (std::int64_t r = 0; r < 8; ++r) EXPECT_EQ(all.scale_factor(r, 7), most);
}

TEST(QuantizeOptionsTest, FlushOverflowAndZeroRulesDoWhatTheySay) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  std::vector<float> x(32, 0.0f);
  x[0] = 256.0f;
  x[1] = -0x1p-8f;  // subnormal of e4m3 at scale 2^0
  x[2] = -0x1p-20f;
  BlockFormat format = parse_block_format("mxfp8_e4m3");
  auto run = [&](QuantizeOptions options) {
    return quantize(format, row_major(x.data(), 1, 32), options);
  };
  EXPECT_EQ(run({}).value(0, 1), -0x1p-8);
  QuantizeOptions flush;
  flush.flush_subnormals = true;
  EXPECT_EQ(run(flush).code(0, 1), 0x80u);
  EXPECT_EQ(run(flush).code(0, 0), run({}).code(0, 0));
  QuantizeOptions drop;
  drop.keep_negative_zero = false;
  EXPECT_EQ(run({}).code(0, 2), 0x80u);
  EXPECT_EQ(run(drop).code(0, 2), 0u);
  x[0] = 500.0f;  // floor: scale 1, beyond 448
  QuantizeOptions nan;
  nan.overflow = Overflow::kToNan;
  EXPECT_EQ(run({}).value(0, 0), 448);
  EXPECT_TRUE(std::isnan(run(nan).value(0, 0)));
  x[3] = -kInf;
  x[4] = std::nanf("");
  QuantizeOptions each;
  each.specials = BlockSpecials::kPerElement;
  QuantizedMatrix q = run(each);
  EXPECT_EQ(q.value(0, 0), 448);
  EXPECT_TRUE(std::isnan(q.value(0, 3)));  // e4m3 has no Inf
  EXPECT_TRUE(std::isnan(q.value(0, 4)));
  EXPECT_EQ(q.value(0, 1), -0x1p-8);
  EXPECT_EQ(run({}).scales[0], kE8M0Nan);
  format = parse_block_format("mxfp8_e5m2");
  EXPECT_EQ(run(each).value(0, 3), -kInf);
  QuantizeOptions even;
  even.scale_rule = ScaleRule::kEven;
  format = parse_block_format("e4m3@fp32/32");
  EXPECT_THROW(run(even), ConfigError);
}

TEST(Quantize, IsMonotoneWithinABlockAndNeverFlushesItsLargest) {
  std::vector<float> x = random_values(41, 128 * 96);
  for (size_t r = 0; r < 128; ++r)
    std::sort(x.begin() + static_cast<std::ptrdiff_t>(r * 96),
              x.begin() + static_cast<std::ptrdiff_t>(r * 96 + 96));
  int checked = 0;
  for (const CatalogueEntry& entry : catalogue()) {
    BlockFormat format = parse_block_format(entry.name);
    // With pair shifts or a scale a tile the order holds only inside what shares all levels.
    if (!format.has_scale() || format.micro.bits > 0 || format.outer.mean) continue;
    if (format.element == parse_element("udynamic8")) continue;  // drops negative values
    QuantizedMatrix q = quantize(format, row_major(x.data(), 128, 96));
    std::int64_t block = format.block > 0 ? format.block : 96;
    for (std::int64_t r = 0; r < 128; ++r)
      for (std::int64_t k = 0; k < 96; ++k) {
        if (k % block != 0) {
          ASSERT_LE(q.value(r, k - 1), q.value(r, k)) << entry.name;
        }
        ++checked;
      }
    // A scale of e4m3 under one for the tensor has its range: blocks 2^-20 of the largest vanish.
    if (format.tile_rows > 1 || format.span == Span::kTensor || format.has_outer()) continue;
    for (std::int64_t r = 0; r < 128; ++r)
      for (std::int64_t k0 = 0; k0 < 96; k0 += block) {
        double in = 0, out = 0;
        for (std::int64_t k = k0; k < std::min<std::int64_t>(k0 + block, 96); ++k) {
          in = std::max<double>(in, std::fabs(x[static_cast<size_t>(r * 96 + k)]));
          out = std::max(out, std::fabs(q.value(r, k)));
        }
        ASSERT_TRUE(in == 0 || out > 0) << entry.name;
      }
  }
  EXPECT_GT(checked, 200'000);
}

}  // namespace
}  // namespace blockdot::formats
