#include "sim/trace/matrix_file.h"

#include <cstring>

#include "formats/error.h"
#include "formats/file_io.h"
#include "sim/trace/npy.h"

namespace blockdot::sim {
namespace {

enum class FileKind { kNpy, kSafetensors, kRaw };

FileKind kind_of(const std::filesystem::path& path) {
  if (path.extension() == ".npy") return FileKind::kNpy;
  if (path.extension() == ".safetensors") return FileKind::kSafetensors;
  return FileKind::kRaw;
}

/// One dimension is one row.
std::pair<std::int64_t, std::int64_t> matrix_shape(const std::vector<std::int64_t>& shape,
                                                   const std::string& where) {
  if (shape.size() == 1) return {1, shape[0]};
  if (shape.size() == 2) return {shape[0], shape[1]};
  throw ConfigError("{}: has {} dimensions: must be a matrix (2) or a vector (1)", where,
                    shape.size());
}

std::int64_t row_length(std::int64_t total, std::int64_t columns, const std::string& where) {
  if (columns < 0) throw ConfigError("columns = {}: must be at least 1", columns);
  if (columns == 0) return total;
  if (total % columns != 0)
    throw ConfigError("{}: {} elements are not whole rows of {}", where, total, columns);
  return columns;
}

/// The asked tensor, or the only one.
const TensorInfo& choose(const SafetensorsFile& file, const std::string& name,
                         const std::string& where) {
  if (!name.empty()) return file.find(name);
  if (file.tensors().size() == 1) return file.tensors()[0];
  std::string names;
  for (const TensorInfo& t : file.tensors()) names += (names.empty() ? "" : ", ") + t.name;
  throw ConfigError("{}: holds {} tensors: choose one of: {}", where, file.tensors().size(), names);
}

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Dtype npy_float(const std::string& descr, const std::string& where) {
  if (descr == "<f4") return Dtype::kF32;
  if (descr == "<f8") return Dtype::kF64;
  if (descr == "<f2") return Dtype::kF16;
  throw ConfigError("{}: its type is {}: must be float16, float32 or float64", where, descr);
}

/// Fortran order to C order.
std::vector<float> transpose(const std::vector<float>& data, std::int64_t rows,
                             std::int64_t columns) {
  std::vector<float> out(data.size());
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c)
      out[static_cast<std::size_t>(r * columns + c)] = data[static_cast<std::size_t>(c * rows + r)];
  return out;
}

Dtype code_dtype(int code_bytes) {
  return code_bytes == 1 ? Dtype::kU8 : code_bytes == 2 ? Dtype::kU16 : Dtype::kU32;
}

}  // namespace

Matrix read_matrix(const std::filesystem::path& path, const MatrixFileOptions& options) {
  std::string where = path.string();
  const FileKind kind = kind_of(path);
  if (options.columns != 0 && kind != FileKind::kRaw)
    throw ConfigError("columns = {}: is for raw .f32 input; {} says its own shape", options.columns,
                      where);
  if (!options.tensor.empty() && kind != FileKind::kSafetensors)
    throw ConfigError("tensor = {}: is for .safetensors; {} holds one matrix", options.tensor,
                      where);
  Matrix matrix;
  switch (kind) {
    case FileKind::kNpy: {
      std::string file = read_file(path);
      NpyArray array = parse_npy(file, where);
      std::tie(matrix.rows, matrix.columns) = matrix_shape(array.shape, where);
      matrix.data = to_float32(npy_float(array.descr, where),
                               std::as_bytes(std::span(array.data.data(), array.data.size())));
      if (array.fortran_order) matrix.data = transpose(matrix.data, matrix.rows, matrix.columns);
      break;
    }
    case FileKind::kSafetensors: {
      SafetensorsFile file(path);
      const TensorInfo& tensor = choose(file, options.tensor, where);
      where += ": tensor \"" + tensor.name + "\"";
      std::tie(matrix.rows, matrix.columns) = matrix_shape(tensor.shape, where);
      if (!is_float(tensor.dtype))
        throw ConfigError("{}: dtype {}: must be F32, F16, BF16 or F64", where,
                          to_text(tensor.dtype));
      matrix.data = to_float32(tensor.dtype, file.bytes(tensor));
      break;
    }
    case FileKind::kRaw: {
      if (path.extension() != ".f32" && path.extension() != ".bin")
        throw ConfigError("{}: unknown kind of matrix file: must end in .npy, .safetensors or .f32",
                          where);
      std::string file = read_file(path);
      if (file.size() % 4 != 0)
        throw ConfigError("{}: {} bytes are not whole float32 values", where, file.size());
      matrix.data = to_float32(Dtype::kF32, std::as_bytes(std::span(file.data(), file.size())));
      auto total = static_cast<std::int64_t>(matrix.data.size());
      matrix.columns = row_length(total, options.columns, where);
      matrix.rows = matrix.columns == 0 ? 0 : total / matrix.columns;
      break;
    }
  }
  if (matrix.rows == 0 || matrix.columns == 0) throw ConfigError("{}: holds no numbers", where);
  return matrix;
}

void write_matrix(const std::filesystem::path& path, const Matrix& matrix,
                  const std::string& tensor) {
  auto bytes = std::as_bytes(std::span(matrix.data));
  switch (kind_of(path)) {
    case FileKind::kNpy:
      write_file_atomic(path, make_npy("<f4", {matrix.rows, matrix.columns}, as_text(bytes)));
      break;
    case FileKind::kSafetensors: {
      TensorToWrite out{tensor, Dtype::kF32, {matrix.rows, matrix.columns}, bytes};
      write_safetensors(path, {&out, 1});
      break;
    }
    case FileKind::kRaw:
      if (path.extension() != ".f32" && path.extension() != ".bin")
        throw ConfigError("{}: unknown kind of matrix file: must end in .npy, .safetensors or .f32",
                          path.string());
      write_file_atomic(path, as_text(bytes));
      break;
  }
}

void write_codes(const std::filesystem::path& path, const CodeMatrix& codes,
                 const std::string& tensor) {
  auto bytes = std::as_bytes(std::span(codes.bytes));
  switch (kind_of(path)) {
    case FileKind::kNpy:
      write_file_atomic(path, make_npy(codes.code_bytes == 1   ? "|u1"
                                       : codes.code_bytes == 2 ? "<u2"
                                                               : "<u4",
                                       {codes.rows, codes.columns}, as_text(bytes)));
      break;
    case FileKind::kSafetensors: {
      TensorToWrite out{tensor, code_dtype(codes.code_bytes), {codes.rows, codes.columns}, bytes};
      write_safetensors(path, {&out, 1});
      break;
    }
    case FileKind::kRaw:
      write_file_atomic(path, as_text(bytes));
      break;
  }
}

CodeMatrix read_codes(const std::filesystem::path& path, const MatrixFileOptions& options,
                      int code_bytes) {
  std::string where = path.string();
  CodeMatrix codes;
  auto take = [&](std::string_view data) { codes.bytes.assign(data.begin(), data.end()); };
  switch (kind_of(path)) {
    case FileKind::kNpy: {
      std::string file = read_file(path);
      NpyArray array = parse_npy(file, where);
      if (array.descr != "|u1" && array.descr != "<u2" && array.descr != "<u4")
        throw ConfigError("{}: its type is {}: codes must be uint8, uint16 or uint32", where,
                          array.descr);
      if (array.fortran_order && array.shape.size() > 1)
        throw ConfigError("{}: is in Fortran order; save it in C order", where);
      std::tie(codes.rows, codes.columns) = matrix_shape(array.shape, where);
      codes.code_bytes = array.descr[2] - '0';
      take(array.data);
      break;
    }
    case FileKind::kSafetensors: {
      SafetensorsFile file(path);
      const TensorInfo& tensor = choose(file, options.tensor, where);
      if (tensor.dtype != Dtype::kU8 && tensor.dtype != Dtype::kU16 && tensor.dtype != Dtype::kU32)
        throw ConfigError("{}: dtype {}: codes must be U8, U16 or U32", where,
                          to_text(tensor.dtype));
      std::tie(codes.rows, codes.columns) = matrix_shape(tensor.shape, where);
      codes.code_bytes = byte_size(tensor.dtype);
      take(as_text(file.bytes(tensor)));
      break;
    }
    case FileKind::kRaw: {
      std::string file = read_file(path);
      codes.code_bytes = code_bytes;
      auto total = static_cast<std::int64_t>(file.size()) / code_bytes;
      if (total * code_bytes != static_cast<std::int64_t>(file.size()))
        throw ConfigError("{}: {} bytes are not whole codes of {} bytes", where, file.size(),
                          code_bytes);
      codes.columns = row_length(total, options.columns, where);
      codes.rows = codes.columns == 0 ? 0 : total / codes.columns;
      take(file);
      break;
    }
  }
  return codes;
}

CodeMatrix element_codes(const formats::QuantizedMatrix& matrix) {
  return {matrix.rows, matrix.padded_length, matrix.code_bytes, matrix.codes};
}

CodeMatrix scale_codes(const formats::QuantizedMatrix& matrix) {
  int width = matrix.format.scale.width();
  CodeMatrix codes{matrix.rows, matrix.blocks_per_row(), width <= 8 ? 1 : width <= 16 ? 2 : 4, {}};
  codes.bytes.resize(matrix.scales.size() * static_cast<std::size_t>(codes.code_bytes));
  for (std::size_t i = 0; i < matrix.scales.size(); ++i)
    std::memcpy(codes.bytes.data() + i * static_cast<std::size_t>(codes.code_bytes),
                &matrix.scales[i], static_cast<std::size_t>(codes.code_bytes));
  return codes;
}

}  // namespace blockdot::sim
