#include "formats/element_format.h"

#include <gtest/gtest.h>
#include <immintrin.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "formats/error.h"

namespace blockdot::formats {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The positive halves of the standard formats, written out from their specifications: OCP 8-bit
// Floating Point (OFP8) v1.0, table 1, and OCP MX v1.0, 5.3. Literal data: nothing here is computed
// by the code under test.
// clang-format off
constexpr double kE4M3[] = {
    0, 0.001953125, 0.00390625, 0.005859375, 0.0078125, 0.009765625, 0.01171875, 0.013671875,
    0.015625, 0.017578125, 0.01953125, 0.021484375, 0.0234375, 0.025390625, 0.02734375, 0.029296875,
    0.03125, 0.03515625, 0.0390625, 0.04296875, 0.046875, 0.05078125, 0.0546875, 0.05859375,
    0.0625, 0.0703125, 0.078125, 0.0859375, 0.09375, 0.1015625, 0.109375, 0.1171875,
    0.125, 0.140625, 0.15625, 0.171875, 0.1875, 0.203125, 0.21875, 0.234375,
    0.25, 0.28125, 0.3125, 0.34375, 0.375, 0.40625, 0.4375, 0.46875,
    0.5, 0.5625, 0.625, 0.6875, 0.75, 0.8125, 0.875, 0.9375,
    1, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75, 1.875,
    2, 2.25, 2.5, 2.75, 3, 3.25, 3.5, 3.75,
    4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5,
    8, 9, 10, 11, 12, 13, 14, 15,
    16, 18, 20, 22, 24, 26, 28, 30,
    32, 36, 40, 44, 48, 52, 56, 60,
    64, 72, 80, 88, 96, 104, 112, 120,
    128, 144, 160, 176, 192, 208, 224, 240,
    256, 288, 320, 352, 384, 416, 448, kNan,
};
// clang-format on

// clang-format off
constexpr double kE5M2[] = {
    0, 1.52587890625e-05, 3.0517578125e-05, 4.57763671875e-05, 6.103515625e-05, 7.62939453125e-05, 9.1552734375e-05, 0.0001068115234375,
    0.0001220703125, 0.000152587890625, 0.00018310546875, 0.000213623046875, 0.000244140625, 0.00030517578125, 0.0003662109375, 0.00042724609375,
    0.00048828125, 0.0006103515625, 0.000732421875, 0.0008544921875, 0.0009765625, 0.001220703125, 0.00146484375, 0.001708984375,
    0.001953125, 0.00244140625, 0.0029296875, 0.00341796875, 0.00390625, 0.0048828125, 0.005859375, 0.0068359375,
    0.0078125, 0.009765625, 0.01171875, 0.013671875, 0.015625, 0.01953125, 0.0234375, 0.02734375,
    0.03125, 0.0390625, 0.046875, 0.0546875, 0.0625, 0.078125, 0.09375, 0.109375,
    0.125, 0.15625, 0.1875, 0.21875, 0.25, 0.3125, 0.375, 0.4375,
    0.5, 0.625, 0.75, 0.875, 1, 1.25, 1.5, 1.75,
    2, 2.5, 3, 3.5, 4, 5, 6, 7,
    8, 10, 12, 14, 16, 20, 24, 28,
    32, 40, 48, 56, 64, 80, 96, 112,
    128, 160, 192, 224, 256, 320, 384, 448,
    512, 640, 768, 896, 1024, 1280, 1536, 1792,
    2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168,
    8192, 10240, 12288, 14336, 16384, 20480, 24576, 28672,
    32768, 40960, 49152, 57344, kInf, kNan, kNan, kNan,
};
// clang-format on

// clang-format off
constexpr double kE3M2[] = {
    0, 0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.375, 0.4375,
    0.5, 0.625, 0.75, 0.875, 1, 1.25, 1.5, 1.75,
    2, 2.5, 3, 3.5, 4, 5, 6, 7,
    8, 10, 12, 14, 16, 20, 24, 28,
};
// clang-format on

// clang-format off
constexpr double kE2M3[] = {
    0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875,
    1, 1.125, 1.25, 1.375, 1.5, 1.625, 1.75, 1.875,
    2, 2.25, 2.5, 2.75, 3, 3.25, 3.5, 3.75,
    4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5,
};
// clang-format on

// clang-format off
constexpr double kE2M1[] = {
    0, 0.5, 1, 1.5, 2, 3, 4, 6,
};
// clang-format on

void expect_table(const ElementFormat& format, const double* table, size_t size) {
  ASSERT_EQ(size * 2, size_t{1} << format.width());
  for (std::uint32_t code = 0; code < size; ++code) {
    double positive = decode(format, code);
    double negative = decode(format, code | static_cast<std::uint32_t>(size));
    if (std::isnan(table[code])) {
      EXPECT_TRUE(std::isnan(positive) && std::isnan(negative)) << code;
    } else {
      EXPECT_EQ(positive, table[code]) << code;
      EXPECT_EQ(negative, -table[code]) << code;
      EXPECT_TRUE(std::signbit(negative)) << code;
    }
  }
}

TEST(DecodeE4M3, MatchesTablePinnedFromOfp8) { expect_table(minifloat(4, 3), kE4M3, 128); }
TEST(DecodeE5M2, MatchesTablePinnedFromOfp8) { expect_table(minifloat(5, 2), kE5M2, 128); }
TEST(DecodeE3M2, MatchesTablePinnedFromOcpMx) { expect_table(minifloat(3, 2), kE3M2, 32); }
TEST(DecodeE2M3, MatchesTablePinnedFromOcpMx) { expect_table(minifloat(2, 3), kE2M3, 32); }
TEST(DecodeE2M1, MatchesTablePinnedFromOcpMx) { expect_table(minifloat(2, 1), kE2M1, 8); }

TEST(DecodeInt8, IsTwosComplementIn64ths) {
  EXPECT_EQ(decode(integer(8), 0x01), 1.0 / 64);
  EXPECT_EQ(decode(integer(8), 0x7F), 127.0 / 64);
  EXPECT_EQ(decode(integer(8), 0xFF), -1.0 / 64);
  EXPECT_EQ(decode(integer(8), 0x81), -127.0 / 64);
  EXPECT_EQ(decode(integer(8), 0x80), -2.0);
}

TEST(DecodeBlockMinifloat, EndsMatchTheFormulasOfThePaper) {
  // Fox et al., ICLR 2021: max (2 - 2^-m) 2^(2^(e-1)-1), smallest subnormal 2^(1-b-m), b = 2^(e-1).
  for (auto [e, m] :
       {std::pair{2, 5}, {4, 3}, {2, 4}, {4, 2}, {2, 3}, {3, 2}, {2, 2}, {3, 1}, {2, 1}, {3, 0}}) {
    int b = 1 << (e - 1);
    ElementFormat format = minifloat(e, m, Special::kFinite, b);
    EXPECT_EQ(max_value(format), (2 - std::ldexp(1.0, -m)) * std::ldexp(1.0, b - 1)) << e << m;
    EXPECT_EQ(min_positive(format), std::ldexp(1.0, m == 0 ? 1 - b : 1 - b - m)) << e << m;
  }
}

TEST(DecodeFp32, EqualsTheMachinesFloat) {
  ElementFormat fp32 = minifloat(8, 23);
  std::uint32_t code = 0;
  for (int i = 0; i < 2'000'000; ++i, code += 2147) {  // steps through all exponents, both signs
    double machine = std::bit_cast<float>(code);
    double ours = decode(fp32, code);
    ASSERT_TRUE(ours == machine || (std::isnan(ours) && std::isnan(machine))) << code;
  }
}

TEST(DecodeFp16, EqualsTheProcessorsConversionForEveryCode) {
  for (std::uint32_t code = 0; code < 65536; ++code) {
    double machine = _cvtsh_ss(static_cast<unsigned short>(code));
    double ours = decode(minifloat(5, 10), code);
    ASSERT_TRUE(ours == machine || (std::isnan(ours) && std::isnan(machine))) << code;
  }
}

TEST(EncodeFp32, EqualsTheMachinesRoundingOfDoubles) {
  ElementFormat fp32 = minifloat(8, 23);
  std::uint64_t bits = 0x9E3779B97F4A7C15u;
  for (int i = 0; i < 2'000'000; ++i) {
    bits = bits * 6364136223846793005u + 1442695040888963407u;
    // Exponents from below the smallest subnormal of binary32 to above its largest value.
    int exponent = static_cast<int>(bits % 300) - 160;
    double x = std::ldexp(static_cast<double>(bits >> 11), exponent - 53);
    if (i % 5 == 0) x = std::ldexp(std::round(std::ldexp(x, 30 - exponent)), exponent - 30);
    if (i % 2) x = -x;
    auto machine = static_cast<float>(x);
    ASSERT_EQ(encode(fp32, x, {}, 0, Overflow::kToSpecial), std::bit_cast<std::uint32_t>(machine))
        << x;
  }
}

TEST(EncodeFp16, EqualsTheProcessorsConversionInAllItsModes) {
  std::uint64_t bits = 1;
  ElementFormat fp16 = minifloat(5, 10);
  for (int i = 0; i < 1'000'000; ++i) {
    bits = bits * 6364136223846793005u + 1442695040888963407u;
    float x = std::ldexp(static_cast<float>(bits >> 40), static_cast<int>(bits % 50) - 56);
    if (i % 2) x = -x;
    ASSERT_EQ(encode(fp16, x, {}, 0, Overflow::kToSpecial), _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT))
        << x;
    ASSERT_EQ(encode(fp16, x, {RoundingMode::kRtz, 0}, 0, Overflow::kToSpecial),
              _cvtss_sh(x, _MM_FROUND_TO_ZERO))
        << x;
  }
}

std::vector<ElementFormat> narrow_formats() {
  std::vector<ElementFormat> formats;
  for (int e = 1; e <= 6; ++e)
    for (int m = 0; 1 + e + m <= 9; ++m)
      for (Special special : {Special::kFinite, Special::kFn, Special::kFnuz, Special::kIeee}) {
        ElementFormat format = minifloat(e, m, special, (1 << (e - 1)) - 1);
        try {
          validate(format);
        } catch (const ConfigError&) {
          continue;
        }
        formats.push_back(format);
      }
  for (int k = 2; k <= 9; ++k) {
    formats.push_back(integer(k));
    formats.push_back(integer(k, false));
    formats.push_back(sign_magnitude(k - 1));
  }
  return formats;
}

// The definition of nearest by search over all finite codes: independent of encode's arithmetic.
double nearest_by_search(const ElementFormat& format, double x, RoundingMode mode) {
  double best = kNan;
  std::uint32_t best_code = 0;
  for (std::uint32_t code = 0; code < (1u << format.width()); ++code) {
    double value = decode(format, code);
    if (!std::isfinite(value) || (std::signbit(value) != std::signbit(x) && value != 0)) continue;
    if (format.kind == ElementKind::kInteger && format.symmetric &&
        code == (1u << (format.int_bits - 1)))
      continue;
    if (mode == RoundingMode::kRtz && std::fabs(value) > std::fabs(x)) continue;
    double distance = std::fabs(value - x), best_distance = std::fabs(best - x);
    // Even: of the magnitude's code, which for two's complement has the parity of the code.
    bool tie_wins = mode == RoundingMode::kRna ? std::fabs(value) > std::fabs(best)
                                               : code % 2 == 0 && best_code % 2 == 1;
    if (std::isnan(best) || distance < best_distance || (distance == best_distance && tie_wins)) {
      best = value;
      best_code = code;
    }
  }
  return best;
}

TEST(Encode, EqualsNearestValueSearchAtEveryMidpointAndItsNeighbours) {
  std::int64_t checked = 0;
  for (const ElementFormat& format : narrow_formats()) {
    double max = max_value(format);
    std::vector<double> values;
    for (std::uint32_t code = 0; code <= max_finite_code(format); ++code)
      values.push_back(decode(format, code));
    values.push_back(max * 1.5);
    values.push_back(max * 4);
    for (size_t i = 0; i + 1 < values.size(); ++i) {
      double mid = (values[i] + values[i + 1]) / 2;
      for (double x : {values[i], mid, std::nextafter(mid, 0), std::nextafter(mid, kInf),
                       std::nextafter(values[i], kInf)}) {
        for (double signed_x : {x, -x}) {
          for (RoundingMode mode : {RoundingMode::kRne, RoundingMode::kRna, RoundingMode::kRtz}) {
            double ours = decode(format, encode(format, signed_x, {mode, 0}));
            ASSERT_EQ(ours, nearest_by_search(format, signed_x, mode))
                << to_text(format) << " " << signed_x << " mode " << static_cast<int>(mode);
            ++checked;
          }
        }
      }
    }
  }
  EXPECT_GT(checked, 100'000);
}

TEST(Encode, IsNearestForEveryFormatUpToSixteenBitsAtEveryMidpointAndItsTwoNeighbours) {
  // Every ExMy of at most 16 bits with every policy, every INTk and smM. The values come from
  // decode (pinned above); which of two neighbours is nearest is decided by comparing with their
  // midpoint, exact in double. RNE takes the even code at the midpoint, RNA the larger, RTZ the
  // smaller.
  std::int64_t checked = 0, formats = 0;
  std::vector<ElementFormat> all;
  for (int e = 1; e <= 8; ++e)
    for (int m = 0; 1 + e + m <= 16; ++m)
      for (Special special : {Special::kFinite, Special::kFn, Special::kFnuz, Special::kIeee}) {
        ElementFormat format = minifloat(e, m, special, (1 << (e - 1)) - (m % 2));
        try {
          validate(format);
        } catch (const ConfigError&) {
          continue;  // too few codes for the policy
        }
        all.push_back(format);
      }
  for (int k = 2; k <= 16; ++k) {
    all.push_back(integer(k));
    all.push_back(integer(k, false));
    all.push_back(sign_magnitude(k - 1));
  }
  for (const ElementFormat& format : all) {
    ++formats;
    std::uint32_t last = max_finite_code(format);
    bool whole = format.kind == ElementKind::kInteger;
    auto negative = [&](std::uint32_t code) {
      if (whole) return (0u - code) & ((1u << format.int_bits) - 1);
      if (code == 0 && format.special == Special::kFnuz && format.kind == ElementKind::kMinifloat)
        return 0u;
      return code | 1u << (format.width() - 1);
    };
    double low = decode(format, 0);
    for (std::uint32_t code = 0; code < last; ++code) {
      double high = decode(format, code + 1), middle = (low + high) / 2;
      ASSERT_LT(low, high);
      struct Case {
        double x;
        std::uint32_t rne, rna;
      };
      std::uint32_t even = code % 2 == 0 ? code : code + 1;
      for (auto [x, rne, rna] :
           {Case{middle, even, code + 1}, Case{std::nextafter(middle, 0), code, code},
            Case{std::nextafter(middle, kInf), code + 1, code + 1}}) {
        ASSERT_EQ(encode(format, x, {RoundingMode::kRne, 0}), rne) << to_text(format) << " " << x;
        ASSERT_EQ(encode(format, x, {RoundingMode::kRna, 0}), rna) << to_text(format) << " " << x;
        ASSERT_EQ(encode(format, x, {RoundingMode::kRtz, 0}), code) << to_text(format) << " " << x;
        ASSERT_EQ(encode(format, -x, {RoundingMode::kRne, 0}), negative(rne)) << to_text(format);
        ASSERT_EQ(encode(format, -x, {RoundingMode::kRna, 0}), negative(rna)) << to_text(format);
        ASSERT_EQ(encode(format, -x, {RoundingMode::kRtz, 0}), negative(code)) << to_text(format);
        checked += 6;
      }
      low = high;
    }
    ASSERT_EQ(encode(format, low * 1.5), last) << to_text(format);
  }
  EXPECT_GT(formats, 300);
  EXPECT_GT(checked, 10'000'000);
}

TEST(Encode, GivesEveryFiniteValueItsOwnCode) {
  for (const ElementFormat& format : narrow_formats()) {
    for (std::uint32_t code = 0; code < (1u << format.width()); ++code) {
      double value = decode(format, code);
      if (!std::isfinite(value)) continue;
      if (format.kind == ElementKind::kInteger && format.symmetric &&
          code == (1u << (format.int_bits - 1)))
        continue;
      ASSERT_EQ(encode(format, value), code) << to_text(format);
    }
  }
}

TEST(EncodeStochastic, RoundsUpInExactlyFloorOfFractionTimesTwoToTheRDraws) {
  std::int64_t checked = 0;
  for (const ElementFormat& format :
       {minifloat(4, 3), minifloat(5, 2), minifloat(2, 1), integer(8), sign_magnitude(7)}) {
    for (int r : {1, 4, 8}) {
      for (std::uint32_t code = 0; code < max_finite_code(format); code += 3) {
        double low = decode(format, code), high = decode(format, code + 1);
        for (double fraction : {0.0, 0.001, 0.25, 1.0 / 3, 0.5, 0.9, 0.999}) {
          double x = low + fraction * (high - low);
          double exact_fraction = (x - low) / (high - low);  // exact: the spacing is a power of two
          auto expected = static_cast<int>(std::floor(std::ldexp(exact_fraction, r)));
          for (double sign : {1.0, -1.0}) {
            int ups = 0;
            for (std::uint32_t random = 0; random < (1u << r); ++random) {
              double rounded =
                  decode(format, encode(format, sign * x, stochastic_rounding(r), random));
              ASSERT_TRUE(rounded == sign * low || rounded == sign * high);
              ups += rounded == sign * high;
            }
            ASSERT_EQ(ups, expected) << to_text(format) << " r " << r << " x " << x;
            ++checked;
          }
        }
      }
    }
  }
  EXPECT_GT(checked, 1000);
}

TEST(EncodeStochastic, SeesTailsFarBelowTheSmallestSubnormal) {
  // f = 2^-20 of a step: of 2^32 draws 2^12 round up, those from 2^32 - 2^12 on.
  double x = std::ldexp(min_positive(minifloat(4, 3)), -20);
  EXPECT_EQ(encode(minifloat(4, 3), x, stochastic_rounding(32), 0xFFFFF000u), 1u);
  EXPECT_EQ(encode(minifloat(4, 3), x, stochastic_rounding(32), 0xFFFFEFFFu), 0u);
}

TEST(EncodeOverflow, SaturatesOrGoesToTheSpecialValueOfTheFormat) {
  auto special = [](const ElementFormat& f, double x) {
    return encode(f, x, {}, 0, Overflow::kToSpecial);
  };
  EXPECT_EQ(encode(minifloat(4, 3), 1e9), 0x7Eu);   // OFP8 saturating mode
  EXPECT_EQ(special(minifloat(4, 3), 1e9), 0x7Fu);  // OFP8: no Inf, NaN
  EXPECT_EQ(special(minifloat(4, 3), 464), 0x7Eu);  // tie of 448 and the NaN's place: even
  EXPECT_EQ(special(minifloat(4, 3), 465), 0x7Fu);
  EXPECT_EQ(special(minifloat(5, 2), -1e9), 0xFCu);  // -Inf
  EXPECT_EQ(special(minifloat(5, 2), kInf), 0x7Cu);
  EXPECT_EQ(encode(minifloat(5, 2), kInf), 0x7Bu);   // saturates
  EXPECT_EQ(special(minifloat(2, 1), -kInf), 0xFu);  // nothing else there: -6
  EXPECT_EQ(encode(minifloat(5, 2), 1e9, {RoundingMode::kRtz, 0}, 0, Overflow::kToSpecial), 0x7Bu);
  EXPECT_EQ(encode(integer(8), -5.0), 0x81u);  // symmetric: -127
  EXPECT_EQ(encode(integer(8, false), -5.0), 0x80u);
}

TEST(ElementText, PrintsWhatItParses) {
  for (const char* text : {"e4m3", "e5m2", "e4m3:ieee", "e2m5:bias=2", "fp32", "bf16", "fp16",
                           "tf32", "int8", "int8:full", "int4:frac=0", "sm7", "sm3:frac=0",
                           "e4m3:fnuz", "e4m3:fnuz:bias=9", "e3m0:bias=4"}) {
    EXPECT_EQ(to_text(parse_element(text)), text);
  }
  EXPECT_EQ(to_text(parse_element("E8M23")), "fp32");
  EXPECT_EQ(to_text(parse_element("e4m3:fn:bias=7")), "e4m3");
  for (const ElementFormat& format : narrow_formats())
    EXPECT_EQ(parse_element(to_text(format)), format) << to_text(format);
}

TEST(ElementText, RefusesWithTheFieldTheValueAndTheRange) {
  auto message = [](std::string_view text) {
    try {
      parse_element(text);
    } catch (const ConfigError& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_EQ(message("e9m3"),
            "element = e9m3, column 2: exp_bits = 9: must be a whole number in [1, 8]");
  EXPECT_EQ(message("int99"),
            "element = int99, column 4: int bits = 99: must be a whole number in [2, 16]");
  EXPECT_NE(message("e4n3").find("did you mean e4m3"), std::string::npos);
  EXPECT_NE(message("e4m3:wrong").find("unknown option 'wrong'"), std::string::npos);
  EXPECT_NE(message("e1m0:fn").find("too few codes"), std::string::npos);
  EXPECT_NE(message("").find("unknown"), std::string::npos);
}

}  // namespace
}  // namespace blockdot::formats
