// Proof instead of samples: Yosys' SAT solver shows, for all pairs of bfloat16 values, that the
// quantiser's codes are those of a behavioural description written by hand from OCP MX v1.0, 6.3
// (scale) and 5.3 (element values): every element is found by comparing |x| with the scale times
// the midpoints between neighbouring values, ties to the even code. It shares nothing with this
// project, and neither rounds nor divides.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rtl_gen/testing/simulate.h"
#include "rtl_gen/units/quantizer.h"

namespace blockdot::testbench {
namespace {

rtl_gen::Unit quantizer(const char* format, int lanes) {
  rtl_gen::QuantizerSpec spec;
  spec.format = formats::parse_block_format(fmt::format("{}/{}", format, lanes));
  spec.input = formats::parse_element("bf16");
  rtl_gen::Arch arch;
  arch.combinational = true;
  return generate_quantizer(spec, arch);
}

struct Oracle {
  std::vector<int> values;  // of the magnitude codes, in units of 2^-unit
  int unit;
  int low, high;  // |x| / scale below 2^low lies under all midpoints, from 2^high on above them
};

// `scale` declares scale_exponent and scale_significand (1 to 15), so that |x| / scale is
// m * 2^(e - scale_exponent - 7) / scale_significand with the fields e0, m0, e1, ... of the values,
// and scale_holds: it is the right scale.
std::string model(const Oracle& oracle, int lanes, int code_bits, const std::string& scale,
                  int scale_bits) {
  // m * 2^(d - 7) against s * (v[c] + v[c+1]) / 2^(unit + 1), both in units of 2^(low - 12), as
  // s is less than 16.
  std::string text = fmt::format(R"(
module prove (input [{0}:0] x_i, output equal_o);
  wire [{1}:0] elements;
  wire [{2}:0] scale;
  quantizer unit_under_proof (.valid_i(1'b1), .valid_o(), .x_i(x_i), .elements_o(elements),
                              .scale_o(scale));
)",
                                 16 * lanes - 1, code_bits * lanes - 1, scale_bits - 1);
  std::string finite, same;
  for (int j = 0; j < lanes; ++j) {
    text += fmt::format(
        "  wire [7:0] e{0} = x_i[{1}:{2}] == 8'd0 ? 8'd1 : x_i[{1}:{2}];\n"
        "  wire [7:0] m{0} = {{x_i[{1}:{2}] != 8'd0, x_i[{3}:{4}]}};\n",
        j, 16 * j + 14, 16 * j + 7, 16 * j + 6, 16 * j);
    finite += fmt::format("{}(e{} != 8'd255)", j ? " & " : "", j);
    same += fmt::format("{}(code{} == elements[{}:{}])", j ? " & " : "", j, code_bits * (j + 1) - 1,
                        code_bits * j);
  }
  text += fmt::format("  wire finite = {};\n{}", finite, scale);
  for (int j = 0; j < lanes; ++j) {
    text += fmt::format(
        "  wire signed [10:0] d{0} = $signed({{3'b0, e{0}}}) - $signed(scale_exponent);\n"
        "  wire signed [10:0] up{0} = d{0} + 11'sd{1};\n"
        "  wire [39:0] place{0} = {{32'd0, m{0}}} << up{0}[4:0];\n",
        j, 5 - oracle.low);
    std::string sum;
    for (size_t c = 0; c + 1 < oracle.values.size(); ++c) {
      const std::int64_t middle = std::int64_t{oracle.values[c] + oracle.values[c + 1]}
                                  << (11 - oracle.low - oracle.unit);
      // At a tie code c stays where it is even.
      text += fmt::format(
          "  wire pass{0}_{1} = d{0} >= 11'sd{4} ? m{0} != 8'd0 : up{0} < 11'sd0 ? 1'b0 :\n"
          "      place{0} {2} {{36'd0, scale_significand}} * 40'd{3};\n",
          j, c, c % 2 == 0 ? ">" : ">=", middle, oracle.high + 4);
      sum += fmt::format("{}{{{}'d0, pass{}_{}}}", c ? " + " : "", code_bits - 2, j, c);
    }
    text += fmt::format(
        "  wire [{1}:0] magnitude{0} = {2};\n"
        "  wire [{3}:0] code{0} = finite ? {{x_i[{4}], magnitude{0}}} : {5}'d0;\n",
        j, code_bits - 2, sum, code_bits - 1, 16 * j + 15, code_bits);
  }
  return text + fmt::format("  assign equal_o = {} & scale_holds;\nendmodule\n", same);
}

// OCP MX v1.0, 6.3: floor(log2 amax) - emax, the exponent field of the largest but for the bias;
// subnormals lie below what the scale can follow.
std::string e8m0(int lanes, int emax) {
  std::string text = "  wire [7:0] most0 = e0;\n";
  for (int j = 1; j < lanes; ++j)
    text += fmt::format("  wire [7:0] most{0} = e{0} > most{1} ? e{0} : most{1};\n", j, j - 1);
  return text + fmt::format(
                    "  wire [10:0] scale_exponent = most{0} < 8'd{1} ? 11'd0 : {{3'd0, most{0}}} - "
                    "11'd{1};\n"
                    "  wire [3:0] scale_significand = 4'd1;\n"
                    "  wire scale_holds = scale == (finite ? scale_exponent[7:0] : 8'd255);\n",
                    lanes - 1, emax);
}

// 0, 0.5, 1, 1.5, 2, 3, 4, 6.
const Oracle kE2M1{{0, 1, 2, 3, 4, 6, 8, 12}, 1, -2, 3};
// 0 to 7/8 in eighths, 1 to 15/8, 2 to 15/4, 4 to 15/2: halves, quarters and eighths doubled.
const Oracle kE2M3{{0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                    16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48, 52, 56, 60},
                   3,
                   -4,
                   3};

// A scale e4m3 (bias 7, the code 127 is NaN) is right where amax lies between 6 times the midpoints
// around its value; at a midpoint the even code is. The least positive code and the largest are
// right for all that lies beyond them, and a block of zeros has scale 1.
const char* const kE4M3ScaleOfE2M1 = R"(
  wire [14:0] amax = x_i[14:0] > x_i[30:16] ? x_i[14:0] : x_i[30:16];
  wire [7:0] amax_e = amax[14:7] == 8'd0 ? 8'd1 : amax[14:7];
  wire [7:0] amax_m = {amax[14:7] != 8'd0, amax[6:0]};
  wire [30:0] large = {23'd0, amax_m} << (amax_e - 8'd117);  // amax in units of 2^-17
  wire [30:0] size = amax_e < 8'd117 ? 31'd0 : amax_e > 8'd139 ? 31'h7FFFFFFF : large;
  function [30:0] value (input [6:0] code);  // in units of 2^-9
    value = code[6:3] == 4'd0 ? {28'd0, code[2:0]}
                              : {27'd0, 1'b1, code[2:0]} << (code[6:3] - 4'd1);
  endfunction
  wire [30:0] below = ((value(scale - 7'd1) + value(scale)) * 31'd3) << 8;
  wire [30:0] above = ((value(scale) + value(scale + 7'd1)) * 31'd3) << 8;
  wire in_place = (scale == 7'd1 | size > below | (size == below & !scale[0]))
                & (scale == 7'd126 | size < above | (size == above & !scale[0]))
                & scale != 7'd0 & scale != 7'd127;
  wire scale_holds = !finite ? scale == 7'd127 : amax == 15'd0 ? scale == 7'd56 : in_place;
  wire [3:0] scale_significand = {scale[6:3] != 4'd0, scale[2:0]};
  wire [10:0] scale_exponent = 11'd117 + {7'd0, scale[6:3] == 4'd0 ? 4'd1 : scale[6:3]};
)";

// Steps of 2^-9 up to 2^-5, then eighths of every power of two, up to 448.
Oracle e4m3() {
  Oracle oracle{{}, 9, -10, 9};
  for (int e = 0; e < 16; ++e)
    for (int f = 0; f < 8; ++f)
      if (e < 15 || f < 7) oracle.values.push_back(e == 0 ? f : (8 + f) << (e - 1));
  return oracle;
}

int prove(const std::string& unit, const std::string& model, std::string& log) {
  int code = -1;
  log = rtl_gen::testing::run_yosys({{"unit.v", unit}, {"prove.v", model}},
                                    "read_verilog unit.v prove.v\nhierarchy -check -top prove\n"
                                    "proc -norom\nflatten\nopt -full\nwreduce\nopt -full\n"
                                    "sat -verify -prove equal_o 1 prove\n",
                                    code);
  return code;
}

void expect_proof(const std::string& unit, const std::string& model) {
  std::string log;
  EXPECT_EQ(prove(unit, model, log), 0) << log;
}

TEST(QuantizerSat, PairsOfE2M1EqualTheOracleForAllInputs) {
  expect_proof(quantizer("e2m1@e8m0", 2).verilog, model(kE2M1, 2, 4, e8m0(2, 2), 8));
}

TEST(QuantizerSat, PairsOfE2M3EqualTheOracleForAllInputs) {
  expect_proof(quantizer("e2m3@e8m0", 2).verilog, model(kE2M3, 2, 6, e8m0(2, 2), 8));
}

TEST(QuantizerSat, PairsOfE4M3EqualTheOracleForAllInputs) {
  expect_proof(quantizer("e4m3@e8m0", 2).verilog, model(e4m3(), 2, 8, e8m0(2, 8), 8));
}

TEST(QuantizerSat, PairsUnderAScaleOfE4M3EqualTheOracleForAllInputs) {
  expect_proof(quantizer("e2m1@e4m3", 2).verilog, model(kE2M1, 2, 4, kE4M3ScaleOfE2M1, 7));
}

TEST(QuantizerSat, FindsAWrongTie) {
  const std::string right = model(kE2M1, 2, 4, e8m0(2, 2), 8);
  std::string wrong = right;
  const size_t tie = wrong.rfind("place1 >=");
  ASSERT_NE(tie, std::string::npos) << wrong;
  wrong.replace(tie, 9, "place1 > ");
  std::string log;
  EXPECT_NE(prove(quantizer("e2m1@e8m0", 2).verilog, wrong, log), 0) << "proves anything";
  EXPECT_NE(log.find("proof did fail"), std::string::npos) << log;
}

}  // namespace
}  // namespace blockdot::testbench
