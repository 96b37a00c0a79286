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
};

/// Text forms: `none`, `e8m0`, or a minifloat (`fp32`, `bf16`, `e4m3`, ...).
struct ScaleFormat {
  ScaleKind kind = ScaleKind::kNone;
  ElementFormat minifloat;  // when kMinifloat

  int width() const;  // bits of the code: 0, 8, or the minifloat's without sign
  bool operator==(const ScaleFormat&) const = default;
};

inline constexpr std::uint32_t kE8M0Nan = 255;
inline constexpr int kE8M0Bias = 127;

ScaleFormat e8m0_scale();
ScaleFormat minifloat_scale(const ElementFormat& minifloat);

void validate(const ScaleFormat& scale);
ScaleFormat parse_scale(std::string_view text);
std::string to_text(const ScaleFormat& scale);

bool has_nan(const ScaleFormat& scale);
/// Code of NaN. InternalError when the format has none.
std::uint32_t nan_code(const ScaleFormat& scale);

/// Exact value of a code; NaN and Inf are doubles too. 1 for kNone.
double decode(const ScaleFormat& scale, std::uint32_t code);

}  // namespace blockdot::formats
