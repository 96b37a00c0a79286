#include "formats/scale_format.h"

#include <algorithm>
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
    case ScaleKind::kInteger:
      return int_bits;
    case ScaleKind::kCodeBook:
      return code_book_width(book);
  }
  BLOCKDOT_CHECK(false, "scale kind");
}

int ScaleFormat::storage_width() const {
  return width() + (kind == ScaleKind::kMinifloat && stored_sign ? 1 : 0);
}

ScaleFormat e8m0_scale() {
  ScaleFormat scale;
  scale.kind = ScaleKind::kE8M0;
  return scale;
}

ScaleFormat minifloat_scale(const ElementFormat& minifloat) {
  ScaleFormat scale;
  scale.kind = ScaleKind::kMinifloat;
  scale.minifloat = minifloat;
  return scale;
}

ScaleFormat integer_scale(int bits) {
  ScaleFormat scale;
  scale.kind = ScaleKind::kInteger;
  scale.int_bits = bits;
  return scale;
}

ScaleFormat code_book_scale(CodeBook book) {
  ScaleFormat scale;
  scale.kind = ScaleKind::kCodeBook;
  scale.book = book;
  return scale;
}

void validate(const ScaleFormat& scale) {
  if (scale.kind == ScaleKind::kInteger && (scale.int_bits < 2 || scale.int_bits > 16))
    throw ConfigError("scale bits = {}: must be in [2, 16]", scale.int_bits);
  if (scale.kind == ScaleKind::kCodeBook && scale.book == CodeBook::kBinary)
    throw ConfigError("scale = binary: its values are -1 and +1; try dynamic8");
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
  Reader reader("scale", text);
  ScaleFormat scale = parse_scale(reader);
  if (!reader.done()) reader.fail(reader.at(), "'{}' after the scale's end", reader.peek());
  return scale;
}

ScaleFormat parse_scale(Reader& reader) {
  size_t start = reader.at();
  std::string_view head = reader.take_until(":@/+*");
  if (head == "none" || head == "e8m0") {
    if (!reader.done() && reader.peek() == ':')
      reader.fail(reader.at(), "scale {} takes no options", head);
    return head == "none" ? ScaleFormat{} : e8m0_scale();
  }
  ScaleFormat scale;
  if (head.size() >= 2 && head[0] == 'u' &&
      head.find_first_not_of("0123456789", 1) == std::string_view::npos) {
    scale = integer_scale(reader.whole("scale bits", start + 1, head.substr(1), 2, 16));
  } else {
    bool without_sign = head.starts_with("ue");
    reader.back(without_sign ? start + 1 : start);
    size_t options = start + head.size();
    ElementFormat element;
    try {
      element = parse_element(reader);
    } catch (const ConfigError&) {
      // A wrong option or number keeps its own message; an unknown word is better told the scales.
      reader.back(start);
      std::string_view name = reader.take_until(":@/+*");
      try {
        parse_element(without_sign ? name.substr(1) : name);
      } catch (const ConfigError& error) {
        if (std::string_view(error.what()).find("unknown element") != std::string_view::npos)
          reader.fail(start,
                      "unknown scale '{}'; must be none, e8m0, a minifloat such as fp32 or e4m3, "
                      "ue5m3, uN or dynamic8{}",
                      shown(name),
                      did_you_mean(name, {"none", "e8m0", "fp32", "bf16", "fp16", "e4m3", "e5m3",
                                          "ue4m3", "ue5m3", "u4", "dynamic8"}));
      }
      throw;
    }
    if (element.kind == ElementKind::kCodeBook) {
      scale = code_book_scale(element.book);
    } else {
      scale = minifloat_scale(element);
      scale.stored_sign = !without_sign;
      bool named =
          reader.text().substr(options, reader.at() - options).find(':') != std::string_view::npos;
      if (without_sign && !named && element.kind == ElementKind::kMinifloat)
        scale.minifloat = minifloat(element.exp_bits, element.man_bits, Special::kFn,
                                    (1 << (element.exp_bits - 1)) - 1);
    }
  }
  if (!reader.done() && reader.peek() == ':') {
    size_t at = reader.at();
    reader.take(':');
    std::string_view option = reader.take_until(":@/+*");
    if (option != "amax" || scale.kind != ScaleKind::kMinifloat)
      reader.fail(at + 1, "unknown option '{}'; a minifloat scale takes :amax", shown(option));
    scale.of_maximum = true;
    if (!reader.done() && reader.peek() == ':')
      reader.fail(reader.at(), "':amax' is the scale's last option");
  }
  try {
    validate(scale);
  } catch (const ConfigError& error) {
    reader.fail(start, "{}", error.what());
  }
  return scale;
}

std::string to_text(const ScaleFormat& scale) {
  switch (scale.kind) {
    case ScaleKind::kNone:
      return "none";
    case ScaleKind::kE8M0:
      return "e8m0";
    case ScaleKind::kMinifloat: {
      std::string text;
      const ElementFormat& m = scale.minifloat;
      if (scale.stored_sign) {
        text = to_text(m);
      } else {
        // Without sign the default policy is fn: any other is written, and so is a bias.
        text = fmt::format("ue{}m{}", m.exp_bits, m.man_bits);
        int usual = (1 << (m.exp_bits - 1)) - 1;
        if (m.special == Special::kFinite) text += ":finite";
        if (m.special == Special::kIeee) text += ":ieee";
        if (m.bias != usual)
          text += (m.special == Special::kFn ? ":fn" : "") + fmt::format(":bias={}", m.bias);
      }
      return text + (scale.of_maximum ? ":amax" : "");
    }
    case ScaleKind::kInteger:
      return fmt::format("u{}", scale.int_bits);
    case ScaleKind::kCodeBook:
      return std::string(code_book_name(scale.book));
  }
  BLOCKDOT_CHECK(false, "scale kind");
}

bool has_nan(const ScaleFormat& scale) {
  switch (scale.kind) {
    case ScaleKind::kNone:
    case ScaleKind::kInteger:
    case ScaleKind::kCodeBook:
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
    case ScaleKind::kInteger:
      return code;
    case ScaleKind::kCodeBook:
      return code_book_values(scale.book)[code];
  }
  BLOCKDOT_CHECK(false, "scale kind");
}

std::uint32_t encode(const ScaleFormat& scale, double x) {
  std::uint32_t least = x > 0 ? 1 : 0;
  switch (scale.kind) {
    case ScaleKind::kNone:
      return 0;
    case ScaleKind::kE8M0: {
      if (!(x > 0)) return 0;
      int exponent;
      bool up =
          std::frexp(x, &exponent) >= 0.75;  // x = fraction * 2^exponent, fraction in [1/2, 1)
      return static_cast<std::uint32_t>(std::clamp(exponent - (up ? 0 : 1), -kE8M0Bias, kE8M0Bias) +
                                        kE8M0Bias);
    }
    case ScaleKind::kMinifloat:
      return std::max(encode(scale.minifloat, x), least);
    case ScaleKind::kInteger: {
      if (std::isnan(x)) return 0;
      double most = max_value(scale);
      double whole = x >= most ? most : std::nearbyint(x);  // RNE: the mode is never changed
      return std::max(static_cast<std::uint32_t>(whole), least);
    }
    case ScaleKind::kCodeBook:
      return encode_code_book(scale.book, x, {}, 0);
  }
  BLOCKDOT_CHECK(false, "scale kind");
}

double max_value(const ScaleFormat& scale) {
  switch (scale.kind) {
    case ScaleKind::kNone:
      return 1.0;
    case ScaleKind::kE8M0:
      return std::ldexp(1.0, kE8M0Bias);
    case ScaleKind::kMinifloat:
      return max_value(scale.minifloat);
    case ScaleKind::kInteger:
      return (1 << scale.int_bits) - 1;
    case ScaleKind::kCodeBook:
      return code_book_values(scale.book).back();
  }
  BLOCKDOT_CHECK(false, "scale kind");
}

}  // namespace blockdot::formats
