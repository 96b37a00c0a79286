// Pareto fronts against their definition, written as a double loop.
#include "explore/pareto.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace blockdot::explore {
namespace {

// Every item that no other beats; of equal ones the first. Order by cost.
std::vector<std::size_t> by_definition(const std::vector<CostGain>& items) {
  std::vector<std::size_t> front;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (std::isnan(items[i].cost) || std::isnan(items[i].gain)) continue;
    bool beaten = false;
    for (std::size_t j = 0; j < items.size(); ++j) {
      bool as_good = items[j].cost <= items[i].cost && items[j].gain >= items[i].gain;
      bool better = items[j].cost < items[i].cost || items[j].gain > items[i].gain;
      beaten = beaten || (as_good && (better || j < i));
    }
    if (!beaten) front.push_back(i);
  }
  std::sort(front.begin(), front.end(),
            [&](std::size_t i, std::size_t j) { return items[i].cost < items[j].cost; });
  return front;
}

TEST(ParetoFront, EqualsItsDefinitionOnRandomPoints) {
  std::mt19937 random(20240607);
  std::size_t checked = 0;
  for (int round = 0; round < 2000; ++round) {
    // Few distinct values, so that ties and equal points are common.
    std::vector<CostGain> items(random() % 12);
    for (CostGain& item : items) {
      item = {static_cast<double>(random() % 6), static_cast<double>(random() % 6)};
      if (random() % 20 == 0) item.gain = std::nan("");
    }
    ASSERT_EQ(pareto_front(items), by_definition(items)) << "round " << round;
    checked += items.size();
  }
  EXPECT_GT(checked, 5000u);
}

TEST(ParetoFront, ByHand) {
  std::vector<CostGain> items = {{3, 9}, {1, 4}, {2, 4}, {2, 6}, {4, 9}, {5, 20}};
  EXPECT_EQ(pareto_front(items), (std::vector<std::size_t>{1, 3, 0, 5}));
  EXPECT_TRUE(pareto_front({}).empty());
}

}  // namespace
}  // namespace blockdot::explore
