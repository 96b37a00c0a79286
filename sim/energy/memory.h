// Energy of memories by a published table, since no memory of the library can be measured.
//
// Source: M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014,
// figure 1.1.9: 45 nm, 0.9 V, for 64 bits: SRAM of 8 KB 10 pJ, 32 KB 20 pJ, 1 MB 100 pJ; DRAM 1.3
// to 2.6 nJ. It is another process than that of the units (OSU 0.18 um at 1.8 V): the two are never
// added.
#pragma once

#include <cstdint>

#include "sim/machine/schedule.h"

namespace blockdot::sim {

/// pJ a byte of an SRAM of `capacity` bytes: between the table's sizes a power law, beyond them the
/// nearest one's continued. `capacity` >= 1.
double sram_pj_per_byte(std::int64_t capacity);

/// pJ a byte: the middle of the table's range.
double dram_pj_per_byte();

/// pJ of a product's transfers: each byte read from or written to A, B or C at that one's size, and
/// (ws) of partial sums at that of a column's buffer, `depth` of them.
struct MemoryEnergy {
  double sram = 0, dram = 0;
};
MemoryEnergy memory_energy(const Schedule& schedule);

}  // namespace blockdot::sim
