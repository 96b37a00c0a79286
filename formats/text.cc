#include "formats/text.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "formats/error.h"

namespace blockdot::formats {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || text[i] == separator) {
      parts.emplace_back(text.substr(begin, i - begin));
      begin = i + 1;
    }
  }
  return parts;
}

std::string to_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

std::int64_t parse_int(std::string_view what, std::string_view text, std::int64_t low,
                       std::int64_t high) {
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high)
    throw ConfigError("{} = {}: must be a whole number in [{}, {}]", what, shown(text), low, high);
  return value;
}

namespace {

// Levenshtein distance, one row at a time.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

std::vector<std::string> nearest_names(std::string_view name, const std::vector<std::string>& known,
                                       std::size_t most) {
  // A name of a megabyte is nobody's typing error, and the distance is quadratic.
  if (name.size() > 64) return {};
  std::vector<std::pair<size_t, std::string>> ranked;
  for (const std::string& candidate : known) {
    size_t distance = edit_distance(to_lower(name), to_lower(candidate));
    // Whoever stopped half-way through a name meant it.
    if (!name.empty() && to_lower(candidate).starts_with(to_lower(name))) distance = 0;
    if (distance <= name.size() / 2 + 1) ranked.emplace_back(distance, candidate);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::string> nearest;
  for (size_t i = 0; i < std::min(most, ranked.size()); ++i) nearest.push_back(ranked[i].second);
  return nearest;
}

std::string shown(std::string_view text) {
  constexpr size_t kMost = 48;
  std::string line(text.substr(0, kMost));
  for (char& c : line)
    if (c < 0x20 || c > 0x7E) c = '?';
  if (text.size() > kMost) line += "...";
  return line.empty() ? "(nothing)" : line;
}

int Reader::whole(std::string_view field, size_t at, std::string_view part, int low,
                  int high) const {
  int value = 0;
  auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
  if (error != std::errc() || end != part.data() + part.size() || value < low || value > high)
    fail(at, "{} = {}: must be a whole number in [{}, {}]", field, shown(part), low, high);
  return value;
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& known) {
  std::vector<std::string> nearest = nearest_names(name, known);
  if (nearest.empty()) return "";
  std::string text = "; did you mean " + nearest[0];
  for (size_t i = 1; i < nearest.size(); ++i)
    text += (i + 1 == nearest.size() ? " or " : ", ") + nearest[i];
  return text + "?";
}

}  // namespace blockdot::formats
