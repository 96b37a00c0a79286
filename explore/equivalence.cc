#include "explore/equivalence.h"

#include <fmt/format.h>

#include "sim/cosim/tool.h"

namespace blockdot::explore {

Answer equivalent(const std::filesystem::path& left, const std::filesystem::path& right,
                  int seconds) {
  const sim::ToolResult result =
      sim::run_tool({"berkeley-abc", "-q",
                     fmt::format("cec -T {} {} {}", seconds, left.string(), right.string())},
                    left.parent_path());
  if (result.output.find("are equivalent") != std::string::npos) return Answer::kEqual;
  if (result.output.find("NOT EQUIVALENT") != std::string::npos) return Answer::kDifferent;
  return Answer::kOpen;
}

}  // namespace blockdot::explore
