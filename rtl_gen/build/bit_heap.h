// A bit heap: weighted bits whose sum, modulo 2^width, is wanted.
//
// Columns are compressed by 3:2 and 2:2 counters along Dadda's heights (2, 3, 4, 6, 9, 13, ...),
// the fewest levels there are, and one adder joins the last two rows. Counters that sit side by
// side on the same words are emitted as one word-wide step, so a regular heap stays readable:
//
//   a ^ b ^ c                the sum row
//   (a & b) | (c & (a ^ b))  the carry row, one column up
//
// Where the netlist matters more than the text, columns are compressed bit by bit instead, from the
// lowest up, always the three bits that are there first (Oklobdzija's three-greedy method); a last
// bit that comes late waits for the final adder, the other two go through a half adder.
//
// A column of six bits or more may go through 6:3 counters first: no exclusive or stands before
// their carries, and on an FPGA each of the three outputs is one LUT.
//
// Where carry chains are cheap (FPGA), words are added by a binary tree of adders. For a generic
// technology single bits that are many are too: `+` is what any synthesiser maps best.
#pragma once

#include <string>
#include <vector>

#include "rtl_gen/build/adders.h"
#include "rtl_gen/cost/cost.h"
#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

enum class SumStyle {
  kCompress,   // words of counters, Dadda's heights
  kTimed,      // single counters by arrival time
  kAdderTree,  // a binary tree of adders
};

/// How sums are built.
struct SumOptions {
  SumOptions(SumStyle sum_style = SumStyle::kCompress) : style(sum_style) {}

  SumStyle style;
  AdderStyle adder = AdderStyle::kPlus;          // of the last two rows
  bool cells = false;                            // full adders are kFullAdd nodes
  bool half_cells = false;                       // half adders too
  bool six = false;                              // 6:3 counters first; not in kCompress
  Technology technology = Technology::kGeneric;  // whose delays decide in kTimed
};

class BitHeap {
 public:
  /// `name`: prefix of the names of the rows it makes.
  BitHeap(Graph& graph, int width, std::string name);

  /// Adds `term` * 2^weight. Looks through concatenations, constants and sign extensions: a sign
  /// bit s of weight w counts as (~s) * 2^w - 2^w, and all constants join into one.
  void add(NodeId term, int weight = 0);
  void add_constant(const Int& value) { constant_ += value; }

  /// The sum modulo 2^width.
  NodeId sum(const SumOptions& options);

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
  void compress_by_time(const SumOptions& options);
  void compress_sixes();
  NodeId total_by_time(const SumOptions& options);
  std::vector<Row> rows();
  NodeId join(const std::vector<Bit>& column_bits) const;
  Row add_rows(const Row& x, const Row& y, bool last);
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
