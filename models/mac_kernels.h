// The inner loops of the MAC way (Google Highway): acc = round_bf16(acc + a * b), product by
// product, in lanes of binary32.
#pragma once

#include <cstdint>

namespace blockdot::models {

inline constexpr int kMacRows = 6;
inline constexpr int kMacCols = 64;

/// acc[r][c] for k products: rows [k][kMacRows], columns [k][kMacCols]; rounding RNE.
void mac_tile_nearest(const float* rows, const float* columns, std::int64_t k, float* acc);

inline constexpr int kStreamRows = 8;
inline constexpr int kStreamLanes = 16;

/// The b-sequence of the random stream of each lane of a row: what the LFSR shifts out, 32 bits a
/// word. d = B ^ (B << 1) ^ (B << 2) are the bits of a draw, where B are the r bits shifted out
/// from its state on: s = B * (x^32 + x^22 + x^2 + x + 1) modulo x^r, r <= 22.
struct LaneStreams {
  std::uint32_t word[32][kStreamLanes];  // word n at [n % 32]: the last 32
  std::int64_t words = 0;                // that were taken: the next is number `words`
  std::uint32_t current[kStreamLanes];   // `used` bits of it are spent
  std::uint32_t next[kStreamLanes];
  int used = 0;
};

/// The processor can round towards zero by instruction.
bool has_stochastic_macs();

/// Streams whose lanes start at these states.
void start_streams(const std::uint32_t* states, LaneStreams& streams);

/// One result a lane and row: rows [k][kStreamRows], columns [k][kStreamLanes]; draws of r bits.
void mac_tile_stochastic(const float* rows, const float* columns, std::int64_t k, int r,
                         LaneStreams* streams, float* acc);

}  // namespace blockdot::models
