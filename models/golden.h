// The golden model: what a DotSpec means, as a definition. It computes with exact numbers and
// rounds by search among the values that a format has; it knows nothing of how a unit is built.
// The clauses it follows are those of formats/dot_spec.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/lfsr.h"
#include "formats/quantize.h"
#include "models/beats.h"
#include "models/exact.h"

namespace blockdot::models {

/// The code of `format` that `x` rounds to. The neighbours lo <= |x| < hi are found by search in
/// the format's values (a magnitude code and its value rise together), and the mode decides by
/// exact comparison. Above the largest finite value the grid goes on with its last step. Zero is
/// +0; a value that is not zero keeps its sign. `random`: r bits when stochastic. With a `divisor`
/// > 0 the number is x / divisor, which need not be dyadic: all comparisons are with its multiples.
std::uint32_t golden_round(const formats::ElementFormat& format, const Exact& x,
                           const formats::Rounding& rounding, std::uint32_t random,
                           formats::Overflow overflow, const Exact& divisor = Exact(1));

/// The accumulator of a contract and the result that comes out of it, whatever units its beat
/// values come from.
class GoldenAccumulator {
 public:
  /// A finite number and its exponent as the aligned accumulator reads it, which means nothing
  /// where the number is zero.
  struct Term {
    Exact value;
    int exponent = 0;
  };
  /// Among the products of a beat, or of all beats of a result.
  struct Flags {
    bool nan = false, plus_inf = false, minus_inf = false;
  };
  /// What multiplies the result: value / divisor.
  struct ResultFactor {
    Exact value = Exact(1);
    Exact divisor = Exact(1);
    bool nan = false;
    int sign = 1;
  };

  /// `factor`: results have one. Not validated.
  GoldenAccumulator(const formats::Accumulation& spec, bool factor);

  /// Starts a result.
  void clear();
  /// Takes a beat: the flags of its products, the finite ones without the scales, and the product
  /// of these. What is rounded draws from this stream.
  void add(const Flags& flags, const std::vector<Term>& products, const Term& scale,
           formats::Lfsr& random);
  /// The result's code of the beats so far.
  std::uint32_t result(const ResultFactor& factor, formats::Lfsr& random) const;

 private:
  enum class Held { kFinite, kNan, kPlusInf, kMinusInf };  // what a float accumulator holds

  Exact aligned_sum(const std::vector<Term>& products, const Term& scale) const;
  void round_into_accumulator(const Exact& sum, formats::Lfsr& stream);

  formats::Accumulation spec_;
  bool output_rounds_;
  Exact accumulator_;
  std::uint32_t accumulator_code_ = 0;  // float accumulator
  Held held_ = Held::kFinite;
  bool lost_ = false;  // a window dropped a bit that is not zero
  Flags flags_;        // beside the accumulator
};

/// A unit that computes the spec, beat by beat.
class GoldenDot {
 public:
  /// ConfigError where the spec is not valid. `seed`: of the random stream, else the spec's.
  explicit GoldenDot(const formats::DotSpec& spec, std::optional<std::uint64_t> seed = {});

  /// Takes one beat; gives the result's code in `spec.output` on a `last` beat.
  std::optional<std::uint32_t> step(const Beat& beat) { return step(beat, random_); }
  /// The same, but what is rounded draws from this stream.
  std::optional<std::uint32_t> step(const Beat& beat, formats::Lfsr& random);

  /// As new, with this seed, else the spec's.
  void reset(std::optional<std::uint64_t> seed = {});

  const formats::DotSpec& spec() const { return spec_; }
  /// State of the random stream: the seed with which another unit would go on.
  std::uint64_t random_state() const { return random_.state(); }

 private:
  formats::DotSpec spec_;
  formats::Lfsr random_;
  GoldenAccumulator accumulator_;
};

/// The bare block dot of one beat, before scales and accumulation.
struct BlockDot {
  Exact sum;               // sum_j a_j b_j 2^-(tau_a(j) + tau_b(j)); a product with NaN or Inf is 0
  Exact factor;            // Xa * Xb, the factors of the beat; while not `scale_nan`
  bool nan = false;        // some element is NaN or Inf
  bool scale_nan = false;  // some factor is NaN or Inf
  /// The same factor as the unit's ports hold it, significand * 2^exponent * 2^constant, each the
  /// product or sum over all scales: of e8m0 the code is the exponent (255 too) and the significand
  /// is 1; of a minifloat max(exponent field, 1) and the significand with its hidden bit; integers
  /// and code books have no exponent. :mean gives a binary32.
  int scale_exponent = 0;
  Exact::Integer scale_significand = 1;
};
BlockDot golden_block_dot(const formats::DotSpec& spec, const Beat& beat);

/// A matrix [m][n] of codes in the spec's output format, row-major.
struct GemmResult {
  std::int64_t m = 0;
  std::int64_t n = 0;
  formats::ElementFormat output;
  std::vector<std::uint32_t> codes;  // [m][n]
  std::string_view way = "golden";   // that computed it (gemm.h); no result depends on it

  std::uint32_t code(std::int64_t i, std::int64_t j) const {
    return codes[static_cast<size_t>(i * n + j)];
  }
  double value(std::int64_t i, std::int64_t j) const { return decode(output, code(i, j)); }
  /// As float32 [m][n]: exact, since no output format is wider.
  std::vector<float> values() const;
};

/// The product of `a` [M rows along K] and `b` [N rows along K]: result (i, j) is the dot product
/// of row i of `a` and row j of `b` by a unit that takes the results in the order (0, 0), (0, 1),
/// ..., each with its beats in order, and draws from one stream of this seed, else the spec's.
/// ConfigError by check_operands. Some million products a second: `gemm` gives the same bits
/// faster.
GemmResult gemm_golden(const formats::DotSpec& spec, const formats::QuantizedMatrix& a,
                       const formats::QuantizedMatrix& b, std::optional<std::uint64_t> seed = {});

}  // namespace blockdot::models
