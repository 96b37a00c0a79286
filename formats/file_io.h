// Whole files in and out. Every file the program writes appears at once or not at all.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace blockdot {

/// The bytes of `path`. ConfigError when it cannot be read.
std::string read_file(const std::filesystem::path& path);

/// Writes `bytes` to a temporary name beside `path`, then renames: a reader sees the old file or
/// the whole new one, and two writers do not mix. Missing parent folders are made. ConfigError when
/// the folder or file cannot be written; nothing is left behind then.
void write_file_atomic(const std::filesystem::path& path, std::string_view bytes);

/// ConfigError where write_file_atomic(path, ...) would fail now: for outputs that come after long
/// work. Leaves nothing behind, no folder either.
void check_writable(const std::filesystem::path& path);

}  // namespace blockdot
