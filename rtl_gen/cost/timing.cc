#include "rtl_gen/cost/timing.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <queue>

namespace blockdot::rtl_gen {
namespace {

constexpr signed char kOpen = kOpenBit;

BitArrival constant_bit(bool one) { return {0, static_cast<signed char>(one)}; }

// One node's bits from those of its arguments, arg(a, i).
template <typename Arg>
class Propagation {
 public:
  Propagation(const Graph& g, const CostModel& cost, const Node& n, const Arg& arg,
              bool loads_known)
      : g_(g), cost_(cost), k_(cost.constants()), n_(n), arg_(arg), loads_known_(loads_known) {}

  void run(std::vector<BitArrival>& out) {
    out.assign(static_cast<std::size_t>(n_.width), BitArrival{});
    const auto each = [&](auto&& value) {
      for (int i = 0; i < n_.width; ++i) out[static_cast<std::size_t>(i)] = value(i);
    };
    switch (n_.op) {
      case Op::kInput:
      case Op::kState:
      case Op::kSum:  // lowered before
      case Op::kClz:
        return;
      case Op::kConst:
        return each([&](int i) { return constant_bit(n_.value.bit(i)); });
      case Op::kSlice:
        return each([&](int i) { return arg_(0, n_.lo + i); });
      case Op::kSext:
        return each([&](int i) { return arg_(0, std::min(i, width(0) - 1)); });
      case Op::kConcat: {
        int top = n_.width;
        for (std::size_t a = 0; a < n_.args.size(); ++a) {
          top -= width(a);
          for (int i = 0; i < width(a); ++i) out[static_cast<std::size_t>(top + i)] = arg_(a, i);
        }
        return;
      }
      case Op::kNot:
        return each([&](int i) {
          BitArrival x = arg_(0, i);
          if (x.known != kOpen) return constant_bit(x.known == 0);
          x.ns += static_cast<float>(k_.invert_ns);
          return x;
        });
      case Op::kAnd:
        return each([&](int i) { return gate(arg_(0, i), arg_(1, i), 0); });
      case Op::kOr:
        return each([&](int i) { return gate(arg_(0, i), carried(arg_(1, i)), 1); });
      case Op::kXor:
        return each([&](int i) { return exclusive(arg_(0, i), arg_(1, i)); });
      case Op::kMux:
        return each([&](int i) { return select(arg_(0, 0), arg_(1, i), arg_(2, i), n_.width); });
      case Op::kFullAdd:
        for (int i = 0; i < n_.width / 2; ++i) {
          const bool half = arg_(2, i).known != kOpen;
          const float t = std::max({arg_(0, i).ns, arg_(1, i).ns, half ? 0 : arg_(2, i).ns});
          const float part = half ? 0.75F : 1.0F;
          out[static_cast<std::size_t>(i)].ns =
              t + part * static_cast<float>(cost_.full_add_sum_ns());
          out[static_cast<std::size_t>(n_.width / 2 + i)].ns =
              t + part * static_cast<float>(cost_.full_add_carry_ns());
        }
        return;
      case Op::kAdd:
      case Op::kSub:
        return add(out);
      case Op::kMul:
        return multiply(out);
      case Op::kEq: {
        std::vector<float> bits;
        for (int i = 0; i < width(0); ++i) {
          const BitArrival b = exclusive(arg_(0, i), arg_(1, i));
          if (b.known == kOpen) bits.push_back(b.ns);
        }
        out[0].ns = reduce(bits);
        return;
      }
      case Op::kOrr: {
        std::vector<float> bits;
        for (int i = 0; i < width(0); ++i)
          if (arg_(0, i).known == kOpen) bits.push_back(arg_(0, i).ns);
        out[0].ns = reduce(bits);
        return;
      }
      case Op::kUlt: {
        const int w = width(0);
        std::vector<float> against_constant;
        for (int i = 0; i < w; ++i) {
          const BitArrival x = arg_(0, i), y = arg_(1, i);
          if (x.known != kOpen && y.known != kOpen) continue;
          const float t = std::max(x.known == kOpen ? x.ns : 0, y.known == kOpen ? y.ns : 0);
          if (x.known != kOpen || y.known != kOpen)
            against_constant.push_back(t);
          else
            out[0].ns = std::max(out[0].ns,
                                 t + static_cast<float>(k_.compare * (k_.add_ns + k_.xor_ns +
                                                                      cost_.carry_ns(w - 1 - i))));
        }
        // Beside a constant no carry ripples: ands and ors in any order.
        out[0].ns = std::max(out[0].ns, reduce(against_constant) + static_cast<float>(k_.gate_ns));
        return;
      }
      case Op::kShl:
      case Op::kLshr: {
        each([&](int i) { return arg_(0, i); });
        const BitArrival zero = constant_bit(false);
        for (int level = 0; level < width(1); ++level) {
          const int step = level < 20 ? 1 << level : n_.width;
          std::vector<BitArrival> next = out;
          for (int i = 0; i < n_.width; ++i) {
            const int from = n_.op == Op::kShl ? i - step : i + step;
            const bool inside = from >= 0 && from < n_.width;
            next[static_cast<std::size_t>(i)] =
                select(arg_(1, level), inside ? out[static_cast<std::size_t>(from)] : zero,
                       out[static_cast<std::size_t>(i)], n_.width);
          }
          out = std::move(next);
        }
        return;
      }
    }
  }

 private:
  int width(std::size_t a) const { return g_.width(n_.args[a]); }

  // ABC turns the gates of an adder, whatever its tree, into a chain that takes two bits a cell.
  BitArrival carried(BitArrival x) const {
    if (n_.passed > 0 && loads_known_ && x.known == kOpen)
      x.ns += static_cast<float>(k_.passed_ns * n_.passed - k_.passing_ns);
    return x;
  }
  // And (rules 0), or (rules 1).
  BitArrival gate(const BitArrival& x, const BitArrival& y, signed char rules) const {
    if (x.known == rules || y.known == rules) return constant_bit(rules != 0);
    if (x.known != kOpen) return y;
    if (y.known != kOpen) return x;
    return {std::max(x.ns, y.ns) + static_cast<float>(k_.gate_ns), kOpen};
  }
  BitArrival exclusive(const BitArrival& x, const BitArrival& y) const {
    if (x.known != kOpen && y.known != kOpen) return constant_bit(x.known != y.known);
    if (x.known != kOpen) return y;
    if (y.known != kOpen) return x;
    return {std::max(x.ns, y.ns) + static_cast<float>(k_.xor_ns), kOpen};
  }
  // A select drives `count` bits.
  BitArrival select(const BitArrival& s, const BitArrival& one, const BitArrival& zero,
                    int count) const {
    if (s.known != kOpen) return s.known == 1 ? one : zero;
    if (one.known != kOpen && one.known == zero.known) return one;
    const bool gate = one.known != kOpen || zero.known != kOpen;
    const float own = static_cast<float>(gate ? k_.gate_ns : k_.mux_ns);
    float t = s.ns + (loads_known_ ? 0 : static_cast<float>(cost_.fanout_ns(count)));
    for (const BitArrival& x : {one, zero})
      if (x.known == kOpen) t = std::max(t, x.ns);
    return {t + own, kOpen};
  }
  // Two at a time, the earliest first.
  float reduce(const std::vector<float>& bits) const {
    if (bits.empty()) return 0;
    std::priority_queue<float, std::vector<float>, std::greater<>> left(bits.begin(), bits.end());
    while (left.size() > 1) {
      left.pop();
      const float later = left.top();
      left.pop();
      left.push(later + static_cast<float>(k_.gate_ns));
    }
    return left.top();
  }

  void add(std::vector<BitArrival>& out) const {
    const bool minus = n_.op == Op::kSub;
    float carry = 0, latest = 0;
    signed char known = minus ? 1 : 0;  // the carry, of x + ~y + 1 where `minus`
    int from = 0;                       // the first bit that makes one
    for (int i = 0; i < n_.width; ++i) {
      const BitArrival x = arg_(0, i), y = arg_(1, i);
      const bool both = x.known == kOpen && y.known == kOpen;
      float t = 0;
      for (const BitArrival& b : {x, y})
        if (b.known == kOpen) t = std::max(t, b.ns);
      BitArrival& o = out[static_cast<std::size_t>(i)];
      const signed char y_added = turned(y.known, minus);
      const signed char after = carry_of(x.known, y_added, known);
      // Bits that one constant meets pass a carry through a gate.
      const float made = t + static_cast<float>(both ? k_.add_ns : k_.gate_ns);
      if (known != kOpen) {
        o = exclusive(x, y);
        if (o.known != kOpen) o = constant_bit((x.known + y_added + known) % 2 == 1);
        carry = made;
        latest = t;
        from = i;
      } else {
        o.ns = std::max(t + static_cast<float>(both ? k_.add_ns : 0), carry) +
               static_cast<float>(k_.xor_ns);
        if (x.known == kOpen || y.known == kOpen) {
          const float step = static_cast<float>(k_.carry_ns * (both ? 1.0 : k_.increment));
          latest = std::max(latest, t);
          const float bound = latest + static_cast<float>(k_.add_ns + cost_.carry_ns(i - from));
          carry = std::min(std::max(made, carry + step), std::max(bound, made));
        }
      }
      known = after;
    }
  }

  void multiply(std::vector<BitArrival>& out) const {
    float t = 0;
    int real[2] = {0, 0};
    for (std::size_t a = 0; a < 2; ++a) {
      real[a] = significant_width(g_, n_.args[a]);
      for (int i = 0; i < width(a); ++i)
        if (arg_(a, i).known == kOpen) t = std::max(t, arg_(a, i).ns);
    }
    const int rows = std::min(real[0], real[1]), columns = std::max(real[0], real[1]);
    for (int j = 0; j < n_.width; ++j) {
      BitArrival& o = out[static_cast<std::size_t>(j)];
      if (rows == 1) {
        o.ns = t + static_cast<float>(k_.gate_ns + cost_.fanout_ns(columns));
        continue;
      }
      // The low bits are there first.
      const int height = std::min(j + 1, rows);
      o.ns = t + static_cast<float>(
                     k_.gate_ns + cost_.fanout_ns(columns) +
                     counter_levels(height) * cost_.full_add_sum_ns() +
                     0.7 * (k_.add_ns + k_.xor_ns + cost_.carry_ns(std::min(j, rows + columns))));
    }
  }

  const Graph& g_;
  const CostModel& cost_;
  const CostModel::Constants& k_;
  const Node& n_;
  const Arg& arg_;
  bool loads_known_;
};

template <typename Arg>
void propagate(const Graph& g, const CostModel& cost, const Node& n, const Arg& arg,
               bool loads_known, std::vector<BitArrival>& out) {
  Propagation<Arg>(g, cost, n, arg, loads_known).run(out);
}

bool is_wire(Op op) { return op == Op::kSlice || op == Op::kConcat || op == Op::kSext; }

// How many gates read each bit, and whether the last of them is an and or an or.
struct Readers {
  std::vector<int> count;
  std::vector<int> cells;  // of them full adders by name
  std::vector<bool> gate;
};
Readers count_readers(const Graph& g, const BitTable& bits) {
  const std::vector<bool> live = g.live();
  std::vector<std::size_t> source(bits.size());
  Readers readers{std::vector<int>(bits.size(), 0), std::vector<int>(bits.size(), 0),
                  std::vector<bool>(bits.size(), false)};
  for (std::size_t i = 0; i < g.size(); ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Node& n = g.node(id);
    const auto from = [&](std::size_t a, int bit) { return source[bits.at(n.args[a], bit)]; };
    for (int b = 0; b < n.width; ++b) source[bits.at(id, b)] = bits.at(id, b);
    if (n.op == Op::kSlice)
      for (int b = 0; b < n.width; ++b) source[bits.at(id, b)] = from(0, n.lo + b);
    if (n.op == Op::kSext)
      for (int b = 0; b < n.width; ++b)
        source[bits.at(id, b)] = from(0, std::min(b, g.width(n.args[0]) - 1));
    if (n.op == Op::kConcat) {
      int top = n.width;
      for (std::size_t a = 0; a < n.args.size(); ++a) {
        top -= g.width(n.args[a]);
        for (int b = 0; b < g.width(n.args[a]); ++b) source[bits.at(id, top + b)] = from(a, b);
      }
    }
    if (!live[i] || is_wire(n.op)) continue;
    for (std::size_t a = 0; a < n.args.size(); ++a) {
      // A select is read once a bit.
      const bool selects =
          (n.op == Op::kMux && a == 0) || ((n.op == Op::kShl || n.op == Op::kLshr) && a == 1);
      for (int b = 0; b < g.width(n.args[a]); ++b) {
        readers.count[from(a, b)] += selects ? n.width : 1;
        readers.cells[from(a, b)] += n.op == Op::kFullAdd ? 1 : 0;
        readers.gate[from(a, b)] = n.op == Op::kAnd || n.op == Op::kOr;
      }
    }
  }
  return readers;
}

}  // namespace

void BitTable::extend(std::size_t nodes) {
  while (base_.size() < nodes) {
    const NodeId id{static_cast<std::uint32_t>(base_.size())};
    base_.push_back(bits_.size());
    bits_.resize(bits_.size() + static_cast<std::size_t>(graph_.width(id)));
  }
}

double ArrivalTimes::of(NodeId id, int bit) {
  extend(index(id) + 1);
  return static_cast<double>(bits_[bits_.at(id, bit)].ns);
}

double ArrivalTimes::of(NodeId id) {
  double latest = 0;
  for (int i = 0; i < graph_.width(id); ++i) latest = std::max(latest, of(id, i));
  return latest;
}

void ArrivalTimes::extend(std::size_t nodes) {
  std::vector<BitArrival> out;
  while (bits_.nodes() < nodes) {
    const NodeId id{static_cast<std::uint32_t>(bits_.nodes())};
    bits_.extend(index(id) + 1);
    const Node& n = graph_.node(id);
    const auto arg = [&](std::size_t a, int i) { return bits_[bits_.at(n.args[a], i)]; };
    propagate(graph_, cost_, n, arg, false, out);
    // Whole words: the netlist's gates even out what the bits of a word would differ by.
    if (n.op != Op::kFullAdd) {
      float latest = 0;
      for (const BitArrival& b : out)
        if (b.known == kOpen) latest = std::max(latest, b.ns);
      for (BitArrival& b : out) b.ns = latest;
    }
    for (int i = 0; i < n.width; ++i) bits_[bits_.at(id, i)] = out[static_cast<std::size_t>(i)];
  }
}

StageTiming::StageTiming(const Graph& lowered, const CostModel& cost)
    : graph_(lowered), cost_(cost), bits_(lowered) {
  bits_.extend(lowered.size());
  const Readers readers = count_readers(lowered, bits_);
  late_.resize(bits_.size());
  for (std::size_t i = 0; i < lowered.size(); ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Op op = lowered.node(id).op;
    for (int b = 0; b < lowered.width(id); ++b) {
      const std::size_t at = bits_.at(id, b);
      const bool joins =
          (op == Op::kAnd || op == Op::kOr) && readers.count[at] == 1 && readers.gate[at];
      late_[at] = static_cast<float>(joins ? -cost.constants().joined_ns
                                           : cost.fanout_ns(readers.count[at]) +
                                                 cost.cell_load_ns(readers.cells[at]));
    }
  }
  std::vector<BitArrival> out;
  for (std::size_t i = 0; i < lowered.size(); ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Node& n = lowered.node(id);
    const auto arg = [&](std::size_t a, int bit) { return bits_[bits_.at(n.args[a], bit)]; };
    propagate(graph_, cost_, n, arg, true, out);
    for (int b = 0; b < n.width; ++b) bits_[bits_.at(id, b)] = out[static_cast<std::size_t>(b)];
  }
}

double StageTiming::delay_ns(NodeId id) const {
  const Node& n = graph_.node(id);
  if (is_wire(n.op) || n.args.empty()) return 0;
  const auto arg = [&](std::size_t a, int bit) {
    BitArrival b = bits_[bits_.at(n.args[a], bit)];
    b.ns = 0;
    return b;
  };
  std::vector<BitArrival> out;
  propagate(graph_, cost_, n, arg, true, out);
  float latest = 0;
  for (int b = 0; b < n.width; ++b)
    if (out[static_cast<std::size_t>(b)].known == kOpen)
      latest = std::max(latest, out[static_cast<std::size_t>(b)].ns + late_[bits_.at(id, b)]);
  return static_cast<double>(latest);
}

StageTiming::Path StageTiming::longest(const std::vector<int>& stage) const {
  BitTable bits = bits_;
  std::vector<int> at(stage.size(), -1);
  Path path;
  float latest = -1;
  std::vector<BitArrival> out;
  for (std::size_t i = 0; i < stage.size(); ++i) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Node& n = graph_.node(id);
    at[i] = stage[i] == -1 ? at[index(unpadded(graph_, id))] : stage[i];
    if (at[i] < 0) continue;
    const auto arg = [&](std::size_t a, int bit) {
      BitArrival b = bits[bits.at(n.args[a], bit)];
      if (at[index(n.args[a])] != at[i]) b.ns = 0;
      return b;
    };
    propagate(graph_, cost_, n, arg, true, out);
    for (int b = 0; b < n.width; ++b) {
      BitArrival& bit = bits[bits.at(id, b)];
      bit = out[static_cast<std::size_t>(b)];
      if (bit.known != kOpen) continue;
      if (!is_wire(n.op) && !n.args.empty()) bit.ns += late_[bits.at(id, b)];
      if (bit.ns > latest && !is_padding(graph_, id)) {
        latest = bit.ns;
        path = {static_cast<double>(bit.ns), id};
      }
    }
  }
  return path;
}

}  // namespace blockdot::rtl_gen
