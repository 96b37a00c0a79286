// Pareto fronts: what is not beaten in both directions.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace blockdot::explore {

struct CostGain {
  double cost = 0;  // less is better
  double gain = 0;  // more is better
};

/// Indices of the items that no other beats: none has both cost <= and gain >= with one of them
/// strict. By rising cost; of equal items only the first. Items with a NaN are on no front.
std::vector<std::size_t> pareto_front(std::span<const CostGain> items);

}  // namespace blockdot::explore
