// Emitted units in outside simulators, through every pipeline. (testbench/lint_test.cc lints them.)
#include "rtl_gen/emit/verilog.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "rtl_gen/generate.h"
#include "rtl_gen/testing/simulate.h"

namespace blockdot::rtl_gen {
namespace {

using formats::parse_dot_spec;
using testing::Cycle;

// Beats with bubbles between them through the text and through the graph; results must appear
// exactly `latency` cycles after each last beat and at no other time. Returns the number of
// results.
int run_pipelined(const std::string& text, const Arch& arch, testing::Simulator simulator,
                  int cycles) {
  const Unit unit = generate(UnitKind::kDot, parse_dot_spec(text), arch);
  const UnitReport& r = unit.report;
  UnitInterpreter golden(unit.graph);
  std::mt19937_64 random(11);
  std::vector<Cycle> inputs;
  std::vector<Cycle> want(static_cast<std::size_t>(cycles + r.latency));
  bool first = true;
  for (int c = 0; c < cycles; ++c) {
    Cycle in;
    const bool reset = c < 3;
    const bool bubble = reset || random() % 3 == 0, last = random() % 3 == 0;
    bool loads = false;
    for (const Port& p : r.ports) {
      if (!p.is_input || p.name == "clk_i") continue;
      Int value = 0;
      for (int i = 0; i < p.width; i += 64) value = (value << 64) | random();
      value %= pow2(p.width);
      if (p.name == "rst_ni") value = reset ? 0 : 1;
      if (p.name == "valid_i") value = bubble ? 0 : 1;
      if (p.name == "first_i" && !bubble) value = first ? 1 : 0;
      if (p.name == "last_i" && !bubble) value = last ? 1 : 0;
      if (p.name == "seed_load_i") {
        loads = bubble && !reset && random() % 8 == 0;
        value = loads ? 1 : 0;
      }
      in.push_back(value);
      if (p.name != "rst_ni")
        golden.set_input(golden.input_index(p.name), to_bits(value, p.width).limbs);
    }
    inputs.push_back(in);
    golden.step();
    if (!bubble) {
      want[static_cast<std::size_t>(c + r.latency)] = {
          to_int(golden.output_bits(golden.output_index("result_o")))};
      if (!last) want[static_cast<std::size_t>(c + r.latency)].clear();
      first = last;
    }
  }
  const auto outputs = testing::simulate(simulator, unit.verilog, r.top, r.ports, inputs);
  int checked = 0;
  for (std::size_t c = static_cast<std::size_t>(r.latency) + 3; c < outputs.size(); ++c) {
    const bool due = !want[c].empty();
    EXPECT_EQ(outputs[c][0], due ? 1 : 0) << text << ": valid_o in cycle " << c;
    if (due) {
      EXPECT_EQ(outputs[c][1], want[c][0]) << text << ": result_o in cycle " << c;
      ++checked;
    }
    if (::testing::Test::HasFailure()) return checked;
  }
  return checked;
}

const Arch kArchs[] = {
    {.schedule = ScheduleKind::kAsap},
    {.schedule = ScheduleKind::kMinRegister},
    {.schedule = ScheduleKind::kRandom, .schedule_seed = 1},
    {.technology = Technology::kXilinx, .schedule = ScheduleKind::kRandom, .schedule_seed = 2},
    {.combinational = true},
};

// Oracle: Icarus, whose registers start unknown.
TEST(Pipeline, SchedulesNeverChangeResultsInIcarus) {
  int checked = 0;
  for (const char* text :
       {"a=mxfp8_e4m3 lanes=3", "a=mxfp8_e5m2 lanes=2 accumulator=fp32 rounding=sr:16",
        "a=mxint8 lanes=4 accumulator=kulisch[30:-20] rounding=sr:5", "a=mx9 lanes=4 output=bf16",
        "a=mxfp4_e2m1 lanes=8 accumulator=fp16 output=e4m3", "a=e4m3@fp32/8 lanes=2 rounding=rtz"})
    for (const Arch& arch : kArchs)
      checked += run_pipelined(text, arch, testing::Simulator::kIcarus, 400);
  EXPECT_GT(checked, 1500);
}

// Oracle: Verilator, registers starting at random.
TEST(Pipeline, AUnitOf32LanesMatchesItsGraphInVerilator) {
  EXPECT_GT(
      run_pipelined("a=mxfp8_e4m3 rounding=sr:16", kArchs[1], testing::Simulator::kVerilator, 3000),
      300);
}

TEST(Emit, DropsNoSignalSilently) {
  // A window that cuts low bits ties them into unused_bits; a full accumulator has none there.
  const Unit window =
      generate(UnitKind::kDot, parse_dot_spec("a=int8 lanes=2 accumulator=kulisch[20:-6]"), {});
  EXPECT_NE(window.verilog.find("unused_bits"), std::string::npos);
}

// A register is set from outside, as an upset would, to every state that it has, zero too; the next
// state is that of formats::Lfsr, which takes zero for 1.
TEST(RandomStream, GoesOnFromEveryStateAndNeverStaysAtZero) {
  std::int64_t checked = 0;
  for (const char* lfsr :
       {"galois:5", "fibonacci:8", "galois:7:no-port", "fibonacci:6:9:no-port"}) {
    const formats::DotSpec spec = parse_dot_spec(fmt::format(
        "a=mxfp4_e2m1 lanes=1 accumulator=bf16:sr:4 output=bf16 rounding=sr:4 lfsr={}", lfsr));
    Arch arch;
    arch.combinational = true;  // the register moves on in the cycle of the beat
    const Unit unit = generate(UnitKind::kDot, spec, arch);
    const int n = spec.lfsr.width;
    std::string connections = ".clk_i(clk_i), .rst_ni(rst_ni), .valid_i(draw_i)";
    int seeds = 0;
    for (const Port& p : unit.report.ports) {
      seeds += p.name.starts_with("seed_");
      if (p.name == "seed_load_i") connections += ", .seed_load_i(load_i)";
      if (p.name == "seed_i") connections += ", .seed_i(state_i)";
    }
    EXPECT_EQ(seeds, spec.lfsr.port ? 2 : 0) << lfsr;
    const std::string poked = fmt::format(
        "module poked (input clk_i, input rst_ni, input set_i, input load_i, input draw_i,\n"
        "  input [{0}:0] state_i, output [{0}:0] state_o);\n"
        "  unit dut ({1});\n  assign state_o = dut.lfsr_q;\n"
        "  always @(negedge clk_i) if (set_i) dut.lfsr_q = state_i;\nendmodule\n",
        n - 1, connections);
    const std::vector<Port> ports = {{"clk_i", true, 1, ""},   {"rst_ni", true, 1, ""},
                                     {"set_i", true, 1, ""},   {"load_i", true, 1, ""},
                                     {"draw_i", true, 1, ""},  {"state_i", true, n, ""},
                                     {"state_o", false, n, ""}};
    std::vector<Cycle> inputs = {{0, 0, 0, 0, 0}, {1, 0, 0, 0, 0}};
    std::vector<Int> want = {-1, Int(spec.lfsr.seed)};  // not known before the first reset
    const auto cycle = [&](bool set, bool load, bool draw, std::uint64_t state, std::uint64_t now) {
      inputs.push_back({1, set, load, draw, Int(state)});
      want.push_back(Int(now));
    };
    std::uint64_t now = spec.lfsr.seed;
    for (std::uint64_t state = 0; state <= spec.lfsr.mask(); ++state)
      for (const bool draw : {false, true}) {
        cycle(true, false, false, state, now);
        cycle(false, false, draw, 0, state);
        formats::Lfsr next(state, spec.lfsr);
        if (draw && state != 0) next.draw(4);
        now = next.state();
        if (!spec.lfsr.port) continue;
        cycle(false, true, draw, state, now);  // the seed's turn comes after the draw
        now = state == 0 ? 1 : state;
      }
    cycle(false, false, false, 0, now);
    const auto seen = testing::simulate(testing::Simulator::kIcarus, unit.verilog + poked, "poked",
                                        ports, inputs);
    for (std::size_t c = 0; c < seen.size(); ++c, ++checked)
      ASSERT_EQ(seen[c][0], want[c]) << lfsr << " in cycle " << c;
  }
  EXPECT_GT(checked, 1000);
}

}  // namespace
}  // namespace blockdot::rtl_gen
