// Bit heaps: the lowered sum against the sum, by values and by proof.
#include "rtl_gen/build/bit_heap.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "rtl_gen/build/fx.h"
#include "rtl_gen/build/lower.h"
#include "rtl_gen/build/ops.h"
#include "rtl_gen/ir/interpreter.h"
#include "rtl_gen/testing/simulate.h"

namespace blockdot::rtl_gen {
namespace {

// Signed and unsigned rows at several weights, a constant and single bits, in one sum.
Graph mixed_sum(int rows, int width, bool whole) {
  Graph g;
  std::vector<Fx> terms;
  for (int i = 0; i < rows; ++i) {
    const Fx x = input(g, fmt::format("x{}_i", i), width);
    terms.push_back(scale(i % 3 == 0 ? wrap_signed(x, width) : x, i % 4));
    if (i % 5 == 0) terms.push_back(bit(x, width - 1));
  }
  terms.push_back(constant(g, -1234567));
  Fx total = constant(g, 0);
  if (whole) {
    total = sum(g, terms);
  } else {
    for (const Fx& t : terms) total = add(total, t);
  }
  // One width for both ways of adding.
  output("sum_o", wrap_signed(total, width + 16));
  return g;
}

std::vector<SumOptions> every_way_to_add() {
  std::vector<SumOptions> all = {SumStyle::kCompress, SumStyle::kAdderTree};
  for (AdderStyle adder : {AdderStyle::kPlus, AdderStyle::kRipple, AdderStyle::kBrentKung,
                           AdderStyle::kSklansky, AdderStyle::kKoggeStone, AdderStyle::kSparse}) {
    SumOptions timed = SumStyle::kTimed;
    timed.adder = adder;
    timed.cells = adder != AdderStyle::kPlus;
    timed.technology = timed.cells ? Technology::kOsu018 : Technology::kGeneric;
    all.push_back(timed);
    timed.six = true;
    timed.half_cells = timed.cells;
    all.push_back(timed);
  }
  SumOptions tree = SumStyle::kAdderTree;
  tree.six = true;
  all.push_back(tree);
  return all;
}

TEST(Adders, EveryStyleAddsWithAndWithoutCarryIn) {
  std::mt19937_64 random(9);
  int checked = 0;
  for (AdderStyle style : {AdderStyle::kPlus, AdderStyle::kRipple, AdderStyle::kBrentKung,
                           AdderStyle::kSklansky, AdderStyle::kKoggeStone, AdderStyle::kSparse})
    for (int width = 1; width <= 40; ++width) {
      Graph g;
      const NodeId x = g.input("x_i", width), y = g.input("y_i", width), c = g.input("c_i", 1);
      g.output("sum_o", add_words(g, style, x, y, std::nullopt, true, "s"));
      g.output("more_o", add_words(g, style, x, y, c, true, "t"));
      UnitInterpreter unit(g);
      const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
      for (int v = 0; v < 64; ++v) {
        const std::uint64_t a = random() & mask, carry = random() & 1;
        // Long carries often: the complement, and one beside it.
        const std::uint64_t b = (v % 3 ? random() : ~a + (random() & 1)) & mask;
        unit.set_input(0, a);
        unit.set_input(1, b);
        unit.set_input(2, carry);
        unit.step();
        ASSERT_EQ(unit.output(0)[0], (a + b) & mask) << width;
        ASSERT_EQ(unit.output(1)[0], (a + b + carry) & mask) << width;
        ++checked;
      }
    }
  EXPECT_EQ(checked, 6 * 40 * 64);
}

TEST(BitHeap, LoweredSumEqualsAddingOneAfterTheOther) {
  std::mt19937_64 random(4);
  int checked = 0;
  for (int rows : {1, 2, 3, 5, 9, 33})
    for (int width : {1, 2, 7, 31, 64, 65})
      for (const SumOptions& options : every_way_to_add()) {
        UnitInterpreter chain(mixed_sum(rows, width, false));
        UnitInterpreter heap(lower(mixed_sum(rows, width, true), options));
        for (int v = 0; v < 50; ++v) {
          for (std::size_t i = 0; i < static_cast<std::size_t>(rows); ++i) {
            const std::uint64_t x[] = {random(), random()};
            chain.set_input(i, x);
            heap.set_input(i, x);
          }
          chain.step();
          heap.step();
          ASSERT_EQ(heap.output_bits(0), chain.output_bits(0)) << rows << " rows of " << width;
          ++checked;
        }
      }
  EXPECT_EQ(checked, 6 * 6 * 15 * 50);
}

// Oracle: std::popcount, over all values of the column.
TEST(BitHeap, SixCountersCountAColumn) {
  for (SumStyle style : {SumStyle::kTimed, SumStyle::kAdderTree}) {
    constexpr int kBits = 13;
    Graph g;
    const NodeId x = g.input("x_i", kBits);
    BitHeap heap(g, 4, "s");
    for (int i = 0; i < kBits; ++i) heap.add(ops::slice(g, x, i, 1));
    SumOptions options = style;
    options.six = true;
    g.output("sum_o", heap.sum(options));
    EXPECT_NE(g.dump().find("_six"), std::string::npos) << "no 6:3 counter was made";
    UnitInterpreter unit(g);
    for (std::uint64_t v = 0; v < 1u << kBits; ++v) {
      unit.set_input(0, v);
      unit.step();
      ASSERT_EQ(unit.output(0)[0], static_cast<std::uint64_t>(std::popcount(v)));
    }
  }
}

// Oracle: std::popcount, over all values of the column.
TEST(BitHeap, AGenericTreeCountsAColumnByAddersAlone) {
  for (const Technology technology : {Technology::kGeneric, Technology::kXilinx})
    for (int bits = 2; bits <= 12; ++bits) {
      Graph g;
      const NodeId x = g.input("x_i", bits);
      BitHeap heap(g, 4, "s");
      for (int i = 0; i < bits; ++i) heap.add(ops::slice(g, x, i, 1));
      SumOptions options = SumStyle::kAdderTree;
      options.technology = technology;
      g.output("sum_o", heap.sum(options));
      const bool counters = g.dump().find("xor") != std::string::npos;
      EXPECT_EQ(counters, bits > 2 && (technology == Technology::kXilinx || bits == 3)) << bits;
      UnitInterpreter unit(g);
      for (std::uint64_t v = 0; v < 1u << bits; ++v) {
        unit.set_input(0, v);
        unit.step();
        ASSERT_EQ(unit.output(0)[0], static_cast<std::uint64_t>(std::popcount(v))) << bits;
      }
    }
}

TEST(BitHeap, TakesTheFewestCounterLevels) {
  // Dadda: 32 rows need 8 levels, 9 rows 4, 3 rows 1.
  for (const auto& [rows, levels] : {std::pair{3, 1}, {4, 2}, {9, 4}, {32, 8}}) {
    Graph g;
    BitHeap heap(g, 20, "s");
    for (int i = 0; i < rows; ++i) heap.add(g.input(fmt::format("x{}_i", i), 8));
    heap.sum(SumStyle::kCompress);
    EXPECT_EQ(heap.levels(), levels) << rows;
  }
}

std::string verilog_of(const Graph& graph, const std::string& name) {
  const Graph low = lower(graph, SumStyle::kCompress);
  VerilogRequest request{name, {}, {}};
  for (NodeId i : low.inputs()) request.ports.push_back({low.node(i).name, true, low.width(i), ""});
  for (const auto& o : low.outputs())
    request.ports.push_back({o.name, false, low.width(o.node), ""});
  return emit_verilog(
      low, make_schedule(low, CostModel(Technology::kGeneric), {.combinational = true}), request);
}

// Oracle: the SAT solver of Yosys, over all inputs.
TEST(BitHeap, CompressedSumIsProvedEqualToPlusByYosys) {
  const std::string heap = verilog_of(mixed_sum(6, 3, true), "heap");
  const std::string plus =
      "module plus(input signed [2:0] x0_i, input [2:0] x1_i, x2_i, input signed [2:0] x3_i,\n"
      "            input [2:0] x4_i, x5_i, output signed [18:0] sum_o);\n"
      "  wire signed [18:0] s0 = x0_i;\n  wire signed [18:0] s3 = x3_i;\n"
      "  wire [18:0] u = x1_i * 2 + x2_i * 4 + x4_i + x5_i * 2 + x0_i[2] + x5_i[2];\n"
      "  assign sum_o = s0 + s3 * 8 + $signed(u) - 1234567;\n"
      "endmodule\n";
  const std::string script =
      "read_verilog heap.v plus.v\nproc\nmiter -equiv -flatten -make_outputs heap plus miter\n"
      "hierarchy -top miter\nopt\nsat -verify -prove trigger 0 -show-inputs miter\n";
  int code = 0;
  std::string log = testing::run_yosys({{"heap.v", heap}, {"plus.v", plus}}, script, code);
  EXPECT_EQ(code, 0) << log;
  // The proof must be able to fail.
  std::string wrong = heap;
  const std::size_t at = wrong.find(" ^ ");
  ASSERT_NE(at, std::string::npos);
  wrong.replace(at, 3, " | ");
  log = testing::run_yosys({{"heap.v", wrong}, {"plus.v", plus}}, script, code);
  EXPECT_NE(code, 0) << log;
}

}  // namespace
}  // namespace blockdot::rtl_gen
