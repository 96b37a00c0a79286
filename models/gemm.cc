// The fast GEMM: the first way that is exact for the operands. Each way has its own file
// (gemm_vector.h, gemm_mac.h, gemm_results.h); here are the choice and the random stream.
#include "models/gemm.h"

#include <array>

#include "formats/error.h"
#include "formats/lfsr_jump.h"
#include "models/beats.h"
#include "models/gemm_aligned.h"
#include "models/gemm_mac.h"
#include "models/gemm_results.h"
#include "models/gemm_vector.h"
#include "models/parallel.h"

namespace blockdot::models {

using formats::DotSpec;
using formats::QuantizedMatrix;

namespace {

/// An LfsrJump by tables of a byte each: for many jumps by the same way.
template <typename State>
class ByteJump {
 public:
  ByteJump(std::uint64_t steps, const formats::LfsrSpec& lfsr) {
    const formats::LfsrJump jump(steps, lfsr);
    for (size_t byte = 0; byte < sizeof(State); ++byte)
      for (std::uint64_t value = 0; value < 256; ++value)
        image_[byte][value] = static_cast<State>(jump(value << (8 * byte) & lfsr.mask()));
  }
  State operator()(State s) const {
    State image = 0;
    for (size_t byte = 0; byte < sizeof(State); ++byte)
      image ^= image_[byte][s >> (8 * byte) & 255];
    return image;
  }

 private:
  std::array<std::array<State, 256>, sizeof(State)> image_;
};

/// Steps of the random stream that a result takes.
std::int64_t steps_a_result(const DotSpec& spec, std::int64_t k) {
  const std::int64_t draws = formats::draws_each_beat(spec) ? beats_for(spec, k) : 1;
  return draws * formats::drawn_rounding(spec).random_bits;
}

/// Lfsr state before each result's first draw, in the order of results; empty where none draws.
template <typename State>
std::vector<State> random_states(const formats::LfsrSpec& lfsr, std::int64_t steps, std::int64_t m,
                                 std::int64_t n, std::uint64_t seed, int threads) {
  if (steps == 0 || m == 0 || n == 0) return {};
  const auto one = static_cast<std::uint64_t>(steps);
  const ByteJump<State> result_jump(one, lfsr);
  const ByteJump<State> row_jump(one * static_cast<std::uint64_t>(n), lfsr);
  std::vector<State> states(static_cast<size_t>(m * n));
  auto state = static_cast<State>(formats::Lfsr(seed, lfsr).state());
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

template <typename State>
void solve_all(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
               const std::vector<State>& states, int threads, GemmResult& result) {
  result.codes.resize(static_cast<size_t>(a.rows * b.rows));
  result.way = "results";
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
  const std::uint64_t seed = options.seed.value_or(spec.lfsr.seed);
  const std::int64_t steps = steps_a_result(spec, a.length);
  // The vector code draws as the default register does.
  if (steps > 0 && (spec.lfsr.kind != formats::LfsrKind::kGalois || spec.lfsr.width != 32)) {
    solve_all(spec, a, b,
              random_states<std::uint64_t>(spec.lfsr, steps, a.rows, b.rows, seed, options.threads),
              options.threads, result);
    return result;
  }
  if (gemm_by_macs(spec, a, b, seed, options.threads, result)) return result;
  const auto states =
      random_states<std::uint32_t>(spec.lfsr, steps, a.rows, b.rows, seed, options.threads);
  if (gemm_by_aligned(spec, a, b, states, options.threads, result)) return result;
  if (gemm_by_vectors(spec, a, b, states, options.threads, result)) return result;
  solve_all(spec, a, b, states, options.threads, result);
  return result;
}

}  // namespace blockdot::models
