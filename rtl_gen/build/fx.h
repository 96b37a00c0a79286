// The builder: handles that carry an exact integer range and a weight, over the strict-width graph.
//
// An Fx is a node together with what its bits mean: the value is n * 2^lsb for an integer n that is
// proved to lie in [lo, hi]. Every operation computes the range of its result and takes the
// narrowest field for it (two's complement when lo < 0, else unsigned), so nobody writes a width by
// hand. Operands of different weights are aligned by padding zeros.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

struct Fx {
  Graph* graph = nullptr;
  NodeId node{};
  Int lo, hi;   // the integer, inclusive
  int lsb = 0;  // weight of bit 0: value = integer * 2^lsb

  int width() const { return graph->width(node); }
  bool is_signed() const { return lo < 0; }
};

// ---- Sources ----
/// A port read as an unsigned integer of `width` bits.
Fx input(Graph& graph, std::string_view name, int width);
Fx constant(Graph& graph, const Int& value, int lsb = 0);
/// A register that holds integers of [lo, hi]; `reset` empty: not reset.
Fx state(Graph& graph, std::string_view name, const Int& lo, const Int& hi, int lsb = 0,
         const std::optional<Int>& reset = std::nullopt);
/// `value` must fit the state's range.
void set_next(const Fx& state, const Fx& value);
void output(std::string_view name, const Fx& value);
/// Names the node and notes its range.
Fx name(Fx x, std::string_view name);
/// Marks a one-bit value whose pipeline registers are reset.
Fx control(Fx x);

// ---- Arithmetic, exact ----
Fx add(const Fx& a, const Fx& b);
Fx sub(const Fx& a, const Fx& b);
Fx mul(const Fx& a, const Fx& b);
Fx neg(const Fx& a);
/// All terms in one heap, two without a `range` in an adder. `range`, when given, is what the
/// caller knows of the sum beyond the sum of the ranges; terms may then exceed it as long as the
/// total does not.
struct Range {
  Int lo, hi;
};
Fx sum(Graph& graph, const std::vector<Fx>& terms, const std::optional<Range>& range = {});
/// a << s as integers: a * 2^s, s >= 0 unsigned. Signed a allowed.
Fx shl(const Fx& a, const Fx& s);
/// floor(a / 2^s), same weight.
Fx shr_floor(const Fx& a, const Fx& s);
/// The value times 2^k: no hardware.
Fx scale(Fx a, int k);
/// The same value with bit 0 at weight `lsb` <= a.lsb.
Fx extend_lsb(const Fx& a, int lsb);
/// floor to a multiple of 2^lsb.
Fx floor_to(const Fx& a, int lsb);
/// The same value in a field for [lo, hi], a range that contains a's.
Fx widen(const Fx& a, const Int& lo, const Int& hi);
/// The caller knows that the integer lies in [lo, hi]: higher bits are dropped.
Fx assume(const Fx& a, const Int& lo, const Int& hi);
/// The low `width` bits read as two's complement.
Fx wrap_signed(const Fx& a, int width);
/// -a where `negative` (1 bit), else a; in one subtraction.
Fx neg_if(const Fx& negative, const Fx& a);
/// |a|.
Fx magnitude(const Fx& a);

// ---- Comparisons and selection; booleans are unsigned [0, 1] ----
Fx equal(const Fx& a, const Fx& b);
Fx less(const Fx& a, const Fx& b);
Fx nonzero(const Fx& a);
Fx is_zero(const Fx& a);
/// 1 where a < 0.
Fx sign(const Fx& a);
Fx mux(const Fx& select, const Fx& if_one, const Fx& if_zero);
/// min(a, most) of an unsigned a.
Fx at_most(const Fx& a, const Int& most);
Fx not_(const Fx& a);
Fx and_(const Fx& a, const Fx& b);
Fx or_(const Fx& a, const Fx& b);
Fx xor_(const Fx& a, const Fx& b);
Fx any_of(Graph& graph, const std::vector<Fx>& flags);
Fx all_of(Graph& graph, const std::vector<Fx>& flags);

// ---- Bits ----
/// Bits [lo, lo + width) as an unsigned integer of weight 0.
Fx bits(const Fx& a, int lo, int width);
inline Fx bit(const Fx& a, int i) { return bits(a, i, 1); }
/// The first part on top; an unsigned integer.
Fx cat(const std::vector<Fx>& parts);
/// `count` copies of a bit.
Fx repeat(const Fx& bit, int count);
/// Zeros above the top one.
Fx clz(const Fx& a);

/// An unsigned integer shifted left until its top bit is one, and by how much; zero stays zero with
/// the largest shift. One pass: each power of two decides its shift and its count bit at once.
struct Normalized {
  Fx value;  // same width and top weight as the argument
  Fx shift;
};
Normalized normalize(const Fx& a, std::string_view prefix);

/// Text of a range: "-144..144", "0..2^70-1".
std::string range_text(const Int& lo, const Int& hi);

}  // namespace blockdot::rtl_gen
