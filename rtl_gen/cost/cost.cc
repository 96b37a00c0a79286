#include "rtl_gen/cost/cost.h"

#include <algorithm>
#include <cmath>

#include "formats/error.h"
#include "rtl_gen/cost/luts.h"

namespace blockdot::rtl_gen {
namespace {

double log2_of(double n) { return std::log2(std::max(n, 1.0)); }

// Levels of 3:2 counters for n rows.
double counter_levels(int rows) {
  double levels = 0;
  for (double h = 2; h < rows; h = std::floor(h * 3 / 2)) ++levels;
  return levels;
}

// Bits between constant padding.
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

// One operand is a constant or a single bit: half adders, not full ones.
bool is_increment(const Graph& g, const Node& n) {
  return std::any_of(n.args.begin(), n.args.end(), [&](NodeId a) {
    return g.node(a).op == Op::kConst || significant_width(g, a) == 1;
  });
}

// Bits that constants fix.
class KnownBits {
 public:
  static constexpr signed char kOpen = 2;

  explicit KnownBits(const Graph& g) : bits_(g.size()) {
    for (std::size_t i = 0; i < g.size(); ++i)
      bits_[i] = of(g, g.node(NodeId{static_cast<std::uint32_t>(i)}));
  }
  signed char at(NodeId id, int i) const { return bits_[index(id)][static_cast<std::size_t>(i)]; }

 private:
  std::vector<signed char> of(const Graph& g, const Node& n) const {
    std::vector<signed char> out(static_cast<std::size_t>(n.width), kOpen);
    const auto each = [&](auto&& value) {
      for (int i = 0; i < n.width; ++i) out[static_cast<std::size_t>(i)] = value(i);
    };
    const auto arg = [&](std::size_t a, int i) { return at(n.args[a], i); };
    const auto either = [&](int i, signed char rules) -> signed char {
      const signed char x = arg(0, i), y = arg(1, i);
      if (x == rules || y == rules) return rules;
      return x == kOpen || y == kOpen ? kOpen : static_cast<signed char>(1 - rules);
    };
    if (n.op == Op::kConst) each([&](int i) { return static_cast<signed char>(n.value.bit(i)); });
    if (n.op == Op::kSlice) each([&](int i) { return arg(0, n.lo + i); });
    if (n.op == Op::kSext) each([&](int i) { return arg(0, std::min(i, g.width(n.args[0]) - 1)); });
    if (n.op == Op::kAnd) each([&](int i) { return either(i, 0); });
    if (n.op == Op::kOr) each([&](int i) { return either(i, 1); });
    if (n.op == Op::kNot)
      each([&](int i) -> signed char {
        return arg(0, i) == kOpen ? kOpen : static_cast<signed char>(1 - arg(0, i));
      });
    if (n.op == Op::kMux)
      each([&](int i) -> signed char { return arg(1, i) == arg(2, i) ? arg(1, i) : kOpen; });
    if (n.op == Op::kConcat) {
      int top = n.width;
      for (NodeId a : n.args) {
        top -= g.width(a);
        for (int i = 0; i < g.width(a); ++i) out[static_cast<std::size_t>(top + i)] = at(a, i);
      }
    }
    return out;
  }

  std::vector<std::vector<signed char>> bits_;
};

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
    // A generic 45 nm-like library under a synthesiser that chooses prefix adders.
    case Technology::kGeneric:
      return {0.03, 0.05, 0.055, 1.2, 2.3, 2.0, 6.5, 4.0, 0.12, 1.5};
    // OSU 0.18 um under Yosys and ABC, buffered and sized.
    case Technology::kOsu018:
      return {0.10, 0.15, 0.17, 25, 56, 38, 180, 96, 0.45, 10.0};
    // UltraScale+ LUTs and carry chains, wiring included by a rule of thumb.
    case Technology::kXilinx:
      return {0.25, 0.25, 0.25, 0.35, 0.45, 0.45, 1.0, 0.0, 0.30, 4.0};
  }
  return {};
}

// An adder of `width` bits.
double CostModel::adder_ns(int width) const {
  switch (technology_) {
    case Technology::kGeneric:
      return 0.10 + 0.07 * log2_of(width);
    case Technology::kOsu018:
      // ABC turns Yosys' prefix adder into a ripple for area: 1.1 ns for 8 bits, 4.3 for 32, 7.6
      // for 64; beyond, a doubling adds about 2.7 ns.
      return width <= 64 ? 0.25 + 0.115 * width : 7.6 + 2.7 * log2_of(width / 64.0);
    case Technology::kXilinx:
      return 0.55 + 0.015 * width;
  }
  return 0;
}

CostModel::CostModel(Technology technology)
    : technology_(technology), k_(constants_of(technology)) {}

double CostModel::register_area() const { return k_.register_area; }
double CostModel::register_overhead_ns() const { return k_.register_overhead_ns; }
double CostModel::default_clock_ns() const { return k_.default_clock_ns; }

double CostModel::full_add_sum_ns() const {
  return technology_ == Technology::kOsu018 ? 0.30 : 2 * k_.xor_ns;
}
double CostModel::full_add_carry_ns() const {
  return technology_ == Technology::kOsu018 ? 0.24 : 1.5 * k_.xor_ns;
}

double ArrivalTimes::of(NodeId id) {
  extend(index(id) + 1);
  return times_[index(id)];
}

double ArrivalTimes::latest() {
  extend(graph_.size());
  return times_.empty() ? 0 : *std::max_element(times_.begin(), times_.end());
}

void ArrivalTimes::extend(std::size_t size) {
  while (times_.size() < size) {
    const NodeId id{static_cast<std::uint32_t>(times_.size())};
    const Node& n = graph_.node(id);
    double start = 0;
    for (NodeId a : n.args) start = std::max(start, times_[index(a)]);
    // The upper half of a full adder are carries.
    if (n.op == Op::kSlice && graph_.node(n.args[0]).op == Op::kFullAdd &&
        n.lo >= graph_.width(n.args[0]) / 2)
      start -= cost_.full_add_sum_ns() - cost_.full_add_carry_ns();
    times_.push_back(start + cost_.delay_ns(graph_, id));
  }
}

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
  const auto real_width = [&](std::size_t i) { return significant_width(g, n.args[i]); };
  const auto addition = [&] { return adder_ns(n.width) * (is_increment(g, n) ? 0.65 : 1.0); };
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
      return addition();
    case Op::kMul: {
      const int rows = std::min(real_width(0), real_width(1));
      const int columns = std::max(real_width(0), real_width(1));
      if (rows == 1) return k_.gate_ns + fanout(columns);
      return k_.gate_ns + counter_levels(rows) * 2 * k_.xor_ns +
             0.7 * adder_ns(rows + columns);  // the low bits are there first
    }
    case Op::kSum:
      return counter_levels(static_cast<int>(n.args.size())) * 2 * k_.xor_ns + adder_ns(n.width);
    case Op::kEq:
      return k_.xor_ns + k_.gate_ns * log2_of(g.width(n.args[0]));
    case Op::kUlt:
      return 0.6 * adder_ns(g.width(n.args[0]));
    case Op::kMux:
      return k_.mux_ns + fanout(n.width);
    case Op::kShl:
    case Op::kLshr:
      return g.width(n.args[1]) * (k_.mux_ns + fanout(n.width));
    case Op::kOrr:
      return k_.gate_ns * std::ceil(log2_of(g.width(n.args[0])));
    case Op::kClz:
      return log2_of(g.width(n.args[0])) * (k_.mux_ns + k_.gate_ns);
    case Op::kFullAdd:
      return full_add_sum_ns() * (g.node(n.args[2]).op == Op::kConst ? 0.75 : 1.0);
  }
  return 0;
}

double CostModel::area(const Graph& lowered) const {
  if (technology_ == Technology::kXilinx) return estimate_luts(lowered);
  double total = 0;
  const std::vector<bool> live = lowered.live();
  const KnownBits known(lowered);
  for (std::size_t i = 0; i < lowered.size(); ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    if (!live[i]) continue;
    const Node& n = lowered.node(id);
    const bool gates = n.op == Op::kAnd || n.op == Op::kOr || n.op == Op::kXor || n.op == Op::kMux;
    if (!gates) {
      total += area(lowered, id);
      continue;
    }
    // Gates on padding are wires, and a multiplexer with one such input is a gate.
    const std::size_t first = n.op == Op::kMux ? 1 : 0;
    // An or of ands is one complex gate: it costs less than the two ands.
    double gate = k_.gate_area;
    if (n.op == Op::kOr)
      for (NodeId a : n.args)
        if (lowered.node(a).op == Op::kAnd) gate -= 0.7 * k_.gate_area;
    for (int k = 0; k < n.width; ++k) {
      const int constants = (known.at(n.args[first], k) != KnownBits::kOpen) +
                            (known.at(n.args[first + 1], k) != KnownBits::kOpen);
      if (constants == 0)
        total += n.op == Op::kXor ? k_.xor_area : n.op == Op::kMux ? k_.mux_area : gate;
      else if (constants == 1 && n.op == Op::kMux)
        total += k_.gate_area;
    }
  }
  return total;
}

double CostModel::area(const Graph& g, NodeId id) const {
  const Node& n = g.node(id);
  const auto real_width = [&](std::size_t i) { return significant_width(g, n.args[i]); };
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
    case Op::kSub:
      return k_.add_area * w * (is_increment(g, n) ? 0.5 : 1.0);
    case Op::kMul: {
      const double x = real_width(0), y = real_width(1);
      return k_.gate_area * x * y + k_.add_area * std::max(x - 1, 0.0) * std::max(y - 1, 0.0);
    }
    case Op::kSum:
      return k_.add_area * w * static_cast<double>(n.args.size() - 1);
    case Op::kEq:
      return (k_.xor_area * 0.7 + k_.gate_area) * g.width(n.args[0]);
    case Op::kUlt:
      return 0.6 * k_.add_area * g.width(n.args[0]);
    case Op::kMux: {
      const bool mask = g.node(n.args[1]).op == Op::kConst || g.node(n.args[2]).op == Op::kConst;
      return (mask ? k_.gate_area : k_.mux_area) * w;
    }
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
    case Op::kFullAdd:
      // FAX1 is 120 units, HAX1 80; elsewhere two exclusive ors and a majority.
      if (g.node(n.args[2]).op == Op::kConst)
        return w / 2 * (technology_ == Technology::kOsu018 ? 80 : k_.xor_area + k_.gate_area);
      return w / 2 * (technology_ == Technology::kOsu018 ? 120 : k_.add_area);
  }
  return 0;
}

}  // namespace blockdot::rtl_gen
