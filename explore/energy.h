// Energy of a unit from the data that it computes on: transitions of every net of the mapped
// netlist, counted in a compiled simulation of its gates on beats of a trace, times what each
// transition costs in the Liberty file. A proxy: no wires, no glitches within a cycle, one slew
// (docs/energy.md).
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "explore/design.h"
#include "explore/store.h"
#include "sim/energy/activity.h"
#include "sim/energy/memory.h"
#include "sim/trace/gemm_trace.h"

namespace blockdot::explore {

struct EnergyOptions {
  std::int64_t beats = 2048;  // counted of each stimulus; fewer where a product has fewer
  sim::EnergyConditions conditions = {};
  std::filesystem::path cache = {};  // of compiled netlists; empty: the default
  ResultStore store = ResultStore({});
  std::function<void(const std::string& what)> progress = {};
};

/// One stimulus: operands of zeros, of N(0, 1), or of a product of the trace, quantised alike.
struct StimulusEnergy {
  std::string name;           // "zeros", "gaussian", or the product's
  std::int64_t beats = 0;     // counted, a cycle each
  std::int64_t products = 0;  // element pairs of them, padding left out
  double toggle_rate = 0;     // transitions a net and cycle, the clock left out
  sim::Energy energy;         // pJ, of the counted cycles
  sim::Activity activity;
  std::int64_t macs = 0;  // of the whole product
  /// Of the whole product on the point's machine, where it has one; a trace's products only.
  std::optional<sim::MemoryEnergy> memory;

  double per_beat() const { return energy.total() / static_cast<double>(beats); }
  double per_product() const { return energy.total() / static_cast<double>(products); }  // pJ/MAC
};

struct EnergyReport {
  std::string point, top, library;
  std::int64_t cells = 0, registers = 0, nets = 0;
  double voltage = 0, clock_ns = 0, leakage_nw = 0;
  sim::EnergyConditions conditions;
  std::vector<StimulusEnergy> stimuli;          // zeros, gaussian, then the products in their order
  std::shared_ptr<const sim::Liberty> liberty;  // that the gates point into
  sim::Gates gates;
};

/// ConfigError where the point's unit is combinational, which has no cycle to count by.
void check_energy(const DesignPoint& point);

/// Maps the point's unit to the library, whatever its technology, and counts. The zeros and the
/// Gaussian operands have the first product's shape. Beats are taken from four places spread over
/// the product's results, whole results each. ConfigError by check_energy, where a tool is missing,
/// or a product does not suit the point's spec.
EnergyReport measure_energy(const DesignPoint& point, const std::vector<sim::GemmTrace>& products,
                            const EnergyOptions& options);

/// One document: conditions, provenance, and pJ by group for each stimulus.
nlohmann::ordered_json to_json(const EnergyReport& report);

}  // namespace blockdot::explore
