// A user's own matrices: 2-D float32 in .npy, .safetensors and raw .f32 files, and code arrays.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "sim/trace/gemm_trace.h"

namespace blockdot::sim {

/// What a matrix file does not say itself.
struct MatrixFileOptions {
  std::string tensor = {};   // .safetensors: which one; empty: the only one
  std::int64_t columns = 0;  // .f32: length of a row; 0: one row
};

/// Reads by extension: `.npy` (float16, 32 or 64, C or Fortran order), `.safetensors` (F32, F16,
/// BF16, F64), `.f32` or `.bin` (raw little-endian float32). One dimension is one row; more than
/// two are a ConfigError, as are damaged files. F64 is rounded to nearest even.
Matrix read_matrix(const std::filesystem::path& path, const MatrixFileOptions& options = {});

/// Writes float32 by extension, atomically; the tensor's name in a .safetensors is `tensor`.
void write_matrix(const std::filesystem::path& path, const Matrix& matrix,
                  const std::string& tensor = "data");

/// An array of unsigned codes [rows, columns], little-endian, `code_bytes` each (1, 2 or 4).
struct CodeMatrix {
  std::int64_t rows = 0, columns = 0;
  int code_bytes = 1;
  std::vector<std::uint8_t> bytes;  // rows * columns * code_bytes
};

/// Writes by extension: `.npy` (u1, u2, u4), `.safetensors` (U8, U16, U32), else raw bytes.
void write_codes(const std::filesystem::path& path, const CodeMatrix& codes,
                 const std::string& tensor = "codes");
/// Reads what write_codes wrote; for raw bytes `code_bytes` and `columns` (0: one row) say how.
CodeMatrix read_codes(const std::filesystem::path& path, const MatrixFileOptions& options = {},
                      int code_bytes = 1);

/// The code matrices of a quantised one.
CodeMatrix element_codes(const formats::QuantizedMatrix& matrix);  // [rows, padded length]
CodeMatrix scale_codes(const formats::QuantizedMatrix& matrix);    // [rows, blocks a row]

}  // namespace blockdot::sim
