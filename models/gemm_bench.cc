// Rows of blockdot_bench: the exact GEMM against OpenBLAS sgemm, one thread each, measured turn by
// turn in the same run. Counter of_sgemm: products a second / products a second of sgemm; 1 is as
// fast. Where a row has a bar, its label says whether the row holds it. The threads' rows are wall
// times: they mean something on a machine that does nothing else.
#include <benchmark/benchmark.h>
#include <cblas.h>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
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

enum class Data {
  kNormal,     // N(0, 1)
  kFullRange,  // magnitudes log-uniform over the 32 binades of E5M2, in every block
};

std::vector<float> values(std::int64_t count, unsigned seed, Data data) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::uniform_real_distribution<float> exponent(-16.0f, 16.0f);
  std::vector<float> x(static_cast<size_t>(count));
  for (float& v : x)
    v = data == Data::kNormal ? normal(random)
                              : std::copysign(std::exp2(exponent(random)), normal(random));
  return x;
}

/// Seconds of processor time of one call: what else the machine does counts less.
template <typename Call>
double seconds_of(Call call) {
  std::clock_t start = std::clock();
  call();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

template <typename Call>
double wall_seconds_of(Call call) {
  auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Sgemm {
  explicit Sgemm(std::int64_t size)
      : n(static_cast<int>(size)),
        a(values(size * size, 1, Data::kNormal)),
        b(values(size * size, 2, Data::kNormal)),
        c(a.size()) {
    openblas_set_num_threads(1);
  }
  void operator()() {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, n, 1.0f, a.data(), n, b.data(), n,
                0.0f, c.data(), n);
    benchmark::DoNotOptimize(c.data());
  }
  int n;
  std::vector<float> a, b, c;
};

struct Row {
  std::string name, spec;
  Data data = Data::kNormal;
  double bar = 0;            // 0: none
  std::int64_t size = 1024;  // M, N and K
};

struct Product {
  Product(const Row& row, std::int64_t n)
      : spec(parse_dot_spec(row.spec)),
        a(quantize(spec.a, row_major(values(n * n, 1, row.data).data(), n, n))),
        b(quantize(spec.b, row_major(values(n * n, 2, row.data).data(), n, n))) {}
  void operator()(int threads) {
    gemm_into(result, spec, a, b, {.threads = threads});
    benchmark::DoNotOptimize(result.codes.data());
  }
  DotSpec spec;
  QuantizedMatrix a, b;
  GemmResult result;
};

void label(benchmark::State& state, double ratio, double bar) {
  if (bar > 0) state.SetLabel(fmt::format("{} {}", ratio >= bar ? "holds" : "below", bar));
}

void gemm_row(benchmark::State& state, const Row& row) {
  std::int64_t n = state.range(0);
  Product product(row, n);
  Sgemm sgemm(n);
  double best = 1e30, best_sgemm = 1e30;
  while (state.KeepRunning()) {
    best = std::min(best, seconds_of([&] { product(1); }));
    state.PauseTiming();
    best_sgemm = std::min(best_sgemm, seconds_of([&] { sgemm(); }));
    state.ResumeTiming();
  }
  auto products = static_cast<double>(n * n * n);
  state.counters["products"] = products / best;
  state.counters["of_sgemm"] = best_sgemm / best;
  if (row.bar > 0) state.counters["bar"] = row.bar;
  label(state, best_sgemm / best, row.bar);
}

void threads_row(benchmark::State& state, const Row& row) {
  Product product(row, state.range(0));
  double one = 1e30, two = 1e30;
  while (state.KeepRunning()) {
    two = std::min(two, wall_seconds_of([&] { product(2); }));
    state.PauseTiming();
    one = std::min(one, wall_seconds_of([&] { product(1); }));
    state.ResumeTiming();
  }
  state.counters["of_one_thread"] = one / two;
  state.counters["bar"] = row.bar;
  label(state, one / two, row.bar);
}

const bool kRegistered = [] {
  std::vector<Row> rows;
  auto add = [&](const std::string& format, const std::string& accumulator, double bar,
                 Data data = Data::kNormal) {
    rows.push_back({fmt::format("gemm/{}/{}{}", format, accumulator,
                                data == Data::kFullRange ? "/full_range" : ""),
                    fmt::format("a={} accumulator={}", format, accumulator), data, bar});
  };
  for (const char* format : {"mxint8", "mxfp4_e2m1", "mxfp6_e2m3"}) {
    add(format, "fp32", 2.5);
    add(format, "kulisch", 2.0);
  }
  for (const char* accumulator : {"fp32", "kulisch"}) {
    add("mxfp6_e3m2", accumulator, 1.6);
    add("mxfp8_e4m3", accumulator, 0.5);
    add("mxfp8_e5m2", accumulator, 0.3);
    add("mxfp8_e5m2", accumulator, 0.3, Data::kFullRange);
  }
  for (const char* format : {"mxfp8_e4m3", "mxfp4_e2m1"}) {
    std::string spec = fmt::format("a={} lanes=1 output=bf16 accumulator=bf16", format);
    rows.push_back({fmt::format("gemm/{}/bf16/mac", format), spec, Data::kNormal, 0.3});
    rows.push_back({fmt::format("gemm/{}/bf16:sr:16/mac", format), spec + ":sr:16 rounding=sr:16",
                    Data::kNormal, 0.12});
  }
  // No bar: what else a unit may be.
  for (const char* format : {"bm8", "mx9", "int8@fp32/32", "bf16", "mxfp8_e4m3 b=mxfp4_e2m1",
                             "mxint8 b=mxfp8_e4m3", "nf4@fp32/64"})
    for (const char* accumulator : {"fp32", "kulisch"}) add(format, accumulator, 0);
  for (const char* format : {"mxint8", "mxfp8_e4m3"})
    for (const char* accumulator :
         {"fp32:rtz", "fp32:sr:16", "bf16 output=bf16", "fp16 lanes=4", "fp16:sr:8 lanes=4",
          "fp32 lanes=1", "kulisch[20:-20]", "kulisch[15:-8]:wrap output=bf16",
          "kulisch[15:-8]:sticky", "aligned[13]:fp32", "aligned[25]:fp32",
          "fp32:sr:16 lfsr=fibonacci:64"})
      add(format, accumulator, 0);
  // One result at a time.
  for (const char* spec : {"bf16 accumulator=aligned[46]:fp32", "nf4_dq accumulator=fp32",
                           "nf4_dq accumulator=aligned[13]:fp32"})
    rows.push_back(
        {fmt::format("gemm/results/{}", spec), fmt::format("a={}", spec), Data::kNormal, 0, 256});
  for (const Row& row : rows)
    benchmark::RegisterBenchmark(row.name.c_str(),
                                 [row](benchmark::State& state) { gemm_row(state, row); })
        ->Arg(row.size)
        ->Unit(benchmark::kMillisecond);
  for (const char* format : {"mxint8", "mxfp8_e4m3"}) {
    Row row{fmt::format("threads/{}/fp32", format), fmt::format("a={} accumulator=fp32", format),
            Data::kNormal, 1.8};
    benchmark::RegisterBenchmark(row.name.c_str(),
                                 [row](benchmark::State& state) { threads_row(state, row); })
        ->Arg(2048)
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  }
  return true;
}();

}  // namespace
}  // namespace blockdot::models
