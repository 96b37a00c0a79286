#include "rtl_gen/build/chain.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"
#include "rtl_gen/build/ops.h"

namespace blockdot::rtl_gen {

ChainRow row_of(const Fx& word, const Fx& negative) {
  Graph& g = *word.graph;
  ChainRow row;
  for (int i = 0; i < word.width(); ++i)
    row.bits.push_back(ops::bit_xor(g, ops::slice(g, word.node, i, 1), negative.node));
  row.carry = negative.node;
  const bool fixed = ops::is_zero(g, negative.node);
  row.lo = fixed ? word.lo : std::min(word.lo, Int(-word.hi));
  row.hi = fixed ? word.hi : std::max(word.hi, Int(-word.lo));
  row.lsb = word.lsb;
  // The complement of an unsigned word has ones above.
  if (!fixed && word.lo >= 0) row.bits.push_back(negative.node);
  return row;
}

Fx add_row(const Fx& ready, const ChainRow& row, std::string_view name) {
  Graph& g = *ready.graph;
  if (ready.lsb > row.lsb) return add_row(extend_lsb(ready, row.lsb), row, name);
  const int skip = row.lsb - ready.lsb;
  const Fx high = floor_to(ready, row.lsb);
  const Int lo = high.lo + row.lo, hi = high.hi + row.hi;
  const int width = range_width(lo, hi);
  const auto extended = [&](const Fx& x) {
    return x.width() >= width ? ops::slice(g, x.node, 0, width)
           : x.is_signed()    ? ops::sext(g, x.node, width)
                              : ops::zext(g, x.node, width);
  };
  const bool carries = !ops::is_zero(g, row.carry);
  std::vector<NodeId> parts;
  for (int i = width; i-- > 0;) {
    const auto top = static_cast<int>(row.bits.size()) - 1;
    if (i > top && row.lo >= 0)
      parts.push_back(ops::constant(g, 0, 1));
    else
      parts.push_back(row.bits[static_cast<std::size_t>(std::min(i, top))]);
  }
  NodeId x = extended(high);
  if (carries) {
    parts.push_back(row.carry);
    x = ops::concat(g, {x, row.carry});
  }
  const NodeId y = ops::concat(g, parts);
  NodeId total = ops::add(g, x, y);
  g.set_name(total, fmt::format("{}_add", name));
  if (carries) total = ops::slice(g, total, 1, width);
  Fx out{&g, total, lo, hi, row.lsb};
  if (skip > 0) {
    const Int below = pow2(skip) - 1;
    out.node = ops::concat(g, {total, ops::slice(g, ready.node, 0, skip)});
    out.lo = lo * pow2(skip);
    out.hi = hi * pow2(skip) + below;
    out.lsb = ready.lsb;
    BLOCKDOT_CHECK(out.width() == range_width(out.lo, out.hi));
  }
  return out;
}

SignedWord sum_to_sign(std::vector<SignedWord> words, int chain, std::string_view name) {
  int number = 0;
  const auto combine = [&](const SignedWord& x, const SignedWord& y) -> SignedWord {
    const std::string label = fmt::format("{}{}", name, number++);
    const Fx relative = rtl_gen::name(xor_(x.sign, y.sign), label + "_minus");
    return {add_row(x.word, row_of(y.word, relative), label), x.sign};
  };
  std::vector<SignedWord> level;
  for (std::size_t i = 0; i < words.size(); i += static_cast<std::size_t>(chain)) {
    SignedWord word = words[i];
    const std::size_t end = std::min(words.size(), i + static_cast<std::size_t>(chain));
    for (std::size_t j = i + 1; j < end; ++j) word = combine(word, words[j]);
    level.push_back(word);
  }
  while (level.size() > 1) {
    std::vector<SignedWord> next;
    for (std::size_t i = 0; i + 1 < level.size(); i += 2)
      next.push_back(combine(level[i], level[i + 1]));
    if (level.size() % 2) next.push_back(level.back());
    level = std::move(next);
  }
  return level.front();
}

Fx sum_relative(Graph& g, std::vector<SignedWord> words, int chain, std::string_view name) {
  const SignedWord root = sum_to_sign(std::move(words), chain, name);
  return add_row(constant(g, 0, root.word.lsb), row_of(root.word, root.sign),
                 fmt::format("{}_signed", name));
}

Fx sum_rows(Graph& g, const std::vector<ChainRow>& rows, int chain, std::string_view name) {
  int number = 0;
  const Fx zero = constant(g, 0);
  std::vector<Fx> level;
  for (std::size_t i = 0; i < rows.size(); i += static_cast<std::size_t>(chain)) {
    const std::size_t end = std::min(rows.size(), i + static_cast<std::size_t>(chain));
    Fx word = constant(g, 0, rows[i].lsb);
    for (std::size_t j = i; j < end; ++j)
      word = add_row(word, rows[j], fmt::format("{}{}", name, number++));
    level.push_back(word);
  }
  while (level.size() > 1) {
    std::vector<Fx> next;
    for (std::size_t i = 0; i + 1 < level.size(); i += 2)
      next.push_back(
          add_row(level[i], row_of(level[i + 1], zero), fmt::format("{}{}", name, number++)));
    if (level.size() % 2) next.push_back(level.back());
    level = std::move(next);
  }
  return level.front();
}

}  // namespace blockdot::rtl_gen
