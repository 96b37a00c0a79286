// The closed form: when every transfer, step and row of a schedule happens, by recurrences over
// transfers, steps and rows (docs/machine.md). Equal to the SystemC machine in every cycle and in
// every count below.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/machine/schedule.h"

namespace blockdot::sim {

/// Cycles by what the array's input did: it took a beat of the reduction (os) or a row of a pass
/// (ws), or it did not, for the first of these causes that held:
///
///   fill           the first cycle (the array is told its first tile); ws: weights on their way
///                  into the array, and partial sums on their way back to its top
///   load           the operands are not in SRAM yet
///   bank           they are being read from SRAM through too few banks
///   store          the array cannot take more until a result leaves, which waits for a half of C
///   back_pressure  the array cannot take more until a result leaves
///   drain          no operands are left; the last results leave the array
///
/// Cycles after the last result are stores.
struct CycleCount {
  std::int64_t cycles = 0;  // from the first cycle of the first load to the last byte in DRAM
  std::int64_t compute = 0;
  std::int64_t fill = 0, load = 0, bank = 0, store = 0, back_pressure = 0, drain = 0;

  std::int64_t stalls() const { return fill + load + bank + store + back_pressure + drain; }
  bool operator==(const CycleCount&) const = default;
};

/// For a timeline: cycles at which things begin and end, both counted.
struct MachineTimes {
  struct Span {
    std::int64_t begin = 0, end = 0;
  };
  std::vector<Span> transfers;  // on the channel
  std::vector<Span> steps;      // first beat (row) taken, last one taken
  std::vector<Span> tiles;      // first row of results leaves the array, last one does
};

/// `times`: filled where it is given.
CycleCount machine_cycles(const Schedule& schedule, MachineTimes* times = nullptr);

}  // namespace blockdot::sim
