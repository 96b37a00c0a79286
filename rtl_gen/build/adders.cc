#include "rtl_gen/build/adders.h"

#include <fmt/format.h>

#include <algorithm>

#include "rtl_gen/build/ops.h"

namespace blockdot::rtl_gen {
namespace {

struct Merge {
  int at, from;  // position `at` takes the group that ends at `from`
};

// Levels of a prefix tree over n positions; `from` is always the end of the group just below.
std::vector<std::vector<Merge>> prefix_levels(AdderStyle style, int n) {
  std::vector<std::vector<Merge>> levels;
  const auto push = [&](std::vector<Merge> level) {
    if (!level.empty()) levels.push_back(std::move(level));
  };
  if (style == AdderStyle::kBrentKung) {
    int top = 1;
    for (int d = 1; d < n; d *= 2) {
      std::vector<Merge> level;
      for (int i = 2 * d - 1; i < n; i += 2 * d) level.push_back({i, i - d});
      push(std::move(level));
      top = d;
    }
    for (int d = top; d >= 1; d /= 2) {
      std::vector<Merge> level;
      for (int i = 3 * d - 1; i < n; i += 2 * d) level.push_back({i, i - d});
      push(std::move(level));
    }
    return levels;
  }
  for (int d = 1; d < n; d *= 2) {
    std::vector<Merge> level;
    for (int i = d; i < n; ++i) {
      if (style == AdderStyle::kKoggeStone) level.push_back({i, i - d});
      if (style == AdderStyle::kSklansky && (i / d) % 2 == 1) level.push_back({i, i / d * d - 1});
    }
    push(std::move(level));
  }
  return levels;
}

NodeId prefix_add(Graph& g, AdderStyle style, NodeId x, NodeId y, std::optional<NodeId> carry,
                  const std::string& name) {
  const int n = g.width(x);
  const NodeId half = ops::bit_xor(g, x, y);
  NodeId first = ops::bit_and(g, x, y);
  const NodeId any = ops::bit_or(g, x, y);
  g.set_name(half, name + "_half");
  g.set_name(first, name + "_gen");
  g.set_name(any, name + "_prop");
  // The group of position i: bits low[i]..i. A group that reaches bit 0 needs no propagate.
  std::vector<WordBit> gen, prop;
  std::vector<int> low;
  for (int i = 0; i < n; ++i) {
    gen.push_back({first, i});
    prop.push_back({any, i});
    low.push_back(i);
  }
  if (carry) {
    const NodeId g0 = ops::bit_or(g, ops::slice(g, first, 0, 1),
                                  ops::bit_and(g, ops::slice(g, any, 0, 1), *carry));
    gen[0] = {g0, 0};
  }
  int number = 0;
  for (const std::vector<Merge>& level : prefix_levels(style, n - 1)) {
    ++number;
    std::vector<WordBit> p, g0, g1, keep_p, keep_q;
    std::vector<int> kept;
    for (const Merge& m : level) {
      const auto at = static_cast<std::size_t>(m.at), from = static_cast<std::size_t>(m.from);
      p.push_back(prop[at]);
      g0.push_back(gen[at]);
      g1.push_back(gen[from]);
      if (low[from] == 0) continue;
      kept.push_back(m.at);
      keep_p.push_back(prop[at]);
      keep_q.push_back(prop[from]);
    }
    const NodeId merged =
        ops::bit_or(g, join_bits(g, g0), ops::bit_and(g, join_bits(g, p), join_bits(g, g1)));
    g.set_name(merged, fmt::format("{}_gen{}", name, number));
    int passed = 0;
    for (const Merge& m : level) passed = std::max(passed, m.at - m.from);
    g.set_passed(merged, passed);
    NodeId both = merged;
    if (!kept.empty()) {
      both = ops::bit_and(g, join_bits(g, keep_p), join_bits(g, keep_q));
      g.set_name(both, fmt::format("{}_prop{}", name, number));
    }
    const std::vector<int> old_low = low;
    int k = 0, kp = 0;
    for (const Merge& m : level) {
      const auto at = static_cast<std::size_t>(m.at), from = static_cast<std::size_t>(m.from);
      gen[at] = {merged, k++};
      low[at] = old_low[from];
      if (old_low[from] != 0) prop[at] = {both, kp++};
    }
  }
  std::vector<WordBit> carries;
  const NodeId in = carry ? *carry : ops::constant(g, 0, 1);
  carries.push_back({in, 0});
  for (int i = 0; i + 1 < n; ++i) carries.push_back(gen[static_cast<std::size_t>(i)]);
  return ops::bit_xor(g, half, join_bits(g, carries));
}

// The carry out of a group as it is without (`none`) and with (`one`) a carry into it: none <= one.
struct Group {
  NodeId none, one;
};

// With groups of fewer bits the tree has more cells, with more bits the groups are slow.
constexpr int kGroupBits = 6;

NodeId sparse_add(Graph& g, NodeId x, NodeId y, std::optional<NodeId> carry, bool cells,
                  const std::string& name) {
  const int n = g.width(x);
  const int count = (n + kGroupBits - 1) / kGroupBits;
  const NodeId half = ops::bit_xor(g, x, y);
  const NodeId gen = ops::bit_and(g, x, y), any = ops::bit_or(g, x, y);
  g.set_name(half, name + "_half");
  g.set_name(gen, name + "_gen");
  g.set_name(any, name + "_prop");
  const auto next = [&](int bit, NodeId below) {
    const NodeId carry_out = ops::bit_or(g, ops::slice(g, gen, bit, 1),
                                         ops::bit_and(g, ops::slice(g, any, bit, 1), below));
    g.set_passed(carry_out, 1);
    return carry_out;
  };
  std::vector<Group> groups;
  for (int k = 0; k + 1 < count; ++k) {
    const int low = k * kGroupBits;
    Group group{ops::slice(g, gen, low, 1), ops::slice(g, any, low, 1)};
    if (k == 0 && carry) group.none = next(low, *carry);
    for (int i = low + 1; i < low + kGroupBits; ++i)
      group = {next(i, group.none), next(i, group.one)};
    groups.push_back(group);
  }
  // Which group the merged one begins with: nothing comes into the first.
  std::vector<int> low;
  for (int k = 0; k + 1 < count; ++k) low.push_back(k);
  const auto majority = [&](const Group& above, NodeId below, const char* what, int level, int at) {
    const NodeId carry_out = ops::full_add(g, above.none, above.one, below, cells).carry;
    const Node& made = g.node(carry_out);
    g.set_name(made.op == Op::kSlice ? made.args[0] : carry_out,
               fmt::format("{}_{}{}_{}", name, what, level, at));
    return carry_out;
  };
  int number = 0;
  for (const std::vector<Merge>& level : prefix_levels(AdderStyle::kSklansky, count - 1)) {
    ++number;
    const std::vector<Group> old = groups;
    const std::vector<int> old_low = low;
    for (const Merge& m : level) {
      const auto at = static_cast<std::size_t>(m.at), from = static_cast<std::size_t>(m.from);
      groups[at].none = majority(old[at], old[from].none, "carry", number, m.at);
      if (old_low[from] != 0)
        groups[at].one = majority(old[at], old[from].one, "with", number, m.at);
      low[at] = old_low[from];
    }
  }
  std::vector<WordBit> carries;
  for (int k = 0; k < count; ++k) {
    NodeId into = k > 0   ? groups[static_cast<std::size_t>(k - 1)].none
                  : carry ? *carry
                          : ops::constant(g, 0, 1);
    for (int i = k * kGroupBits; i < std::min(n, (k + 1) * kGroupBits); ++i) {
      carries.push_back({into, 0});
      into = next(i, into);
    }
  }
  return ops::bit_xor(g, half, join_bits(g, carries));
}

NodeId ripple_add(Graph& g, NodeId x, NodeId y, std::optional<NodeId> carry, bool cells) {
  NodeId in = carry ? *carry : ops::constant(g, 0, 1);
  std::vector<NodeId> sums;
  for (int i = 0; i < g.width(x); ++i) {
    const ops::FullAdd f =
        ops::full_add(g, ops::slice(g, x, i, 1), ops::slice(g, y, i, 1), in, cells);
    sums.push_back(f.sum);
    in = f.carry;
  }
  std::reverse(sums.begin(), sums.end());
  return ops::concat(g, sums);
}

}  // namespace

NodeId join_bits(Graph& g, const std::vector<WordBit>& bits) {
  std::vector<NodeId> parts;
  for (std::size_t i = 0; i < bits.size();) {
    std::size_t same = 1, next = 1;
    while (i + same < bits.size() && bits[i + same].word == bits[i].word &&
           bits[i + same].index == bits[i].index)
      ++same;
    while (i + next < bits.size() && bits[i + next].word == bits[i].word &&
           bits[i + next].index == bits[i].index + static_cast<int>(next))
      ++next;
    if (same > 1) {
      parts.push_back(
          ops::sext(g, ops::slice(g, bits[i].word, bits[i].index, 1), static_cast<int>(same)));
      i += same;
    } else {
      parts.push_back(ops::slice(g, bits[i].word, bits[i].index, static_cast<int>(next)));
      i += next;
    }
  }
  std::reverse(parts.begin(), parts.end());
  return ops::concat(g, parts);
}

NodeId add_words(Graph& g, AdderStyle style, NodeId x, NodeId y, std::optional<NodeId> carry,
                 bool cells, const std::string& name) {
  if (carry && ops::is_zero(g, *carry)) carry.reset();
  if (!carry && ops::is_zero(g, x)) return y;
  if (!carry && ops::is_zero(g, y)) return x;
  switch (style) {
    case AdderStyle::kPlus: {
      const NodeId sum = ops::add(g, x, y);
      return carry ? ops::add(g, sum, ops::zext(g, *carry, g.width(x))) : sum;
    }
    case AdderStyle::kRipple:
      return ripple_add(g, x, y, carry, cells);
    case AdderStyle::kBrentKung:
    case AdderStyle::kSklansky:
    case AdderStyle::kKoggeStone:
      return prefix_add(g, style, x, y, carry, name);
    case AdderStyle::kSparse:
      return sparse_add(g, x, y, carry, cells, name);
  }
  return x;
}

}  // namespace blockdot::rtl_gen
