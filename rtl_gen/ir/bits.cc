#include "rtl_gen/ir/bits.h"

#include <fmt/format.h>

#include "formats/error.h"

namespace blockdot::rtl_gen {

Int pow2(int exponent) {
  BLOCKDOT_CHECK(exponent >= 0, "pow2({})", exponent);
  return Int(1) << static_cast<unsigned>(exponent);
}

Int floor_shift(const Int& value, int shift) {
  if (shift <= 0) return value << static_cast<unsigned>(-shift);
  // cpp_int shifts the magnitude; a negative value goes through its complement to floor.
  if (value >= 0) return value >> static_cast<unsigned>(shift);
  return -1 - ((-1 - value) >> static_cast<unsigned>(shift));
}

Bits to_bits(const Int& value, int width) {
  Bits bits{width, std::vector<std::uint64_t>(static_cast<std::size_t>(limb_count(width)), 0)};
  Int rest = value % pow2(width);
  if (rest < 0) rest += pow2(width);
  for (auto& limb : bits.limbs) {
    limb = static_cast<std::uint64_t>(rest & 0xFFFFFFFFFFFFFFFFULL);
    rest >>= 64;
  }
  return bits;
}

Int to_int(const Bits& bits) {
  Int value = 0;
  for (auto it = bits.limbs.rbegin(); it != bits.limbs.rend(); ++it) value = (value << 64) | *it;
  return value;
}

Int to_signed_int(const Bits& bits) {
  Int value = to_int(bits);
  if (bits.width > 0 && bits.bit(bits.width - 1)) value -= pow2(bits.width);
  return value;
}

std::string verilog_literal(const Bits& bits) {
  if (bits.width == 1) return bits.limbs[0] ? "1'b1" : "1'b0";
  if (bits.width <= 8) return fmt::format("{}'d{}", bits.width, bits.limbs[0]);
  std::string digits;
  for (auto it = bits.limbs.rbegin(); it != bits.limbs.rend(); ++it) {
    if (digits.empty()) {
      if (*it != 0) digits = fmt::format("{:x}", *it);
    } else {
      digits += fmt::format("{:016x}", *it);
    }
  }
  if (digits.empty()) digits.push_back('0');
  return fmt::format("{}'h{}", bits.width, digits);
}

int unsigned_width(const Int& value) {
  BLOCKDOT_CHECK(value >= 0, "unsigned_width of a negative value");
  return value == 0 ? 1 : static_cast<int>(msb(value)) + 1;
}

int range_width(const Int& lo, const Int& hi) {
  BLOCKDOT_CHECK(lo <= hi, "empty range");
  if (lo >= 0) return unsigned_width(hi);
  const int negative = lo == -1 ? 1 : unsigned_width(-lo - 1) + 1;
  const int positive = hi <= 0 ? 1 : unsigned_width(hi) + 1;
  return std::max(negative, positive);
}

}  // namespace blockdot::rtl_gen
