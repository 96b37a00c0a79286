// The random stream of stochastic rounding: a linear feedback shift register of maximal length.
//
//   Galois      s' = (s >> 1) ^ (s[0] ? taps : 0)        taps: bit e-1 for every exponent e
//   Fibonacci   s' = (s >> 1) | (parity(s & taps) << n-1)   taps: bit e for every exponent e < n,
//                                                                 and bit 0
//
// The exponents e of the primitive polynomial x^n + ... + 1 are those of XAPP052's table, so the
// state runs through all 2^n - 1 values that are not zero. Both shift the bit s[0] out.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/error.h"

namespace blockdot::formats {

enum class LfsrKind {
  kGalois,     // the bit that leaves is added at the taps: one XOR a step
  kFibonacci,  // the taps' sum enters at the top: every bit of the state is shifted out unchanged
};

/// Which register, and where it starts. Text form `galois:32`, `fibonacci:16`, with a seed
/// `galois:32:77`, and `:no-port` after any of them.
struct LfsrSpec {
  LfsrKind kind = LfsrKind::kGalois;
  int width = 32;          // n, 4..64
  std::uint64_t seed = 1;  // state after reset, 1..2^n - 1
  bool port = true;        // a state can be loaded: seed_load_i and seed_i

  std::uint64_t mask() const { return ~std::uint64_t{0} >> (64 - width); }  // also its period
  bool operator==(const LfsrSpec&) const = default;
};

/// ConfigError names the kinds and the ranges.
LfsrSpec parse_lfsr(std::string_view text);
std::string to_text(const LfsrSpec& spec);
/// ConfigError for a width or seed out of range.
void validate(const LfsrSpec& spec);

/// Exponents of the feedback polynomial, the width first, without 0. ConfigError for a width
/// outside 4..64.
const std::vector<int>& lfsr_exponents(int width);
/// The state from which a unit draws whose user wants this one: without a port it is the spec's.
inline std::uint64_t start_state(const LfsrSpec& spec, std::uint64_t wanted) {
  return spec.port ? wanted : spec.seed;
}
/// The mask `taps` above.
std::uint64_t lfsr_taps(const LfsrSpec& spec);

/// A stream of draws. One draw of r bits is the low r bits of the state; then the state advances r
/// steps, so that draws share no bit. A rounding takes one draw when it is issued, and only then:
/// the result does not depend on stalls. A seed is taken modulo 2^n; zero would lock up and is read
/// as 1. A register that something else leaves at zero (an upset) is 1 a cycle later.
class Lfsr {
 public:
  explicit Lfsr(std::uint64_t seed = 1, const LfsrSpec& spec = {})
      : width_(spec.width),
        fibonacci_(spec.kind == LfsrKind::kFibonacci),
        taps_(lfsr_taps(spec)),
        state_(seed & spec.mask()) {
    if (state_ == 0) state_ = 1;
  }

  /// r random bits, 1 <= r <= 32 and r <= width.
  std::uint32_t draw(int r) {
    auto bits = static_cast<std::uint32_t>(state_ & ((std::uint64_t{1} << r) - 1));
    for (int i = 0; i < r; ++i) step();
    return bits;
  }

  void step() {
    if (fibonacci_)
      state_ = state_ >> 1 | static_cast<std::uint64_t>(std::popcount(state_ & taps_) & 1)
                                 << (width_ - 1);
    else
      state_ = (state_ >> 1) ^ ((state_ & 1) ? taps_ : 0);
  }

  std::uint64_t state() const { return state_; }

 private:
  int width_;
  bool fibonacci_;
  std::uint64_t taps_;
  std::uint64_t state_;
};

}  // namespace blockdot::formats
