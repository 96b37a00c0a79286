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

TEST(MemoryEnergy, EveryByteOfTheTrafficIsPaid) {
  Machine machine;
  machine.a_sram = 8 << 10;
  machine.b_sram = 32 << 10;
  machine.c_sram = 1 << 20;
  MachineTraffic traffic;
  traffic.a = 8;
  traffic.b = 16;
  traffic.c = 24;
  traffic.sram_read = 80;
  traffic.sram_write = 240;
  MemoryEnergy energy = memory_energy(machine, traffic);
  EXPECT_NEAR(energy.dram, 6 * 1950, 1e-9);
  EXPECT_NEAR(energy.sram, 10 * 15 + 30 * (10 + 20 + 100) / 3.0, 1e-9);
}

}  // namespace
}  // namespace blockdot::sim
