#include "formats/block_format.h"

#include <gtest/gtest.h>

#include <random>

#include "formats/error.h"

namespace blockdot::formats {
namespace {

std::string message(std::string_view text) {
  try {
    parse_block_format(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Catalogue, EntriesAreCanonicalTextsThatParseBack) {
  for (const CatalogueEntry& entry : catalogue()) {
    BlockFormat format = parse_block_format(entry.name);
    EXPECT_EQ(to_text(format), entry.text) << entry.name;
    EXPECT_EQ(parse_block_format(entry.text), format) << entry.name;
    EXPECT_EQ(display_name(format), entry.name);
  }
}

TEST(Catalogue, BitsPerElementAreThoseOfThePapers) {
  // OCP MX v1.0 table 1 (8 + 8/32...), ISCA'23 table 1 (9, 6, 4), ICLR'21 (48 x 48 tiles).
  EXPECT_EQ(bits_per_element(parse_block_format("mxfp8_e4m3")), 8.25);
  EXPECT_EQ(bits_per_element(parse_block_format("mxfp6_e3m2")), 6.25);
  EXPECT_EQ(bits_per_element(parse_block_format("mxfp4")), 4.25);
  EXPECT_EQ(bits_per_element(parse_block_format("mx9")), 9);
  EXPECT_EQ(bits_per_element(parse_block_format("mx6")), 6);
  EXPECT_EQ(bits_per_element(parse_block_format("mx4")), 4);
  EXPECT_EQ(bits_per_element(parse_block_format("e2m1@e4m3/16")), 4.5);
  EXPECT_DOUBLE_EQ(bits_per_element(parse_block_format("bm8")), 8 + 8.0 / (48 * 48));
}

TEST(BlockFormatText, PrintsWhatItParses) {
  for (const char* text :
       {"e4m3@e8m0/32", "e2m5:bias=2@e8m0/48x48", "sm7@e8m0/16+u1/2", "e4m3@fp32/128", "bf16",
        "int4@fp32/64", "e3m4@bf16/7", "int8:full@e8m0/32"})
    EXPECT_EQ(to_text(parse_block_format(text)), text);
  EXPECT_EQ(to_text(parse_block_format("MXFP8_E4M3")), "e4m3@e8m0/32");
  EXPECT_EQ(to_text(parse_block_format("e4m3@none")), "e4m3");
}

TEST(BlockFormatText, SuggestsTheNearestNames) {
  EXPECT_NE(message("mxfp8_e4m4").find("did you mean mxfp8_e4m3"), std::string::npos);
  EXPECT_NE(message("mxin8").find("mxint8"), std::string::npos);
  EXPECT_NE(message("mx99").find("mx9"), std::string::npos);
  EXPECT_NE(message("e4m3@e8n0/32").find("did you mean e8m0"), std::string::npos);
}

TEST(BlockFormatText, RefusesWhatContradictsItself) {
  EXPECT_NE(message("e4m3@e8m0").find("block length must follow"), std::string::npos);
  EXPECT_NE(message("e4m3@e8m0/0").find("[1, 65536]"), std::string::npos);
  EXPECT_NE(message("e4m3@none/32").find("takes no block length"), std::string::npos);
  EXPECT_NE(message("sm7@e8m0/16+u1/3").find("must divide the block length 16"), std::string::npos);
  EXPECT_NE(message("sm7@e8m0/16+u9/2").find("[1, 4]"), std::string::npos);
  EXPECT_NE(message("sm7@fp32/16+u1/2").find("needs scale e8m0"), std::string::npos);
  EXPECT_NE(message("sm7@e8m0/16x2+u1/2").find("one-row"), std::string::npos);
  EXPECT_NE(message("e4m3@e4m3:fnuz/16").find("scale"), std::string::npos);
  EXPECT_NE(message("e4m3@e8m0/32x0").find("[1, 65536]"), std::string::npos);
}

TEST(KulischWidth, IsThatOfThePublishedTable) {
  // docs/numerics.md, accumulators: N = 32 and the blocks of 16 of ISCA'23.
  auto width = [](const char* a, const char* b, std::int64_t n) {
    return kulisch_width(parse_block_format(a), parse_block_format(b), n);
  };
  EXPECT_EQ(width("mxfp8_e5m2", "mxfp8_e5m2", 32), 70);
  EXPECT_EQ(width("mxfp8_e4m3", "mxfp8_e4m3", 32), 42);
  EXPECT_EQ(width("mxfp8_e4m3", "mxfp8_e5m2", 32), 56);
  EXPECT_EQ(width("mxfp6_e3m2", "mxfp6_e3m2", 32), 24);
  EXPECT_EQ(width("mxfp6_e2m3", "mxfp6_e2m3", 32), 18);
  EXPECT_EQ(width("mxfp4_e2m1", "mxfp4_e2m1", 32), 14);
  EXPECT_EQ(width("mxint8", "mxint8", 32), 20);
  EXPECT_EQ(width("bm8", "bm8_e4m3", 32), 32);
  EXPECT_EQ(width("bm6", "bm6_e3m2", 32), 21);
  EXPECT_EQ(width("bm5", "bm5_e3m1", 32), 19);
  EXPECT_EQ(width("mx9", "mx9", 16), 21);
  EXPECT_EQ(width("mx6", "mx6", 16), 15);
  EXPECT_EQ(width("mx4", "mx4", 16), 11);
}

TEST(Catalogue, BitsOfTheTwoLevelFormatsAreThoseOfThePapers) {
  EXPECT_EQ(bits_per_element(parse_block_format("nvfp4")), 4.5);
  EXPECT_NEAR(bits_per_element(parse_block_format("nf4_dq")), 4.127, 0.0005);  // QLoRA, section 3
  EXPECT_EQ(bits_per_element(parse_block_format("nf4")), 4.5);
  EXPECT_EQ(bits_per_element(parse_block_format("nvfp4_ue5m3")), 4.5);
  EXPECT_EQ(bits_per_element(parse_block_format("vsq4")), 4.25);
  EXPECT_EQ(bits_per_element(parse_block_format("msfp12")), 4.5);
}

TEST(BlockFormatText, PrintsEveryKindOfLevelAsItReadsIt) {
  for (const char* text :
       {"e2m1@e4m3/16*fp32/tensor", "int4:frac=0@u4/16*fp32/row", "nf4@dynamic8/64*fp32/256:mean",
        "int8:frac=0@fp32:amax/row", "e4m3@fp32/tensor", "e2m1@ue5m3/16", "e2m1@ue4m3:ieee/16",
        "e2m1@ue4m3:fn:bias=9/16", "nf4@none", "dynamic8", "binary", "e4m3@e8m0/row",
        "e2m1@e4m3/16x16*fp32/tensor", "int8@bf16:amax/128", "e2m1@e4m3/16*e8m0/row"})
    EXPECT_EQ(to_text(parse_block_format(text)), text);
  EXPECT_EQ(to_text(parse_block_format("int8@fp32/channel")), "int8@fp32/row");
  EXPECT_EQ(to_text(parse_block_format("ternary")), "int2");
  EXPECT_EQ(to_text(parse_block_format("half")), "fp16");
  for (const CatalogueAlias& alias : catalogue_aliases())
    EXPECT_EQ(parse_block_format(alias.name), parse_block_format(alias.entry)) << alias.name;
}

TEST(BlockFormatText, EveryParseErrorNamesTheColumn) {
  auto column = [](std::string_view text, int expected, const char* part) {
    std::string what = message(text);
    EXPECT_NE(what.find(fmt::format("column {}:", expected)), std::string::npos) << what;
    EXPECT_NE(what.find(part), std::string::npos) << what;
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
  };
  column("e9m3@e8m0/32", 2, "exp_bits = 9");
  column("e4m3@e8n0/32", 6, "did you mean e8m0");
  column("e4m3@e8m0/0", 11, "block = 0");
  column("e4m3@e8m0/32x0", 14, "tile rows = 0");
  column("e4m3@e8m0", 10, "block length must follow");
  column("e4m3:wrong@e8m0/32", 6, "unknown option 'wrong'");
  column("sm7@e8m0/16+u9/2", 14, "micro bits = 9");
  column("e2m1@e4m3/16*fp32", 18, "a span must follow");
  column("e2m1@e4m3/16*fp32/tensr", 19, "outer blocks");
  column("nf4@dynamic8/64", 5, "needs a scale above it");
  column("e4m3@fp32/rowe", 11, "did you mean row");
  column("mxfp9", 1, "did you mean");
  column("int8@fp32:amix/32", 11, "unknown option 'amix'");
  column("e4m3@e8m0/32*fp32/tensor", 13, "e8m0 spans");
  column("e4m3@e8m0/32 ", 11, "must be a whole number");
  column(std::string("\n\x01"), 1, "??");
}

TEST(BlockFormatText, AnyTextParsesOrIsRefusedInOneLineAndACanonicalTextComesBack) {
  // Mutations of the catalogue's texts: one in some survives, all others are refused in one line.
  std::mt19937 engine(2);
  const std::string letters = "efbmsintunaxdy0123456789@/+*:=.- _\n\xff";
  std::int64_t parsed = 0, refused = 0;
  for (int i = 0; i < 60'000; ++i) {
    const CatalogueEntry& entry = catalogue()[engine() % catalogue().size()];
    std::string text = engine() % 4 == 0 ? entry.name : entry.text;
    for (std::uint32_t edits = engine() % 4; edits > 0; --edits) {
      size_t at = engine() % (text.size() + 1);
      char letter = letters[engine() % letters.size()];
      switch (engine() % 3) {
        case 0:
          text.insert(at, 1, letter);
          break;
        case 1:
          if (at < text.size()) text[at] = letter;
          break;
        case 2:
          text = text.substr(0, at);
          break;
      }
    }
    try {
      BlockFormat format = parse_block_format(text);
      ++parsed;
      ASSERT_EQ(parse_block_format(to_text(format)), format) << text;
    } catch (const ConfigError& error) {
      ++refused;
      ASSERT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos) << text;
    }
  }
  EXPECT_GT(parsed, 10'000);
  EXPECT_GT(refused, 10'000);
}

}  // namespace
}  // namespace blockdot::formats
