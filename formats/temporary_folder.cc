#include "formats/temporary_folder.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>

#include "formats/error.h"
#include "formats/interrupt.h"

namespace blockdot {

TemporaryFolder::TemporaryFolder(const std::filesystem::path& parent) {
  std::error_code error;
  std::filesystem::create_directories(parent, error);
  std::string name = (parent / "blockdot.XXXXXX").string();
  if (!error)
    path_ = interrupt::hold([&] {
      if (::mkdtemp(name.data()) != nullptr) return name;
      error = {errno, std::generic_category()};
      return std::string();
    });
  if (error)
    throw ConfigError("{}: no temporary folder can be made here: {}", parent.string(),
                      error.message());
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
  interrupt::release(path_.string());
}

}  // namespace blockdot
