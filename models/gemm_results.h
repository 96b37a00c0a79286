// Results one at a time, exactly, for any spec and any data: what the vector code of the GEMM does
// not take, and the few results that it leaves in doubt.
#pragma once

#include <cstdint>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/quantize.h"
#include "models/gemm_draws.h"
#include "models/gemm_factor.h"
#include "models/gemm_operand.h"

namespace blockdot::models {

/// Rows [first_row, first_row + rows) of `a` against rows [first_col, first_col + cols) of `b`, all
/// of which must outlive it. Elements become integers in units of their row, so that a beat's sum
/// S of products is an integer and the beat value T = S * xa * xb; T and the sums are held in 126
/// or 510 bits, which each result's range decides, or the golden model takes it. An aligned
/// accumulator takes the products one by one, cut at the largest exponent of their beat.
class ResultSolver {
 public:
  ResultSolver(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
               std::int64_t first_row, std::int64_t rows, const formats::QuantizedMatrix& b,
               std::int64_t first_col, std::int64_t cols, int threads);

  /// What a result is computed in.
  enum class Width { k126, k510, kGolden };
  /// Of the result of row first_row + i and column first_col + j.
  Width width(std::int64_t i, std::int64_t j) const;
  /// Code of that result.
  std::uint32_t code(std::int64_t i, std::int64_t j, const RandomStreams& streams) const;

 private:
  /// Exponents as the aligned accumulator reads them off one side's codes, else empty; unused where
  /// the element or the scale is 0.
  struct Exponents {
    std::vector<std::int32_t> elements;  // [rows][length]
    std::vector<std::int32_t> scales;    // [rows][beats]
  };
  /// What the products of a result span.
  struct Range {
    int scale_low = 0, scale_high = 0;  // multiples of 2^scale_low, scales at most 2^scale_high
    int sum_bits = 0;                   // of S
  };
  struct Flags {
    bool nan = false, plus_inf = false, minus_inf = false;
  };
  double factor(std::int64_t i, std::int64_t j) const;
  bool plain(std::int64_t i, std::int64_t j) const;
  Flags inf_flags(std::int64_t i, std::int64_t j) const;
  std::uint32_t finish(std::int64_t i, std::int64_t j, double value, std::uint32_t random) const;
  std::uint32_t golden(std::int64_t i, std::int64_t j, const RandomStreams& streams) const;
  Exponents exponents_of(const Operand& operand, const formats::QuantizedMatrix& matrix,
                         int threads) const;
  Range range(std::int64_t i, std::int64_t j) const;
  template <typename Wide, typename Sum>
  std::uint32_t wide(std::int64_t i, std::int64_t j, const RandomStreams& streams,
                     int scale_low) const;
  template <typename Wide>
  double aligned_step(std::int64_t i, std::int64_t j, std::int64_t beat, double acc,
                      std::uint32_t random) const;

  const formats::DotSpec& spec_;
  const formats::QuantizedMatrix& a_matrix_;
  const formats::QuantizedMatrix& b_matrix_;
  std::vector<formats::BeatRange> beats_;
  std::vector<formats::BeatRange> chunks_;  // beats, or longer where the order does not matter
  int longest_ = 0;
  Operand a_, b_;
  Exponents a_exponents_, b_exponents_;
  ResultFactors factors_;
  WideRounding into_accumulator_, into_output_;
};

}  // namespace blockdot::models
