#include "sim/trace/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/text.h"

namespace blockdot::sim {
namespace {

constexpr std::uint64_t kMaxHeader = 100'000'000;  // the limit of the format's own reader

/// Maps a whole file; an empty file maps to an empty span.
std::span<const std::byte> map_file(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw ConfigError("{}: cannot be read: {}", path, std::strerror(errno));
  struct stat info {};
  bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  auto size = static_cast<std::size_t>(info.st_size);
  void* data = MAP_FAILED;
  if (regular && size > 0) data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  ::close(fd);
  if (!regular) throw ConfigError("{}: is not a regular file", path);
  if (size == 0) return {};
  if (data == MAP_FAILED) throw ConfigError("{}: cannot be mapped: {}", path, std::strerror(errno));
  return {static_cast<const std::byte*>(data), size};
}

/// A whole number >= 0 of a header, or ConfigError.
std::uint64_t natural(const nlohmann::json& value, const std::string& path, const std::string& name,
                      const char* field) {
  if (!value.is_number_unsigned())
    throw ConfigError("{}: tensor \"{}\": {} must hold whole numbers >= 0", path, name, field);
  return value.get<std::uint64_t>();
}

}  // namespace

std::int64_t TensorInfo::elements() const {
  std::int64_t n = 1;
  for (std::int64_t d : shape) n *= d;
  return n;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : path_(path.string()), file_(map_file(path_)) {
  try {
    if (file_.size() < 8)
      throw ConfigError(
          "{}: {} bytes: too short for a safetensors file, which starts with 8 bytes "
          "of header length",
          path_, file_.size());
    std::uint64_t length = 0;
    for (int i = 7; i >= 0; --i)
      length = length << 8 | std::to_integer<std::uint64_t>(file_[static_cast<std::size_t>(i)]);
    if (length > file_.size() - 8)
      throw ConfigError(
          "{}: header length {} goes beyond the file's {} bytes: truncated, or not a "
          "safetensors file",
          path_, length, file_.size());
    if (length > kMaxHeader)
      throw ConfigError("{}: header length {} is above the limit of {}", path_, length, kMaxHeader);
    data_begin_ = 8 + length;
    parse_header({reinterpret_cast<const char*>(file_.data()) + 8, length});
  } catch (...) {
    if (!file_.empty()) ::munmap(const_cast<std::byte*>(file_.data()), file_.size());
    throw;
  }
}

SafetensorsFile::~SafetensorsFile() {
  if (!file_.empty()) ::munmap(const_cast<std::byte*>(file_.data()), file_.size());
}

SafetensorsFile::SafetensorsFile(SafetensorsFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::exchange(other.file_, {})),
      data_begin_(other.data_begin_),
      tensors_(std::move(other.tensors_)),
      metadata_(std::move(other.metadata_)) {}

SafetensorsFile& SafetensorsFile::operator=(SafetensorsFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(file_, other.file_);
  std::swap(data_begin_, other.data_begin_);
  std::swap(tensors_, other.tensors_);
  std::swap(metadata_, other.metadata_);
  return *this;
}

void SafetensorsFile::parse_header(std::string_view text) {
  using nlohmann::json;
  std::set<std::string> names;
  std::string twice;
  json header;
  try {
    // A JSON object keeps the last of equal keys: the callback sees them all.
    header = json::parse(text, [&](int depth, json::parse_event_t event, json& parsed) {
      if (event == json::parse_event_t::key && depth == 1) {
        auto name = parsed.get<std::string>();
        if (!names.insert(name).second) twice = name;
      }
      return true;
    });
  } catch (const json::exception&) {
    throw ConfigError("{}: the header is not JSON: damaged, or not a safetensors file", path_);
  }
  if (!header.is_object()) throw ConfigError("{}: the header is not a JSON object", path_);
  if (!twice.empty())
    throw ConfigError("{}: the name \"{}\" stands twice in the header", path_, twice);

  const std::uint64_t data_size = file_.size() - data_begin_;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) throw ConfigError("{}: __metadata__ is not an object", path_);
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string())
          throw ConfigError("{}: __metadata__ \"{}\" is not a string", path_, key);
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    if (!entry.is_object() || !entry.contains("dtype") || !entry["dtype"].is_string() ||
        !entry.contains("shape") || !entry["shape"].is_array() || !entry.contains("data_offsets") ||
        !entry["data_offsets"].is_array() || entry["data_offsets"].size() != 2)
      throw ConfigError("{}: tensor \"{}\": needs dtype, shape and data_offsets [begin, end]",
                        path_, name);
    TensorInfo tensor;
    tensor.name = name;
    auto dtype_name = entry["dtype"].get<std::string>();
    auto dtype = find_dtype(dtype_name);
    if (!dtype)
      throw ConfigError("{}: tensor \"{}\": unknown dtype \"{}\"", path_, name, dtype_name);
    tensor.dtype = *dtype;
    std::uint64_t bytes = static_cast<std::uint64_t>(byte_size(*dtype));
    bool too_big = false;
    for (const json& dimension : entry["shape"]) {
      std::uint64_t d = natural(dimension, path_, name, "shape");
      too_big = too_big || d > INT64_MAX || __builtin_mul_overflow(bytes, d, &bytes);
      tensor.shape.push_back(static_cast<std::int64_t>(d));
    }
    tensor.begin = natural(entry["data_offsets"][0], path_, name, "data_offsets");
    tensor.end = natural(entry["data_offsets"][1], path_, name, "data_offsets");
    if (tensor.begin > tensor.end || tensor.end > data_size)
      throw ConfigError(
          "{}: tensor \"{}\": data_offsets [{}, {}) leave the file's {} data bytes: "
          "truncated or damaged",
          path_, name, tensor.begin, tensor.end, data_size);
    if (too_big || bytes != tensor.end - tensor.begin)
      throw ConfigError(
          "{}: tensor \"{}\": data_offsets span {} bytes, but its shape and dtype {} "
          "make {}",
          path_, name, tensor.end - tensor.begin, dtype_name,
          too_big ? "more than 2^64" : std::to_string(bytes));
    tensors_.push_back(std::move(tensor));
  }
  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& x, const TensorInfo& y) {
    return std::tie(x.begin, x.end, x.name) < std::tie(y.begin, y.end, y.name);
  });
  for (std::size_t i = 1; i < tensors_.size(); ++i)
    if (tensors_[i].begin < tensors_[i - 1].end)
      throw ConfigError("{}: tensors \"{}\" and \"{}\" overlap", path_, tensors_[i - 1].name,
                        tensors_[i].name);
}

const TensorInfo& SafetensorsFile::find(std::string_view name) const {
  std::vector<std::string> known;
  for (const TensorInfo& tensor : tensors_) {
    if (tensor.name == name) return tensor;
    known.push_back(tensor.name);
  }
  throw ConfigError("{}: has no tensor \"{}\"{}", path_, name, formats::did_you_mean(name, known));
}

std::span<const std::byte> SafetensorsFile::bytes(const TensorInfo& tensor) const {
  return file_.subspan(data_begin_ + tensor.begin, tensor.end - tensor.begin);
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    BLOCKDOT_CHECK(!header.contains(tensor.name), "\"{}\" written twice", tensor.name);
    std::uint64_t end = offset + tensor.bytes.size();
    header[tensor.name] = {
        {"dtype", to_text(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::string file;
  file.reserve(8 + text.size() + offset);
  for (int i = 0; i < 8; ++i) file += static_cast<char>(text.size() >> (8 * i) & 0xFF);
  file += text;
  for (const TensorToWrite& tensor : tensors)
    file.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  write_file_atomic(path, file);
}

}  // namespace blockdot::sim
