// A folder under the system's temporary one that goes away with its owner.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "formats/error.h"

namespace blockdot::sim {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "blockdot.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw ConfigError("{}: a temporary folder cannot be made here",
                        std::filesystem::temp_directory_path().string());
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

}  // namespace blockdot::sim
