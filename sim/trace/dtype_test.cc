#include "sim/trace/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "sim/trace/sha256.h"
#ifdef __F16C__
#include <immintrin.h>
#endif

namespace blockdot::sim {
namespace {

#ifdef __F16C__
TEST(FromF16, EveryCodeMatchesTheProcessorsConversion) {
  int checked = 0;
  for (unsigned code = 0; code < 65536; ++code, ++checked) {
    float got = from_f16(static_cast<std::uint16_t>(code));
    float want = _cvtsh_ss(static_cast<unsigned short>(code));
    // The processor makes signalling NaNs quiet; sign and kind must agree.
    if (std::isnan(want))
      EXPECT_TRUE(std::isnan(got) && std::signbit(got) == std::signbit(want)) << code;
    else
      EXPECT_EQ(std::bit_cast<std::uint32_t>(got), std::bit_cast<std::uint32_t>(want)) << code;
  }
  EXPECT_EQ(checked, 65536);
}
#endif

TEST(FromF16, EveryCodeMatchesTheIeeeDefinition) {
  for (unsigned code = 0; code < 65536; ++code) {
    int exponent = static_cast<int>(code >> 10 & 31);
    double mantissa = static_cast<double>(code & 1023);
    double value =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    if (exponent == 31) value = mantissa == 0 ? INFINITY : NAN;
    if (code & 0x8000) value = -value;
    float got = from_f16(static_cast<std::uint16_t>(code));
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(got)) << code;
    else
      EXPECT_TRUE(got == value && std::signbit(got) == std::signbit(value)) << code;
  }
}

TEST(FromBf16, EveryCodeMatchesTheDefinitionWithEightExponentBits) {
  for (unsigned code = 0; code < 65536; ++code) {
    int exponent = static_cast<int>(code >> 7 & 255);
    double mantissa = static_cast<double>(code & 127);
    double value =
        exponent == 0 ? std::ldexp(mantissa, -133) : std::ldexp(128 + mantissa, exponent - 134);
    if (exponent == 255) value = mantissa == 0 ? INFINITY : NAN;
    if (code & 0x8000) value = -value;
    float got = from_bf16(static_cast<std::uint16_t>(code));
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(got)) << code;
    else
      EXPECT_TRUE(got == value && std::signbit(got) == std::signbit(value)) << code;
  }
}

TEST(ToFloat32, RoundsF64ToNearestEven) {
  // 1 + 2^-24 lies half-way between 1 and its successor; 1 + 3 * 2^-24 between odd and even.
  const double in[] = {1 + 0x1p-24, 1 + 3 * 0x1p-24, -0.0};
  auto out = to_float32(Dtype::kF64, std::as_bytes(std::span(in)));
  ASSERT_EQ(out.size(), 3u);
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[1], 1.0f + 0x1p-22f);
  EXPECT_TRUE(std::signbit(out[2]));
}

TEST(Sha256, MatchesTheVectorsOfFips180) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace blockdot::sim
