#include "rtl_gen/pipeline/schedule.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "formats/error.h"
#include "rtl_gen/build/fx.h"
#include "rtl_gen/build/lower.h"
#include "rtl_gen/build/ops.h"
#include "rtl_gen/cost/timing.h"
#include "rtl_gen/generate.h"

namespace blockdot::rtl_gen {
namespace {

const CostModel kCost(Technology::kGeneric);

// Products summed and accumulated: a wide front, a narrow waist and a loop.
Graph sample() {
  Graph g;
  std::vector<Fx> terms;
  const Fx a = input(g, "a_i", 64), b = input(g, "b_i", 64);
  for (int j = 0; j < 8; ++j)
    terms.push_back(name(mul(bits(a, 8 * j, 8), bits(b, 8 * j, 8)), fmt::format("prod{}", j)));
  const Fx total = name(sum(g, terms), "total");
  const Fx acc = state(g, "acc", 0, pow2(40) - 1);
  const Fx next = name(assume(add(acc, total), 0, pow2(40) - 1), "acc_d");
  set_next(acc, next);
  output("acc_o", next);
  return lower(g, SumStyle::kCompress);
}

TEST(Schedule, EveryStageFitsTheClock) {
  const Graph g = sample();
  for (ScheduleKind kind : {ScheduleKind::kAsap, ScheduleKind::kMinRegister, ScheduleKind::kRandom})
    for (double clock : {1.2, 1.5, 2.0, 4.0}) {
      const Schedule s = make_schedule(g, kCost, {clock, kind, 5, false});
      EXPECT_LE(s.critical_path_ns, clock + 1e-9) << to_text(kind);
      EXPECT_GE(s.latency, 1);
      EXPECT_NO_THROW(verify(s, g));
    }
}

TEST(Schedule, AFasterClockTakesMoreStages) {
  const Graph g = sample();
  EXPECT_GT(make_schedule(g, kCost, {1.0, ScheduleKind::kAsap, 0, false}).latency,
            make_schedule(g, kCost, {3.0, ScheduleKind::kAsap, 0, false}).latency);
}

TEST(Schedule, MinRegisterHasAsapsLatencyAndFewerBits) {
  const Graph unit = lower(build_graph(UnitKind::kDot, formats::parse_dot_spec("a=mxfp8_e4m3")),
                           SumStyle::kCompress);
  for (double clock : {1.5, 2.0, 3.0}) {
    const Schedule asap = make_schedule(unit, kCost, {clock, ScheduleKind::kAsap, 0, false});
    const Schedule least =
        make_schedule(unit, kCost, {clock, ScheduleKind::kMinRegister, 0, false});
    EXPECT_EQ(least.latency, asap.latency);
    EXPECT_LT(least.register_bits, asap.register_bits) << clock;
  }
}

TEST(Schedule, RandomSeedsGiveDifferentDeepPipelines) {
  const Graph g = sample();
  const Schedule one = make_schedule(g, kCost, {1.5, ScheduleKind::kRandom, 1, false});
  const Schedule two = make_schedule(g, kCost, {1.5, ScheduleKind::kRandom, 2, false});
  EXPECT_NE(one.stage, two.stage);
  EXPECT_GT(one.latency, make_schedule(g, kCost, {1.5, ScheduleKind::kAsap, 0, false}).latency);
}

TEST(Schedule, AClockThatTheLoopCannotMeetIsAnErrorThatNamesNodeAndClock) {
  const Graph g = sample();
  try {
    make_schedule(g, kCost, {0.3, ScheduleKind::kAsap, 0, false});
    FAIL() << "no error";
  } catch (const ConfigError& e) {
    const std::string text = e.what();
    const double fits = fastest_clock_ns(g, kCost);
    EXPECT_NE(text.find("clock-ns = 0.3"), std::string::npos) << text;
    EXPECT_NE(text.find("prod"), std::string::npos) << text;
    EXPECT_NO_THROW(make_schedule(
        g, kCost, {std::ceil(fits * 100) / 100, ScheduleKind::kMinRegister, 0, false}));
    EXPECT_THROW(make_schedule(g, kCost, {fits - 0.01, ScheduleKind::kAsap, 0, false}),
                 ConfigError);
  }
}

// Oracle: the clock that fits is that of the slowest, so what is blamed takes all of it.
TEST(Schedule, ARefusedClockIsBlamedOnTheSlowestEvenWhereQuickOperationsAreTooSlowToo) {
  const Graph g = sample();
  try {
    make_schedule(g, kCost, {0.01, ScheduleKind::kAsap, 0, false});
    FAIL() << "no error";
  } catch (const ConfigError& e) {
    const std::string text = e.what();
    const auto after = [&](const std::string& words) {
      const std::size_t at = text.find(words);
      return at == std::string::npos ? -1.0 : std::stod(text.substr(at + words.size()));
    };
    EXPECT_NEAR(after(" takes ") + after(" ns plus "), fastest_clock_ns(g, kCost), 0.01) << text;
    EXPECT_NEAR(after("a clock of "), fastest_clock_ns(g, kCost), 0.01) << text;
  }
}

// By hand, with the constants of generic: two sums one after the other take less than twice the
// first, for the low bits of the first are there when the second begins.
TEST(StageTiming, LowBitsOfASumComeBeforeItsHighBits) {
  Graph g;
  const NodeId x = g.input("x_i", 32), y = g.input("y_i", 32), z = g.input("z_i", 32);
  const NodeId first = g.binary(Op::kAdd, x, y);
  const NodeId second = g.binary(Op::kAdd, first, z);
  g.output("sum_o", second);
  const CostModel cost(Technology::kOsu018);
  const StageTiming timing(g, cost);
  const CostModel::Constants& k = cost.constants();
  const double one = k.add_ns + 30 * k.carry_ns + k.xor_ns + k.xor_ns;
  const double both = timing.longest(std::vector<int>(g.size(), 0)).ns;
  EXPECT_LT(both, 1.5 * timing.delay_ns(first));
  EXPECT_GT(both, timing.delay_ns(first));
  EXPECT_NEAR(timing.delay_ns(second), one, 0.2 * one);
  // In two stages the second starts afresh.
  std::vector<int> stage(g.size(), 0);
  stage[index(second)] = 1;
  EXPECT_NEAR(timing.longest(stage).ns, timing.delay_ns(first), 1e-6);
}

// By hand: 2^w - 1 - x borrows nowhere, so it is inverters; x - 2^(w-4) begins at its fourth bit
// from the top; 0 - x has its whole carry.
TEST(StageTiming, ACarryThatConstantsFixIsNeitherLateNorLarge) {
  const int w = 48;
  struct Cost {
    double ns, area;
  };
  const auto of = [&](auto&& build) {
    Graph g;
    g.output("out_o", build(g, g.input("x_i", w)));
    const CostModel cost(Technology::kOsu018);
    return Cost{StageTiming(g, cost).longest(std::vector<int>(g.size(), 0)).ns, cost.area(g)};
  };
  const auto minus = [](Graph& g, const Int& from, NodeId x) {
    return g.binary(Op::kSub, ops::constant(g, from, w), x);
  };
  const CostModel cost(Technology::kOsu018);
  const CostModel::Constants& k = cost.constants();
  const Cost ones = of([&](Graph& g, NodeId x) { return minus(g, pow2(w) - 1, x); });
  const Cost high = of(
      [&](Graph& g, NodeId x) { return g.binary(Op::kSub, x, ops::constant(g, pow2(w - 4), w)); });
  const Cost negated = of([&](Graph& g, NodeId x) { return minus(g, 0, x); });
  EXPECT_LE(ones.ns, k.gate_ns);
  EXPECT_EQ(ones.area, 0);
  EXPECT_LE(high.ns, k.gate_ns + 4 * k.carry_ns + k.xor_ns);
  EXPECT_LE(high.area, 4 * k.add_area);
  EXPECT_GT(negated.ns, 20 * k.increment * k.carry_ns);
  EXPECT_GT(negated.area, (w - 2) * k.gate_area);
}

TEST(Schedule, LoopsThatFeedEachOtherShareAStage) {
  // Two registers, each the input of the other's next value.
  Graph g;
  const Fx x = input(g, "x_i", 8);
  const Fx p = state(g, "p", 0, 255), q = state(g, "q", 0, 255);
  set_next(p, name(bits(add(q, x), 0, 8), "p_d"));
  set_next(q, name(xor_(p, bits(mul(x, x), 0, 8)), "q_d"));
  output("p_o", p);
  const Graph low = lower(g, SumStyle::kCompress);
  for (ScheduleKind kind : {ScheduleKind::kAsap, ScheduleKind::kMinRegister, ScheduleKind::kRandom})
    EXPECT_NO_THROW(make_schedule(low, kCost, {1.2, kind, 3, false})) << to_text(kind);
}

}  // namespace
}  // namespace blockdot::rtl_gen
