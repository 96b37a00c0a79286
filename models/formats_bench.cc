// Rows of blockdot_bench: quantising and dequantising every one-level block format of the catalogue
// with at most 8 bits an element, one thread, codes one byte each. `of_memcpy` is the speed against
// memcpy of the input in the same run; on the large matrix the label says whether it
// holds the bar of 0.3 (of bfloat16 input, which has no bar, what it is measured against).
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "formats/quantize.h"

namespace blockdot::models {
namespace {

using formats::BlockFormat;
using formats::QuantizedMatrix;

// Whole tiles of 48 and 128. The larger matrix, 85 MB, lies beyond the caches as a layer's tensors
// do, and the bar is for it; beside the smaller one, 6 MB in the cache, memcpy is three times as
// fast.
constexpr std::int64_t kLarge = 4608, kSmall = 1152;
constexpr double kBar = 0.3;

double seconds_of(auto call) {
  auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Fastest of the run's calls against the fastest memcpy, measured turn by turn: the machine's other
// work hits both.
template <typename Value>
void compare_row(benchmark::State& state, const std::vector<Value>& x, auto call) {
  std::vector<Value> copy(x.size());
  double best = 1e30, best_copy = 1e30;
  while (state.KeepRunning()) {
    best = std::min(best, seconds_of(call));
    state.PauseTiming();
    best_copy = std::min(best_copy, seconds_of([&] {
                           std::memcpy(copy.data(), x.data(), x.size() * sizeof(Value));
                           benchmark::DoNotOptimize(copy.data());
                           benchmark::ClobberMemory();
                         }));
    state.ResumeTiming();
  }
  double ratio = best_copy / best;
  state.counters["of_memcpy"] = ratio;
  state.SetBytesProcessed(static_cast<std::int64_t>(x.size() * sizeof(Value)) *
                          static_cast<std::int64_t>(state.iterations()));
  state.SetLabel(state.range(0) == kSmall ? "in cache" : ratio >= kBar ? "holds 0.3" : "below 0.3");
}

// N(0, 1), the same 2^20 values again and again.
std::vector<float> normal_values(std::int64_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(n * n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = i < 1 << 20 ? normal(random) : x[i - (1 << 20)];
  return x;
}

void quantise_row(benchmark::State& state, const BlockFormat& format) {
  std::int64_t n = state.range(0);
  std::vector<float> x = normal_values(n);
  QuantizedMatrix q;
  auto view = formats::row_major(x.data(), n, n);
  compare_row(state, x, [&] {
    quantize_into(format, view, {}, q);
    benchmark::DoNotOptimize(q.codes.data());
    benchmark::ClobberMemory();
  });
}

// Of bfloat16, half as many bytes to read and to copy.
void bfloat16_row(benchmark::State& state, const BlockFormat& format) {
  const std::int64_t n = state.range(0);
  std::vector<std::uint16_t> x;
  for (const float value : normal_values(n))
    x.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16));
  QuantizedMatrix q;
  const auto view = formats::row_major(x.data(), n, n);
  compare_row(state, x, [&] {
    quantize_into(format, view, {}, q);
    benchmark::DoNotOptimize(q.codes.data());
    benchmark::ClobberMemory();
  });
  state.SetLabel("against memcpy of the bfloat16 input");
}

void dequantise_row(benchmark::State& state, const BlockFormat& format) {
  std::int64_t n = state.range(0);
  std::vector<float> x = normal_values(n), y(x.size());
  QuantizedMatrix q = quantize(format, formats::row_major(x.data(), n, n));
  compare_row(state, x, [&] {
    dequantize_into(q, y);
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  });
}

// The six OCP formats have a bar of their own, at the size of a large layer.
void ocp_row(benchmark::State& state, const BlockFormat& format) {
  quantise_row(state, format);
  double ratio = state.counters["of_memcpy"];
  state.SetLabel(ratio >= 0.9 ? "holds 0.9" : "below 0.9");
}

const bool kRegistered = [] {
  for (const char* name :
       {"mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e3m2", "mxfp6_e2m3", "mxfp4_e2m1", "mxint8"}) {
    const BlockFormat format = formats::parse_block_format(name);
    benchmark::RegisterBenchmark(fmt::format("quantise_ocp/{}", name).c_str(), ocp_row, format)
        ->Arg(4096)
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark(fmt::format("quantise_bf16/{}", name).c_str(), bfloat16_row,
                                 format)
        ->Arg(4096)
        ->Unit(benchmark::kMicrosecond);
  }
  for (const formats::CatalogueEntry& entry : formats::catalogue()) {
    BlockFormat format = formats::parse_block_format(entry.name);
    if (!format.has_scale() || format.has_outer() || format.micro.bits > 0 ||
        format.element.width() > 8)
      continue;
    benchmark::RegisterBenchmark(("quantise/" + entry.name).c_str(), quantise_row, format)
        ->Arg(kLarge)
        ->Arg(kSmall)
        ->Unit(benchmark::kMicrosecond);
    benchmark::RegisterBenchmark(("dequantise/" + entry.name).c_str(), dequantise_row, format)
        ->Arg(kLarge)
        ->Arg(kSmall)
        ->Unit(benchmark::kMicrosecond);
  }
  return true;
}();

}  // namespace
}  // namespace blockdot::models
