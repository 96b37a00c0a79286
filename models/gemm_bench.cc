// Rows of blockdot_bench: the exact GEMM against OpenBLAS sgemm, one thread each, measured in the
// same run. Counter of_sgemm: products a second / products a second of sgemm; 1 is as fast.
#include <benchmark/benchmark.h>
#include <cblas.h>
#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "models/gemm.h"

namespace blockdot::models {
namespace {

using formats::DotSpec;
using formats::parse_dot_spec;
using formats::quantize;
using formats::QuantizedMatrix;
using formats::row_major;

std::vector<float> normal_values(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(count));
  for (float& v : x) v = normal(random);
  return x;
}

/// Seconds of processor time of one call: what else the machine does counts less.
template <typename Call>
double seconds_of(Call call) {
  std::clock_t start = std::clock();
  call();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

/// The fastest of a few calls.
template <typename Call>
double fastest(Call call) {
  double best = 1e30;
  for (int i = 0; i < 5; ++i) best = std::min(best, seconds_of(call));
  return best;
}

double sgemm_seconds(std::int64_t n) {
  static std::map<std::int64_t, double> known;
  if (known.count(n)) return known[n];
  openblas_set_num_threads(1);
  std::vector<float> a = normal_values(n * n, 1), b = normal_values(n * n, 2), c(a.size());
  auto size = static_cast<int>(n);
  return known[n] = fastest([&] {
           cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, size, size, size, 1.0f, a.data(),
                       size, b.data(), size, 0.0f, c.data(), size);
           benchmark::DoNotOptimize(c.data());
         });
}

void gemm_row(benchmark::State& state, const std::string& text) {
  std::int64_t n = state.range(0);
  DotSpec spec = parse_dot_spec(text);
  std::vector<float> x = normal_values(n * n, 1), w = normal_values(n * n, 2);
  QuantizedMatrix a = quantize(spec.a, row_major(x.data(), n, n));
  QuantizedMatrix b = quantize(spec.b, row_major(w.data(), n, n));
  double sgemm = sgemm_seconds(n);
  double best = 1e30;
  while (state.KeepRunning()) {
    best = std::min(best, seconds_of([&] {
                      GemmResult result = gemm(spec, a, b);
                      benchmark::DoNotOptimize(result.codes.data());
                    }));
  }
  auto products = static_cast<double>(n * n * n);
  state.counters["products"] = benchmark::Counter(
      products * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["of_sgemm"] = sgemm / best;
}

void sgemm_row(benchmark::State& state) {
  std::int64_t n = state.range(0);
  openblas_set_num_threads(1);
  std::vector<float> a = normal_values(n * n, 1), b = normal_values(n * n, 2), c(a.size());
  auto size = static_cast<int>(n);
  while (state.KeepRunning()) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, size, size, size, 1.0f, a.data(), size,
                b.data(), size, 0.0f, c.data(), size);
    benchmark::DoNotOptimize(c.data());
  }
  state.counters["products"] =
      benchmark::Counter(static_cast<double>(n * n * n) * static_cast<double>(state.iterations()),
                         benchmark::Counter::kIsRate);
}

const bool kRegistered = [] {
  const char* ocp[] = {"mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2",
                       "mxfp6_e2m3", "mxfp4_e2m1", "mxint8"};
  benchmark::RegisterBenchmark("sgemm/openblas", sgemm_row)
      ->Arg(512)
      ->Arg(1024)
      ->Unit(benchmark::kMillisecond);
  std::vector<std::string> formats(std::begin(ocp), std::end(ocp));
  for (const char* more : {"bm8", "mx9", "int8@fp32/32", "bf16"}) formats.emplace_back(more);
  for (const std::string& format : formats) {
    for (const char* accumulator : {"fp32", "kulisch"}) {
      std::string text = fmt::format("a={} accumulator={}", format, accumulator);
      benchmark::RegisterBenchmark(fmt::format("gemm/{}/{}", format, accumulator).c_str(),
                                   [text](benchmark::State& state) { gemm_row(state, text); })
          ->Arg(512)
          ->Arg(1024)
          ->Unit(benchmark::kMillisecond);
    }
  }
  for (const char* format : {"mxfp8_e4m3", "mxfp4_e2m1"})
    for (const char* accumulator : {"bf16", "bf16:sr:16"}) {
      std::string text =
          fmt::format("a={} lanes=1 accumulator={} output=bf16", format, accumulator);
      if (std::string_view(accumulator) != "bf16") text += " rounding=sr:16";
      benchmark::RegisterBenchmark(fmt::format("gemm/{}/{}/mac", format, accumulator).c_str(),
                                   [text](benchmark::State& state) { gemm_row(state, text); })
          ->Arg(512)
          ->Arg(1024)
          ->Unit(benchmark::kMillisecond);
    }
  return true;
}();

}  // namespace
}  // namespace blockdot::models
