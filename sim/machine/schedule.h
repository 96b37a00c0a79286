// Schedule: what a machine does for one product, as data. The tiles in order, their steps along K,
// and the list of transfers that the DMA works off one after the other. The closed form
// (cycles.h), the SystemC machine and the RTL array under it all follow this list.
//
//   tile   `height` rows of a (os: R, ws: depth) times C columns; column tiles vary fastest
//   step   `chunk` beats of a tile: what a half of the A and the B SRAM holds
//
// A's rows of a stripe (all tiles of the same rows) stay in A SRAM where a half holds them for the
// whole reduction; B stays in B SRAM where the whole of it fits. Else every step loads its part
// again. Chunks are powers of two times the least one, so a larger SRAM only ever joins chunks and
// the bytes from DRAM never rise.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/dot_spec.h"
#include "rtl_gen/array/array.h"
#include "sim/machine/machine.h"

namespace blockdot::sim {

struct MachineTile {
  std::int64_t row = 0, rows = 0;  // of the product
  std::int64_t col = 0, cols = 0;
};

struct Transfer {
  enum class Kind { kA, kB, kC };
  Kind kind = Kind::kA;
  std::int64_t step = 0;           // kC: the tile
  std::int64_t row = 0, rows = 0;  // of a, of b or (kC) of the tile
  std::int64_t beat = 0, beats = 0;
  std::int64_t bytes = 0;    // on the channel, in whole bursts
  std::int64_t cycles = 0;   // that it holds the channel
  std::int64_t latency = 0;  // from its last cycle there until the data are in place
  /// It may start after so many steps are used up (kA, kB) or tiles complete (kC).
  std::int64_t after = 0;
};

struct MachineTraffic {
  std::int64_t a = 0, b = 0, c = 0;  // DRAM bytes, with bursts
  std::int64_t scale_bits = 0;       // of block scales among them
  struct Sram {                      // bytes
    std::int64_t read = 0, written = 0;
  };
  Sram sram_a, sram_b, sram_c;  // A, B: loads to the array; C: results to stores
  std::int64_t spilled = 0;     // ws: bytes of partial sums written and read again
  std::int64_t dram() const { return a + b + c; }
  std::int64_t sram_read() const { return sram_a.read + sram_b.read + sram_c.read; }
  std::int64_t sram_written() const { return sram_a.written + sram_b.written + sram_c.written; }
};

struct Schedule {
  Machine machine;
  rtl_gen::ArrayTiming timing;
  formats::DotSpec spec;
  std::int64_t m = 0, n = 0, k = 0;
  std::vector<formats::BeatRange> ranges;  // the beats of the reduction
  std::int64_t height = 1;                 // rows of a whole tile
  std::int64_t down = 1, across = 1;       // tiles
  std::int64_t chunk = 1, chunks = 1;      // beats of a whole step, steps of a tile
  bool a_stays = false, b_stays = false;
  std::int64_t sum_bytes = 0;  // ws: of a partial sum
  std::vector<Transfer> transfers;
  MachineTraffic traffic;

  bool os() const { return timing.dataflow == rtl_gen::Dataflow::kOutputStationary; }
  std::int64_t beats() const { return static_cast<std::int64_t>(ranges.size()); }
  std::int64_t tiles() const { return down * across; }
  std::int64_t steps() const { return tiles() * chunks; }
  MachineTile tile(std::int64_t t) const;
  /// Beats of a step: [first, first + count).
  std::int64_t first_beat(std::int64_t step) const { return step % chunks * chunk; }
  std::int64_t beat_count(std::int64_t step) const;
  /// Loads of A (B) that must be in place before a step can start.
  std::int64_t a_loads(std::int64_t step) const;
  std::int64_t b_loads(std::int64_t step) const;
  /// Cycles to read `words` from A or B, to write a row of `cols` results into C.
  std::int64_t a_cycles(std::int64_t words) const;
  std::int64_t b_cycles(std::int64_t words) const;
  std::int64_t c_cycles(std::int64_t cols) const;
  /// Cycles in which the busiest of the SRAMs reads or writes, whatever else happens; 0 where no
  /// SRAM has too few banks for the array.
  std::int64_t bank_cycles() const;
};

/// Bits of one unit's operands of one beat, as the array's ports have them; but a scale of the
/// whole tensor is in a register of its own.
int word_bits(const formats::BlockFormat& format, int lanes);

/// `timing`: of the array that the machine has (array_timing); `sum_width`: bits of a partial sum
/// (ws). ConfigError where a tile does not fit its buffers, k-tile does not suit, or the operands
/// cannot be quantised at the edge.
Schedule make_schedule(const Machine& machine, const rtl_gen::ArrayTiming& timing, int sum_width,
                       const formats::DotSpec& spec, std::int64_t m, std::int64_t n,
                       std::int64_t k);

}  // namespace blockdot::sim
