// Arrays of R x C dot units with a control FSM: a tile of a matrix product for each start.
//
//   result (i, j) = dot(row i of a, row j of b),  i < rows <= R (or the depth),  j < columns <= C
//
// Output-stationary (os): unit (r, c) keeps result (r, c). Beat k brings beat k of R rows of a and
// of C rows of b; a moves to the right, b downwards, one unit a cycle, row r and column c entering
// r and c cycles late. Finished results wait in one of B banks of registers and leave row by row.
//
// Weight-stationary (ws): K runs down the rows and N along the columns. Unit (r, c) holds beat
// kt * R + r of row c of b while the rows of a stream through from the left; partial sums go down a
// column. A reduction of more than R beats takes several passes; the partial sums of a pass wait in
// a buffer of `depth` rows under each column and enter at the top of the next pass, so every result
// takes its beats in the order of K and equals the dot unit's bit for bit, whatever its
// accumulator.
//
// Every border is valid/ready, a stall anywhere changes no result. docs/arrays.md has the ports and
// the cycles; array_cycles is their closed form.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/emit/shell.h"
#include "rtl_gen/generate.h"

namespace blockdot::rtl_gen {

enum class Dataflow { kOutputStationary, kWeightStationary };
/// "os", "ws".
std::string_view to_text(Dataflow dataflow);
Dataflow parse_dataflow(std::string_view text);

inline constexpr int kMostArrayUnits = 64;  // rows, and columns
inline constexpr int kMostArrayBanks = 8;
inline constexpr int kMostArrayDepth = 65536;

struct ArraySpec {
  formats::DotSpec unit;
  int rows = 4, cols = 4;
  Dataflow dataflow = Dataflow::kOutputStationary;
  int banks = 2;   // os: tiles that may wait for their drain, 1..8
  int depth = 64;  // ws: rows of a tile that the partial sums' buffer holds, 1..65536
};

/// What cycles depend on.
struct ArrayTiming {
  Dataflow dataflow = Dataflow::kOutputStationary;
  int rows = 1, cols = 1;
  int unit = 1;                        // os: latency of a unit
  int banks = 2;                       // os
  int term = 1, step = 1, finish = 1;  // ws: latencies of the three parts of a unit
  int depth = 1;                       // ws

  /// ws: cycles from a row of a to its results.
  int through() const { return cols - 1 + term + rows * step + finish; }
  /// ws: a row of a must enter a pass this many cycles or more after it entered the one before.
  int turn() const { return rows * step + 2; }
  /// ws: cycles after a pass has begun in which no weights of the next one are taken.
  int hold() const { return std::max(0, (rows - 1) * (step - 1) - 1); }
};

/// One start.
struct ArrayTile {
  std::int64_t beats = 1;  // of the reduction
  std::int64_t rows = 1;   // os: 1..R; ws: 1..depth
};
/// Cycles from the one that accepts the first start to the one that hands over the last row of
/// results, both counted, where every border is always willing.
std::int64_t array_cycles(const ArrayTiming& timing, std::span<const ArrayTile> tiles);

struct Array {
  ArraySpec spec;
  std::string top;
  ArrayTiming timing;
  std::vector<Port> ports;
  std::vector<ModuleFile> files;  // the top first
  std::vector<Unit> units;  // os: the dot unit; ws: term, step, finish, and random where it draws
  std::vector<std::int64_t> counts;  // instances of each
  std::int64_t shell_register_bits = 0;
  std::int64_t memory_bits = 0;  // ws: the partial sums and the result queue
  int sum_width = 0;             // ws: bits of a partial sum
  Figure area;                   // the units' and the shell's registers, without memories
  /// With stochastic rounding: state of each random stream after reset. Units have one each, row by
  /// row; ws with a draw a result: columns.
  std::vector<std::uint64_t> seeds;
  std::uint64_t seed_distance = 0;  // steps from one stream to the next

  std::string verilog() const;  // all files one after the other
};

/// ConfigError as generate; sizes out of range; streams that would share the bits of a draw; a
/// combinational arch.
Array generate_array(const ArraySpec& spec, const Arch& arch, std::string_view top = "array");

/// Schema "blockdot.array/1".
nlohmann::json to_json(const Array& array);

}  // namespace blockdot::rtl_gen
