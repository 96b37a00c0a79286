// What can be shown of a design point's unit, and how surely: proved for all inputs, or sampled.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "explore/design.h"

namespace blockdot::explore {

enum class Verdict {
  kProved,   // for every input that the step speaks of
  kSampled,  // no difference in `cases` cases
  kOpen,     // neither: a time limit, or no tool
  kFailed,   // a difference, explained in `how`
};
/// "proved", "sampled", "open", "FAILED".
std::string_view to_text(Verdict verdict);

/// One thing shown.
struct ProofStep {
  std::string what;  // "lanes", "sum", "beats", "netlist"...
  Verdict verdict = Verdict::kOpen;
  std::string how;         // one sentence: what was compared with what
  std::int64_t cases = 0;  // inputs tried, or inputs that the proof covers where they were counted
  double seconds = 0;
};

struct ProveOptions {
  // Sampled beats of the whole unit, at least. None: 200'000 Verilated ones, 2000 in Icarus.
  std::optional<std::int64_t> beats;
  int solver_seconds = 60;  // for the equivalence checker
  bool netlist = false;     // synthesise to OSU 0.18 um and simulate the gates
  std::uint64_t seed = 1;   // of the samples
  // Called with the step at work and the share of all of them that is done.
  std::function<void(std::string_view step, double done)> progress;
  // Of tests: changes every module as it was generated, before anything is shown of it.
  std::function<void(std::string& verilog)> alter;
};

/// The steps, in this order, each where it applies:
///
///   lint       verilator -Wall and iverilog -Wall have nothing to say of the design.
///   lanes      the block dot of the point's formats with its number of lanes, combinational: every
///              pair of codes of the contract in every lane, with every second-level exponent of
///              its group and under every count of lanes, the other lanes and all scales zero,
///              against the golden model: sum_o and nan_o (exhaustive up to 18 bits a pair, else
///              sampled). Not of multi and fused units and quantizers.
///   sum        dots: sum_o of that block dot is a constant and a part of each lane, for all
///   inputs,
///              and no scale has a part in it; nan_o is the OR of what each lane and the scales
///              raise (explore/additivity.h; where that cannot say, by equivalence of
///              and-inverter graphs of 2, 4, 8... lanes, ABC). With `lanes` this is sum_o, and the
///              NaN of elements, for all inputs; scale_o and the NaN of scales are sampled behind.
///              Multi units: with `pairs`, sum and flags in every mode.
///   pairs      multi and fused units, combinational: every pair of codes in each lane and mode,
///   the
///              others zero. Of a fused unit no more is proved: not two at once, nor any addend. Of
///              a multi unit with an accumulator this and `sum` are of the half of the unit in
///              front of the accumulator, with its NaN and Inf flags; of an aligned one, which has
///              no such half, `pairs` is of results of one beat.
///   split      multi units with an accumulator: in every mode the unit, combinational, is that
///              half and an accumulator behind it: outputs and next registers, for all inputs and
///              all that registers hold (ABC; explore/accumulator_proof.h).
///   register   of those, Kulisch and windows whose word is one register: what the word takes
///              next, for all words and all sums that a beat can give, against a description in
///              Verilog (ABC).
///   accumulator  of those: random and extreme sums and flags, whatever lanes can give, into the
///              accumulator alone: results, rounding included, against the golden accumulator.
///   values     quantizers, combinational: every bfloat16 in the first place of a block, the others
///              zero, against the definition in `formats`.
///   beats      dot units in lock-step with the golden model: random and extreme beats.
///   vectors    all others: the testbench that ships with them, in Icarus: values, the stated
///              cycles, and of streams and arrays stalls on either side.
///   netlist    the gates after synthesis, under the same testbench: 256 results.
///
/// ConfigError naming the package where a tool is missing.
std::vector<ProofStep> prove(const DesignPoint& point, const ProveOptions& options);

}  // namespace blockdot::explore
