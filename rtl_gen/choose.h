// The choice of a structure: what is valid for a spec, and which of the valid ones the cost model
// prefers.
#pragma once

#include <string>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/multi_spec.h"
#include "rtl_gen/units/structure.h"

namespace blockdot::rtl_gen {

/// A structure without open fields, and what the cost model says of a block dot built so.
struct Candidate {
  Structure structure;
  double area = 0;      // CostModel::area_unit
  double delay_ns = 0;  // combinational
};

/// The valid structures that keep the fields which `wanted` sets, each estimated as a block dot of
/// `lanes` lanes, the best first by what `wanted.goal` and the technology count (Goal). ConfigError
/// when there is none: names the fields that contradict each other or the spec.
std::vector<Candidate> candidates(const formats::DotSpec& spec, Technology technology,
                                  const Structure& wanted, int lanes);
/// The same of a unit of several formats without its accumulator, and of a fused unit as a whole.
std::vector<Candidate> candidates(const formats::MultiSpec& spec, Technology technology,
                                  const Structure& wanted, int lanes);

/// The choice and what it rests on.
struct Choice {
  Structure structure;                // no field left open
  int lanes = 0;                      // of the candidates
  std::vector<Candidate> candidates;  // the best first; empty where nothing was left to weigh
  std::string reason;                 // one sentence
  /// Where a float accumulator rounds stochastically: units with lazy and with eager rounding, the
  /// best first; one where it was given.
  std::vector<Candidate> roundings;
  std::string rounding_reason;  // one clause, where there are any
};

/// `wanted` with every open field chosen: the best of the candidates of a few lanes. Technology
/// generic takes words and operators, for whatever synthesiser comes.
Choice choose(const formats::DotSpec& spec, Technology technology, const Structure& wanted);
Choice choose(const formats::MultiSpec& spec, Technology technology, const Structure& wanted);

/// How the accumulator of a dot unit is kept (Structure::segment), and why.
struct SegmentChoice {
  int segment = kAutoSegment;  // auto: one word will do
  double clock_ns = 0;         // the fastest that it allows; 0: not weighed
  std::string reason;          // one sentence, where it is not auto
};

/// `structure` has no open field but the accumulator. Where a Kulisch accumulator or a window that
/// wraps cannot be one word at `clock_ns` (0: no clock is asked for), the widest segments that can;
/// where none can, those that come closest. ConfigError where segments are asked for and the
/// accumulator has none.
SegmentChoice choose_segment(const formats::DotSpec& spec, Technology technology,
                             const Structure& structure, double clock_ns);
/// The same for a unit of several formats with an accumulator.
SegmentChoice choose_segment(const formats::MultiSpec& spec, Technology technology,
                             const Structure& structure, double clock_ns);

/// ConfigError where the structure asks for eager rounding and the accumulator has none to choose.
void check_eager(const formats::Accumulation& spec, const Structure& structure);

}  // namespace blockdot::rtl_gen
