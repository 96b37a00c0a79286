#include "formats/code_book.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "formats/error.h"

namespace blockdot::formats {

namespace {

__extension__ typedef __int128 Int128;

// Dettmers et al., QLoRA (2023), appendix E.
constexpr float kNf4[16] = {-1.0f,
                            -0.6961928009986877f,
                            -0.5250730514526367f,
                            -0.39491748809814453f,
                            -0.28444138169288635f,
                            -0.18477343022823334f,
                            -0.09105003625154495f,
                            0.0f,
                            0.07958029955625534f,
                            0.16093020141124725f,
                            0.24611230194568634f,
                            0.33791524171829224f,
                            0.44070982933044434f,
                            0.5626170039176941f,
                            0.7229568362236023f,
                            1.0f};

constexpr float kBinary[2] = {-1.0f, 1.0f};

// The positive values of the map with n_0 = `first` parts in its lowest decade, 0 left out. Every
// value is (2 n + 9 (2j + 1)) / (20 n) * 10^(i-6): one division of exact doubles, one rounding to
// float. The quotient is far from every midpoint of binary32, as the test of the literal table
// shows.
template <size_t kCount>
std::array<float, kCount> dynamic_positive(int first) {
  std::array<float, kCount> values{};
  size_t at = 0;
  double power = 1e6;
  for (int i = 0; i < 7; ++i, power /= 10) {
    int n = first << i;
    for (int j = 0; j < n; ++j)
      values[at++] = static_cast<float>((2.0 * n + 9.0 * (2 * j + 1)) / (20.0 * n * power));
  }
  values[at++] = 1.0f;
  BLOCKDOT_CHECK(at == kCount);
  return values;
}

std::array<float, 256> dynamic_signed() {
  auto positive = dynamic_positive<128>(1);
  std::array<float, 256> values{};  // 127 negative, 0, 128 positive: +1 has no counterpart
  for (size_t i = 0; i < 127; ++i) values[126 - i] = -positive[i];
  std::copy(positive.begin(), positive.end(), values.begin() + 128);
  return values;
}

std::array<float, 256> dynamic_unsigned() {
  auto positive = dynamic_positive<255>(2);
  std::array<float, 256> values{};
  std::copy(positive.begin(), positive.end(), values.begin() + 1);
  return values;
}

// (x - lo) / (hi - lo) as a tail of `bits` bits for round_tail: floored exactly, the lowest bit
// sticky. Table values are multiples of 2^-60 below 2, so hi - lo is a whole number of them; x in
// between is floored to 2^-(60 + bits) first, which changes no floor of a quotient by a whole
// number.
std::uint64_t fraction_tail(double x, float lo, float hi, int bits) {
  auto whole = [](double v, int shift) {
    return static_cast<Int128>(std::floor(std::ldexp(v, shift)));
  };
  Int128 step = whole(hi, 60) - whole(lo, 60);
  // |x| <= 1 times 2^(60 + bits) <= 2^94 fits; a double's floor at that scale is exact.
  Int128 offset = whole(x, 60 + bits) - whole(lo, 60) * (Int128{1} << bits);
  bool sticky =
      offset % step != 0 || std::ldexp(x, 60 + bits) != std::floor(std::ldexp(x, 60 + bits));
  return static_cast<std::uint64_t>(offset / step) | (sticky ? 1 : 0);
}

}  // namespace

std::string_view code_book_name(CodeBook book) {
  switch (book) {
    case CodeBook::kNf4:
      return "nf4";
    case CodeBook::kDynamic8:
      return "dynamic8";
    case CodeBook::kUDynamic8:
      return "udynamic8";
    case CodeBook::kBinary:
      return "binary";
  }
  BLOCKDOT_CHECK(false, "code book");
}

int code_book_width(CodeBook book) {
  switch (book) {
    case CodeBook::kNf4:
      return 4;
    case CodeBook::kDynamic8:
    case CodeBook::kUDynamic8:
      return 8;
    case CodeBook::kBinary:
      return 1;
  }
  BLOCKDOT_CHECK(false, "code book");
}

std::span<const float> code_book_values(CodeBook book) {
  static const std::array<float, 256> with_sign = dynamic_signed();
  static const std::array<float, 256> without_sign = dynamic_unsigned();
  switch (book) {
    case CodeBook::kNf4:
      return kNf4;
    case CodeBook::kDynamic8:
      return with_sign;
    case CodeBook::kUDynamic8:
      return without_sign;
    case CodeBook::kBinary:
      return kBinary;
  }
  BLOCKDOT_CHECK(false, "code book");
}

std::uint32_t encode_code_book(CodeBook book, double x, const Rounding& rounding,
                               std::uint32_t random) {
  std::span<const float> values = code_book_values(book);
  if (std::isnan(x)) {
    auto zero = std::find(values.begin(), values.end(), 0.0f);
    return static_cast<std::uint32_t>(zero == values.end() ? values.size() - 1
                                                           : zero - values.begin());
  }
  // First value above x; its predecessor is the nearest at or below.
  auto above = std::upper_bound(values.begin(), values.end(), x,
                                [](double v, float entry) { return v < entry; });
  if (above == values.begin()) return 0;
  auto low = static_cast<std::uint32_t>(above - values.begin()) - 1;
  if (above == values.end() || values[low] == x) return low;
  float lo = values[low], hi = values[low + 1];
  // The sum of two neighbours has at most 25 bits: exact.
  double middle = (static_cast<double>(lo) + hi) / 2;
  bool up = x > middle;
  switch (rounding.mode) {
    case RoundingMode::kRne:
      if (x == middle) up = low % 2 == 1;
      break;
    case RoundingMode::kRna:
      if (x == middle) up = std::fabs(hi) >= std::fabs(lo);
      break;
    case RoundingMode::kRtz:
      // No value on the way to zero (binary): nearest, a tie to +1.
      if (lo < 0 && hi > 0)
        up = x >= middle;
      else
        up = x < 0;
      break;
    case RoundingMode::kStochastic: {
      // Two bits below the r that count: one for srf and src, one sticky.
      int bits = rounding.random_bits + 2;
      return static_cast<std::uint32_t>(
          round_tail(low, fraction_tail(x, lo, hi, bits), bits, rounding, random));
    }
  }
  return low + (up ? 1 : 0);
}

}  // namespace blockdot::formats
