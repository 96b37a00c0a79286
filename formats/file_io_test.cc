#include "formats/file_io.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "formats/error.h"

namespace blockdot {
namespace {

namespace fs = std::filesystem;

class FileIo : public ::testing::Test {
 protected:
  fs::path folder_ = fs::temp_directory_path() / ("blockdot_file_io_" + std::to_string(::getpid()));
  void TearDown() override { fs::remove_all(folder_); }
};

TEST_F(FileIo, ReadsBackWhatItWroteAndLeavesNoTemporary) {
  write_file_atomic(folder_ / "sub" / "x", std::string("a\0b", 3));
  EXPECT_EQ(read_file(folder_ / "sub" / "x"), std::string("a\0b", 3));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "sub"), fs::directory_iterator()), 1);
}

TEST_F(FileIo, RefusesAFolderThatIsAFileAndLeavesTheOldFileAlone) {
  write_file_atomic(folder_ / "x", "old");
  EXPECT_THROW(write_file_atomic(folder_ / "x" / "y", "new"), ConfigError);
  EXPECT_THROW(write_file_atomic(folder_, "new"), ConfigError);
  EXPECT_EQ(read_file(folder_ / "x"), "old");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
  EXPECT_THROW(read_file(folder_ / "none"), ConfigError);
  EXPECT_THROW(read_file(folder_), ConfigError);
}

TEST_F(FileIo, ChecksThatAFileCouldBeWrittenAndLeavesNone) {
  check_writable(folder_ / "new" / "later");
  EXPECT_FALSE(fs::exists(folder_));
  fs::create_directory(folder_);
  check_writable(folder_ / "later");
  check_writable(folder_ / "new" / "later");
  EXPECT_TRUE(fs::is_empty(folder_));
  write_file_atomic(folder_ / "x", "");
  EXPECT_THROW(check_writable(folder_ / "x" / "new" / "y"), ConfigError);
  fs::remove(folder_ / "x");
  EXPECT_THROW(check_writable(folder_), ConfigError);
  EXPECT_THROW(check_writable("/proc/nowhere/x"), ConfigError);
  EXPECT_THROW(check_writable(""), ConfigError);
}

TEST_F(FileIo, TwoWritersNeverMix) {
  std::string a(100'000, 'a'), b(100'000, 'b');
  write_file_atomic(folder_ / "x", a);
  std::thread other([&] {
    for (int i = 0; i < 50; ++i) write_file_atomic(folder_ / "x", b);
  });
  for (int i = 0; i < 50; ++i) {
    write_file_atomic(folder_ / "x", a);
    std::string seen = read_file(folder_ / "x");
    EXPECT_TRUE(seen == a || seen == b);
  }
  other.join();
}

}  // namespace
}  // namespace blockdot
