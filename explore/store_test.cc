// The result store: what was kept is found, and nothing else.
#include "explore/store.h"

#include <gtest/gtest.h>

#include <thread>

#include "formats/file_io.h"
#include "formats/temporary_folder.h"

namespace blockdot::explore {
namespace {

TEST(ResultStore, FindsWhatWasKept) {
  TemporaryFolder folder;
  ResultStore store(folder.path());
  std::string key = result_key({"a", "b"});
  EXPECT_FALSE(store.find(key));
  store.keep(key, "one\ntwo");
  EXPECT_EQ(store.find(key), "one\ntwo");
  EXPECT_EQ(ResultStore(folder.path()).find(key), "one\ntwo");
  EXPECT_FALSE(store.find(result_key({"a", "c"})));
}

TEST(ResultStore, DamagedEntriesAreNotFound) {
  TemporaryFolder folder;
  ResultStore store(folder.path());
  std::string key = result_key({"x"});
  store.keep(key, "some value");
  std::string entry = read_file(store.path_of(key));
  std::size_t damaged = 0;
  for (std::size_t i = 0; i < entry.size(); ++i) {
    std::string changed = entry;
    changed[i] ^= 1;
    write_file_atomic(store.path_of(key), changed);
    ASSERT_FALSE(store.find(key)) << "byte " << i;
    write_file_atomic(store.path_of(key), entry.substr(0, i));
    ASSERT_FALSE(store.find(key)) << "cut at " << i;
    ++damaged;
  }
  EXPECT_GT(damaged, 100u);
  // Another key's entry under our name.
  std::string other = result_key({"y"});
  store.keep(other, "some value");
  write_file_atomic(store.path_of(key), read_file(store.path_of(other)));
  EXPECT_FALSE(store.find(key));
  store.keep(key, "again");
  EXPECT_EQ(store.find(key), "again");
}

TEST(ResultStore, AFolderThatCannotBeWrittenKeepsNothingAndDoesNotThrow) {
  TemporaryFolder folder;
  write_file_atomic(folder.path() / "file", "not a folder");
  ResultStore store(folder.path() / "file");
  store.keep(result_key({"x"}), "value");
  EXPECT_FALSE(store.find(result_key({"x"})));
  ResultStore none({});
  none.keep(result_key({"x"}), "value");
  EXPECT_FALSE(none.find(result_key({"x"})));
}

TEST(ResultStore, TwoWritersOfOneKeyLeaveOneWholeEntry) {
  TemporaryFolder folder;
  ResultStore store(folder.path());
  std::string key = result_key({"shared"}), value(100000, 'v');
  auto write = [&] {
    for (int i = 0; i < 50; ++i) store.keep(key, value);
  };
  std::thread first(write), second(write);
  for (int i = 0; i < 200; ++i) {
    auto found = store.find(key);
    if (found) {
      ASSERT_EQ(*found, value);
    }
  }
  first.join();
  second.join();
  EXPECT_EQ(store.find(key), value);
}

TEST(ResultKey, DependsOnEveryPartAndOnTheirBorders) {
  EXPECT_EQ(result_key({"a", "b"}), result_key({"a", "b"}));
  EXPECT_NE(result_key({"a", "b"}), result_key({"ab", ""}));
  EXPECT_NE(result_key({"a", "b"}), result_key({"b", "a"}));
  EXPECT_EQ(result_key({"a"}).size(), 64u);
}

}  // namespace
}  // namespace blockdot::explore
