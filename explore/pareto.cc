#include "explore/pareto.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace blockdot::explore {

std::vector<std::size_t> pareto_front(std::span<const CostGain> items) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < items.size(); ++i)
    if (!std::isnan(items[i].cost) && !std::isnan(items[i].gain)) order.push_back(i);
  // By rising cost, the best of one cost first: then an item is on the front exactly when it gains
  // more than everything before it.
  std::stable_sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) {
    return items[i].cost != items[j].cost ? items[i].cost < items[j].cost
                                          : items[i].gain > items[j].gain;
  });
  std::vector<std::size_t> front;
  for (std::size_t i : order)
    if (front.empty() || items[i].gain > items[front.back()].gain) front.push_back(i);
  return front;
}

}  // namespace blockdot::explore
