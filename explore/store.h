// The result store: answers kept on disk under a hash of everything they depend on, so that a
// second run of the same comparison is a look-up.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace blockdot::explore {

/// One file a key, written atomically; two programs may share a folder. An entry that is not what
/// was written (truncated, edited, another key's) is not found, so it is computed again.
class ResultStore {
 public:
  /// An empty folder means no store: nothing is found, nothing kept.
  explicit ResultStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// The folder `results` of sim::default_cache(): $BLOCKDOT_CACHE, or ~/.cache/blockdot.
  static ResultStore at_default();

  std::optional<std::string> find(const std::string& key) const;
  /// Best effort: a folder that cannot be written makes later runs slower, not this one wrong.
  void keep(const std::string& key, std::string_view value) const;

  std::filesystem::path path_of(const std::string& key) const;

 private:
  std::filesystem::path folder_;
};

/// SHA-256 of the parts (each with its length, so that their borders count) and of this program's
/// own bytes: results of another build are never taken for ours.
std::string result_key(std::initializer_list<std::string_view> parts);

}  // namespace blockdot::explore
