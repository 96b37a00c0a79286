// Random points of the whole product of axes.h, Verilated, with ten times the frames.
#include <gtest/gtest.h>

#include <random>

#include "testbench/axes.h"
#include "testbench/proof.h"

namespace blockdot::testbench {
namespace {

TEST(LongLockstep, OfRandomPointsWithTheGoldenModel) {
  std::mt19937_64 random(base_seed());
  constexpr int kPoints = 60;
  for (int i = 0; i < kPoints; ++i) {
    Point point;
    for (int axis = 0; axis < kAxes; ++axis)
      point[static_cast<size_t>(axis)] = static_cast<int>(
          random() % static_cast<std::uint64_t>(axis_size(static_cast<Axis>(axis))));
    expect_lockstep(point, random(), 4000);
  }
}

}  // namespace
}  // namespace blockdot::testbench
