// The oracle of `splits` and `register_step` is ABC, of `run_accumulator` and `run_beats` the
// golden accumulator. Each must also find a seeded fault.
#include "explore/accumulator_proof.h"

#include <gtest/gtest.h>

#include <regex>

namespace blockdot::explore {
namespace {

formats::MultiSpec spec_of(const std::string& accumulator, const char* rounding = "rne") {
  formats::DotSpecText text;
  text.lanes = "2";
  text.accumulator = accumulator;
  text.output = "bf16";
  text.rounding = rounding;
  return formats::resolve_multi("e5m2,e2m1", "", text);
}

constexpr int kSeconds = 60;

TEST(AccumulatorProof, SplitsTheUnitInEveryMode) {
  for (const auto& [accumulator, rounding] :
       {std::pair{"kulisch", "rne"}, {"kulisch[20:-8]", "sr:6"}, {"bf16:sr:6", "sr:6"}}) {
    const formats::MultiSpec spec = spec_of(accumulator, rounding);
    const MultiHalves halves = multi_halves(spec, {});
    for (int mode = 0; mode < 2; ++mode)
      EXPECT_EQ(splits(halves, mode, kSeconds), Answer::kEqual) << accumulator << " mode " << mode;
  }
}

TEST(AccumulatorProof, ProvesTheWordOfFixedPointAccumulatorsForAllSums) {
  for (const char* accumulator :
       {"kulisch", "kulisch[20:-8]", "kulisch[20:-8]:wrap", "kulisch[20:-8]:sticky"}) {
    const formats::MultiSpec spec = spec_of(accumulator);
    const MultiHalves halves = multi_halves(spec, {});
    ASSERT_TRUE(has_register_step(*spec.accumulation, halves.accumulator)) << accumulator;
    EXPECT_EQ(register_step(halves.accumulator, spec, kSeconds), Answer::kEqual) << accumulator;
  }
  const formats::MultiSpec spec = spec_of("bf16");
  EXPECT_FALSE(has_register_step(*spec.accumulation, multi_halves(spec, {}).accumulator));
}

TEST(AccumulatorProof, RunsEveryKindAgainstTheGoldenAccumulator) {
  for (const auto& [accumulator, rounding] : {std::pair{"kulisch", "src:5"},
                                              {"kulisch[20:-8]", "rne"},
                                              {"bf16", "rne"},
                                              {"bf16:sr:6", "sr:6"},
                                              {"fp32", "rne"}}) {
    const formats::MultiSpec spec = spec_of(accumulator, rounding);
    const AccumulatorRun run = run_accumulator(multi_halves(spec, {}).accumulator, spec, 20'000, 1);
    EXPECT_EQ(run.difference, "") << accumulator;
    EXPECT_GT(run.results, 200);
  }
}

TEST(AccumulatorProof, RunsAnAlignedAccumulatorBehindItsProductsAndFindsOneBitLess) {
  for (const char* accumulator : {"aligned[4]:bf16:rne", "aligned[6]:fp32:sr:6"}) {
    const formats::MultiSpec spec = spec_of(accumulator);
    const rtl_gen::Unit unit = rtl_gen::generate(spec, {});
    const AccumulatorRun run = run_beats(unit, spec, 20'000, 1);
    EXPECT_EQ(run.difference, "") << accumulator;
    EXPECT_GT(run.results, 200);
    formats::MultiSpec more = spec;
    ++more.accumulation->accumulator.fraction_bits;
    EXPECT_NE(run_beats(unit, more, 20'000, 1).difference, "") << accumulator;
  }
}

// A result that starts from what the one before it left.
std::string never_cleared(const std::string& verilog, const std::string& state) {
  const std::regex clears("= start \\? [0-9]+'h0 : " + state + ";");
  EXPECT_TRUE(std::regex_search(verilog, clears)) << verilog;
  return std::regex_replace(verilog, clears, "= " + state + ";");
}

TEST(AccumulatorProof, FindsAFaultOfTheAccumulator) {
  for (const auto& [accumulator, state] : {std::pair{"kulisch", "acc_q"}, {"bf16", "acc_code_q"}}) {
    const formats::MultiSpec spec = spec_of(accumulator);
    const MultiHalves right = multi_halves(spec, {});
    MultiHalves wrong = right;
    wrong.whole.verilog = never_cleared(right.whole.verilog, state);
    EXPECT_EQ(splits(wrong, 1, kSeconds), Answer::kDifferent) << accumulator;
    wrong.accumulator.verilog = never_cleared(right.accumulator.verilog, state);
    EXPECT_NE(run_accumulator(wrong.accumulator, spec, 2000, 1).difference, "") << accumulator;
    if (has_register_step(*spec.accumulation, wrong.accumulator)) {
      EXPECT_EQ(register_step(wrong.accumulator, spec, kSeconds), Answer::kDifferent);
    }
  }
}

}  // namespace
}  // namespace blockdot::explore
