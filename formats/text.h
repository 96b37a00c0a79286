// Small helpers of the text forms: splitting, whole numbers with a range, nearest names.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace blockdot::formats {

/// The parts of `text` between separators; "" gives one empty part.
std::vector<std::string> split(std::string_view text, char separator);

std::string to_lower(std::string_view text);

/// A whole number in [low, high], or ConfigError "WHAT = TEXT: must be a whole number in [..]".
std::int64_t parse_int(std::string_view what, std::string_view text, std::int64_t low,
                       std::int64_t high);

/// Up to `most` names by rising edit distance from `name`, none farther than half its length + 1.
std::vector<std::string> nearest_names(std::string_view name, const std::vector<std::string>& known,
                                       std::size_t most = 3);

/// "; did you mean a, b or c?" or "" when nothing is near.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& known);

}  // namespace blockdot::formats
