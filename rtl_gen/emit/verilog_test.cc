// Emitted units in outside tools: lint of every kind and format, and simulation of pipelined units.
#include "rtl_gen/emit/verilog.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "formats/block_format.h"
#include "rtl_gen/generate.h"
#include "rtl_gen/testing/simulate.h"

namespace blockdot::rtl_gen {
namespace {

using formats::parse_dot_spec;
using testing::Cycle;

// The formats of the catalogue, as `a=NAME lanes=N`.
std::vector<std::string> catalogue_specs(int lanes) {
  std::vector<std::string> specs;
  for (const auto& entry : formats::catalogue())
    specs.push_back(fmt::format("a={} lanes={}", entry.name, lanes));
  specs.push_back(fmt::format("a=e4m3@fp32/32 lanes={}", lanes));
  specs.push_back(fmt::format("a=mxfp8_e5m2 b=mxint8 lanes={}", lanes));
  specs.push_back(fmt::format("a=e4m3:fnuz@e4m3/16 b=mx9 lanes={}", lanes));
  return specs;
}

// Oracle: Verilator -Wall, Icarus -Wall, Yosys.
TEST(Lint, EveryUnitKindAndFormatIsClean) {
  const char* accumulators[] = {"", " accumulator=fp32 rounding=sr:16",
                                " accumulator=kulisch[20:-30]", " accumulator=bf16 output=e4m3"};
  int checked = 0;
  const auto check = [&](const Unit& unit, const std::string& what, bool yosys) {
    EXPECT_EQ(testing::lint(unit.verilog, unit.report.top, yosys), "") << what;
    ++checked;
  };
  int turn = 0;
  for (const std::string& spec : catalogue_specs(4)) {
    // Every other accumulator: the same ones come again with another format of the kind.
    for (size_t i = static_cast<size_t>(turn++ % 2); i < std::size(accumulators); i += 2)
      check(generate(UnitKind::kDot, parse_dot_spec(spec + accumulators[i]), {}),
            spec + accumulators[i], checked % 8 == 0);
    check(generate(UnitKind::kBlockDot, parse_dot_spec(spec), {.combinational = true}), spec,
          false);
    check(generate(UnitKind::kBlockDot, parse_dot_spec(spec), {.technology = Technology::kXilinx}),
          spec, false);
    // Cells: Yosys reads other text than the simulators.
    check(generate(UnitKind::kBlockDot, parse_dot_spec(spec), {.technology = Technology::kOsu018}),
          spec, true);
  }
  EXPECT_GT(checked, 100);
}

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

}  // namespace
}  // namespace blockdot::rtl_gen
