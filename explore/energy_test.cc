// The energy of a unit's gates. Oracle of what a transition costs: OpenSTA's report_power on the
// same netlist. (It lets activities propagate over those that it is given, so its nets move alike
// here; how often ours move is tested on a counter, sim/energy/activity_test.cc.)
#include "explore/energy.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <sstream>

#include "explore/compare.h"
#include "explore/synth.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "sim/cosim/tool.h"

namespace blockdot::explore {
namespace {

DesignPoint small_point(const char* arch = "clock-ns = 20") {
  return parse_design_file(
             fmt::format("[[design]]\nname = \"small\"\na = \"e2m1@e8m0/32\"\nlanes = 4\n"
                         "accumulator = \"kulisch[20:-20]\"\n{}\n",
                         arch),
             "small.toml")
      .points[0];
}

sim::GemmTrace small_product(std::int64_t m, std::int64_t n, std::int64_t k) {
  std::mt19937_64 engine(7);
  std::lognormal_distribution<float> magnitude(0, 2);
  auto matrix = [&](std::int64_t rows, std::int64_t columns) {
    sim::Matrix result{rows, columns, std::vector<float>(static_cast<std::size_t>(rows * columns))};
    for (float& x : result.data) x = (engine() & 1) != 0 ? magnitude(engine) : -magnitude(engine);
    return result;
  };
  return sim::make_gemm("product", matrix(m, k), matrix(k, n));
}

const EnergyReport& report() {
  static const EnergyReport kept =
      measure_energy(small_point(), {small_product(8, 8, 64)}, EnergyOptions{.beats = 512});
  return kept;
}

// The netlist with our numbers as names, for the oracle.
std::string plain_verilog(const sim::Gates& gates) {
  auto net = [](int number) {
    return number == sim::Gates::kOne ? "1'b1" : number < 0 ? "1'b0" : fmt::format("n{}", number);
  };
  std::string ports, body;
  for (const sim::Gates::Port& port : gates.ports)
    for (std::size_t i = 0; i < port.nets.size(); ++i) {
      std::string name = port.nets.size() == 1 ? port.name : fmt::format("{}_{}", port.name, i);
      ports += fmt::format("{}{}", ports.empty() ? "" : ", ", name);
      body += fmt::format("  {} {};\n", port.is_input ? "input" : "output", name);
      if (port.nets[i] < 0) continue;
      body += port.is_input ? fmt::format("  assign n{} = {};\n", port.nets[i], name)
                            : fmt::format("  assign {} = n{};\n", name, port.nets[i]);
    }
  for (std::size_t i = 0; i < gates.nets.size(); ++i) body += fmt::format("  wire n{};\n", i);
  for (std::size_t i = 0; i < gates.instances.size(); ++i) {
    const sim::Gates::Instance& instance = gates.instances[i];
    std::string pins;
    for (std::size_t p = 0; p < instance.nets.size(); ++p)
      if (instance.nets[p] != sim::Gates::kOpen)
        pins += fmt::format("{}.{}({})", pins.empty() ? "" : ", ", instance.cell->pins[p].name,
                            net(instance.nets[p]));
    body += fmt::format("  {} i{} ({});\n", instance.cell->name, i, pins);
  }
  return fmt::format("module gates ({});\n{}endmodule\n", ports, body);
}

TEST(Energy, OpenStaFindsTheSamePowerWhereEveryNetMovesAlike) {
  const EnergyReport& r = report();
  std::string instances;
  for (std::size_t i = 0; i < r.gates.instances.size(); ++i) instances += fmt::format("i{} ", i);
  TemporaryFolder folder;
  write_file_atomic(folder.path() / "gates.v", plain_verilog(r.gates));
  // Every net moves once in two cycles, the clock twice in each.
  write_file_atomic(folder.path() / "power.tcl",
                    fmt::format("read_liberty {}\nread_verilog gates.v\nlink_design gates\n"
                                "create_clock -name c -period {} [get_ports clk_i]\n"
                                "set_input_delay 0 -clock c [all_inputs]\n"
                                "set_input_transition {} [all_inputs]\nset_load {} [all_outputs]\n"
                                "set_power_activity -global -activity 0.5 -duty 0.5\n"
                                "report_power -digits 8 -instances [get_cells {{{}}}]\nexit\n",
                                liberty_file().string(), r.clock_ns, r.conditions.slew_ns,
                                r.conditions.output_load_pf, instances));
  std::istringstream output(
      sim::require_tool({"sta", "-no_splash", "-exit", "power.tcl"}, folder.path()));
  struct Watts {
    double internal = 0, switching = 0, leakage = 0;
  };
  std::map<std::string, Watts> theirs, ours;  // by cell
  std::size_t seen = 0;
  for (std::string line; std::getline(output, line);) {
    std::istringstream words(line);
    Watts w;
    double total = 0;
    std::string name;
    if (!(words >> w.internal >> w.switching >> w.leakage >> total >> name)) continue;
    Watts& sum = theirs[r.gates.instances[std::stoul(name.substr(1))].cell->name];
    sum.internal += w.internal;
    sum.switching += w.switching;
    sum.leakage += w.leakage;
    ++seen;
  }
  ASSERT_EQ(seen, r.gates.instances.size());
  auto watts = [&](double pj_a_cycle) { return pj_a_cycle / r.clock_ns * 1e-3; };
  std::vector<sim::NetEnergy> nets = sim::net_energies(r.gates, *r.liberty, r.conditions);
  for (const sim::Gates::Instance& instance : r.gates.instances) {
    Watts& sum = ours[instance.cell->name];
    for (std::size_t p = 0; p < instance.nets.size(); ++p) {
      if (instance.cell->pins[p].is_input || instance.nets[p] < 0) continue;
      const sim::NetEnergy& net = nets[static_cast<std::size_t>(instance.nets[p])];
      sum.switching += watts(net.switching / 2);
      sum.internal += watts(net.internal / 2);
    }
    sum.leakage += watts(instance.cell->leakage * 1e-6 * r.clock_ns);
  }
  int inverters = 0;
  for (const auto& [name, w] : ours) {
    EXPECT_NEAR(w.switching / theirs[name].switching, 1, 0.01) << name;
    EXPECT_NEAR(w.leakage / theirs[name].leakage, 1, 0.01) << name;
    // The tool takes a rising and a falling transition's energy for each transition (later versions
    // take their mean), and weighs the inputs of a cell of several by how likely each can be seen:
    // comparable are the cells of one input, and those of two where the weights add to one.
    bool one = name.starts_with("INV") || name.starts_with("BUF");
    bool two = name.starts_with("NAND2") || name.starts_with("NOR2") || name.starts_with("AND2") ||
               name.starts_with("OR2");
    if (one || two) {
      EXPECT_NEAR(2 * w.internal / theirs[name].internal, 1, 0.05) << name;
    }
    inverters += one ? 1 : 0;
  }
  EXPECT_GT(inverters, 0);
}

TEST(Energy, DataCostsMoreThanZerosAndTheClockTheSame) {
  const EnergyReport& r = report();
  ASSERT_EQ(r.stimuli.size(), 3u);
  const StimulusEnergy& zeros = r.stimuli[0];
  EXPECT_EQ(zeros.name, "zeros");
  for (std::size_t i = 1; i < 3; ++i) {
    EXPECT_GT(r.stimuli[i].per_beat(), 1.5 * zeros.per_beat()) << r.stimuli[i].name;
    EXPECT_DOUBLE_EQ(r.stimuli[i].energy.clock, zeros.energy.clock) << r.stimuli[i].name;
  }
  EXPECT_NE(r.stimuli[1].energy.logic, r.stimuli[2].energy.logic);
  EXPECT_EQ(r.stimuli[2].beats, 512);
  EXPECT_EQ(r.stimuli[2].products, 512 * 4);
}

TEST(Energy, AProductOfFewBeatsIsCountedWhole) {
  EnergyReport one =
      measure_energy(small_point(), {small_product(1, 1, 3)}, EnergyOptions{.beats = 512});
  EXPECT_EQ(one.stimuli.back().beats, 1);
  EXPECT_EQ(one.stimuli.back().products, 3);
  EXPECT_GT(one.stimuli.back().energy.total(), 0);
}

// A comparison shows what `blockdot energy` measures, product by product, and keeps it.
TEST(Energy, OfAComparisonIsThatOfTheUnitAndOfTheMachinesBytes) {
  TemporaryFolder folder;
  sim::TraceWriter writer(folder.path() / "trace");
  std::vector<sim::GemmTrace> products = {small_product(8, 8, 64), small_product(3, 5, 32)};
  for (std::size_t i = 0; i < products.size(); ++i) {
    products[i].info.name = fmt::format("product{}", i);
    writer.add(products[i]);
  }
  writer.write();
  DesignFile designs;
  designs.points = {small_point()};
  designs.points[0].machine = sim::parse_machine("rows=2 cols=2");
  CompareOptions options;
  options.energy = true;
  options.store = ResultStore(folder.path() / "store");
  const ResultTable table = compare(designs, folder.path() / "trace", options);
  const EnergyReport alone = measure_energy(designs.points[0], products, {});
  ASSERT_EQ(table.results.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    const StimulusEnergy& stimulus = alone.stimuli[2 + i];
    const auto macs = static_cast<double>(stimulus.macs);
    EXPECT_DOUBLE_EQ(table.results[i].energy.unit, stimulus.per_product());
    EXPECT_DOUBLE_EQ(table.results[i].energy.sram, stimulus.memory->sram / macs);
    EXPECT_DOUBLE_EQ(table.results[i].energy.dram, stimulus.memory->dram / macs);
  }
  ASSERT_TRUE(table.points[0].energy.has_value());
  EXPECT_DOUBLE_EQ(table.points[0].energy->zeros, alone.stimuli[0].per_product());
  EXPECT_GT(table.points[0].energy->gaussian, table.points[0].energy->zeros);
  EXPECT_NE(table.points[0].energy->provenance.find("osu018"), std::string::npos);
  EXPECT_EQ(to_json(compare(designs, folder.path() / "trace", options)), to_json(table));
}

}  // namespace
}  // namespace blockdot::explore
