// Names of signals, from the graph as a reader of the Verilog sees it. Oracle: names by hand.
#include "rtl_gen/emit/names.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rtl_gen/build/ops.h"
#include "rtl_gen/cost/cost.h"

namespace blockdot::rtl_gen {
namespace {

// Every live node is a signal but constants, padding and `inlined`.
std::vector<std::string> names_of(const Graph& g, const std::vector<NodeId>& inlined = {}) {
  std::vector<bool> written = g.live();
  for (std::size_t i = 0; i < g.size(); ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    if (g.node(id).op == Op::kConst || is_padding(g, id)) written[i] = false;
  }
  for (NodeId id : inlined) written[index(id)] = false;
  return assign_names(g, {"unit"}, written);
}

TEST(Names, APartIsCalledAfterItsWhole) {
  Graph g;
  const NodeId a = g.input("a_i", 8), b = g.input("b_i", 8);
  const NodeId part = ops::bit_xor(g, a, b);
  const NodeId whole = ops::bit_and(g, ops::bit_not(g, part), a);
  g.set_name(whole, "kept");
  g.output("out_o", ops::bit_or(g, whole, b));
  const auto names = names_of(g);
  EXPECT_EQ(names[index(part)], "kept_xor");
  EXPECT_EQ(names[index(whole)], "kept");
}

TEST(Names, APartOfSeveralIsCalledAfterWhatItIsMadeOf) {
  Graph g;
  const NodeId a = g.input("a_i", 8), b = g.input("b_i", 8);
  const NodeId either = ops::bit_or(g, a, b);
  const NodeId low = ops::slice(g, a, 0, 4);
  const NodeId any = ops::orr(g, low);
  const NodeId inverse = ops::bit_not(g, b);
  const NodeId every = ops::bit_not(g, ops::orr(g, inverse));
  const NodeId none = ops::bit_not(g, ops::orr(g, b));
  for (NodeId part : {either, any, every, none}) {
    const NodeId other = g.input("c" + std::to_string(index(part)), g.width(part));
    const NodeId red = ops::bit_and(g, part, other), green = ops::bit_or(g, part, other);
    g.set_name(red, "red");
    g.set_name(green, "green");
    g.output("red_o", red);
    g.output("green_o", green);
  }
  const auto names = names_of(g, {low, inverse, g.node(every).args[0], g.node(none).args[0]});
  EXPECT_EQ(names[index(either)], "a_i_or_b_i");
  EXPECT_EQ(names[index(any)], "any_a_i_bits_3_0");
  EXPECT_EQ(names[index(every)], "all_b_i");
  EXPECT_EQ(names[index(none)], "no_b_i");
  EXPECT_EQ(names[index(low)], "");
}

// What cannot be said in a few words is called after what its readers' names begin with, else after
// its section.
TEST(Names, APartOfSeveralThatIsLongToSay) {
  const auto name_in = [](const char* first, const char* second) {
    Graph g;
    g.section("NaN and Inf");
    const NodeId a = g.input("a_i", 8), b = g.input("b_i", 8);
    const NodeId shared = ops::add(g, a, b);
    for (const char* name : {first, second}) {
      const NodeId reader = name == first ? ops::bit_not(g, shared) : ops::bit_and(g, shared, a);
      g.set_name(reader, name);
      g.output(std::string(name) + "_o", reader);
    }
    return names_of(g)[index(shared)];
  };
  EXPECT_EQ(name_in("a0_exp_low", "a0_exp_high"), "a0_exp_add");
  EXPECT_EQ(name_in("a0", "a0_exp"), "a0_add");
  EXPECT_EQ(name_in("a0_exp", "a1_exp"), "nan_and_inf_add");
  EXPECT_EQ(name_in("sum1", "sum10"), "nan_and_inf_add");
}

TEST(Names, PaddingNamesWhatItPads) {
  Graph g;
  const NodeId a = g.input("a_i", 4), b = g.input("b_i", 4);
  const NodeId word = ops::bit_and(g, a, b);
  const NodeId padded = ops::pad_low(g, word, 3);
  g.set_name(padded, "magnitude");
  g.output("x_o", padded);
  g.output("y_o", ops::bit_not(g, word));
  EXPECT_EQ(names_of(g)[index(word)], "magnitude");
}

TEST(Names, BitsOfANamedWordSayTheirPlaces) {
  Graph g;
  const NodeId a = g.input("a_i", 4), b = g.input("b_i", 4);
  const NodeId high = ops::bit_and(g, a, b), low = ops::orr(g, a);
  const NodeId word = ops::concat(g, {high, low});
  g.set_name(word, "prod0");
  g.output("x_o", ops::bit_not(g, ops::slice(g, word, 1, 4)));  // the word itself has no reader
  g.output("y_o", ops::bit_not(g, ops::slice(g, word, 0, 1)));
  const auto names = names_of(g);
  EXPECT_EQ(names[index(high)], "prod0_bits_4_1");
  EXPECT_EQ(names[index(low)], "prod0_bit_0");
  EXPECT_EQ(names[index(word)], "");
}

TEST(Names, AreLegalAndUnique) {
  Graph g;
  const NodeId a = g.input("a_i", 4), b = g.input("b_i", 4);
  const NodeId keyword = ops::bit_and(g, a, b), taken = ops::bit_or(g, a, b);
  const NodeId digit = ops::bit_xor(g, a, b), space = ops::add(g, a, b);
  g.set_name(keyword, "table");
  g.set_name(taken, "unit");
  g.set_name(digit, "2nd");
  g.set_name(space, "Sum part");
  g.output("x_o", ops::concat(g, {keyword, taken, digit, space}));
  const auto names = names_of(g);
  EXPECT_EQ(names[index(keyword)], "table_2");
  EXPECT_EQ(names[index(taken)], "unit_2");
  EXPECT_EQ(names[index(digit)], "n2nd");
  EXPECT_EQ(names[index(space)], "sum_part");
}

}  // namespace
}  // namespace blockdot::rtl_gen
