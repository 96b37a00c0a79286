// Proof of the arithmetic that every unit is made of, for all inputs: sums through counters, bit
// heaps, trees and prefix adders, and products through rows and Booth's digits, as emitted, against
// Verilog's own `+` and `*` (ABC shows the equivalence).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "rtl_gen/generate.h"
#include "rtl_gen/testing/simulate.h"
#include "rtl_gen/units/multiply.h"

namespace blockdot::testbench {
namespace {

using rtl_gen::Fx;
using rtl_gen::Graph;
using rtl_gen::Structure;

/// Whether the graph's text gives `expression` of its inputs at its output y_o, at its width.
std::string prove(Graph graph, const Structure& structure, const std::string& expression,
                  rtl_gen::Technology technology = rtl_gen::Technology::kGeneric) {
  rtl_gen::Arch arch;
  arch.combinational = true;
  arch.structure = structure;
  arch.technology = technology;
  rtl_gen::UnitText text;
  text.purpose = "under proof.";
  text.meaning = [](const std::string&) { return std::string("operand"); };
  text.command = [](const rtl_gen::Arch&) { return std::string("none"); };
  const rtl_gen::Unit unit = build_unit(std::move(graph), arch, "unit", text);
  std::string ports;
  int width = 0;
  for (const rtl_gen::Port& port : unit.report.ports) {
    ports += fmt::format("{}{} signed [{}:0] {}", ports.empty() ? "" : ", ",
                         port.is_input ? "input" : "output", port.width - 1, port.name);
    if (!port.is_input) width = port.width;
  }
  const std::string oracle = fmt::format(
      "module oracle ({});\n  wire signed [{}:0] y = {};\n  assign y_o = y;\nendmodule\n", ports,
      width - 1, expression);
  // The other side in a session of its own: Yosys 0.23 keeps something beyond `design -reset`.
  const std::string script =
      "exec -expect-return 0 -- yosys -q oracle.ys\n"
      "read_verilog unit.v cells.v; hierarchy -check -top unit; proc; flatten; opt -full; techmap; "
      "opt; simplemap; opt_clean -purge; aigmap; write_aiger unit.aig\n"
      "exec -expect-stdout are.equivalent -- berkeley-abc -q \"cec -T 60 unit.aig oracle.aig\"\n";
  const std::string oracle_script =
      "read_verilog oracle.v; hierarchy -check -top oracle; proc; opt -full; techmap; opt; "
      "simplemap; opt_clean -purge; aigmap; write_aiger oracle.aig\n";
  int code = -1;
  const std::string log = rtl_gen::testing::run_yosys({{"unit.v", unit.verilog},
                                                       {"oracle.v", oracle},
                                                       {"oracle.ys", oracle_script},
                                                       {"cells.v", rtl_gen::kCellModels}},
                                                      script, code);
  return code == 0 ? "" : "not proved: " + log;
}

Graph sum_of(int count, int width, bool negative) {
  Graph g;
  std::vector<Fx> terms;
  for (int i = 0; i < count; ++i) {
    const Fx x = rtl_gen::input(g, fmt::format("x{}_i", i), width);
    terms.push_back(negative && i % 2 == 1 ? rtl_gen::wrap_signed(x, width) : x);
  }
  rtl_gen::output("y_o", rtl_gen::sum(g, terms));
  return g;
}
/// Every other operand is two's complement where `negative`.
std::string plus(int count, bool negative) {
  std::string text;
  for (int i = 0; i < count; ++i)
    text += (i > 0 ? " + " : "") + (negative && i % 2 == 1
                                        ? fmt::format("x{}_i", i)
                                        : fmt::format("$signed({{1'b0, x{}_i}})", i));
  return text;
}

Structure structure_of(const char* text) { return rtl_gen::parse_structure(text); }

TEST(Sums, OfThreeToSixOperandsArePlusByEveryWayOfCompressing) {
  for (const char* way : {"sum=compress", "sum=timed", "sum=tree"})
    for (int count = 3; count <= 6; ++count)
      for (bool negative : {false, true})
        EXPECT_EQ(prove(sum_of(count, 4, negative), structure_of(way), plus(count, negative)), "")
            << way << " " << count << (negative ? " signed" : "");
}

TEST(Sums, OfLibraryCellsAndOfCarryChainsArePlus) {
  EXPECT_EQ(prove(sum_of(5, 4, true), structure_of("sum=timed,cells=library"), plus(5, true),
                  rtl_gen::Technology::kOsu018),
            "");
  EXPECT_EQ(prove(sum_of(5, 4, true), structure_of("sum=tree"), plus(5, true),
                  rtl_gen::Technology::kXilinx),
            "");
}

TEST(Adders, OfSixtyFourBitsArePlusWhateverTheirPrefixTree) {
  for (const char* adder :
       {"adder=plus", "adder=ripple", "adder=brent-kung", "adder=sklansky", "adder=kogge-stone"})
    for (bool negative : {false, true})
      EXPECT_EQ(prove(sum_of(2, 64, negative),
                      structure_of(fmt::format("sum=timed,{}", adder).c_str()), plus(2, negative)),
                "")
          << adder;
}

TEST(Multipliers, OfSevenBitsAreTimesByEveryStructure) {
  for (const char* multiplier : {"multiplier=word", "multiplier=array"}) {
    Graph g;
    const Fx x = rtl_gen::input(g, "x0_i", 7), y = rtl_gen::input(g, "x1_i", 7);
    rtl_gen::output("y_o", multiply(g, x, y, structure_of(multiplier),
                                    rtl_gen::Technology::kGeneric, "product"));
    EXPECT_EQ(prove(std::move(g), structure_of("sum=timed"),
                    "$signed({1'b0, x0_i}) * $signed({1'b0, x1_i})"),
              "")
        << multiplier;
  }
  for (bool booth : {false, true}) {
    Graph g;
    const Fx x = rtl_gen::wrap_signed(rtl_gen::input(g, "x0_i", 7), 7);
    const Fx y = rtl_gen::wrap_signed(rtl_gen::input(g, "x1_i", 7), 7);
    std::vector<Fx> terms;
    if (booth)
      booth_terms(x, y, "product", terms);
    else
      array_rows(x, y, "product", terms);
    rtl_gen::output("y_o", rtl_gen::sum(g, terms));
    EXPECT_EQ(
        prove(std::move(g), structure_of("sum=timed"), booth ? "-(x0_i * x1_i)" : "x0_i * x1_i"),
        "")
        << (booth ? "booth" : "array");
  }
}

TEST(Proofs, FindAWrongSum) {
  EXPECT_NE(prove(sum_of(4, 4, false), structure_of("sum=timed"), plus(3, false)), "");
}

}  // namespace
}  // namespace blockdot::testbench
