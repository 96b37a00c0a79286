#include "rtl_gen/cost/cost.h"

#include <algorithm>
#include <cmath>

#include "formats/error.h"

namespace blockdot::rtl_gen {
namespace {

double log2_of(double n) { return std::log2(std::max(n, 1.0)); }

}  // namespace

double counter_levels(int rows) {
  double levels = 0;
  for (int h = 2; h < rows; h = h * 3 / 2) ++levels;
  return levels;
}

int significant_width(const Graph& g, NodeId id) {
  const Node& n = g.node(id);
  if (n.op == Op::kSext) return significant_width(g, n.args[0]);
  if (n.op != Op::kConcat) return n.width;
  const auto constant = [&](NodeId a) { return g.node(a).op == Op::kConst; };
  auto first = n.args.begin(), last = n.args.end();
  while (first != last && constant(*first)) ++first;
  while (first != last && constant(*(last - 1))) --last;
  int width = 0;
  for (; first != last; ++first) width += g.width(*first);
  return width;
}

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
  Constants k{};
  switch (technology) {
    // A generic 45 nm-like library under a synthesiser that chooses prefix adders.
    case Technology::kGeneric:
      k.invert_ns = 0.01, k.gate_ns = 0.03, k.xor_ns = 0.05, k.mux_ns = 0.055, k.fanout_ns = 0.0075;
      k.full_sum_ns = 0.10, k.full_carry_ns = 0.075;
      k.add_ns = 0.05, k.carry_ns = 0.07, k.increment = 0.65, k.compare = 0.6;
      k.gate_area = 1.2, k.xor_area = 2.3, k.mux_area = 2.0, k.add_area = 6.5, k.register_area = 4;
      k.register_overhead_ns = 0.12, k.default_clock_ns = 1.5;
      break;
    // OSU 0.18 um under Yosys and ABC, buffered and sized.
    case Technology::kOsu018:
      k.invert_ns = 0.04, k.gate_ns = 0.12, k.xor_ns = 0.16, k.mux_ns = 0.11, k.fanout_ns = 0.025;
      k.joined_ns = 0.064;
      k.full_sum_ns = 0.31, k.full_carry_ns = 0.215;
      k.add_ns = 0.064, k.carry_ns = 0.083, k.increment = 0.62, k.compare = 0.56;
      k.passed_ns = 0.045, k.passing_ns = 0.1, k.cell_load_ns = 0.05;
      k.gate_area = 25, k.xor_area = 56, k.mux_area = 38, k.add_area = 180, k.register_area = 96;
      k.register_overhead_ns = 0.40, k.default_clock_ns = 10;
      break;
    // UltraScale+ LUTs and carry chains, wiring included by a rule of thumb.
    case Technology::kXilinx:
      k.invert_ns = 0.075, k.gate_ns = k.xor_ns = k.mux_ns = 0.25, k.fanout_ns = 0.0625;
      k.full_sum_ns = 0.5, k.full_carry_ns = 0.375;
      k.add_ns = 0.3, k.carry_ns = 0.015, k.increment = 0.65, k.compare = 0.6;
      k.gate_area = 0.35, k.xor_area = 0.45, k.mux_area = 0.45, k.add_area = 1, k.register_area = 0;
      k.register_overhead_ns = 0.30, k.default_clock_ns = 4;
      break;
  }
  return k;
}

double CostModel::carry_ns(int bits) const {
  if (bits <= 0) return 0;
  switch (technology_) {
    case Technology::kGeneric:
      return k_.carry_ns * log2_of(bits);
    case Technology::kOsu018:
      // ABC turns Yosys' prefix adder into a ripple for area; beyond 64 bits a doubling adds about
      // as much as 55 bits.
      return k_.carry_ns * (bits <= 64 ? bits : 64 + 55 * log2_of(bits / 64.0));
    case Technology::kXilinx:
      return k_.carry_ns * bits;
  }
  return 0;
}

double CostModel::fanout_ns(int readers) const { return k_.fanout_ns * log2_of(readers); }

CostModel::CostModel(Technology technology)
    : technology_(technology), k_(constants_of(technology)) {}

double CostModel::cell_load_ns(int readers) const {
  return k_.cell_load_ns * std::max(0, readers - 2);
}

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

}  // namespace blockdot::rtl_gen
