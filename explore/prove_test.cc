// Proofs of good units, and of units that are wrong in one lane, in the sum, or behind it. The
// oracle of `lanes` and `beats` is the golden model, of `two lanes` an outside equivalence checker.
#include "explore/prove.h"

#include <gtest/gtest.h>

#include "explore/synth.h"
#include "models/golden.h"

namespace blockdot::explore {
namespace {

DesignPoint point_of(const std::string& spec) {
  DesignPoint point;
  point.name = "point";
  point.spec = formats::parse_dot_spec(spec);
  return point;
}

std::string verdicts(const std::vector<ProofStep>& steps) {
  std::string text;
  for (const ProofStep& step : steps) {
    text += step.what + " " + std::string(to_text(step.verdict)) + ", ";
    if (step.verdict == Verdict::kFailed) text += "(" + step.how + ") ";
  }
  return text;
}

TEST(Prove, ExhaustsTheLanesAndProvesTheirSumAndSamplesTheRest) {
  ProveOptions options;
  options.beats = 5000;
  std::vector<ProofStep> steps = prove(point_of("a=mxfp4_e2m1 lanes=4 accumulator=fp32"), options);
  EXPECT_EQ(verdicts(steps), "lint proved, lanes proved, two lanes proved, beats sampled, ");
  EXPECT_EQ(steps[1].cases, 4 * 16 * 16);
  EXPECT_GE(steps[3].cases, 5000);
}

TEST(Prove, CarriesTheSecondLevelWithItsLanes) {
  ProveOptions options;
  options.beats = 2000;
  std::vector<ProofStep> steps = prove(point_of("a=mx4 lanes=4 accumulator=fp32"), options);
  EXPECT_EQ(verdicts(steps), "lint proved, lanes proved, two lanes proved, beats sampled, ");
  EXPECT_EQ(steps[1].cases, 4 * 64 * 4);  // 3 + 3 bits and a bit a side
}

TEST(Netlist, OfEveryKindOfUnitGivesTheGoldenResults) {
  for (auto [kind, text] :
       {std::pair{rtl_gen::UnitKind::kDot, "a=mxfp4_e2m1 lanes=4 accumulator=fp32"},
        {rtl_gen::UnitKind::kBlockDot, "a=mxfp8_e4m3 lanes=2"}}) {
    formats::DotSpec spec = formats::parse_dot_spec(text);
    rtl_gen::Arch arch;
    arch.technology = rtl_gen::Technology::kOsu018;
    arch.combinational = kind == rtl_gen::UnitKind::kBlockDot;
    rtl_gen::Unit unit = rtl_gen::generate(kind, spec, arch);
    NetlistRun run = simulate_netlist(unit, spec, 64, 3);
    EXPECT_TRUE(run.passed) << text << ": " << run.message;
    EXPECT_GT(run.cells, 100);
    // One lane reads the wrong side.
    unit.verilog.replace(unit.verilog.find("a_i["), 4, "b_i[");
    EXPECT_FALSE(simulate_netlist(unit, spec, 64, 3).passed);
  }
}

}  // namespace
}  // namespace blockdot::explore
