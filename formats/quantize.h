// Real numbers to block formats and back. The rules are those of docs/formats.md; the defaults are
// the standard's.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "formats/block_format.h"
#include "formats/lfsr.h"
#include "formats/rounding.h"

namespace blockdot::formats {

/// How the shared power of two follows from the block's largest magnitude amax. emax and max are
/// those of the element format. All are decided on the exact values, never by a floating logarithm.
enum class ScaleRule {
  kFloor,           // 2^(floor(log2 amax) - emax): OCP MX v1.0, 6.3; the largest may saturate
  kCeil,            // least 2^e with amax <= max * 2^e: nothing saturates
  kEven,            // floor of amax rounded RNE to the element's precision
  kRceil,           // amax / max rounded to binary32, then up to a power of two (PTX cvt.rp.ue8m0)
  kAmax,            // amax / max rounded to the nearest power of two, a tie to the upper one
  kThreeQuarters,   // floor; elements hold 3/4 x, the matrix carries the factor 4/3
  kOptimal,         // least sum of squared errors of the block; a tie to the smaller scale
  kShift,           // 2^(round(log2 amax) - emax - 1): WAGE's shift(amax) for int8:frac=7
  kCeilExponent,    // 2^(ceil(log2 amax) - emax): what torchao calls ceil
  kRceilReciprocal  // rceil with amax * binary32(1 / max): what torchao calls rceil
};
/// `floor`, `ceil`, `even`, `rceil`, `amax`, `three-quarters`, `optimal`, `shift`, `ceil-exponent`,
/// `rceil-reciprocal`.
ScaleRule parse_scale_rule(std::string_view text);
std::string to_text(ScaleRule rule);
/// The same for the operands of a GEMM: refuses three-quarters, whose factor no unit applies.
ScaleRule parse_operand_scale_rule(std::string_view text);
const std::vector<std::string>& scale_rule_names();

/// What NaN and Inf in a block do to it.
enum class BlockSpecials {
  kNanBlock,    // scale NaN, elements 0; where the scale has no NaN the outer scale is NaN, and
                // where there is none either, as kSaturate
  kPerElement,  // the scale is that of the finite elements; NaN becomes the element's NaN, else 0;
                // Inf becomes Inf, else NaN, else the largest
  kSaturate,    // Inf counts as beyond every number: largest scale, largest element; NaN as above
};
BlockSpecials parse_block_specials(
    std::string_view text);  // `nan-block`, `per-element`, `saturate`
std::string to_text(BlockSpecials specials);

struct QuantizeOptions {
  /// For e8m0. A minifloat, integer or code-book scale is amax / max rounded RNE, with kCeil the
  /// least code whose value is not below it, with kOptimal (8 bits and less, no outer scale) the
  /// one of least squared error; the other rules are refused there.
  ScaleRule scale_rule = ScaleRule::kFloor;
  Rounding rounding;       // of the elements
  std::uint64_t seed = 1;  // of the stream when stochastic: one draw an element
  LfsrSpec lfsr;           // its register; the seed is the one above
  /// Unset: saturate under a scale, to the format's Inf or NaN without one.
  std::optional<Overflow> overflow;
  bool flush_subnormals = false;        // elements that round below min_normal become zero
  bool flush_input_subnormals = false;  // binary32 subnormals are read as zero of their sign
  BlockSpecials specials = BlockSpecials::kNanBlock;
  bool keep_negative_zero = true;  // else -0 becomes +0
  /// Elements are divided by the scale as it is stored; else by the one before its rounding. Unset:
  /// stored, but before where the outer scale subtracts a mean (QLoRA encodes the weights first).
  std::optional<bool> divide_by_stored;
};

/// A profile of a public library: what it changes in a format and the options so that the results
/// are that library's. `differences` says what, one line.
struct CompatProfile {
  std::string name;
  std::string reproduces;  // what of the library
  std::string differences;
};
const std::vector<CompatProfile>& compat_profiles();
/// Applies `microxcaling`, `torchao` or `gfloat`. The options' scale rule is read by its name in
/// that library (torchao's ceil is kCeilExponent). ConfigError for unknown names and for formats
/// the library does not have.
void apply_compat(std::string_view profile, BlockFormat& format, QuantizeOptions& options);

/// A read-only matrix of float32 or bfloat16 whose rows run along the reduction axis: element (r,
/// k) is data[r * row_stride + k * k_stride]. A transposed operand is a view with the strides
/// swapped.
struct MatrixView {
  const float* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t length = 0;  // along the reduction axis
  std::int64_t row_stride = 0;
  std::int64_t k_stride = 1;
  const std::uint16_t* bfloat16 = nullptr;  // codes; if set, instead of data

  float at(std::int64_t r, std::int64_t k) const { return at(r * row_stride + k * k_stride); }
  float at(std::int64_t index) const {
    return bfloat16 == nullptr ? data[index]
                               : std::bit_cast<float>(std::uint32_t{bfloat16[index]} << 16);
  }
};

inline MatrixView row_major(const float* data, std::int64_t rows, std::int64_t length) {
  return {data, rows, length, length, 1};
}
inline MatrixView row_major(const std::uint16_t* bfloat16, std::int64_t rows, std::int64_t length) {
  return {nullptr, rows, length, length, 1, bfloat16};
}
/// The view of `data` [length x rows] whose rows are the stored columns.
inline MatrixView transposed(const float* data, std::int64_t rows, std::int64_t length) {
  return {data, rows, length, 1, rows};
}
inline MatrixView transposed(const std::uint16_t* bfloat16, std::int64_t rows,
                             std::int64_t length) {
  return {nullptr, rows, length, 1, rows, bfloat16};
}

/// A matrix [rows x length] of codes in a block format, blocks along `length`, each row padded with
/// codes of zero to whole blocks. Every row has its own copy of its scales, also where a tile, a
/// row or the tensor shares them. Codes are little-endian integers of `code_bytes` bytes, one an
/// element, not bit-packed (formats/pack.h packs them).
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
  /// Codes of the outer scales: one for the tensor, one a row, or one for each group of blocks.
  std::vector<std::uint32_t> outer_scales;
  float mean = 0;     // what the outer scale's :mean subtracted from every factor
  double factor = 1;  // of every value: 4/3 under the rule three-quarters

  std::int64_t blocks_per_row() const {
    return format.block == 0 ? (format.has_scale() ? 1 : 0) : padded_length / format.block;
  }
  std::uint32_t code(std::int64_t r, std::int64_t k) const;
  std::uint32_t scale(std::int64_t r, std::int64_t k) const;      // code of the scale at element k
  int micro(std::int64_t r, std::int64_t k) const;                // tau at element k, 0 without
  std::size_t outer_index(std::int64_t r, std::int64_t k) const;  // into outer_scales

  /// What multiplies the element at k, without tau: scale * outer + mean. Exact where that fits a
  /// double: always but with a mean, :amax (divided by max last) and three-quarters.
  double scale_factor(std::int64_t r, std::int64_t k) const;
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
/// the scale has a NaN. A zero block has scale 1. With :amax the scale is amax and the elements
/// round(x * max / scale).
/// Outer scale: the largest block factor amax / max under it, divided by the scale format's largest
/// value, rounded RNE; block scales are then (amax / max - mean) / outer. The mean is that of all
/// block factors, summed in double, rounded to binary32. Nothing but zero: outer scale 1.
/// No scale: each element is encoded by itself, Inf and NaN kept where the format has them.
/// Second level: E = floor(log2 amax) of the block (emax = 0), tau = min(E - floor(log2 amax of the
/// sub-block), 2^bits - 1); elements round(x / 2^(E - tau)). (ISCA'23, section 3.)
QuantizedMatrix quantize(const BlockFormat& format, const MatrixView& x,
                         const QuantizeOptions& options = {});
/// The same into `out`, whose memory is used again.
void quantize_into(const BlockFormat& format, const MatrixView& x, const QuantizeOptions& options,
                   QuantizedMatrix& out);

/// The same by the definition, element after element: what quantize is tested against.
QuantizedMatrix quantize_by_definition(const BlockFormat& format, const MatrixView& x,
                                       const QuantizeOptions& options = {});

/// Values as float32, [rows][length] row-major; `value` rounded RNE where float32 cannot hold it.
std::vector<float> dequantize(const QuantizedMatrix& matrix);
/// The same into `values`, rows * length of them.
void dequantize_into(const QuantizedMatrix& matrix, std::span<float> values);

}  // namespace blockdot::formats
