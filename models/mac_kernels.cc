#include "models/mac_kernels.h"

// Else a compiler whose own baseline is that target (-march=native) finds it missing.
#define HWY_WANT_AVX3_DL
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "models/mac_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace blockdot::models {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F = hn::ScalableTag<float>;
using I = hn::RebindToSigned<F>;
using VF = hn::Vec<F>;
using VI = hn::Vec<I>;

// RNE of s to 8 bits: adding 1.5 * 2^16 times the power of two in s leaves no more of it.
HWY_INLINE VF nearest_bf16(VF s) {
  const F f;
  const I i;
  const VI top = hn::OrAnd(hn::Set(i, 0x00400000), hn::BitCast(i, s), hn::Set(i, 0x7F800000));
  const VF large = hn::BitCast(f, hn::Add(top, hn::Set(i, 16 << 23)));
  return hn::Sub(hn::Add(s, large), large);
}

void tile_nearest(const float* rows, const float* columns, std::int64_t k, float* out) {
  const F f;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(F()));
  constexpr int kVectors = 2;  // more would leave no registers for the rounding
  for (int first = 0; first < kMacCols; first += kVectors * kLanes) {
    VF acc[kMacRows][kVectors];
#pragma GCC unroll 6
    for (int r = 0; r < kMacRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = hn::Zero(f);
    for (std::int64_t at = 0; at < k; ++at) {
      VF b[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        b[v] = hn::LoadU(f, columns + at * kMacCols + first + v * kLanes);
#pragma GCC unroll 6
      for (int r = 0; r < kMacRows; ++r) {
        const VF a = hn::Set(f, rows[at * kMacRows + r]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) acc[r][v] = nearest_bf16(hn::MulAdd(a, b[v], acc[r][v]));
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < kMacRows; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        hn::StoreU(acc[r][v], f, out + r * kMacCols + first + v * kLanes);
  }
}

#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL

bool stochastic_macs() { return true; }

// The next 32 bits of each lane: the sequence of the polynomial's 32nd power, which is linear in
// whole words.
HWY_INLINE VI next_word(LaneStreams& s) {
  const I i;
  const auto word = [&](std::int64_t n) HWY_ATTR {
    return hn::LoadU(i, reinterpret_cast<const std::int32_t*>(s.word[n & 31]));
  };
  const std::int64_t n = s.words++;
  VI w = word(n);
  if (n < 32) return w;
  w = hn::Xor(hn::Xor(w, word(n - 1)), hn::Xor(word(n - 2), word(n - 22)));
  hn::StoreU(w, i, reinterpret_cast<std::int32_t*>(s.word[n & 31]));
  return w;
}

void start(const std::uint32_t* states, LaneStreams& streams) {
  const hn::RebindToUnsigned<I> u;
  const I i;
  auto s = hn::LoadU(u, states);
  auto half = hn::Zero(u);
  for (int n = 0; n < 64; ++n) {
    // What 16 steps shift out: s / (1 + x + x^2) modulo x^16, and
    // 1 / (1 + x + x^2) = (1 + x) (1 + x^3) (1 + x^6) (1 + x^12) ...
    auto b = hn::Xor(s, hn::ShiftLeft<1>(s));
    b = hn::Xor(b, hn::ShiftLeft<3>(b));
    b = hn::Xor(b, hn::ShiftLeft<6>(b));
    b = hn::Xor(b, hn::ShiftLeft<12>(b));
    b = hn::And(b, hn::Set(u, 0xFFFF));
    // (s - b p) / x^16
    const auto low = hn::Xor(hn::Xor(s, b), hn::Xor(hn::ShiftLeft<1>(b), hn::ShiftLeft<2>(b)));
    s = hn::Xor(hn::Xor(hn::ShiftRight<16>(low), hn::ShiftLeft<6>(b)), hn::ShiftLeft<16>(b));
    if (n % 2 == 0)
      half = b;
    else
      hn::StoreU(hn::Or(half, hn::ShiftLeft<16>(b)), u, streams.word[n / 2]);
  }
  streams.words = 0;
  streams.used = 0;
  hn::StoreU(next_word(streams), i, reinterpret_cast<std::int32_t*>(streams.current));
  hn::StoreU(next_word(streams), i, reinterpret_cast<std::int32_t*>(streams.next));
}

// The bits of a draw from what is shifted out, aligned below bit 16; what lies above r is cut.
HWY_INLINE VI draw_of(VI b, VI mask, int shift) {
  const VI d = hn::Xor(hn::Xor(b, hn::ShiftLeft<1>(b)), hn::ShiftLeft<2>(b));
  return hn::ShiftLeftSame(hn::And(d, mask), shift);
}

HWY_INLINE VF stochastic_mac(float a, VF b, VF acc, VI draw) {
  const F f;
  const I i;
  const VF sum{_mm512_fmadd_round_ps(hn::Set(f, a).raw, b.raw, acc.raw,
                                     _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC)};
  const VI carried = hn::Add(hn::BitCast(i, sum), draw);
  return hn::BitCast(f, hn::And(carried, hn::Set(i, static_cast<std::int32_t>(0xFFFF0000u))));
}

void tile_stochastic(const float* rows, const float* columns, std::int64_t k, int r,
                     LaneStreams* streams, float* out) {
  const F f;
  const I i;
  const VI mask = hn::Set(i, (1 << r) - 1);
  VF acc[kStreamRows];
  VI current[kStreamRows], next[kStreamRows];
#pragma GCC unroll 8
  for (int row = 0; row < kStreamRows; ++row) {
    acc[row] = hn::Zero(f);
    current[row] = hn::LoadU(i, reinterpret_cast<const std::int32_t*>(streams[row].current));
    next[row] = hn::LoadU(i, reinterpret_cast<const std::int32_t*>(streams[row].next));
  }
  const hn::RebindToUnsigned<I> u;
  int used = streams[0].used;
  for (std::int64_t at = 0; at < k; ++at) {
    const VF b = hn::LoadU(f, columns + at * kStreamLanes);
    const float* a = rows + at * kStreamRows;
    const bool straddles = used + r > 32;
#pragma GCC unroll 8
    for (int row = 0; row < kStreamRows; ++row) {
      VI bits = hn::BitCast(i, hn::ShiftRightSame(hn::BitCast(u, current[row]), used));
      if (straddles) bits = hn::Or(bits, hn::ShiftLeftSame(next[row], 32 - used));
      acc[row] = stochastic_mac(a[row], b, acc[row], draw_of(bits, mask, 16 - r));
    }
    used += r;
    if (used < 32) continue;
    used -= 32;
#pragma GCC unroll 8
    for (int row = 0; row < kStreamRows; ++row) {
      current[row] = next[row];
      next[row] = next_word(streams[row]);
    }
  }
#pragma GCC unroll 8
  for (int row = 0; row < kStreamRows; ++row) {
    hn::StoreU(acc[row], f, out + row * kStreamLanes);
    hn::StoreU(current[row], i, reinterpret_cast<std::int32_t*>(streams[row].current));
    hn::StoreU(next[row], i, reinterpret_cast<std::int32_t*>(streams[row].next));
    streams[row].used = used;
  }
}

#else

bool stochastic_macs() { return false; }
void start(const std::uint32_t*, LaneStreams&) {}
void tile_stochastic(const float*, const float*, std::int64_t, int, LaneStreams*, float*) {}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace blockdot::models
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace blockdot::models {

HWY_EXPORT(tile_nearest);
HWY_EXPORT(stochastic_macs);
HWY_EXPORT(start);
HWY_EXPORT(tile_stochastic);

void mac_tile_nearest(const float* rows, const float* columns, std::int64_t k, float* acc) {
  HWY_DYNAMIC_DISPATCH(tile_nearest)(rows, columns, k, acc);
}
bool has_stochastic_macs() { return HWY_DYNAMIC_DISPATCH(stochastic_macs)(); }
void start_streams(const std::uint32_t* states, LaneStreams& streams) {
  HWY_DYNAMIC_DISPATCH(start)(states, streams);
}
void mac_tile_stochastic(const float* rows, const float* columns, std::int64_t k, int r,
                         LaneStreams* streams, float* acc) {
  HWY_DYNAMIC_DISPATCH(tile_stochastic)(rows, columns, k, r, streams, acc);
}

}  // namespace blockdot::models
#endif
