// A new folder, under the system's temporary one unless told, that goes away with its owner.
#pragma once

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>

#include "formats/error.h"

namespace blockdot {

class TemporaryFolder {
 public:
  explicit TemporaryFolder(
      const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
    std::error_code error;
    std::filesystem::create_directories(parent, error);
    std::string name = (parent / "blockdot.XXXXXX").string();
    if (error || ::mkdtemp(name.data()) == nullptr)
      throw ConfigError("{}: no temporary folder can be made here: {}", parent.string(),
                        error ? error.message() : std::strerror(errno));
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace blockdot
