// The table of the source, ISSCC 2014, figure 1.1.9, read back in pJ for 64 bits.
#include "sim/energy/memory.h"

#include <gtest/gtest.h>

namespace blockdot::sim {
namespace {

TEST(MemoryEnergy, TheTablesSizesCostWhatItSays) {
  EXPECT_NEAR(8 * sram_pj_per_byte(8 << 10), 10, 1e-9);
  EXPECT_NEAR(8 * sram_pj_per_byte(32 << 10), 20, 1e-9);
  EXPECT_NEAR(8 * sram_pj_per_byte(1 << 20), 100, 1e-9);
  EXPECT_GE(8 * dram_pj_per_byte(), 1300);
  EXPECT_LE(8 * dram_pj_per_byte(), 2600);
}

TEST(MemoryEnergy, LargerMemoriesCostMoreAByte) {
  double before = 0;
  for (std::int64_t bytes = 1; bytes <= std::int64_t{1} << 30; bytes *= 2) {
    EXPECT_GT(sram_pj_per_byte(bytes), before) << bytes;
    before = sram_pj_per_byte(bytes);
  }
}

}  // namespace
}  // namespace blockdot::sim
