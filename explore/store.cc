#include "explore/store.h"

#include <fmt/format.h>

#include "formats/error.h"
#include "formats/file_io.h"
#include "sim/cosim/model.h"
#include "sim/trace/sha256.h"

namespace blockdot::explore {
namespace {

// First line of an entry: key and checksum of the rest.
std::string header(const std::string& key, std::string_view value) {
  return fmt::format("blockdot-result {} {}\n", key, sim::sha256_hex(value));
}

}  // namespace

ResultStore ResultStore::at_default() { return ResultStore(sim::default_cache() / "results"); }

std::filesystem::path ResultStore::path_of(const std::string& key) const {
  return folder_ / key.substr(0, 2) / key.substr(2);
}

std::optional<std::string> ResultStore::find(const std::string& key) const {
  std::error_code ignored;
  if (folder_.empty() || !std::filesystem::is_regular_file(path_of(key), ignored)) return {};
  std::string entry;
  try {
    entry = read_file(path_of(key));
  } catch (const ConfigError&) {
    return {};
  }
  std::size_t end = entry.find('\n');
  if (end == std::string::npos) return {};
  std::string value = entry.substr(end + 1);
  if (entry.substr(0, end + 1) != header(key, value)) return {};
  return value;
}

void ResultStore::keep(const std::string& key, std::string_view value) const {
  if (folder_.empty()) return;
  try {
    write_file_atomic(path_of(key), header(key, value) + std::string(value));
  } catch (const ConfigError&) {
    return;
  }
}

std::string result_key(std::initializer_list<std::string_view> parts) {
  // /proc/self/exe is there on every Linux this program is built for.
  static const std::string program = sim::sha256_hex(read_file("/proc/self/exe"));
  std::string text = program;
  for (std::string_view part : parts) text += fmt::format("\n{}:{}", part.size(), part);
  return sim::sha256_hex(text);
}

}  // namespace blockdot::explore
