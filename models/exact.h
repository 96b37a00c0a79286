// Exact: a real number m * 2^e of any size. The golden model computes with nothing else.
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <compare>
#include <cstdint>
#include <string>

namespace blockdot::models {

/// A dyadic number: an integer of any size times a power of two. Every operation is exact.
class Exact {
 public:
  using Integer = boost::multiprecision::cpp_int;

  Exact() = default;
  Exact(int value) : Exact(Integer(value), 0) {}  // NOLINT: numbers convert
  /// A finite double; InternalError for NaN and Inf.
  explicit Exact(double value);
  /// significand * 2^exponent.
  Exact(Integer significand, int exponent);

  bool is_zero() const { return significand_.is_zero(); }
  int sign() const { return significand_.sign(); }  // -1, 0, +1
  /// floor(log2 |x|). InternalError for zero.
  int floor_log2() const;

  Exact operator-() const { return Exact(-significand_, exponent_); }
  Exact& operator+=(const Exact& other);
  Exact& operator-=(const Exact& other) { return *this += -other; }
  Exact& operator*=(const Exact& other);
  friend Exact operator+(Exact a, const Exact& b) { return a += b; }
  friend Exact operator-(Exact a, const Exact& b) { return a -= b; }
  friend Exact operator*(Exact a, const Exact& b) { return a *= b; }

  bool operator==(const Exact& other) const { return compare(other) == 0; }
  std::strong_ordering operator<=>(const Exact& other) const { return compare(other) <=> 0; }

  /// x = significand() * 2^exponent(); not unique.
  const Integer& significand() const { return significand_; }
  int exponent() const { return exponent_; }

  /// The double of this value. InternalError where a double cannot hold it.
  double to_double() const;
  /// "-13*2^-4": odd significand in decimal, or "0".
  std::string text() const;

 private:
  int compare(const Exact& other) const;  // <0, 0, >0

  Integer significand_ = 0;
  int exponent_ = 0;
};

Exact abs(const Exact& x);
/// x * 2^exponent.
Exact ldexp(const Exact& x, int exponent);
/// The largest multiple of 2^lsb that is not above x.
Exact floor_to_multiple(const Exact& x, int lsb);

}  // namespace blockdot::models
