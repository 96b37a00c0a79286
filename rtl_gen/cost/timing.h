// When each bit of a graph is there: estimates from CostModel's constants. The low bits of a sum
// come before its high bits, so what follows an adder does not wait for all of it; a select that
// drives a word, or a bit with many readers, is late by the logarithm of what it drives.
#pragma once

#include <vector>

#include "rtl_gen/cost/cost.h"
#include "rtl_gen/cost/known.h"
#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

/// One bit: when it is there, ns after the beat's inputs and states, and whether it is a constant.
struct BitArrival {
  float ns = 0;
  signed char known = kOpenBit;
};

/// The bits of all nodes, one after the other.
class BitTable {
 public:
  explicit BitTable(const Graph& graph) : graph_(graph) {}
  /// Makes room for the graph's first `nodes` nodes.
  void extend(std::size_t nodes);
  std::size_t nodes() const { return base_.size(); }
  std::size_t size() const { return bits_.size(); }
  std::size_t at(NodeId id, int bit) const {
    return base_[index(id)] + static_cast<std::size_t>(bit);
  }
  BitArrival& operator[](std::size_t i) { return bits_[i]; }
  const BitArrival& operator[](std::size_t i) const { return bits_[i]; }

 private:
  const Graph& graph_;
  std::vector<std::size_t> base_;
  std::vector<BitArrival> bits_;
};

/// Arrivals in a graph that is still being built, were it all one stage. How many readers a bit
/// will have is not known yet and does not count.
class ArrivalTimes {
 public:
  ArrivalTimes(const Graph& graph, const CostModel& cost)
      : graph_(graph), cost_(cost), bits_(graph) {}
  double of(NodeId id, int bit);
  /// Of the latest bit.
  double of(NodeId id);

 private:
  void extend(std::size_t nodes);

  const Graph& graph_;
  CostModel cost_;
  BitTable bits_;
};

/// Delays in a whole lowered graph.
class StageTiming {
 public:
  StageTiming(const Graph& lowered, const CostModel& cost);

  /// Of the latest bit of a node when all it reads is there at zero. The longest path of a stage
  /// is at most the sum of these.
  double delay_ns(NodeId id) const;

  struct Path {
    double ns = 0;
    NodeId end{};
  };
  static constexpr int kOutside = -2;
  /// The longest path within a stage, by the stage of each node: -1 for padding, which follows
  /// what it pads, and for what does not count; kOutside for nodes that are left out. What comes
  /// from another stage is there at zero.
  Path longest(const std::vector<int>& stage) const;

 private:
  const Graph& graph_;
  CostModel cost_;
  BitTable bits_;            // as one stage
  std::vector<float> late_;  // by bit: what its readers cost
};

}  // namespace blockdot::rtl_gen
