#include "formats/scale_format.h"

#include <cmath>
#include <limits>

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::formats {

int ScaleFormat::width() const {
  switch (kind) {
    case ScaleKind::kNone:
      return 0;
    case ScaleKind::kE8M0:
      return 8;
    case ScaleKind::kMinifloat:
      return minifloat.width() - 1;
  }
  BLOCKDOT_CHECK(false, "scale kind");
}

ScaleFormat e8m0_scale() { return {ScaleKind::kE8M0, {}}; }

ScaleFormat minifloat_scale(const ElementFormat& minifloat) {
  return {ScaleKind::kMinifloat, minifloat};
}

void validate(const ScaleFormat& scale) {
  if (scale.kind != ScaleKind::kMinifloat) return;
  if (scale.minifloat.kind != ElementKind::kMinifloat)
    throw ConfigError("scale = {}: must be none, e8m0 or a minifloat such as fp32 or e4m3",
                      to_text(scale.minifloat));
  if (scale.minifloat.special == Special::kFnuz)
    throw ConfigError("scale = {}: its NaN is the code of -0, and a scale has no sign; try :fn",
                      to_text(scale.minifloat));
  validate(scale.minifloat);
}

ScaleFormat parse_scale(std::string_view text) {
  std::string lower = to_lower(text);
  if (lower == "none") return {};
  if (lower == "e8m0") return e8m0_scale();
  ScaleFormat scale;
  try {
    scale = minifloat_scale(parse_element(lower));
  } catch (const ConfigError&) {
    throw ConfigError(
        "scale = {}: must be none, e8m0 or a minifloat such as fp32 or e4m3{}", text,
        did_you_mean(lower, {"none", "e8m0", "fp32", "bf16", "fp16", "e4m3", "e5m3"}));
  }
  validate(scale);
  return scale;
}

std::string to_text(const ScaleFormat& scale) {
  switch (scale.kind) {
    case ScaleKind::kNone:
      return "none";
    case ScaleKind::kE8M0:
      return "e8m0";
    case ScaleKind::kMinifloat:
      return to_text(scale.minifloat);
  }
  BLOCKDOT_CHECK(false, "scale kind");
}

bool has_nan(const ScaleFormat& scale) {
  switch (scale.kind) {
    case ScaleKind::kNone:
      return false;
    case ScaleKind::kE8M0:
      return true;
    case ScaleKind::kMinifloat:
      return has_nan(scale.minifloat);
  }
  BLOCKDOT_CHECK(false, "scale kind");
}

std::uint32_t nan_code(const ScaleFormat& scale) {
  BLOCKDOT_CHECK(has_nan(scale), "scale {} has no NaN", to_text(scale));
  return scale.kind == ScaleKind::kE8M0 ? kE8M0Nan : nan_code(scale.minifloat);
}

double decode(const ScaleFormat& scale, std::uint32_t code) {
  switch (scale.kind) {
    case ScaleKind::kNone:
      return 1.0;
    case ScaleKind::kE8M0:
      return code == kE8M0Nan ? std::numeric_limits<double>::quiet_NaN()
                              : std::ldexp(1.0, static_cast<int>(code) - kE8M0Bias);
    case ScaleKind::kMinifloat:
      return decode(scale.minifloat, code);
  }
  BLOCKDOT_CHECK(false, "scale kind");
}

}  // namespace blockdot::formats
