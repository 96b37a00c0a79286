// What an operation costs: delay and area by technology. Estimates, not promises: the constants are
// fitted by hand to netlists of Yosys + ABC + OpenSTA (scripts/measure_unit.sh), and every figure
// derived from them says "estimated".
#pragma once

#include <string_view>
#include <vector>

#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

enum class Technology { kGeneric, kOsu018, kXilinx };

/// "generic", "osu018", "xilinx".
std::string_view to_text(Technology technology);
/// ConfigError names the three.
Technology parse_technology(std::string_view text);

/// Area is in NAND2 equivalents (generic), library area units (osu018: NAND2X1 = 24, DFFPOSX1 = 96)
/// or LUTs (xilinx, UltraScale+ without wide muxes or DSP blocks).
class CostModel {
 public:
  explicit CostModel(Technology technology);

  Technology technology() const { return technology_; }
  /// Delay of a lowered operation, ns. Wiring (slice, concat, sext) is free.
  double delay_ns(const Graph& graph, NodeId id) const;
  double area(const Graph& graph, NodeId id) const;
  /// Of a whole lowered graph without its registers: the sum over what is live, or LUTs as mapped.
  double area(const Graph& lowered) const;
  std::string_view area_unit() const;
  double register_area() const;         // of one bit
  double register_overhead_ns() const;  // clock to output plus setup
  double default_clock_ns() const;
  /// A full adder cell: from its inputs to its sum and to its carry.
  double full_add_sum_ns() const;
  double full_add_carry_ns() const;

 private:
  struct Constants {
    double gate_ns, xor_ns, mux_ns;
    double gate_area, xor_area, mux_area, add_area, register_area;  // of one bit
    double register_overhead_ns, default_clock_ns;
  };
  static Constants constants_of(Technology technology);
  double adder_ns(int width) const;

  Technology technology_;
  Constants k_;
};

/// When every node of a graph is there, ns from the inputs and states of its beat, were it all one
/// stage. Follows a graph that is still being built.
class ArrivalTimes {
 public:
  ArrivalTimes(const Graph& graph, const CostModel& cost) : graph_(graph), cost_(cost) {}
  double of(NodeId id);
  /// The latest of all.
  double latest();

 private:
  void extend(std::size_t size);

  const Graph& graph_;
  CostModel cost_;
  std::vector<double> times_;
};

/// A node that only pads its one argument that is not constant, or extends its sign: wires.
bool is_padding(const Graph& graph, NodeId id);
/// The node whose bits a padding node carries; the node itself when it does not pad.
NodeId unpadded(const Graph& graph, NodeId id);

}  // namespace blockdot::rtl_gen
