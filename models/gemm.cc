// The fast GEMM: the first way that is exact for the operands. Each way has its own file
// (gemm_mac.h, gemm_aligned.h, gemm_vector.h, gemm_results.h); here is the choice.
#include "models/gemm.h"

#include "formats/error.h"
#include "models/beats.h"
#include "models/gemm_aligned.h"
#include "models/gemm_draws.h"
#include "models/gemm_mac.h"
#include "models/gemm_pack.h"
#include "models/gemm_results.h"
#include "models/gemm_vector.h"
#include "models/parallel.h"

namespace blockdot::models {

using formats::DotSpec;
using formats::QuantizedMatrix;

namespace {

void solve_all(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
               const std::vector<std::uint64_t>& states, int threads, GemmResult& result) {
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
  // A window that loses nothing holds what the exact accumulator holds, and its order is free.
  if (spec.accumulator.kind == formats::AccumulatorKind::kKulischWindow &&
      window_is_exact(spec, a, b)) {
    DotSpec exact = spec;
    exact.accumulator = {};
    return gemm(exact, a, b, options);
  }
  const std::uint64_t seed = options.seed.value_or(spec.lfsr.seed);
  if (gemm_by_macs(spec, a, b, seed, options.threads, result)) return result;
  const std::vector<std::uint64_t> states =
      random_states(spec, a.rows, b.rows, a.length, seed, options.threads);
  if (gemm_by_aligned(spec, a, b, states, options.threads, result)) return result;
  if (gemm_by_vectors(spec, a, b, states, options.threads, result)) return result;
  solve_all(spec, a, b, states, options.threads, result);
  return result;
}

}  // namespace blockdot::models
