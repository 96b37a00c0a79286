// A new folder, under the system's temporary one unless told, that goes away with its owner, and
// with the program where that is interrupted (formats/interrupt.h).
#pragma once

#include <filesystem>

namespace blockdot {

class TemporaryFolder {
 public:
  /// ConfigError where none can be made there.
  explicit TemporaryFolder(
      const std::filesystem::path& parent = std::filesystem::temp_directory_path());
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace blockdot
