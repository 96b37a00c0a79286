// A mapped netlist, bit by bit: where its nets are, what a transition of each costs, and the
// netlist as a Verilog module whose every net can be watched.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/cosim/model.h"
#include "sim/energy/liberty.h"

namespace blockdot::sim {

/// The nets of a netlist, numbered; kZero and kOne stand for constants.
struct Gates {
  static constexpr int kZero = -1, kOne = -2, kOpen = -3;

  struct Instance {
    std::string name;
    const LibertyCell* cell = nullptr;
    std::vector<int> nets;  // in the order of the cell's pins

    int net_of(std::string_view pin) const;  // kOpen for a pin that the cell does not have
  };
  struct Port {
    std::string name;
    bool is_input = true;
    std::vector<int> nets;  // bit 0 first
  };

  std::string top;
  std::vector<std::string> nets;  // a name for each
  std::vector<Instance> instances;
  std::vector<Port> ports;
};

/// The module `top` of what Yosys' write_json printed, flat and mapped to `liberty`, which must
/// outlive the result. ConfigError where a cell is not in the library.
Gates read_gates(std::string_view json, const std::string& top, const Liberty& liberty);

/// The netlist for the model cache, with outputs `nets0_o`, `nets1_o`...: bit i of word w is net
/// 64 w + i.
ModelSource watched(const Gates& gates);
inline constexpr std::size_t kNetsOfWord = 64;
/// The name of that output.
std::string net_word(std::size_t word);

/// What moves the energy of a net.
enum class NetKind { kInput, kLogic, kRegister, kClock };

/// One net's share of the energy, pJ a transition (the mean of rising and falling).
struct NetEnergy {
  NetKind kind = NetKind::kLogic;
  double switching = 0;  // C V^2 / 2 of the pins on it
  double internal = 0;   // inside its driver
  double sinks = 0;      // inside the flip-flops whose input it is, whether the state moves or not
};

/// Under these: the slew of the input ports and the load of an output port. Slews of other nets
/// follow from the library.
struct EnergyConditions {
  double slew_ns = 0.18;
  double output_load_pf = 0.05;  // that of the synthesis flow
};

std::vector<NetEnergy> net_energies(const Gates& gates, const Liberty& liberty,
                                    const EnergyConditions& conditions = {});

/// nW
double leakage(const Gates& gates);

}  // namespace blockdot::sim
