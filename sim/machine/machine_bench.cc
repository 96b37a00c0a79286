// Rows of blockdot_bench: the simulated machine. `bar` is what a row must hold, its label says
// whether it does.
//   systemc_machine   array cycles a second, values included, of 16 x 16 units of 32 lanes
//   closed_form       the same cycles by formula
//   fast_overhead     time of the engine `fast` on that machine over that of the bare quantisers
//                     and GEMM, on every product of the shipped trace, less one; accuracy
//                     figures are not in it
//   fast_trace        seconds of a whole replay of the shipped trace by `fast`, accuracy figures
//                     included, in two processes
//   second_run        seconds of a whole `blockdot sim --engine rtl` whose unit is in the cache of
//                     compiled models
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <random>

#include "formats/quantize.h"
#include "models/gemm.h"
#include "rtl_gen/generate.h"
#include "sim/machine/cycles.h"
#include "sim/machine/report.h"
#include "sim/machine/schedule.h"
#include "sim/replay/replay.h"
#include "sim/systemc/machine.h"

namespace blockdot::sim {
namespace {

using Clock = std::chrono::steady_clock;

double wall_seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

void label(benchmark::State& state, double value, double bar, bool at_most) {
  state.counters["bar"] = bar;
  const bool holds = at_most ? value <= bar : value >= bar;
  state.SetLabel(fmt::format("{} {} {}", holds ? "holds" : "breaks", at_most ? "<=" : ">=", bar));
}

struct Product {
  formats::DotSpec spec;
  Schedule schedule;
  formats::QuantizedMatrix a, b;
};

/// 16 x 16 units of 32 lanes, 256 x 256 x 1024.
Product make_product(const std::string& dataflow) {
  Product p;
  p.spec = formats::parse_dot_spec("a=mxfp8_e4m3 lanes=32 accumulator=fp32");
  const Machine machine =
      parse_machine("rows=16 cols=16 bandwidth=1024 depth=64 dataflow=" + dataflow);
  rtl_gen::ArrayTiming timing;
  timing.dataflow = machine.dataflow;
  timing.rows = timing.cols = 16;
  timing.banks = machine.banks;
  timing.depth = machine.depth;
  timing.unit = 7;
  timing.term = 4;
  timing.step = 2;
  timing.finish = 1;
  const std::int64_t m = 256, n = 256, k = 1024;
  p.schedule = make_schedule(machine, timing, 40, p.spec, m, n, k);
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(m * k));
  for (float& v : x) v = normal(random);
  p.a = formats::quantize(p.spec.a, formats::row_major(x.data(), m, k));
  for (float& v : x) v = normal(random);
  p.b = formats::quantize(p.spec.b, formats::row_major(x.data(), n, k));
  return p;
}

void systemc_machine(benchmark::State& state, const char* dataflow) {
  const Product p = make_product(dataflow);
  double best = 0;  // cycles a second of the processor's time: the machine may be shared
  while (state.KeepRunning()) {
    const std::clock_t begin = std::clock();
    const MachineRun run = run_machine(p.schedule, {&p.a, &p.b, {}, {}, {}, {}});
    benchmark::DoNotOptimize(run.codes.data());
    best = std::max(best, static_cast<double>(run.count.cycles) * CLOCKS_PER_SEC /
                              static_cast<double>(std::clock() - begin));
  }
  state.counters["array_cycles/s"] = best;
  label(state, best, 50000, false);
}
BENCHMARK_CAPTURE(systemc_machine, os, "os")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(systemc_machine, ws, "ws")->Unit(benchmark::kMillisecond);

void closed_form(benchmark::State& state) {
  const Product p = make_product("os");
  std::int64_t cycles = 0;
  while (state.KeepRunning()) cycles += machine_cycles(p.schedule).cycles;
  state.counters["array_cycles"] =
      benchmark::Counter(static_cast<double>(cycles), benchmark::Counter::kIsRate);
}
BENCHMARK(closed_form)->Unit(benchmark::kMicrosecond);

const std::filesystem::path kTrace = BLOCKDOT_SOURCE_DIR "/sim/trace/data";

void fast_overhead(benchmark::State& state) {
  const auto spec = formats::parse_dot_spec("a=mxfp8_e4m3 lanes=32 accumulator=fp32");
  const rtl_gen::Unit unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, {});
  ReplayOptions options;
  options.machine =
      design_machine(parse_machine("rows=16 cols=16 bandwidth=1024"), spec, {}, false);
  TraceReader trace(kTrace);
  std::vector<GemmTrace> products;
  for (std::size_t i = 0; i < trace.size(); ++i) products.push_back(trace.load(i));
  double overhead = 1e30;
  while (state.KeepRunning()) {
    // Product by product and the best of three, so that both meet the same machine.
    double bare = 0, fast = 0;
    for (const GemmTrace& product : products) {
      double one_bare = 1e30, one_fast = 1e30;
      for (int i = 0; i < 3; ++i) {
        const auto begin = Clock::now();
        const auto a = formats::quantize(spec.a, product.a_view());
        const auto b = formats::quantize(spec.b, product.b_view());
        benchmark::DoNotOptimize(models::gemm(spec, a, b).codes.data());
        one_bare = std::min(one_bare, wall_seconds(begin));
        const GemmReport report = replay(product, spec, unit, Engine::kFast, options);
        one_fast = std::min(one_fast, report.engines.front().seconds);
      }
      bare += one_bare;
      fast += one_fast;
    }
    overhead = std::min(overhead, fast / bare - 1);
  }
  state.counters["overhead"] = overhead;
  label(state, overhead, 0.1, true);
}
BENCHMARK(fast_overhead)->Unit(benchmark::kMillisecond)->Iterations(2);

void fast_trace(benchmark::State& state) {
  const auto spec = formats::parse_dot_spec("a=mxfp8_e4m3 lanes=32 accumulator=fp32");
  const rtl_gen::Unit unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, {});
  double best = 1e30;
  while (state.KeepRunning()) {
    const auto begin = Clock::now();
    TraceReader trace(kTrace);
    const SimReport report = replay_trace(trace, {}, spec, unit, Engine::kFast, {.jobs = 2});
    best = std::min(best, wall_seconds(begin));
    state.counters["products"] = static_cast<double>(report.gemms.size());
  }
  state.counters["seconds"] = best;
  label(state, best, 2, true);
}
BENCHMARK(fast_trace)->Unit(benchmark::kMillisecond)->Iterations(3)->UseRealTime();

void second_run(benchmark::State& state) {
  const std::string command = fmt::format(
      "'{}' -q sim '{}' --point 'MXFP4 E2M1' --trace '{}' --gemm lm/step1000/head/fprop --engine "
      "rtl",
      BLOCKDOT_PROGRAM, BLOCKDOT_SOURCE_DIR "/explore/designs/quickstart.toml", kTrace.string());
  const auto run = [&] {
    if (std::system(command.c_str()) != 0) state.SkipWithError("the command failed");
  };
  run();  // compiles where it was not
  double best = 1e30;
  while (state.KeepRunning()) {
    const auto begin = Clock::now();
    run();
    best = std::min(best, wall_seconds(begin));
  }
  state.counters["seconds"] = best;
  label(state, best, 1, true);
}
BENCHMARK(second_run)->Unit(benchmark::kMillisecond)->Iterations(5)->UseRealTime();

}  // namespace
}  // namespace blockdot::sim
