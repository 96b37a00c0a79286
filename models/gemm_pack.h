// What the fast ways of the GEMM share when they pack an operand: elements as integers, scales as
// powers of two, and the range that a row spans.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "formats/block_format.h"
#include "formats/dot_spec.h"
#include "formats/quantize.h"

namespace blockdot::models {

/// Memory aligned to a vector. A thread keeps what it gives back, up to 64 MB, for its next
/// product: new pages cost as much as to pack them.
struct Memory {
  static Memory take(size_t bytes);
  static void give_back(Memory memory);
  void* data = nullptr;
  size_t bytes = 0;
};

/// Uninitialised memory aligned to a vector.
template <typename T>
class Buffer {
 public:
  explicit Buffer(std::int64_t size)
      : memory_(Memory::take(static_cast<size_t>(size) * sizeof(T) + 64)) {}
  ~Buffer() { Memory::give_back(memory_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  T* data() const { return static_cast<T*>(memory_.data); }

 private:
  Memory memory_;
};

/// The least e with 2^e >= x >= 1.
inline int ceil_log2(std::int64_t x) {
  return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(x - 1)));
}

/// The elements of a format as integers of 2^unit.
struct Units {
  bool known = false;
  int unit = 0;
  std::int64_t most = 0;         // largest magnitude, second level included
  std::int64_t highest = 0;      // largest value, second level included
  int bits = 0;                  // significant bits of a magnitude at most
  std::int64_t value[256] = {};  // by code, before the second level; 0 for NaN and Inf
  std::int64_t magnitude[256] = {};
  bool nan[256] = {};  // by code: NaN
  bool inf[256] = {};
  int tau_most = 0;  // value << (tau_most - tau)
};

/// Known for elements of at most 8 bits without code book, whose magnitudes fit `most_bits` bits.
Units units_of(const formats::BlockFormat& format, int most_bits);

/// An FP32 accumulator that rounds to nearest: the rounding that the processor has.
bool has_nearest_fp32_accumulator(const formats::DotSpec& spec);

/// The scales of its beats are E8M0 or none.
bool power_of_two_scale(const formats::BlockFormat& format);

/// What some rows hold, zeros left out.
struct RowRange {
  bool nan = false;
  bool inf = false;
  bool empty = true;
  int low = 0, high = 0;  // powers of two; what they mean is the way's business
  int span = 0;           // bits of a chunk from its lowest to its highest, at most
  double spans = 0;       // of all its chunks together
  std::int64_t chunks = 0;
  bool scaled = false;
  int scale_low = 0, scale_high = 0;  // what a unit is worth

  double mean_span() const { return chunks == 0 ? 0 : spans / static_cast<double>(chunks); }

  void take(int lowest, int highest) {
    low = empty ? lowest : std::min(low, lowest);
    high = empty ? highest : std::max(high, highest);
    span = std::max(span, highest - lowest);
    spans += highest - lowest;
    ++chunks;
    empty = false;
  }
  void take(int exponent) { take(exponent, exponent); }
  void take_scale(int lowest, int highest) {
    scale_low = scaled ? std::min(scale_low, lowest) : lowest;
    scale_high = scaled ? std::max(scale_high, highest) : highest;
    scaled = true;
  }
};

RowRange joint(const std::vector<RowRange>& rows, std::int64_t begin, std::int64_t end);

/// The scale of a chunk: a multiple of 2^low, at most 2^high.
struct ChunkScale {
  double value = 0;
  int low = 0, high = 0;
};
/// Of an E8M0 code; false: NaN.
inline bool e8m0_scale(std::uint32_t code, ChunkScale& scale) {
  const int exponent = static_cast<int>(code) - formats::kE8M0Bias;
  scale = {std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52), exponent,
           exponent};
  return code != formats::kE8M0Nan;
}
/// Of a scale code; false: NaN or Inf, and so is every result of the row.
bool chunk_scale(const formats::ScaleFormat& format, std::uint32_t code, ChunkScale& scale);
/// Of the chunk at element (r, k); 1 where the scale belongs to the result.
bool chunk_scale(const formats::QuantizedMatrix& matrix, std::int64_t r, std::int64_t k,
                 ChunkScale& scale);

/// The window of `spec` (a Kulisch window) loses no bit of these operands and never wraps or
/// saturates: every product is a multiple of 2^lsb, and the magnitudes of k of them stay below
/// 2^msb, by the scales that occur and what their formats' elements can be.
bool window_is_exact(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                     const formats::QuantizedMatrix& b);

/// Exponent of what a unit is worth at element (r, k) of a matrix with such scales; false: NaN.
bool unit_exponent(const formats::QuantizedMatrix& matrix, const Units& units, std::int64_t r,
                   std::int64_t k, int& exponent);

}  // namespace blockdot::models
