// What a Verilated model is compiled with for its words of more than 64 bits. Verilator keeps them
// as arrays of 32 bits and its own functions walk them with loops and branches that depend on the
// data; these take the same arguments, work on 64 or 128 bits at a time and never branch on data.
// Shifts are of 64 bits: double-precision ones (shld) are slow on some processors.
#pragma once

#include <string_view>

namespace blockdot::sim {

/// C++ text that goes before what Verilator wrote. Redefines VL_ADD_W, VL_SUB_W, VL_NEGATE_W,
/// VL_SHIFTL_WWI and VL_SHIFTR_WWI of Verilator 5; says nothing to other versions. As in Verilator,
/// `w` is little-endian, operands are clean and a result may have bits above its width.
inline constexpr std::string_view kWideWords = R"(#include "verilated.h"
#if VERILATOR_VERSION_INTEGER >= 5000000 && VERILATOR_VERSION_INTEGER < 6000000
namespace wide {
#define WIDE_INLINE static inline __attribute__((always_inline))
typedef unsigned __int128 Pair;
constexpr int kMostLimbs = 10;  // longer words are left to Verilator

WIDE_INLINE QData limb(const EData* w, int words, int i) {
  QData q = 2 * i < words ? w[2 * i] : 0;
  if (2 * i + 1 < words) q |= static_cast<QData>(w[2 * i + 1]) << 32;
  return q;
}
WIDE_INLINE void put(EData* w, int words, int i, QData q) {
  if (2 * i < words) w[2 * i] = static_cast<EData>(q);
  if (2 * i + 1 < words) w[2 * i + 1] = static_cast<EData>(q >> 32);
}
WIDE_INLINE Pair pair(const EData* w, int words) {
  return static_cast<Pair>(limb(w, words, 1)) << 64 | limb(w, words, 0);
}
WIDE_INLINE void put_pair(EData* w, int words, Pair p) {
  put(w, words, 0, static_cast<QData>(p));
  put(w, words, 1, static_cast<QData>(p >> 64));
}

WIDE_INLINE WDataOutP shl(int obits, int lbits, int rbits, WDataOutP o, const EData* l, IData by) {
  const int words = (obits + 31) / 32, n = (words + 1) / 2;
  if (n > kMostLimbs) return VL_SHIFTL_WWI(obits, lbits, rbits, o, l, by);
  if (n <= 2) {
    const QData low = limb(l, words, 0), high = limb(l, words, 1);
    const int bits = by % 64;
    const QData moved = low << bits, over = high << bits | low >> 1 >> (63 - bits);
    const bool far = by >= 64, gone = by >= static_cast<IData>(obits);
    put(o, words, 0, far || gone ? 0 : moved);
    put(o, words, 1, gone ? 0 : far ? moved : over);
    return o;
  }
  QData limbs[2 * kMostLimbs + 1];  // n + 1 zeros below
#pragma GCC unroll 11
  for (int i = 0; i <= n; ++i) limbs[i] = 0;
#pragma GCC unroll 10
  for (int i = 0; i < n; ++i) limbs[n + 1 + i] = limb(l, words, i);
  const IData shift = by < static_cast<IData>(obits) ? by : static_cast<IData>(n * 64);
  const QData* from = limbs + n + 1 - shift / 64;
  const int bits = shift % 64;
#pragma GCC unroll 10
  for (int i = 0; i < n; ++i) put(o, words, i, from[i] << bits | from[i - 1] >> 1 >> (63 - bits));
  return o;
}
WIDE_INLINE WDataOutP shr(int obits, int lbits, int rbits, WDataOutP o, const EData* l, IData by) {
  const int words = (obits + 31) / 32, n = (words + 1) / 2;
  if (n > kMostLimbs) return VL_SHIFTR_WWI(obits, lbits, rbits, o, l, by);
  if (n <= 2) {
    const QData low = limb(l, words, 0), high = limb(l, words, 1);
    const int bits = by % 64;
    const QData moved = high >> bits, over = low >> bits | high << 1 << (63 - bits);
    const bool far = by >= 64, gone = by >= static_cast<IData>(obits);
    put(o, words, 0, gone ? 0 : far ? moved : over);
    put(o, words, 1, far || gone ? 0 : moved);
    return o;
  }
  QData limbs[2 * kMostLimbs + 1];  // n + 1 zeros above
#pragma GCC unroll 10
  for (int i = 0; i < n; ++i) limbs[i] = limb(l, words, i);
#pragma GCC unroll 11
  for (int i = n; i <= 2 * n; ++i) limbs[i] = 0;
  const IData shift = by < static_cast<IData>(obits) ? by : static_cast<IData>(n * 64);
  const QData* from = limbs + shift / 64;
  const int bits = shift % 64;
#pragma GCC unroll 10
  for (int i = 0; i < n; ++i) put(o, words, i, from[i] >> bits | from[i + 1] << 1 << (63 - bits));
  return o;
}
WIDE_INLINE WDataOutP add(int words, WDataOutP o, const EData* l, const EData* r) {
  if (words > 4) return VL_ADD_W(words, o, l, r);
  put_pair(o, words, pair(l, words) + pair(r, words));
  return o;
}
WIDE_INLINE WDataOutP sub(int words, WDataOutP o, const EData* l, const EData* r) {
  if (words > 4) return VL_SUB_W(words, o, l, r);
  put_pair(o, words, pair(l, words) - pair(r, words));
  return o;
}
WIDE_INLINE WDataOutP negate(int words, WDataOutP o, const EData* l) {
  if (words > 4) return VL_NEGATE_W(words, o, l);
  put_pair(o, words, -pair(l, words));
  return o;
}
}  // namespace wide
#define VL_SHIFTL_WWI wide::shl
#define VL_SHIFTR_WWI wide::shr
#define VL_ADD_W wide::add
#define VL_SUB_W wide::sub
#define VL_NEGATE_W wide::negate
#endif
)";

}  // namespace blockdot::sim
