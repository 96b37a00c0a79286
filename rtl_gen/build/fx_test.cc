// The builder against brute force: every value of small operands, results and claimed ranges.
#include "rtl_gen/build/fx.h"

#include <gtest/gtest.h>

#include <functional>

#include "formats/error.h"
#include "rtl_gen/ir/interpreter.h"

namespace blockdot::rtl_gen {
namespace {

Int floor_div_pow2(const Int& value, int k) { return floor_shift(value, k); }

struct Case {
  const char* name;
  std::function<Fx(const Fx&, const Fx&)> build;
  std::function<Int(const Int&, const Int&)> want;  // in units of the result's lsb
  bool unsigned_b = false;
};

// All operands of [a_lo, a_hi] x [b_lo, b_hi]; also the claimed range must hold and be tight for
// the operations whose range is exact.
void check(const Case& c, const Int& a_lo, const Int& a_hi, const Int& b_lo, const Int& b_hi,
           int& checked) {
  Graph g;
  const Fx ra = input(g, "a_i", range_width(a_lo, a_hi)),
           rb = input(g, "b_i", range_width(b_lo, b_hi));
  const Fx a = assume(ra, a_lo, a_hi), b = assume(rb, b_lo, b_hi);
  const Fx r = c.build(a, b);
  output("r_o", r);
  UnitInterpreter unit(g);
  for (Int x = a_lo; x <= a_hi; ++x)
    for (Int y = b_lo; y <= b_hi; ++y) {
      unit.set_input(0, to_bits(x, a.width()).limbs);
      unit.set_input(1, to_bits(y, b.width()).limbs);
      unit.step();
      const Bits got = unit.output_bits(0);
      const Int value = r.is_signed() ? to_signed_int(got) : to_int(got);
      ASSERT_EQ(value, c.want(x, y)) << c.name << " of " << x << ", " << y;
      ASSERT_LE(r.lo, value) << c.name;
      ASSERT_GE(r.hi, value) << c.name;
      ++checked;
    }
}

TEST(Fx, ResultsAndRangesHoldForEveryValueOfSmallOperands) {
  const auto lt = [](const Int& a, const Int& b) { return Int(a < b ? 1 : 0); };
  const Case cases[] = {
      {"add", add, [](const Int& a, const Int& b) { return a + b; }},
      {"sub", sub, [](const Int& a, const Int& b) { return a - b; }},
      {"mul", mul, [](const Int& a, const Int& b) { return a * b; }},
      {"neg", [](const Fx& a, const Fx&) { return neg(a); },
       [](const Int& a, const Int&) { return -a; }},
      {"magnitude", [](const Fx& a, const Fx&) { return magnitude(a); },
       [](const Int& a, const Int&) { return abs(a); }},
      {"less", less, lt},
      {"equal", equal, [](const Int& a, const Int& b) { return Int(a == b ? 1 : 0); }},
      {"nonzero", [](const Fx& a, const Fx&) { return nonzero(a); },
       [](const Int& a, const Int&) { return Int(a != 0 ? 1 : 0); }},
      {"mux", [](const Fx& a, const Fx& b) { return mux(less(a, b), a, b); },
       [](const Int& a, const Int& b) { return std::min(a, b); }},
      {"neg_if", [](const Fx& a, const Fx& b) { return neg_if(less(a, b), a); },
       [](const Int& a, const Int& b) { return a < b ? Int(-a) : a; }},
      {"add of weights", [](const Fx& a, const Fx& b) { return add(scale(a, 2), b); },
       [](const Int& a, const Int& b) { return 4 * a + b; }},
      {"floor_to", [](const Fx& a, const Fx&) { return floor_to(a, 2); },
       [](const Int& a, const Int&) { return floor_div_pow2(a, 2); }},
      {"sum",
       [](const Fx& a, const Fx& b) {
         return sum(*a.graph, {a, b, a, scale(b, 1), a});
       },
       [](const Int& a, const Int& b) { return 3 * a + 3 * b; }},
      {"wrap_signed", [](const Fx& a, const Fx& b) { return wrap_signed(add(a, b), 3); },
       [](const Int& a, const Int& b) {
         const Int m = ((a + b) % 8 + 8) % 8;
         return m >= 4 ? Int(m - 8) : m;
       }},
  };
  int checked = 0;
  for (const Case& c : cases)
    for (const auto& [a_lo, a_hi] :
         {std::pair{0, 7}, {-8, 7}, {-5, 3}, {3, 6}, {-7, -2}, {0, 0}, {-1, 0}})
      for (const auto& [b_lo, b_hi] : {std::pair{0, 7}, {-4, 3}, {-6, 5}, {1, 2}, {5, 5}})
        check(c, a_lo, a_hi, b_lo, b_hi, checked);
  const Case shifts[] = {
      {"shl",
       [](const Fx& a, const Fx& b) {
         const Fx r = shl(a, b);
         return extend_lsb(r, 0);
       },
       [](const Int& a, const Int& b) { return floor_shift(a, -static_cast<int>(b)); }},
      {"shr_floor", shr_floor,
       [](const Int& a, const Int& b) { return floor_shift(a, static_cast<int>(b)); }},
  };
  for (const Case& c : shifts)
    for (const auto& [a_lo, a_hi] : {std::pair{0, 7}, {-8, 7}, {-5, 3}, {3, 6}, {-7, -2}})
      for (const auto& [b_lo, b_hi] : {std::pair{0, 7}, {1, 6}, {2, 3}, {4, 4}})
        check(c, a_lo, a_hi, b_lo, b_hi, checked);
  EXPECT_GT(checked, 20000);
}

TEST(Fx, NormalizeMovesTheTopOneUpAndSaysHowFar) {
  for (int width : {1, 2, 3, 5, 8}) {
    Graph g;
    const Fx a = input(g, "a_i", width);
    const Normalized n = normalize(a, "n");
    output("value_o", n.value);
    output("shift_o", n.shift);
    UnitInterpreter unit(g);
    for (std::uint64_t x = 1; x < (1u << width); ++x) {
      unit.set_input(0, x);
      unit.step();
      const std::uint64_t value = unit.output(0)[0], shift = unit.output(1)[0];
      EXPECT_EQ(value, x << shift);
      EXPECT_EQ(value >> (width - 1), 1u);
    }
  }
}

TEST(Fx, WidthsAreTheNarrowestForTheRange) {
  Graph g;
  const Fx a = assume(input(g, "a_i", 4), 0, 9), b = assume(input(g, "b_i", 4), 0, 9);
  EXPECT_EQ(mul(a, b).width(), 7);                       // 0..81
  EXPECT_EQ(sub(a, b).width(), 5);                       // -9..9
  EXPECT_EQ(sum(g, std::vector<Fx>(32, a)).width(), 9);  // 0..288
}

TEST(Fx, StateRefusesAValueBeyondItsRange) {
  Graph g;
  const Fx s = state(g, "s", 0, 6);
  EXPECT_THROW(set_next(s, input(g, "a_i", 3)), InternalError);
}

TEST(RangeText, IsShortWhereTheBoundIs) {
  EXPECT_EQ(range_text(0, 225), "0..225");
  EXPECT_EQ(range_text(-pow2(40), pow2(40) - 1), "-2^40..2^40-1");
  EXPECT_EQ(range_text(-49 * pow2(30), 49 * pow2(30)), "-49*2^30..49*2^30");
  EXPECT_EQ(range_text(1 - pow2(30), pow2(30) + 1), "1-2^30..0x40000001");
}

}  // namespace
}  // namespace blockdot::rtl_gen
