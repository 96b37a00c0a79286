// The machine, cycle by cycle, in SystemC: clocked modules that hand each other words over
// valid/ready.
//
//                 +--------+   +---------------+ in (os) / w, a (ws)  +-------+ rows  +---------+
//   DRAM image <->|  Dma   |-->| A, B: Feeders |--------------------->| Array |------>| Results
//   |--+
//                 |channel |   +---------------+                      +-------+       |    C    | |
//                 +--------+                     start: Sequencer --------^           +---------+ |
//                     ^------------------------------------------------------------------------------+
//
// Operands really move: the DMA copies codes and scales from DRAM into SRAM (through the quantiser
// where they arrive as reals), a feeder from there into a beat's registers, and the array computes
// each tile from the words that it was handed. What the closed form (sim/machine/cycles.h) says of
// cycles and causes must be what happens here.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/quantize.h"
#include "sim/cosim/wave.h"
#include "sim/machine/borders.h"
#include "sim/machine/cycles.h"
#include "sim/machine/schedule.h"

namespace blockdot::sim {

/// What DRAM holds: packed operands, or reals for the quantiser at the edge.
struct MachineOperands {
  const formats::QuantizedMatrix* a = nullptr;  // packed
  const formats::QuantizedMatrix* b = nullptr;
  formats::MatrixView a_reals, b_reals;  // else
  formats::QuantizeOptions a_options = {}, b_options = {};
};

struct MachineOptions {
  /// Share of cycles, in [0, 1), in which a channel begins no offer, takes nothing or moves no
  /// data.
  double stalls = 0;
  std::uint64_t seed = 1;
  ArrayWatcher* watcher = nullptr;
  /// Handshakes, counters and causes of the window's cycles as VCD, at 1 ns a cycle; no file where
  /// the run ends before it.
  const Wave* wave = nullptr;
};

struct MachineRun {
  std::vector<std::uint32_t> codes;  // [m][n], as they came back to DRAM
  CycleCount count;                  // with stalls, those cycles are counted as back-pressure
  std::int64_t beats = 0;            // os: beats, ws: rows of passes that the array took
  std::int64_t stalled = 0;          // random stalls
};

/// ConfigError for a stochastic quantiser, which cannot stand at the edge.
void check_edge(const formats::QuantizeOptions& options);

/// ConfigError for options out of range and by check_edge. Not to be called from two threads at
/// once: SystemC has one simulation at a time in a process.
MachineRun run_machine(const Schedule& schedule, const MachineOperands& operands,
                       const MachineOptions& options = {});

}  // namespace blockdot::sim
