// The vector kernels against the definition: the same bits for every format of the catalogue that
// they take, on the outside vectors' inputs, on random bits and on hard cases of the quotient.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "formats/lanes.h"
#include "formats/quantize.h"

namespace blockdot::formats {
namespace {

std::vector<float> outside_inputs() {
  std::ifstream file(std::string(BLOCKDOT_SOURCE_DIR) + "/testbench/vectors/inputs.f32",
                     std::ios::binary);
  std::vector<float> values(1400 * 32);
  file.read(reinterpret_cast<char*>(values.data()),
            static_cast<std::streamsize>(values.size() * sizeof(float)));
  EXPECT_TRUE(file.good());
  return values;
}

// Every bit pattern of binary32 alike, so subnormals, NaN and Inf too.
std::vector<float> random_bits(std::uint32_t seed, size_t n) {
  std::mt19937 engine(seed);
  std::vector<float> values(n);
  for (float& v : values) v = std::bit_cast<float>(static_cast<std::uint32_t>(engine()));
  return values;
}

// Blocks of a narrow range, with ties on the grids of the formats and their neighbours.
std::vector<float> near_ties(std::uint32_t seed, size_t n) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) {
    float v = normal(engine);
    switch (engine() % 4) {
      case 0:
        break;
      case 1:
        v = std::round(v * 64) / 64 + 1.0f / 128;
        break;
      case 2:
        v = std::nextafter(std::round(v * 64) / 64 + 1.0f / 128, engine() % 2 ? 9.0f : -9.0f);
        break;
      case 3:
        v = std::ldexp(std::round(v * 8), -static_cast<int>(engine() % 20));
        break;
    }
    values[i] = v;
  }
  return values;
}

void expect_same(const BlockFormat& format, const std::vector<float>& x, std::int64_t length,
                 const QuantizeOptions& options, std::int64_t& checked) {
  auto rows = static_cast<std::int64_t>(x.size()) / length;
  MatrixView view = row_major(x.data(), rows, length);
  QuantizedMatrix fast = quantize(format, view, options);
  QuantizedMatrix slow = quantize_by_definition(format, view, options);
  ASSERT_EQ(fast.scales, slow.scales) << to_text(format);
  ASSERT_EQ(fast.micros, slow.micros) << to_text(format);
  for (size_t i = 0; i < fast.codes.size(); ++i)
    ASSERT_EQ(int{fast.codes[i]}, int{slow.codes[i]})
        << to_text(format) << " element " << i << " x " << x[i % x.size()];
  std::vector<float> values = dequantize(fast);
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < length; ++k) {
      auto definition = static_cast<float>(slow.value(r, k));
      float value = values[static_cast<size_t>(r * length + k)];
      ASSERT_TRUE((std::isnan(value) && std::isnan(definition)) ||
                  std::bit_cast<std::uint32_t>(value) == std::bit_cast<std::uint32_t>(definition))
          << to_text(format) << " " << value << " " << definition;
      ++checked;
    }
}

std::vector<std::string> formats_under_test() {
  std::vector<std::string> texts;
  for (const CatalogueEntry& entry : catalogue()) texts.push_back(entry.text);
  for (const char* text :
       {"e4m3@fp32/32",      "e5m2@fp32/64",     "e2m1@fp32/32",        "e2m3@bf16/32",
        "int8@fp32/32",      "int4@fp32/32",     "int8:full@e8m0/32",   "int8:full@fp32/32",
        "sm7@fp32/16",       "e2m1@e4m3/16",     "e3m0:bias=4@fp32/16", "e4m3:fnuz@e8m0/32",
        "e5m2:fnuz@fp32/32", "e6m1@fp32/32",     "e1m6@e8m0/32",        "e7m0@fp32/8",
        "int2@fp32/32",      "int3@e8m0/5",      "binary@fp32/32",      "e4m3@fp16/7",
        "e2m1@ue4m3/16",     "nf4@bf16/32",      "dynamic8@e8m0/32",    "sm4@e8m0/32",
        "e4m3@bf16:amax/32", "nf4@fp32:amax/16", "e4m3@e8m0/row",       "e2m1@e8m0/8x4"})
    texts.emplace_back(text);
  return texts;
}

TEST(Kernels, GiveTheDefinitionsBitsOnTheOutsideVectorsInputs) {
  std::vector<float> x = outside_inputs();
  std::int64_t checked = 0;
  for (const std::string& text : formats_under_test())
    ASSERT_NO_FATAL_FAILURE(expect_same(parse_block_format(text), x, 32, {}, checked));
  EXPECT_GT(checked, 1'000'000);
}

TEST(Kernels, GiveTheDefinitionsBitsOnRandomBitsAndNearTies) {
  std::int64_t checked = 0;
  for (const std::string& text : formats_under_test()) {
    for (std::uint32_t seed : {1u, 2u}) {
      ASSERT_NO_FATAL_FAILURE(
          expect_same(parse_block_format(text), near_ties(seed, 96 * 480), 480, {}, checked));
      ASSERT_NO_FATAL_FAILURE(
          expect_same(parse_block_format(text), random_bits(seed, 48 * 200), 200, {}, checked));
      // Without NaN and Inf, so that whole blocks of the widest range are encoded.
      std::vector<float> wide = random_bits(seed + 7, 48 * 480);
      for (float& v : wide)
        if (!std::isfinite(v)) v = 0x1p-149f;
      ASSERT_NO_FATAL_FAILURE(expect_same(parse_block_format(text), wide, 480, {}, checked));
    }
  }
  EXPECT_GT(checked, 1'000'000);
}

TEST(Kernels, GiveTheDefinitionsBitsOnEveryTargetOfTheProcessor) {
  std::vector<std::string> targets = lanes_targets();
  for (const std::string& target : targets) {
    SCOPED_TRACE(target);
    lanes_use_target(target);
    std::int64_t checked = 0;
    for (const std::string& text : formats_under_test()) {
      ASSERT_NO_FATAL_FAILURE(
          expect_same(parse_block_format(text), near_ties(11, 48 * 160), 160, {}, checked));
      ASSERT_NO_FATAL_FAILURE(
          expect_same(parse_block_format(text), random_bits(11, 48 * 40), 40, {}, checked));
    }
    EXPECT_GT(checked, 500'000);
  }
  lanes_use_target("");
  EXPECT_FALSE(targets.empty());
}

TEST(Kernels, GiveTheDefinitionsBitsUnderEveryScaleRuleAndWithoutMinusZero) {
  std::vector<float> x = near_ties(3, 64 * 96), y = outside_inputs();
  std::int64_t checked = 0;
  for (const char* text : {"e4m3@e8m0/32", "e5m2@e8m0/32", "e3m2@e8m0/32", "e2m3@e8m0/32",
                           "e2m1@e8m0/32", "int8@e8m0/32", "sm3@e8m0/16"}) {
    for (const std::string& rule : scale_rule_names()) {
      QuantizeOptions options;
      options.scale_rule = parse_scale_rule(rule);
      options.keep_negative_zero = false;
      ASSERT_NO_FATAL_FAILURE(expect_same(parse_block_format(text), x, 96, options, checked));
      options.specials = BlockSpecials::kPerElement;
      ASSERT_NO_FATAL_FAILURE(expect_same(parse_block_format(text), y, 32, options, checked));
      options.specials = BlockSpecials::kSaturate;
      ASSERT_NO_FATAL_FAILURE(expect_same(parse_block_format(text), y, 32, options, checked));
    }
  }
  EXPECT_GT(checked, 1'000'000);
}

TEST(Kernels, QuantiseColumnsAsTheRowsOfTheTransposeAndBfloat16AsItsValues) {
  // Oracle: the same numbers stored the other way round; bfloat16 is the upper half of binary32.
  const std::int64_t rows = 37, length = 100;
  std::vector<float> x = near_ties(21, static_cast<size_t>(rows * length)), turned(x.size());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < length; ++k)
      turned[static_cast<size_t>(k * rows + r)] = x[static_cast<size_t>(r * length + k)];
  for (const CatalogueEntry& entry : catalogue()) {
    BlockFormat format = parse_block_format(entry.text);
    if (format.tile_rows > 1) continue;
    QuantizedMatrix straight = quantize(format, row_major(x.data(), rows, length));
    QuantizedMatrix across = quantize(format, transposed(turned.data(), rows, length));
    ASSERT_EQ(straight.codes, across.codes) << entry.name;
    ASSERT_EQ(straight.scales, across.scales) << entry.name;
  }
}

// bfloat16 operands give what their values as binary32 give.
TEST(Kernels, TakeBfloat16OfEitherAxis) {
  const std::int64_t rows = 37, length = 100;
  const ElementFormat bf16 = parse_element("bf16");
  std::vector<std::uint16_t> codes, turned(static_cast<size_t>(rows * length));
  std::vector<float> x;
  for (float v : near_ties(22, turned.size())) {
    codes.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(v) >> 16));
    x.push_back(static_cast<float>(decode(bf16, codes.back())));
  }
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t k = 0; k < length; ++k)
      turned[static_cast<size_t>(k * rows + r)] = codes[static_cast<size_t>(r * length + k)];
  QuantizeOptions stochastic;
  stochastic.rounding = stochastic_rounding(7);
  for (const CatalogueEntry& entry : catalogue())
    for (const QuantizeOptions& options : {QuantizeOptions{}, stochastic}) {
      const BlockFormat format = parse_block_format(entry.text);
      const QuantizedMatrix expected = quantize(format, row_major(x.data(), rows, length), options);
      for (const MatrixView& view :
           {row_major(codes.data(), rows, length), transposed(turned.data(), rows, length)}) {
        const QuantizedMatrix q = quantize(format, view, options);
        ASSERT_EQ(q.codes, expected.codes) << entry.name;
        ASSERT_EQ(q.scales, expected.scales) << entry.name;
        ASSERT_EQ(q.micros, expected.micros) << entry.name;
        ASSERT_EQ(q.outer_scales, expected.outer_scales) << entry.name;
      }
    }
}

TEST(Kernels, DecideQuotientsNextToHalfwayPointsAsTheExactQuotientDoes) {
  // x just off (code midpoint) * scale, for scales with full significands: the binary32 quotient
  // often is the midpoint itself, and only the remainder tells the side. Oracle: long double
  // products, exact here (24 + 9 bits).
  std::mt19937 engine(5);
  std::int64_t checked = 0, blind = 0;
  for (const char* text : {"e4m3@fp32/2", "int8:frac=0@fp32/2", "e2m1@fp32/2"}) {
    BlockFormat format = parse_block_format(text);
    double max = max_value(format.element);
    for (int i = 0; i < 200'000; ++i) {
      float amax = std::ldexp(1.0f + static_cast<float>(engine() >> 9) * 0x1p-23f, 8);
      auto scale = static_cast<float>(amax / max);
      std::uint32_t code = engine() % max_finite_code(format.element);
      double middle = (decode(format.element, code) + decode(format.element, code + 1)) / 2;
      auto x = static_cast<float>(middle * scale);
      if (x >= amax) continue;
      float pair[2] = {amax, x};
      QuantizedMatrix q = quantize(format, row_major(pair, 1, 2));
      long double exact = static_cast<long double>(middle) * scale;
      std::uint32_t expected = x > exact || (x == exact && code % 2 == 1) ? code + 1 : code;
      ASSERT_EQ(q.code(0, 1), expected) << text << " x " << x << " amax " << amax;
      ++checked;
      blind += x / scale == middle && x != exact;
    }
  }
  EXPECT_GT(checked, 400'000);
  EXPECT_GT(blind, 1000) << "no case where binary32 division alone would be wrong";
}

TEST(Kernels, DecideCodeBooksNextToEveryMiddleAsTheExactProductDoes) {
  // x at (middle of two neighbours) * scale rounded to binary32, and both neighbours of that.
  // Oracle: long double products, exact here (25 + 24 bits), and the rule of the even code.
  std::mt19937 engine(6);
  std::int64_t checked = 0, ties = 0;
  for (const char* name : {"nf4", "dynamic8", "udynamic8", "binary"}) {
    for (int trial = 0; trial < 60; ++trial) {
      BlockFormat format = parse_block_format(std::string(name) + "@fp32/4");
      std::span<const float> values = code_book_values(format.element.book);
      // Powers of two meet ties; full significands do not.
      float scale = trial < 10 ? std::ldexp(1.0f, trial * 9 - 45)
                               : std::ldexp(1.0f + static_cast<float>(engine() >> 9) * 0x1p-23f,
                                            static_cast<int>(engine() % 120) - 60);
      for (std::uint32_t code = 0; code + 1 < values.size(); ++code) {
        long double exact = (static_cast<long double>(values[code]) + values[code + 1]) / 2 * scale;
        auto nearest = static_cast<float>(exact);
        float block[4] = {scale, nearest, std::nextafter(nearest, -HUGE_VALF),
                          std::nextafter(nearest, HUGE_VALF)};
        QuantizedMatrix q = quantize(format, row_major(block, 1, 4));
        for (int i = 1; i < 4; ++i) {
          bool tie = block[i] == exact;
          std::uint32_t expected = block[i] > exact || (tie && code % 2 == 1) ? code + 1 : code;
          ASSERT_EQ(q.code(0, i), expected) << name << " x " << block[i] << " scale " << scale;
          ties += tie;
          ++checked;
        }
      }
    }
  }
  EXPECT_GT(checked, 90'000);
  EXPECT_GT(ties, 100);
}

}  // namespace
}  // namespace blockdot::formats
