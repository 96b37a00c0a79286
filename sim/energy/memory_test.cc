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

Schedule schedule_of(const std::string& text, std::int64_t m, std::int64_t n, std::int64_t k) {
  const Machine machine =
      parse_machine(text + " a-sram=8192 b-sram=32768 c-sram=1048576 burst=1 operands=packed");
  rtl_gen::ArrayTiming timing;
  timing.dataflow = machine.dataflow;
  timing.rows = machine.rows;
  timing.cols = machine.cols;
  timing.banks = machine.banks;
  timing.depth = machine.depth;
  timing.unit = timing.term = timing.step = timing.finish = 1;
  return make_schedule(machine, timing, 32,
                       formats::parse_dot_spec("a=e4m3 lanes=4 accumulator=fp32"), m, n, k);
}

// By hand: words of 4 bytes; A at 10 pJ for 8 bytes, B at 20, C at 100.
TEST(MemoryEnergy, PricesEveryByteOfAnOutputStationaryTile) {
  // Three tiles of 2 x 1 results, one beat: A's 2 words are written once and read by each of them;
  // B's 3 words once each; 6 results of 4 bytes into C and out.
  const MemoryEnergy energy = memory_energy(schedule_of("rows=2 cols=1", 2, 3, 4));
  EXPECT_NEAR(energy.sram, (8 + 24) / 8. * 10 + (12 + 12) / 8. * 20 + (24 + 24) / 8. * 100, 1e-9);
  EXPECT_NEAR(energy.dram, (8 + 12 + 24) / 8. * 1950, 1e-9);
}

TEST(MemoryEnergy, PricesThePartialSumsOfAWeightStationaryTile) {
  // One tile of 2 x 2, three passes of a beat: A and B are 6 words each, in and out once. After two
  // passes 4 sums of 4 bytes are written and read, in a column's buffer of 2048 x 4 bytes.
  const MemoryEnergy energy =
      memory_energy(schedule_of("rows=1 cols=2 dataflow=ws depth=2048", 2, 2, 12));
  EXPECT_NEAR(
      energy.sram,
      (24 + 24) / 8. * 10 + (24 + 24) / 8. * 20 + (16 + 16) / 8. * 100 + 2 * (16 + 16) / 8. * 10,
      1e-9);
  EXPECT_NEAR(energy.dram, (24 + 24 + 16) / 8. * 1950, 1e-9);
}

}  // namespace
}  // namespace blockdot::sim
