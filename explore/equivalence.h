// Equivalence of and-inverter graphs, by ABC.
#pragma once

#include <filesystem>

namespace blockdot::explore {

enum class Answer { kEqual, kDifferent, kOpen };

/// Yosys commands from processes and words to an and-inverter graph.
inline constexpr const char* kToGates =
    "opt -full; techmap; opt; simplemap; opt_clean -purge; aigmap; ";

/// Of two AIGER files with the same inputs and outputs in the same order. ConfigError where ABC is
/// missing.
Answer equivalent(const std::filesystem::path& left, const std::filesystem::path& right,
                  int seconds);

}  // namespace blockdot::explore
