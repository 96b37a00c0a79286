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

}  // namespace
}  // namespace blockdot::formats
