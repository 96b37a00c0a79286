#include "rtl_gen/cost/luts.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "rtl_gen/cost/cost.h"

namespace blockdot::rtl_gen {
namespace {

constexpr std::size_t kInputs = 6;
constexpr double kJoined = 0.6;    // of the adders under adders, by measurement
constexpr double kCovered = 0.94;  // ABC covers logic a little better than one pass, by measurement
constexpr int kZero = -1, kOne = -2;  // constant bits

using Cut = std::vector<int>;  // signals that a bit of logic reads, sorted

class Mapper {
 public:
  explicit Mapper(const Graph& g) : g_(g), base_(g.size(), 0) {
    int end = 0;
    for (std::size_t i = 0; i < g.size(); ++i) {
      base_[i] = end;
      end += g.width(NodeId{static_cast<std::uint32_t>(i)});
    }
    source_.resize(static_cast<std::size_t>(end));
    cuts_.resize(static_cast<std::size_t>(end));
    ready_.assign(static_cast<std::size_t>(end), false);
  }

  double run() {
    const std::vector<bool> live = g_.live();
    for (std::size_t i = 0; i < g_.size(); ++i)
      if (live[i]) visit(NodeId{static_cast<std::uint32_t>(i)});
    for (const Graph::Output& o : g_.outputs()) make_ready(o.node);
    for (const Graph::State& s : g_.states())
      if (live[index(s.node)]) enter_register(s);
    return luts_;
  }

 private:
  // The signal or constant behind bit i of a node: wires are looked through.
  int bit(NodeId id, int i) const { return source_[at(id, i)]; }
  std::size_t at(NodeId id, int i) const { return static_cast<std::size_t>(base_[index(id)] + i); }

  Cut cut_of(int signal) const {
    if (signal < 0) return {};
    if (ready_[static_cast<std::size_t>(signal)]) return {signal};
    return cuts_[static_cast<std::size_t>(signal)];
  }
  // Gives a bit of logic a LUT of its own.
  void realise(int signal) {
    if (signal < 0 || ready_[static_cast<std::size_t>(signal)]) return;
    ready_[static_cast<std::size_t>(signal)] = true;
    luts_ += 1;
  }
  void make_ready(NodeId id) {
    for (int i = 0; i < g_.width(id); ++i) realise(bit(id, i));
  }
  // A register that keeps its value takes the choice by its clock enable, unless the choice is
  // there for others too.
  void enter_register(const Graph::State& s) {
    const Node& next = g_.node(s.next);
    const bool keeps = next.op == Op::kMux && (next.args[1] == s.node || next.args[2] == s.node);
    if (!keeps) return make_ready(s.next);
    realise(bit(next.args[0], 0));
    const NodeId taken = next.args[next.args[1] == s.node ? 2 : 1];
    for (int i = 0; i < next.width; ++i) {
      const int chosen = bit(s.next, i);
      if (chosen >= 0 && !ready_[static_cast<std::size_t>(chosen)]) realise(bit(taken, i));
    }
  }
  // What a function of these signals reads; those that read most get LUTs until the rest fits.
  Cut gather(const std::vector<int>& signals, std::size_t most) {
    for (;;) {
      std::set<int> all;
      int widest = -1;
      std::size_t size = 1;
      for (int s : signals) {
        const Cut cut = cut_of(s);
        all.insert(cut.begin(), cut.end());
        if (cut.size() > size) {
          size = cut.size();
          widest = s;
        }
      }
      if (all.size() <= most || widest < 0) return {all.begin(), all.end()};
      realise(widest);
    }
  }
  // A signal beyond those of the graph's bits.
  int fresh() {
    cuts_.emplace_back();
    ready_.push_back(false);
    return static_cast<int>(ready_.size()) - 1;
  }
  void function(int signal, const std::vector<int>& signals) {
    Cut cut = gather(signals, kInputs);
    const auto me = static_cast<std::size_t>(signal);
    // A wide reduction takes several LUTs.
    if (cut.size() > kInputs) {
      luts_ += std::ceil((static_cast<double>(cut.size()) - 1) / 5);
      ready_[me] = true;
    }
    cuts_[me] = std::move(cut);
  }
  void logic(NodeId id, int i, const std::vector<int>& signals) {
    const std::size_t me = at(id, i);
    source_[me] = static_cast<int>(me);
    function(static_cast<int>(me), signals);
  }
  void hard(NodeId id) {
    for (int i = 0; i < g_.width(id); ++i) {
      source_[at(id, i)] = static_cast<int>(at(id, i));
      ready_[at(id, i)] = true;
    }
  }

  void add(NodeId id, const Node& n) {
    hard(id);
    // Only a row that is written bit by bit shares the adder's LUTs (build/chain.h).
    const Node& row = g_.node(n.args[1]);
    if (row.op != Op::kConcat || 2 * static_cast<int>(row.args.size()) < n.width) {
      make_ready(n.args[1]);
      // Yosys joins sums of sums into rows of full adders, two LUTs a bit, as far as it sees them.
      for (NodeId a : n.args)
        if (const NodeId inner = unpadded(g_, a); g_.node(inner).op == Op::kAdd)
          luts_ += kJoined * g_.width(inner);
    }
    for (int i = 0; i < n.width; ++i) {
      const int x = bit(n.args[0], i), y = bit(n.args[1], i);
      if (x == y) continue;
      if (x < 0 || y < 0) {
        realise(std::max(x, y));
        continue;
      }
      const bool x_ready = ready_[static_cast<std::size_t>(x)];
      const bool y_ready = ready_[static_cast<std::size_t>(y)];
      // The operand in fewer pieces is the ready one: that is the first, unless only the other is.
      const int taken = !x_ready && y_ready ? y : x;
      const int rest = taken == x ? y : x;
      realise(taken);
      const Cut cut = cut_of(rest);
      const bool holds = std::find(cut.begin(), cut.end(), taken) != cut.end();
      if (cut.size() + (holds ? 0 : 1) > kInputs) realise(rest);
      luts_ += 1;
    }
  }

  // Two-input selection as `mux`, over signals; a new signal unless it is a wire.
  int choose(int select, int one, int zero) {
    if (one == zero || select == kOne) return one;
    if (select == kZero) return zero;
    const int me = fresh();
    std::vector<int> signals = {select};
    for (int s : {one, zero})
      if (s >= 0) signals.push_back(s);
    function(me, signals);
    return me;
  }

  // Levels of multiplexers; what is shifted in is zero.
  void shift(NodeId id, const Node& n) {
    std::vector<int> word;
    for (int i = 0; i < n.width; ++i) word.push_back(bit(n.args[0], i));
    for (int k = 0; k < g_.width(n.args[1]); ++k) {
      const int step = k < 20 ? 1 << k : n.width;
      std::vector<int> next = word;
      for (int i = 0; i < n.width; ++i) {
        const int from = n.op == Op::kShl ? i - step : i + step;
        const bool inside = from >= 0 && from < n.width;
        next[static_cast<std::size_t>(i)] =
            choose(bit(n.args[1], k), inside ? word[static_cast<std::size_t>(from)] : kZero,
                   word[static_cast<std::size_t>(i)]);
      }
      word = std::move(next);
    }
    for (int i = 0; i < n.width; ++i) source_[at(id, i)] = word[static_cast<std::size_t>(i)];
  }

  void visit(NodeId id) {
    const Node& n = g_.node(id);
    const auto wire = [&](int i, int from) { source_[at(id, i)] = from; };
    const auto each = [&](auto&& signals) {
      for (int i = 0; i < n.width; ++i) logic(id, i, signals(i));
    };
    const auto all_bits = [&] {
      std::vector<int> signals;
      for (NodeId a : n.args)
        for (int i = 0; i < g_.width(a); ++i)
          if (bit(a, i) >= 0) signals.push_back(bit(a, i));
      return signals;
    };
    const auto block = [&](double luts) {
      for (NodeId a : n.args) make_ready(a);
      luts_ += luts;
      hard(id);
    };
    switch (n.op) {
      case Op::kInput:
      case Op::kState:
        hard(id);
        return;
      case Op::kConst:
        for (int i = 0; i < n.width; ++i) wire(i, n.value.bit(i) ? kOne : kZero);
        return;
      case Op::kSlice:
        for (int i = 0; i < n.width; ++i) wire(i, bit(n.args[0], n.lo + i));
        return;
      case Op::kSext:
        for (int i = 0; i < n.width; ++i)
          wire(i, bit(n.args[0], std::min(i, g_.width(n.args[0]) - 1)));
        return;
      case Op::kConcat: {
        int top = n.width;
        for (NodeId a : n.args) {
          top -= g_.width(a);
          for (int i = 0; i < g_.width(a); ++i) wire(top + i, bit(a, i));
        }
        return;
      }
      case Op::kNot:
        for (int i = 0; i < n.width; ++i) {
          const int x = bit(n.args[0], i);
          if (x < 0)
            wire(i, x == kZero ? kOne : kZero);
          else
            logic(id, i, {x});
        }
        return;
      case Op::kAnd:
      case Op::kOr:
        for (int i = 0; i < n.width; ++i) {
          const int x = bit(n.args[0], i), y = bit(n.args[1], i);
          const int keeps = n.op == Op::kAnd ? kOne : kZero;  // x op keeps = x
          if (x < 0)
            wire(i, x == keeps ? y : x);
          else if (y < 0)
            wire(i, y == keeps ? x : y);
          else
            logic(id, i, {x, y});
        }
        return;
      case Op::kXor:
        for (int i = 0; i < n.width; ++i) {
          const int x = bit(n.args[0], i), y = bit(n.args[1], i);
          if (x == kZero)
            wire(i, y);
          else if (y == kZero)
            wire(i, x);
          else
            logic(id, i, {x, y});
        }
        return;
      case Op::kMux:
        for (int i = 0; i < n.width; ++i) {
          const int x = bit(n.args[1], i), y = bit(n.args[2], i);
          if (x == y)
            wire(i, x);
          else
            logic(id, i, {bit(n.args[0], 0), x, y});
        }
        return;
      case Op::kFullAdd:
        each([&](int i) {
          const int k = i % (n.width / 2);
          return std::vector<int>{bit(n.args[0], k), bit(n.args[1], k), bit(n.args[2], k)};
        });
        return;
      case Op::kAdd:
      case Op::kSub:
        add(id, n);
        return;
      case Op::kEq:
      case Op::kOrr:
        logic(id, 0, all_bits());
        return;
      case Op::kUlt:
        block(0.6 * g_.width(n.args[0]));
        return;
      case Op::kShl:
      case Op::kLshr:
        shift(id, n);
        return;
      case Op::kMul: {
        double x = 0, y = 0;
        for (int i = 0; i < n.width; ++i) {
          x += i == 0 || bit(n.args[0], i) != bit(n.args[0], i - 1);
          y += i == 0 || bit(n.args[1], i) != bit(n.args[1], i - 1);
        }
        block(1.3 * x * y);
        return;
      }
      case Op::kSum:
      case Op::kClz:
        block(0);  // lowered before
        return;
    }
  }

  const Graph& g_;
  std::vector<int> base_;
  std::vector<int> source_;
  std::vector<Cut> cuts_;
  std::vector<bool> ready_;
  double luts_ = 0;
};

}  // namespace

double estimate_luts(const Graph& lowered) { return kCovered * Mapper(lowered).run(); }

}  // namespace blockdot::rtl_gen
