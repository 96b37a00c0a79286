// Speed of the machine: SystemC cycles a second with values, and the closed form.
#include <benchmark/benchmark.h>

#include <random>

#include "formats/quantize.h"
#include "sim/machine/cycles.h"
#include "sim/machine/schedule.h"
#include "sim/systemc/machine.h"

namespace blockdot::sim {
namespace {

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
  std::int64_t cycles = 0;
  for (auto _ : state) {
    const MachineRun run = run_machine(p.schedule, {&p.a, &p.b, {}, {}, {}, {}});
    benchmark::DoNotOptimize(run.codes.data());
    cycles += run.count.cycles;
  }
  state.counters["array_cycles"] =
      benchmark::Counter(static_cast<double>(cycles), benchmark::Counter::kIsRate);
}
BENCHMARK_CAPTURE(systemc_machine, os, "os")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(systemc_machine, ws, "ws")->Unit(benchmark::kMillisecond);

void closed_form(benchmark::State& state) {
  const Product p = make_product("os");
  std::int64_t cycles = 0;
  for (auto _ : state) cycles += machine_cycles(p.schedule).cycles;
  state.counters["array_cycles"] =
      benchmark::Counter(static_cast<double>(cycles), benchmark::Counter::kIsRate);
}
BENCHMARK(closed_form)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace blockdot::sim
