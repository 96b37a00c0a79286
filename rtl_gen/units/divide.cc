#include "rtl_gen/units/divide.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"

namespace blockdot::rtl_gen {

namespace {
// The field with zeros below until it is `width` wide, as an integer.
Fx padded(const Fx& x, int width) {
  const Fx whole = scale(x, -x.lsb);
  return scale(extend_lsb(whole, whole.width() - width), width - whole.width());
}
}  // namespace

Quotient divide(const Fx& n, const Fx& d, int count, std::string_view prefix) {
  BLOCKDOT_CHECK(n.lo >= 0 && d.lo >= 0 && count >= 1);
  const int width = std::max(n.width(), d.width());
  const Fx divisor = padded(d, width);
  // Twice a remainder, and the dividend, lie below 2d.
  Fx rest = padded(n, width);
  std::vector<Fx> digits;
  for (int i = 0; i < count; ++i) {
    const Fx less_d = name(sub(rest, divisor), fmt::format("{}_try{}", prefix, i));
    const Fx digit = not_(sign(less_d));
    digits.push_back(digit);
    const Fx left =
        mux(digit, assume(less_d, 0, pow2(width) - 1), assume(rest, 0, pow2(width) - 1));
    rest = name(left, fmt::format("{}_rest{}", prefix, i));
    if (i + 1 < count) rest = scale(extend_lsb(rest, -1), 1);
  }
  return {name(cat(digits), fmt::format("{}_quotient", prefix)), nonzero(rest)};
}

}  // namespace blockdot::rtl_gen
