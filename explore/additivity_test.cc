// Rewriting: what it proves of sums by hand and as the generator emits them, and that it proves
// nothing of sums that are wrong. Yosys reads the Verilog.
#include "explore/additivity.h"

#include <gtest/gtest.h>

#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "rtl_gen/generate.h"
#include "sim/cosim/tool.h"

namespace blockdot::explore {
namespace {

nlohmann::json netlist_of(const std::string& verilog, const std::string& top) {
  TemporaryFolder folder;
  write_file_atomic(folder.path() / "unit.v", verilog);
  write_file_atomic(folder.path() / "cells.v", rtl_gen::kCellModels);
  sim::require_tool({"yosys", "-q", "-p",
                     "read_verilog unit.v cells.v; hierarchy -check -top " + top +
                         "; proc; flatten; opt_expr; opt_merge; opt_clean; write_json unit.json"},
                    folder.path());
  return nlohmann::json::parse(read_file(folder.path() / "unit.json")).at("modules").at(top);
}

// Lanes of so many bits of every input.
LaneProof::Result adds(const std::string& verilog, int lane_bits, const std::string& top = "t") {
  return LaneProof(netlist_of(verilog, top),
                   [&](std::string_view port, int index) -> Owner {
                     if (port == "shared_i") return kAnyLane;
                     return {index / lane_bits, index / lane_bits + 1};
                   })
      .adds("sum_o");
}

std::string module_of(const std::string& body) {
  return "module t (input [7:0] x_i, input shared_i, output [3:0] sum_o);\n"
         "wire [1:0] a = x_i[1:0], b = x_i[3:2], c = x_i[5:4], d = x_i[7:6];\n" +
         body + "endmodule\n";
}

TEST(LaneProof, RewritesTreesOfAdders) {
  const LaneProof::Result tree = adds(module_of("wire [2:0] ab = {1'b0, a} + {1'b0, b};\n"
                                                "wire [2:0] cd = {1'b0, c} + {1'b0, d};\n"
                                                "assign sum_o = {1'b0, ab} + {1'b0, cd};\n"),
                                      2);
  EXPECT_TRUE(tree.proved);
  EXPECT_EQ(tree.rewritten, 3);
  EXPECT_EQ(tree.left, 8);
  // What a lane contributes may be anything, and may hang on an input that belongs to none.
  EXPECT_TRUE(
      adds(module_of("assign sum_o = (a * a) + (shared_i ? {2'd0, b} : ~{2'd0, b});\n"), 2).proved);
}

TEST(LaneProof, RewritesCountersInGates) {
  const LaneProof::Result counters =
      adds(module_of("wire [1:0] s = a ^ b ^ c;\n"
                     "wire [1:0] k = (a & b) | (c & (a ^ b));\n"
                     "wire [3:0] lower = {2'd0, s} + {1'b0, k, 1'b0};\n"
                     "assign sum_o = lower + {2'd3, ~d};\n"),
           2);
  EXPECT_TRUE(counters.proved);
  EXPECT_EQ(counters.left, 8);
  // A half adder, and a full adder whose carry comes in is one.
  EXPECT_TRUE(adds(module_of("assign sum_o = {2'd0, a ^ b} + {1'b0, a & b, 1'b0};\n"), 2).proved);
  EXPECT_TRUE(
      adds(module_of("assign sum_o = {2'd0, ~(a ^ b)} + {1'b0, a | b, 1'b0};\n"), 2).proved);
}

TEST(LaneProof, ProvesNothingOfSumsThatAreNone) {
  for (const char* body : {
           "wire [1:0] ab = a + b; assign sum_o = {2'd0, ab} + {2'd0, c};",  // a lost carry
           "assign sum_o = {2'd0, a ^ b} + {1'b0, a & c, 1'b0};",            // a wrong carry
           "assign sum_o = {2'd0, a ^ b} + {2'd0, a & b};",                  // of wrong weight
           "assign sum_o = {2'd0, a ^ b ^ c} + {1'b0, (a & b) | (c & a), 1'b0};",  // half of one
           "assign sum_o = {2'd0, a} + (d[0] ? 4'd0 : {2'd0, b});",                // a lane gates
           "assign sum_o = {2'd0, a} * {2'd0, b};",
           "wire [2:0] ab = {1'b0, a} + {1'b0, b}; assign sum_o = {1'b0, ab[0], ab[2:1]};",
       })
    EXPECT_FALSE(adds(module_of(body), 2).proved) << body;
}

TEST(LaneProof, FindsTheFlagsOfLanesUnderAnOr) {
  const auto ors = [](const std::string& body) {
    return LaneProof(
               netlist_of("module t (input [7:0] x_i, output f_o);\n" + body + "endmodule\n", "t"),
               [](std::string_view, int index) -> Owner {
                 return {index / 2, index / 2 + 1};
               })
        .ors("f_o")
        .proved;
  };
  EXPECT_TRUE(ors("assign f_o = |{&x_i[1:0], &x_i[3:2]} | (x_i[5:4] == 2'd2);\n"));
  EXPECT_FALSE(ors("assign f_o = &{|x_i[1:0], |x_i[3:2]};\n"));
  EXPECT_FALSE(ors("assign f_o = x_i[0] ^ x_i[2];\n"));
}

// Four lanes; p is of the first two and q of the other two, r of the first three.
TEST(LaneProof, LetsLanesReadWhatTheirGroupShares) {
  const auto proved = [](const std::string& sum) {
    return LaneProof(netlist_of("module t (input [3:0] x_i, input p, q, r, output [3:0] sum_o);\n"
                                "assign sum_o = " +
                                    sum + ";\nendmodule\n",
                                "t"),
                     [](std::string_view port, int index) -> Owner {
                       if (port == "p") return {0, 2};
                       if (port == "q") return {2, 4};
                       if (port == "r") return {0, 3};
                       return {index, index + 1};
                     })
        .adds("sum_o")
        .proved;
  };
  EXPECT_TRUE(proved("{3'd0, x_i[0] & p & r} + {3'd0, x_i[2] & q & r}"));
  EXPECT_TRUE(proved("{3'd0, x_i[0]} + {3'd0, q & r}"));   // lane 2 has both
  EXPECT_FALSE(proved("{3'd0, x_i[0]} + {3'd0, p & q}"));  // no lane has both
  EXPECT_FALSE(proved("{3'd0, x_i[0]} + {3'd0, x_i[3] & r}"));
  EXPECT_FALSE(proved("{3'd0, p ? x_i[0] & x_i[1] : x_i[0]} + {3'd0, x_i[2]}"));  // of one group
}

// Every way to sum that ends in a +; one operator or cell of the sum changed, and it is none.
TEST(LaneProof, HoldsForWhatTheGeneratorEmitsAndForNoFaultInIt) {
  for (const char* structure :
       {"sum=tree", "sum=compress,adder=plus", "sum=timed,adder=plus,signs=negate",
        "sum=timed,adder=plus,cells=full", "sum=timed,adder=plus,align=bucket",
        "multiplier=booth,sum=timed,adder=plus,cells=library"}) {
    const bool booth = std::string_view(structure).starts_with("multiplier=booth");
    formats::DotSpec spec =
        formats::parse_dot_spec(booth ? "a=mxint8 lanes=6" : "a=mxfp6_e3m2 lanes=6");
    rtl_gen::Arch arch;
    arch.combinational = true;
    arch.technology = rtl_gen::Technology::kOsu018;
    arch.structure = rtl_gen::parse_structure(structure);
    std::string verilog = rtl_gen::generate(rtl_gen::UnitKind::kBlockDot, spec, arch).verilog;
    const auto proved = [&] {
      return LaneProof(netlist_of(verilog, "unit"),
                       [&](std::string_view port, int index) -> Owner {
                         if (port != "a_i" && port != "b_i") return kNoLane;
                         const int lane = index / spec.a.element.width();
                         return {lane, lane + 1};
                       })
          .adds("sum_o")
          .proved;
    };
    EXPECT_TRUE(proved()) << structure;
    // The last + of the sum loses its carries.
    const std::size_t plus = verilog.rfind(" + ", verilog.find("// scale"));
    ASSERT_NE(plus, std::string::npos);
    verilog.replace(plus, 3, " | ");
    EXPECT_FALSE(proved()) << structure;
  }
}

}  // namespace
}  // namespace blockdot::explore
