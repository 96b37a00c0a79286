// Liberty against a small library worked by hand.
#include "sim/energy/liberty.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/error.h"

namespace blockdot::sim {
namespace {

constexpr const char* kLibrary = R"lib(/* comment */
library(small) {
  time_unit : "1ns"; leakage_power_unit : "1nW"; capacitive_load_unit (1,pf);
  nom_voltage : 2.0;
  power_lut_template(two) {
    variable_1 : total_output_net_capacitance; variable_2 : input_transition_time;
    index_1 ("1, 2"); index_2 ("1, 2");
  }
  power_lut_template(one) { variable_1 : input_transition_time; index_1 ("1, 2"); }
  cell (NAND) {
    area : 24; cell_leakage_power : 0.5;
    pin(A) { direction : input; capacitance : 0.01; }
    pin(B) { direction : input; capacitance : 0.02; }
    pin(Y) {
      direction : output; function : "(!(A B))";
      internal_power() {
        related_pin : "A";
        rise_power(two) { index_1 ("0.1, 0.3"); index_2 ("0.2, 0.6"); values ("1, 3", \
          "5, 7"); }
        fall_power(two) { index_1 ("0.1, 0.3"); index_2 ("0.2, 0.6"); values ("2, 2", "2, 2"); }
      }
    }
  }
  cell (DFF) {
    ff (IQ, IQN) { next_state : "D"; clocked_on : "CLK"; }
    pin(D) {
      direction : input;
      internal_power() { rise_power(one) { index_1 ("0.1, 0.2"); values ("1, 2"); } }
    }
    pin(CLK) { direction : input; }
    pin(Q) { direction : output; function : "IQ"; }
  }
})lib";

TEST(Liberty, ReadsPinsFunctionsAndFlipFlops) {
  Liberty liberty = parse_liberty(kLibrary, "small.lib");
  EXPECT_EQ(liberty.name, "small");
  EXPECT_EQ(liberty.voltage, 2.0);
  const LibertyCell& nand = liberty.cells.at("NAND");
  EXPECT_EQ(nand.area, 24);
  EXPECT_EQ(nand.leakage, 0.5);
  ASSERT_EQ(nand.pins.size(), 3u);
  EXPECT_EQ(nand.pins[1].capacitance, 0.02);
  EXPECT_FALSE(nand.is_register());
  const LibertyCell& dff = liberty.cells.at("DFF");
  EXPECT_TRUE(dff.is_register());
  EXPECT_EQ(dff.next_state, "D");
  EXPECT_EQ(dff.clocked_on, "CLK");
}

TEST(Liberty, InterpolatesBetweenTheTablesPointsAndHoldsTheirEdges) {
  Liberty liberty = parse_liberty(kLibrary, "small.lib");
  const LibertyTable& rise = liberty.cells.at("NAND").pins[2].power[0].rise;
  EXPECT_DOUBLE_EQ(rise.at(0.1, 0.2), 1);
  EXPECT_DOUBLE_EQ(rise.at(0.3, 0.6), 7);
  EXPECT_DOUBLE_EQ(rise.at(0.2, 0.4), 4);  // the mean of the four
  EXPECT_DOUBLE_EQ(rise.at(0.15, 0.2), 2);
  EXPECT_DOUBLE_EQ(rise.at(9, 9), 7);
  EXPECT_DOUBLE_EQ(rise.at(0, 0), 1);
  const LibertyArc& passive = liberty.cells.at("DFF").pins[0].power[0];
  EXPECT_DOUBLE_EQ(passive.rise.at(123, 0.15), 1.5);
  EXPECT_DOUBLE_EQ(passive.fall.at(123, 0.15), 0);  // the file gives none
}

TEST(Liberty, FunctionsFollowItsPrecedence) {
  std::map<std::string, std::string, std::less<>> names = {
      {"A", "a"}, {"B", "b"}, {"C", "c"}, {"S", "s"}};
  EXPECT_EQ(verilog_function("(!(A B))", names), "(~(a & b))");
  EXPECT_EQ(verilog_function("A+B C", names), "(a | (b & c))");
  EXPECT_EQ(verilog_function("A^B*C'", names), "((a ^ b) & (~c))");
  EXPECT_EQ(verilog_function("(S A)+(S' B)", names), "((s & a) | ((~s) & b))");
  EXPECT_THROW(verilog_function("A+Z", names), ConfigError);
  EXPECT_THROW(verilog_function("(A", names), ConfigError);
}

TEST(Liberty, SaysWhereATextIsNoLibrary) {
  auto message = [](std::string_view text) -> std::string {
    try {
      parse_liberty(text, "x.lib");
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_THAT(message("library(x) {\n  time_unit \"1ns\";\n}"), testing::StartsWith("x.lib:2: "));
  EXPECT_THAT(message("library(x) {\n"), testing::StartsWith("x.lib:2: "));
  EXPECT_THAT(message("library(x) { time_unit : \"1ps\"; }"),
              testing::HasSubstr("time_unit is 1ps"));
}

}  // namespace
}  // namespace blockdot::sim
