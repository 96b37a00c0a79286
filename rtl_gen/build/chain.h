// Sums on carry chains (FPGA). A LUT of six inputs sits before every bit of a carry chain: it makes
// the exclusive or of one ready bit and one bit of logic of up to five inputs, so the last step of
// a term (its sign, a Booth digit, the choice of its place) costs nothing beside its addition.
//
//   carry chain bit j:   LUT6 = ready[j] ^ logic_j(5 inputs)      sum[j] = LUT6 ^ carry[j]
//
// Yosys takes the operand of fewer pieces for the ready one; the row is therefore written bit by
// bit. The carry into the chain is free: both operands carry it below their last bit.
#pragma once

#include <string_view>
#include <vector>

#include "rtl_gen/build/fx.h"

namespace blockdot::rtl_gen {

/// A row of single bits, the lowest first, still logic: value in [lo, hi] at `lsb`, two's
/// complement when lo < 0. With `carry` (1 bit) the row's value is that of its bits plus carry.
struct ChainRow {
  std::vector<NodeId> bits;
  NodeId carry;
  Int lo, hi;
  int lsb = 0;
};

/// The bits of a word as a row, each complemented where `negative`: the word, or minus the word.
ChainRow row_of(const Fx& word, const Fx& negative);

/// ready + row, exact. `ready` may reach below the row: those bits pass.
Fx add_row(const Fx& ready, const ChainRow& row, std::string_view name);

/// Signed words, each meant times (-1)^sign, added in pairs relative to the first of the pair; the
/// last one is negated by its sign. Terms of one unit.
struct SignedWord {
  Fx word;  // unsigned or signed
  Fx sign;  // 1 bit
};
/// `chain`: so many words are taken one after the other before the tree. The sign is that of the
/// first word, whatever the words.
SignedWord sum_to_sign(std::vector<SignedWord> words, int chain, std::string_view name);
Fx sum_relative(Graph& graph, std::vector<SignedWord> words, int chain, std::string_view name);

/// The same for rows that share nothing: chains of `chain` rows, then a tree. Rows of one lsb.
Fx sum_rows(Graph& graph, const std::vector<ChainRow>& rows, int chain, std::string_view name);

}  // namespace blockdot::rtl_gen
