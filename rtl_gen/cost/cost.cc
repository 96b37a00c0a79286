#include "rtl_gen/cost/cost.h"

#include <algorithm>
#include <cmath>

#include "formats/error.h"

namespace blockdot::rtl_gen {
namespace {

double log2_of(int n) { return std::log2(std::max(n, 1)); }

// Levels of 3:2 counters for n rows.
double counter_levels(int rows) {
  double levels = 0;
  for (double h = 2; h < rows; h = std::floor(h * 3 / 2)) ++levels;
  return levels;
}

}  // namespace

std::string_view to_text(Technology technology) {
  switch (technology) {
    case Technology::kGeneric:
      return "generic";
    case Technology::kOsu018:
      return "osu018";
    case Technology::kXilinx:
      return "xilinx";
  }
  return "?";
}

Technology parse_technology(std::string_view text) {
  for (Technology t : {Technology::kGeneric, Technology::kOsu018, Technology::kXilinx})
    if (to_text(t) == text) return t;
  throw ConfigError("technology = {}: must be generic, osu018 or xilinx", text);
}

bool is_padding(const Graph& graph, NodeId id) {
  const Node& n = graph.node(id);
  if (n.op == Op::kSext) return true;
  if (n.op != Op::kConcat) return false;
  return std::count_if(n.args.begin(), n.args.end(),
                       [&](NodeId a) { return graph.node(a).op != Op::kConst; }) == 1;
}

NodeId unpadded(const Graph& graph, NodeId id) {
  while (is_padding(graph, id)) {
    const Node& n = graph.node(id);
    id = *std::find_if(n.args.begin(), n.args.end(),
                       [&](NodeId a) { return graph.node(a).op != Op::kConst; });
  }
  return id;
}

CostModel::Constants CostModel::constants_of(Technology technology) {
  switch (technology) {
    case Technology::kGeneric:
      return {0.03, 0.05, 0.055, 0.07, 0.10, 1.2, 2.3, 2.0, 6.2, 4.0, 0.12, 1.5, false};
    case Technology::kOsu018:
      return {0.13, 0.20, 0.24, 0.30, 0.45, 26, 50, 44, 140, 96, 0.45, 6.0, false};
    case Technology::kXilinx:
      return {0.25, 0.25, 0.25, 0.015, 0.55, 0.35, 0.45, 0.45, 1.0, 0.0, 0.30, 4.0, true};
  }
  return {};
}

CostModel::CostModel(Technology technology)
    : technology_(technology), k_(constants_of(technology)) {}

double CostModel::register_area() const { return k_.register_area; }
double CostModel::register_overhead_ns() const { return k_.register_overhead_ns; }
double CostModel::default_clock_ns() const { return k_.default_clock_ns; }

std::string_view CostModel::area_unit() const {
  switch (technology_) {
    case Technology::kGeneric:
      return "NAND2";
    case Technology::kOsu018:
      return "osu018 area";
    case Technology::kXilinx:
      return "LUT";
  }
  return "?";
}

double CostModel::delay_ns(const Graph& g, NodeId id) const {
  const Node& n = g.node(id);
  const auto real_width = [&](std::size_t i) { return g.width(unpadded(g, n.args[i])); };
  const auto adder = [&](int width) {
    return k_.carry_chain ? k_.add_base_ns + k_.carry_ns * width
                          : k_.add_base_ns + k_.carry_ns * log2_of(width);
  };
  // A select that drives a wide word is buffered.
  const auto fanout = [&](int width) { return k_.gate_ns * 0.25 * log2_of(width); };
  switch (n.op) {
    case Op::kInput:
    case Op::kConst:
    case Op::kState:
    case Op::kSlice:
    case Op::kConcat:
    case Op::kSext:
      return 0;
    case Op::kNot:
      return 0.3 * k_.gate_ns;
    case Op::kAnd:
    case Op::kOr:
      return k_.gate_ns;
    case Op::kXor:
      return k_.xor_ns;
    case Op::kAdd:
    case Op::kSub:
      return adder(n.width);
    case Op::kMul: {
      const int rows = std::min(real_width(0), real_width(1));
      const int columns = std::max(real_width(0), real_width(1));
      if (rows == 1) return k_.gate_ns + fanout(columns);
      return k_.gate_ns + counter_levels(rows) * 2 * k_.xor_ns + adder(rows + columns);
    }
    case Op::kSum:
      return counter_levels(static_cast<int>(n.args.size())) * 2 * k_.xor_ns + adder(n.width);
    case Op::kEq:
      return k_.xor_ns + k_.gate_ns * log2_of(g.width(n.args[0]));
    case Op::kUlt:
      return adder(g.width(n.args[0]));
    case Op::kMux:
      return k_.mux_ns + fanout(n.width);
    case Op::kShl:
    case Op::kLshr:
      return g.width(n.args[1]) * (k_.mux_ns + fanout(n.width));
    case Op::kOrr:
      return k_.gate_ns * std::ceil(log2_of(g.width(n.args[0])));
    case Op::kClz:
      return log2_of(g.width(n.args[0])) * (k_.mux_ns + k_.gate_ns);
  }
  return 0;
}

double CostModel::area(const Graph& g, NodeId id) const {
  const Node& n = g.node(id);
  const auto real_width = [&](std::size_t i) { return g.width(unpadded(g, n.args[i])); };
  const double w = n.width;
  switch (n.op) {
    case Op::kInput:
    case Op::kConst:
    case Op::kState:
    case Op::kSlice:
    case Op::kConcat:
    case Op::kSext:
      return 0;
    case Op::kNot:
      return 0.5 * k_.gate_area * w;
    case Op::kAnd:
    case Op::kOr:
      return k_.gate_area * w;
    case Op::kXor:
      return k_.xor_area * w;
    case Op::kAdd:
      return k_.add_area * std::min(w, 1.0 + std::max(real_width(0), real_width(1)));
    case Op::kSub:
      return k_.add_area * w;
    case Op::kMul: {
      const double x = real_width(0), y = real_width(1);
      return k_.gate_area * x * y +
             k_.add_area * 0.75 * std::max(x - 1, 0.0) * std::max(y - 1, 0.0) +
             k_.add_area * std::min(x, y) * 0.3;
    }
    case Op::kSum:
      return k_.add_area * w * static_cast<double>(n.args.size() - 1);
    case Op::kEq:
      return (k_.xor_area * 0.7 + k_.gate_area) * g.width(n.args[0]);
    case Op::kUlt:
      return 0.6 * k_.add_area * g.width(n.args[0]);
    case Op::kMux:
      return k_.mux_area * w;
    case Op::kShl:
    case Op::kLshr: {
      // Level i moves by 2^i: bits that are known zero on one side cost a gate, not a mux.
      double total = 0;
      double reach = real_width(0);
      for (int i = 0; i < g.width(n.args[1]); ++i) {
        const double step = std::min(std::ldexp(1.0, i), w);
        const double next = n.op == Op::kShl ? std::min(w, reach + step) : reach;
        const double both = std::max(0.0, reach - step);
        total += k_.mux_area * both + k_.gate_area * (next - both);
        reach = next;
      }
      return total;
    }
    case Op::kOrr:
      return k_.gate_area * 0.8 * (g.width(n.args[0]) - 1);
    case Op::kClz:
      return (k_.mux_area + k_.gate_area) * g.width(n.args[0]);
  }
  return 0;
}

}  // namespace blockdot::rtl_gen
