// Synthesis of a unit by outside tools: Yosys and ABC map it to the OSU 0.18 um library, OpenSTA
// times it. The flow is scripts/measure_unit.sh, carried inside the program.
#pragma once

#include <map>
#include <string>

#include "explore/store.h"
#include "rtl_gen/generate.h"

namespace blockdot::explore {

/// What the tools measured, by the names of unit.json's figures (area, critical_path_ns, luts...).
using Figures = std::map<std::string, rtl_gen::Figure>;

/// ConfigError naming the Debian package of the first tool or library that is not there.
void require_synthesis_tools(rtl_gen::Technology technology);

/// Maps `unit` and measures it. osu018 and generic: `area` (in the units of the estimates) and
/// `critical_path_ns`, both after buffering and sizing; xilinx (UltraScale+): `area` in LUTs and
/// `register_bits`. Figures say "synthesised". Answers are kept in `store` under the Verilog's
/// hash. ConfigError with the tool's last words when it fails or exceeds LIMIT_S (1500) seconds.
Figures synthesise(const rtl_gen::Unit& unit, rtl_gen::Technology technology,
                   const ResultStore& store);

}  // namespace blockdot::explore
