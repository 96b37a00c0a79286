// Element encodings: what a code means, as data; encode and decode of one element.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "formats/code_book.h"
#include "formats/rounding.h"

namespace blockdot::formats {

class Reader;

enum class ElementKind {
  kMinifloat,      // sign, exponent, mantissa
  kInteger,        // two's complement fixed point
  kSignMagnitude,  // sign and magnitude, no hidden one (shared microexponents, MSFP)
  kCodeBook,       // a table of values (NF4, dynamic 8-bit, binary)
};

/// Which codes of a minifloat are not finite numbers.
enum class Special {
  kFinite,  // none: every code is a number
  kFn,      // OFP8 E4M3: no Inf, all ones (either sign) is NaN
  kFnuz,    // no Inf, no -0: the code of -0 is the one NaN
  kIeee,    // exponent all ones: mantissa 0 is Inf, else NaN
};

/// Layout and special-value policy of an element code of `width()` bits.
///
///   minifloat       [ sign | exponent : exp_bits | mantissa : man_bits ]
///     exponent > 0:  (-1)^s * 2^(exponent - bias) * (1 + mantissa / 2^man_bits)
///     exponent = 0:  (-1)^s * 2^(1 - bias) * (mantissa / 2^man_bits)
///   integer         [ two's complement : int_bits ] * 2^-frac_bits
///   sign-magnitude  [ sign | magnitude : int_bits ] * 2^-frac_bits
///   code book       [ index of the table (formats/code_book.h) ]
///
/// Text forms (print gives the shortest): `e4m3`, `e4m3:ieee`, `e2m5:bias=2`, `fp32`, `bf16`,
/// `fp16`, `int8`, `int8:full`, `int8:frac=0`, `sm7`, `nf4`, `dynamic8`, `udynamic8`, `binary`;
/// `ternary` is int2, `half` and `float` are fp16 and fp32. Defaults of a minifloat's policy: e4m3
/// is fn (OCP OFP8), e5m2 and every format wider than 8 bits ieee, the others finite; bias
/// 2^(exp_bits-1)
/// - 1, one more for fnuz. Defaults of integers: frac = int_bits - 2 (MXINT8 is in 1/64), the most
/// negative code unused; of smM: frac = M - 1.
struct ElementFormat {
  ElementKind kind = ElementKind::kMinifloat;
  int exp_bits = 0;                    // minifloat: 1..8
  int man_bits = 0;                    // minifloat: 0..23
  int bias = 0;                        // minifloat
  Special special = Special::kFinite;  // minifloat
  int int_bits = 0;                // integer: 2..16 with the sign; sign-magnitude: 1..15 without
  int frac_bits = 0;               // integer and sign-magnitude
  bool symmetric = true;           // integer: the most negative code is never used
  CodeBook book = CodeBook::kNf4;  // code book

  int width() const;
  bool operator==(const ElementFormat&) const = default;
};

ElementFormat minifloat(int exp_bits, int man_bits);  // with the defaults above
ElementFormat minifloat(int exp_bits, int man_bits, Special special, int bias);
ElementFormat integer(int bits, bool symmetric = true);
ElementFormat sign_magnitude(int magnitude_bits);
ElementFormat code_book(CodeBook book);

/// ConfigError naming the field, its value and the range.
void validate(const ElementFormat& format);
/// ConfigError naming the column, the field and the range; suggests the nearest known names.
ElementFormat parse_element(std::string_view text, std::string_view field = "element");
/// Reads an element from the reader's place up to one of "@/+*" or the end.
ElementFormat parse_element(Reader& reader);
std::string to_text(const ElementFormat& format);

/// Magnitude codes (without sign bit) of a minifloat: the largest finite one, Inf, NaN. Of a code
/// book: the code of its largest value.
/// fnuz keeps its NaN at the code of -0: nan_code() is the whole code, sign included.
std::uint32_t max_finite_code(const ElementFormat& format);
bool has_inf(const ElementFormat& format);
bool has_nan(const ElementFormat& format);
std::uint32_t inf_code(const ElementFormat& format);  // positive infinity
std::uint32_t nan_code(const ElementFormat& format);  // canonical quiet NaN

/// The value of a code: exact, since every format here fits a double; NaN and Inf are doubles too.
/// The most negative code of a symmetric integer never occurs in data; it reads as its value.
double decode(const ElementFormat& format, std::uint32_t code);

/// What becomes of a value beyond the largest finite one after rounding.
enum class Overflow {
  kSaturate,   // largest finite value of its sign (OCP MX elements)
  kToSpecial,  // Inf, or NaN where there is no Inf; saturates where there is neither
  kToNan,      // NaN; saturates where there is none
};

/// The code of `x`, rounded once, exactly. With kToSpecial and RTZ an overflow stays at the largest
/// finite value (IEEE 754, 4.3.2). Inf saturates or stays Inf; NaN becomes NaN, or 0 where the
/// format has none. `random`: r bits when stochastic.
std::uint32_t encode(const ElementFormat& format, double x, const Rounding& rounding = {},
                     std::uint32_t random = 0, Overflow overflow = Overflow::kSaturate);

double max_value(const ElementFormat& format);     // largest finite value
double min_positive(const ElementFormat& format);  // smallest positive value
/// Smallest value with full precision: of a minifloat 2^(1-bias), of the others min_positive.
double min_normal(const ElementFormat& format);
/// The distance from 1 to the next value of a minifloat (2^-man_bits), the step of integers and
/// sign-magnitude, the widest gap of a code book.
double epsilon(const ElementFormat& format);
/// Code of +0; of +1 in a code book without zero. Padding takes this code.
std::uint32_t zero_code(const ElementFormat& format);
/// True where every value's negative is a value too.
bool sign_symmetric(const ElementFormat& format);
int max_exponent(const ElementFormat& format);  // floor(log2(max_value)): emax of OCP MX
int lsb_exponent(const ElementFormat& format);  // every finite value is a multiple of 2^this

}  // namespace blockdot::formats
