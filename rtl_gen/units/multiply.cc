// Radix 4 after Booth: digit i of x looks at bits 2i+1, 2i and 2i-1,
//
//   minus = x[2i+1]    one = x[2i] ^ x[2i-1]    two = ~one & (x[2i+1] ^ x[2i])
//   row   = one ? y ^ minus : two ? 2y ^ minus : 0, and + minus where the digit is not zero
//
// The lowest bit of row + minus does not depend on minus, so it and the carry out of it are made
// directly. The top bit of a row weighs minus its place.
#include "rtl_gen/units/multiply.h"

#include <fmt/format.h>

#include "formats/error.h"
#include "rtl_gen/build/ops.h"
#include "rtl_gen/units/decode.h"

namespace blockdot::rtl_gen {
namespace {

Fx from_node(Graph& g, NodeId node, const Int& hi) { return {&g, node, 0, hi, 0}; }

// x times the bits of y two at a time: with x of at most four bits every bit of such a product is
// one LUT of six inputs; wider ones are added row by row on carry chains.
Fx multiply_on_luts(Graph& g, const Fx& x, const Fx& y, std::string_view name) {
  if (x.width() < y.width()) return multiply_on_luts(g, y, x, name);
  const int step = x.width() <= 4 ? 2 : 1;
  const Fx zero = constant(g, 0);
  Fx total = zero;
  for (int i = 0; i < y.width(); i += step) {
    const bool two = step == 2 && i + 1 < y.width();
    Fx part = and_(x, repeat(bit(y, i), x.width()));
    if (two) {
      const Fx high = and_(x, repeat(bit(y, i + 1), x.width()));
      const int width = x.width() + 2;
      part = from_node(
          g,
          add_words(g, AdderStyle::kRipple, ops::zext(g, part.node, width),
                    ops::zext(g, ops::pad_low(g, high.node, 1), width), std::nullopt, false, ""),
          (pow2(x.width()) - 1) * 3);
    }
    total = i == 0 ? part
                   : add_row(total, row_of(scale(part, i), zero), fmt::format("{}_r{}", name, i));
  }
  return assume(total, 0, x.hi * y.hi);
}

Fx multiply_array(Graph& g, const Fx& x, const Fx& y, const Structure& s, Technology technology,
                  std::string_view name) {
  const Int most = x.hi * y.hi;
  if (x.width() == 2 && y.width() == 2) {
    // x1 y0 and x0 y1 both one: then so are x0 y0 and x1 y1, which carry on.
    const Fx low = and_(bit(x, 0), bit(y, 0)), high = and_(bit(x, 1), bit(y, 1));
    const Fx middle = xor_(and_(bit(x, 1), bit(y, 0)), and_(bit(x, 0), bit(y, 1)));
    Fx product = cat({and_(low, high), and_(high, not_(low)), middle, low});
    return assume(product, 0, most);
  }
  BitHeap heap(g, range_width(0, most), std::string(name));
  for (int i = 0; i < y.width(); ++i) heap.add(and_(x, repeat(bit(y, i), x.width())).node, i);
  SumOptions options = sum_options(s, technology);
  options.style = SumStyle::kTimed;
  options.adder = AdderStyle::kRipple;
  return from_node(g, heap.sum(options), most);
}

struct Digit {
  Fx minus, one, two;
};

Digit booth_digit(const Fx& x, int i) {
  const int n = x.width();
  const auto at = [&](int k) { return k < 0 ? constant(*x.graph, 0) : bit(x, std::min(k, n - 1)); };
  const Fx one = xor_(at(2 * i), at(2 * i - 1));
  return {at(2 * i + 1), one, and_(not_(one), xor_(at(2 * i + 1), at(2 * i)))};
}

}  // namespace

Fx multiply(Graph& g, const Fx& x, const Fx& y, const Structure& s, Technology technology,
            std::string_view label) {
  const bool plain = s.multiplier == Multiplier::kWord || x.width() == 1 || y.width() == 1;
  if (plain) return name(mul(x, y), label);
  const Fx product = technology == Technology::kXilinx
                         ? multiply_on_luts(g, x, y, label)
                         : multiply_array(g, x, y, s, technology, label);
  return name(product, label);
}

namespace {

constexpr int kTableBits = 8;

// Of a code as the table reads it.
int index_bits(const formats::ElementFormat& f) {
  const bool own_sign =
      f.kind == formats::ElementKind::kMinifloat || f.kind == formats::ElementKind::kSignMagnitude;
  return f.width() - (own_sign ? 1 : 0);
}

}  // namespace

int table_bits(const formats::ElementFormat& a, const formats::ElementFormat& b) {
  const int bits = index_bits(a) + index_bits(b);
  return bits <= kTableBits ? bits : 0;
}

Fx product_table(const formats::ElementFormat& a, const formats::ElementFormat& b, const Fx& code_a,
                 const Fx& code_b, std::string_view label) {
  const bool integers =
      a.kind == formats::ElementKind::kInteger && b.kind == formats::ElementKind::kInteger;
  const auto value = [&](const formats::ElementFormat& f, std::uint32_t code) -> Int {
    const Int magnitude = magnitude_of(f, code);
    const bool negative = integers && (code >> static_cast<unsigned>(f.int_bits - 1)) != 0;
    return negative ? Int(-magnitude) : magnitude;
  };
  std::vector<Int> table;
  for (std::uint32_t x = 0; x < 1u << static_cast<unsigned>(index_bits(a)); ++x)
    for (std::uint32_t y = 0; y < 1u << static_cast<unsigned>(index_bits(b)); ++y)
      table.push_back(value(a, x) * value(b, y));
  const Fx index = cat({bits(code_a, 0, index_bits(a)), bits(code_b, 0, index_bits(b))});
  return name(lookup(*code_a.graph, index, table), label);
}

void array_rows(const Fx& a, const Fx& b, std::string_view label, std::vector<Fx>& terms) {
  Graph& g = *a.graph;
  const int n = a.width();
  const Fx b0 = scale(b, -b.lsb);
  for (int i = 0; i < n; ++i) {
    const Fx masked = name(mux(bit(a, i), b0, constant(g, 0)), fmt::format("{}_{}", label, i));
    if (i + 1 < n) {
      terms.push_back(scale(masked, i));
      continue;
    }
    // The sign bit weighs -2^(n-1): -x = ~x + 1.
    Fx inverted = not_(masked);
    inverted.lo = -pow2(masked.width() - 1);
    inverted.hi = pow2(masked.width() - 1) - 1;
    terms.push_back(scale(inverted, i));
    terms.push_back(scale(constant(g, 1), i));
  }
}

int booth_digits(const Fx& x) { return (x.width() + 1) / 2; }

// A bit b of weight w in a sum that is negated: -b w = ~b w - w.
void booth_terms(const Fx& x, const Fx& y, std::string_view label, std::vector<Fx>& terms) {
  Graph& g = *x.graph;
  const int m = y.width();
  const auto negated = [&](const Fx& inverted, int weight) {
    terms.push_back(scale(inverted, weight));
    terms.push_back(scale(constant(g, 1 - pow2(inverted.width())), weight));
  };
  for (int i = 0; i < booth_digits(x); ++i) {
    const std::string row = fmt::format("{}_{}", label, i);
    const Digit d = booth_digit(x, i);
    const Fx one = name(d.one, row + "_one"), two = name(d.two, row + "_two");
    const Fx word = bits(y, 0, m);
    const Fx turned = name(xor_(word, repeat(d.minus, m)), row + "_turned");
    // Bits 1..m of the row.
    const Fx single = m > 1 ? cat({bit(turned, m - 1), bits(turned, 1, m - 1)}) : turned;
    const Fx chosen = name(or_(and_(single, repeat(one, m)), and_(turned, repeat(two, m))), row);
    const Fx lowest = name(not_(and_(one, bit(word, 0))), row + "_low");
    const Fx carry = not_(and_(d.minus, or_(two, and_(one, not_(bit(word, 0))))));
    negated(lowest, 2 * i);
    negated(carry, 2 * i + 1);
    if (m > 1) negated(not_(bits(chosen, 0, m - 1)), 2 * i + 1);
    terms.push_back(scale(bit(chosen, m - 1), 2 * i + m));
  }
}

ChainRow booth_row(const Fx& x, const Fx& y, int i) {
  Graph& g = *x.graph;
  const int m = y.width();
  const Digit d = booth_digit(x, i);
  ChainRow row;
  for (int j = 0; j <= m; ++j) {
    const Fx single = bit(y, std::min(j, m - 1));
    const Fx twice = j == 0 ? constant(g, 0) : bit(y, j - 1);
    row.bits.push_back(xor_(or_(and_(d.one, single), and_(d.two, twice)), d.minus).node);
  }
  row.carry = d.minus.node;
  const Int most = std::max(abs(y.lo), abs(y.hi)) * 2;
  row.lo = -most;
  row.hi = most;
  row.lsb = 2 * i;
  return row;
}

}  // namespace blockdot::rtl_gen
