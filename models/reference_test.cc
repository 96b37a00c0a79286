// The reference products against quadruple precision.
#include "models/reference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "formats/error.h"

namespace blockdot::models {
namespace {

__extension__ typedef __float128 Float128;
using formats::MatrixView;

struct Matrices {
  std::int64_t m = 13, n = 71, k = 300;
  std::vector<float> a, b;  // [m][k], [k][n]
  MatrixView left() const { return formats::row_major(a.data(), m, k); }
  MatrixView right() const { return formats::transposed(b.data(), n, k); }
};

Matrices random_matrices() {
  Matrices x;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  x.a.resize(static_cast<size_t>(x.m * x.k));
  x.b.resize(static_cast<size_t>(x.k * x.n));
  for (float& v : x.a) v = normal(random);
  for (float& v : x.b) v = normal(random);
  return x;
}

TEST(Reference, IsWithinTheErrorBoundOfTheQuadruplePrecisionProduct) {
  Matrices x = random_matrices();
  std::vector<double> c = reference_gemm(x.left(), x.right());
  std::vector<float> f = reference_gemm_fp32(x.left(), x.right());
  ASSERT_EQ(c.size(), static_cast<size_t>(x.m * x.n));
  for (std::int64_t i = 0; i < x.m; ++i) {
    for (std::int64_t j = 0; j < x.n; ++j) {
      Float128 sum = 0;
      double magnitudes = 0;
      for (std::int64_t k = 0; k < x.k; ++k) {
        double p = static_cast<double>(x.left().at(i, k)) * x.right().at(j, k);
        sum += p;
        magnitudes += std::fabs(p);
      }
      // Higham, section 3.1: gamma_K times the sum of magnitudes.
      auto at = static_cast<size_t>(i * x.n + j);
      double exact = static_cast<double>(sum);
      EXPECT_NEAR(c[at], exact, static_cast<double>(x.k) * 0x1p-53 * magnitudes);
      EXPECT_NEAR(f[at], exact, static_cast<double>(x.k) * 0x1p-24 * magnitudes);
    }
  }
}

TEST(Reference, IsTheSameForAnyNumberOfThreads) {
  Matrices x = random_matrices();
  std::vector<double> one = reference_gemm(x.left(), x.right());
  for (int threads : {2, 3, 16}) EXPECT_EQ(reference_gemm(x.left(), x.right(), threads), one);
}

TEST(Reference, PassesNanAndInfOn) {
  float a[] = {1, std::numeric_limits<float>::infinity()}, b[] = {1, 2}, c[] = {1, 0};
  EXPECT_EQ(reference_gemm(formats::row_major(a, 1, 2), formats::row_major(b, 1, 2))[0],
            std::numeric_limits<double>::infinity());
  EXPECT_TRUE(
      std::isnan(reference_gemm(formats::row_major(a, 1, 2), formats::row_major(c, 1, 2))[0]));
}

TEST(Reference, RefusesDifferentLengthsAndNoThreads) {
  float a[] = {1, 2, 3};
  EXPECT_THROW(reference_gemm(formats::row_major(a, 1, 3), formats::row_major(a, 1, 2)),
               ConfigError);
  EXPECT_THROW(reference_gemm(formats::row_major(a, 1, 3), formats::row_major(a, 1, 3), 0),
               ConfigError);
}

}  // namespace
}  // namespace blockdot::models
