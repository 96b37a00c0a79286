// Area of a lowered graph: the sum over its bits, without those that constants fix and those that
// nothing reads: the low part of a truncated sum, the high part of a shift that is cut.
#include <algorithm>
#include <cmath>

#include "rtl_gen/cost/cost.h"
#include "rtl_gen/cost/known.h"
#include "rtl_gen/cost/luts.h"

namespace blockdot::rtl_gen {
namespace {

// Bits that constants fix.
class KnownBits {
 public:
  static constexpr signed char kOpen = kOpenBit;

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

// Bits that an output or a state depends on.
class NeededBits {
 public:
  NeededBits(const Graph& g, const KnownBits& known) : g_(g), known_(known), bits_(g.size()) {
    for (std::size_t i = 0; i < g.size(); ++i)
      bits_[i].assign(static_cast<std::size_t>(g.width(NodeId{static_cast<std::uint32_t>(i)})),
                      false);
    for (const Graph::Output& o : g.outputs()) all(o.node);
    for (const Graph::State& s : g.states()) all(s.next);
    for (std::size_t i = g.size(); i-- > 0;) visit(NodeId{static_cast<std::uint32_t>(i)});
  }
  bool at(NodeId id, int i) const { return bits_[index(id)][static_cast<std::size_t>(i)]; }
  /// One above the highest needed bit; 0: none.
  int end(NodeId id) const {
    int i = g_.width(id);
    while (i > 0 && !at(id, i - 1)) --i;
    return i;
  }

 private:
  void need(NodeId id, int i) {
    if (known_.at(id, i) == KnownBits::kOpen) bits_[index(id)][static_cast<std::size_t>(i)] = true;
  }
  void all(NodeId id) { up_to(id, g_.width(id)); }
  void up_to(NodeId id, int end) {
    for (int i = 0; i < std::min(end, g_.width(id)); ++i) need(id, i);
  }
  void visit(NodeId id) {
    const Node& n = g_.node(id);
    const int top = end(id);
    if (top == 0) return;
    const auto each = [&](auto&& use) {
      for (int i = 0; i < top; ++i)
        if (at(id, i)) use(i);
    };
    switch (n.op) {
      case Op::kInput:
      case Op::kConst:
      case Op::kState:
        return;
      case Op::kSlice:
        return each([&](int i) { need(n.args[0], n.lo + i); });
      case Op::kSext:
        return each([&](int i) { need(n.args[0], std::min(i, g_.width(n.args[0]) - 1)); });
      case Op::kConcat: {
        int at = n.width;
        for (NodeId a : n.args) {
          at -= g_.width(a);
          for (int i = 0; i < g_.width(a); ++i)
            if (this->at(id, at + i)) need(a, i);
        }
        return;
      }
      case Op::kNot:
      case Op::kAnd:
      case Op::kOr:
      case Op::kXor:
        for (NodeId a : n.args) each([&](int i) { need(a, i); });
        return;
      case Op::kMux:
        need(n.args[0], 0);
        for (std::size_t a : {1, 2}) each([&](int i) { need(n.args[a], i); });
        return;
      case Op::kFullAdd: {
        const int half = n.width / 2;
        for (NodeId a : n.args) each([&](int i) { need(a, i % half); });
        return;
      }
      case Op::kAdd:
      case Op::kSub:
      case Op::kMul:
      case Op::kSum:
        for (NodeId a : n.args) up_to(a, top);
        return;
      case Op::kShl:
        up_to(n.args[0], top);
        all(n.args[1]);
        return;
      case Op::kLshr:
      case Op::kEq:
      case Op::kUlt:
      case Op::kOrr:
      case Op::kClz:
        for (NodeId a : n.args) all(a);
        return;
    }
  }

  const Graph& g_;
  const KnownBits& known_;
  std::vector<std::vector<bool>> bits_;
};

class AreaSum {
 public:
  AreaSum(const Graph& g, const CostModel& cost)
      : g_(g), cost_(cost), k_(cost.constants()), known_(g), needed_(g, known_) {}

  double run() {
    double total = 0;
    for (std::size_t i = 0; i < g_.size(); ++i) {
      const NodeId id{static_cast<std::uint32_t>(i)};
      if (needed_.end(id) > 0) total += of(id);
    }
    return total;
  }

 private:
  bool open(NodeId id, int i) const { return known_.at(id, i) == KnownBits::kOpen; }
  int open_of(NodeId x, NodeId y, int i) const { return open(x, i) + open(y, i); }

  double of(NodeId id) const {
    const Node& n = g_.node(id);
    double total = 0;
    // By how many of the two operands' bits are no constants.
    const auto each = [&](std::size_t first, int end, double one, double two) {
      for (int i = 0; i < end; ++i) {
        if (end == n.width && !needed_.at(id, i)) continue;
        const int count = open_of(n.args[first], n.args[first + 1], i);
        total += count == 2 ? two : count == 1 ? one : 0;
      }
      return total;
    };
    switch (n.op) {
      case Op::kInput:
      case Op::kConst:
      case Op::kState:
      case Op::kSlice:
      case Op::kConcat:
      case Op::kSext:
      case Op::kSum:  // lowered before
      case Op::kClz:
        return 0;
      case Op::kNot: {
        // Gates are there with and without an inverter.
        const Op inner = g_.node(n.args[0]).op;
        if (inner == Op::kAnd || inner == Op::kOr || inner == Op::kXor) return 0;
        for (int i = 0; i < n.width; ++i)
          if (needed_.at(id, i) && open(n.args[0], i)) total += 0.5 * k_.gate_area;
        return total;
      }
      case Op::kAnd:
        return each(0, n.width, 0, k_.gate_area);
      case Op::kOr: {
        // An or of ands is one complex gate: it costs less than the two ands.
        double gate = k_.gate_area;
        for (NodeId a : n.args)
          if (g_.node(a).op == Op::kAnd) gate -= 0.7 * k_.gate_area;
        return each(0, n.width, 0, gate);
      }
      case Op::kXor:
        return each(0, n.width, 0, k_.xor_area);
      case Op::kMux:
        // A multiplexer with one constant input is a gate.
        return each(1, n.width, k_.gate_area, k_.mux_area);
      case Op::kAdd:
      case Op::kSub: {
        signed char carry = n.op == Op::kSub ? 1 : 0;  // of x + ~y + 1
        for (int i = 0; i < needed_.end(id); ++i) {
          const int count = open_of(n.args[0], n.args[1], i);
          // A bit of the sum that nothing reads leaves its carry; beside a constant and a known
          // carry there is neither.
          const bool sum = needed_.at(id, i);
          if (count == 2)
            total += sum ? k_.add_area : k_.compare * k_.add_area;
          else if (count == 1 && carry == KnownBits::kOpen)
            total += sum ? 0.5 * k_.add_area : k_.gate_area;
          carry = carry_of(known_.at(n.args[0], i),
                           turned(known_.at(n.args[1], i), n.op == Op::kSub), carry);
        }
        return total;
      }
      case Op::kUlt:
        for (int i = 0; i < g_.width(n.args[0]); ++i) {
          const int count = open_of(n.args[0], n.args[1], i);
          total += count == 2 ? k_.compare * k_.add_area : count == 1 ? k_.gate_area : 0;
        }
        return total;
      case Op::kEq:
        for (int i = 0; i < g_.width(n.args[0]); ++i) {
          const int count = open_of(n.args[0], n.args[1], i);
          total += count == 2 ? 0.7 * k_.xor_area + k_.gate_area : count == 1 ? k_.gate_area : 0;
        }
        return total;
      case Op::kOrr:
        for (int i = 0; i < g_.width(n.args[0]); ++i)
          if (open(n.args[0], i)) total += 0.8 * k_.gate_area;
        return std::max(0.0, total - 0.8 * k_.gate_area);
      case Op::kMul: {
        const double x = significant_width(g_, n.args[0]), y = significant_width(g_, n.args[1]);
        return k_.gate_area * x * y + k_.add_area * std::max(x - 1, 0.0) * std::max(y - 1, 0.0);
      }
      case Op::kShl:
      case Op::kLshr:
        return shifter(id);
      case Op::kFullAdd: {
        // FAX1 is 120 units, HAX1 80; elsewhere two exclusive ors and a majority.
        const bool osu = cost_.technology() == Technology::kOsu018;
        const double w = n.width / 2.0;
        if (!open(n.args[2], 0)) return w * (osu ? 80 : k_.xor_area + k_.gate_area);
        return w * (osu ? 120 : k_.add_area);
      }
    }
    return total;
  }

  // The gate behind a bit, wires looked through, as one number; -1: a constant.
  std::int64_t signal(NodeId id, int i) const {
    for (;;) {
      const Node& n = g_.node(id);
      if (!open(id, i)) return -1;
      if (n.op == Op::kSlice) {
        i += n.lo;
        id = n.args[0];
      } else if (n.op == Op::kSext) {
        i = std::min(i, g_.width(n.args[0]) - 1);
        id = n.args[0];
      } else if (n.op == Op::kConcat) {
        int top = n.width;
        for (NodeId a : n.args) {
          top -= g_.width(a);
          if (i < top) continue;
          i -= top;
          id = a;
          break;
        }
      } else {
        return static_cast<std::int64_t>(index(id)) << 32 | i;
      }
    }
  }

  // Levels of multiplexers; bits that nothing reads are found from the last level back. Copies of a
  // sign stay wires.
  double shifter(NodeId id) const {
    const Node& n = g_.node(id);
    const auto width = static_cast<std::size_t>(n.width);
    const int levels = g_.width(n.args[1]);
    const auto source = [&](int level, std::size_t i) -> std::size_t {
      const std::size_t step = level < 20 ? std::size_t{1} << static_cast<unsigned>(level) : width;
      if (n.op == Op::kShl) return i >= step ? i - step : width;
      return i + step < width ? i + step : width;
    };
    std::vector<std::vector<std::int64_t>> word(static_cast<std::size_t>(levels) + 1);
    for (std::size_t i = 0; i < width; ++i)
      word[0].push_back(signal(n.args[0], static_cast<int>(i)));
    std::int64_t made = -2;  // numbers of multiplexers
    for (int level = 0; level < levels; ++level) {
      const auto& from = word[static_cast<std::size_t>(level)];
      for (std::size_t i = 0; i < width; ++i) {
        const std::size_t s = source(level, i);
        const std::int64_t other = s < width ? from[s] : -1;
        word[static_cast<std::size_t>(level) + 1].push_back(other == from[i] ? other : made--);
      }
    }
    std::vector<bool> read(width);
    for (std::size_t i = 0; i < width; ++i) read[i] = needed_.at(id, static_cast<int>(i));
    double total = 0;
    for (int level = levels; level-- > 0;) {
      const auto& from = word[static_cast<std::size_t>(level)];
      std::vector<bool> before = read;
      for (std::size_t i = 0; i < width; ++i) {
        if (!read[i]) continue;
        const std::size_t s = source(level, i);
        const std::int64_t other = s < width ? from[s] : -1;
        if (other == from[i]) continue;
        total += other == -1 || from[i] == -1 ? k_.gate_area : k_.mux_area;
        if (s < width) before[s] = true;
      }
      read = std::move(before);
    }
    return total;
  }

  const Graph& g_;
  const CostModel& cost_;
  const CostModel::Constants& k_;
  KnownBits known_;
  NeededBits needed_;
};

}  // namespace

double CostModel::area(const Graph& lowered) const {
  if (technology_ == Technology::kXilinx) return estimate_luts(lowered);
  return AreaSum(lowered, *this).run();
}

}  // namespace blockdot::rtl_gen
