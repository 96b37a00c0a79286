#include "formats/lfsr.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace blockdot::formats {
namespace {

TEST(Lfsr, OfWidth16VisitsEveryStateButZero) {
  Lfsr lfsr(1, 16);
  std::uint32_t period = 0;
  do {
    lfsr.step();
    ++period;
    ASSERT_NE(lfsr.state(), 0u);
  } while (lfsr.state() != 1);
  EXPECT_EQ(period, 65535u);
}

// Order of x modulo the feedback polynomial, by repeated squaring over GF(2): 2^n - 1 exactly when
// primitive. Independent of stepping: state vectors are multiplied as matrices.
using Matrix = std::vector<std::uint64_t>;  // column j: image of unit vector j

std::uint64_t apply(const Matrix& m, std::uint64_t v) {
  std::uint64_t out = 0;
  for (size_t j = 0; j < m.size(); ++j)
    if ((v >> j) & 1) out ^= m[j];
  return out;
}

bool is_identity_power(const Matrix& step, std::uint64_t power) {
  Matrix result(step.size()), base = step;
  for (size_t j = 0; j < step.size(); ++j) result[j] = std::uint64_t{1} << j;
  auto times = [](const Matrix& a, const Matrix& b) {
    Matrix c(a.size());
    for (size_t j = 0; j < a.size(); ++j) c[j] = apply(a, b[j]);
    return c;
  };
  for (; power > 0; power >>= 1) {
    if (power & 1) result = times(base, result);
    base = times(base, base);
  }
  for (size_t j = 0; j < step.size(); ++j)
    if (result[j] != std::uint64_t{1} << j) return false;
  return true;
}

TEST(Lfsr, HasThePeriodOfAPrimitivePolynomialAtEveryWidth) {
  // Prime factors of 2^n - 1 (OEIS A000225).
  const std::vector<std::pair<int, std::vector<std::uint64_t>>> widths = {
      {16, {3, 5, 17, 257}},
      {32, {3, 5, 17, 257, 65537}},
      {64, {3, 5, 17, 257, 641, 65537, 6700417}}};
  for (const auto& [width, primes] : widths) {
    Matrix step(static_cast<size_t>(width));
    for (int j = 0; j < width; ++j) {
      Lfsr lfsr(std::uint64_t{1} << j, width);
      lfsr.step();
      step[static_cast<size_t>(j)] = lfsr.state();
    }
    std::uint64_t order = width == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << width) - 1;
    EXPECT_TRUE(is_identity_power(step, order)) << width;
    for (std::uint64_t prime : primes)
      EXPECT_FALSE(is_identity_power(step, order / prime)) << width << " " << prime;
  }
}

TEST(Lfsr, DrawIsTheLowBitsAndThenRSteps) {
  Lfsr drawn(0xDEADBEEF), stepped(0xDEADBEEF);
  EXPECT_EQ(drawn.draw(12), 0xEEFu);
  for (int i = 0; i < 12; ++i) stepped.step();
  EXPECT_EQ(drawn.state(), stepped.state());
}

TEST(Lfsr, ReadsAZeroSeedAsOne) { EXPECT_EQ(Lfsr(0).state(), Lfsr(1).state()); }

}  // namespace
}  // namespace blockdot::formats
