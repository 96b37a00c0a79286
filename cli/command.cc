#include "cli/command.h"

#include <fmt/core.h>

#include <limits>

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::cli {

void print_json(const nlohmann::json& document) { fmt::print("{}\n", document.dump(2)); }

std::uint64_t parse_seed(std::string_view field, std::string_view text) {
  return static_cast<std::uint64_t>(
      formats::parse_int(field, text, 0, std::numeric_limits<std::int64_t>::max()));
}

void check_seed(std::uint64_t seed) {
  if (seed == 0) throw ConfigError("seed = 0: must be at least 1, since an LFSR stays at zero");
}

std::string examples(std::initializer_list<std::string_view> lines) {
  std::string text = "Examples:";
  for (std::string_view line : lines) text += fmt::format("\n  {}", line);
  return text;
}

std::string folder_name(const std::string& point) {
  std::string name = point;
  for (char& c : name)
    if (!isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  return name;
}

}  // namespace blockdot::cli
