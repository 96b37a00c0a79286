// Synthesis of a unit by outside tools: Yosys and ABC map it to the OSU 0.18 um library, OpenSTA
// times it. The flow is scripts/measure_unit.sh, carried inside the program.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "explore/store.h"
#include "rtl_gen/design.h"

namespace blockdot::explore {

/// What the tools measured, by the names of unit.json's figures (area, critical_path_ns, luts...).
using Figures = std::map<std::string, rtl_gen::Figure>;

/// ConfigError naming the Debian package of the first tool or library that is not there.
void require_synthesis_tools(rtl_gen::Technology technology);

/// What Yosys, ABC and OpenSTA say of themselves: other versions measure other figures.
std::string tool_versions();

/// Maps `unit` and measures it. osu018 and generic: `area` (in the units of the estimates) and
/// `critical_path_ns`, both after buffering and sizing; xilinx (UltraScale+): `area` in LUTs and
/// `register_bits`. Figures say "synthesised". Answers are kept in `store` under a hash of
/// the Verilog, the flow and the tools' versions. ConfigError with the tool's last words when it
/// fails or exceeds LIMIT_S (1500) seconds.
Figures synthesise(const rtl_gen::Unit& unit, rtl_gen::Technology technology,
                   const ResultStore& store);
/// The same of a design of any kind, its modules together.
Figures synthesise(const rtl_gen::Design& design, rtl_gen::Technology technology,
                   const ResultStore& store);

/// unit.json with the measured figures beside the estimates, as `synthesised`.
nlohmann::json unit_json(const nlohmann::json& unit, const Figures& synthesised);

/// The library of the flow: $LIBERTY, or the OSU 0.18 um one of Debian's package.
std::filesystem::path liberty_file();

/// `unit` mapped to the library as measure_unit.sh's buffered run does: Yosys' JSON of the flat
/// netlist, kept in `store`. ConfigError as `synthesise`.
std::string map_netlist(const rtl_gen::Unit& unit, const ResultStore& store);

/// A design's gates against the golden model.
struct NetlistRun {
  bool passed = false;
  std::int64_t vectors = 0;  // results compared
  std::int64_t cells = 0;
  std::string message;  // of a run that did not pass
};
/// Maps a design of any kind to OSU 0.18 um (Yosys, ABC) and runs its self-checking testbench
/// (sim/cosim/testbench.h, `vectors` of it) on the netlist in Icarus, cells as the Liberty file's
/// functions. ConfigError where a tool is missing or fails.
NetlistRun simulate_netlist(const rtl_gen::Design& design, int vectors, std::uint64_t seed);

}  // namespace blockdot::explore
