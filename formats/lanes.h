// The vector code of quantise (Google Highway, chosen for the processor at run time). Everything
// here takes finite values and gives the bits of the definition; quantize_kernels.cc decides what
// may come here. How: see lanes.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

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

/// The instruction sets that this vector code has and this processor takes: "AVX3", "SSE2"...
std::vector<std::string> lanes_targets();
/// Takes one of them from now on, here and in the kernels of models, to compare their bits; any
/// other name: the best one again.
void lanes_use_target(std::string_view name);

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

/// A code book of at most 16 values: the middles between each value and the next, then +Inf. A
/// threshold is middle[c] * divisor, exact in double, rounded down to binary32, and one lower yet
/// where that is exact and c is odd: a tie goes up from odd. `step` is what to add to the double's
/// bits before they are cut towards zero.
struct BookLanes {
  double middle[16];
  std::int64_t step[16];
};

/// codes[i] = number of thresholds below x[i]; 2^-100 <= divisor <= 2^100.
void lanes_encode_book(const BookLanes& book, const float* x, std::int64_t n, double divisor,
                       std::uint8_t* codes);

/// A dynamic map: nine segments of magnitudes (zero, seven decades, one), each a line from a
/// magnitude to its number in the map; of the numbers only those next to a border need more.
struct DynamicMap {
  static constexpr int kBorders = 8;
  double border[kBorders] = {};          // the middles between the segments
  std::uint32_t tie_up[kBorders] = {};   // 1: a tie goes to the segment above
  double slope[kBorders + 1] = {};       // numbers a unit of magnitude
  float offset[kBorders + 1] = {};       // number = nearest(slope * magnitude + offset)
  std::int32_t last[kBorders + 1] = {};  // and at most this
  const double* middle = nullptr;        // between number i and i + 1
  int zero = 0;                          // code of 0; code = zero +- number
};

/// codes[i] = encode(x[i] / divisor); 2^-100 <= divisor <= 2^100.
void lanes_encode_dynamic(const DynamicMap& map, const float* x, std::int64_t n, double divisor,
                          std::uint8_t* codes);

/// `blocks` blocks of a row under e8m0 and the rule floor: scale codes and element codes. Blocks
/// with NaN, Inf or a subnormal maximum are left out: their numbers go to `declined` (room for
/// `blocks`), and how many they are is returned.
std::int64_t lanes_rows_pow2(const LaneFormat& format, const float* x, std::int64_t block,
                             std::int64_t blocks, int emax, std::uint32_t* scales,
                             std::uint8_t* codes, std::int64_t* declined);

/// How a block's scale follows from its largest magnitude, where it is a minifloat.
struct RowScale {
  bool fp32 = false;        // else `format`
  LaneFormat format;        // of the scale, a minifloat of at most 16 bits
  float amax_divisor = 1;   // max of the element, 1 where the scale is the maximum itself
  bool of_maximum = false;  // integers: codes are x * high / scale
  float least = 0;  // smaller scales are declined, and so are those above 2^100; a normal number
};

/// The same under such a scale. `book`, `dynamic`: of code books, else null.
std::int64_t lanes_rows_float(const LaneFormat& format, const BookLanes* book,
                              const DynamicMap* dynamic, const RowScale& scale, const float* x,
                              std::int64_t block, std::int64_t blocks, std::uint32_t* scales,
                              std::uint8_t* codes, std::int64_t* declined);

/// How codes of at most 8 bits become values, by lane.
struct LaneDecoder {
  LaneFormat::Way way = LaneFormat::Way::kMinifloat;
  int width = 8;
  int shift = 0;      // minifloat: of the magnitude to a binary32's place
  float factor = 1;   // minifloat: 2^(127 - bias), what that place is worth
  int man_mask = 0;   // minifloat: the largest subnormal magnitude
  float divisor = 1;  // integer: values are code * scale / divisor instead of code * unit * scale
  float unit = 1;     // value of magnitude 1: the smallest subnormal, an integer's step
  int first_special = 256;  // minifloat: magnitudes from here on are NaN, but `inf`
  int inf = -1;
};

/// out[i] = value(codes[i]) * scales[i / block] in binary32, for i in [0, n); the value is exact.
/// With a divisor scales are 0 or within [2^-80, 2^100], of at most 16 bits: the quotient is then
/// rounded once.
void lanes_decode(const LaneDecoder& decoder, const std::uint8_t* codes, std::int64_t n,
                  std::int64_t block, const float* scales, float* out);

}  // namespace blockdot::formats
