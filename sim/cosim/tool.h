// Outside programs: finding them, running them, and saying which Debian package brings them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace blockdot::sim {

/// The program on PATH. ConfigError that names its Debian package where it is missing.
std::filesystem::path find_tool(const std::string& program);

struct ToolResult {
  int status = 0;      // exit status; 128 + signal when killed
  std::string output;  // stdout and stderr together
};

/// Runs arguments[0] (found on PATH) in `folder`, with a temporary folder of its own, and waits for
/// it.
ToolResult run_tool(const std::vector<std::string>& arguments, const std::filesystem::path& folder);

/// The same, ConfigError with the last lines of the output where it fails.
std::string require_tool(const std::vector<std::string>& arguments,
                         const std::filesystem::path& folder);

}  // namespace blockdot::sim
