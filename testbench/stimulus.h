// Stimulus: the beats that the proofs drive units with. Nothing here is an oracle: a value that
// misses its aim is only a less interesting one.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/dot_spec.h"
#include "models/beats.h"

namespace blockdot::testbench {

/// What a unit sees in one clock cycle. A bubble (not valid) carries garbage, which must not count.
struct Cycle {
  bool valid = false;
  bool first = false;
  bool last = false;
  models::BeatBuffer data;

  models::Beat beat() const { return data.beat(first, last); }
};

using Stimulus = std::vector<Cycle>;

/// The corners by construction:
///   zeros; largest and smallest elements at the lowest, middle and highest scales; sums that
///   cancel inside a beat and between beats; ties, their neighbours and the tails below them around
///   every border of the output and of the accumulator; overflow by one step; the longest frame of
///   the largest terms; NaN and Inf in either operand and scale, zero times Inf, Infs of both
///   signs; frames of one beat and of many, back to back and with bubbles, and one that is given
///   up.
Stimulus directed_stimulus(const formats::DotSpec& spec);

/// `frames` results from a stream of this seed. A frame aims at a magnitude (the output's
/// subnormals, its ordinary range, its overflow, the accumulator's borders) and spreads its beats
/// over the digits below; its elements are of one flavour: any code, powers of two, extremes,
/// sparse, cancelling, or with NaN, Inf and zero scales.
Stimulus random_stimulus(const formats::DotSpec& spec, std::uint64_t seed, int frames);

/// Beats drawn uniformly from all codes but the unused ones, one frame a beat.
Stimulus uniform_stimulus(const formats::DotSpec& spec, std::uint64_t seed, int frames);

}  // namespace blockdot::testbench
