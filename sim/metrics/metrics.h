// How far a quantised product is from the real one: what quantisation does to each operand, and the
// error of the product. All sums are in double; NaN and Inf are counted and left out of the sums.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>

#include "formats/quantize.h"
#include "sim/metrics/histogram.h"

namespace blockdot::sim {

/// An operand before and after quantisation. x: the float32 element, q: its quantised value.
struct OperandStats {
  std::int64_t count = 0;
  /// -10 log10(sum (q - x)^2 / sum x^2), over pairs that are finite; +Inf: exact; NaN: no such pair
  double qsnr_db = 0;
  double amax = 0;             // largest finite |x|
  double rms = 0;              // of the finite x
  std::int64_t zeros = 0;      // x = 0
  std::int64_t saturated = 0;  // |x| finite and above the largest magnitude its block can hold
  std::int64_t flushed = 0;    // x != 0 became 0
  std::int64_t nan_in = 0, inf_in = 0;    // among x
  std::int64_t nan_out = 0, inf_out = 0;  // among q: a NaN scale makes its whole block NaN
  Histogram values;                       // of x
  Histogram scales;  // of the scales' values, one count a block (of each row); empty without scales

  bool operator==(const OperandStats&) const = default;
};

/// Compares a matrix with its quantisation: element (r, k) of `x` became `q.value(r, k)`.
OperandStats operand_stats(const formats::MatrixView& x, const formats::QuantizedMatrix& q);

/// A result y against a reference r. Elements where either is not finite are counted, and left out
/// of everything else. Where none is left to compare, every measure from snr_db to max_ulp_fp32 is
/// NaN.
struct ErrorStats {
  std::int64_t count = 0;      // all elements
  std::int64_t compared = 0;   // both finite
  double snr_db = 0;           // 10 log10(sum r^2 / sum (y - r)^2); +Inf: equal
  double rel_frobenius = 0;    // ||y - r|| / ||r||
  double max_abs = 0;          // max |y - r|
  double max_rel = 0;          // max |y - r| / |r| where r != 0
  double cosine = 0;           // <y, r> / (||y|| ||r||); 1 when both are zero
  double max_ulp_output = 0;   // max |y - r| in units in the last place of the output format at r
  double max_ulp_fp32 = 0;     // the same in float32
  std::int64_t overflow = 0;   // r finite, and y infinite, or at the largest value with |r| above
  std::int64_t underflow = 0;  // r != 0 and y = 0
  std::int64_t nan = 0, inf = 0;                      // among y
  std::int64_t nan_reference = 0, inf_reference = 0;  // among r

  bool operator==(const ErrorStats&) const = default;
};

/// `output`: the minifloat that y is in, for ulp and overflow.
ErrorStats error_stats(std::span<const float> y, std::span<const double> reference,
                       const formats::ElementFormat& output);

/// Size of the last place of a minifloat at |x|: 2^(max(floor(log2 |x|), least exponent) -
/// man_bits) with the exponent held within the format's normal range.
double ulp(const formats::ElementFormat& format, double x);

/// JSON of any double: a number, or "inf", "-inf", "nan", which JSON's numbers cannot hold.
nlohmann::ordered_json number_json(double x);
double number_from_json(const nlohmann::json& json);

nlohmann::ordered_json to_json(const OperandStats& stats);
nlohmann::ordered_json to_json(const ErrorStats& stats);
OperandStats operand_stats_from_json(const nlohmann::json& json);
ErrorStats error_stats_from_json(const nlohmann::json& json);

}  // namespace blockdot::sim
