// The safetensors file format: named tensors in one file.
//
//   [ header length : 8, little-endian ][ header : JSON, padded with spaces ][ raw tensor bytes ]
//   header = {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...,
//             "__metadata__": {"KEY": "VALUE"}}      offsets count from the end of the header
//
// Read by mapping the file, checked before anything is used: a damaged file is a ConfigError of one
// line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/trace/dtype.h"

namespace blockdot::sim {

struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<std::int64_t> shape;   // empty: a scalar
  std::uint64_t begin = 0, end = 0;  // bytes after the header

  std::int64_t elements() const;
};

/// An open safetensors file; moves, does not copy. The spans it gives live as long as it does.
class SafetensorsFile {
 public:
  /// ConfigError where the file is shorter than its header says, the header is not such JSON, a
  /// name stands twice, a dtype is unknown, offsets leave the file, overlap or do not match shape
  /// and dtype. Gaps between tensors are tolerated.
  explicit SafetensorsFile(const std::filesystem::path& path);
  ~SafetensorsFile();
  SafetensorsFile(SafetensorsFile&& other) noexcept;
  SafetensorsFile& operator=(SafetensorsFile&& other) noexcept;

  /// In the order of their offsets.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// ConfigError that names near ones when there is no such tensor.
  const TensorInfo& find(std::string_view name) const;
  std::span<const std::byte> bytes(const TensorInfo& tensor) const;

 private:
  void parse_header(std::string_view header);

  std::string path_;
  std::span<const std::byte> file_;  // mapped
  std::size_t data_begin_ = 0;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// A tensor to write; `bytes` are its little-endian values, row-major.
struct TensorToWrite {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;
};

/// Writes atomically, in the order given, without gaps. Same input, same bytes.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace blockdot::sim
