// Proof instead of samples: Yosys' SAT solver shows, for all inputs, that the emitted block dot of
// a few E2M1 lanes equals a behavioural description written by hand from the value table of OCP MX
// v1.0, table 5 (0, 0.5, 1, 1.5, 2, 3, 4, 6). It shares nothing with this project: a second oracle
// beside the golden model.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rtl_gen/generate.h"
#include "rtl_gen/testing/simulate.h"

namespace blockdot::testbench {
namespace {

// Products in quarters: half times half. Tight widths keep the proof short.
std::string oracle(int lanes, int sum_width) {
  std::string products, sum;
  for (int j = 0; j < lanes; ++j) {
    products += fmt::format(
        "  wire [7:0] product{0} = halves(a_i[{1}:{2}]) * halves(b_i[{1}:{2}]);\n"
        "  wire signed [8:0] term{0} =\n"
        "      a_i[{3}] ^ b_i[{3}] ? 9'sd0 - $signed({{1'b0, product{0}}})\n"
        "                        : $signed({{1'b0, product{0}}});\n",
        j, 4 * j + 2, 4 * j, 4 * j + 3);
    sum += fmt::format("{}term{}", j == 0 ? "" : " + ", j);
  }
  return fmt::format(R"(
module prove (input [{0}:0] a_i, input [{0}:0] b_i, output equal_o);
  function [3:0] halves (input [2:0] code);
    case (code)
      3'd0: halves = 4'd0;
      3'd1: halves = 4'd1;
      3'd2: halves = 4'd2;
      3'd3: halves = 4'd3;
      3'd4: halves = 4'd4;
      3'd5: halves = 4'd6;
      3'd6: halves = 4'd8;
      3'd7: halves = 4'd12;
    endcase
  endfunction
{2}  wire signed [{1}:0] expected = {3};
  wire signed [{1}:0] sum;
  unit unit_under_proof (.a_i(a_i), .b_i(b_i), .sum_o(sum));
  assign equal_o = expected == sum;
endmodule
)",
                     4 * lanes - 1, sum_width - 1, products, sum);
}

rtl_gen::Unit block_dot(int lanes, rtl_gen::Technology technology = rtl_gen::Technology::kGeneric,
                        std::string_view structure = "") {
  formats::DotSpec spec = formats::parse_dot_spec(fmt::format("a=e2m1 lanes={}", lanes));
  rtl_gen::Arch arch;
  arch.combinational = true;
  arch.technology = technology;
  arch.structure = rtl_gen::parse_structure(structure);
  return rtl_gen::generate(rtl_gen::UnitKind::kBlockDot, spec, arch);
}

// Exit code of the proof: 0 where the solver shows equality.
int prove(const std::string& verilog, int lanes, int sum_width, std::string& log) {
  int code = -1;
  log = rtl_gen::testing::run_yosys({{"unit.v", verilog},
                                     {"prove.v", oracle(lanes, sum_width)},
                                     {"cells.v", rtl_gen::kCellModels}},
                                    "read_verilog unit.v prove.v cells.v\nhierarchy -check -top "
                                    "prove\nproc -norom\nflatten\nopt -full\nwreduce\nopt -full\n"
                                    "sat -verify -prove equal_o 1 prove\n",
                                    code);
  return code;
}

void expect_proof(int lanes, rtl_gen::Technology technology = rtl_gen::Technology::kGeneric,
                  std::string_view structure = "") {
  rtl_gen::Unit unit = block_dot(lanes, technology, structure);
  ASSERT_EQ(unit.report.sum_lsb, -2) << "the oracle counts in quarters";
  // The largest sum is lanes * 6 * 6 = 144 lanes quarters; tight means not a bit more.
  int width = 1;
  while ((1 << (width - 1)) - 1 < 144 * lanes) ++width;
  EXPECT_EQ(unit.report.sum_width, width);
  std::string log;
  EXPECT_EQ(prove(unit.verilog, lanes, width, log), 0) << log;
}

#ifdef BLOCKDOT_LONG_PROOFS

TEST(SatProof, BlockDotOfFourLanesEqualsTheOracleForAllInputs) { expect_proof(4); }

#else

TEST(SatProof, BlockDotOfTwoLanesEqualsTheOracleForAllInputs) { expect_proof(2); }
TEST(SatProof, BlockDotOfThreeLanesEqualsTheOracleForAllInputs) { expect_proof(3); }

TEST(SatProof, ThreeLanesOfLibraryCellsEqualTheOracleForAllInputs) {
  const rtl_gen::Unit unit = block_dot(3, rtl_gen::Technology::kOsu018);
  EXPECT_NE(unit.verilog.find("FAX1"), std::string::npos);
  expect_proof(3, rtl_gen::Technology::kOsu018);
}
TEST(SatProof, ThreeLanesOnCarryChainsEqualTheOracleForAllInputs) {
  expect_proof(3, rtl_gen::Technology::kXilinx);
}

TEST(SatProof, TablesBucketsSixCountersAndHalfAdderCellsEqualTheOracleForAllInputs) {
  using rtl_gen::Technology;
  expect_proof(3, Technology::kXilinx, "multiplier=table,sum=chain");
  expect_proof(3, Technology::kXilinx, "align=bucket,sum=chain");
  const std::string_view six = "align=bucket,counters=6:3,cells=library";
  const std::string text = block_dot(2, Technology::kOsu018, six).verilog;
  EXPECT_NE(text.find("HAX1"), std::string::npos);
  EXPECT_NE(text.find("_six"), std::string::npos);
  expect_proof(2, Technology::kOsu018, six);
}

TEST(SatProof, ProductsNegatedBeforeTheirShifterEqualTheOracleForAllInputs) {
  expect_proof(3, rtl_gen::Technology::kOsu018, "align=shift,signs=negate");
  expect_proof(3, rtl_gen::Technology::kOsu018, "align=split,signs=negate,adder=sparse");
}

// Simulators read gates where synthesis reads cells: a cell that is wired wrongly is found here.
TEST(SatProof, FindsAWrongCell) {
  const rtl_gen::Unit right = block_dot(3, rtl_gen::Technology::kOsu018);
  std::string wrong = right.verilog;
  const size_t carry = wrong.find(".YC("), sum = wrong.find(".YS(", carry);
  ASSERT_NE(sum, std::string::npos) << wrong;
  wrong[carry + 2] = 'S';
  wrong[sum + 2] = 'C';
  std::string log;
  EXPECT_NE(prove(wrong, 3, right.report.sum_width, log), 0) << "the proof proves anything";
  EXPECT_NE(log.find("proof did fail"), std::string::npos) << log;
}

TEST(SatProof, FindsAWrongUnit) {
  rtl_gen::Unit right = block_dot(2);
  std::string wrong = right.verilog;
  size_t input = wrong.find("b_i[");
  ASSERT_NE(input, std::string::npos) << wrong;
  wrong[input] = 'a';
  std::string log;
  EXPECT_NE(prove(wrong, 2, right.report.sum_width, log), 0) << "the proof proves anything";
  EXPECT_NE(log.find("proof did fail"), std::string::npos) << log;
}

#endif

}  // namespace
}  // namespace blockdot::testbench
