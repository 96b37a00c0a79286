// The Verilated unit in lock-step with the golden model, for a set of points that holds every pair
// of values of two axes of axes.h, schedules included; operands x accumulator is complete. The
// whole product runs in graph_proof_test, random points of it in long_lockstep_test.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "testbench/axes.h"
#include "testbench/proof.h"

namespace blockdot::testbench {
namespace {

class Lockstep : public ::testing::TestWithParam<Point> {};
INSTANTIATE_TEST_SUITE_P(Pairwise, Lockstep, ::testing::ValuesIn(pairwise_points()),
                         [](const auto& p) { return name_of(p.param); });

TEST_P(Lockstep, OfTheVerilatedUnitWithTheGoldenModel) {
  fmt::print("seed {}: {} results checked\n", base_seed(),
             expect_lockstep(GetParam(), base_seed(), 400));
}

}  // namespace
}  // namespace blockdot::testbench
