// What moves between a machine's SRAM and its array, and what an array's borders show in a cycle:
// for whoever stands beside the SystemC machine and compares.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/quantize.h"

namespace blockdot::sim {

/// Words side by side: one unit's operands of one beat each.
class WordRow {
 public:
  WordRow() = default;
  WordRow(const formats::BlockFormat& format, int lanes, int code_bytes, std::int64_t words);

  int lanes() const { return lanes_; }
  int micros() const { return micros_; }
  std::uint32_t code(std::int64_t word, int lane) const;
  std::uint32_t scale(std::int64_t word) const { return scales_[index(word)]; }
  std::uint32_t outer(std::int64_t word) const { return outers_[index(word)]; }
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
  std::uint8_t zero_code_ = 0;  // not 0 in code books only, whose codes are bytes
  std::vector<std::uint8_t> codes_;
  std::vector<std::uint32_t> scales_, outers_;
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

}  // namespace blockdot::sim
