// Random points of the whole product of axes.h, Verilated, with ten times the frames.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "testbench/axes.h"
#include "testbench/proof.h"

namespace blockdot::testbench {
namespace {

TEST(LongLockstep, OfRandomPointsWithTheGoldenModel) {
  std::mt19937_64 random(base_seed());
  constexpr int kPoints = 60;
  std::int64_t checked = 0;
  for (int i = 0; i < kPoints; ++i) {
    Point point;
    for (int axis = 0; axis < kAxes; ++axis)
      point[static_cast<size_t>(axis)] = static_cast<int>(
          random() % static_cast<std::uint64_t>(axis_size(static_cast<Axis>(axis))));
    checked += expect_lockstep(point, random(), 4000);
  }
  fmt::print("seed {}: {} results checked\n", base_seed(), checked);
}

}  // namespace
}  // namespace blockdot::testbench
