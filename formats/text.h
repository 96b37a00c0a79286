// Small helpers of the text forms: splitting, whole numbers with a range, nearest names.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/error.h"

namespace blockdot::formats {

/// The parts of `text` between separators; "" gives one empty part.
std::vector<std::string> split(std::string_view text, char separator);

std::string to_lower(std::string_view text);

/// A whole number in [low, high], or ConfigError "WHAT = TEXT: must be a whole number in [..]".
std::int64_t parse_int(std::string_view what, std::string_view text, std::int64_t low,
                       std::int64_t high);

/// Up to `most` names by rising edit distance from `name`, none farther than half its length + 1;
/// those that begin with `name` come first.
std::vector<std::string> nearest_names(std::string_view name, const std::vector<std::string>& known,
                                       std::size_t most = 3);

/// "; did you mean a, b or c?" or "" when nothing is near: the end of a message.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& known);

/// A user's text fit for a one-line message: at most 48 characters, control characters as `?`.
std::string shown(std::string_view text);

/// Reads a text from left to right, in lower case, and names the column when it fails:
///   "WHAT = TEXT, column N: MESSAGE"   (columns count from 1)
class Reader {
 public:
  Reader(std::string_view what, std::string_view text)
      : what_(what), shown_(shown(text)), text_(to_lower(text)) {}

  bool done() const { return at_ == text_.size(); }
  char peek() const { return text_[at_]; }  // not at the end
  size_t at() const { return at_; }
  void back(size_t at) { at_ = at; }
  std::string_view text() const { return text_; }

  /// Takes `c` if it is next.
  bool take(char c) {
    if (done() || peek() != c) return false;
    ++at_;
    return true;
  }
  /// Takes all up to one of `stops` or the end. The view lives as long as the reader.
  std::string_view take_until(std::string_view stops) {
    size_t end = std::min(text_.find_first_of(stops, at_), text_.size());
    std::string_view part = std::string_view(text_).substr(at_, end - at_);
    at_ = end;
    return part;
  }
  /// `part`, which begins at `at`, as a whole number in [low, high].
  int whole(std::string_view field, size_t at, std::string_view part, int low, int high) const;

  template <typename... Args>
  [[noreturn]] void fail(size_t at, fmt::format_string<Args...> message, Args&&... args) const {
    throw ConfigError("{} = {}, column {}: {}", what_, shown_, at + 1,
                      fmt::format(message, std::forward<Args>(args)...));
  }

 private:
  std::string what_;
  std::string shown_;
  std::string text_;
  size_t at_ = 0;
};

}  // namespace blockdot::formats
