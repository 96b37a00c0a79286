// What a machine did with a product, or with several: cycles and where they went, bytes by level,
// and the roofline.
//
//   intensity   multiply-accumulates per DRAM byte
//   peak        rows * cols * lanes / clock               GMAC/s
//   memory      intensity * bandwidth / clock             GMAC/s
//   bound       the lesser of the two; the wall that was hit
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

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

struct MachineReport {
  std::int64_t products = 1;
  std::int64_t macs = 0;
  CycleCount count;
  MachineTraffic traffic;
  std::int64_t chunk = 0, chunks = 0;  // of the one product: beats of a step, steps of a tile
  bool a_stays = false, b_stays = false;

  double clock_ns = 1;
  double peak = 0;       // GMAC/s
  double bandwidth = 0;  // GB/s; 0: unlimited

  /// Another product on the same machine.
  MachineReport& operator+=(const MachineReport& other);

  double gmac_per_s() const;
  double utilisation() const { return gmac_per_s() / peak; }
  double intensity() const;  // multiply-accumulates per byte
  bool memory_bound() const { return bandwidth > 0 && intensity() * bandwidth < peak; }
  double bound() const { return memory_bound() ? intensity() * bandwidth : peak; }  // GMAC/s
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
