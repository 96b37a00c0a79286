#include "sim/energy/gates.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "formats/error.h"

namespace blockdot::sim {

int Gates::Instance::net_of(std::string_view pin) const {
  for (std::size_t i = 0; i < nets.size(); ++i)
    if (cell->pins[i].name == pin) return nets[i];
  return kOpen;
}

namespace {

constexpr std::string_view kClockPort = "clk_i";

std::string net(int number) {
  if (number == Gates::kZero) return "1'b0";
  if (number == Gates::kOne) return "1'b1";
  return fmt::format("n{}", number);
}

}  // namespace

Gates read_gates(std::string_view text, const std::string& top, const Liberty& liberty) {
  nlohmann::json json = nlohmann::json::parse(text);
  const nlohmann::json& module = json.at("modules").at(top);
  Gates gates;
  gates.top = top;
  std::map<int, int> numbers;  // Yosys' number -> ours
  auto number = [&](const nlohmann::json& bit) {
    if (bit.is_string()) return bit == "1" ? Gates::kOne : Gates::kZero;
    auto [at, fresh] = numbers.try_emplace(bit.get<int>(), static_cast<int>(gates.nets.size()));
    if (fresh) gates.nets.emplace_back();
    return at->second;
  };
  for (const auto& [name, port] : module.at("ports").items()) {
    Gates::Port found{name, port.at("direction") == "input", {}};
    for (const nlohmann::json& bit : port.at("bits")) found.nets.push_back(number(bit));
    gates.ports.push_back(std::move(found));
  }
  for (const auto& [name, cell] : module.at("cells").items()) {
    auto known = liberty.cells.find(cell.at("type").get<std::string>());
    if (known == liberty.cells.end())
      throw ConfigError("netlist of {}: cell {} is a {}, which {} does not have", top, name,
                        cell.at("type").get<std::string>(), liberty.name);
    Gates::Instance instance{name, &known->second, {}};
    for (const LibertyPin& pin : known->second.pins) {
      auto bits = cell.at("connections").find(pin.name);
      bool connected = bits != cell.at("connections").end() && !bits->empty();
      instance.nets.push_back(connected ? number((*bits)[0]) : Gates::kOpen);
    }
    gates.instances.push_back(std::move(instance));
  }
  // The designer's names first; nets that only the mapper knows keep a number.
  for (const auto& [name, wire] : module.at("netnames").items()) {
    const nlohmann::json& bits = wire.at("bits");
    for (std::size_t i = 0; i < bits.size(); ++i) {
      if (bits[i].is_string()) continue;
      auto found = numbers.find(bits[i].get<int>());
      if (found == numbers.end()) continue;
      std::string& own = gates.nets[static_cast<std::size_t>(found->second)];
      if (own.empty()) own = bits.size() == 1 ? name : fmt::format("{}[{}]", name, i);
    }
  }
  for (std::size_t i = 0; i < gates.nets.size(); ++i)
    if (gates.nets[i].empty()) gates.nets[i] = fmt::format("n{}", i);
  return gates;
}

std::string net_word(std::size_t word) { return fmt::format("nets{}_o", word); }

ModelSource watched(const Gates& gates) {
  ModelSource source;
  source.quick = true;  // g++ would optimise the gates of a large unit for minutes
  source.top = gates.top + "_gates";
  std::string heads, logic, registers, ports;
  for (const Gates::Port& port : gates.ports) {
    int width = static_cast<int>(port.nets.size());
    source.ports.push_back({port.name, port.is_input, width});
    heads += fmt::format("  {} wire [{}:0] {},\n", port.is_input ? "input" : "output", width - 1,
                         port.name);
    for (int i = 0; i < width; ++i) {
      std::string bit = fmt::format("{}[{}]", port.name, i);
      std::string on = net(port.nets[static_cast<std::size_t>(i)]);
      ports += port.is_input ? fmt::format("  assign {} = {};\n", on, bit)
                             : fmt::format("  assign {} = {};\n", bit, on);
    }
  }
  std::string clock;
  for (const Gates::Port& port : gates.ports)
    if (port.name == kClockPort) clock = net(port.nets[0]);
  std::size_t count = gates.nets.size();
  for (const Gates::Instance& instance : gates.instances) {
    std::map<std::string, std::string, std::less<>> names;
    for (std::size_t i = 0; i < instance.nets.size(); ++i)
      if (instance.cell->pins[i].is_input)
        names[instance.cell->pins[i].name] =
            instance.nets[i] == Gates::kOpen ? "1'b0" : net(instance.nets[i]);
    for (std::size_t i = 0; i < instance.nets.size(); ++i) {
      const LibertyPin& pin = instance.cell->pins[i];
      if (pin.is_input || instance.nets[i] < 0) continue;
      if (!instance.cell->is_register()) {
        logic += fmt::format("  assign {} = {};\n", net(instance.nets[i]),
                             verilog_function(pin.function, names));
      } else {
        if (names[instance.cell->clocked_on] != clock)
          throw ConfigError("netlist of {}: {} is clocked by {}, not by the rising edge of {}",
                            gates.top, instance.name, instance.cell->clocked_on, kClockPort);
        std::string state = verilog_function(instance.cell->next_state, names);
        registers += fmt::format(
            "  reg r{0};\n  always @(posedge {1}) r{0} <= {2};\n  assign n{0} = r{0};\n",
            instance.nets[i], kClockPort, state);
      }
    }
  }
  // Scalars, joined to words: Verilator joins a wide port net by net, through copies of all that is
  // joined so far, whose room on the stack grows with the square of the nets.
  std::string wires, joined;
  for (std::size_t low = 0, word = 0; low < count; low += kNetsOfWord, ++word) {
    std::size_t high = std::min(count, low + kNetsOfWord);
    std::string names;
    for (std::size_t i = high; i-- > low;)
      names += fmt::format("{}n{}", names.empty() ? "" : ", ", i);
    wires += fmt::format("  wire {};\n", names);
    source.ports.push_back({net_word(word), false, static_cast<int>(high - low)});
    heads += fmt::format("  output wire [{}:0] {}{}\n", high - low - 1, net_word(word),
                         high < count ? "," : "");
    joined += fmt::format("  assign {} = {{{}}};\n", net_word(word), names);
  }
  source.verilog = fmt::format("module {} (\n{});\n{}{}{}{}{}endmodule\n", source.top, heads, wires,
                               ports, logic, registers, joined);
  return source;
}

namespace {

// The slew of every net. Cells come in no order: as many rounds as it takes for the front to pass.
// A slew depends on the load before all else, so that few do.
std::vector<double> slews(const Gates& gates, const std::vector<double>& load, double of_inputs) {
  constexpr int kRounds = 8;
  std::vector<double> slew(gates.nets.size(), of_inputs);
  for (int round = 0; round < kRounds; ++round)
    for (const Gates::Instance& instance : gates.instances)
      for (std::size_t i = 0; i < instance.nets.size(); ++i) {
        const LibertyPin& pin = instance.cell->pins[i];
        if (instance.nets[i] < 0 || pin.transitions.empty()) continue;
        auto net = static_cast<std::size_t>(instance.nets[i]);
        double sum = 0;
        for (const LibertyArc& arc : pin.transitions) {
          int by = instance.net_of(arc.related_pin);
          sum += arc.mean(load[net], by < 0 ? of_inputs : slew[static_cast<std::size_t>(by)]);
        }
        slew[net] = sum / static_cast<double>(pin.transitions.size());
      }
  return slew;
}

}  // namespace

std::vector<NetEnergy> net_energies(const Gates& gates, const Liberty& liberty,
                                    const EnergyConditions& conditions) {
  std::vector<NetEnergy> energies(gates.nets.size());
  std::vector<double> load(gates.nets.size());
  auto on = [](int number) { return static_cast<std::size_t>(number); };
  for (const Gates::Port& port : gates.ports)
    for (int number : port.nets) {
      if (number < 0) continue;
      if (!port.is_input) load[on(number)] += conditions.output_load_pf;
      if (port.is_input)
        energies[on(number)].kind = port.name == kClockPort ? NetKind::kClock : NetKind::kInput;
    }
  for (const Gates::Instance& instance : gates.instances)
    for (std::size_t i = 0; i < instance.nets.size(); ++i)
      if (instance.cell->pins[i].is_input && instance.nets[i] >= 0)
        load[on(instance.nets[i])] += instance.cell->pins[i].capacitance;
  for (std::size_t i = 0; i < load.size(); ++i)
    energies[i].switching = load[i] * liberty.voltage * liberty.voltage / 2;
  std::vector<double> slew = slews(gates, load, conditions.slew_ns);
  for (const Gates::Instance& instance : gates.instances) {
    for (std::size_t i = 0; i < instance.nets.size(); ++i) {
      const LibertyPin& pin = instance.cell->pins[i];
      if (instance.nets[i] < 0) continue;
      NetEnergy& energy = energies[on(instance.nets[i])];
      if (!pin.is_input && instance.cell->is_register()) energy.kind = NetKind::kRegister;
      // Which input moved the output is not known: each of them is as likely.
      double sum = 0;
      for (const LibertyArc& arc : pin.power) {
        int by = arc.related_pin.empty() ? instance.nets[i] : instance.net_of(arc.related_pin);
        sum += arc.mean(load[on(instance.nets[i])], by < 0 ? conditions.slew_ns : slew[on(by)]);
      }
      if (!pin.power.empty())
        (pin.is_input ? energy.sinks : energy.internal) +=
            sum / static_cast<double>(pin.power.size());
    }
  }
  return energies;
}

double leakage(const Gates& gates) {
  double sum = 0;
  for (const Gates::Instance& instance : gates.instances) sum += instance.cell->leakage;
  return sum;
}

}  // namespace blockdot::sim
