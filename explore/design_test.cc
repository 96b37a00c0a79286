// Design files: lists, names, hashes and every error with its place. The expected places are
// counted by hand in the texts below.
#include "explore/design.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "formats/error.h"

namespace blockdot::explore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<std::string> names(const DesignFile& file) {
  std::vector<std::string> names;
  for (const DesignPoint& point : file.points) names.push_back(point.name);
  return names;
}

std::string error_of(const std::string& text) {
  try {
    parse_design_file(text, "x.toml");
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(DesignFile, OneTableIsOnePointWithTheDefaultsOfDotSpec) {
  DesignFile file = parse_design_file("[[design]]\na = \"mxfp8_e4m3\"\n", "some/quick.toml");
  EXPECT_EQ(file.title, "quick");
  ASSERT_THAT(names(file), ElementsAre("mxfp8_e4m3"));
  EXPECT_EQ(file.points[0].spec, formats::parse_dot_spec("a=mxfp8_e4m3"));
}

TEST(DesignFile, ListsGiveEveryCombinationLastKeyFastest) {
  DesignFile file = parse_design_file(R"(
[[design]]
name = "x"
a = ["mxfp8_e4m3", "mxint8"]
lanes = [8, 16]
accumulator = ["kulisch", "fp32"]
)",
                                      "x.toml");
  EXPECT_THAT(names(file),
              ElementsAre("x-mxfp8_e4m3-8-kulisch", "x-mxfp8_e4m3-8-fp32",
                          "x-mxfp8_e4m3-16-kulisch", "x-mxfp8_e4m3-16-fp32", "x-mxint8-8-kulisch",
                          "x-mxint8-8-fp32", "x-mxint8-16-kulisch", "x-mxint8-16-fp32"));
  EXPECT_EQ(file.points[3].spec.lanes, 16);
  EXPECT_EQ(file.points[3].spec.accumulator.kind, formats::AccumulatorKind::kFloat);
  std::set<std::string> hashes;
  for (const DesignPoint& point : file.points) hashes.insert(content_hash(point));
  EXPECT_EQ(hashes.size(), 8u);
}

TEST(DesignFile, ADesignsOwnKeysStandBeforeTheDefaults) {
  DesignFile file = parse_design_file(R"(
title = "Both"
[defaults]
lanes = 4
technology = "osu018"
seed = [1, 2]
[[design]]
a = "mxint8"
seed = 7
[[design]]
a = "mxint8"
lanes = 8
)",
                                      "x.toml");
  EXPECT_EQ(file.title, "Both");
  ASSERT_THAT(names(file), ElementsAre("mxint8", "mxint8-1", "mxint8-2"));
  EXPECT_EQ(file.points[0].spec.lanes, 4);
  EXPECT_EQ(file.points[0].quantize.seed, 7u);
  EXPECT_EQ(file.points[1].spec.lanes, 8);
  EXPECT_EQ(file.points[2].quantize.seed, 2u);
  EXPECT_EQ(file.points[2].arch.technology, rtl_gen::Technology::kOsu018);
}

TEST(DesignFile, EveryKeyReachesItsField) {
  DesignFile file = parse_design_file(R"(
[[design]]
name = "all"
a = "mxfp8_e4m3"
b = "mxfp8_e5m2"
lanes = 8
accumulator = "kulisch"
output = "bf16"
rounding = "sr:12"
specials = "nan"
max-k = 1024
scale-rule = "ceil"
quantize = "sr:8"
seed = 9
clock-ns = 7.5
technology = "xilinx"
schedule = "random"
schedule-seed = 3
[[design]]
a = "mxint8"
combinational = true
)",
                                      "x.toml");
  const DesignPoint& all = file.points.at(0);
  EXPECT_EQ(all.spec, formats::parse_dot_spec("a=mxfp8_e4m3 b=mxfp8_e5m2 lanes=8 "
                                              "accumulator=kulisch output=bf16 rounding=sr:12 "
                                              "specials=nan max-k=1024"));
  EXPECT_EQ(all.quantize.scale_rule, formats::ScaleRule::kCeil);
  EXPECT_EQ(all.quantize.rounding, formats::stochastic_rounding(8));
  EXPECT_EQ(all.quantize.seed, 9u);
  EXPECT_EQ(all.arch.clock_ns, 7.5);
  EXPECT_EQ(all.arch.technology, rtl_gen::Technology::kXilinx);
  EXPECT_EQ(all.arch.schedule, rtl_gen::ScheduleKind::kRandom);
  EXPECT_EQ(all.arch.schedule_seed, 3u);
  EXPECT_TRUE(file.points.at(1).arch.combinational);
}

TEST(DesignFile, EqualNamesAreNumbered) {
  DesignFile file = parse_design_file(
      "[[design]]\nname = \"u\"\na = \"mxint8\"\n[[design]]\nname = \"u-2\"\na = \"mxint8\"\n"
      "[[design]]\nname = \"u\"\na = \"mxint8\"\n",
      "x.toml");
  EXPECT_THAT(names(file), ElementsAre("u", "u-2", "u-3"));
}

TEST(DesignPoint, TheNameIsNoPartOfTheHash) {
  DesignFile file = parse_design_file(
      "[[design]]\nname = \"u\"\na = \"mxint8\"\n[[design]]\nname = \"v\"\na = \"mxint8\"\n"
      "[[design]]\nname = \"w\"\na = \"mxint8\"\nscale-rule = \"ceil\"\n",
      "x.toml");
  EXPECT_EQ(content_hash(file.points[0]), content_hash(file.points[1]));
  EXPECT_NE(content_hash(file.points[0]), content_hash(file.points[2]));
  EXPECT_THAT(canonical_text(file.points[0]), HasSubstr("a=int8@e8m0/32 b=int8@e8m0/32 lanes=32"));
}

TEST(DesignFileErrors, SyntaxNamesLineAndColumn) {
  EXPECT_THAT(error_of("[[design]]\na = \n"), StartsWith("x.toml:2:"));
  EXPECT_THAT(error_of("[[design]]\na = 1\na = 2\n"), StartsWith("x.toml:3:"));
}

TEST(DesignFileErrors, UnknownKeysSuggestTheNearest) {
  EXPECT_THAT(error_of("[[design]]\na = \"mxint8\"\nlane = 8\n"),
              StartsWith("x.toml:3:1: unknown key 'lane' in [[design]]; did you mean lanes"));
  EXPECT_THAT(error_of("[defaults]\nclok-ns = 8\n[[design]]\na=\"mxint8\"\n"),
              StartsWith("x.toml:2:1: unknown key 'clok-ns' in [defaults]; did you mean clock-ns"));
  EXPECT_THAT(error_of("[[designs]]\na = \"mxint8\"\n"), HasSubstr("did you mean design"));
  EXPECT_THAT(error_of("lanes = 8\n[[design]]\na = \"mxint8\"\n"),
              HasSubstr("belongs into a [[design]] or the [defaults] table"));
}

TEST(DesignFileErrors, WrongTypesNameTheirPlace) {
  EXPECT_EQ(error_of("[[design]]\na = \"mxint8\"\nlanes = \"8\"\n"),
            "x.toml:3:9: lanes must be a whole number or a list of such");
  EXPECT_EQ(error_of("[[design]]\na = [\"mxint8\", 8]\n"),
            "x.toml:2:16: a must be a string or a list of such");
  EXPECT_EQ(error_of("[[design]]\na = \"mxint8\"\ncombinational = 1\n"),
            "x.toml:3:17: combinational must be true or false or a list of such");
  EXPECT_EQ(error_of("[[design]]\na = \"mxint8\"\nclock-ns = \"5\"\n"),
            "x.toml:3:12: clock-ns must be a number or a list of such");
  EXPECT_THAT(error_of("title = 3\n[[design]]\na = \"mxint8\"\n"), HasSubstr("title must be a"));
  EXPECT_THAT(error_of("[design]\na = \"mxint8\"\n"), HasSubstr("must be written as [[design]]"));
  EXPECT_THAT(error_of("defaults = 3\n"), HasSubstr("must be written as a [defaults] table"));
}

TEST(DesignFileErrors, EmptyThingsAreRefused) {
  EXPECT_THAT(error_of(""), HasSubstr("holds no [[design]] table"));
  EXPECT_THAT(error_of("[[design]]\na = []\n"), HasSubstr("a is an empty list"));
  EXPECT_THAT(error_of("[[design]]\na = \"\"\n"), HasSubstr("a is empty"));
  EXPECT_THAT(error_of("[[design]]\nlanes = 8\n"),
              StartsWith("x.toml:1:1: a = (nothing): a format is needed"));
}

TEST(DesignFileErrors, RefusedValuesNameTheLineOfTheirKey) {
  EXPECT_THAT(error_of("[[design]]\na = \"mxfp8_e4m3\"\nlanes = 33\n"),
              StartsWith("x.toml:3:9: lanes = 33: must be in [1, 32]"));
  EXPECT_THAT(error_of("[[design]]\na = \"mxfp8_e4m3\"\naccumulator = \"kulsch\"\n"),
              StartsWith("x.toml:3:15: accumulator = kulsch"));
  EXPECT_THAT(error_of("[[design]]\na = \"mxint8\"\nclock-ns = -1\n"),
              StartsWith("x.toml:3:12: clock-ns = -1: must be in (0, 1000]"));
  EXPECT_THAT(error_of("[[design]]\na = \"mxint8\"\nclock-ns = nan\n"), HasSubstr("(0, 1000]"));
  EXPECT_THAT(error_of("[[design]]\na = \"mxint8\"\nclock-ns = 5\ncombinational = true\n"),
              HasSubstr("a combinational unit has no clock"));
  EXPECT_THAT(error_of("[[design]]\na = \"mxint8\"\nseed = 0\n"),
              StartsWith("x.toml:3:8: seed = 0"));
  EXPECT_THAT(error_of("[[design]]\na = \"mxint8\"\ntechnology = \"osu\"\n"), HasSubstr("osu018"));
  EXPECT_THAT(error_of("[[design]]\na = \"mxint8\"\nscale-rule = \"flor\"\n"), HasSubstr("floor"));
}

TEST(DesignFileErrors, AMemberOfAListIsNamedByItsKeyAndItsOwnPlace) {
  EXPECT_THAT(error_of("[[design]]\nlanes = 8\na = [\"mxint8\", \"bogus\"]\n"),
              StartsWith("x.toml:3:16: a = bogus"));
  EXPECT_THAT(error_of("[[design]]\na = \"mxint8\"\nb = [\n  \"mxint8\",\n  \"bogus\"]\n"),
              StartsWith("x.toml:5:3: b = bogus"));
  EXPECT_THAT(error_of("[[design]]\na = \"mxint8\"\nquantize = [\"rne\", \"up\"]\n"),
              StartsWith("x.toml:3:20: quantize = up"));
  EXPECT_THAT(error_of("[[design]]\na = \"mxint8\"\nlanes = [8, 33]\n"),
              StartsWith("x.toml:3:13: lanes = 33: must be in [1, 32]"));
  EXPECT_THAT(error_of("[[design]]\na = \"mxint8\"\nclock-ns = [5, 1001]\n"),
              StartsWith("x.toml:3:16: clock-ns = 1001: must be in (0, 1000]"));
  EXPECT_THAT(error_of("[defaults]\ntechnology = [\"generic\", \"osu\"]\n[[design]]\na = "
                       "\"mxint8\"\n"),
              StartsWith("x.toml:2:26: technology = osu"));
}

TEST(DesignFileErrors, TooManyCombinationsAreRefusedBeforeTheyAreMade) {
  std::string seeds = "1";
  for (int i = 2; i <= 101; ++i) seeds += ", " + std::to_string(i);
  EXPECT_THAT(error_of("[[design]]\na = \"mxint8\"\nseed = [" + seeds + "]\nschedule-seed = [" +
                       seeds + "]\n"),
              HasSubstr("more than 10000 design points"));
}

TEST(DesignFileErrors, AMissingFileIsAnError) {
  EXPECT_THROW(read_design_file("/nonexistent/x.toml"), ConfigError);
}

TEST(ShippedDesigns, AreRead) {
  std::filesystem::path folder = BLOCKDOT_SOURCE_DIR "/explore/designs";
  DesignFile quickstart = read_design_file(folder / "quickstart.toml");
  EXPECT_THAT(names(quickstart), ElementsAre("MXFP8 E4M3", "MXFP4 E2M1", "MXINT8", "BM8"));
  EXPECT_EQ(read_design_file(folder / "accumulators.toml").points.size(), 12u);
}

TEST(DesignFile, AMachineIsPartOfTheDesignsIdentity) {
  DesignFile file = parse_design_file(
      "[[design]]\na = \"mxint8\"\n[[design]]\na = \"mxint8\"\nmachine = \"rows=2 cols=3\"\n", "f");
  EXPECT_FALSE(file.points[0].machine.has_value());
  ASSERT_TRUE(file.points[1].machine.has_value());
  EXPECT_EQ(file.points[1].machine->cols, 3);
  EXPECT_NE(content_hash(file.points[0]), content_hash(file.points[1]));
  EXPECT_THAT(canonical_text(file.points[1]), HasSubstr("machine=(rows=2 cols=3 dataflow=os"));
}

}  // namespace
}  // namespace blockdot::explore
