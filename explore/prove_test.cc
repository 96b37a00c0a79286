// Proofs of good units, and of units that are wrong in one lane, in the sum, or behind it. The
// oracle of `lanes` and `beats` is the golden model, of `sum` rewriting and an outside equivalence
// checker.
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
  EXPECT_EQ(verdicts(steps), "lint proved, lanes proved, sum proved, beats sampled, ");
  EXPECT_EQ(steps[1].cases, 4 * 16 * 16);
  EXPECT_GE(steps[3].cases, 5000);
}

TEST(Prove, CarriesTheSecondLevelWithItsLanes) {
  ProveOptions options;
  options.beats = 2000;
  std::vector<ProofStep> steps = prove(point_of("a=mx4 lanes=4 accumulator=fp32"), options);
  EXPECT_EQ(verdicts(steps), "lint proved, lanes proved, sum proved, beats sampled, ");
  EXPECT_EQ(steps[1].cases, 4 * 64 * 4);  // 3 + 3 bits and a bit a side
}

// The smallest of each kind beyond dot.
std::vector<DesignPoint> other_kinds() {
  return parse_design_file(R"(
[[design]]
unit = "block-dot"
a = "mxfp8_e4m3"
lanes = 2
[[design]]
unit = "multi"
modes = "e3m2,e2m1"
lanes = 2
[[design]]
unit = "multi"
modes = "e3m2,e2m1"
lanes = 2
accumulator = "bf16"
output = "bf16"
[[design]]
unit = "multi"
modes = "e3m2,e2m1"
lanes = 2
accumulator = "aligned[5]:bf16"
output = "bf16"
[[design]]
unit = "fused"
modes = "e2m1,e3m2xe2m1"
lanes = 2
addend = "bf16"
[[design]]
unit = "stream"
a = "mxfp4"
lanes = 2
accumulator = "bf16"
output = "bf16"
[[design]]
unit = "array"
a = "mxfp4"
lanes = 2
accumulator = "bf16"
output = "bf16"
rows = 2
cols = 2
[[design]]
unit = "array"
dataflow = "ws"
depth = 2
a = "mxfp4"
lanes = 2
accumulator = "bf16"
output = "bf16"
rows = 2
cols = 2
[[design]]
unit = "quantizer"
a = "e2m1@e8m0/4"
input = "bf16"
)",
                           "kinds.toml")
      .points;
}

TEST(Prove, SaysOfEveryKindWhatIsProvedAndWhatIsSampled) {
  std::vector<std::string> seen;
  ProveOptions options;
  options.beats = 200;
  for (const DesignPoint& point : other_kinds()) {
    const std::vector<ProofStep> steps = prove(point, options);
    seen.push_back(std::string(to_text(point.unit.kind)) + ": " + verdicts(steps));
    for (std::size_t i = 1; i < steps.size(); ++i)
      if (steps[i].what != "sum" && steps[i].what != "split") {
        EXPECT_GT(steps[i].cases, 0) << seen.back();
      }
  }
  const std::string dots = "lint proved, lanes proved, sum proved, vectors sampled, ";
  const std::string pairs = "lint proved, pairs proved, ", last = "vectors sampled, ";
  EXPECT_EQ(seen, (std::vector<std::string>{
                      "block-dot: " + dots, "multi: " + pairs + "sum proved, " + last,
                      "multi: " + pairs + "sum proved, split proved, accumulator sampled, " + last,
                      "multi: " + pairs + "beats sampled, " + last, "fused: " + pairs + last,
                      "stream: " + dots, "array: " + dots, "array: " + dots,
                      "quantizer: lint proved, values proved, " + last}));
}

TEST(Netlist, OfEveryKindOfUnitGivesTheGoldenResults) {
  std::vector<DesignPoint> points = other_kinds();
  points.push_back(point_of("a=mxfp4_e2m1 lanes=4 accumulator=fp32"));
  for (DesignPoint& point : points) {
    point.arch.technology = rtl_gen::Technology::kOsu018;
    rtl_gen::Design design = generate_design(point);
    const std::string what = to_text(design.spec);
    NetlistRun run = simulate_netlist(design, 24, 3);
    EXPECT_TRUE(run.passed) << what << ": " << run.message;
    EXPECT_GT(run.cells, 100) << what;
  }
}

TEST(Netlist, WithALaneThatReadsTheWrongSideFails) {
  rtl_gen::Design design = generate_design(other_kinds()[0]);
  std::string& verilog = design.files[0].text;
  verilog.replace(verilog.find("a_i["), 4, "b_i[");
  EXPECT_FALSE(simulate_netlist(design, 64, 3).passed);
}

}  // namespace
}  // namespace blockdot::explore
