// The machine, cycle by cycle, in SystemC: clocked modules that hand each other words over
// valid/ready.
//
//                 +--------+   +---------------+ in (os) / w, a (ws)  +-------+ rows  +---------+
//   DRAM image <->|  Dma   |-->| A, B: Feeders |--------------------->| Array |------>| Results
//   |--+
//                 |channel |   +---------------+                      +-------+       |    C    | |
//                 +--------+                     start: Sequencer --------^           +---------+ |
//                     ^------------------------------------------------------------------------------+
//
// Operands really move: the DMA copies codes and scales from DRAM into SRAM (through the quantiser
// where they arrive as reals), a feeder from there into a beat's registers, and the array computes
// each tile from the words that it was handed. What the closed form (sim/machine/cycles.h) says of
// cycles and causes must be what happens here.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "formats/quantize.h"
#include "sim/machine/cycles.h"
#include "sim/machine/schedule.h"

namespace blockdot::sim {

/// What DRAM holds: packed operands, or reals for the quantiser at the edge.
struct MachineOperands {
  const formats::QuantizedMatrix* a = nullptr;  // packed
  const formats::QuantizedMatrix* b = nullptr;
  formats::MatrixView a_reals, b_reals;  // else
  formats::QuantizeOptions a_options = {}, b_options = {};
};

/// Words side by side: one unit's operands of one beat each.
class WordRow {
 public:
  WordRow() = default;
  WordRow(const formats::BlockFormat& format, int lanes, int code_bytes, std::int64_t words);

  int lanes() const { return lanes_; }
  int micros() const { return micros_; }
  std::uint32_t code(std::int64_t word, int lane) const;
  std::uint32_t scale(std::int64_t word) const { return scales_[index(word)]; }
  std::uint8_t micro(std::int64_t word, int group) const {
    return micro_[index(word * micros_ + group)];
  }
  /// Word `to` becomes word `from` of `source`.
  void copy(std::int64_t to, const WordRow& source, std::int64_t from);
  /// Word `to` becomes beat `range` of a row of a matrix whose first element is element `origin`.
  void load(std::int64_t to, const formats::QuantizedMatrix& matrix, std::int64_t row,
            std::int64_t origin, const formats::BeatRange& range);
  /// The word becomes beat `range` of a row of a matrix.
  void unload(std::int64_t from, formats::QuantizedMatrix& matrix, std::int64_t row,
              const formats::BeatRange& range) const;

 private:
  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

  int lanes_ = 0, code_bytes_ = 1, micros_ = 0, micro_block_ = 0, micro_bits_ = 0;
  std::vector<std::uint8_t> codes_;
  std::vector<std::uint32_t> scales_;
  std::vector<std::uint8_t> micro_;
};

/// What the array's borders showed in one cycle.
struct ArrayBorders {
  struct Offer {
    bool valid = false, ready = false;
    const WordRow* words = nullptr;            // of the offer
    std::int64_t count = 0;                    // words that mean something
    std::int64_t tile = 0, beat = 0, row = 0;  // first beat of the words; ws: row of a
  };
  std::int64_t cycle = 0;
  bool start_valid = false, start_ready = false;
  std::int64_t start_beats = 0, start_rows = 0, start_cols = 0;
  Offer a, b;  // os: both are one offer
  bool out_valid = false, out_ready = false, out_last = false;
  std::span<const std::uint32_t> out_row;  // codes, one a column of the array
  std::int64_t out_tile = 0, out_number = 0;
};

/// Looks at every cycle.
class ArrayWatcher {
 public:
  virtual ~ArrayWatcher() = default;
  virtual void cycle(const ArrayBorders& borders) = 0;
};

struct MachineOptions {
  /// Share of cycles, in [0, 1), in which a channel begins no offer, takes nothing or moves no
  /// data.
  double stalls = 0;
  std::uint64_t seed = 1;
  ArrayWatcher* watcher = nullptr;
};

struct MachineRun {
  std::vector<std::uint32_t> codes;  // [m][n], as they came back to DRAM
  CycleCount count;                  // with stalls, those cycles are counted as back-pressure
  std::int64_t beats = 0;            // os: beats, ws: rows of passes that the array took
  std::int64_t stalled = 0;          // random stalls
};

/// ConfigError for options out of range and stochastic quantisers at the edge. Not to be called
/// from two threads at once: SystemC has one simulation at a time in a process.
MachineRun run_machine(const Schedule& schedule, const MachineOperands& operands,
                       const MachineOptions& options = {});

}  // namespace blockdot::sim
