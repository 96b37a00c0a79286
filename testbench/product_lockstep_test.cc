// Operands x accumulator x rounding x schedule, the whole product: 4,158 Verilated units in
// lock-step with the golden model. The units of one pair of operands and one accumulator share
// their inputs and are compiled as one module. Outputs, specials, technologies and places of
// stochastic rounding go by turns. A 25th of it, or all with BLOCKDOT_PRODUCT=whole.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "testbench/axes.h"
#include "testbench/proof.h"

namespace blockdot::testbench {
namespace {

class Product : public ::testing::TestWithParam<Point> {};
INSTANTIATE_TEST_SUITE_P(Dot, Product, ::testing::ValuesIn(operands_by_accumulator(every_nth(25))),
                         [](const auto& p) { return batch_name(p.param); });

TEST_P(Product, OfRoundingAndScheduleIsInLockstepWithTheGoldenModel) {
  const std::uint64_t seed = base_seed();
  const std::vector<Point> points = rounding_by_schedule(GetParam()[0], GetParam()[1]);
  std::vector<rtl_gen::Unit> units;
  Exercise exercise;
  for (size_t i = 0; i < points.size(); ++i) {
    units.push_back(unit_of(points[i], seed, fmt::format("u{}", i)));
    if (i > 0 && spec_of(points[i]) == spec_of(points[i - 1])) continue;
    // Each contract's corners, for all of them.
    const Exercise own = make_exercise(spec_of(points[i]), seed + i, 20);
    exercise.seed = own.seed;
    exercise.first.insert(exercise.first.end(), own.first.begin(), own.first.end());
    exercise.second.insert(exercise.second.end(), own.second.begin(), own.second.end());
  }
  std::vector<Member> members;
  for (size_t i = 0; i < units.size(); ++i) members.push_back({spec_of(points[i]), &units[i]});
  const std::vector<Outcome> outcomes = check_together(members, exercise);
  for (size_t i = 0; i < points.size(); ++i) {
    EXPECT_GT(outcomes[i].checked, 500) << "vacuous";
    EXPECT_TRUE(outcomes[i].passed()) << name_of(points[i]) << ", seed " << seed << ", latency "
                                      << units[i].report.latency << ": " << outcomes[i].mismatch;
  }
}

}  // namespace
}  // namespace blockdot::testbench
