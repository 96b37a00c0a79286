// What an energy count needs of a Liberty file: pins, capacitances, functions, internal energy.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace blockdot::sim {

/// Energy of a transition (pJ) or its slew (ns) over the driven load (pF) and the input's slew
/// (ns). Between the points bilinear, beyond them the edge's value.
struct LibertyTable {
  std::vector<double> load;  // empty: does not depend on it
  std::vector<double> slew;
  std::vector<double> values;  // [load][slew]

  double at(double load_pf, double slew_ns) const;
};

/// What a pin's transition takes inside a cell (without a related pin: an input that moves alone),
/// or how steep an output's is.
struct LibertyArc {
  std::string related_pin;
  LibertyTable rise, fall;

  double mean(double load_pf, double slew_ns) const {
    return (rise.at(load_pf, slew_ns) + fall.at(load_pf, slew_ns)) / 2;
  }
};

struct LibertyPin {
  std::string name;
  bool is_input = true;
  double capacitance = 0;               // pF
  std::string function;                 // of an output, in Liberty's notation
  std::vector<LibertyArc> power;        // internal energy
  std::vector<LibertyArc> transitions;  // of an output: its slew
};

struct LibertyCell {
  std::string name;
  double area = 0;
  double leakage = 0;  // nW
  std::vector<LibertyPin> pins;
  // A flip-flop: its state's name and what it takes at the clock's edge.
  std::string state, next_state, clocked_on;

  bool is_register() const { return !state.empty(); }
};

struct Liberty {
  std::string name;
  double voltage = 0;  // V
  std::map<std::string, LibertyCell, std::less<>> cells;
};

/// ConfigError "FILE:LINE: ..." where the text is no Liberty, and where its units are not ns, pF
/// and nW.
Liberty parse_liberty(std::string_view text, const std::string& file_name);

/// A function of Liberty as Verilog, each pin replaced by what `names` holds for it. ConfigError
/// for a pin that it does not hold.
std::string verilog_function(std::string_view function,
                             const std::map<std::string, std::string, std::less<>>& names);

}  // namespace blockdot::sim
