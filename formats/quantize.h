// Real numbers to block formats and back. The rules are those of NUMERICS in docs/numerics.md; the
// defaults are the standard's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "formats/block_format.h"
#include "formats/lfsr.h"
#include "formats/rounding.h"

namespace blockdot::formats {

/// How the shared power of two follows from the block's largest magnitude amax.
enum class ScaleRule {
  kFloor,  // 2^(floor(log2 amax) - emax): OCP MX v1.0, 6.3; the largest elements may saturate
  kCeil,   // least 2^e with amax <= max * 2^e: nothing saturates
};
ScaleRule parse_scale_rule(std::string_view text);  // `floor`, `ceil`
std::string to_text(ScaleRule rule);

struct QuantizeOptions {
  ScaleRule scale_rule = ScaleRule::kFloor;  // for e8m0; a minifloat scale is amax / max, RNE
  Rounding rounding;                         // of the elements
  std::uint64_t seed = 1;                    // of the stream when stochastic: one draw an element
};

/// A read-only matrix of float32 whose rows run along the reduction axis: element (r, k) is
/// data[r * row_stride + k * k_stride]. A transposed operand is a view with the strides swapped.
struct MatrixView {
  const float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t length = 0;  // along the reduction axis
  std::int64_t row_stride = 0;
  std::int64_t k_stride = 1;

  float at(std::int64_t r, std::int64_t k) const { return data[r * row_stride + k * k_stride]; }
};

inline MatrixView row_major(const float* data, std::int64_t rows, std::int64_t length) {
  return {data, rows, length, length, 1};
}
/// The view of `data` [length x rows] whose rows are the stored columns.
inline MatrixView transposed(const float* data, std::int64_t rows, std::int64_t length) {
  return {data, rows, length, 1, rows};
}

/// A matrix [rows x length] of codes in a block format, blocks along `length`, each row padded with
/// zero codes to whole blocks. Every row has its own copy of its scales, also where a tile shares
/// them. Codes are little-endian integers of `code_bytes` bytes, one an element, not bit-packed.
struct QuantizedMatrix {
  BlockFormat format;
  std::int64_t rows = 0;
  std::int64_t length = 0;            // as given
  std::int64_t padded_length = 0;     // multiple of format.block
  int code_bytes = 1;                 // 1, 2 or 4
  std::vector<std::uint8_t> codes;    // [rows][padded_length][code_bytes]
  std::vector<std::uint32_t> scales;  // [rows][blocks_per_row]; empty when the scale is none
  std::vector<std::uint8_t>
      micros;  // [rows][padded_length / micro.block]; empty without a second level

  std::int64_t blocks_per_row() const {
    return format.block == 0 ? 0 : padded_length / format.block;
  }
  std::uint32_t code(std::int64_t r, std::int64_t k) const;
  std::uint32_t scale(std::int64_t r, std::int64_t k) const;  // code of the scale at element k
  int micro(std::int64_t r, std::int64_t k) const;            // tau at element k, 0 without

  /// Exact value of an element times its scales where that fits a double (every E8M0 format does;
  /// with a minifloat scale the product of two significands of 24 bits does too).
  double value(std::int64_t r, std::int64_t k) const;
};

/// Quantises along the reduction axis.
///
/// E8M0: exponent floor(log2 amax) - emax from the exponent field (or by `scale_rule`), clamped to
/// [-127, 127]; elements x / 2^e rounded once, saturating; a NaN or Inf anywhere in the block makes
/// the scale NaN and the elements 0. A zero block has scale 2^-127.
/// Minifloat scale: amax / max rounded RNE to the scale format, at least its smallest positive
/// value, saturating; elements round(x / scale) of the exact quotient; NaN and Inf as above where
/// the scale has a NaN. A zero block has scale 1.
/// No scale: each element is encoded by itself, Inf and NaN kept where the format has them.
/// Second level: E = floor(log2 amax) of the block (emax = 0), tau = min(E - floor(log2 amax of the
/// sub-block), 2^bits - 1); elements round(x / 2^(E - tau)). (ISCA'23, section 3.)
QuantizedMatrix quantize(const BlockFormat& format, const MatrixView& x,
                         const QuantizeOptions& options = {});

/// Values as float32, [rows][length] row-major; `value` rounded RNE where float32 cannot hold it.
std::vector<float> dequantize(const QuantizedMatrix& matrix);

}  // namespace blockdot::formats
