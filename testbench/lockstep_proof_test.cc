// The Verilated unit in lock-step with the golden model, for a set of points that holds every pair
// of values of two axes of axes.h, schedules included; operands x accumulator is complete. The
// whole product runs in graph_proof_test, random points of it in long_lockstep_test.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "testbench/axes.h"
#include "testbench/proof.h"

namespace blockdot::testbench {
namespace {

class Lockstep : public ::testing::TestWithParam<Point> {};
INSTANTIATE_TEST_SUITE_P(Pairwise, Lockstep, ::testing::ValuesIn(pairwise_points()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(Lockstep, OfTheVerilatedUnitWithTheGoldenModel) {
  fmt::print("seed {}: {} results checked\n", base_seed(),
             expect_lockstep(GetParam(), base_seed(), 400));
}

// The oracle is the golden model of a spec with that seed.
TEST(SeedParameter, ReplacesTheSeedOfTheSpecAndItsZeroIsOne) {
  const std::string text = "a=mxfp4_e2m1 lanes=2 max-k=64 accumulator=bf16:sr:4 lfsr=fibonacci:19";
  const formats::DotSpec spec = formats::parse_dot_spec(text + ":5");
  const rtl_gen::Unit unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, {});
  ASSERT_EQ(unit.report.parameters.size(), 1u);
  EXPECT_EQ(unit.report.parameters[0].name, "SEED");
  EXPECT_EQ(unit.report.parameters[0].value, 5u);
  const Exercise exercise = make_exercise(spec, base_seed(), 100);
  const std::string declared = "parameter [18:0] SEED = 19'h5";
  ASSERT_NE(unit.verilog.find(declared), std::string::npos);
  for (const auto& [value, seed] :
       {std::pair{"19'd5", ":5"}, {"19'd0", ":1"}, {"19'd77777", ":77777"}}) {
    std::string verilog = unit.verilog;
    verilog.replace(verilog.find(declared), declared.size(),
                    fmt::format("parameter [18:0] SEED = {}", value));
    const formats::DotSpec same = formats::parse_dot_spec(text + seed);
    const Outcome outcome = check_verilog(verilog, unit.report, same, exercise);
    EXPECT_TRUE(outcome.passed()) << value << ": " << outcome.mismatch;
    const Outcome other =
        check_verilog(verilog, unit.report, formats::parse_dot_spec(text + ":6"), exercise);
    EXPECT_FALSE(other.passed()) << value;
  }
}

// Operands with factors of the result, of two scales, or wider than the axes have them.
class FactorLockstep : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

std::vector<std::pair<const char*, const char*>> factor_points() {
  std::vector<std::pair<const char*, const char*>> points;
  for (const char* spec :
       {"a=int8_row lanes=2", "a=nvfp4 b=mxfp8_e4m3 lanes=4 accumulator=fp32 output=bf16",
        "a=vsq8 b=nvfp4_tile lanes=2 output=e4m3 rounding=rna",
        "a=nf4_dq b=bf16 lanes=2 accumulator=fp32",
        "a=abfp8_8 b=fp8_e4m3_tensor lanes=2 rounding=sr:9", "a=binary lanes=5",
        "a=fp32 b=wage_e8 lanes=1 accumulator=fp32:rtz",
        "a=int4@u4/8*e4m3/32 b=e4m3@e4m3/16*bf16/64 lanes=4 accumulator=aligned[7]:bf16:rne",
        "a=nf4_dq b=mxfp8_e4m3 lanes=2 accumulator=aligned[9]:fp32"})
    for (const char* schedule : {"asap", "min-register", "random"})
      points.push_back({spec, schedule});
  return points;
}
INSTANTIATE_TEST_SUITE_P(Factors, FactorLockstep, ::testing::ValuesIn(factor_points()),
                         [](const auto& p) {
                           std::string name = std::string(p.param.first) + "_" + p.param.second;
                           for (char& c : name)
                             if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
                           return name;
                         });

TEST_P(FactorLockstep, OfTheVerilatedUnitWithTheGoldenModel) {
  const auto& [text, schedule] = GetParam();
  formats::DotSpec spec = formats::parse_dot_spec(fmt::format("{} max-k=64", text));
  rtl_gen::Arch arch;
  arch.schedule = rtl_gen::parse_schedule_kind(schedule);
  arch.schedule_seed = base_seed();
  rtl_gen::Unit unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, arch);
  Outcome outcome =
      check_verilog(unit.verilog, unit.report, spec, make_exercise(spec, base_seed(), 400));
  EXPECT_GT(outcome.checked, 800) << "vacuous co-simulation";
  EXPECT_TRUE(outcome.passed()) << outcome.mismatch;
}

}  // namespace
}  // namespace blockdot::testbench
