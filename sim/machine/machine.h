// Machine: an accelerator as data. How many dot units there are and what feeds them; it never
// changes a result.
//
//            bytes a cycle, latency, burst
//   DRAM  ------------------------------->  [quantiser]  -->  A SRAM, B SRAM  -->  R x C units
//         <-----------------------------------------------------  C SRAM  <------
//
// One channel carries all transfers, one after the other. A and B SRAM have two halves: one feeds
// the array while the other is filled; C's halves take the results of one tile each.
// docs/machine.md has the cycles.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/array/array.h"

namespace blockdot::sim {

/// How operands lie in DRAM: as the unit's block format, or as reals that a quantiser encodes
/// between channel and SRAM.
enum class OperandSource { kPacked, kFp32, kBf16 };
/// Bytes in DRAM of an element that arrives as a real; packed: 0.
int element_bytes(OperandSource source);

struct Machine {
  static constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

  // ---- The array (docs/arrays.md) ----
  int rows = 16, cols = 16;  // 1..1024
  rtl_gen::Dataflow dataflow = rtl_gen::Dataflow::kOutputStationary;
  int banks = 2;   // os: tiles of results that may wait in the array, 1..8
  int depth = 64;  // ws: rows of a tile, 1..65536

  // ---- SRAM ----
  std::int64_t a_sram = 131072, b_sram = 131072, c_sram = 65536;  // bytes, both halves
  /// Words that an SRAM reads (A, B) or writes (C) in one cycle: a word is one unit's operands of
  /// one beat, or one result. 0: as many as the array can use.
  int a_banks = 0, b_banks = 0, c_banks = 0;

  // ---- DRAM ----
  std::int64_t bandwidth = 64;  // bytes a cycle; kUnlimited: every transfer takes one cycle, all
                                // at once, and the latency is 0
  int latency = 100;            // cycles from the channel to the SRAM or back
  int burst = 64;               // bytes; transfers are whole bursts

  // ---- Operands ----
  OperandSource operands = OperandSource::kPacked;
  int quantizer_rate = 32;    // elements a cycle; operands that arrive packed pass beside it
  int quantizer_latency = 8;  // cycles
  std::int64_t k_tile = 0;    // beats of the reduction in a half of A and B; 0: chosen

  bool unlimited() const { return bandwidth == kUnlimited; }
  /// Bytes of operands that arrive in a cycle: the channel's, or fewer where the quantiser at the
  /// edge narrows it.
  std::int64_t load_rate() const;
  bool operator==(const Machine&) const = default;
};

/// `rows=16 cols=16 dataflow=os banks=2 ... k-tile=auto`: every field.
std::string to_text(const Machine& machine);
/// The same form; what is left out has its default. Validated; unknown keys are errors with
/// suggestions.
Machine parse_machine(std::string_view text);
/// ConfigError naming field, value and range.
void validate(const Machine& machine);
std::vector<std::string> machine_keys();

}  // namespace blockdot::sim
