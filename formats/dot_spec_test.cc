#include "formats/dot_spec.h"

#include <gtest/gtest.h>

#include <cmath>

#include "formats/error.h"

namespace blockdot::formats {
namespace {

std::string message(std::string_view text) {
  try {
    parse_dot_spec(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(DotSpecText, FillsInTheDefaultsAndParsesBack) {
  DotSpec spec = parse_dot_spec("a=mxfp8_e4m3");
  EXPECT_EQ(to_text(spec),
            "a=e4m3@e8m0/32 b=e4m3@e8m0/32 lanes=32 accumulator=kulisch output=fp32 rounding=rne "
            "specials=ieee max-k=65536");
  for (const char* text :
       {"a=mx9 accumulator=fp32 rounding=sr:16", "a=bm8 lanes=16 accumulator=kulisch[40:-60]:wrap",
        "a=mxfp8_e5m2 b=mxfp4 specials=nan output=bf16 rounding=sr:8 accumulator=fp32",
        "a=mxint8 accumulator=kulisch[9:-3]:sticky:wrap", "a=mxint8 accumulator=aligned[13]:fp32",
        "a=mxint8 accumulator=aligned[25]:e8m13:fn:rna", "a=bf16 accumulator=bf16:rtz output=fp32",
        "a=e4m3:ieee@fp32/8 max-k=128"}) {
    DotSpec parsed = parse_dot_spec(text);
    EXPECT_EQ(parse_dot_spec(to_text(parsed)), parsed) << text;
  }
}

TEST(DotSpecText, GivesTheOneRoundingToAnAccumulatorOfTheOutputsFormat) {
  EXPECT_EQ(parse_dot_spec("a=mxint8 accumulator=fp32 rounding=sr:16").accumulator.rounding,
            stochastic_rounding(16));
  EXPECT_EQ(parse_dot_spec("a=mxint8 accumulator=fp32:sr:16").rounding, stochastic_rounding(16));
  // Another output: the accumulator keeps its own default.
  EXPECT_EQ(
      parse_dot_spec("a=mxint8 accumulator=fp32 output=bf16 rounding=sr:16").accumulator.rounding,
      Rounding{});
  // An aligned one cuts its sum as it cuts its terms, unless a rounding is named.
  EXPECT_EQ(to_text(parse_dot_spec("a=mxint8 accumulator=aligned[13]:fp32").rounding), "rtz");
  EXPECT_EQ(to_text(parse_dot_spec("a=mxint8 accumulator=aligned[13]:fp32 output=bf16")),
            "a=int8@e8m0/32 b=int8@e8m0/32 lanes=32 accumulator=aligned[13]:fp32:rtz output=bf16 "
            "rounding=rne specials=ieee max-k=65536");
  EXPECT_EQ(
      to_text(parse_dot_spec("a=mxint8 accumulator=aligned[9]:fp32 rounding=rne").accumulator),
      "aligned[9]:fp32:rne");
}

TEST(DotSpecValidation, NamesFieldValueAndRange) {
  EXPECT_NE(message("a=mxint8 lanes=0").find("lanes = 0: must be a whole number in [1, 1024]"),
            std::string::npos);
  EXPECT_NE(message("a=mxint8 lanes=64").find("lanes = 64: must be in [1, 32]"), std::string::npos);
  EXPECT_NE(message("a=mxint8 b=bm8").find("do not divide each other"), std::string::npos);
  EXPECT_NE(message("a=mx9 lanes=3").find("multiple of the micro block 2"), std::string::npos);
  EXPECT_NE(message("a=sm2@e8m0/12+u1/2 b=int8@e8m0/3 lanes=2").find("would split it"),
            std::string::npos);
  EXPECT_NE(message("a=mxint8 output=int8").find("must be a float"), std::string::npos);
  EXPECT_NE(message("a=mxint8 accumulator=kulisch[3:5]").find("msb > lsb"), std::string::npos);
  EXPECT_NE(message("a=mxint8 accumulator=kulish").find("did you mean kulisch"), std::string::npos);
  EXPECT_NE(message("a=mxint8 accumulator=fp32:rtz rounding=rne").find("one rounding"),
            std::string::npos);
  EXPECT_NE(message("a=mxint8 accumulator=bf16:sr:4 rounding=sr:4").find("one random stream"),
            std::string::npos);
  EXPECT_NE(message("a=mxint8 accumulator=kulisch[5:3]:stick").find(":sticky, once"),
            std::string::npos);
  EXPECT_NE(message("a=mxint8 accumulator=aligned:fp32").find("as in aligned[13]:fp32"),
            std::string::npos);
  EXPECT_NE(message("a=mxint8 accumulator=aligned[200]:fp32").find("in [0, 128]"),
            std::string::npos);
  EXPECT_NE(message("a=int8 lanes=32 accumulator=kulisch[12:-10]:exact max-k=4096")
                .find("4096 products take bits 14 to -12; try kulisch[14:-12]:exact"),
            std::string::npos);
  // The products of a stated max-k must fit, unless it is said what becomes of what does not.
  EXPECT_NE(message("a=int8 lanes=32 accumulator=kulisch[12:-10] max-k=4096")
                .find("max-k = 4096 products take bits up to 14; try kulisch[14:-10]"),
            std::string::npos);
  EXPECT_NE(message("a=mxint8 accumulator=kulisch[30:-40] max-k=64")
                .find("kulisch[30:-40]:saturate or :wrap"),
            std::string::npos);
  // Both factors are binary32 numbers, below 2^128; nf4 reaches 1.
  EXPECT_NE(message("a=nf4_dq accumulator=kulisch[12:-10] max-k=64").find("try kulisch[262:-10]"),
            std::string::npos);
  for (const char* fits : {"a=int8 lanes=32 accumulator=kulisch[14:-10] max-k=4096",
                           "a=int8 lanes=32 accumulator=kulisch[12:-10]:saturate max-k=4096",
                           "a=int8 lanes=32 accumulator=kulisch[12:-10]:sticky:wrap max-k=4096",
                           "a=int8 lanes=32 accumulator=kulisch[12:-10]"})
    EXPECT_EQ(message(fits), "accepted");
  EXPECT_NE(message("a=mxint8 b=bm8").find("b one of 16 or 64"), std::string::npos);
  EXPECT_NE(message("a=mxint8 lane=4").find("did you mean lanes"), std::string::npos);
  EXPECT_NE(message("a=mxint8 a=mxint8").find("given twice"), std::string::npos);
  EXPECT_NE(message("b=mxint8").find("a format is needed"), std::string::npos);
}

// A shorter reduction is offered only where one product fits. By hand: the largest product of E4M3
// takes 18 bits and a sign.
TEST(Window, OffersAShorterReductionWhereOneFits) {
  const auto refusal = [](const std::string& window) {
    try {
      validate(parse_dot_spec("a=e4m3 lanes=1 max-k=64 accumulator=" + window));
    } catch (const ConfigError& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  EXPECT_NE(refusal("kulisch[20:-18]").find("a smaller max-k"), std::string::npos);
  EXPECT_NE(refusal("kulisch[10:-18]").find("products take bits"), std::string::npos);
  EXPECT_EQ(refusal("kulisch[10:-18]").find("a smaller max-k"), std::string::npos);
}

TEST(ExactWindow, IsTheLastThatIsAccepted) {
  // By hand: 127/64 squared is 16129 x 2^-12; 4096 of them are 16129 = below 2^14.
  DotSpec spec = parse_dot_spec("a=int8 lanes=32 accumulator=kulisch[14:-12]:exact max-k=4096");
  EXPECT_EQ(spec.accumulator.window, exact_window(spec));
  EXPECT_NE(message("a=int8 lanes=32 accumulator=kulisch[13:-12]:exact max-k=4096"), "accepted");
  EXPECT_NE(message("a=int8 lanes=32 accumulator=kulisch[14:-11]:exact max-k=4096"), "accepted");
  // (-2)^2 = 4 in :full; 1024 of them are 2^12, one step beyond the largest value of msb 12.
  EXPECT_EQ(exact_window(parse_dot_spec("a=int8:full lanes=32 max-k=1024")).msb, 13);
  EXPECT_EQ(exact_window(parse_dot_spec("a=int8:full lanes=1 max-k=1023")).msb, 12);
  // 448^2 x 2^254 x 65536 = 1.53 x 2^287, 2^(-9 - 9 - 254).
  FixedFormat mxfp8 = exact_window(parse_dot_spec("a=mxfp8_e4m3"));
  EXPECT_EQ(mxfp8.msb, 288);
  EXPECT_EQ(mxfp8.lsb, -272);
}

TEST(DotSpecFactors, BelongToTheBeatWhereTheyChangeAlongTheReduction) {
  struct Case {
    const char* format;
    bool outer_in_beat, scale_in_result, outer_in_result, factor;
  };
  for (const Case& c :
       {Case{"mxfp8", false, false, false, false}, Case{"int8_row", false, true, false, true},
        Case{"wage_e8", false, true, false, true}, Case{"abfp8", false, false, false, true},
        Case{"nvfp4", false, false, true, true}, Case{"vsq8", false, false, true, true},
        Case{"nf4_dq", true, false, false, false},
        Case{"e2m1@e4m3/16*fp32/tensor:mean", true, false, false, false}}) {
    BlockFormat format = parse_block_format(c.format);
    EXPECT_EQ(outer_in_beat(format), c.outer_in_beat) << c.format;
    EXPECT_EQ(scale_in_result(format), c.scale_in_result) << c.format;
    EXPECT_EQ(outer_in_result(format), c.outer_in_result) << c.format;
    EXPECT_EQ(has_result_factor(format), c.factor) << c.format;
  }
}

TEST(DotSpecFactors, AreRoundedApartFromAnAccumulatorOfTheOutputsFormat) {
  EXPECT_FALSE(output_rounds(parse_dot_spec("a=mxint8 accumulator=fp32")));
  DotSpec spec = parse_dot_spec("a=int8_row accumulator=fp32 rounding=sr:16");
  EXPECT_TRUE(output_rounds(spec));
  EXPECT_EQ(spec.accumulator.rounding, Rounding{});
  EXPECT_EQ(parse_dot_spec("a=int8_row accumulator=fp32:rtz").rounding, Rounding{});
}

TEST(DotSpecFactors, DivideByTheLargestElementUnderAmax) {
  for (const CatalogueEntry& entry : catalogue()) {
    BlockFormat format = parse_block_format(entry.name);
    OddFactor divisor = amax_divisor(format);
    EXPECT_EQ(divisor.odd % 2, 1u);
    EXPECT_EQ(std::ldexp(divisor.odd, divisor.exponent),
              format.scale.of_maximum ? max_value(format.element) : 1)
        << entry.name;
  }
  EXPECT_EQ(amax_divisor(parse_block_format("e4m3@fp32:amax/32")).odd, 7u);
}

TEST(BeatRanges, NeverStraddleABlockAndCoverEveryElementOnce) {
  for (const char* text :
       {"a=mxint8 lanes=32", "a=bm8 lanes=32", "a=mxint8 lanes=5", "a=bf16 lanes=7",
        "a=mxint8 b=e2m1@e8m0/16 lanes=12", "a=mxint8 b=bf16 lanes=10"}) {
    DotSpec spec = parse_dot_spec(text);
    int segment = segment_length(spec);
    for (std::int64_t k : {1, 2, 31, 32, 33, 47, 48, 49, 96, 100}) {
      std::vector<BeatRange> ranges = beat_ranges(spec, k);
      ASSERT_EQ(static_cast<std::int64_t>(ranges.size()), beats_for(spec, k)) << text << " " << k;
      std::int64_t next = 0;
      for (const BeatRange& range : ranges) {
        ASSERT_EQ(range.k, next);
        ASSERT_GE(range.count, 1);
        ASSERT_LE(range.count, spec.lanes);
        if (segment > 0) {
          ASSERT_EQ(range.k / segment, (range.k + range.count - 1) / segment) << text << " " << k;
        }
        next += range.count;
      }
      ASSERT_EQ(next, k);
    }
  }
}

}  // namespace
}  // namespace blockdot::formats
