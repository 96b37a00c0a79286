// How often each net of a netlist moved, and how long it was one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sim/energy/gates.h"

namespace blockdot::sim {

/// Counts over a run of cycles, by net.
struct Activity {
  std::int64_t cycles = 0;
  std::vector<std::int64_t> toggles;  // between the ends of neighbouring cycles
  std::vector<std::int64_t> ones;     // cycles at whose end the net is 1
};

/// Runs the watched netlist, compiled as `model`, over `records` (whole input records, one a cycle)
/// after `warm_up` of them that are not counted (at least one).
class ActivityCounter {
 public:
  ActivityCounter(const Model& model, std::size_t nets);

  /// Runs `records` (a multiple of input_bytes); counts them where `counted`.
  void run(std::span<const std::uint64_t> records, bool counted);
  const Activity& activity() const { return activity_; }

 private:
  Model model_;
  Model::Instance instance_;
  std::vector<ModelField> nets_;  // by word
  std::vector<std::uint8_t> outputs_;
  std::vector<std::uint64_t> previous_;
  bool started_ = false;
  Activity activity_;
};

/// Energy of `activity`, pJ.
struct Energy {
  double inputs = 0;     // of the input nets' capacitance
  double logic = 0;      // combinational cells: nets and inside
  double registers = 0;  // flip-flops' outputs, and what moves inside them with their inputs
  double clock = 0;      // the clock net and the flip-flops' clock pins, every cycle
  double leakage = 0;    // over the time of the cycles

  double total() const { return inputs + logic + registers + clock + leakage; }
};
Energy energy_of(const Activity& activity, std::span<const NetEnergy> nets, double leakage_nw,
                 double clock_ns);

/// The counts in the Switching Activity Interchange Format (SAIF 2.0), durations in ps.
std::string to_saif(const Activity& activity, const Gates& gates, double clock_ns);

}  // namespace blockdot::sim
