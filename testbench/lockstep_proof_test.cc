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
  const std::string declared = "parameter [18:0] SEED = 19'd5";
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

}  // namespace
}  // namespace blockdot::testbench
