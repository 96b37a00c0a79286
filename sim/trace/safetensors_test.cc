#include "sim/trace/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"

namespace blockdot::sim {
namespace {

/// The bytes of a file with this header and `data_bytes` zero bytes.
std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return file + header + std::string(data_bytes, '\0');
}

class Safetensors : public ::testing::Test {
 protected:
  /// The message with which a file of these bytes is refused; "" when it is taken.
  std::string refusal(const std::string& bytes) {
    auto path = folder_.path() / "x.safetensors";
    write_file_atomic(path, bytes);
    try {
      SafetensorsFile file(path);
    } catch (const ConfigError& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      EXPECT_NE(std::string(error.what()).find("x.safetensors"), std::string::npos);
      return error.what();
    }
    return "";
  }
  TemporaryFolder folder_;
};

#define EXPECT_REFUSED(bytes, part) \
  EXPECT_PRED_FORMAT2(::testing::IsSubstring, part, refusal(bytes))

TEST_F(Safetensors, TakesAMinimalFileWrittenByHand) {
  EXPECT_EQ(refusal(file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8)), "");
  EXPECT_EQ(refusal(file_of(R"({"x":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}  )", 4)), "");
  EXPECT_EQ(refusal(file_of("{}", 0)), "");
}

TEST_F(Safetensors, RefusesAFileShorterThanItsFirstField) {
  EXPECT_REFUSED("", "too short");
  EXPECT_REFUSED("1234567", "too short");
}

TEST_F(Safetensors, RefusesAHeaderLengthBeyondTheFile) {
  std::string good = file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  for (std::size_t length = 8; length < good.size() - 8; ++length)
    EXPECT_REFUSED(good.substr(0, length), "beyond the file");
  EXPECT_REFUSED(std::string(8, '\xFF') + "{}", "beyond the file");
}

TEST_F(Safetensors, RefusesEveryTruncationOfItsData) {
  std::string good = file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  for (std::size_t cut = 1; cut <= 8; ++cut)
    EXPECT_REFUSED(good.substr(0, good.size() - cut), "leave the file");
}

TEST_F(Safetensors, RefusesAHeaderThatIsNotAJsonObject) {
  EXPECT_REFUSED(file_of("{\"x\":", 0), "not JSON");
  EXPECT_REFUSED(file_of("[1, 2]", 0), "not a JSON object");
  EXPECT_REFUSED(file_of(R"({"x":7})", 0), "needs dtype");
  EXPECT_REFUSED(file_of(R"({"x":{"dtype":"F32","shape":[2]}})", 8), "needs dtype");
}

TEST_F(Safetensors, RefusesOverlappingTensors) {
  EXPECT_REFUSED(file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                         R"("y":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                         8),
                 "overlap");
}

TEST_F(Safetensors, RefusesOffsetsOutOfRangeOrReversed) {
  EXPECT_REFUSED(file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 8), "leave");
  EXPECT_REFUSED(file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8), "leave");
  EXPECT_REFUSED(file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}})", 8),
                 "whole numbers");
  EXPECT_REFUSED(
      file_of(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551612,4]}})", 8),
      "leave");
}

TEST_F(Safetensors, RefusesASizeThatIsNotShapeTimesDtype) {
  EXPECT_REFUSED(file_of(R"({"x":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", 8),
                 "make 12");
  EXPECT_REFUSED(file_of(R"({"x":{"dtype":"F16","shape":[2],"data_offsets":[0,8]}})", 8), "make 4");
  EXPECT_REFUSED(file_of(R"({"x":{"dtype":"F32","shape":[4294967296,4294967298],)"
                         R"("data_offsets":[0,8]}})",
                         8),
                 "more than 2^64");
}

TEST_F(Safetensors, RefusesAnUnknownDtype) {
  EXPECT_REFUSED(file_of(R"({"x":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", 8),
                 "unknown dtype \"F31\"");
}

TEST_F(Safetensors, RefusesANameThatStandsTwice) {
  EXPECT_REFUSED(file_of(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                         R"("x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                         8),
                 "twice");
}

TEST_F(Safetensors, ToleratesAGapBetweenTensors) {
  EXPECT_EQ(refusal(file_of(R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})", 16)), "");
}

TEST_F(Safetensors, RefusesAFileThatIsNotThere) {
  EXPECT_THROW(SafetensorsFile("/nonexistent/x.safetensors"), ConfigError);
  EXPECT_THROW(SafetensorsFile(folder_.path()), ConfigError);
}

TEST_F(Safetensors, ReadsBackWhatItWrote) {
  const float x[] = {1, -2, 3};
  const std::uint16_t y[] = {0x3F80, 0x4000};
  const TensorToWrite tensors[] = {{"x", Dtype::kF32, {1, 3}, std::as_bytes(std::span(x))},
                                   {"y", Dtype::kBF16, {2}, std::as_bytes(std::span(y))}};
  auto path = folder_.path() / "rw.safetensors";
  write_safetensors(path, tensors, {{"k", "v"}});
  SafetensorsFile file(path);
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.metadata().at("k"), "v");
  EXPECT_EQ(file.find("x").shape, (std::vector<std::int64_t>{1, 3}));
  EXPECT_EQ(to_float32(Dtype::kF32, file.bytes(file.find("x"))), (std::vector<float>{1, -2, 3}));
  EXPECT_EQ(to_float32(Dtype::kBF16, file.bytes(file.find("y"))), (std::vector<float>{1, 2}));
  EXPECT_THROW(file.find("z"), ConfigError);
}

}  // namespace
}  // namespace blockdot::sim
