// Counts of a netlist whose every transition is known: a binary counter. Bit i of a counter moves
// every 2^i cycles and is one for half of a period.
#include "sim/energy/activity.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <sstream>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "sim/cosim/tool.h"

namespace blockdot::sim {
namespace {

constexpr const char* kCells = R"(library(cells) {
  time_unit : "1ns"; leakage_power_unit : "1nW"; capacitive_load_unit (1,pf); nom_voltage : 2.0;
  power_lut_template(one) { variable_1 : input_transition_time; }
  cell (XOR) { cell_leakage_power : 3;
    pin(A) { direction : input; capacitance : 0.1; } pin(B) { direction : input; capacitance : 0.2; }
    pin(Y) { direction : output; function : "A^B";
      internal_power() { related_pin : "A"; power(one) { index_1 ("1, 2"); values ("4, 4"); } }
      internal_power() { related_pin : "B"; power(one) { index_1 ("1, 2"); values ("6, 6"); } } } }
  cell (AND) { pin(A) { direction : input; capacitance : 0.1; }
    pin(B) { direction : input; capacitance : 0.1; } pin(Y) { direction : output; function : "A B"; } }
  cell (DFF) { ff (IQ, IQN) { next_state : "D"; clocked_on : "CLK"; }
    pin(D) { direction : input; capacitance : 0.1;
      internal_power() { rise_power(one) { index_1 ("1, 2"); values ("1, 1"); }
                         fall_power(one) { index_1 ("1, 2"); values ("3, 3"); } } }
    pin(CLK) { direction : input; capacitance : 0.5;
      internal_power() { rise_power(one) { index_1 ("1, 2"); values ("5, 5"); }
                         fall_power(one) { index_1 ("1, 2"); values ("7, 7"); } } }
    pin(Q) { direction : output; function : "IQ"; } }
})";

constexpr int kBits = 5;

// The counter as Yosys prints a netlist: q_o, and an enable that every bit's carry starts from.
std::string counter_json() {
  // Numbers: 2 clock, 3 enable, 10 + i state, 20 + i next state, 30 + i carry into bit i + 1.
  std::string cells, bits;
  for (int i = 0; i < kBits; ++i) {
    int carry = i == 0 ? 3 : 30 + i - 1;
    cells +=
        fmt::format(R"("x{0}":{{"type":"XOR","connections":{{"A":[{1}],"B":[{2}],"Y":[{3}]}}}},)"
                    R"("a{0}":{{"type":"AND","connections":{{"A":[{1}],"B":[{2}],"Y":[{4}]}}}},)"
                    R"("r{0}":{{"type":"DFF","connections":{{"CLK":[2],"D":[{3}],"Q":[{1}]}}}},)",
                    i, 10 + i, carry, 20 + i, 30 + i);
    bits += fmt::format("{}{}", i == 0 ? "" : ",", 10 + i);
  }
  cells.pop_back();
  return fmt::format(
      R"({{"modules":{{"counter":{{"ports":{{"clk_i":{{"direction":"input","bits":[2]}},)"
      R"("enable_i":{{"direction":"input","bits":[3]}},"q_o":{{"direction":"output","bits":[{0}]}}}},)"
      R"("cells":{{{1}}},"netnames":{{"q_o":{{"bits":[{0}]}},"clk_i":{{"bits":[2]}}}}}}}}}})",
      bits, cells);
}

struct Counter {
  Liberty liberty = parse_liberty(kCells, "cells.lib");
  Gates gates = read_gates(counter_json(), "counter", liberty);
  Model model = Model::load(watched(gates));

  std::size_t net(const std::string& name) const {
    for (std::size_t i = 0; i < gates.nets.size(); ++i)
      if (gates.nets[i] == name) return i;
    ADD_FAILURE() << name;
    return 0;
  }
  Activity run(int cycles, bool enable) const {
    return run(std::vector<bool>(static_cast<std::size_t>(cycles + 1), enable));
  }
  /// All but the first are counted.
  Activity run(const std::vector<bool>& enable) const {
    ActivityCounter counter(model, gates.nets.size());
    std::size_t words = model.input_bytes() / 8;
    std::vector<std::uint64_t> records(words * enable.size());
    ModelField field = model.input("enable_i");
    for (std::size_t i = 0; i < enable.size(); ++i)
      set_field(reinterpret_cast<std::uint8_t*>(records.data() + words * i), field, enable[i]);
    counter.run(std::span(records).first(words), false);
    counter.run(std::span(records).subspan(words), true);
    return counter.activity();
  }
};

TEST(Activity, ACountersBitMovesEveryTwoToTheI) {
  Counter counter;
  Activity activity = counter.run(1 << kBits, true);
  EXPECT_EQ(activity.cycles, 1 << kBits);
  for (int i = 0; i < kBits; ++i) {
    std::size_t net = counter.net(fmt::format("q_o[{}]", i));
    EXPECT_EQ(activity.toggles[net], 1 << (kBits - i)) << i;
    EXPECT_EQ(activity.ones[net], 1 << (kBits - 1)) << i;
  }
}

// Nets are watched a word at a time: of a wider port Verilator keeps a copy for each of its bits.
TEST(Activity, AnEdgePassesThroughEveryBitOfALongShiftRegister) {
  constexpr int kLong = 200;
  std::string cells;
  for (int i = 0; i < kLong; ++i)
    cells +=
        fmt::format(R"({}"r{}":{{"type":"DFF","connections":{{"CLK":[2],"D":[{}],"Q":[{}]}}}})",
                    i == 0 ? "" : ",", i, i == 0 ? 3 : 9 + i, 10 + i);
  const Liberty liberty = parse_liberty(kCells, "cells.lib");
  const Gates gates = read_gates(
      fmt::format(R"({{"modules":{{"shift":{{"ports":{{"clk_i":{{"direction":"input","bits":[2]}},)"
                  R"("d_i":{{"direction":"input","bits":[3]}},)"
                  R"("q_o":{{"direction":"output","bits":[{}]}}}},)"
                  R"("cells":{{{}}},"netnames":{{}}}}}}}})",
                  9 + kLong, cells),
      "shift", liberty);
  ASSERT_EQ(gates.nets.size(), kLong + 2u);
  for (const ModelPort& port : watched(gates).ports) EXPECT_LE(port.width, 64) << port.name;
  const Model model = Model::load(watched(gates));
  ActivityCounter counter(model, gates.nets.size());
  counter.run(std::vector<std::uint64_t>(8, 0), false);
  counter.run(std::vector<std::uint64_t>(kLong + 1, 1), true);
  int moved = 0;
  for (std::size_t i = 0; i < gates.nets.size(); ++i)
    if (counter.activity().toggles[i] == 1) ++moved;
  EXPECT_EQ(moved, kLong + 1) << "the input, and each bit once";
}

TEST(Activity, NothingMovesWhereNothingIsEnabledButTheClockIsPaid) {
  Counter counter;
  Activity activity = counter.run(100, false);
  EXPECT_THAT(activity.toggles, testing::Each(0));
  std::vector<NetEnergy> nets = net_energies(counter.gates, counter.liberty);
  Energy energy = energy_of(activity, nets, leakage(counter.gates), 10);
  EXPECT_EQ(energy.inputs + energy.logic + energy.registers, 0);
  // 5 pins of 0.5 pF at 2 V: C V^2 a cycle, and 5 + 7 inside each of the 5.
  EXPECT_NEAR(energy.clock, 100 * (5 * 0.5 * 4 + 5 * 12), 1e-9);
  // 5 XORs of 3 nW for 1000 ns: 15 nW * 1 us = 15 fJ.
  EXPECT_NEAR(energy.leakage, 0.015, 1e-12);
}

TEST(Activity, ANetCostsItsPinsAndWhatMovesInsideTheCells) {
  Counter counter;
  std::vector<NetEnergy> nets = net_energies(counter.gates, counter.liberty, {.output_load_pf = 1});
  const NetEnergy& state = nets[counter.net("q_o[0]")];
  // XOR's A 0.1, AND's A 0.1, the port 1 pF: 1.2 * 4 / 2.
  EXPECT_NEAR(state.switching, 2.4, 1e-12);
  EXPECT_EQ(state.internal, 0);
  EXPECT_EQ(state.kind, NetKind::kRegister);
  for (const Gates::Instance& instance : counter.gates.instances) {
    if (instance.cell->name != "XOR") continue;
    const NetEnergy& next = nets[static_cast<std::size_t>(instance.nets[2])];
    EXPECT_NEAR(next.switching, 0.1 * 4 / 2, 1e-12);
    EXPECT_NEAR(next.internal, (4 + 6) / 2.0, 1e-12);  // the XOR's, by A or by B
    EXPECT_NEAR(next.sinks, (1 + 3) / 2.0, 1e-12);     // behind the flip-flop's D
    EXPECT_EQ(next.kind, NetKind::kLogic);
  }
}

TEST(Activity, SaifHoldsEveryNetOnceAndItsTimesFillTheDuration) {
  Counter counter;
  Activity activity = counter.run(1 << kBits, true);
  std::string saif = to_saif(activity, counter.gates, 2.5);
  EXPECT_THAT(saif, testing::HasSubstr("(DURATION 80000)"));
  EXPECT_THAT(saif, testing::HasSubstr("(q_o\\[0\\] (T0 40000) (T1 40000) (TX 0) (TC 32) (IG 0))"));
  EXPECT_THAT(saif, testing::HasSubstr("(clk_i (T0 40000) (T1 40000) (TX 0) (TC 64) (IG 0))"));
  // As a reader of nested lists sees it (IEEE 1801, annex on SAIF): one list in the file, and in
  // each net's the times fill the duration.
  int depth = 0, nets = 0;
  std::size_t closed = 0;
  for (std::size_t i = 0; i < saif.size(); ++i) {
    if (saif[i] == '\\')
      ++i;
    else if (saif[i] == '(')
      ++depth;
    else if (saif[i] == ')' && --depth == 0)
      closed = i;
    ASSERT_GE(depth, 0);
  }
  EXPECT_EQ(depth, 0);
  EXPECT_EQ(closed, saif.size() - 2);
  for (std::size_t at = saif.find("(T0 "); at != std::string::npos;
       at = saif.find("(T0 ", at + 1)) {
    long long zero = 0, one = 0;
    ASSERT_EQ(std::sscanf(saif.c_str() + at, "(T0 %lld) (T1 %lld)", &zero, &one), 2);
    EXPECT_EQ(zero + one, 80000);
    ++nets;
  }
  EXPECT_EQ(nets, static_cast<int>(counter.gates.nets.size()));
}

/// What a VCD says of each net from `from` on: how often it changed, and how long it was one. A
/// pulse of no length is no change.
struct Seen {
  long long toggles = 0, one = 0;
};
std::map<std::string, Seen> read_vcd(const std::string& text, long long from, long long to) {
  struct Net {
    std::vector<std::string> names;
    char value = 'x', settled = 'x';  // settled: before now
    Seen seen;
  };
  std::map<std::string, Net> nets;  // by the file's code
  std::istringstream in(text);
  long long now = 0;
  const auto advance = [&](long long next) {
    for (auto& [code, net] : nets) {
      net.seen.toggles += net.value != net.settled && now >= from && now < to;
      if (net.value == '1') net.seen.one += std::max(0LL, std::min(next, to) - std::max(now, from));
      net.settled = net.value;
    }
    now = next;
  };
  for (std::string word; in >> word;) {
    if (word == "$var") {
      std::string type, width, code, name;
      in >> type >> width >> code >> name;
      nets[code].names.push_back(name);
    } else if (word[0] == '#') {
      advance(std::stoll(word.substr(1)));
    } else if ((word[0] == '0' || word[0] == '1') && nets.contains(word.substr(1))) {
      nets[word.substr(1)].value = word[0];
    }
  }
  advance(std::max(now, to));
  std::map<std::string, Seen> seen;
  for (const auto& [code, net] : nets)
    for (const std::string& name : net.names) seen[name] = net.seen;
  return seen;
}

// Oracle: Icarus on the same cells and inputs, and what its VCD shows.
TEST(Activity, SaifSaysWhatAnotherSimulatorsWaveShows) {
  Counter counter;
  constexpr int kCycles = 300, kPeriod = 10;
  std::mt19937 random(5);
  std::vector<bool> enable;
  std::string bits;  // the last first
  for (int i = 0; i <= kCycles; ++i) {
    enable.push_back(random() % 4 != 0);
    bits.insert(0, enable.back() ? "1" : "0");
  }
  std::string wires, cells, drive;
  const auto wire = [](int net) { return fmt::format("n{}", net); };
  for (std::size_t i = 0; i < counter.gates.nets.size(); ++i)
    wires += fmt::format("  wire n{};\n", i);
  for (const Gates::Instance& instance : counter.gates.instances) {
    const std::vector<const char*> pins = instance.cell->name == "DFF"
                                              ? std::vector<const char*>{"D", "CLK", "Q"}
                                              : std::vector<const char*>{"A", "B", "Y"};
    std::string connections;
    for (const char* pin : pins)
      connections += fmt::format("{}.{}({})", connections.empty() ? "" : ", ", pin,
                                 wire(instance.net_of(pin)));
    cells += fmt::format("  {} {}({});\n", instance.cell->name, instance.name, connections);
  }
  for (const Gates::Port& port : counter.gates.ports)
    if (port.is_input)
      drive += fmt::format("  assign {} = {};\n", wire(port.nets.at(0)),
                           port.name == "clk_i" ? "clk" : "enable");
  const TemporaryFolder folder;
  write_file_atomic(
      folder.path() / "t.v",
      fmt::format(
          "`timescale 1ns/1ns\n"
          "module XOR(input A, B, output Y); assign Y = A ^ B; endmodule\n"
          "module AND(input A, B, output Y); assign Y = A & B; endmodule\n"
          "module DFF(input D, CLK, output reg Q);\n"
          "  initial Q = 0;\n  always @(posedge CLK) Q <= D;\nendmodule\n"
          "module t;\n{}{}{}"
          "  reg clk = 0, enable;\n  integer i = 0;\n  reg [{}:0] bits = {}'b{};\n"
          "  always @(posedge clk) begin i <= i + 1; enable <= bits[i + 1]; end\n"
          "  initial begin\n    enable = bits[0];\n    $dumpfile(\"t.vcd\");\n"
          "    $dumpvars(1, t);\n    #{} repeat ({}) begin clk = 1; #{}; clk = 0; #{}; end\n"
          "    $finish;\n  end\nendmodule\n",
          wires, drive, cells, kCycles, kCycles + 1, bits, kPeriod, kCycles, kPeriod / 2,
          kPeriod / 2));
  require_tool({"iverilog", "-g2005", "-o", "t", "t.v"}, folder.path());
  require_tool({"vvp", "-n", "t"}, folder.path());
  const std::map<std::string, Seen> seen =
      read_vcd(read_file(folder.path() / "t.vcd"), kPeriod, (kCycles + 1) * kPeriod);

  const std::string saif = to_saif(counter.run(enable), counter.gates, kPeriod);
  ASSERT_THAT(saif, testing::HasSubstr(fmt::format("(DURATION {})", 1000 * kCycles * kPeriod)));
  int moved = 0;
  for (std::size_t i = 0; i < counter.gates.nets.size(); ++i) {
    std::string name;
    for (char c : counter.gates.nets[i])
      name += c == '[' || c == ']' ? fmt::format("\\{}", c) : std::string(1, c);
    const std::size_t at = saif.find(fmt::format(" ({} (T0 ", name));
    ASSERT_NE(at, std::string::npos) << name;
    long long zero = 0, one = 0, unknown = 0, toggles = 0;
    ASSERT_EQ(
        std::sscanf(saif.c_str() + saif.find("(T0", at), "(T0 %lld) (T1 %lld) (TX %lld) (TC %lld)",
                    &zero, &one, &unknown, &toggles),
        4);
    EXPECT_EQ(zero + one + unknown, 1000 * kCycles * kPeriod) << name;
    const auto found = seen.find(wire(static_cast<int>(i)));
    const Seen wave = found == seen.end() ? Seen{} : found->second;
    EXPECT_EQ(toggles, wave.toggles) << name;
    EXPECT_EQ(one, 1000 * wave.one) << name;
    moved += toggles > 0;
  }
  EXPECT_GT(moved, 3 * kBits);
}

TEST(Activity, ACellThatTheLibraryLacksIsNamed) {
  Liberty liberty = parse_liberty(kCells, "cells.lib");
  liberty.cells.erase("AND");
  try {
    read_gates(counter_json(), "counter", liberty);
    FAIL() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("a0 is a AND, which cells does not have"));
  }
}

}  // namespace
}  // namespace blockdot::sim
