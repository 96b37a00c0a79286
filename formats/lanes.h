// The vector code of quantise (Google Highway, chosen for the processor at run time). Everything
// here takes finite values and gives the bits of the definition; quantize_kernels.cc decides what
// may come here. How: see lanes.cc.
#pragma once

#include <cstdint>

namespace blockdot::formats {

/// What a lane needs to know of an element format of at most 8 bits.
struct LaneFormat {
  enum class Way { kMinifloat, kInteger, kSignMagnitude };
  Way way = Way::kMinifloat;
  int max_code = 0;    // of the magnitude
  int sign_shift = 0;  // of the sign bit in the code
  bool drop_zero_sign = false;
  // Minifloat: a magnitude's binary32 bits minus `rebias`, rounded at bit `shift`, are the code;
  // below `least_normal` the sum with `magic`, whose unit is the smallest subnormal, is.
  int shift = 1;
  int rebias = 0;
  std::int32_t least_normal = 0;
  float magic = 0;
  // Integer and sign-magnitude: units of 1 / scale, within [low, high].
  float scale = 1;
  float low = 0, high = 0;
  int mask = 0;
};

/// Largest magnitude of x[0..n) as binary32 bits.
std::uint32_t lanes_max_bits(const float* x, std::int64_t n);

/// codes[i] = encode(x[i] * factor), factor a power of two.
void lanes_encode_pow2(const LaneFormat& format, const float* x, std::int64_t n, float factor,
                       std::uint8_t* codes);

/// codes[i] = encode(x[i] / divisor); 2^-100 <= divisor <= 2^100, and |x| below 2^-101 gives zero.
void lanes_encode_quotient(const LaneFormat& format, const float* x, std::int64_t n, float divisor,
                           std::uint8_t* codes);

/// Integers: codes[i] = encode(x[i] * high / divisor / scale), the same range of divisors.
void lanes_encode_amax(const LaneFormat& format, const float* x, std::int64_t n, float divisor,
                       std::uint8_t* codes);

/// codes[i] = number of thresholds below x[i]; `count` of them, rising, at most 15. A threshold is
/// middles[c] * divisor rounded down to binary32, one lower yet where it is exact and c is odd.
void lanes_encode_book(const double* middles, int count, const float* x, std::int64_t n,
                       double divisor, std::uint8_t* codes);

/// Blocks first .. blocks-1 of a row under e8m0 and the rule floor: scale codes and element codes.
/// Stops at a block with NaN, Inf or a subnormal maximum and returns its number, else `blocks`.
std::int64_t lanes_rows_pow2(const LaneFormat& format, const float* x, std::int64_t block,
                             std::int64_t first, std::int64_t blocks, int emax,
                             std::uint32_t* scales, std::uint8_t* codes);

/// How codes of at most 8 bits become values, by lane.
struct LaneDecoder {
  LaneFormat::Way way = LaneFormat::Way::kMinifloat;
  int width = 8;
  int shift = 0;            // minifloat: of the magnitude to a binary32's place
  float factor = 1;         // minifloat: 2^(127 - bias), what that place is worth
  int man_mask = 0;         // minifloat: the largest subnormal magnitude
  float unit = 1;           // value of magnitude 1: the smallest subnormal, an integer's step
  int first_special = 256;  // minifloat: magnitudes from here on are NaN, but `inf`
  int inf = -1;
};

/// out[i] = value(codes[i]) * scale in binary32; the value is exact.
void lanes_decode(const LaneDecoder& decoder, const std::uint8_t* codes, std::int64_t n,
                  float scale, float* out);

}  // namespace blockdot::formats
