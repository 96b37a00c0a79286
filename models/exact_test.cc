// Exact against Boost's rational numbers, which share no code with it but the integers.
#include "models/exact.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "formats/error.h"

namespace blockdot::models {
namespace {

using Rational = boost::multiprecision::cpp_rational;

Rational power(int e) {
  boost::multiprecision::cpp_int p = 1;
  p <<= std::abs(e);
  return e >= 0 ? Rational(p) : Rational(1, p);
}

Rational rational(const Exact& x) { return Rational(x.significand()) * power(x.exponent()); }

double any_finite(std::mt19937_64& random) {
  for (;;) {
    auto bits = random();
    // Half of them near 1, so that operations meet.
    if (random() % 2) bits = (bits & ~(0x7FFull << 52)) | ((1013 + random() % 20) << 52);
    if (random() % 16 == 0) return 0;
    double x = std::bit_cast<double>(bits);
    if (std::isfinite(x)) return x;
  }
}

TEST(Exact, AddsSubtractsMultipliesAndComparesAsRationalsDo) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 2000; ++i) {
    Exact x(any_finite(random)), y(any_finite(random)), z(any_finite(random));
    Rational p = rational(x), q = rational(y), r = rational(z);
    EXPECT_EQ(rational(x + y), p + q);
    EXPECT_EQ(rational(x - y * z), p - q * r);
    EXPECT_EQ(rational((x + y) * z), (p + q) * r);
    EXPECT_EQ(x < y, p < q);
    EXPECT_EQ(x == y, p == q);
    EXPECT_EQ(x + y > y, p > 0);
    EXPECT_EQ(rational(abs(x)), p < 0 ? Rational(-p) : p);
    EXPECT_EQ(x.sign(), p < 0 ? -1 : p > 0 ? 1 : 0);
  }
}

TEST(Exact, ComparesEqualWhateverTheExponent) {
  EXPECT_EQ(Exact(Exact::Integer(12), 0), Exact(Exact::Integer(3), 2));
  EXPECT_LT(Exact(Exact::Integer(-3), 3), Exact(Exact::Integer(-12), 0));
  EXPECT_EQ(Exact(), Exact(Exact::Integer(0), 77));
}

TEST(Exact, FloorsToMultiplesTowardsMinusInfinity) {
  EXPECT_EQ(floor_to_multiple(Exact(-1), 1), Exact(-2));
  EXPECT_EQ(floor_to_multiple(Exact(-2), 1), Exact(-2));
  std::mt19937_64 random(2);
  for (int i = 0; i < 2000; ++i) {
    Exact x(std::ldexp(static_cast<double>(static_cast<std::int32_t>(random())), -20));
    int lsb = static_cast<int>(random() % 40) - 25;
    Exact y = floor_to_multiple(x, lsb);
    Rational units = rational(y) / power(lsb);
    EXPECT_EQ(denominator(units), 1);
    EXPECT_LE(rational(y), rational(x));
    EXPECT_GT(rational(y) + power(lsb), rational(x));
  }
}

TEST(Exact, HoldsEveryFiniteDoubleAndGivesItBack) {
  std::mt19937_64 random(3);
  for (double x : {0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308})
    EXPECT_EQ(Exact(x).to_double(), x);
  for (int i = 0; i < 2000; ++i) {
    double x = any_finite(random);
    EXPECT_EQ(Exact(x).to_double(), x);
  }
}

TEST(Exact, RefusesWhatIsNoFiniteDouble) {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  EXPECT_THROW(Exact{nan}, InternalError);
  EXPECT_THROW(Exact{inf}, InternalError);
  EXPECT_THROW((Exact(1.0) + ldexp(1, -53)).to_double(), InternalError);
  EXPECT_THROW(ldexp(1, 1024).to_double(), InternalError);
  EXPECT_THROW(ldexp(3, -1075).to_double(), InternalError);
  EXPECT_THROW(Exact().floor_log2(), InternalError);
}

TEST(Exact, PrintsAnOddSignificand) {
  EXPECT_EQ(Exact(-0.8125).text(), "-13*2^-4");
  EXPECT_EQ(Exact(24).text(), "3*2^3");
  EXPECT_EQ(Exact().text(), "0");
  EXPECT_EQ(Exact(24).floor_log2(), 4);
}

}  // namespace
}  // namespace blockdot::models
