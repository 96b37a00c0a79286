// Proofs of good units, and of units that are wrong in one lane, in the sum, or behind it. The
// oracle of `lanes` and `beats` is the golden model, of `sum` rewriting and an outside equivalence
// checker.
#include "explore/prove.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <regex>

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

// A fault in an output of the unit: $1 becomes `faulty`.
struct Fault {
  const char* name;
  const char* design;  // keys of a design file
  const char* output;
  const char* faulty;
  const char* step;  // that is to say FAILED
};

// Each is none for any one lane whose others are zero: it takes what two lanes or groups have
// together, or what all of them share.
const Fault kFaults[] = {
    {"two lanes of the only group", "a='mx9'\nlanes=2", "sum_o",
     "a_i == 16'hb5c7 && b_i == 16'h1234 ? ~$1 : $1", "sum"},
    {"two lanes of one group of two", "a='mx9'\nlanes=4", "sum_o",
     "$1 + (a_i[15:0] == 16'hb5c7 && b_i[15:0] == 16'h1234)", "sum"},
    {"two lanes of a group, and its exponent", "a='mx4'\nlanes=4", "sum_o",
     "a_i[5:0] == 6'o35 && b_i == 12'o1253 && a_micro_i == 2'b01 ? ~$1 : $1", "sum"},
    {"exponents of two groups", "a='mx4'\nlanes=4", "sum_o", "$1 + (&a_micro_i)", "sum"},
    {"exponents of two sides of two groups", "a='mx4'\nlanes=4", "sum_o",
     "$1 + (a_micro_i[0] & b_micro_i[1])", "sum"},
    {"groups of either side of other sizes", "a='mx4'\nb='sm1@e8m0/16+u1/8'\nlanes=8", "sum_o",
     "$1 + (a_i[5:0] == 6'o35 && b_i[3:0] == 4'b0111)", "sum"},
    {"two lanes", "a='mxfp4'\nlanes=2", "sum_o", "$1 + (a_i == 8'h35 && b_i == 8'h42)", "sum"},
    {"a lane and its scale", "a='mxfp8_e4m3'\nlanes=1", "sum_o",
     "$1 + (a_i == 8'h35 && a_scale_i == 8'd7)", "sum"},
    {"the flag of a lane and its scale", "a='mxfp8_e4m3'\nlanes=2", "nan_o",
     "$1 | (a_i[7:0] == 8'h35 && a_scale_i == 8'd7)", "sum"},
    {"the flag of two lanes", "a='mxfp8_e4m3'\nlanes=2", "nan_o", "$1 | (a_i == 16'h3535)", "sum"},
    {"two NaN", "a='mxfp8_e4m3'\nlanes=2", "nan_o", "$1 & (a_i != 16'h7f7f)", "sum"},
    {"lanes that do not count", "a='binary'\nlanes=4", "sum_o", "$1 + (count_i == 3'd2)", "lanes"},
    {"two terms of a lane", "unit='multi'\nmodes='e4m3,e2m1'\nlanes=2", "sum_o",
     "$1 + (mode_i && a_i[7:0] == 8'h35)", "sum"},
    {"a term and what its mode does not use", "unit='multi'\nmodes='e4m3,e3m2'\nlanes=2", "sum_o",
     "$1 + (mode_i && a_i[7:0] == 8'h95)", "sum"},
    {"the exponent of a group", "unit='quantizer'\na='mx4'\ninput='bf16'", "micro_o", "$1 ^ x_i[9]",
     "values"},
};

TEST(Prove, NeverProvesAUnitWithAFaultThatNoLaneHasAlone) {
  for (const Fault& fault : kFaults) {
    std::string design = fault.design;
    if (design.find("unit") == std::string::npos) design = "unit='block-dot'\n" + design;
    const DesignPoint point = parse_design_file("[[design]]\n" + design, "fault.toml").points.at(0);
    ProveOptions options;
    options.beats = 20;
    int altered = 0;
    options.alter = [&](std::string& verilog) {
      const std::regex assign(std::string("assign ") + fault.output + " = ([^;]+);");
      if (!std::regex_search(verilog, assign)) return;
      ++altered;
      verilog = std::regex_replace(
          verilog, assign, std::string("assign ") + fault.output + " = " + fault.faulty + ";");
    };
    std::string seen;
    for (const ProofStep& step : prove(point, options))
      if (step.what == fault.step) seen = to_text(step.verdict);
    EXPECT_EQ(seen, "FAILED") << fault.name;
    EXPECT_GE(altered, 2) << fault.name;  // what is shipped and what is proved
  }
}

TEST(Prove, SamplesAsManyBeatsAsAskedFor) {
  const auto cases_of = [](const char* design, std::optional<std::int64_t> beats) {
    ProveOptions options;
    options.beats = beats;
    std::vector<double> done;
    options.progress = [&](std::string_view, double share) { done.push_back(share); };
    const std::vector<ProofStep> steps =
        prove(parse_design_file(std::string("[[design]]\n") + design, "design.toml").points.at(0),
              options);
    EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
    EXPECT_LT(done.back(), 1);
    EXPECT_EQ(steps.back().what, "vectors");
    EXPECT_EQ(steps.back().verdict, Verdict::kSampled);
    return steps.back().cases;
  };
  const char* block_dot = "unit='block-dot'\na='mxfp4'\nlanes=2";
  EXPECT_EQ(cases_of(block_dot, {}), 2000);
  EXPECT_EQ(cases_of(block_dot, 5000), 5000);
  EXPECT_GE(cases_of("unit='quantizer'\na='e2m1@e8m0/4'\ninput='bf16'\nlanes=2", 5000), 5000);
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
