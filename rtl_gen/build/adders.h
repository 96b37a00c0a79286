// Carry-propagate adders written out in gates: ABC turns the `+` of a library without adders into a
// near ripple, so where the netlist matters the prefix tree is spelled out.
//
//   generate g = x & y, propagate p = x | y;   (g, p) o (g', p') = (g | (p & g'), p & p')
//
// ABC flattens such a tree too, where logic around it is large. Between groups a carry can be the
// majority of what the group gives without and with a carry from below; as a full adder cell it
// stays where it was put.
//
// Positions that one level changes are gathered into words, so that a level takes two or three
// lines of Verilog.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

enum class AdderStyle {
  kPlus,        // the `+` operator: the synthesiser decides
  kRipple,      // one full adder a bit
  kBrentKung,   // 2 log n levels, fewest gates
  kSklansky,    // log n levels, fan-out up to n/2
  kKoggeStone,  // log n levels, fan-out 2, most gates
  kSparse,      // groups of a few bits; a Sklansky tree of full adders between them
};

/// x + y + carry, modulo 2^width. `cells`: a ripple and the tree of kSparse take kFullAdd nodes.
NodeId add_words(Graph& graph, AdderStyle style, NodeId x, NodeId y, std::optional<NodeId> carry,
                 bool cells, const std::string& name);

/// One bit of a word.
struct WordBit {
  NodeId word;
  int index;
};
/// The bits as one word, the first lowest; neighbours are sliced together and repeats replicated.
NodeId join_bits(Graph& graph, const std::vector<WordBit>& bits);

}  // namespace blockdot::rtl_gen
