// Scale encodings: the factor that a block of elements shares. A scale is never negative, so its
// code carries no sign bit.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "formats/element_format.h"

namespace blockdot::formats {

enum class ScaleKind {
  kNone,       // factor 1, no code
  kE8M0,       // OCP MX: [ c : 8 ] = 2^(c - 127), c = 255 is NaN; no zero, no Inf
  kMinifloat,  // a minifloat's code without its sign bit: fp32 has 31 bits here
  kInteger,    // unsigned whole number [ c : int_bits ] = c, under an outer scale (VSQ)
  kCodeBook,   // a code book, under an outer scale (double quantisation)
};

/// Text forms: `none`, `e8m0`, a minifloat (`fp32`, `bf16`, `e4m3`, ...), a minifloat that is
/// stored without its sign bit (`ue4m3`, `ue5m3`: fn unless a policy is named), `uN` (whole number
/// of N bits, 2..16), a code book (`dynamic8`). `:amax` after a minifloat, see of_maximum.
struct ScaleFormat {
  ScaleKind kind = ScaleKind::kNone;
  ElementFormat minifloat;  // when kMinifloat
  /// The code is the magnitude that the largest element value stands for, so the factor is
  /// decode(code) / max_value(element) (ABFP, SwitchBack: x = q * amax / 127). Else the code is the
  /// factor itself.
  bool of_maximum = false;
  bool stored_sign = true;         // kMinifloat: memory holds its sign bit too, always 0
  int int_bits = 0;                // kInteger: 2..16
  CodeBook book = CodeBook::kNf4;  // kCodeBook

  int width() const;          // bits of the code: 0, 8, or the minifloat's without sign
  int storage_width() const;  // bits in memory: with the sign bit where it is stored
  bool operator==(const ScaleFormat&) const = default;
};

inline constexpr std::uint32_t kE8M0Nan = 255;
inline constexpr int kE8M0Bias = 127;

ScaleFormat e8m0_scale();
ScaleFormat minifloat_scale(const ElementFormat& minifloat);
ScaleFormat integer_scale(int bits);
ScaleFormat code_book_scale(CodeBook book);

void validate(const ScaleFormat& scale);
ScaleFormat parse_scale(std::string_view text);
/// Reads a scale from the reader's place up to one of "@/+*" or the end.
ScaleFormat parse_scale(Reader& reader);
std::string to_text(const ScaleFormat& scale);

bool has_nan(const ScaleFormat& scale);
/// Code of NaN. InternalError when the format has none.
std::uint32_t nan_code(const ScaleFormat& scale);

/// Exact value of a code; NaN and Inf are doubles too. 1 for kNone.
double decode(const ScaleFormat& scale, std::uint32_t code);

/// The code nearest to x >= 0, RNE, saturating; E8M0 to the nearest power of two (a tie to the
/// upper one). Where x > 0 never the code of zero.
std::uint32_t encode(const ScaleFormat& scale, double x);

/// Largest value of a code. 1 for kNone.
double max_value(const ScaleFormat& scale);

}  // namespace blockdot::formats
