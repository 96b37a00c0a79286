// What public libraries do otherwise than the standards, as settings. Facts: microxcaling's C++
// kernel (mx/cpp, 2024), gfloat (block.py, 2024) and torchao (prototype/mx_formats, 2025).
#include <algorithm>

#include "formats/error.h"
#include "formats/quantize.h"
#include "formats/text.h"

namespace blockdot::formats {

const std::vector<CompatProfile>& compat_profiles() {
  static const std::vector<CompatProfile> profiles = {
      {"microxcaling", "the C++ kernel of microxcaling, round = even",
       "an element that rounds to zero loses its sign; its PyTorch path takes floor(log2) in "
       "binary32 and may choose the next exponent just below a power of two: not reproduced"},
      {"gfloat", "gfloat's quantize_block with compute_scale_amax, ties to even",
       "the most negative code of an integer is used; an Inf takes the scale 2^127 and saturates, "
       "and only a NaN makes the block NaN"},
      {"torchao", "torchao's to_mx (floor, ceil, even, rceil) in binary32",
       "ceil is ceil(log2 amax) - emax, one more than needed where amax is at most max 2^e; rceil "
       "multiplies amax by the rounded reciprocal of max; floating elements only"}};
  return profiles;
}

void apply_compat(std::string_view profile, BlockFormat& format, QuantizeOptions& options) {
  std::vector<std::string> names;
  for (const CompatProfile& known : compat_profiles()) names.push_back(known.name);
  if (std::find(names.begin(), names.end(), profile) == names.end())
    throw ConfigError("compat = {}: must be microxcaling, gfloat or torchao{}", shown(profile),
                      did_you_mean(profile, names));
  if (format.scale.kind != ScaleKind::kE8M0 || format.span != Span::kBlock ||
      format.micro.bits > 0 || format.tile_rows != 1)
    throw ConfigError("compat = {}: reproduces its MX formats; {} has no e8m0 scale a block",
                      profile, to_text(format));
  if (profile == "microxcaling") {
    options.keep_negative_zero = false;
    return;
  }
  if (profile == "gfloat") {
    if (format.element.kind == ElementKind::kInteger) format.element.symmetric = false;
    options.specials = BlockSpecials::kSaturate;
    return;
  }
  if (format.element.kind != ElementKind::kMinifloat)
    throw ConfigError("compat = torchao: takes e4m3, e5m2, e3m2, e2m3 and e2m1, not {}",
                      to_text(format.element));
  switch (options.scale_rule) {
    case ScaleRule::kFloor:
    case ScaleRule::kEven:
      break;
    case ScaleRule::kCeil:
    case ScaleRule::kCeilExponent:
      options.scale_rule = ScaleRule::kCeilExponent;
      break;
    case ScaleRule::kRceil:
    case ScaleRule::kRceilReciprocal:
      options.scale_rule = ScaleRule::kRceilReciprocal;
      break;
    case ScaleRule::kAmax:
    case ScaleRule::kThreeQuarters:
    case ScaleRule::kOptimal:
    case ScaleRule::kShift:
      throw ConfigError("compat = torchao: has the scale rules floor, ceil, even and rceil, not {}",
                        to_text(options.scale_rule));
  }
}

}  // namespace blockdot::formats
