// The fast GEMM against the golden model, bit for bit, over formats, shapes, accumulators,
// roundings and hostile data.
#include "models/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include "formats/error.h"
#include "models/lfsr_jump.h"
#include "models/reference.h"
#include "models/wide_int.h"

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
  kCancelling,  // pairs that cancel up to a small rest
  kSpecials,    // NaN, Inf, zeros and -0 in between
  kCodes,       // any codes, any scales
};
constexpr Data kAllData[] = {Data::kNormal,     Data::kWide,     Data::kExtreme,
                             Data::kCancelling, Data::kSpecials, Data::kCodes};

std::vector<float> values(std::mt19937& random, std::int64_t rows, std::int64_t length, Data data) {
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
        v = std::ldexp(v, below(276) - 149);
        if (!std::isfinite(v)) v = 3e38f;
        break;
      case Data::kCancelling:
        if (i % 2 == 1) v = -x[i - 1] * (below(4) == 0 ? 1.0f : 1.0009765625f);
        break;
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
                        std::int64_t length, Data data) {
  std::vector<float> x = values(random, rows, length, data);
  QuantizedMatrix q = quantize(format, row_major(x.data(), rows, length));
  if (data == Data::kCodes) {
    std::uint32_t mask = (1u << format.element.width()) - 1;
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
    }
    for (std::uint8_t& tau : q.micros) tau = random() & ((1u << format.micro.bits) - 1);
  }
  return q;
}

/// Compares one GEMM and returns the number of results.
std::int64_t expect_equal(const std::string& text, std::int64_t m, std::int64_t n, std::int64_t k,
                          Data data, unsigned seed, int threads) {
  SCOPED_TRACE(fmt::format("{} m={} n={} k={} data={} seed={} threads={}", text, m, n, k,
                           static_cast<int>(data), seed, threads));
  std::mt19937 random(seed);
  DotSpec spec = parse_dot_spec(text);
  QuantizedMatrix a = operand(random, spec.a, m, k, data);
  QuantizedMatrix b = operand(random, spec.b, n, k, data);
  GemmResult golden = gemm_golden(spec, a, b, seed);
  GemmResult fast = gemm(spec, a, b, {seed, threads});
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
  };
  unsigned seed = 1;
  for (const char* rest : rests) sweep(GetParam() + " " + rest, ++seed);
}

INSTANTIATE_TEST_SUITE_P(
    Formats, EqualsGolden,
    ::testing::Values("a=mxfp8_e4m3", "a=mxfp8_e5m2", "a=mxfp6_e3m2", "a=mxfp6_e2m3 lanes=8",
                      "a=mxfp4_e2m1", "a=mxint8", "a=int4@e8m0/32 lanes=5", "a=bm8",
                      "a=bm8 b=bm8_e4m3", "a=bm6_e3m2 lanes=16", "a=mx9", "a=mx6 lanes=4", "a=mx4",
                      "a=int8@fp32/32", "a=e4m3@e4m3/16", "a=e2m1@e4m3/16 b=int8@fp32/32", "a=bf16",
                      "a=fp16 lanes=1", "a=bf16 b=mxfp4_e2m1", "a=mxfp8_e4m3 b=mxint8",
                      "a=e5m2@fp32/32 lanes=7", "a=e4m3:fnuz@e8m0/8", "a=int8:full:frac=0 lanes=64",
                      "a=e7m0@e8m0/32"),
    [](const auto& param) {
      std::string name = param.param;
      for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
      return name;
    });

}  // namespace
}  // namespace blockdot::models
