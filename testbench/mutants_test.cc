// Seeded faults in the emitted Verilog: each has to be caught by the driver that the proofs use.
//
// A mutant rewrites the expression of one named signal of a unit without pipeline, where every
// signal has the name that the builder gave it. A mutant that does not apply (no such signal, or
// nothing to rewrite in it), or does not compile, is a failure, not a skip. The unit without its
// fault has to pass the same run.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <regex>

#include "models/golden.h"
#include "sim/cosim/lockstep.h"
#include "testbench/proof.h"

namespace blockdot::testbench {
namespace {

struct Mutant {
  const char* name;
  const char* spec;
  const char* signal;       // whose `assign SIGNAL = EXPRESSION;` is rewritten,
  const char* pattern;      // ECMAScript, what of EXPRESSION
  const char* replacement;  // $1 $2: groups, $&: all
  const char* technology = "generic";
  const char* structure = "";
};

constexpr const char* kAll = "[\\s\\S]+";
constexpr const char* kExact = "a=mxfp8_e4m3 lanes=4 max-k=64 output=bf16";
constexpr const char* kExactSr = "a=mxfp8_e4m3 lanes=4 max-k=64 output=bf16 rounding=sr:8";
constexpr const char* kExactSrc = "a=mxfp4_e2m1 lanes=4 max-k=64 output=e4m3 rounding=src:2";
constexpr const char* kInf = "a=mxfp8_e5m2 lanes=2 max-k=64";
constexpr const char* kFloat = "a=mxfp4_e2m1 lanes=4 max-k=64 accumulator=fp32";
constexpr const char* kFloatSr = "a=mxfp4_e2m1 lanes=4 max-k=64 accumulator=bf16:sr:11";
constexpr const char* kFloatSr2 = "a=mxfp4_e2m1 lanes=4 max-k=64 accumulator=bf16:sr:2";
constexpr const char* kWindow = "a=mxint8 lanes=4 max-k=64 accumulator=kulisch[6:-10]:saturate";
constexpr const char* kSticky =
    "a=mxint8 lanes=4 max-k=64 accumulator=kulisch[6:-10]:saturate:sticky";
// Four segments of eight bits, all within reach of a product.
constexpr const char* kSegments =
    "a=int8 lanes=4 max-k=64 accumulator=kulisch[12:-12]:wrap output=bf16";
constexpr const char* kManySegments =
    "a=mxint8 lanes=4 max-k=64 accumulator=kulisch[40:-60]:wrap output=bf16";
constexpr const char* kAligned = "a=mxfp8_e4m3 lanes=4 max-k=64 accumulator=aligned[7]:bf16";
constexpr const char* kSmallOut = "a=bm8 lanes=2 max-k=32 output=e4m3";
constexpr const char* kMicro = "a=mx9 lanes=4 max-k=64";
constexpr const char* kRow = "a=int8_row lanes=2 max-k=64";
constexpr const char* kMean = "a=nf4_dq b=e5m2 lanes=2 max-k=64 accumulator=fp32";

const Mutant kMutants[] = {
    // Elements and lanes
    {"element_subnormals_have_a_hidden_one", kExact, "a0_sig", "\\{[^,]+,", "{1'b1,"},
    {"sign_of_one_lane_is_flipped", kExact, "neg1", kAll, "~($&)"},
    {"one_lane_is_dropped", kExact, "prod2", kAll, "8'd0"},
    {"exponents_of_two_lanes_are_swapped", kExact, "aligned0_shl", "<< shift0", "<< shift1"},
    {"bias_of_the_scales_is_one_off", kExact, "scale_shift", kAll, "($&) + 9'd1"},
    // NaN and Inf
    {"nan_of_one_lane_is_missed", kExact, "b3_nan", kAll, "1'b0"},
    {"nan_of_a_scale_is_missed", kExact, "b_scale_not_finite", kAll, "1'b0"},
    {"nan_outlives_its_result", kExact, "nan_d", kAll, "($&) | nan_q"},
    {"inf_is_forgotten_after_its_beat", kInf, "plus_inf_d", "plus_inf_q", "1'b0"},
    {"infs_of_both_signs_are_no_nan", kInf, "result_nan", kAll, "nan_d"},
    // Framing and state
    {"first_is_ignored", kExact, "start", kAll, "1'b0"},
    {"bubbles_are_accumulated", kExact, "addend", "\\w+ \\? (\\w+) : [\\s\\S]+", "$1"},
    {"accumulator_is_one_bit_narrow", kExact, "acc_d", kAll, ""},  // see mutate()
    {"held_overflow_is_forgotten", kFloat, "acc_held_d", "\\? \\w+ :", "? 1'b0 :"},
    // Rounding
    {"sticky_bit_is_dropped", kExact, "out_sticky", kAll, "1'b0"},
    {"bits_that_leave_the_field_are_dropped", kFloat, "lost", kAll, "1'b0"},
    {"ties_go_away_from_zero", kFloat, "round_up", "^(\\S+) &[\\s\\S]+", "$1"},
    {"ties_go_towards_zero", kExact, "out_up", "\\{[^,]+,", "{1'b0,"},
    {"exponent_of_the_result_is_one_off", kSmallOut, "out_exp", "\\? (\\w+)", "? $1 + 5'd1"},
    {"subnormal_results_are_flushed", kSmallOut, "out_code", kAll, "(|out_exp) ? ($&) : 0"},
    {"overflow_stays_finite", kSmallOut, "out_overflow", kAll, "1'b0"},
    // The random stream
    {"lfsr_tap_is_moved", kExactSr, "lfsr_next24", "lfsr_q\\[0\\]", "lfsr_q[1]"},
    {"lfsr_stands_still", kExactSr, "lfsr_after", "\\? \\w+ :", "? lfsr_q :"},
    {"lfsr_moves_on_bubbles", kFloatSr, "lfsr_after", ": \\w+$", ": lfsr_moved"},
    {"an_eager_place_is_missed", kFloatSr, "round_up2", kAll, "1'b0", "generic", "rounding=eager"},
    {"eager_takes_its_neighbours_place", kFloatSr, "round_up", "\\[0\\]", "[1]", "generic",
     "rounding=eager"},
    {"eager_sum_of_ones_goes_up", kFloatSr2, "round_up1", kAll, "($&) | (&round_tail1[1:0])",
     "generic", "rounding=eager"},
    {"lazy_sum_of_ones_goes_up", kFloatSr2, "round_up", kAll, "($&) | (&round_tail[1:0])",
     "generic", "rounding=lazy"},
    {"lazy_bits_are_one_place_too_high", kFloatSr, "round_tail", "random", "random[9:0], 1'b0",
     "generic", "rounding=lazy"},
    {"tie_before_the_draw_is_not_even", kExactSrc, "out_tail_one", " \\| \\w+\\[16\\]\\)", ")"},
    {"seed_load_is_ignored", kExactSr, "lfsr_d", "seed_load_i \\?", "1'b0 ?"},
    // Window and second level
    {"window_saturates_one_step_early", kWindow, "acc_d_mux", "'hffff", "'hfffe"},
    {"window_wraps_where_it_saturates", kWindow, "acc_d_out", kAll, "1'b0"},
    {"second_levels_of_two_groups_are_swapped", kMicro, "shift0", "a_micro_i\\[0\\]",
     "a_micro_i[1]"},
    {"lost_bits_are_forgotten", kSticky, "lost_d", "lost_q", "1'b0"},
    // Aligned accumulator
    {"accumulator_never_leads", kAligned, "acc_larger", kAll, "1'b0"},
    {"product_out_of_reach_is_not_cut", kAligned, "aligned0_mux", "\\? 5'd9", "? 5'd8"},
    {"accumulator_out_of_reach_is_not_cut", kAligned, "moved_acc_bits_7_0_mux", "\\? 9'h8",
     "? 9'h7", "generic", "sum=compress"},
    {"products_stay_where_the_accumulator_leads", kAligned, "products_shift", kAll, "9'd0"},
    {"product_of_zero_leads", kAligned, "exp1", "5'd0", "shift1"},
    // Segments
    {"carry_stops_at_a_full_segment", kSegments, "carry_through", kAll, "carry_out", "generic",
     "accumulator=segmented:8"},
    {"carry_into_a_middle_segment_is_lost", kSegments, "carry2_d", kAll, "1'b0", "generic",
     "accumulator=segmented:8"},
    {"carry_outlives_its_result", kSegments, "carry1_q_and_continues", " & [\\s\\S]+", "",
     "generic", "accumulator=segmented:8,sum=compress"},
    {"carry_misses_the_result", kSegments, "raised2_add", "carry2_d", "1'b0", "generic",
     "accumulator=segmented:8"},
    {"carry_far_from_both_ends_is_lost", kManySegments, "carry3_d", kAll, "1'b0", "generic",
     "accumulator=segmented:16"},
    // Factors
    {"remainder_of_the_division_is_lost", kRow, "out_sticky", kAll, "1'b0"},
    {"factor_of_zero_keeps_the_sign", kRow, "out_neg", "& [\\s\\S]+", ""},
    {"sign_of_a_factor_is_lost", kMean, "a_factor_neg", kAll, "1'b0"},
    {"overflow_of_a_factor_is_missed", kMean, "a_factor_not_finite", kAll, "1'b0"},
    // Structures
    {"booth_digits_of_two_are_missed", kWindow, "row1_2_two", kAll, "1'b0", "osu018",
     "multiplier=booth"},
    {"booth_row_is_not_complemented", kWindow, "row1_2_turned", "\\^ \\{8\\{a_i\\[13\\]\\}\\}", "",
     "osu018", "multiplier=booth"},
    {"shifter_fills_with_zeros", kExact, "aligned1_by4", "\\{4\\{neg1\\}\\}\\}", "4'd0}", "osu018",
     "align=shift,signs=before"},
    {"full_adder_loses_a_carry", kExact, "sum_c5_fa0", "\\) \\| \\(", ") & (", "osu018",
     "align=shift,signs=before"},
    {"prefix_group_takes_no_carry", kExact, "sum_gen2", "^\\w+ \\| ", "", "osu018",
     "align=shift,signs=before,adder=sklansky"},
    {"carry_between_groups_is_lost", kExact, "sum_carry1_1", "\\) \\| \\(", ") & (", "osu018",
     "align=shift,signs=negate,adder=sparse"},
    {"negated_zero_is_below_zero", kExact, "turned0_minus", "^(\\w+) & [\\s\\S]+", "$1", "generic",
     "align=shift,signs=negate"},
    {"negated_product_stays_above_zero", kExact, "turned1_minus", kAll, "1'b0", "osu018",
     "align=shift,signs=negate"},
    {"sign_of_a_split_shift_is_lost", kExact, "turned2_minus", kAll, "1'b0", "osu018",
     "align=split,signs=negate"},
    {"difference_is_a_sum", kExact, "sum0_minus", kAll, "1'b0", "xilinx",
     "align=split,signs=relative"},
    {"split_shift_goes_to_another_place", kExact, "aligned0_place", kAll, "~($&)", "xilinx",
     "align=split,signs=relative"},
};

// The position of the expression of `signal`, and its length.
std::pair<size_t, size_t> expression(const std::string& verilog, const std::string& signal) {
  std::string head = fmt::format("  assign {} = ", signal);
  size_t at = verilog.find(head);
  if (at == std::string::npos) return {0, 0};
  at += head.size();
  return {at, verilog.find(';', at) - at};
}

int width_of(const std::string& verilog, const std::string& signal) {
  std::smatch found;
  std::regex declaration("wire \\[(\\d+):0\\] " + signal + ";");
  return std::regex_search(verilog, found, declaration) ? std::stoi(found[1]) + 1 : 1;
}

// The verilog with its fault, or empty where that does not apply.
std::string mutate(const std::string& verilog, const Mutant& mutant) {
  auto [at, length] = expression(verilog, mutant.signal);
  if (length == 0) return "";
  std::string old = verilog.substr(at, length);
  std::string changed;
  if (std::string_view(mutant.name) == "accumulator_is_one_bit_narrow") {
    // The sign bit repeats the bit below it.
    int width = width_of(verilog, mutant.signal);
    changed = fmt::format("{{narrow[{0}], narrow[{0}:0]}};\n  wire [{1}:0] narrow = {2}", width - 2,
                          width - 1, old);
  } else {
    changed = std::regex_replace(old, std::regex(mutant.pattern), mutant.replacement,
                                 std::regex_constants::format_first_only);
  }
  if (changed == old) return "";
  return verilog.substr(0, at) + changed + verilog.substr(at + length);
}

Exercise exercise_of(const formats::DotSpec& spec) { return make_exercise(spec, base_seed(), 200); }

rtl_gen::Unit unit_of(const char* spec, bool combinational, const char* technology = "generic",
                      const char* structure = "") {
  rtl_gen::Arch arch;
  arch.technology = rtl_gen::parse_technology(technology);
  arch.structure = rtl_gen::parse_structure(structure);
  arch.combinational = combinational;
  return rtl_gen::generate(rtl_gen::UnitKind::kDot, formats::parse_dot_spec(spec), arch);
}

class EveryMutant : public ::testing::TestWithParam<Mutant> {};
INSTANTIATE_TEST_SUITE_P(Seeded, EveryMutant, ::testing::ValuesIn(kMutants),
                         [](const auto& p) { return std::string(p.param.name); });

TEST_P(EveryMutant, IsCaught) {
  const Mutant& mutant = GetParam();
  formats::DotSpec spec = formats::parse_dot_spec(mutant.spec);
  rtl_gen::Unit unit =
      unit_of(mutant.spec, /*combinational=*/true, mutant.technology, mutant.structure);
  std::string faulty = mutate(unit.verilog, mutant);
  ASSERT_FALSE(faulty.empty()) << "the fault does not apply: " << mutant.signal << "\n"
                               << unit.verilog;
  Exercise exercise = exercise_of(spec);
  Outcome sound = check_verilog(unit.verilog, unit.report, spec, exercise);
  EXPECT_TRUE(sound.passed()) << "without its fault: " << sound.mismatch;
  Outcome outcome = check_verilog(faulty, unit.report, spec, exercise);
  EXPECT_FALSE(outcome.mismatch.empty()) << outcome.checked << " results passed";
}

// What the lock-step's explanation makes of a fault: the stage that it sits in.
struct Staged {
  const char* name;
  const char* spec;
  const char* signal;
  const char* pattern;
  const char* replacement;
  const char* stage;
};

constexpr const char* kSmall = "a=mxfp4_e2m1 lanes=4 max-k=64 output=e4m3";
constexpr const char* kHalf = "a=mxfp4_e2m1 lanes=4 max-k=64 accumulator=bf16 output=bf16";

const Staged kStaged[] = {
    {"lane_dropped", kExact, "prod2", kAll, "8'd0", "product of lane 2: lane 2 alone gives 0x0000"},
    {"lane_negated", kExact, "neg1", kAll, "~($&)", "product of lane 1"},
    {"lane_shifted", kExact, "aligned0_shl", "<< shift0", "<< shift1", "product of lane 0"},
    {"lane_loses_a_bit", kFloat, "prod3", kAll, "($&) & 6'd62", "product of lane 3"},
    {"lane_of_zeros_counts", kFloat, "prod3", kAll, "~($&)",
     "product of a lane, or sum: zeros in all of them give"},
    {"scale_off_by_one", kExact, "scale_shift", kAll, "($&) + 9'd1",
     "shared exponent: every lane alone gives 2 times what it should"},
    {"scale_loses_a_bit", kExact, "scale_shift", kAll, "($&) | 9'd1", "shared exponent"},
    {"sum_with_a_wrong_carry", kExact, "sum", kAll, "($&) + {4'd0, |prod1 & |prod2, 34'd0}",
     "sum of the lanes"},
    {"accumulator_cleared", kExact, "acc_d_mux", "acc_q", "(acc_q & {551{~|addend}})",
     "accumulate: the beat alone gives"},
    {"float_accumulator_loses_bits", kFloat, "base_code", "acc_code_q",
     "{acc_code_q[30:21], 21'd0}", "accumulate: the beat alone gives"},
    {"ties_away_from_zero", kSmall, "out_up", "^(\\S+) &[\\s\\S]+", "$1", "rounding: "},
    {"ties_towards_zero", kSmall, "out_up", "\\{[^,]+,", "{1'b0,", "rounding: "},
    {"float_accumulator_truncates", kHalf, "round_up", kAll, "1'b0", "rounding: "},
};

class EveryStage : public ::testing::TestWithParam<Staged> {};
INSTANTIATE_TEST_SUITE_P(Seeded, EveryStage, ::testing::ValuesIn(kStaged),
                         [](const auto& p) { return std::string(p.param.name); });

TEST_P(EveryStage, IsNamed) {
  const Staged& staged = GetParam();
  const formats::DotSpec spec = formats::parse_dot_spec(staged.spec);
  rtl_gen::Unit unit = unit_of(staged.spec, /*combinational=*/true);
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> x(24 * 32), y(24 * 32);
  for (float& v : x) v = normal(random);
  for (float& v : y) v = normal(random);
  const auto a = formats::quantize(spec.a, formats::row_major(x.data(), 24, 32));
  const auto b = formats::quantize(spec.b, formats::row_major(y.data(), 24, 32));
  const auto golden = models::gemm_golden(spec, a, b);
  unit.verilog = mutate(
      unit.verilog, {staged.name, staged.spec, staged.signal, staged.pattern, staged.replacement});
  ASSERT_FALSE(unit.verilog.empty()) << "the fault does not apply";
  const sim::LockstepRun run =
      sim::run_lockstep(sim::Model::load(sim::model_source(unit)), unit.report, spec, a, b,
                        golden.codes, staged.name);
  ASSERT_GT(run.mismatches, 0) << "no operands show the fault";
  EXPECT_NE(run.first_mismatch.find(std::string("\n  stage: ") + staged.stage), std::string::npos)
      << run.first_mismatch;
}

// Faults of a pipeline.
class Pipeline : public ::testing::Test {
 protected:
  Pipeline()
      : spec_(formats::parse_dot_spec(kExactSr)),
        unit_(unit_of(kExactSr, /*combinational=*/false)) {}

  void expect_caught(const std::string& from, const std::string& to) {
    std::smatch found;
    ASSERT_TRUE(std::regex_search(unit_.verilog, found, std::regex(from))) << from;
    std::string faulty = std::regex_replace(unit_.verilog, std::regex(from), to,
                                            std::regex_constants::format_first_only);
    ASSERT_NE(faulty, unit_.verilog);
    Outcome outcome = check_verilog(faulty, unit_.report, spec_, exercise_of(spec_));
    EXPECT_FALSE(outcome.mismatch.empty()) << outcome.checked << " results passed";
  }

  formats::DotSpec spec_;
  rtl_gen::Unit unit_;
};

TEST_F(Pipeline, ResultsOneCycleLateAreCaught) {
  expect_caught("assign valid_o = (\\w+);\\s+assign result_o = (\\w+);",
                "reg late_q;\n  reg [15:0] late_result_q;\n  always @(posedge clk_i) begin\n"
                "    late_q <= $1;\n    late_result_q <= $2;\n  end\n"
                "  assign valid_o = late_q;\n  assign result_o = late_result_q;");
}

TEST_F(Pipeline, AReportedLatencyThatIsOneTooSmallIsCaught) {
  --unit_.report.latency;
  Outcome outcome = check_verilog(unit_.verilog, unit_.report, spec_, exercise_of(spec_));
  EXPECT_FALSE(outcome.mismatch.empty());
}

TEST_F(Pipeline, AMissingPipelineRegisterIsCaught) {
  expect_caught("random_s2_q <= random_s1_q;", "random_s2_q <= random;");
}

TEST_F(Pipeline, AValidThatReadsNoResetIsCaught) {
  expect_caught("done_s2_q <= rst_ni \\? done_s1_q : 1'b0;", "done_s2_q <= done_s1_q;");
}

TEST_F(Pipeline, AnLfsrWithoutResetIsCaught) {
  expect_caught("if \\(!rst_ni\\) lfsr_q <= SEED_STATE;", "if (!rst_ni) lfsr_q <= lfsr_d;");
}

}  // namespace
}  // namespace blockdot::testbench
