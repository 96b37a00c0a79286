// A self-checking testbench to ship with a unit: plain Verilog-2005 and a file of vectors, for any
// simulator.
#pragma once

#include <cstdint>
#include <filesystem>

#include "formats/dot_spec.h"
#include "rtl_gen/generate.h"

namespace blockdot::sim {

/// Writes `folder`/unit_tb.v and `folder`/vectors.hex for a dot unit: `results` random results of 1
/// to 4 beats each, with pauses, random codes and scales (NaN and Inf among them), expected values
/// from the golden model. Run in the folder, it prints `PASS <results>`, or the first mismatches
/// and `FAIL`:
///
///   iverilog -g2005 -o unit_tb unit.v unit_tb.v && vvp unit_tb
///   verilator --binary --timing -Wno-fatal --top-module unit_tb unit.v unit_tb.v &&
///   obj_dir/Vunit_tb
///
/// Same arguments, same bytes. ConfigError for a unit that is no dot unit, or results < 1.
void write_testbench(const std::filesystem::path& folder, const rtl_gen::Unit& unit,
                     const formats::DotSpec& spec, int results, std::uint64_t seed = 1);

}  // namespace blockdot::sim
