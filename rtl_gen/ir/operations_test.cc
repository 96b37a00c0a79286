// Every operation at widths around the limb borders: the compiled interpreter against the
// definition in integers, and against the emitted Verilog in Verilator.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "formats/error.h"
#include "rtl_gen/build/lower.h"
#include "rtl_gen/build/ops.h"
#include "rtl_gen/ir/evaluate.h"
#include "rtl_gen/ir/interpreter.h"
#include "rtl_gen/testing/simulate.h"

namespace blockdot::rtl_gen {
namespace {

constexpr int kWidths[] = {1, 2, 31, 32, 33, 63, 64, 65, 95, 96, 97};
constexpr int kVectors = 200;

// One graph with every operation at width w; outputs are raw nodes, not simplified.
void add_operations(Graph& g, int w) {
  const NodeId a = g.input(fmt::format("a{}_i", w), w);
  const NodeId b = g.input(fmt::format("b{}_i", w), w);
  const NodeId c = g.input(fmt::format("c{}_i", w), w);
  const NodeId sel = g.input(fmt::format("sel{}_i", w), 1);
  const NodeId amount = g.input(fmt::format("amount{}_i", w), 7);
  const auto out = [&](const char* op, NodeId node) {
    g.set_name(node, fmt::format("{}{}", op, w));
    g.output(fmt::format("{}{}_o", op, w), node);
  };
  out("not", g.unary(Op::kNot, a));
  out("and", g.binary(Op::kAnd, a, b));
  out("or", g.binary(Op::kOr, a, b));
  out("xor", g.binary(Op::kXor, a, b));
  out("add", g.binary(Op::kAdd, a, b));
  out("sub", g.binary(Op::kSub, a, b));
  out("mul", g.binary(Op::kMul, a, b));
  out("sum", g.sum({a, b, c, a, g.unary(Op::kNot, b)}));
  out("eq", g.binary(Op::kEq, a, b));
  out("ult", g.binary(Op::kUlt, a, b));
  out("mux", g.mux(sel, a, b));
  out("shl", g.binary(Op::kShl, a, amount));
  out("lshr", g.binary(Op::kLshr, a, amount));
  if (w > 1) out("slice", g.slice(a, 1, w - 1));
  out("low", g.slice(a, 0, (w + 1) / 2));
  out("concat", g.concat({a, sel, b}));
  out("sext", g.sext(a, w + 33));
  out("orr", g.unary(Op::kOrr, a));
  out("clz", g.unary(Op::kClz, a));
  out("full_add", g.full_add(a, b, c));
}

// Random values, with the ends and single bits often.
Int random_value(std::mt19937_64& random, int width) {
  switch (random() % 6) {
    case 0:
      return 0;
    case 1:
      return pow2(width) - 1;
    case 2:
      return pow2(static_cast<int>(random() % static_cast<unsigned>(width)));
    default: {
      Int v = 0;
      for (int i = 0; i < width; i += 64) v = (v << 64) | random();
      return (v % pow2(width)) >> static_cast<unsigned>(random() % static_cast<unsigned>(width));
    }
  }
}

std::vector<Int> definition(const Graph& g, const std::vector<Int>& inputs) {
  std::vector<Bits> values(g.size());
  for (std::size_t i = 0; i < g.inputs().size(); ++i)
    values[index(g.inputs()[i])] = to_bits(inputs[i], g.width(g.inputs()[i]));
  for (std::size_t i = 0; i < g.size(); ++i) {
    const Node& n = g.node(NodeId{static_cast<std::uint32_t>(i)});
    if (n.op == Op::kInput) continue;
    if (n.op == Op::kConst) {
      values[i] = n.value;
      continue;
    }
    std::vector<Bits> args;
    for (NodeId a : n.args) args.push_back(values[index(a)]);
    values[i] = evaluate(n, args);
  }
  std::vector<Int> out;
  for (const Graph::Output& o : g.outputs()) out.push_back(to_int(values[index(o.node)]));
  return out;
}

std::vector<Int> interpret(UnitInterpreter& unit, const Graph& g, const std::vector<Int>& inputs) {
  for (std::size_t i = 0; i < inputs.size(); ++i)
    unit.set_input(i, to_bits(inputs[i], g.width(g.inputs()[i])).limbs);
  unit.step();
  std::vector<Int> out;
  for (std::size_t i = 0; i < g.outputs().size(); ++i) out.push_back(to_int(unit.output_bits(i)));
  return out;
}

TEST(Operations, InterpreterMatchesTheDefinitionInIntegersAtEveryWidth) {
  std::mt19937_64 random(1);
  int checked = 0;
  for (int w : kWidths) {
    Graph g;
    add_operations(g, w);
    UnitInterpreter unit(g);
    for (int v = 0; v < kVectors; ++v) {
      std::vector<Int> in;
      for (NodeId i : g.inputs()) in.push_back(random_value(random, g.width(i)));
      const auto want = definition(g, in), got = interpret(unit, g, in);
      for (std::size_t o = 0; o < want.size(); ++o) {
        ASSERT_EQ(got[o], want[o]) << g.outputs()[o].name;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 40000);
}

TEST(Operations, LoweringKeepsEveryResult) {
  std::mt19937_64 random(2);
  for (SumStyle style : {SumStyle::kCompress, SumStyle::kAdderTree}) {
    for (int w : kWidths) {
      Graph g;
      add_operations(g, w);
      const Graph low = lower(g, style);
      UnitInterpreter before(g), after(low);
      for (int v = 0; v < kVectors; ++v) {
        std::vector<Int> in;
        for (NodeId i : g.inputs()) in.push_back(random_value(random, g.width(i)));
        const auto want = interpret(before, g, in), got = interpret(after, low, in);
        for (std::size_t o = 0; o < want.size(); ++o)
          ASSERT_EQ(got[o], want[o]) << g.outputs()[o].name;
      }
    }
  }
}

// Oracle: Verilator 5, on the emitted text of every operation and width in one module.
TEST(Operations, EmittedVerilogMatchesInterpreterInVerilator) {
  Graph g;
  for (int w : kWidths) add_operations(g, w);
  const Graph low = lower(g, SumStyle::kCompress);
  Schedule s = make_schedule(low, CostModel(Technology::kGeneric), {.combinational = true});
  VerilogRequest request{"operations", {}, {}};
  for (NodeId i : low.inputs()) request.ports.push_back({low.node(i).name, true, low.width(i), ""});
  for (const auto& o : low.outputs())
    request.ports.push_back({o.name, false, low.width(o.node), ""});
  const std::string verilog = emit_verilog(low, s, request);
  EXPECT_EQ(testing::lint(verilog, "operations"), "");
  std::mt19937_64 random(3);
  std::vector<testing::Cycle> inputs;
  for (int v = 0; v < kVectors; ++v) {
    inputs.emplace_back();
    for (NodeId i : g.inputs()) inputs.back().push_back(random_value(random, g.width(i)));
  }
  const auto outputs = testing::simulate(testing::Simulator::kVerilator, verilog, "operations",
                                         request.ports, inputs);
  UnitInterpreter unit(g);
  for (std::size_t v = 0; v < inputs.size(); ++v) {
    const auto want = interpret(unit, g, inputs[v]);
    for (std::size_t o = 0; o < want.size(); ++o)
      ASSERT_EQ(outputs[v][o], want[o]) << g.outputs()[o].name << " vector " << v;
  }
}

TEST(Graph, RefusesArgumentsOfOtherWidths) {
  Graph g;
  const NodeId a = g.input("a_i", 3), b = g.input("b_i", 4);
  EXPECT_THROW(g.binary(Op::kAdd, a, b), InternalError);
  EXPECT_THROW(g.mux(b, a, a), InternalError);
  EXPECT_THROW(g.slice(a, 2, 2), InternalError);
}

TEST(Graph, SharesEqualNodes) {
  Graph g;
  const NodeId a = g.input("a_i", 3), b = g.input("b_i", 3);
  EXPECT_EQ(g.binary(Op::kAdd, a, b), g.binary(Op::kAdd, a, b));
  EXPECT_NE(g.binary(Op::kAdd, a, b), g.binary(Op::kAdd, b, a));
}

}  // namespace
}  // namespace blockdot::rtl_gen
