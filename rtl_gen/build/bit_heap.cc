#include "rtl_gen/build/bit_heap.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "formats/error.h"
#include "rtl_gen/build/ops.h"

namespace blockdot::rtl_gen {
namespace {

// The largest of Dadda's heights below `height` > 2.
std::size_t dadda_below(std::size_t height) {
  std::size_t d = 2;
  while (d * 3 / 2 < height) d = d * 3 / 2;
  return d;
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
NodeId BitHeap::add_rows(const Row& x, const Row& y, Row& out) {
  const Row& low = x.weight <= y.weight ? x : y;
  const Row& high = x.weight <= y.weight ? y : x;
  const int low_end = low.weight + graph_.width(low.word);
  if (low_end <= high.weight) {
    std::vector<NodeId> parts = {high.word};
    if (high.weight > low_end) parts.push_back(ops::constant(graph_, 0, high.weight - low_end));
    parts.push_back(low.word);
    out = {ops::concat(graph_, parts), low.weight};
    return out.word;
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
  graph_.set_name(total, name_ + "_part");
  out.word =
      skip == 0 ? total : ops::concat(graph_, {total, ops::slice(graph_, low.word, 0, skip)});
  out.weight = low.weight;
  return out.word;
}

NodeId BitHeap::total_of_rows(std::vector<Row> rows) {
  if (rows.empty()) return ops::constant(graph_, 0, width_);
  while (rows.size() > 1) {
    // Rows that end low first, so that an adder is as narrow as it can be.
    std::stable_sort(rows.begin(), rows.end(), [&](const Row& x, const Row& y) {
      return x.weight + graph_.width(x.word) < y.weight + graph_.width(y.word);
    });
    std::vector<Row> next;
    for (std::size_t i = 0; i + 1 < rows.size(); i += 2) {
      Row out{};
      add_rows(rows[i], rows[i + 1], out);
      next.push_back(out);
    }
    if (rows.size() % 2) next.push_back(rows.back());
    rows = std::move(next);
  }
  const Row& last = rows.front();
  const NodeId word = ops::pad_low(graph_, last.word, last.weight);
  const int width = graph_.width(word);
  return width >= width_ ? ops::slice(graph_, word, 0, width_) : ops::zext(graph_, word, width_);
}

NodeId BitHeap::sum(SumStyle style) {
  const Bits constant = to_bits(constant_, width_);
  std::vector<Row> kept;
  switch (style) {
    case SumStyle::kCompress: {
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
      // Single bits are counted by the heap; the constant is one more row.
      const NodeId word = graph_.constant(constant);
      if (!ops::is_zero(graph_, word)) kept.push_back({word, 0});
      break;
    }
  }
  words_.clear();
  compress();
  for (const Row& r : rows()) kept.push_back(r);
  return total_of_rows(std::move(kept));
}

}  // namespace blockdot::rtl_gen
