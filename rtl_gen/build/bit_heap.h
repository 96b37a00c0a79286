// A bit heap: weighted bits whose sum, modulo 2^width, is wanted.
//
// Columns are compressed by 3:2 and 2:2 counters along Dadda's heights (2, 3, 4, 6, 9, 13, ...),
// the fewest levels there are, and one adder joins the last two rows. Counters that sit side by
// side on the same words are emitted as one word-wide step, so a regular heap stays readable:
//
//   a ^ b ^ c                the sum row
//   (a & b) | (c & (a ^ b))  the carry row, one column up
//
// Where carry chains are cheap (FPGA), words are added by a binary tree of adders instead.
#pragma once

#include <string>
#include <vector>

#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

enum class SumStyle { kCompress, kAdderTree };

class BitHeap {
 public:
  /// `name`: prefix of the names of the rows it makes.
  BitHeap(Graph& graph, int width, std::string name);

  /// Adds `term` * 2^weight. Looks through concatenations, constants and sign extensions: a sign
  /// bit s of weight w counts as (~s) * 2^w - 2^w, and all constants join into one.
  void add(NodeId term, int weight = 0);
  void add_constant(const Int& value) { constant_ += value; }

  /// The sum modulo 2^width.
  NodeId sum(SumStyle style);

  /// Levels of counters that the last sum() took.
  int levels() const { return levels_; }

 private:
  struct Bit {
    NodeId word;
    int index;
  };
  struct Row {
    NodeId word;
    int weight;
  };

  void add_bits(NodeId word, int weight);
  void compress();
  std::vector<Row> rows();
  NodeId join(const std::vector<Bit>& column_bits) const;
  NodeId add_rows(const Row& low, const Row& high, Row& out);
  NodeId total_of_rows(std::vector<Row> rows);
  void label(NodeId node, const char* kind, int level, int counter);

  Graph& graph_;
  int width_;
  std::string name_;
  Int constant_ = 0;
  std::vector<std::vector<Bit>> columns_;
  std::vector<Row> words_;  // as added, for the adder tree
  int levels_ = 0;
};

}  // namespace blockdot::rtl_gen
