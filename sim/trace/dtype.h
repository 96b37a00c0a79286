// Element types of stored tensors, and their conversion to float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace blockdot::sim {

/// The types of the safetensors project that a file may hold.
enum class Dtype {
  kF64,
  kF32,
  kF16,
  kBF16,
  kF8E4M3,
  kF8E5M2,
  kI64,
  kI32,
  kI16,
  kI8,
  kU64,
  kU32,
  kU16,
  kU8,
  kBool,
};

/// Name as in a safetensors header (`F32`, `BF16`, ...).
std::string_view to_text(Dtype dtype);
std::optional<Dtype> find_dtype(std::string_view name);
/// Bytes of one element: 1, 2, 4 or 8.
int byte_size(Dtype dtype);
/// Whether to_float32 takes it: F64, F32, F16, BF16.
bool is_float(Dtype dtype);

/// Exact value of an IEEE binary16 code; Inf and NaN stay (NaN payload in the top mantissa bits).
float from_f16(std::uint16_t code);
/// Exact value of a BF16 code: the upper half of a float32.
float from_bf16(std::uint16_t code);

/// Little-endian values to float32: exact but for F64, which is rounded to nearest even.
/// `bytes` is a whole number of elements; is_float(dtype).
std::vector<float> to_float32(Dtype dtype, std::span<const std::byte> bytes);

}  // namespace blockdot::sim
