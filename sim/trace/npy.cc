#include "sim/trace/npy.h"

#include <fmt/format.h>

#include <regex>

#include "formats/error.h"

namespace blockdot::sim {
namespace {
constexpr std::string_view kMagic = "\x93NUMPY";
}

NpyArray parse_npy(std::string_view file, std::string_view name) {
  auto damaged = [&](std::string_view what) {
    return ConfigError("{}: {}: truncated, or not a .npy file", name, what);
  };
  if (!file.starts_with(kMagic) || file.size() < 12) throw damaged("no .npy header");
  auto byte = [&](std::size_t i) {
    return static_cast<std::size_t>(static_cast<unsigned char>(file[i]));
  };
  std::size_t version = byte(6);
  if (version < 1 || version > 3) throw damaged(fmt::format("unknown version {}", version));
  std::size_t start = version == 1 ? 10 : 12;
  std::size_t length = byte(8) | byte(9) << 8;
  if (version > 1) length |= byte(10) << 16 | byte(11) << 24;
  if (length > file.size() - start) throw damaged("the header goes beyond the file");
  std::string header(file.substr(start, length));

  NpyArray array;
  std::smatch match;
  static const std::regex descr(R"('descr'\s*:\s*'([<>|=])([a-zA-Z]\d+)')");
  static const std::regex order(R"('fortran_order'\s*:\s*(True|False))");
  static const std::regex shape(R"('shape'\s*:\s*\(([\d,\s]*)\))");
  if (!std::regex_search(header, match, descr))
    throw ConfigError("{}: its type is not a plain number type", name);
  if (match[1] == ">") throw ConfigError("{}: is big-endian; save it little-endian", name);
  array.descr = fmt::format("{}{}", match[2].str().ends_with("1") ? '|' : '<', match[2].str());
  if (!std::regex_search(header, match, order)) throw damaged("no fortran_order");
  array.fortran_order = match[1] == "True";
  if (!std::regex_search(header, match, shape)) throw damaged("no shape");
  std::string dimensions = match[1];
  static const std::regex number(R"(\d+)");
  std::size_t bytes = std::stoul(array.descr.substr(2));
  bool too_big = false;
  for (std::sregex_iterator it(dimensions.begin(), dimensions.end(), number), end; it != end;
       ++it) {
    if (it->str().size() > 18) throw damaged("shape out of range");
    array.shape.push_back(std::stoll(it->str()));
    too_big = too_big || __builtin_mul_overflow(bytes, array.shape.back(), &bytes);
  }
  array.data = file.substr(start + length);
  if (too_big || array.data.size() != bytes)
    throw damaged(
        fmt::format("{} bytes of data do not match its shape ({})", array.data.size(), dimensions));
  return array;
}

std::string make_npy(std::string_view descr, const std::vector<std::int64_t>& shape,
                     std::string_view data) {
  std::string dimensions;
  for (std::int64_t d : shape) dimensions += fmt::format("{},", d);
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, dimensions);
  header.resize((header.size() + 11 + 63) / 64 * 64 - 11, ' ');  // data start at a multiple of 64
  header += '\n';
  std::string file(kMagic);
  file += '\x01';
  file += '\x00';
  file += static_cast<char>(header.size() & 0xFF);
  file += static_cast<char>(header.size() >> 8);
  file += header;
  file += data;
  return file;
}

}  // namespace blockdot::sim
