// The driver of all proofs: one unit, one stimulus, and the golden model's word for every cycle.
//
// A run goes through everything that a unit's state can meet:
//
//   garbage | reset with results under way | first stimulus | seed load | second stimulus | drain
//
// The first stimulus starts from the seed after reset (the spec's), the second from the seed that
// is loaded. In every cycle after the reset valid_o has to say whether the beat of `latency` cycles
// before ended a result, and then result_o has to be the golden model's code.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/dot_spec.h"
#include "rtl_gen/generate.h"
#include "sim/cosim/model.h"
#include "testbench/axes.h"
#include "testbench/stimulus.h"

namespace blockdot::testbench {

struct Outcome {
  std::int64_t checked = 0;  // results compared
  std::string mismatch;      // the first one, explained; empty when there is none

  bool passed() const { return checked > 0 && mismatch.empty(); }
};

struct Exercise {
  Stimulus first, second;
  std::uint64_t seed = 0x2545F491;  // loaded before `second`
};

/// $BLOCKDOT_SEED, or a fixed one: tests print it with what fails.
std::uint64_t base_seed();

/// Corners first; then `frames` random frames and as many uniform beats of this seed.
Exercise make_exercise(const formats::DotSpec& spec, std::uint64_t seed, int frames);

/// The unit's graph, beat by beat (it has no pipeline: latency 0, and no reset but a new start).
Outcome check_graph(const rtl_gen::Graph& graph, const formats::DotSpec& spec,
                    const Exercise& exercise);

/// The Verilated unit in lock-step, cycle by cycle.
Outcome check_verilog(const std::string& verilog, const rtl_gen::UnitReport& report,
                      const formats::DotSpec& spec, const Exercise& exercise);

/// One module of several, whose tops are distinct: inputs of a name are one port, as wide as the
/// widest, outputs have the top before theirs, as in `u3_valid_o`. One compilation for many units.
struct Part {
  std::string top, verilog;
  std::vector<rtl_gen::Port> ports;
};
sim::ModelSource together(const std::vector<Part>& parts);

/// The text as the name of a test: what is no letter or digit becomes an underscore.
std::string as_name(std::string text);

/// What of a product of axes is run: the n-th part of it, every one with BLOCKDOT_PRODUCT=whole.
int every_nth(int n);

/// Units of the same operands, lanes and LFSR, together in lock-step.
struct Member {
  formats::DotSpec spec;
  const rtl_gen::Unit* unit = nullptr;
};
std::vector<Outcome> check_together(const std::vector<Member>& members, const Exercise& exercise);

/// How the unit of a point is built. Technologies, and where eager rounding is possible lazy and
/// eager, go by turns.
rtl_gen::Arch arch_of(const Point& point, std::uint64_t seed);
rtl_gen::Unit unit_of(const Point& point, std::uint64_t seed, const std::string& top = "unit");

/// Generates the unit of a point and runs it Verilated; a mismatch or a vacuous run fails the test.
/// Returns the results checked.
std::int64_t expect_lockstep(const Point& point, std::uint64_t seed, int frames);

}  // namespace blockdot::testbench
