// Proofs of what accumulates behind the sum of a multi unit. The unit falls into two halves,
//
//   mode, a, b -> [ beat ] -> sum, NaN and Inf flags -> [ accumulator ] -> result
//
// and each half is then shown alone: a sum that is given has no lanes and no modes.
#pragma once

#include <cstdint>
#include <string>

#include "explore/equivalence.h"
#include "formats/multi_spec.h"
#include "rtl_gen/generate.h"

namespace blockdot::explore {

/// A multi unit with an accumulator, combinational, and its halves of the same structure.
struct MultiHalves {
  rtl_gen::Unit whole, beat, accumulator;
};
MultiHalves multi_halves(const formats::MultiSpec& spec, const rtl_gen::Arch& arch);

/// Whether the whole unit in this mode is its halves one behind the other: every output and what
/// every register takes next, for all inputs and all that the registers hold.
Answer splits(const MultiHalves& halves, int mode, int seconds);

/// Whether a fixed-point accumulator of one word is described by register_step.
bool has_register_step(const formats::Accumulation& accumulation, const rtl_gen::Unit& accumulator);
/// Whether its word goes to fit(word or, on a first beat, zero + floor(sum)) and stays where no
/// beat is, for all sums that a beat can give and all words, against a description written from
/// formats/dot_spec.h.
Answer register_step(const rtl_gen::Unit& accumulator, const formats::MultiSpec& spec, int seconds);

/// Beats of random and extreme sums, whatever lanes can give, against the golden accumulator.
struct AccumulatorRun {
  std::int64_t beats = 0;
  std::int64_t results = 0;
  std::string difference;  // empty: none
};
AccumulatorRun run_accumulator(const rtl_gen::Unit& accumulator, const formats::MultiSpec& spec,
                               std::int64_t beats, std::uint64_t seed);
/// Beats of random and cancelling codes in random modes, of a whole unit whose accumulator takes no
/// sum: an aligned one.
AccumulatorRun run_beats(const rtl_gen::Unit& unit, const formats::MultiSpec& spec,
                         std::int64_t beats, std::uint64_t seed);

}  // namespace blockdot::explore
