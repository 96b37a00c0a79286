// The machine's three answers: the Verilated array in lock-step with the SystemC machine, the
// closed form, and the exact GEMM. A few arrays, many products and memories.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <regex>

#include "models/golden.h"
#include "rtl_gen/array/array.h"
#include "sim/cosim/array_lockstep.h"
#include "sim/machine/cycles.h"
#include "sim/machine/tile_values.h"
#include "sim/systemc/machine.h"
#include "sim/testing/random.h"

namespace blockdot::testbench {
namespace {

using sim::testing::Random;

struct Design {
  const char* spec;
  const char* machine;
};
void PrintTo(const Design& design, std::ostream* out) { *out << design.machine; }

rtl_gen::Array array_of(const std::string& spec, const sim::Machine& machine) {
  rtl_gen::ArraySpec array;
  array.unit = formats::parse_dot_spec(spec);
  array.rows = machine.rows;
  array.cols = machine.cols;
  array.dataflow = machine.dataflow;
  array.banks = machine.banks;
  array.depth = machine.depth;
  return generate_array(array, {});
}

struct Proven {
  std::int64_t results = 0, handshakes = 0;
};

/// Random products and memories on one array: RTL against the SystemC machine in every handshake
/// and value, that against the closed form in every cycle and cause, and values against the golden
/// model. Every fifth product stalls.
Proven prove(const rtl_gen::Array& array, const sim::Machine& base, Random& random, int products) {
  sim::ModelSource source = sim::model_source(array);
  source.quick = true;
  const sim::Model model = sim::Model::load(source);
  const formats::DotSpec& spec = array.spec.unit;
  Proven proven;
  for (int i = 0; i < products; ++i) {
    sim::Machine machine = base;
    machine.bandwidth = i % 4 == 0 ? sim::Machine::kUnlimited : random.in(1, 40);
    machine.latency = random.in(0, 30);
    machine.burst = random.in(1, 16);
    machine.a_sram = random.one_of({700, random.in(700, 3000)});
    machine.b_sram = random.one_of({400, random.in(400, 3000)});
    machine.c_sram = random.in(300, 600);
    machine.a_banks = random.in(0, 2);
    machine.b_banks = random.in(0, 2);
    machine.c_banks = random.in(0, 2);
    const std::int64_t m = random.in(1, 12), n = random.in(1, 9),
                       k = random.in(1, i % 2 ? 100 : 10);
    const std::string text = fmt::format("{}\n{} x {} x {}", to_text(machine), m, n, k);
    SCOPED_TRACE(text);
    const sim::Schedule schedule =
        make_schedule(machine, array.timing, array.sum_width, spec, m, n, k);
    const std::vector<float> x = random.values(m * k), y = random.values(n * k);
    const auto a = formats::quantize(spec.a, formats::row_major(x.data(), m, k));
    const auto b = formats::quantize(spec.b, formats::row_major(y.data(), n, k));
    sim::ArrayLockstep lockstep(model, array, schedule, "product");
    const bool stalled = i % 5 == 4;
    const sim::MachineRun run =
        run_machine(schedule, {&a, &b, {}, {}, {}, {}},
                    {.stalls = stalled ? 0.4 : 0.0, .seed = 3, .watcher = &lockstep});
    EXPECT_EQ(lockstep.mismatches(), 0) << lockstep.first().text;
    if (!stalled) {
      EXPECT_EQ(run.count, machine_cycles(schedule));
    }
    EXPECT_EQ(run.codes, formats::draws(spec) ? machine_values(schedule, a, b)
                                              : models::gemm_golden(spec, a, b).codes);
    EXPECT_EQ(lockstep.results(), m * n);
    if (::testing::Test::HasFailure()) return {};
    proven.results += lockstep.results();
    proven.handshakes += lockstep.handshakes();
  }
  return proven;
}

class MachineProof : public ::testing::TestWithParam<Design> {};

INSTANTIATE_TEST_SUITE_P(
    Arrays, MachineProof,
    ::testing::Values(
        Design{"a=mxfp8_e4m3 lanes=4 accumulator=fp32", "rows=2 cols=3 dataflow=os banks=2"},
        Design{"a=mx6 lanes=4 accumulator=bf16 output=bf16", "rows=3 cols=1 dataflow=os banks=1"},
        Design{"a=mxfp4_e2m1 lanes=4 accumulator=bf16:sr:8 output=bf16",
               "rows=2 cols=2 dataflow=os banks=3"},
        Design{"a=mxfp8_e4m3 lanes=4 accumulator=fp32", "rows=2 cols=3 dataflow=ws depth=5"},
        Design{"a=mxfp4_e2m1 lanes=8 accumulator=kulisch[30:-40]",
               "rows=3 cols=2 dataflow=ws depth=9"},
        Design{"a=mxfp4_e2m1 lanes=4 accumulator=bf16:sr:8 output=bf16",
               "rows=2 cols=2 dataflow=ws depth=5"},
        Design{"a=mxfp8_e4m3 lanes=8 accumulator=fp32 output=bf16 rounding=sr:6",
               "rows=2 cols=3 dataflow=ws depth=4"},
        Design{"a=binary@e8m0/8 lanes=4 accumulator=fp32", "rows=2 cols=2 dataflow=ws depth=5"},
        Design{"a=e4m3 b=e2m1 lanes=3 accumulator=fp32", "rows=1 cols=1 dataflow=ws depth=2"},
        Design{"a=e2m1@e4m3/4*fp32/tensor b=int4@e4m3/4*fp32/row lanes=4 accumulator=fp32",
               "rows=1 cols=2 dataflow=os banks=2"},
        Design{"a=e2m1@e4m3/4*fp32/tensor b=e2m1 lanes=4 accumulator=fp32",
               "rows=2 cols=1 dataflow=ws depth=4"}));

TEST_P(MachineProof, HasDeltaZeroInCyclesAndValues) {
  const sim::Machine machine = sim::parse_machine(GetParam().machine);
  Random random(5);
  const Proven proven = prove(array_of(GetParam().spec, machine), machine, random, 40);
  EXPECT_GT(proven.results, 400);
  EXPECT_GT(proven.handshakes, 10000);
}

// Arrays that nobody chose: each test draws its own from the seed in its name.
class RandomMachineProof : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Seeds, RandomMachineProof, ::testing::Range(1, 17),
                         [](const auto& seed) { return fmt::format("seed{}", seed.param); });

TEST_P(RandomMachineProof, HasDeltaZeroInCyclesAndValues) {
  Random random(static_cast<std::uint64_t>(GetParam()));
  sim::Machine machine;
  machine.rows = random.in(1, 4);
  machine.cols = random.in(1, 4);
  machine.dataflow =
      random.one_of({rtl_gen::Dataflow::kOutputStationary, rtl_gen::Dataflow::kWeightStationary});
  machine.banks = random.in(1, 4);
  machine.depth = random.in(1, 9);
  const std::string spec = fmt::format(
      "{} lanes={} accumulator={}",
      random.one_of({"a=mxfp8_e4m3", "a=mxfp4_e2m1", "a=mxint8", "a=e4m3 b=e2m1", "a=mxfp6_e3m2",
                     "a=e2m1@e4m3/8*fp32/row b=int4@e4m3/8"}),
      random.one_of({1, 2, 4, 8}), random.one_of({"fp32", "bf16", "kulisch[30:-40]", "bf16:sr:8"}));
  const std::string text = fmt::format("seed {}: {} | {}", GetParam(), spec, to_text(machine));
  SCOPED_TRACE(text);
  const Proven proven = prove(array_of(spec, machine), machine, random, 15);
  EXPECT_GT(proven.results, 100);
  EXPECT_GT(proven.handshakes, 1000);
}

// An array whose rows differ by one step from what was asked for: the lock-step must see it.
TEST(MachineProofFault, AnArrayOfAnotherDepthOfPipelineIsSeenAtItsFirstHandshake) {
  rtl_gen::ArraySpec spec;
  spec.unit = formats::parse_dot_spec("a=mxfp8_e4m3 lanes=4 accumulator=fp32");
  spec.rows = 2;
  spec.cols = 3;
  const rtl_gen::Array array = generate_array(spec, {});
  sim::ModelSource source = sim::model_source(array);
  source.quick = true;
  const sim::Model model = sim::Model::load(source);
  sim::Machine machine = sim::parse_machine("rows=2 cols=3 bandwidth=unlimited");
  rtl_gen::ArrayTiming late = array.timing;
  ++late.unit;
  const sim::Schedule schedule = make_schedule(machine, late, 0, spec.unit, 2, 3, 8);
  const std::vector<float> x(48, 1.0f);
  const auto a = formats::quantize(spec.unit.a, formats::row_major(x.data(), 2, 8));
  const auto b = formats::quantize(spec.unit.b, formats::row_major(x.data(), 3, 8));
  sim::ArrayLockstep lockstep(model, array, schedule, "product");
  run_machine(schedule, {&a, &b, {}, {}, {}, {}}, {.watcher = &lockstep});
  EXPECT_GT(lockstep.mismatches(), 0);
  for (const char* part : {"out_valid_o is 1", "result channel: no row is due, out_ready_i 1",
                           "operand channel: nothing is offered"})
    EXPECT_NE(lockstep.first().text.find(part), std::string::npos) << lockstep.first().text;
}

// The first handshake that differs, of an array whose text has `good` replaced by `bad`.
std::string handshake_of_fault(rtl_gen::Dataflow dataflow, const std::string& good,
                               const std::string& bad) {
  rtl_gen::ArraySpec spec;
  spec.unit = formats::parse_dot_spec("a=mxfp8_e4m3 lanes=4 accumulator=fp32");
  spec.rows = spec.cols = 2;
  spec.dataflow = dataflow;
  const rtl_gen::Array array = generate_array(spec, {});
  sim::ModelSource source = sim::model_source(array);
  source.quick = true;
  const std::size_t at = source.verilog.find(good);
  BLOCKDOT_CHECK(at != std::string::npos, "{}", good);
  source.verilog.replace(at, good.size(), bad);
  const sim::Model model = sim::Model::load(source);
  const sim::Machine machine = sim::parse_machine(dataflow == rtl_gen::Dataflow::kWeightStationary
                                                      ? "rows=2 cols=2 dataflow=ws"
                                                      : "rows=2 cols=2");
  const sim::Schedule schedule = make_schedule(machine, array.timing, 0, spec.unit, 4, 4, 12);
  const std::vector<float> x(48, 1.0f);
  const auto a = formats::quantize(spec.unit.a, formats::row_major(x.data(), 4, 12));
  sim::ArrayLockstep lockstep(model, array, schedule, "product");
  run_machine(schedule, {&a, &a, {}, {}, {}, {}}, {.watcher = &lockstep});
  EXPECT_GT(lockstep.mismatches(), 0);
  EXPECT_EQ(lockstep.first().row, -1) << lockstep.first().text;
  return lockstep.first().text;
}

TEST(MachineProofFault, AWrongHandshakeNamesItsChannelAndWhatThatHolds) {
  using enum rtl_gen::Dataflow;
  struct Fault {
    rtl_gen::Dataflow dataflow;
    const char *good, *bad;
    std::vector<const char*> says;
  };
  for (const Fault& fault :
       {Fault{kOutputStationary,
              "start_ready_o = (!busy_q || close)",
              "start_ready_o = !busy_q",
              {"start_ready_o is 0", "start channel: offered a tile of 2 x 2, 3 beats",
               "operand channel: offered tile 0, beat 2"}},
        Fault{kOutputStationary,
              "in_ready_o = busy_q &&",
              "in_ready_o = busy_q && !in_valid_i &&",
              {"in_ready_o is 0", "; operand channel: offered tile 0, beat 0"}},
        Fault{kOutputStationary,
              "out_last_o = out_left == 2'd1",
              "out_last_o = out_left == 2'd2",
              {"out_last_o is 1", "result channel: due from row 0 of the array, tile 0"}},
        Fault{kWeightStationary,
              "w_ready_o = load_busy_q &&",
              "w_ready_o = load_busy_q && !w_valid_i &&",
              {"w_ready_o is 0", "; weight channel: offered tile 0, beat 0; a channel: "}}}) {
    const std::string text = handshake_of_fault(fault.dataflow, fault.good, fault.bad);
    for (const char* part : fault.says)
      EXPECT_NE(text.find(part), std::string::npos) << part << " in:\n" << text;
  }
}

// What is said of the first wrong result of x x^T, 4 x 4, K = 12; empty where there is none.
std::string explanation(const sim::Model& model, const rtl_gen::Array& array,
                        const sim::Schedule& schedule, const std::vector<float>& x) {
  const auto a = formats::quantize(schedule.spec.a, formats::row_major(x.data(), 4, 12));
  const auto b = formats::quantize(schedule.spec.b, formats::row_major(x.data(), 4, 12));
  sim::ArrayLockstep lockstep(model, array, schedule, "product");
  run_machine(schedule, {&a, &b, {}, {}, {}, {}}, {.watcher = &lockstep});
  if (lockstep.mismatches() == 0) return "";
  return explain(lockstep.first(), model, array, schedule, a, b);
}

// Unit (1, 0) of an array of two columns gets the a of unit (0, 0).
TEST(MachineProofFault, AWrongResultIsTracedToItsUnitBeatAndOperands) {
  rtl_gen::ArraySpec spec;
  spec.unit = formats::parse_dot_spec("a=mxfp8_e4m3 lanes=4 accumulator=fp32");
  spec.rows = spec.cols = 2;
  const rtl_gen::Array array = generate_array(spec, {});
  sim::ModelSource source = sim::model_source(array);
  source.quick = true;
  const std::string wire = "assign a = a_at[AT*";
  const std::size_t at = source.verilog.find(wire);
  ASSERT_NE(at, std::string::npos);
  source.verilog.replace(at, wire.size(), "assign a = a_at[(AT == 2 ? 1 : AT)*");
  const sim::Model model = sim::Model::load(source);
  const sim::Machine machine = sim::parse_machine("rows=2 cols=2");
  const sim::Schedule schedule = make_schedule(machine, array.timing, 0, spec.unit, 4, 4, 12);
  std::vector<float> x(48, 1.0f);
  for (std::size_t i = 44; i < 48; ++i) x[i] = 2.0f;  // the last beat of row 3
  const std::string text = explanation(model, array, schedule, x);
  for (const char* part : {"result [3, 0]", "beat 3 of 3 (k = 8..11)", "unit (1, 0)",
                           "lane   0: a 0x", "stage: between the units"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in:\n" << text;
}

// Every unit drops the products of its lane 1.
TEST(MachineProofFault, AWrongResultIsTracedToTheStageOfItsUnit) {
  rtl_gen::ArraySpec spec;
  spec.unit = formats::parse_dot_spec("a=mxfp8_e4m3 lanes=4 accumulator=fp32");
  spec.rows = spec.cols = 2;
  for (const auto& [dataflow, name] : {std::pair{rtl_gen::Dataflow::kOutputStationary, "os"},
                                       std::pair{rtl_gen::Dataflow::kWeightStationary, "ws"}}) {
    spec.dataflow = dataflow;
    const rtl_gen::Array array = generate_array(spec, {});
    sim::ModelSource source = sim::model_source(array);
    source.quick = true;
    source.verilog = std::regex_replace(source.verilog, std::regex("assign prod1 = [^;]+;"),
                                        "assign prod1 = 8'd0;");
    const sim::Model model = sim::Model::load(source);
    const sim::Machine machine =
        sim::parse_machine(fmt::format("rows=2 cols=2 dataflow={} depth=8", name));
    const sim::Schedule schedule = make_schedule(machine, array.timing, 40, spec.unit, 4, 4, 12);
    std::vector<float> x(48);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 12 == 9 ? 0 : i + 1);
    const std::string text = explanation(model, array, schedule, x);
    EXPECT_NE(text.find("stage: product of lane 1: lane 1 alone gives 0x00000000 (0), not 0x"),
              std::string::npos)
        << name << ":\n"
        << text;
  }
}

}  // namespace
}  // namespace blockdot::testbench
