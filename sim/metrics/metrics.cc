#include "sim/metrics/metrics.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "formats/error.h"

namespace blockdot::sim {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Signal to noise in dB of sums of squares: +Inf without noise, also for a signal of zeros.
double decibel(double signal, double noise) {
  if (noise == 0) return std::numeric_limits<double>::infinity();
  return 10 * std::log10(signal / noise);
}

/// Octave counts by table; floor(log2 |x|) of a float32 lies in [-149, 127].
class OctaveCounter {
 public:
  void add(float x) {
    std::uint32_t magnitude = std::bit_cast<std::uint32_t>(x) & 0x7FFFFFFFu;
    std::uint32_t exponent = magnitude >> 23;
    if (exponent == 0 || exponent == 255)
      rest_.add(static_cast<double>(x));
    else
      ++normal_[exponent];
  }
  Histogram histogram() const {
    Histogram all = rest_;
    for (std::size_t e = 1; e < 255; ++e)
      if (normal_[e] != 0) all.octaves[static_cast<int>(e) - 127] += normal_[e];
    return all;
  }

 private:
  std::array<std::int64_t, 256> normal_{};  // by exponent field
  Histogram rest_;                          // zero, subnormal, Inf, NaN
};

}  // namespace

OperandStats operand_stats(const formats::MatrixView& x, const formats::QuantizedMatrix& q) {
  BLOCKDOT_CHECK(x.rows == q.rows && x.length == q.length);
  OperandStats stats;
  stats.count = x.rows * x.length;
  const double element_max = formats::max_value(q.format.element);
  const std::vector<float> quantized = formats::dequantize(q);
  const bool scaled = q.format.block > 0;
  OctaveCounter values;
  double noise = 0, signal = 0;
  std::int64_t finite = 0, compared = 0;
  for (std::int64_t r = 0; r < x.rows; ++r) {
    double block_max = element_max;
    for (std::int64_t k = 0; k < x.length; ++k) {
      if (scaled && k % q.format.block == 0) {
        double scale = formats::decode(q.format.scale, q.scale(r, k));
        stats.scales.add(scale);
        block_max = element_max * scale;  // NaN: no comparison holds
      }
      float in = x.at(r, k);
      double value = static_cast<double>(in);
      double out = static_cast<double>(quantized[static_cast<std::size_t>(r * x.length + k)]);
      values.add(in);
      stats.nan_in += std::isnan(value);
      stats.inf_in += std::isinf(value);
      stats.nan_out += std::isnan(out);
      stats.inf_out += std::isinf(out);
      stats.zeros += value == 0;
      if (!std::isfinite(value)) continue;
      stats.amax = std::max(stats.amax, std::fabs(value));
      stats.rms += value * value;
      ++finite;
      double most = q.format.micro.bits == 0 ? block_max : std::ldexp(block_max, -q.micro(r, k));
      stats.saturated += std::fabs(value) > most;
      stats.flushed += value != 0 && out == 0;
      if (!std::isfinite(out)) continue;
      ++compared;
      noise += (out - value) * (out - value);
      signal += value * value;
    }
  }
  stats.rms = finite == 0 ? 0 : std::sqrt(stats.rms / static_cast<double>(finite));
  stats.qsnr_db = compared == 0 ? kNan : decibel(signal, noise);
  stats.values = values.histogram();
  return stats;
}

double ulp(const formats::ElementFormat& format, double x) {
  BLOCKDOT_CHECK(format.kind == formats::ElementKind::kMinifloat);
  int least = 1 - format.bias;
  int exponent = x == 0 || !std::isfinite(x) ? least : std::ilogb(x);
  return std::ldexp(1.0,
                    std::clamp(exponent, least, std::max(least, formats::max_exponent(format))) -
                        format.man_bits);
}

ErrorStats error_stats(std::span<const float> y, std::span<const double> reference,
                       const formats::ElementFormat& output) {
  BLOCKDOT_CHECK(y.size() == reference.size());
  static const formats::ElementFormat kFp32 = formats::parse_element("fp32");
  const double largest = formats::max_value(output);
  ErrorStats stats;
  stats.count = static_cast<std::int64_t>(y.size());
  double noise = 0, yy = 0, rr = 0, yr = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    double got = static_cast<double>(y[i]), want = reference[i];
    stats.nan += std::isnan(got);
    stats.inf += std::isinf(got);
    stats.nan_reference += std::isnan(want);
    stats.inf_reference += std::isinf(want);
    if (std::isfinite(want)) {
      stats.overflow += std::isinf(got) || (std::fabs(got) == largest && std::fabs(want) > largest);
      stats.underflow += want != 0 && got == 0;
    }
    if (!std::isfinite(got) || !std::isfinite(want)) continue;
    ++stats.compared;
    double error = std::fabs(got - want);
    noise += error * error;
    yy += got * got;
    rr += want * want;
    yr += got * want;
    if (error == 0) continue;
    stats.max_abs = std::max(stats.max_abs, error);
    if (want != 0) stats.max_rel = std::max(stats.max_rel, error / std::fabs(want));
    stats.max_ulp_output = std::max(stats.max_ulp_output, error / ulp(output, want));
    stats.max_ulp_fp32 = std::max(stats.max_ulp_fp32, error / ulp(kFp32, want));
  }
  if (stats.compared == 0) {  // nothing is known, which is not a perfect result
    stats.snr_db = stats.rel_frobenius = stats.max_abs = stats.max_rel = kNan;
    stats.cosine = stats.max_ulp_output = stats.max_ulp_fp32 = kNan;
    return stats;
  }
  stats.snr_db = decibel(rr, noise);
  stats.rel_frobenius = noise == 0 ? 0 : std::sqrt(noise / rr);
  stats.cosine = yy == 0 && rr == 0   ? 1
                 : yy == 0 || rr == 0 ? 0
                                      : yr / (std::sqrt(yy) * std::sqrt(rr));
  return stats;
}

nlohmann::ordered_json number_json(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x > 0 ? "inf" : "-inf";
  return x;
}

double number_from_json(const nlohmann::json& json) {
  if (!json.is_string()) return json.get<double>();
  auto text = json.get<std::string>();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  if (text == "nan") return kNan;
  throw ConfigError("\"{}\" is not a number, inf, -inf or nan", text);
}

nlohmann::ordered_json to_json(const OperandStats& s) {
  return {{"count", s.count},
          {"qsnr_db", number_json(s.qsnr_db)},
          {"amax", number_json(s.amax)},
          {"rms", number_json(s.rms)},
          {"zeros", s.zeros},
          {"saturated", s.saturated},
          {"flushed", s.flushed},
          {"nan_in", s.nan_in},
          {"inf_in", s.inf_in},
          {"nan_out", s.nan_out},
          {"inf_out", s.inf_out},
          {"values", to_json(s.values)},
          {"scales", to_json(s.scales)}};
}

OperandStats operand_stats_from_json(const nlohmann::json& j) {
  OperandStats s;
  s.count = j.at("count");
  s.qsnr_db = number_from_json(j.at("qsnr_db"));
  s.amax = number_from_json(j.at("amax"));
  s.rms = number_from_json(j.at("rms"));
  s.zeros = j.at("zeros");
  s.saturated = j.at("saturated");
  s.flushed = j.at("flushed");
  s.nan_in = j.at("nan_in");
  s.inf_in = j.at("inf_in");
  s.nan_out = j.at("nan_out");
  s.inf_out = j.at("inf_out");
  s.values = histogram_from_json(j.at("values"));
  s.scales = histogram_from_json(j.at("scales"));
  return s;
}

nlohmann::ordered_json to_json(const ErrorStats& s) {
  return {{"count", s.count},
          {"compared", s.compared},
          {"snr_db", number_json(s.snr_db)},
          {"rel_frobenius", number_json(s.rel_frobenius)},
          {"max_abs", number_json(s.max_abs)},
          {"max_rel", number_json(s.max_rel)},
          {"cosine", number_json(s.cosine)},
          {"max_ulp_output", number_json(s.max_ulp_output)},
          {"max_ulp_fp32", number_json(s.max_ulp_fp32)},
          {"overflow", s.overflow},
          {"underflow", s.underflow},
          {"nan", s.nan},
          {"inf", s.inf},
          {"nan_reference", s.nan_reference},
          {"inf_reference", s.inf_reference}};
}

ErrorStats error_stats_from_json(const nlohmann::json& j) {
  ErrorStats s;
  s.count = j.at("count");
  s.compared = j.at("compared");
  s.snr_db = number_from_json(j.at("snr_db"));
  s.rel_frobenius = number_from_json(j.at("rel_frobenius"));
  s.max_abs = number_from_json(j.at("max_abs"));
  s.max_rel = number_from_json(j.at("max_rel"));
  s.cosine = number_from_json(j.at("cosine"));
  s.max_ulp_output = number_from_json(j.at("max_ulp_output"));
  s.max_ulp_fp32 = number_from_json(j.at("max_ulp_fp32"));
  s.overflow = j.at("overflow");
  s.underflow = j.at("underflow");
  s.nan = j.at("nan");
  s.inf = j.at("inf");
  s.nan_reference = j.at("nan_reference");
  s.inf_reference = j.at("inf_reference");
  return s;
}

}  // namespace blockdot::sim
