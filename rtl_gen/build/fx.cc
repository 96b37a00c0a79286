#include "rtl_gen/build/fx.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"
#include "rtl_gen/build/ops.h"

namespace blockdot::rtl_gen {
namespace {

Fx make(Graph& g, NodeId node, const Int& lo, const Int& hi, int lsb) {
  BLOCKDOT_CHECK(g.width(node) == range_width(lo, hi), "width {} for {}", g.width(node),
                 range_text(lo, hi));
  return {&g, node, lo, hi, lsb};
}

Fx unsigned_bits(Graph& g, NodeId node) { return {&g, node, 0, pow2(g.width(node)) - 1, 0}; }

// The bits of a in a field of `width`, extended by its sign or cut modulo 2^width.
NodeId field(const Fx& a, int width) {
  Graph& g = *a.graph;
  if (width <= a.width()) return ops::slice(g, a.node, 0, width);
  return a.is_signed() ? ops::sext(g, a.node, width) : ops::zext(g, a.node, width);
}

struct Aligned {
  Fx a, b;
};

Aligned align(const Fx& a, const Fx& b) {
  BLOCKDOT_CHECK(a.graph == b.graph);
  const int lsb = std::min(a.lsb, b.lsb);
  return {extend_lsb(a, lsb), extend_lsb(b, lsb)};
}

std::string bound_text(const Int& v) {
  const Int m = abs(v);
  if (m < 1000000) return v.str();
  // 2^k, 2^k - 1, m * 2^k, else in hex.
  const std::string s = v < 0 ? "-" : "";
  const auto k = static_cast<int>(msb(m));
  if (m == pow2(k)) return fmt::format("{}2^{}", s, k);
  if (m == pow2(k + 1) - 1)
    return s.empty() ? fmt::format("2^{}-1", k + 1) : fmt::format("1-2^{}", k + 1);
  const auto zeros = static_cast<int>(lsb(m));
  if (m < Int(1000000) << zeros) return fmt::format("{}{}*2^{}", s, Int(m >> zeros).str(), zeros);
  return fmt::format("{}0x{}", s, m.str(0, std::ios_base::hex));
}

}  // namespace

std::string range_text(const Int& lo, const Int& hi) {
  return fmt::format("{}..{}", bound_text(lo), bound_text(hi));
}

Fx input(Graph& g, std::string_view name, int width) {
  return unsigned_bits(g, g.input(std::string(name), width));
}

Fx constant(Graph& g, const Int& value, int lsb) {
  return make(g, ops::constant(g, value, range_width(value, value)), value, value, lsb);
}

Fx state(Graph& g, std::string_view name, const Int& lo, const Int& hi, int lsb,
         const std::optional<Int>& reset) {
  const int width = range_width(lo, hi);
  std::optional<Bits> start;
  if (reset) start = to_bits(*reset, width);
  const NodeId node = g.state(std::string(name), width, start);
  g.set_note(node, range_text(lo, hi));
  return make(g, node, lo, hi, lsb);
}

void set_next(const Fx& state, const Fx& value) {
  const Fx x = extend_lsb(value, state.lsb);
  BLOCKDOT_CHECK(x.lo >= state.lo && x.hi <= state.hi, "next of {}: {} does not fit {}",
                 state.graph->node(state.node).name, range_text(x.lo, x.hi),
                 range_text(state.lo, state.hi));
  state.graph->set_next(state.node, widen(x, state.lo, state.hi).node);
}

void output(std::string_view name, const Fx& value) {
  value.graph->output(std::string(name), value.node);
}

Fx name(Fx x, std::string_view name) {
  if (ops::is_const(*x.graph, x.node)) return x;
  x.graph->set_name(x.node, name);
  if (x.width() > 1) x.graph->set_note(x.node, range_text(x.lo, x.hi));
  return x;
}

Fx control(Fx x) {
  x.graph->set_control(x.node);
  return x;
}

Fx extend_lsb(const Fx& a, int lsb) {
  BLOCKDOT_CHECK(lsb <= a.lsb, "extend_lsb from {} to {}", a.lsb, lsb);
  if (lsb == a.lsb) return a;
  const int k = a.lsb - lsb;
  const Int lo = a.lo << static_cast<unsigned>(k), hi = a.hi << static_cast<unsigned>(k);
  if (a.lo == 0 && a.hi == 0) return constant(*a.graph, 0, lsb);
  return make(*a.graph, ops::pad_low(*a.graph, a.node, k), lo, hi, lsb);
}

Fx widen(const Fx& a, const Int& lo, const Int& hi) {
  BLOCKDOT_CHECK(lo <= a.lo && hi >= a.hi, "widen {} to {}", range_text(a.lo, a.hi),
                 range_text(lo, hi));
  return make(*a.graph, field(a, range_width(lo, hi)), lo, hi, a.lsb);
}

Fx assume(const Fx& a, const Int& lo, const Int& hi) {
  return make(*a.graph, field(a, range_width(lo, hi)), lo, hi, a.lsb);
}

Fx add(const Fx& x, const Fx& y) { return sum(*x.graph, {x, y}); }

Fx sub(const Fx& x, const Fx& y) {
  const auto [a, b] = align(x, y);
  const Int lo = a.lo - b.hi, hi = a.hi - b.lo;
  const int width = range_width(lo, hi);
  Graph& g = *a.graph;
  return make(g, ops::sub(g, field(a, width), field(b, width)), lo, hi, a.lsb);
}

Fx neg(const Fx& a) { return sub(constant(*a.graph, 0, a.lsb), a); }

Fx mul(const Fx& a, const Fx& b) {
  if (!a.is_signed() && b.is_signed()) return mul(b, a);
  Graph& g = *a.graph;
  if (a.is_signed() && !b.is_signed() && a.width() > 1) {
    // a = low - sign * 2^w: an unsigned product and one masked subtraction, half of a signed array.
    const int w = a.width() - 1;
    const Fx factor = scale(b, -b.lsb);
    const Fx low = mul(bits(a, 0, w), factor);
    const Fx high = mux(sign(a), factor, constant(g, 0));
    const Fx product = sub(low, scale(high, w));
    return scale(assume(product, std::min(Int(a.lo * b.lo), Int(a.lo * b.hi)),
                        std::max(Int(a.hi * b.lo), Int(a.hi * b.hi))),
                 a.lsb + b.lsb);
  }
  const Int corners[] = {a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi};
  const Int lo = *std::min_element(std::begin(corners), std::end(corners));
  const Int hi = *std::max_element(std::begin(corners), std::end(corners));
  const int width = range_width(lo, hi);
  return make(g, ops::mul(g, field(a, width), field(b, width)), lo, hi, a.lsb + b.lsb);
}

Fx sum(Graph& g, const std::vector<Fx>& terms, const std::optional<Range>& range) {
  BLOCKDOT_CHECK(!terms.empty());
  int lsb = terms.front().lsb;
  for (const Fx& t : terms) lsb = std::min(lsb, t.lsb);
  std::vector<Fx> aligned;
  Int lo = 0, hi = 0;
  for (const Fx& t : terms) {
    aligned.push_back(extend_lsb(t, lsb));
    lo += aligned.back().lo;
    hi += aligned.back().hi;
  }
  if (range) {
    lo = range->lo;
    hi = range->hi;
  }
  const int width = range_width(lo, hi);
  std::vector<NodeId> nodes;
  for (const Fx& t : aligned) nodes.push_back(field(t, width));
  return make(g, ops::sum(g, std::move(nodes), range.has_value()), lo, hi, lsb);
}

Fx shl(const Fx& a, const Fx& s) {
  BLOCKDOT_CHECK(s.lo >= 0 && s.lsb == 0 && s.hi < 65536);
  const auto most = static_cast<unsigned>(s.hi), least = static_cast<unsigned>(s.lo);
  const Int lo = a.lo << (a.lo < 0 ? most : least);
  const Int hi = a.hi << (a.hi < 0 ? least : most);
  Graph& g = *a.graph;
  const NodeId shifted = ops::shl(g, field(a, range_width(lo, hi)), s.node);
  // What is shifted by `least` at least has that many zeros at the bottom.
  return floor_to(make(g, shifted, lo, hi, a.lsb), a.lsb + static_cast<int>(least));
}

Fx shr_floor(const Fx& a, const Fx& s) {
  BLOCKDOT_CHECK(s.lo >= 0 && s.lsb == 0 && s.hi < 65536);
  const auto most = static_cast<int>(s.hi), least = static_cast<int>(s.lo);
  const Int lo = floor_shift(a.lo, a.lo < 0 ? least : most);
  const Int hi = floor_shift(a.hi, a.hi < 0 ? most : least);
  Graph& g = *a.graph;
  NodeId node;
  if (a.is_signed()) {
    // floor(x / 2^s) = ~(~x >> s) for x < 0: both sides of the shift are complemented by the sign.
    const NodeId mask = repeat(sign(a), a.width()).node;
    node = ops::bit_xor(g, ops::lshr(g, ops::bit_xor(g, a.node, mask), s.node), mask);
  } else {
    node = ops::lshr(g, a.node, s.node);
  }
  return make(g, ops::slice(g, node, 0, range_width(lo, hi)), lo, hi, a.lsb);
}

Fx scale(Fx a, int k) {
  a.lsb += k;
  return a;
}

Fx floor_to(const Fx& a, int lsb) {
  if (lsb <= a.lsb) return extend_lsb(a, lsb);
  const int drop = lsb - a.lsb;
  const Int lo = floor_shift(a.lo, drop), hi = floor_shift(a.hi, drop);
  Graph& g = *a.graph;
  if (lo == hi) return constant(g, lo, lsb);
  const int width = range_width(lo, hi);
  return make(g, ops::slice(g, field(a, std::max(a.width(), width + drop)), drop, width), lo, hi,
              lsb);
}

Fx wrap_signed(const Fx& a, int width) {
  return make(*a.graph, field(a, width), -pow2(width - 1), pow2(width - 1) - 1, a.lsb);
}

Fx neg_if(const Fx& negative, const Fx& a) {
  const Int lo = std::min(a.lo, Int(-a.hi)), hi = std::max(a.hi, Int(-a.lo));
  Graph& g = *a.graph;
  const int width = range_width(lo, hi);
  if (lo == hi) return a;
  const NodeId x = field(a, width);
  const NodeId minus = ops::sub(g, ops::constant(g, 0, width), x);
  return make(g, ops::mux(g, negative.node, minus, x), lo, hi, a.lsb);
}

Fx magnitude(const Fx& a) {
  if (!a.is_signed()) return a;
  const Int hi = std::max(abs(a.lo), abs(a.hi));
  Graph& g = *a.graph;
  const int width = std::max(a.width(), range_width(0, hi));
  const NodeId x = field(a, width);
  const NodeId minus = ops::sub(g, ops::constant(g, 0, width), x);
  const NodeId m = ops::mux(g, sign(a).node, minus, x);
  return make(g, ops::slice(g, m, 0, range_width(0, hi)), 0, hi, a.lsb);
}

Fx equal(const Fx& x, const Fx& y) {
  const auto [a, b] = align(x, y);
  const int width = range_width(std::min(a.lo, b.lo), std::max(a.hi, b.hi));
  Graph& g = *a.graph;
  return unsigned_bits(g, ops::eq(g, field(a, width), field(b, width)));
}

Fx less(const Fx& x, const Fx& y) {
  const auto [a, b] = align(x, y);
  Graph& g = *a.graph;
  if (a.hi < b.lo) return constant(g, 1);
  if (a.lo >= b.hi) return constant(g, 0);
  if (a.lo >= 0 && b.lo >= 0) {
    const int width = std::max(a.width(), b.width());
    return unsigned_bits(g, ops::ult(g, field(a, width), field(b, width)));
  }
  return sign(sub(a, b));
}

Fx nonzero(const Fx& a) { return unsigned_bits(*a.graph, ops::orr(*a.graph, a.node)); }
Fx is_zero(const Fx& a) { return not_(nonzero(a)); }

Fx sign(const Fx& a) {
  if (!a.is_signed()) return constant(*a.graph, 0);
  return bit(a, a.width() - 1);
}

Fx mux(const Fx& select, const Fx& if_one, const Fx& if_zero) {
  const auto [a, b] = align(if_one, if_zero);
  const Int lo = std::min(a.lo, b.lo), hi = std::max(a.hi, b.hi);
  const int width = range_width(lo, hi);
  Graph& g = *a.graph;
  return make(g, ops::mux(g, select.node, field(a, width), field(b, width)), lo, hi, a.lsb);
}

Fx at_most(const Fx& a, const Int& most) {
  if (a.hi <= most) return a;
  const Fx bound = constant(*a.graph, most);
  return assume(mux(less(bound, a), bound, a), a.lo < most ? a.lo : most, most);
}

Fx not_(const Fx& a) { return unsigned_bits(*a.graph, ops::bit_not(*a.graph, a.node)); }
Fx and_(const Fx& a, const Fx& b) {
  return unsigned_bits(*a.graph, ops::bit_and(*a.graph, a.node, b.node));
}
Fx or_(const Fx& a, const Fx& b) {
  return unsigned_bits(*a.graph, ops::bit_or(*a.graph, a.node, b.node));
}
Fx xor_(const Fx& a, const Fx& b) {
  return unsigned_bits(*a.graph, ops::bit_xor(*a.graph, a.node, b.node));
}

Fx any_of(Graph& g, const std::vector<Fx>& flags) {
  std::vector<NodeId> kept;
  for (const Fx& f : flags) {
    if (ops::is_ones(g, f.node)) return constant(g, 1);
    if (!ops::is_zero(g, f.node) && std::find(kept.begin(), kept.end(), f.node) == kept.end())
      kept.push_back(f.node);
  }
  if (kept.empty()) return constant(g, 0);
  if (kept.size() == 2) return unsigned_bits(g, ops::bit_or(g, kept[0], kept[1]));
  std::reverse(kept.begin(), kept.end());
  return unsigned_bits(g, ops::orr(g, ops::concat(g, kept)));
}

Fx all_of(Graph& g, const std::vector<Fx>& flags) {
  std::vector<Fx> inverted;
  for (const Fx& f : flags) inverted.push_back(not_(f));
  if (inverted.empty()) return constant(g, 1);
  if (inverted.size() == 2) return and_(flags[0], flags[1]);
  return not_(any_of(g, inverted));
}

Fx bits(const Fx& a, int lo, int width) {
  Graph& g = *a.graph;
  return unsigned_bits(g, ops::slice(g, field(a, std::max(a.width(), lo + width)), lo, width));
}

Fx cat(const std::vector<Fx>& parts) {
  std::vector<NodeId> nodes;
  for (const Fx& p : parts) nodes.push_back(p.node);
  Graph& g = *parts.front().graph;
  return unsigned_bits(g, ops::concat(g, nodes));
}

Fx repeat(const Fx& b, int count) {
  Graph& g = *b.graph;
  return unsigned_bits(g, ops::sext(g, b.node, count));
}

Fx clz(const Fx& a) {
  BLOCKDOT_CHECK(a.lo >= 0);
  Graph& g = *a.graph;
  return make(g, ops::clz(g, a.node), 0, a.width(), 0);
}

Normalized normalize(const Fx& a, std::string_view prefix) {
  BLOCKDOT_CHECK(a.lo >= 0);
  Graph& g = *a.graph;
  const int width = a.width();
  NodeId x = a.node;
  std::vector<Fx> count;
  int step = 1;
  while (2 * step < width) step *= 2;
  for (; step >= 1 && width > 1; step /= 2) {
    const Fx top = unsigned_bits(g, ops::slice(g, x, width - step, step));
    const Fx skip = name(is_zero(top), fmt::format("{}_skip{}", prefix, step));
    x = ops::mux(g, skip.node, ops::pad_low(g, ops::slice(g, x, 0, width - step), step), x);
    g.set_name(x, fmt::format("{}_norm{}", prefix, step));
    count.push_back(skip);
  }
  const Fx value{&g, x, a.lo > 0 ? pow2(width - 1) : Int(0), pow2(width) - 1, a.lsb};
  if (count.empty()) return {value, constant(g, 0)};
  return {value, cat(count)};
}

}  // namespace blockdot::rtl_gen
