// The fast GEMM: the first way that is exact for the operands. Each way has its own file
// (gemm_mac.h, gemm_aligned.h, gemm_vector.h, gemm_results.h); here is the choice.
#include "models/gemm.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

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
               const RandomStreams& streams, int threads, GemmResult& result) {
  constexpr std::string_view kWays[] = {"results:126", "results:510", "results:golden"};
  const ResultSolver solver(spec, a, 0, a.rows, b, 0, b.rows, threads);
  std::vector<ResultSolver::Width> widest(static_cast<size_t>(a.rows));
  parallel_tasks(a.rows, threads, [&](std::int64_t i) {
    for (std::int64_t j = 0; j < b.rows; ++j) {
      result.codes[static_cast<size_t>(i * b.rows + j)] = solver.code(i, j, streams);
      ResultSolver::Width& most = widest[static_cast<size_t>(i)];
      most = std::max(most, solver.width(i, j));
    }
  });
  result.way = kWays[static_cast<size_t>(*std::max_element(widest.begin(), widest.end()))];
}

/// One unit from this state on, or an array's units.
using Hardware = std::variant<std::uint64_t, ArrayTiles>;

void product(DotSpec spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
             const Hardware& hardware, int threads, GemmResult& result) {
  if (threads < 1) throw ConfigError("threads = {}: must be at least 1", threads);
  check_operands(spec, a, b);
  result.m = a.rows;
  result.n = b.rows;
  result.output = spec.output;
  result.codes.resize(static_cast<size_t>(a.rows * b.rows));
  result.way = "golden";
  if (result.codes.empty()) return;
  // A window that loses nothing holds what the exact accumulator holds, and its order is free.
  if (spec.accumulator.kind == formats::AccumulatorKind::kKulischWindow &&
      window_is_exact(spec, a, b))
    spec.accumulator = {};
  const auto* seed = std::get_if<std::uint64_t>(&hardware);
  if ((seed != nullptr || !draws(spec)) &&
      gemm_by_macs(spec, a, b, seed != nullptr ? *seed : 1, threads, result))
    return;
  const RandomStreams streams =
      seed != nullptr
          ? RandomStreams::of_unit(spec, a.rows, b.rows, a.length, *seed, threads)
          : RandomStreams::of_array(spec, std::get<ArrayTiles>(hardware), a.rows, b.rows, a.length);
  if (gemm_by_aligned(spec, a, b, streams, threads, result)) return;
  if (gemm_by_vectors(spec, a, b, streams, threads, result)) return;
  solve_all(spec, a, b, streams, threads, result);
}

}  // namespace

GemmResult gemm(const DotSpec& spec, const QuantizedMatrix& a, const QuantizedMatrix& b,
                const GemmOptions& options) {
  GemmResult result;
  gemm_into(result, spec, a, b, options);
  return result;
}

void gemm_into(GemmResult& result, const DotSpec& spec, const QuantizedMatrix& a,
               const QuantizedMatrix& b, const GemmOptions& options) {
  product(spec, a, b, options.seed.value_or(spec.lfsr.seed), options.threads, result);
}

GemmResult gemm_on_array(const DotSpec& spec, const ArrayTiles& tiles, const QuantizedMatrix& a,
                         const QuantizedMatrix& b, int threads) {
  const ArrayShape& shape = tiles.shape;
  for (const auto& [field, value] : {std::pair{"rows", std::int64_t{shape.rows}},
                                     {"cols", std::int64_t{shape.cols}},
                                     {"height", tiles.height}})
    if (value < 1) throw ConfigError("{} = {}: must be at least 1", field, value);
  if (!shape.weight_stationary && tiles.height != shape.rows)
    throw ConfigError("height = {}: must be rows = {} in an output-stationary array", tiles.height,
                      shape.rows);
  GemmResult result;
  product(spec, a, b, tiles, threads, result);
  return result;
}

}  // namespace blockdot::models
