#include "formats/rounding.h"

#include <gtest/gtest.h>

#include <cmath>

#include "formats/error.h"

namespace blockdot::formats {
namespace {

TEST(RoundTail, DecidesTiesByItsMode) {
  // 5 + 1/2 and 4 + 1/2 units; IEEE 754-2019, 4.3.1.
  EXPECT_EQ(round_tail(5, 4, 3, {}, 0), 6u);
  EXPECT_EQ(round_tail(4, 4, 3, {}, 0), 4u);
  EXPECT_EQ(round_tail(4, 4, 3, {RoundingMode::kRna, 0}, 0), 5u);
  EXPECT_EQ(round_tail(4, 7, 3, {RoundingMode::kRtz, 0}, 0), 4u);
  EXPECT_EQ(round_tail(4, 5, 3, {}, 0), 5u);
  EXPECT_EQ(round_tail(4, 3, 3, {RoundingMode::kRna, 0}, 0), 4u);
}

TEST(RoundTail, CountsRoundUpsOverAllDrawsEvenWhereTheTailIsShorterThanR) {
  for (int tail_bits : {1, 3, 8, 12}) {
    for (std::uint64_t tail = 0; tail < (1u << tail_bits); ++tail) {
      std::uint64_t ups = 0;
      for (std::uint32_t random = 0; random < 64; ++random)
        ups += round_tail(0, tail, tail_bits, stochastic_rounding(6), random);
      EXPECT_EQ(ups, tail * 64 >> tail_bits);
    }
  }
}

TEST(RoundingText, PrintsWhatItParsesAndNamesTheModes) {
  for (const char* text : {"rne", "rna", "rtz", "sr:1", "sr:16", "sr:32"})
    EXPECT_EQ(to_text(parse_rounding(text)), text);
  EXPECT_THROW(parse_rounding("sr:0"), ConfigError);
  EXPECT_THROW(parse_rounding("sr:33"), ConfigError);
  EXPECT_THROW(parse_rounding("sr"), ConfigError);
  EXPECT_THROW(parse_rounding("up"), ConfigError);
}

TEST(StochasticVariants, HaveTheirPublishedBiasOverAllTailsAndDraws) {
  // Fitzgibbon and Felix, ARITH 2025, for uniform tails of D bits: SRFF 2^-(D+1) - 2^-(r+1),
  // SRF 2^-(D+1), SRC 0, in units of the last place. All 2^D tails and 2^r draws: exact counts.
  for (int d : {4, 6, 9}) {
    for (int r : {1, 2, 3}) {
      for (auto [variant, bias] :
           {std::pair{SrVariant::kSrff, std::ldexp(1.0, -d - 1) - std::ldexp(1.0, -r - 1)},
            {SrVariant::kSrf, std::ldexp(1.0, -d - 1)},
            {SrVariant::kSrc, 0.0}}) {
        Rounding rounding = stochastic_rounding(r);
        rounding.variant = variant;
        double sum = 0;
        // Even and odd places below: a tie of SRC goes both ways equally over all tails.
        for (std::uint64_t tail = 0; tail < (1u << d); ++tail)
          for (std::uint32_t random = 0; random < (1u << r); ++random)
            sum += static_cast<double>(round_tail(2, tail, d, rounding, random)) - 2 -
                   std::ldexp(static_cast<double>(tail), -d);
        EXPECT_EQ(std::ldexp(sum, -d - r), bias) << "D " << d << " r " << r;
      }
    }
  }
}

TEST(StochasticVariants, PrintWhatTheyParse) {
  for (const char* text : {"sr:8", "srf:8", "src:32"})
    EXPECT_EQ(to_text(parse_rounding(text)), text);
  EXPECT_THROW(parse_rounding("srx:8"), ConfigError);
}

}  // namespace
}  // namespace blockdot::formats
