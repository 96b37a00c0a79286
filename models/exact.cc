#include "models/exact.h"

#include <fmt/core.h>

#include <cmath>
#include <utility>

#include "formats/error.h"

namespace blockdot::models {

namespace mp = boost::multiprecision;

namespace {

Exact::Integer magnitude_of(const Exact::Integer& x) {
  return x.sign() < 0 ? Exact::Integer(-x) : x;
}

}  // namespace

Exact::Exact(double value) {
  BLOCKDOT_CHECK(std::isfinite(value), "{} is not a finite number", value);
  if (value == 0) return;
  int exponent;
  auto m = static_cast<std::int64_t>(std::ldexp(std::frexp(value, &exponent), 53));
  exponent -= 53;
  // Small significands keep products small.
  int zeros = __builtin_ctzll(static_cast<std::uint64_t>(m));
  significand_ = m >> zeros;
  exponent_ = exponent + zeros;
}

Exact::Exact(Integer significand, int exponent)
    : significand_(std::move(significand)), exponent_(exponent) {}

int Exact::floor_log2() const {
  BLOCKDOT_CHECK(!is_zero(), "logarithm of zero");
  return static_cast<int>(mp::msb(magnitude_of(significand_))) + exponent_;
}

Exact& Exact::operator+=(const Exact& other) {
  if (other.is_zero()) return *this;
  if (is_zero()) return *this = other;
  if (exponent_ <= other.exponent_) {
    significand_ += other.significand_ << (other.exponent_ - exponent_);
  } else {
    significand_ <<= exponent_ - other.exponent_;
    significand_ += other.significand_;
    exponent_ = other.exponent_;
  }
  return *this;
}

Exact& Exact::operator*=(const Exact& other) {
  significand_ *= other.significand_;
  exponent_ += other.exponent_;
  return *this;
}

int Exact::compare(const Exact& other) const {
  if (sign() != other.sign()) return sign() - other.sign();
  if (is_zero()) return 0;
  int mine = floor_log2(), theirs = other.floor_log2();
  if (mine != theirs) return (mine < theirs ? -1 : 1) * sign();
  if (exponent_ <= other.exponent_)
    return significand_.compare(Integer(other.significand_ << (other.exponent_ - exponent_)));
  return Integer(significand_ << (exponent_ - other.exponent_)).compare(other.significand_);
}

double Exact::to_double() const {
  if (is_zero()) return 0;
  Integer magnitude = magnitude_of(significand_);
  auto zeros = static_cast<int>(mp::lsb(magnitude));
  magnitude >>= zeros;
  BLOCKDOT_CHECK(mp::msb(magnitude) < 53, "{} does not fit a double", text());
  double value =
      std::ldexp(static_cast<double>(static_cast<std::uint64_t>(magnitude)), exponent_ + zeros);
  if (sign() < 0) value = -value;
  BLOCKDOT_CHECK(std::isfinite(value) && Exact(value) == *this, "{} does not fit a double", text());
  return value;
}

std::string Exact::text() const {
  if (is_zero()) return "0";
  Integer magnitude = magnitude_of(significand_);
  auto zeros = static_cast<int>(mp::lsb(magnitude));
  magnitude >>= zeros;
  return fmt::format("{}{}*2^{}", sign() < 0 ? "-" : "", magnitude.str(), exponent_ + zeros);
}

Exact abs(const Exact& x) { return x.sign() < 0 ? -x : x; }

Exact ldexp(const Exact& x, int exponent) {
  return Exact(x.significand(), x.exponent() + exponent);
}

Exact floor_to_multiple(const Exact& x, int lsb) {
  if (x.exponent() >= lsb) return x;
  // Towards minus infinity by magnitudes: floor(-m / d) = -ceil(m / d).
  Exact::Integer divisor = Exact::Integer(1) << (lsb - x.exponent());
  Exact::Integer magnitude = magnitude_of(x.significand());
  Exact::Integer quotient = magnitude / divisor;
  if (x.sign() < 0 && quotient * divisor != magnitude) ++quotient;
  if (x.sign() < 0) quotient = -quotient;
  return Exact(quotient, lsb);
}

}  // namespace blockdot::models
