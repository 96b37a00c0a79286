#include "sim/trace/matrix_file.h"

#include <gtest/gtest.h>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "sim/trace/npy.h"

namespace blockdot::sim {
namespace {

using namespace std::string_literals;

/// What numpy.save writes (NumPy 1.24) for np.array([[1, 2, 3], [4, 5, 6]], np.float32), header
/// only.
const std::string kNumpyHeader =
    "\x93NUMPY\x01\0\x76\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"s +
    std::string(58, ' ') + "\n";
const float kSix[] = {1, 2, 3, 4, 5, 6};

std::string six_bytes() { return {reinterpret_cast<const char*>(kSix), sizeof kSix}; }

class MatrixFile : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& name, const std::string& bytes) {
    write_file_atomic(folder_.path() / name, bytes);
    return folder_.path() / name;
  }
  TemporaryFolder folder_;
};

TEST_F(MatrixFile, ReadsAFileAsNumpyWritesIt) {
  ASSERT_EQ(kNumpyHeader.size(), 128u);
  Matrix m = read_matrix(file("x.npy", kNumpyHeader + six_bytes()));
  EXPECT_EQ(m.rows, 2);
  EXPECT_EQ(m.columns, 3);
  EXPECT_EQ(m.data, (std::vector<float>{1, 2, 3, 4, 5, 6}));
}

TEST_F(MatrixFile, ReadsFortranOrderAsTheSameMatrix) {
  std::string header = kNumpyHeader;
  header.replace(header.find("False"), 5, "True ");
  Matrix m = read_matrix(file("x.npy", header + six_bytes()));
  EXPECT_EQ(m.data, (std::vector<float>{1, 3, 5, 2, 4, 6}));  // column by column 1 2, 3 4, 5 6
}

TEST_F(MatrixFile, RefusesEveryTruncationOfANpyFile) {
  std::string good = kNumpyHeader + six_bytes();
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_THROW(read_matrix(file("x.npy", good.substr(0, size))), ConfigError) << size;
}

TEST_F(MatrixFile, RefusesTypesThatAreNotReal) {
  std::string header = kNumpyHeader;
  for (const char* descr : {"<i4", "<c8", ">f4", "|b1"}) {
    header.replace(header.find("'descr': '") + 10, 3, descr);
    EXPECT_THROW(read_matrix(file("x.npy", header + six_bytes())), ConfigError) << descr;
  }
}

TEST_F(MatrixFile, EveryKindReadsBackWhatItWrote) {
  Matrix m{2, 3, {1, -0.0f, 3e-40f, 4, 5, 6}};
  for (const char* name : {"x.npy", "x.safetensors", "x.f32"}) {
    write_matrix(folder_.path() / name, m);
    const bool raw = std::string_view(name) == "x.f32";
    Matrix back = read_matrix(folder_.path() / name, {.columns = raw ? 3 : 0});
    EXPECT_EQ(back.rows, 2) << name;
    EXPECT_EQ(back.columns, 3) << name;
    EXPECT_EQ(back.data, m.data) << name;
  }
}

TEST_F(MatrixFile, OnlyRawFilesTakeColumnsAndOnlySafetensorsNames) {
  write_matrix(folder_.path() / "x.npy", {1, 2, {1, 2}});
  EXPECT_THROW(read_matrix(folder_.path() / "x.npy", {.columns = 2}), ConfigError);
  EXPECT_THROW(read_matrix(folder_.path() / "x.npy", {.tensor = "x"}), ConfigError);
  EXPECT_THROW(read_matrix(file("x.f32", six_bytes()), {.columns = -1}), ConfigError);
}

TEST_F(MatrixFile, RawRowsMustBeWhole) {
  EXPECT_THROW(read_matrix(file("x.f32", six_bytes() + "z")), ConfigError);
  EXPECT_THROW(read_matrix(file("x.f32", six_bytes()), {.columns = 4}), ConfigError);
  EXPECT_THROW(read_matrix(file("x.f32", "")), ConfigError);
  EXPECT_THROW(read_matrix(file("x.txt", six_bytes())), ConfigError);
  EXPECT_EQ(read_matrix(file("x.f32", six_bytes())).columns, 6);
}

TEST_F(MatrixFile, CodesOfEveryWidthReadBack) {
  for (int width : {1, 2, 4})
    for (const char* name : {"c.npy", "c.safetensors", "c.bin"}) {
      CodeMatrix codes{2, 2, width, std::vector<std::uint8_t>(static_cast<std::size_t>(4 * width))};
      for (std::size_t i = 0; i < codes.bytes.size(); ++i)
        codes.bytes[i] = static_cast<std::uint8_t>(3 * i + 1);
      write_codes(folder_.path() / name, codes);
      CodeMatrix back = read_codes(folder_.path() / name, {.columns = 2}, width);
      EXPECT_EQ(back.bytes, codes.bytes) << name << width;
      EXPECT_EQ(back.code_bytes, width);
      EXPECT_EQ(back.rows, 2);
    }
}

}  // namespace
}  // namespace blockdot::sim
