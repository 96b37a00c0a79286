#include "formats/pack.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "formats/error.h"

namespace blockdot::formats {
namespace {

std::vector<float> values(std::uint32_t seed, size_t n) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(n);
  for (float& v : x) v = normal(engine);
  return x;
}

void expect_equal(const QuantizedMatrix& a, const QuantizedMatrix& b, const std::string& what) {
  EXPECT_EQ(a.format, b.format) << what;
  EXPECT_EQ(a.rows, b.rows) << what;
  EXPECT_EQ(a.length, b.length) << what;
  EXPECT_EQ(a.padded_length, b.padded_length) << what;
  EXPECT_EQ(a.code_bytes, b.code_bytes) << what;
  EXPECT_EQ(a.codes, b.codes) << what;
  EXPECT_EQ(a.scales, b.scales) << what;
  EXPECT_EQ(a.micros, b.micros) << what;
  EXPECT_EQ(a.outer_scales, b.outer_scales) << what;
  EXPECT_EQ(a.mean, b.mean) << what;
}

TEST(Pack, UnpacksToTheSameMatrixForEveryFormatShapeAndLayout) {
  int checked = 0;
  for (const CatalogueEntry& entry : catalogue()) {
    BlockFormat format = parse_block_format(entry.name);
    for (auto [rows, length] : {std::pair{1, 1}, {3, 45}, {50, 100}, {7, 256}}) {
      std::vector<float> x = values(7, static_cast<size_t>(rows * length));
      QuantizedMatrix q = quantize(format, row_major(x.data(), rows, length));
      for (PackLayout layout : {PackLayout::kPlanes, PackLayout::kInterleaved}) {
        if (layout == PackLayout::kInterleaved && (format.block == 0 || format.tile_rows != 1))
          continue;
        PackedMatrix packed = pack(q, layout);
        expect_equal(unpack(packed), q, entry.name);
        EXPECT_EQ(packed_size(format, rows, length, layout).total(),
                  static_cast<std::int64_t>(packed.bytes()))
            << entry.name;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 200);
}

TEST(Pack, KeepsEveryCodeOfEveryWidth) {
  for (const char* text : {"binary", "int2:full", "int3:full", "e2m1", "int5:full", "e3m2",
                           "int7:full", "e4m3", "e5m3", "int16:full", "bf16", "tf32"}) {
    QuantizedMatrix q =
        quantize(parse_block_format(text), row_major(static_cast<const float*>(nullptr), 0, 0));
    int width = q.format.element.width();
    std::int64_t count = std::int64_t{1} << std::min(width, 16);
    q.rows = 1;
    q.length = q.padded_length = count;
    q.codes.assign(static_cast<size_t>(count * q.code_bytes), 0);
    for (std::int64_t i = 0; i < count; ++i)
      for (int byte = 0; byte < q.code_bytes; ++byte)
        q.codes[static_cast<size_t>(i * q.code_bytes + byte)] =
            static_cast<std::uint8_t>(i >> (8 * byte));
    PackedMatrix packed = pack(q);
    EXPECT_EQ(packed.elements.size(), static_cast<size_t>((count * width + 7) / 8)) << text;
    expect_equal(unpack(packed), q, text);
  }
}

TEST(Pack, PutsTheFirstOfTwoFp4InTheLowNibble) {
  // The order of the CUDA type __nv_fp4x2_e2m1 and of torch.float4_e2m1fn_x2: 1.0 is code 2, -6
  // is 15.
  std::vector<float> x(32, 0.0f);
  x[0] = 1.0f;
  x[1] = -6.0f;
  PackedMatrix packed = pack(quantize(parse_block_format("mxfp4"), row_major(x.data(), 1, 32)));
  ASSERT_EQ(packed.elements.size(), 16u);
  EXPECT_EQ(packed.elements[0], 0xF2);
  EXPECT_EQ(packed.scales, std::vector<std::uint8_t>{127});
}

TEST(Pack, InterleavedMx9BlockIsScaleTausElements) {
  // By hand: E = 128 for a largest value of 3, taus 0 1 1 1 1 1 1 1, then 96, 32, 48, ...
  std::vector<float> x(16, 0.0f);
  x[0] = 3.0f;
  x[1] = 1.0f;
  x[2] = 0.75f;
  PackedMatrix packed = pack(quantize(parse_block_format("mx9"), row_major(x.data(), 1, 16)),
                             PackLayout::kInterleaved);
  ASSERT_EQ(packed.elements.size(), 18u);  // 144 bits: 9 an element
  EXPECT_EQ(packed.elements[0], 128);
  EXPECT_EQ(packed.elements[1], 0xFE);
  EXPECT_EQ(packed.elements[2], 96);
  EXPECT_EQ(packed.elements[3], 32);
  EXPECT_EQ(packed.elements[4], 48);
}

TEST(Pack, SizesAreThoseOfThePapers) {
  // NVFP4 4.5 bits and one fp32; NF4 with double quantisation 4.127 bits an element (QLoRA, 3).
  EXPECT_EQ(packed_size(parse_block_format("nvfp4"), 64, 1024).total(), 64 * 1024 * 9 / 16 + 4);
  PackedSize nf4 = packed_size(parse_block_format("nf4_dq"), 1024, 1024);
  double bits = 8.0 * static_cast<double>(nf4.total()) / (1024 * 1024);
  EXPECT_NEAR(bits, 4.127, 0.0005);
  EXPECT_EQ(packed_size(parse_block_format("bm8"), 96, 96).scales, 4);
  EXPECT_EQ(packed_size(parse_block_format("fp8_e4m3_tensor"), 96, 96).scales, 4);
  EXPECT_THROW(packed_size(parse_block_format("bm8"), 96, 96, PackLayout::kInterleaved),
               ConfigError);
}

}  // namespace
}  // namespace blockdot::formats
