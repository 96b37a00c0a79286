#include "rtl_gen/build/bit_heap.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "formats/error.h"
#include "rtl_gen/build/ops.h"
#include "rtl_gen/cost/timing.h"

namespace blockdot::rtl_gen {
namespace {

// The largest of Dadda's heights below `height` > 2.
std::size_t dadda_below(std::size_t height) {
  std::size_t d = 2;
  while (d * 3 / 2 < height) d = d * 3 / 2;
  return d;
}

// Single bits of a column that counters add in a generic tree of adders; more of them are rows.
constexpr std::size_t kCountedByHeap = 3;

// How many of six bits are one, weights 1, 2 and 4. Each half is sorted, ones first; the two stacks
// of three are merged into one of three (`join`) and what exceeds it (`over`):
//
//   h = sorted upper, i = sorted lower     join_k = h_(2-k) | i_k     over_k = h_(2-k) & i_k
//
// Four or more: some `over` is one. The parity is that of both halves.
struct SixCount {
  NodeId one, two, four;
};
SixCount count_six(Graph& g, const std::array<NodeId, 6>& x) {
  struct Stack {
    NodeId any, two, all;  // at least one, two, three
    NodeId odd;
  };
  const auto stack = [&](NodeId a, NodeId b, NodeId c) {
    const NodeId both = ops::bit_and(g, a, b), either = ops::bit_or(g, a, b);
    Stack s{};
    s.any = ops::bit_or(g, either, c);
    s.two = ops::bit_or(g, both, ops::bit_and(g, either, c));
    s.all = ops::bit_and(g, both, c);
    s.odd = ops::bit_or(g, ops::bit_and(g, s.any, ops::bit_not(g, s.two)), s.all);
    return s;
  };
  const Stack h = stack(x[0], x[1], x[2]), i = stack(x[3], x[4], x[5]);
  const NodeId four =
      ops::bit_or(g, ops::bit_or(g, ops::bit_and(g, h.all, i.any), ops::bit_and(g, h.two, i.two)),
                  ops::bit_and(g, h.any, i.all));
  const NodeId two = ops::bit_or(g, ops::bit_or(g, h.two, i.two), ops::bit_and(g, h.any, i.any));
  const NodeId six = ops::bit_and(g, h.all, i.all);
  return {ops::bit_xor(g, h.odd, i.odd),
          ops::bit_or(g, ops::bit_and(g, two, ops::bit_not(g, four)), six), four};
}

}  // namespace

BitHeap::BitHeap(Graph& graph, int width, std::string name)
    : graph_(graph),
      width_(width),
      name_(std::move(name)),
      columns_(static_cast<std::size_t>(width)) {}

void BitHeap::add_bits(NodeId word, int weight) {
  if (weight >= width_) return;
  const int count = std::min(graph_.width(word), width_ - weight);
  word = ops::slice(graph_, word, 0, count);
  if (count > 1) {
    words_.push_back({word, weight});
    return;
  }
  columns_[static_cast<std::size_t>(weight)].push_back({word, 0});
}

void BitHeap::add(NodeId term, int weight) {
  if (weight >= width_) return;
  const Node n = graph_.node(term);
  switch (n.op) {
    case Op::kConst:
      constant_ += floor_shift(to_int(n.value), -weight);
      return;
    case Op::kConcat: {
      int at = weight + n.width;
      for (NodeId part : n.args) {
        at -= graph_.width(part);
        add(part, at);
      }
      return;
    }
    case Op::kSext: {
      if (weight + n.width < width_) break;  // its top is inside the heap: the copies are real bits
      const NodeId inner = n.args[0];
      const int w = graph_.width(inner);
      if (w > 1) add_bits(ops::slice(graph_, inner, 0, w - 1), weight);
      if (weight + w - 1 < width_) {
        add_bits(ops::bit_not(graph_, ops::slice(graph_, inner, w - 1, 1)), weight + w - 1);
        constant_ -= pow2(weight + w - 1);
      }
      return;
    }
    case Op::kInput:
    case Op::kState:
    case Op::kNot:
    case Op::kAnd:
    case Op::kOr:
    case Op::kXor:
    case Op::kAdd:
    case Op::kSub:
    case Op::kMul:
    case Op::kSum:
    case Op::kEq:
    case Op::kUlt:
    case Op::kMux:
    case Op::kShl:
    case Op::kLshr:
    case Op::kSlice:
    case Op::kOrr:
    case Op::kClz:
    case Op::kFullAdd:
      break;
  }
  add_bits(term, weight);
}

void BitHeap::label(NodeId node, const char* kind, int level, int counter) {
  graph_.set_name(node, fmt::format("{}_l{}_{}{}", name_, level, kind, counter));
}

void BitHeap::compress() {
  levels_ = 0;
  for (;;) {
    std::size_t height = 0;
    for (const auto& column : columns_) height = std::max(height, column.size());
    if (height <= 2) return;
    const std::size_t target = dadda_below(height);
    ++levels_;

    // Counters of this level, by column; counter k of a column takes its next 3 (or 2) bits.
    struct Counter {
      std::array<Bit, 3> in;
      int inputs;
    };
    const std::size_t n = columns_.size();
    std::vector<std::vector<Counter>> counters(n);
    std::size_t carries = 0;
    for (std::size_t c = 0; c < n; ++c) {
      auto& column = columns_[c];
      std::size_t left = column.size() + carries, used = 0;
      while (left > target && column.size() - used >= 2) {
        const int inputs = left == target + 1 || column.size() - used == 2 ? 2 : 3;
        Counter counter{{}, inputs};
        for (int i = 0; i < inputs; ++i) counter.in[static_cast<std::size_t>(i)] = column[used++];
        counters[c].push_back(counter);
        left -= static_cast<std::size_t>(inputs - 1);
      }
      column.erase(column.begin(), column.begin() + static_cast<std::ptrdiff_t>(used));
      carries = counters[c].size();
    }

    // Runs of equal counters on neighbouring bits of the same words become one word-wide counter.
    std::size_t most = 0;
    for (const auto& list : counters) most = std::max(most, list.size());
    std::vector<std::vector<Bit>> sums(n), carry_bits(n + 1);
    int number = 0;
    for (std::size_t k = 0; k < most; ++k) {
      for (std::size_t c = 0; c < n;) {
        if (counters[c].size() <= k) {
          ++c;
          continue;
        }
        const Counter first = counters[c][k];
        std::size_t length = 1;
        const auto continues = [&](const Counter& next) {
          if (next.inputs != first.inputs) return false;
          for (int i = 0; i < first.inputs; ++i) {
            const Bit& from = first.in[static_cast<std::size_t>(i)];
            const Bit& to = next.in[static_cast<std::size_t>(i)];
            if (to.word != from.word || to.index != from.index + static_cast<int>(length))
              return false;
          }
          return true;
        };
        while (c + length < n && counters[c + length].size() > k &&
               continues(counters[c + length][k]))
          ++length;
        const auto word = [&](std::size_t i) {
          return ops::slice(graph_, first.in[i].word, first.in[i].index, static_cast<int>(length));
        };
        const NodeId x = word(0), y = word(1);
        NodeId s = ops::bit_xor(graph_, x, y);
        NodeId carry = ops::bit_and(graph_, x, y);
        if (first.inputs == 3) {
          const NodeId z = word(2);
          carry = ops::bit_or(graph_, carry, ops::bit_and(graph_, z, s));
          s = ops::bit_xor(graph_, s, z);
        }
        label(s, "s", levels_, number);
        label(carry, "c", levels_, number);
        ++number;
        for (std::size_t i = 0; i < length; ++i) {
          sums[c + i].push_back({s, static_cast<int>(i)});
          carry_bits[c + i + 1].push_back({carry, static_cast<int>(i)});
        }
        c += length;
      }
    }
    for (std::size_t c = 0; c < n; ++c) {
      auto& column = columns_[c];
      column.insert(column.end(), sums[c].begin(), sums[c].end());
      column.insert(column.end(), carry_bits[c].begin(), carry_bits[c].end());
    }
  }
}

// Sixes of single bits, from the lowest column up.
void BitHeap::compress_sixes() {
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    int number = 0;
    while (columns_[c].size() >= 6) {
      auto& column = columns_[c];
      std::array<NodeId, 6> in;
      for (std::size_t i = 0; i < 6; ++i)
        in[i] = ops::slice(graph_, column[i].word, column[i].index, 1);
      column.erase(column.begin(), column.begin() + 6);
      const SixCount count = count_six(graph_, in);
      std::size_t up = 0;
      for (NodeId out : {count.one, count.two, count.four}) {
        graph_.set_name(out, fmt::format("{}_c{}_six{}_{}", name_, c, number, 1 << up));
        if (c + up < columns_.size()) columns_[c + up].push_back({out, 0});
        ++up;
      }
      ++number;
    }
  }
}

// Three-greedy: the column's three earliest bits go through one full adder, until two are left.
// Carries of a column are all known before the next column starts.
void BitHeap::compress_by_time(const SumOptions& options) {
  const CostModel cost(options.technology);
  ArrivalTimes arrival(graph_, cost);
  const double half_sum = cost.full_add_sum_ns() * 0.75,
               half_carry = cost.full_add_carry_ns() * 0.75;
  struct Timed {
    double time;
    int order;  // first come, first served among equals: the same text every time
    NodeId bit;
    bool operator>(const Timed& o) const {
      return std::pair(time, order) > std::pair(o.time, o.order);
    }
  };
  std::vector<std::vector<Timed>> columns(columns_.size());
  int order = 0;
  const auto later = std::greater<Timed>();
  const auto push = [&](std::size_t c, double time, NodeId bit) {
    if (c >= columns.size()) return;
    columns[c].push_back({time, order++, bit});
    std::push_heap(columns[c].begin(), columns[c].end(), later);
  };
  for (std::size_t c = 0; c < columns_.size(); ++c)
    for (const Bit& b : columns_[c]) {
      const NodeId bit = ops::slice(graph_, b.word, b.index, 1);
      push(c, arrival.of(bit), bit);
    }
  levels_ = 0;
  // In a register's heap the late word comes from an earlier stage after all, and half adders that
  // did not wait for it would be a chain along the word.
  std::size_t height = 0;
  for (const auto& column : columns) height = std::max(height, column.size());
  const bool some_wait = height > 3;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    auto& column = columns[c];
    int number = 0;
    const auto pop = [&] {
      std::pop_heap(column.begin(), column.end(), later);
      const Timed t = column.back();
      column.pop_back();
      return t;
    };
    while (options.six && column.size() >= 6) {
      // Six that come at about the same time: a late one would hold up the five.
      std::array<Timed, 6> first;
      for (Timed& t : first) t = pop();
      if (first[5].time > first[2].time + cost.full_add_sum_ns()) {
        for (const Timed& t : first) {
          column.push_back(t);
          std::push_heap(column.begin(), column.end(), later);
        }
        break;
      }
      std::array<NodeId, 6> in;
      for (std::size_t i = 0; i < in.size(); ++i) in[i] = first[i].bit;
      const SixCount count = count_six(graph_, in);
      int weight = 0;
      for (NodeId out : {count.one, count.two, count.four}) {
        push(c + static_cast<std::size_t>(weight), arrival.of(out), out);
        graph_.set_name(out, fmt::format("{}_c{}_six{}_{}", name_, c, number, 1 << weight++));
      }
      levels_ = std::max(levels_, ++number);
    }
    while (column.size() > 2) {
      const Timed x = pop(), y = pop();
      const Timed& z = column.front();
      const bool constants = ops::is_const(graph_, x.bit) || ops::is_const(graph_, y.bit);
      NodeId sum, carry;
      if (some_wait && column.size() == 1 && z.time > y.time + half_sum && !constants) {
        const ops::FullAdd f = ops::full_add(graph_, x.bit, y.bit, ops::constant(graph_, 0, 1),
                                             options.cells, options.half_cells);
        sum = f.sum;
        carry = f.carry;
        push(c, y.time + half_sum, sum);
        push(c + 1, y.time + half_carry, carry);
      } else {
        const Timed last = pop();
        const ops::FullAdd f =
            ops::full_add(graph_, x.bit, y.bit, last.bit, options.cells, options.half_cells);
        sum = f.sum;
        carry = f.carry;
        if (!options.cells || constants) {
          push(c, arrival.of(sum), sum);
          push(c + 1, arrival.of(carry), carry);
        } else {
          push(c, last.time + cost.full_add_sum_ns(), sum);
          push(c + 1, last.time + cost.full_add_carry_ns(), carry);
        }
      }
      // A cell is named as a whole, gates by what they make.
      const Node& made = graph_.node(sum);
      if (made.op == Op::kSlice && graph_.node(made.args[0]).op == Op::kFullAdd) {
        graph_.set_name(made.args[0], fmt::format("{}_c{}_fa{}", name_, c, number));
      } else {
        graph_.set_name(sum, fmt::format("{}_c{}_s{}", name_, c, number));
        graph_.set_name(carry, fmt::format("{}_c{}_c{}", name_, c, number));
      }
      levels_ = std::max(levels_, ++number);
    }
    columns_[c].clear();
    while (!column.empty()) columns_[c].push_back({pop().bit, 0});
  }
}

// The last two rows: ripples through the low columns as long as the carry is not the last to come,
// then one adder.
NodeId BitHeap::total_by_time(const SumOptions& options) {
  const CostModel cost(options.technology);
  ArrivalTimes arrival(graph_, cost);
  const NodeId zero = ops::constant(graph_, 0, 1);
  const auto bit = [&](std::size_t c, std::size_t r) {
    return r < columns_[c].size() ? ops::slice(graph_, columns_[c][r].word, columns_[c][r].index, 1)
                                  : zero;
  };
  const std::size_t n = columns_.size();
  std::vector<double> latest_above(n + 1, 0);
  for (std::size_t c = n; c-- > 0;)
    latest_above[c] = std::max({latest_above[c + 1], arrival.of(bit(c, 0)), arrival.of(bit(c, 1))});
  std::vector<NodeId> low;
  NodeId carry = zero;
  std::size_t c = 0;
  for (; c < n; ++c) {
    if (columns_[c].size() == 2 && options.adder != AdderStyle::kRipple &&
        std::max({arrival.of(carry), arrival.of(bit(c, 0)), arrival.of(bit(c, 1))}) +
                cost.full_add_carry_ns() >
            latest_above[c + 1])
      break;
    const ops::FullAdd f =
        ops::full_add(graph_, bit(c, 0), bit(c, 1), carry, options.cells, options.half_cells);
    low.push_back(f.sum);
    carry = f.carry;
  }
  std::vector<NodeId> parts;
  if (c < n) {
    std::vector<WordBit> x, y;
    for (std::size_t k = c; k < n; ++k) {
      x.push_back({bit(k, 0), 0});
      y.push_back({bit(k, 1), 0});
    }
    const NodeId row_x = join_bits(graph_, x), row_y = join_bits(graph_, y);
    graph_.set_name(row_x, name_ + "_row0");
    graph_.set_name(row_y, name_ + "_row1");
    const NodeId high = add_words(graph_, options.adder, row_x, row_y, carry, options.cells, name_);
    graph_.set_name(high, name_ + "_high");
    parts.push_back(high);
  }
  parts.insert(parts.end(), low.rbegin(), low.rend());
  return ops::concat(graph_, parts);
}

// One bit a column, lowest column first, as a word.
NodeId BitHeap::join(const std::vector<Bit>& column_bits) const {
  std::vector<NodeId> parts;
  for (auto it = column_bits.rbegin(); it != column_bits.rend(); ++it)
    parts.push_back(ops::slice(graph_, it->word, it->index, 1));
  return ops::concat(graph_, parts);
}

// The heap of height at most two as at most two rows; leading empty columns are left out.
std::vector<BitHeap::Row> BitHeap::rows() {
  std::vector<Row> result;
  const NodeId zero = ops::constant(graph_, 0, 1);
  for (std::size_t r = 0; r < 2; ++r) {
    std::size_t low = columns_.size(), high = 0;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (columns_[c].size() <= r) continue;
      low = std::min(low, c);
      high = c + 1;
    }
    if (low >= high) continue;
    std::vector<Bit> taken;
    for (std::size_t c = low; c < high; ++c)
      taken.push_back(columns_[c].size() > r ? columns_[c][r] : Bit{zero, 0});
    result.push_back({join(taken), static_cast<int>(low)});
  }
  return result;
}

// x + y: what lies below the overlap passes through; one bit more on top, within the heap.
BitHeap::Row BitHeap::add_rows(const Row& x, const Row& y, bool last) {
  const Row& low = x.weight <= y.weight ? x : y;
  const Row& high = x.weight <= y.weight ? y : x;
  const int low_end = low.weight + graph_.width(low.word);
  if (low_end <= high.weight) {
    std::vector<NodeId> parts = {high.word};
    if (high.weight > low_end) parts.push_back(ops::constant(graph_, 0, high.weight - low_end));
    parts.push_back(low.word);
    return {ops::concat(graph_, parts), low.weight};
  }
  const int skip = high.weight - low.weight;
  const int high_end = high.weight + graph_.width(high.word);
  const int width = std::min(std::max(low_end, high_end) + 1, width_) - high.weight;
  const auto fit = [&](NodeId word) {
    return graph_.width(word) > width ? ops::slice(graph_, word, 0, width)
                                      : ops::zext(graph_, word, width);
  };
  const NodeId upper = ops::slice(graph_, low.word, skip, graph_.width(low.word) - skip);
  const NodeId total = ops::add(graph_, fit(upper), fit(high.word));
  if (!last) graph_.set_name(total, name_ + "_part");
  return {skip == 0 ? total : ops::concat(graph_, {total, ops::slice(graph_, low.word, 0, skip)}),
          low.weight};
}

NodeId BitHeap::total_of_rows(std::vector<Row> rows) {
  if (rows.empty()) return ops::constant(graph_, 0, width_);
  while (rows.size() > 1) {
    // Rows that end low first, so that an adder is as narrow as it can be.
    std::stable_sort(rows.begin(), rows.end(), [&](const Row& x, const Row& y) {
      return x.weight + graph_.width(x.word) < y.weight + graph_.width(y.word);
    });
    std::vector<Row> next;
    for (std::size_t i = 0; i + 1 < rows.size(); i += 2)
      next.push_back(add_rows(rows[i], rows[i + 1], rows.size() == 2));
    if (rows.size() % 2) next.push_back(rows.back());
    rows = std::move(next);
  }
  const Row& last = rows.front();
  const NodeId word = ops::pad_low(graph_, last.word, last.weight);
  const int width = graph_.width(word);
  return width >= width_ ? ops::slice(graph_, word, 0, width_) : ops::zext(graph_, word, width_);
}

NodeId BitHeap::sum(const SumOptions& options) {
  const Bits constant = to_bits(constant_, width_);
  std::vector<Row> kept;
  switch (options.style) {
    case SumStyle::kCompress:
    case SumStyle::kTimed: {
      for (const Row& r : words_)
        for (int i = 0; i < graph_.width(r.word); ++i)
          columns_[static_cast<std::size_t>(r.weight + i)].push_back({r.word, i});
      const NodeId word = graph_.constant(constant);
      for (int i = 0; i < width_; ++i)
        if (constant.bit(i)) columns_[static_cast<std::size_t>(i)].push_back({word, i});
      break;
    }
    case SumStyle::kAdderTree: {
      kept = words_;
      // A few single bits are counted by the heap; the constant is one more row.
      if (options.technology == Technology::kGeneric && !options.six)
        for (std::size_t c = 0; c < columns_.size(); ++c) {
          if (columns_[c].size() <= kCountedByHeap) continue;
          for (const Bit& b : columns_[c])
            kept.push_back({ops::slice(graph_, b.word, b.index, 1), static_cast<int>(c)});
          columns_[c].clear();
        }
      const NodeId word = graph_.constant(constant);
      if (!ops::is_zero(graph_, word)) kept.push_back({word, 0});
      break;
    }
  }
  words_.clear();
  if (options.style == SumStyle::kTimed) {
    compress_by_time(options);
    return total_by_time(options);
  }
  if (options.six) compress_sixes();
  compress();
  for (const Row& r : rows()) kept.push_back(r);
  return total_of_rows(std::move(kept));
}

}  // namespace blockdot::rtl_gen
