#include "sim/metrics/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace blockdot::sim {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr float kInfF = std::numeric_limits<float>::infinity();
constexpr float kNanF = std::numeric_limits<float>::quiet_NaN();
const formats::ElementFormat kFp32 = formats::parse_element("fp32");

// Oracle of the next test, NumPy 1.24:
//   y = np.array([1.0, -2.0, 3.5, 0.0]); r = np.array([1.25, -2.0, 3.0, 0.5])
//   10*np.log10((r**2).sum() / ((y-r)**2).sum())      -> 14.20505836570779
//   np.linalg.norm(y-r) / np.linalg.norm(r)           -> 0.19487094073848926
//   (y*r).sum() / (np.linalg.norm(y)*np.linalg.norm(r)) -> 0.985307586582035
TEST(ErrorStats, MatchesNumpyOnFourNumbers) {
  const float y[] = {1.0f, -2.0f, 3.5f, 0.0f};
  const double r[] = {1.25, -2.0, 3.0, 0.5};
  ErrorStats s = error_stats(y, r, kFp32);
  EXPECT_EQ(s.count, 4);
  EXPECT_EQ(s.compared, 4);
  EXPECT_NEAR(s.snr_db, 14.20505836570779, 1e-12);
  EXPECT_NEAR(s.rel_frobenius, 0.19487094073848926, 1e-15);
  EXPECT_NEAR(s.cosine, 0.985307586582035, 1e-15);
  EXPECT_EQ(s.max_abs, 0.5);
  EXPECT_EQ(s.max_rel, 1.0);  // 0 for 0.5
  EXPECT_EQ(s.underflow, 1);
  EXPECT_EQ(s.overflow, 0);
  EXPECT_EQ(s.max_ulp_fp32, 0.5 * 0x1p24);  // an ulp at 0.5 is 2^-24
}

TEST(ErrorStats, CountsWhatIsNotFiniteAndLeavesItOut) {
  const float y[] = {kNanF, kInfF, 1, 1, 2};
  const double r[] = {1, 1, std::nan(""), -kInf, 2};
  ErrorStats s = error_stats(y, r, kFp32);
  EXPECT_EQ(s.compared, 1);
  EXPECT_EQ(s.nan, 1);
  EXPECT_EQ(s.inf, 1);
  EXPECT_EQ(s.nan_reference, 1);
  EXPECT_EQ(s.inf_reference, 1);
  EXPECT_EQ(s.overflow, 1);
  EXPECT_EQ(s.snr_db, kInf);
  EXPECT_EQ(s.rel_frobenius, 0);
  EXPECT_EQ(s.cosine, 1);
}

TEST(ErrorStats, WithoutAComparableResultNoMeasureIsKnown) {
  const float y[] = {kNanF, kInfF, 1};
  const double r[] = {1, 2, -kInf};
  for (std::size_t size : {3, 0}) {
    ErrorStats s = error_stats({y, size}, {r, size}, kFp32);
    EXPECT_EQ(s.compared, 0);
    for (double measure : {s.snr_db, s.rel_frobenius, s.max_abs, s.max_rel, s.cosine,
                           s.max_ulp_output, s.max_ulp_fp32})
      EXPECT_TRUE(std::isnan(measure)) << measure;
    auto json = to_json(s);
    EXPECT_EQ(json["snr_db"], "nan");
    EXPECT_EQ(json["cosine"], "nan");
    EXPECT_EQ(to_json(error_stats_from_json(nlohmann::json::parse(json.dump()))), json);
  }
  // Zeros are comparable, and right.
  const float zero[] = {0};
  const double zero_reference[] = {0};
  EXPECT_EQ(error_stats(zero, zero_reference, kFp32).snr_db, kInf);
}

TEST(ErrorStats, SaturationAtTheLargestValueIsAnOverflow) {
  auto e4m3 = formats::parse_element("e4m3");
  const float y[] = {448, 448, -448};
  const double r[] = {500, 448, -1000};
  EXPECT_EQ(error_stats(y, r, e4m3).overflow, 2);
}

TEST(Ulp, FollowsTheSpacingOfTheFormat) {
  EXPECT_EQ(ulp(kFp32, 1.0), 0x1p-23);
  EXPECT_EQ(ulp(kFp32, 1.9999), 0x1p-23);
  EXPECT_EQ(ulp(kFp32, -2.0), 0x1p-22);
  EXPECT_EQ(ulp(kFp32, 0.0), 0x1p-149);
  EXPECT_EQ(ulp(kFp32, 0x1p-140), 0x1p-149);
  EXPECT_EQ(ulp(kFp32, 0x1p200), 0x1p104);  // beyond the format: the spacing of its last octave
  EXPECT_EQ(ulp(formats::parse_element("bf16"), 1.0), 0x1p-7);
}

// By hand, MXFP4 blocks of 4 written as e2m1@e8m0/4: emax = 2.
//   8 1 0.1 0     amax 8: scale 2^(3-2) = 2, elements 4 0.5 0.05->0 0: values 8 1 0 0; 0.1 flushed
//   7 7 7 -15     amax 15: scale 2: 3.5->4(tie to even) 4 4, -7.5 saturates to -6: 8 8 8 -12
TEST(OperandStats, MatchesAHandComputedMxfp4Matrix) {
  const float x[] = {8, 1, 0.125f, 0, 7, 7, 7, -15};
  auto format = formats::parse_block_format("e2m1@e8m0/4");
  auto view = formats::row_major(x, 2, 4);
  OperandStats s = operand_stats(view, formats::quantize(format, view));
  EXPECT_EQ(s.count, 8);
  EXPECT_EQ(s.zeros, 1);
  EXPECT_EQ(s.flushed, 1);
  EXPECT_EQ(s.saturated, 1);
  EXPECT_EQ(s.amax, 15);
  double signal = 64 + 1 + 0.015625 + 3 * 49 + 225, noise = 0.015625 + 3 * 1 + 9;
  EXPECT_NEAR(s.qsnr_db, 10 * std::log10(signal / noise), 1e-12);
  EXPECT_NEAR(s.rms, std::sqrt(signal / 8), 1e-12);
  EXPECT_EQ(s.values.octaves, (std::map<int, std::int64_t>{{-3, 1}, {0, 1}, {2, 3}, {3, 2}}));
  EXPECT_EQ(s.values.zeros, 1);
  EXPECT_EQ(s.scales.octaves, (std::map<int, std::int64_t>{{1, 2}}));
}

TEST(OperandStats, ANanInABlockMakesTheBlockNanAndIsCounted) {
  const float x[] = {8, kNanF, 1, 2, 1, 2, 3, 4};
  auto view = formats::row_major(x, 2, 4);
  OperandStats s =
      operand_stats(view, formats::quantize(formats::parse_block_format("e2m1@e8m0/4"), view));
  EXPECT_EQ(s.nan_in, 1);
  EXPECT_EQ(s.nan_out, 4);
  EXPECT_EQ(s.scales.nans, 1);
  EXPECT_EQ(s.saturated, 0);
  EXPECT_EQ(s.qsnr_db, kInf);  // 1 2 3 4 are E2M1 values
}

TEST(OperandStats, WithoutAFinitePairTheQsnrIsNotKnown) {
  const float x[] = {8, kNanF, 1, 2};  // the NaN takes its whole block
  auto view = formats::row_major(x, 1, 4);
  OperandStats s =
      operand_stats(view, formats::quantize(formats::parse_block_format("e2m1@e8m0/4"), view));
  EXPECT_EQ(s.nan_out, 4);
  EXPECT_TRUE(std::isnan(s.qsnr_db)) << s.qsnr_db;
  auto json = to_json(s);
  EXPECT_EQ(json["qsnr_db"], "nan");
  EXPECT_EQ(to_json(operand_stats_from_json(nlohmann::json::parse(json.dump()))), json);
}

TEST(OperandStats, SecondLevelScalesCountIntoSaturation) {
  // sm2 (magnitude 0..3, unit 1/2) in blocks of 4, pairs of 2: E = 0, tau = 0 and 1.
  const float x[] = {1.0f, 1.75f, 0.5f, 0.875f};
  auto view = formats::row_major(x, 1, 4);
  OperandStats s =
      operand_stats(view, formats::quantize(formats::parse_block_format("sm2@e8m0/4+u1/2"), view));
  EXPECT_EQ(s.saturated, 2);  // 1.75 > 3/2, and 0.875 > 3/2 * 2^-1
}

TEST(Histogram, CountsOctavesOfFloat32Subnormals) {
  Histogram h;
  h.add(0x1p-149);
  h.add(-3.9);
  h.add(4.0);
  EXPECT_EQ(h.octaves, (std::map<int, std::int64_t>{{-149, 1}, {1, 1}, {2, 1}}));
  EXPECT_EQ(h.total(), 3);
}

TEST(MetricsJson, ReadsBackWhatItWrote) {
  const float x[] = {8, kNanF, 1, 2, 1e-30f, 2, -3, 4};
  auto view = formats::row_major(x, 2, 4);
  OperandStats s =
      operand_stats(view, formats::quantize(formats::parse_block_format("e2m1@e8m0/4"), view));
  EXPECT_EQ(operand_stats_from_json(nlohmann::json::parse(to_json(s).dump())), s);
  const double r[] = {8, 1, 1.1, 2, 0, 2, 3, 4};
  ErrorStats e = error_stats(x, r, kFp32);
  EXPECT_EQ(error_stats_from_json(nlohmann::json::parse(to_json(e).dump())), e);
  EXPECT_EQ(number_from_json(number_json(-kInf)), -kInf);
  EXPECT_TRUE(std::isnan(number_from_json(number_json(std::nan("")))));
}

}  // namespace
}  // namespace blockdot::sim
