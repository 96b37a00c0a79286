#include "cli/command.h"

#include <fmt/core.h>

namespace blockdot::cli {

void print_json(const nlohmann::json& document) { fmt::print("{}\n", document.dump(2)); }

std::string examples(std::initializer_list<std::string_view> lines) {
  std::string text = "Examples:";
  for (std::string_view line : lines) text += fmt::format("\n  {}", line);
  return text;
}

}  // namespace blockdot::cli
