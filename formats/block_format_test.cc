#include "formats/block_format.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace blockdot::formats
