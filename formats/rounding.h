// Rounding modes and the random bits of the stochastic one, as data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace blockdot::formats {

enum class RoundingMode {
  kRne,         // to nearest, ties to the even code (also where there are no mantissa bits)
  kRna,         // to nearest, ties away from zero
  kRtz,         // towards zero
  kStochastic,  // add random bits to the discarded tail, the carry rounds up
};

/// What a stochastic rounding with r bits does with the tail below them (Fitzgibbon and Felix,
/// ARITH 2025). Mean bias for uniform tails of D > r bits, in units of the last place:
enum class SrVariant {
  kSrff,  // truncates the tail to r bits: 2^-(D+1) - 2^-(r+1); the cheapest, the default
  kSrf,   // truncates to r + 1 bits and adds 2 * random + 1: 2^-(D+1)
  kSrc,   // rounds the tail RNE to r bits first: 0
};

/// How a value between two neighbours of a format becomes one of them.
///
/// All modes act on the magnitude. With lo <= |x| < hi the neighbours and f = (|x| - lo)/(hi - lo):
///   stochastic with r bits (SRFF of Fitzgibbon and Felix, ARITH 2025): the tail is truncated to
///   t = floor(f * 2^r); |x| rounds up exactly when t + random >= 2^r, random in [0, 2^r).
/// Over all 2^r draws the number of round-ups is t. The variants change t (SrVariant). Below the
/// smallest normal the spacing is that of the subnormals. Text form: `rne`, `rna`, `rtz`, `sr:R`,
/// `srf:R`, `src:R`.
struct Rounding {
  RoundingMode mode = RoundingMode::kRne;
  int random_bits = 0;  // r, 1..32 when stochastic, else 0
  SrVariant variant = SrVariant::kSrff;

  bool stochastic() const { return mode == RoundingMode::kStochastic; }
  bool operator==(const Rounding&) const = default;
};

/// Stochastic rounding with r random bits, 1 <= r <= 32.
inline Rounding stochastic_rounding(int r) {
  return {RoundingMode::kStochastic, r, SrVariant::kSrff};
}

/// ConfigError names the allowed modes.
Rounding parse_rounding(std::string_view text);
std::string to_text(const Rounding& rounding);

/// One rounding decision on an integer: `kept` units and a discarded tail of `tail / 2^tail_bits`.
/// Returns kept or kept + 1. tail < 2^tail_bits, tail_bits <= 63, random < 2^random_bits.
std::uint64_t round_tail(std::uint64_t kept, std::uint64_t tail, int tail_bits,
                         const Rounding& rounding, std::uint32_t random);

}  // namespace blockdot::formats
