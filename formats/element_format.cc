// Encode works on the integer significand of the double: x = m * 2^e with 2^52 <= m < 2^53. The
// target's spacing at x is 2^q, q = max(floor(log2 |x|) - man_bits, q_min), so |x| is `kept` units
// of 2^q and a tail. The code of a rounded magnitude is ((q - q_min) << man_bits) + kept: the
// hidden one adds the exponent's last step, and a carry out of the mantissa runs into the exponent.
#include "formats/element_format.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::formats {

namespace {

constexpr std::uint32_t low_mask(int bits) { return bits <= 0 ? 0 : 0xFFFFFFFFu >> (32 - bits); }

Special default_special(int exp_bits, int man_bits) {
  if (exp_bits == 4 && man_bits == 3) return Special::kFn;
  if (exp_bits == 5 && man_bits == 2) return Special::kIeee;
  return 1 + exp_bits + man_bits > 8 ? Special::kIeee : Special::kFinite;
}

int default_bias(int exp_bits, Special special) {
  return (1 << (exp_bits - 1)) - 1 + (special == Special::kFnuz ? 1 : 0);
}

std::string_view special_name(Special special) {
  switch (special) {
    case Special::kFinite:
      return "finite";
    case Special::kFn:
      return "fn";
    case Special::kFnuz:
      return "fnuz";
    case Special::kIeee:
      return "ieee";
  }
  BLOCKDOT_CHECK(false, "special");
}

struct Alias {
  std::string_view name;
  std::string_view other;  // a second name that is understood and never printed
  int exp_bits;
  int man_bits;
};
constexpr Alias kAliases[] = {{"fp32", "float", 8, 23},
                              {"bf16", "bfloat16", 8, 7},
                              {"fp16", "half", 5, 10},
                              {"tf32", "tf32", 8, 10}};

// base + m * 2^e in units of 2^q, rounded. `base` is the code below the first unit, so that a tie
// goes to the even code also where the mantissa has no bits. m < 2^53.
std::uint64_t round_to_multiple(std::uint64_t base, std::uint64_t m, int e, int q,
                                const Rounding& rounding, std::uint32_t random) {
  int shift = q - e;
  BLOCKDOT_CHECK(shift > 0, "a double has more bits than any format here");
  // Beyond 62 bits all of it is tail: the bits below become one sticky bit, which no half and no
  // 2^-32 step can tell from what they were.
  if (shift > 62) {
    int dropped = shift - 62;
    std::uint64_t tail = dropped > 53 ? 0 : m >> dropped;
    if (dropped > 53 || (tail << dropped) != m) tail |= 1;
    return round_tail(base, tail, 62, rounding, random);
  }
  return round_tail(base + (m >> shift), m & ((std::uint64_t{1} << shift) - 1), shift, rounding,
                    random);
}

}  // namespace

int ElementFormat::width() const {
  switch (kind) {
    case ElementKind::kMinifloat:
      return 1 + exp_bits + man_bits;
    case ElementKind::kInteger:
      return int_bits;
    case ElementKind::kSignMagnitude:
      return 1 + int_bits;
    case ElementKind::kCodeBook:
      return code_book_width(book);
  }
  BLOCKDOT_CHECK(false, "element kind");
}

ElementFormat minifloat(int exp_bits, int man_bits) {
  Special special = default_special(exp_bits, man_bits);
  return minifloat(exp_bits, man_bits, special, default_bias(exp_bits, special));
}

ElementFormat minifloat(int exp_bits, int man_bits, Special special, int bias) {
  ElementFormat format;
  format.kind = ElementKind::kMinifloat;
  format.exp_bits = exp_bits;
  format.man_bits = man_bits;
  format.bias = bias;
  format.special = special;
  return format;
}

ElementFormat integer(int bits, bool symmetric) {
  ElementFormat format;
  format.kind = ElementKind::kInteger;
  format.int_bits = bits;
  format.frac_bits = bits - 2;
  format.symmetric = symmetric;
  return format;
}

ElementFormat sign_magnitude(int magnitude_bits) {
  ElementFormat format;
  format.kind = ElementKind::kSignMagnitude;
  format.int_bits = magnitude_bits;
  format.frac_bits = magnitude_bits - 1;
  return format;
}

ElementFormat code_book(CodeBook book) {
  ElementFormat format;
  format.kind = ElementKind::kCodeBook;
  format.book = book;
  return format;
}

void validate(const ElementFormat& format) {
  auto in_range = [](std::string_view field, int value, int low, int high) {
    if (value < low || value > high)
      throw ConfigError("element {} = {}: must be in [{}, {}]", field, value, low, high);
  };
  switch (format.kind) {
    case ElementKind::kMinifloat:
      in_range("exp_bits", format.exp_bits, 1, 8);
      in_range("man_bits", format.man_bits, 0, 23);
      in_range("bias", format.bias, -128, 256);
      if (format.special == Special::kIeee && (format.man_bits < 1 || format.exp_bits < 2))
        throw ConfigError(
            "element e{}m{}:ieee: needs at least 2 exponent bits and 1 mantissa bit for Inf and "
            "NaN; try :finite",
            format.exp_bits, format.man_bits);
      if (format.special != Special::kFinite && format.exp_bits + format.man_bits < 2)
        throw ConfigError("element e{}m{}:{}: too few codes for a NaN; try :finite",
                          format.exp_bits, format.man_bits, special_name(format.special));
      break;
    case ElementKind::kInteger:
      in_range("int_bits", format.int_bits, 2, 16);
      in_range("frac", format.frac_bits, 0, 16);
      break;
    case ElementKind::kSignMagnitude:
      in_range("magnitude bits", format.int_bits, 1, 15);
      in_range("frac", format.frac_bits, 0, 16);
      break;
    case ElementKind::kCodeBook:
      break;
  }
}

ElementFormat parse_element(std::string_view text, std::string_view field) {
  Reader reader(field, text);
  ElementFormat format = parse_element(reader);
  if (!reader.done()) reader.fail(reader.at(), "'{}' after the element's end", reader.peek());
  return format;
}

ElementFormat parse_element(Reader& reader) {
  size_t start = reader.at();
  std::string_view head = reader.take_until(":@/+*");
  auto digits = [](std::string_view s) {
    return !s.empty() && s.size() <= 3 &&
           s.find_first_not_of("0123456789") == std::string_view::npos;
  };

  ElementFormat format;
  bool found = false;
  for (const Alias& alias : kAliases) {
    if (head == alias.name || head == alias.other) {
      format = minifloat(alias.exp_bits, alias.man_bits);
      found = true;
    }
  }
  for (CodeBook book : kCodeBooks) {
    if (head == code_book_name(book)) {
      format = code_book(book);
      found = true;
    }
  }
  size_t m = head.find('m');
  if (found) {
  } else if (head == "ternary") {
    format = integer(2);
  } else if (head.starts_with("e") && m != std::string_view::npos &&
             digits(head.substr(1, m - 1)) && digits(head.substr(m + 1))) {
    int exp_bits = reader.whole("exp_bits", start + 1, head.substr(1, m - 1), 1, 8);
    int man_bits = reader.whole("man_bits", start + m + 1, head.substr(m + 1), 0, 23);
    format = minifloat(exp_bits, man_bits);
  } else if (head.starts_with("int") && digits(head.substr(3))) {
    format = integer(reader.whole("int bits", start + 3, head.substr(3), 2, 16));
  } else if (head.starts_with("sm") && digits(head.substr(2))) {
    format = sign_magnitude(reader.whole("sm magnitude bits", start + 2, head.substr(2), 1, 15));
  } else {
    reader.fail(
        start,
        "unknown element '{}'; must be eXmY (1 <= X <= 8, 0 <= Y <= 23), intK, smM, fp32, "
        "bf16, fp16, tf32, nf4, dynamic8, udynamic8, binary or ternary{}",
        shown(head),
        did_you_mean(head, {"e4m3", "e5m2", "e3m2", "e2m3", "e2m1", "int8", "int4", "sm7", "fp32",
                            "bf16", "fp16", "tf32", "nf4", "dynamic8", "binary", "ternary"}));
  }

  bool bias_given = false;
  while (!reader.done() && reader.peek() == ':') {
    reader.take(':');
    size_t at = reader.at();
    std::string_view option = reader.take_until(":@/+*");
    bool floating = format.kind == ElementKind::kMinifloat;
    bool whole = format.kind == ElementKind::kInteger;
    bool special_given = false;
    for (Special special : {Special::kFinite, Special::kFn, Special::kFnuz, Special::kIeee}) {
      if (floating && option == special_name(special)) {
        format.special = special;
        if (!bias_given) format.bias = default_bias(format.exp_bits, special);
        special_given = true;
      }
    }
    if (special_given) continue;
    if (floating && option.starts_with("bias=")) {
      format.bias = reader.whole("bias", at + 5, option.substr(5), -128, 256);
      bias_given = true;
    } else if ((whole || format.kind == ElementKind::kSignMagnitude) &&
               option.starts_with("frac=")) {
      format.frac_bits = reader.whole("frac", at + 5, option.substr(5), 0, 16);
    } else if (whole && option == "full") {
      format.symmetric = false;
    } else if (option == "amax") {
      reader.back(at - 1);  // an option of the scale that this element stands in
      break;
    } else {
      reader.fail(at, "unknown option '{}'; {}", shown(option),
                  floating ? "a minifloat takes :finite, :fn, :fnuz, :ieee and :bias=N"
                  : whole  ? "an integer takes :full and :frac=N"
                  : format.kind == ElementKind::kSignMagnitude ? "smM takes :frac=N"
                                                               : "a code book takes none");
    }
  }
  try {
    validate(format);
  } catch (const ConfigError& error) {
    reader.fail(start, "{}", error.what());
  }
  return format;
}

std::string to_text(const ElementFormat& format) {
  std::string text;
  switch (format.kind) {
    case ElementKind::kMinifloat: {
      text = fmt::format("e{}m{}", format.exp_bits, format.man_bits);
      for (const Alias& alias : kAliases)
        if (format.exp_bits == alias.exp_bits && format.man_bits == alias.man_bits)
          text = alias.name;
      if (format.special != default_special(format.exp_bits, format.man_bits))
        text += fmt::format(":{}", special_name(format.special));
      if (format.bias != default_bias(format.exp_bits, format.special))
        text += fmt::format(":bias={}", format.bias);
      return text;
    }
    case ElementKind::kInteger:
      text = fmt::format("int{}", format.int_bits);
      if (!format.symmetric) text += ":full";
      if (format.frac_bits != format.int_bits - 2)
        text += fmt::format(":frac={}", format.frac_bits);
      return text;
    case ElementKind::kSignMagnitude:
      text = fmt::format("sm{}", format.int_bits);
      if (format.frac_bits != format.int_bits - 1)
        text += fmt::format(":frac={}", format.frac_bits);
      return text;
    case ElementKind::kCodeBook:
      return std::string(code_book_name(format.book));
  }
  BLOCKDOT_CHECK(false, "element kind");
}

bool has_inf(const ElementFormat& format) {
  return format.kind == ElementKind::kMinifloat && format.special == Special::kIeee;
}

bool has_nan(const ElementFormat& format) {
  return format.kind == ElementKind::kMinifloat && format.special != Special::kFinite;
}

std::uint32_t max_finite_code(const ElementFormat& format) {
  switch (format.kind) {
    case ElementKind::kInteger:
      return low_mask(format.int_bits - 1);
    case ElementKind::kSignMagnitude:
      return low_mask(format.int_bits);
    case ElementKind::kCodeBook:
      return low_mask(code_book_width(format.book));
    case ElementKind::kMinifloat:
      break;
  }
  std::uint32_t all_ones = low_mask(format.exp_bits + format.man_bits);
  switch (format.special) {
    case Special::kFinite:
    case Special::kFnuz:
      return all_ones;
    case Special::kFn:
      return all_ones - 1;
    case Special::kIeee:
      return inf_code(format) - 1;
  }
  BLOCKDOT_CHECK(false, "special");
}

std::uint32_t inf_code(const ElementFormat& format) {
  BLOCKDOT_CHECK(has_inf(format), "{} has no Inf", to_text(format));
  return low_mask(format.exp_bits) << format.man_bits;
}

std::uint32_t nan_code(const ElementFormat& format) {
  BLOCKDOT_CHECK(has_nan(format), "{} has no NaN", to_text(format));
  switch (format.special) {
    case Special::kFinite:
      break;
    case Special::kFn:
      return low_mask(format.exp_bits + format.man_bits);
    case Special::kFnuz:
      return 1u << (format.exp_bits + format.man_bits);
    case Special::kIeee:
      return inf_code(format) | (1u << (format.man_bits - 1));
  }
  BLOCKDOT_CHECK(false, "special");
}

double decode(const ElementFormat& format, std::uint32_t code) {
  switch (format.kind) {
    case ElementKind::kInteger: {
      auto value = static_cast<std::int64_t>(code & low_mask(format.int_bits));
      if (value >> (format.int_bits - 1)) value -= std::int64_t{1} << format.int_bits;
      return std::ldexp(static_cast<double>(value), -format.frac_bits);
    }
    case ElementKind::kSignMagnitude: {
      double magnitude = std::ldexp(code & low_mask(format.int_bits), -format.frac_bits);
      return (code >> format.int_bits) & 1 ? -magnitude : magnitude;
    }
    case ElementKind::kCodeBook:
      return code_book_values(format.book)[code & low_mask(code_book_width(format.book))];
    case ElementKind::kMinifloat:
      break;
  }
  std::uint32_t magnitude = code & low_mask(format.exp_bits + format.man_bits);
  bool negative = (code >> (format.exp_bits + format.man_bits)) & 1;
  if (format.special == Special::kFnuz && negative && magnitude == 0)
    return std::numeric_limits<double>::quiet_NaN();
  if (magnitude > max_finite_code(format)) {
    if (has_inf(format) && magnitude == inf_code(format))
      return negative ? -std::numeric_limits<double>::infinity()
                      : std::numeric_limits<double>::infinity();
    return std::copysign(std::numeric_limits<double>::quiet_NaN(), negative ? -1.0 : 1.0);
  }
  int exponent = static_cast<int>(magnitude >> format.man_bits);
  double mantissa = magnitude & low_mask(format.man_bits);
  double value = exponent == 0 ? std::ldexp(mantissa, 1 - format.bias - format.man_bits)
                               : std::ldexp(mantissa + static_cast<double>(1u << format.man_bits),
                                            exponent - format.bias - format.man_bits);
  return negative ? -value : value;
}

std::uint32_t encode(const ElementFormat& format, double x, const Rounding& rounding,
                     std::uint32_t random, Overflow overflow) {
  if (format.kind == ElementKind::kCodeBook)
    return encode_code_book(format.book, x, rounding, random);
  bool floating = format.kind == ElementKind::kMinifloat;
  if (std::isnan(x)) return has_nan(format) ? nan_code(format) : 0;
  bool negative = std::signbit(x);

  std::uint64_t magnitude;
  std::uint64_t max_code = max_finite_code(format);
  if (std::isinf(x)) {
    magnitude = max_code + 1;
  } else if (x == 0) {
    magnitude = 0;
  } else {
    int exponent;  // |x| = fraction * 2^exponent, fraction in [1/2, 1)
    double fraction = std::frexp(std::fabs(x), &exponent);
    auto m = static_cast<std::uint64_t>(std::ldexp(fraction, 53));
    int floor_log2 = exponent - 1;
    if (floor_log2 > max_exponent(format) + 1) {
      magnitude = max_code + 1;  // far above: no shift by hundreds of bits
    } else if (floating) {
      int q_min = 1 - format.bias - format.man_bits;
      int q = std::max(floor_log2 - format.man_bits, q_min);
      std::uint64_t base = static_cast<std::uint64_t>(q - q_min) << format.man_bits;
      magnitude = round_to_multiple(base, m, exponent - 53, q, rounding, random);
    } else {
      magnitude = round_to_multiple(0, m, exponent - 53, -format.frac_bits, rounding, random);
    }
  }
  if (format.kind == ElementKind::kInteger) {
    if (negative && !format.symmetric) max_code += 1;
    magnitude = std::min(magnitude, max_code);
    std::uint64_t code = negative ? ~magnitude + 1 : magnitude;
    return static_cast<std::uint32_t>(code) & low_mask(format.int_bits);
  }
  if (magnitude > max_code) {
    bool stays_finite = overflow == Overflow::kSaturate || !has_nan(format) ||
                        (rounding.mode == RoundingMode::kRtz && !std::isinf(x));
    if (stays_finite) {
      magnitude = max_code;
    } else if (has_inf(format) && overflow == Overflow::kToSpecial) {
      magnitude = inf_code(format);
    } else {
      return nan_code(format);
    }
  }
  auto code = static_cast<std::uint32_t>(magnitude);
  if (format.special == Special::kFnuz && floating && code == 0) return 0;  // no -0
  return negative ? code | (1u << (format.width() - 1)) : code;
}

double max_value(const ElementFormat& format) { return decode(format, max_finite_code(format)); }

double min_positive(const ElementFormat& format) {
  if (format.kind != ElementKind::kCodeBook) return decode(format, 1);
  std::span<const float> values = code_book_values(format.book);
  return *std::upper_bound(values.begin(), values.end(), 0.0f);
}

double min_normal(const ElementFormat& format) {
  return format.kind == ElementKind::kMinifloat ? std::ldexp(1.0, 1 - format.bias)
                                                : min_positive(format);
}

double epsilon(const ElementFormat& format) {
  switch (format.kind) {
    case ElementKind::kMinifloat:
      return std::ldexp(1.0, -format.man_bits);
    case ElementKind::kInteger:
    case ElementKind::kSignMagnitude:
      return std::ldexp(1.0, -format.frac_bits);
    case ElementKind::kCodeBook:
      break;
  }
  std::span<const float> values = code_book_values(format.book);
  double widest = 0;
  for (size_t i = 1; i < values.size(); ++i)
    widest = std::max(widest, static_cast<double>(values[i]) - values[i - 1]);
  return widest;
}

std::uint32_t zero_code(const ElementFormat& format) {
  return format.kind == ElementKind::kCodeBook ? encode_code_book(format.book, std::nan(""), {}, 0)
                                               : 0;
}

bool sign_symmetric(const ElementFormat& format) {
  switch (format.kind) {
    case ElementKind::kMinifloat:
    case ElementKind::kSignMagnitude:
      return true;
    case ElementKind::kInteger:
      return format.symmetric;
    case ElementKind::kCodeBook:
      return format.book == CodeBook::kBinary;
  }
  BLOCKDOT_CHECK(false, "element kind");
}

int max_exponent(const ElementFormat& format) { return std::ilogb(max_value(format)); }

int lsb_exponent(const ElementFormat& format) {
  switch (format.kind) {
    case ElementKind::kMinifloat:
      return 1 - format.bias - format.man_bits;
    case ElementKind::kInteger:
    case ElementKind::kSignMagnitude:
      return -format.frac_bits;
    case ElementKind::kCodeBook:
      break;
  }
  int least = 0;
  for (float value : code_book_values(format.book)) {
    if (value == 0) continue;
    int exponent;
    auto significand =
        static_cast<std::uint32_t>(std::ldexp(std::frexp(std::fabs(value), &exponent), 24));
    least = std::min(least, exponent - 24 + std::countr_zero(significand));
  }
  return least;
}

}  // namespace blockdot::formats
