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
  /// Of a whole lowered graph without its registers: the sum over the bits that are
  /// live and no constants (cost/area.cc), or LUTs as mapped.
  double area(const Graph& lowered) const;
  std::string_view area_unit() const;
  double register_area() const;         // of one bit
  double register_overhead_ns() const;  // clock to output plus setup
  double default_clock_ns() const;
  /// A full adder: from its inputs to its sum and to its carry.
  double full_add_sum_ns() const { return k_.full_sum_ns; }
  double full_add_carry_ns() const { return k_.full_carry_ns; }
  /// A carry through `bits` bits of a `+`.
  double carry_ns(int bits) const;
  /// What a signal is late for `readers` readers.
  double fanout_ns(int readers) const;
  /// What it is late beside for `readers` full adders by name: a synthesiser sees their load as
  /// little as their delay, and puts no buffers before them.
  double cell_load_ns(int readers) const;

  struct Constants {
    double invert_ns, gate_ns, xor_ns, mux_ns, fanout_ns;
    double joined_ns;  // saved where a gate and its only reader become one cell
    double full_sum_ns, full_carry_ns;
    double add_ns, carry_ns;    // `+`: an operand to the carry chain, along it
    double increment, compare;  // of them: beside a constant; without the sum
    // A carry through the gates of an adder, a bit of the group it passes; less by `passing_ns`
    // than its and and or take.
    double passed_ns, passing_ns;
    double cell_load_ns;  // of each full adder by name beyond two that a bit drives
    double gate_area, xor_area, mux_area, add_area, register_area;  // of one bit
    double register_overhead_ns, default_clock_ns;
  };
  const Constants& constants() const { return k_; }

 private:
  static Constants constants_of(Technology technology);

  Technology technology_;
  Constants k_;
};

/// Levels of 3:2 counters for n rows.
double counter_levels(int rows);
/// Bits between constant padding.
int significant_width(const Graph& graph, NodeId id);

/// A node that only pads its one argument that is not constant, or extends its sign: wires.
bool is_padding(const Graph& graph, NodeId id);
/// The node whose bits a padding node carries; the node itself when it does not pad.
NodeId unpadded(const Graph& graph, NodeId id);

}  // namespace blockdot::rtl_gen
