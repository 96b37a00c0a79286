// What a machine did with a product, or with several: cycles and where they went, bytes by level,
// and the roofline.
//
// The roofline has a wall for each thing that can be busy all the time, in GMAC/s:
//
//   compute     rows * cols * lanes / clock
//   memory      macs / (DRAM bytes / bandwidth); intensity (macs per DRAM byte) * bandwidth
//   quantiser   macs / (bytes of a and b / rate of the quantiser + bytes of c / bandwidth), where
//               the quantiser at the edge narrows the channel
//   banks       macs / (cycles in which the busiest SRAM reads or writes * clock), where its banks
//               are too few for the array
//
// The bound is the least of them; no run is above it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/array/array.h"
#include "sim/machine/cycles.h"
#include "sim/machine/schedule.h"

namespace blockdot::sim {

/// A machine and the array that it has.
struct MachineDesign {
  Machine machine;
  rtl_gen::ArrayTiming timing;
  int sum_width = 0;                    // ws: bits of a partial sum
  int lanes = 1;                        // of a unit
  double clock_ns = 1;                  // of the units
  std::optional<rtl_gen::Array> array;  // for the RTL engine

  double peak() const;  // GMAC/s
};

/// Generates the array's units for their latencies and clock, and with `rtl` the array itself.
/// ConfigError as generate_array, and with `rtl` where it is too large to build.
MachineDesign design_machine(const Machine& machine, const formats::DotSpec& spec,
                             const rtl_gen::Arch& arch, bool rtl);

enum class Wall { kCompute, kMemory, kQuantizer, kBanks };
inline constexpr Wall kWalls[] = {Wall::kCompute, Wall::kMemory, Wall::kQuantizer, Wall::kBanks};
std::string_view to_text(Wall wall);  // `compute`, `memory`, `quantiser`, `banks`

/// A number of a report by its name in JSON.
struct NamedCount {
  const char* name;
  std::int64_t value;
};

struct MachineReport {
  std::int64_t products = 1;
  std::int64_t macs = 0;
  CycleCount count;
  MachineTraffic traffic;
  std::int64_t chunk = 0, chunks = 0;  // of the one product: beats of a step, steps of a tile
  bool a_stays = false, b_stays = false;

  double clock_ns = 1;
  double peak = 0;               // GMAC/s
  double bandwidth = 0;          // GB/s; 0: unlimited
  double quantizer = 0;          // GB/s of operands; 0: at the edge nothing narrows the channel
  std::int64_t bank_cycles = 0;  // Schedule::bank_cycles

  /// Another product on the same machine.
  MachineReport& operator+=(const MachineReport& other);

  double gmac_per_s() const;
  double utilisation() const { return gmac_per_s() / peak; }
  double intensity() const;                    // multiply-accumulates per byte
  double at(Wall wall) const;                  // GMAC/s; infinite without such a wall
  Wall wall() const;                           // the lowest; of equals the first
  double bound() const { return at(wall()); }  // GMAC/s

  /// Cycles by what they went to: compute and the causes of stalls, in the order of CycleCount.
  std::vector<NamedCount> cycles_by_cause() const;
  std::vector<NamedCount> bytes_by_level() const;
};

MachineReport machine_report(const MachineDesign& design, const Schedule& schedule,
                             const CycleCount& count);

nlohmann::ordered_json to_json(const MachineReport& report);
MachineReport machine_report_from_json(const nlohmann::json& json);

/// A timeline in the trace event format that Perfetto and chrome://tracing read: tracks for the
/// channel, the array's input and its output; a cycle is a microsecond. ConfigError where the
/// schedule has more than two million events.
std::string timeline_json(const Schedule& schedule, const std::string& name);

}  // namespace blockdot::sim
