// A self-checking testbench to ship with a unit: plain Verilog-2005 and a file of vectors, for any
// simulator.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "formats/dot_spec.h"
#include "rtl_gen/design.h"

namespace blockdot::sim {

struct Testbench {
  std::string verilog;  // unit_tb.v
  std::string vectors;  // vectors.hex
  int checks = 0;       // that it makes: PASS CHECKS
};

/// A testbench for `unit`: expected values from the golden model, random codes and scales (NaN and
/// Inf among them). A dot unit gets `count` results of 1 to 4 beats each, with pauses; a block dot
/// `count` beats. Run beside unit.v it prints `PASS <count>`, or the first mismatches and `FAIL`:
///
///   iverilog -g2005 -o unit_tb unit.v unit_tb.v && vvp unit_tb
///   verilator --binary --timing -Wno-fatal --top-module unit_tb unit.v unit_tb.v &&
///   obj_dir/Vunit_tb
///
/// Same arguments, same bytes. ConfigError for count < 1.
Testbench make_testbench(const rtl_gen::Unit& unit, const formats::DotSpec& spec, int count,
                         std::uint64_t seed = 1);

/// The same for a unit of several formats: `count` beats of random modes, with an accumulator
/// `count` results of such beats.
Testbench make_testbench(const rtl_gen::Unit& unit, const formats::MultiSpec& spec, int count,
                         std::uint64_t seed = 1);

/// The same for a design of any kind. A quantizer gets `count` blocks, expected from `formats`. A
/// stream gets `count` results and an array at least so many, in tiles of every size; both are run
/// four times, without stalls, with stalls on either side, and on both, and without stalls the
/// cycles are counted against what the design states.
Testbench make_testbench(const rtl_gen::Design& design, int count, std::uint64_t seed = 1);

/// Writes unit_tb.v and vectors.hex into `folder`.
void write_testbench(const std::filesystem::path& folder, const Testbench& testbench);

}  // namespace blockdot::sim
