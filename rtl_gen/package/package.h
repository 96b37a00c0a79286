// What ships with a unit's Verilog: constraints, a FuseSoC core, a timing diagram and one page that
// says what the unit is. The testbench comes from sim/cosim: it needs the golden model.
#pragma once

#include <string>
#include <vector>

#include "rtl_gen/design.h"

namespace blockdot::rtl_gen {

struct PackageFile {
  std::string name;  // in the unit's folder
  std::string text;
};

/// unit.sdc, unit.xdc (not for a cell library), unit.core, timing.json, timing.svg and README.md,
/// which speak of the design's sources and, where `checks` > 0, of unit_tb.v and vectors.hex, which
/// make so many. Same arguments, same bytes.
std::vector<PackageFile> make_package(const Design& design, int checks);

/// The commands that run the testbench in the design's folder: Icarus Verilog, and Verilator 5.
std::string icarus_command(const Design& design);
std::string verilator_command(const Design& design);

}  // namespace blockdot::rtl_gen
