#include "formats/file_io.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include "formats/error.h"
#include "formats/interrupt.h"

namespace blockdot {
namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error))
    throw ConfigError("{}: is a folder, not a file", path.string());
  std::ifstream in(path, std::ios::binary);
  if (!in) throw ConfigError("{}: cannot be read: {}", path.string(), std::strerror(errno));
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (in.bad()) throw ConfigError("{}: reading stopped half-way", path.string());
  return bytes;
}

namespace {

constexpr std::size_t kLongestName = 240;

void check_name(const fs::path& path) {
  if (path.empty() || !path.has_filename())
    throw ConfigError("'{}': is no file name; name a file to write", path.string());
  // A temporary file beside it has a longer one.
  for (const fs::path& part : path)
    if (part.string().size() > kLongestName)
      throw ConfigError("{}: a name of {} characters; at most {} can be written", path.string(),
                        part.string().size(), kLongestName);
}

[[noreturn]] void no_folder(const fs::path& path, const std::error_code& error) {
  throw ConfigError("{}: the folder cannot be made: {}; choose a folder you may write to",
                    path.parent_path().string(), error.message());
}

/// Makes the parent folder and a temporary file beside `path`; `temporary` is its name, to be
/// released.
int open_temporary(const fs::path& path, std::string& temporary) {
  check_name(path);
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  if (error) no_folder(path, error);
  if (fs::is_directory(path, error))
    throw ConfigError("{}: is a folder, not a file", path.string());
  temporary = path.string() + ".XXXXXX.tmp";
  int fd = -1, saved = 0;
  interrupt::hold([&] {
    fd = ::mkstemps(temporary.data(), 4);
    saved = errno;
    return fd < 0 ? std::string() : temporary;
  });
  if (fd < 0)
    throw ConfigError("{}: cannot be written: {}; choose a folder you may write to", path.string(),
                      std::strerror(saved));
  return fd;
}

}  // namespace

void check_writable(const fs::path& path) {
  check_name(path);
  const fs::path parent = path.parent_path();
  fs::path there = parent;  // the nearest folder that is there
  std::error_code error;
  while (!there.empty() && !fs::exists(there, error)) {
    if (fs::is_symlink(there, error))  // it leads nowhere, and no folder can take its place
      no_folder(path, std::make_error_code(std::errc::not_a_directory));
    there = there.parent_path();
  }
  if (there != parent) {  // whether a folder can be made in it
    std::string probe = (there / "blockdot.XXXXXX").string();
    const std::string held =
        interrupt::hold([&] { return ::mkdtemp(probe.data()) == nullptr ? std::string() : probe; });
    if (held.empty()) no_folder(path, {errno, std::generic_category()});
    ::rmdir(probe.c_str());
    interrupt::release(probe);
    return;
  }
  std::string temporary;
  ::close(open_temporary(path, temporary));
  ::unlink(temporary.c_str());
  interrupt::release(temporary);
}

void write_file_atomic(const fs::path& path, std::string_view bytes) {
  std::string temporary;
  int fd = open_temporary(path, temporary);
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  int saved = errno;
  ::fchmod(fd, 0644);
  bool closed = ::close(fd) == 0;
  const bool kept =
      done == bytes.size() && closed && ::rename(temporary.c_str(), path.c_str()) == 0;
  if (done == bytes.size()) saved = errno;
  if (!kept) ::unlink(temporary.c_str());
  interrupt::release(temporary);
  if (!kept) throw ConfigError("{}: cannot be written: {}", path.string(), std::strerror(saved));
}

}  // namespace blockdot
