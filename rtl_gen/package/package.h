// What ships with a unit's Verilog: constraints, a FuseSoC core, a timing diagram and one page that
// says what the unit is. The testbench comes from sim/cosim: it needs the golden model.
#pragma once

#include <string>
#include <vector>

#include "formats/dot_spec.h"
#include "rtl_gen/generate.h"

namespace blockdot::rtl_gen {

struct PackageFile {
  std::string name;  // in the unit's folder
  std::string text;
};

/// unit.sdc, unit.xdc, unit.core, timing.json, timing.svg and README.md, which speak of unit.v and,
/// where `testbench_results` > 0, of unit_tb.v and vectors.hex. Same arguments, same bytes.
std::vector<PackageFile> make_package(const Unit& unit, const formats::DotSpec& spec,
                                      int testbench_results);

}  // namespace blockdot::rtl_gen
