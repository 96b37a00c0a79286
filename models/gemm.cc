// The fast GEMM: the first way that is exact for the operands. Each way has its own file
// (gemm_vector.h, gemm_mac.h, gemm_results.h); here are the choice and the random stream.
#include "models/gemm.h"

#include <array>

#include "formats/error.h"
#include "formats/lfsr_jump.h"
#include "models/beats.h"
#include "models/gemm_mac.h"
#include "models/gemm_results.h"
#include "models/gemm_vector.h"
#include "models/parallel.h"

namespace blockdot::models {

using formats::AccumulatorKind;
using formats::DotSpec;
using formats::QuantizedMatrix;

namespace {

/// An LfsrJump by tables of a byte each: for many jumps by the same way.
class ByteJump {
 public:
  explicit ByteJump(std::uint64_t steps) {
    const formats::LfsrJump jump(steps);
    for (size_t byte = 0; byte < 4; ++byte)
      for (std::uint32_t value = 0; value < 256; ++value)
        image_[byte][value] = jump(value << (8 * byte));
  }
  std::uint32_t operator()(std::uint32_t s) const {
    return image_[0][s & 255] ^ image_[1][s >> 8 & 255] ^ image_[2][s >> 16 & 255] ^
           image_[3][s >> 24];
  }

 private:
  std::array<std::array<std::uint32_t, 256>, 4> image_;
};

/// Steps of the random stream that a result takes.
std::int64_t steps_a_result(const DotSpec& spec, std::int64_t k) {
  const bool floating = spec.accumulator.kind == AccumulatorKind::kFloat;
  std::int64_t steps = 0;
  if (floating) steps += beats_for(spec, k) * spec.accumulator.rounding.random_bits;
  if (output_rounds(spec)) steps += spec.rounding.random_bits;
  return steps;
}

/// Lfsr state before each result's first draw, in the order of results; empty where none draws.
std::vector<std::uint32_t> random_states(std::int64_t steps, std::int64_t m, std::int64_t n,
                                         std::uint64_t seed, int threads) {
  if (steps == 0 || m == 0 || n == 0) return {};
  const ByteJump result_jump(static_cast<std::uint64_t>(steps));
  const ByteJump row_jump(static_cast<std::uint64_t>(steps) * static_cast<std::uint64_t>(n));
  std::vector<std::uint32_t> states(static_cast<size_t>(m * n));
  auto state = static_cast<std::uint32_t>(formats::Lfsr(seed).state());
  for (std::int64_t i = 0; i < m; ++i) {
    states[static_cast<size_t>(i * n)] = state;
    state = row_jump(state);
  }
  parallel_ranges(m, threads, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      for (std::int64_t j = 1; j < n; ++j) {
        const auto at = static_cast<size_t>(i * n + j);
        states[at] = result_jump(states[at - 1]);
      }
  });
  return states;
}

void solve_all(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
               const std::vector<std::uint32_t>& states, int threads, GemmResult& result) {
  const ResultSolver solver(spec, a, 0, a.rows, b, 0, b.rows, threads);
  parallel_tasks(a.rows, threads, [&](std::int64_t i) {
    for (std::int64_t j = 0; j < b.rows; ++j) {
      const auto at = static_cast<size_t>(i * b.rows + j);
      result.codes[at] = solver.code(i, j, states.empty() ? 1 : states[at]);
    }
  });
}

}  // namespace

GemmResult gemm(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
                const GemmOptions& options) {
  if (options.threads < 1) throw ConfigError("threads = {}: must be at least 1", options.threads);
  check_operands(spec, a, b);
  GemmResult result{a.rows, b.rows, spec.output, {}};
  if (a.rows == 0 || b.rows == 0) return result;
  if (gemm_by_macs(spec, a, b, options.seed, options.threads, result)) return result;
  const std::vector<std::uint32_t> states =
      random_states(steps_a_result(spec, a.length), a.rows, b.rows, options.seed, options.threads);
  if (gemm_by_vectors(spec, a, b, states, options.threads, result)) return result;
  result.codes.resize(static_cast<size_t>(a.rows * b.rows));
  solve_all(spec, a, b, states, options.threads, result);
  result.way = "results";
  return result;
}

}  // namespace blockdot::models
