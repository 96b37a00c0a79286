// The random stream of stochastic rounding: a Galois linear feedback shift register.
//
//   state s (width bits), one step:   s' = (s >> 1) ^ (s[0] ? taps : 0)
//
// taps has bit n-1 set for every exponent n of the primitive polynomial (XAPP052's table):
//   width 16: {16,15,13,4}   width 32: {32,22,2,1}   width 64: {64,63,61,60}
// so the state runs through all 2^width - 1 values that are not zero.
#pragma once

#include <cstdint>

#include "formats/error.h"

namespace blockdot::formats {

inline constexpr int kLfsrWidth = 32;

/// Feedback mask of a width; ConfigError for a width without one here.
inline std::uint64_t lfsr_taps(int width) {
  switch (width) {
    case 16:
      return 0xD008u;
    case 32:
      return 0x80200003u;
    case 64:
      return 0xD800000000000000u;
    default:
      throw ConfigError("lfsr width = {}: must be 16, 32 or 64", width);
  }
}

/// A stream of draws. One draw of r bits is the low r bits of the state; then the state advances r
/// steps, so that draws share no bit. A rounding takes one draw when it is issued, and only then:
/// the result does not depend on stalls. A zero seed would lock up and is read as 1.
class Lfsr {
 public:
  explicit Lfsr(std::uint64_t seed = 1, int width = kLfsrWidth)
      : width_(width), taps_(lfsr_taps(width)) {
    state_ = width == 64 ? seed : seed & ((std::uint64_t{1} << width) - 1);
    if (state_ == 0) state_ = 1;
  }

  /// r random bits, 1 <= r <= 32.
  std::uint32_t draw(int r) {
    auto bits = static_cast<std::uint32_t>(state_ & ((std::uint64_t{1} << r) - 1));
    for (int i = 0; i < r; ++i) step();
    return bits;
  }

  void step() { state_ = (state_ >> 1) ^ ((state_ & 1) ? taps_ : 0); }

  std::uint64_t state() const { return state_; }
  int width() const { return width_; }

 private:
  int width_;
  std::uint64_t taps_;
  std::uint64_t state_;
};

}  // namespace blockdot::formats
