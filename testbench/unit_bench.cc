// Rows of blockdot_bench: generating units, and co-simulating them beat by beat.
//   generate/...   one 32-lane unit, spec to Verilog and report; of_limit is 0.2 s / its time
//   cosim/...      beats a second of the Verilated unit in lock-step with its scoreboard; of_bare
//                  is that against the bare model fed with the same records, in the same run. The
//                  label says whether 5 M beats a second and half of the bare speed are held
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <algorithm>
#include <ctime>
#include <random>

#include "models/gemm.h"
#include "rtl_gen/generate.h"
#include "sim/cosim/lockstep.h"

namespace blockdot::testbench {
namespace {

using formats::DotSpec;
using formats::QuantizedMatrix;

void generate_row(benchmark::State& state, const std::string& text) {
  DotSpec spec = formats::parse_dot_spec(text);
  while (state.KeepRunning()) {
    rtl_gen::Unit unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, {});
    benchmark::DoNotOptimize(unit.verilog.data());
  }
  state.counters["of_limit"] = benchmark::Counter(0.2 * static_cast<double>(state.iterations()),
                                                  benchmark::Counter::kIsRate);
}

void cosim_row(benchmark::State& state, const std::string& text) {
  DotSpec spec = formats::parse_dot_spec(text);
  rtl_gen::Unit unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, {});
  sim::Model model = sim::Model::load(sim::model_source(unit));
  constexpr std::int64_t kRows = 64, kLength = 1024;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(kRows * kLength);
  for (float& v : x) v = normal(random);
  QuantizedMatrix a = formats::quantize(spec.a, formats::row_major(x.data(), kRows, kLength));
  QuantizedMatrix b = formats::quantize(spec.b, formats::row_major(x.data(), kRows, kLength));
  models::GemmResult expected = models::gemm(spec, a, b);

  // The yardstick: as many cycles of the same model, one packed record again and again.
  std::int64_t beats = kRows * kRows * formats::beats_for(spec, kLength);
  constexpr std::int64_t kChunk = 4096;
  std::vector<std::uint8_t> in(static_cast<size_t>(kChunk) * model.input_bytes(), 0x5A);
  std::vector<std::uint8_t> out(static_cast<size_t>(kChunk) * model.output_bytes());
  sim::Model::Instance bare(model);
  auto seconds = [](auto call) {
    auto start = std::clock();
    call();
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
  double bare_seconds = 1e30, lockstep_seconds = 1e30;
  while (state.KeepRunning()) {
    bare_seconds = std::min(bare_seconds, seconds([&] {
                              for (std::int64_t done = 0; done < beats; done += kChunk)
                                bare.run(std::min(kChunk, beats - done), in.data(), out.data());
                            }));
    lockstep_seconds = std::min(lockstep_seconds, seconds([&] {
                                  sim::LockstepRun run = sim::run_lockstep(
                                      model, unit.report, spec, a, b, expected.codes, text);
                                  if (run.mismatches != 0) state.SkipWithError("mismatch");
                                }));
  }
  const double rate = static_cast<double>(beats) / lockstep_seconds;
  const double ratio = bare_seconds / lockstep_seconds;
  state.counters["beats_per_s"] = rate;
  state.counters["of_bare"] = ratio;
  state.SetLabel(rate >= 5e6 && ratio >= 0.5 ? "holds 5M" : "below 5M");
}

const bool kRegistered = [] {
  for (const char* format : {"mxfp8_e4m3", "mxfp8_e5m2", "mxfp4_e2m1", "mxint8", "bm8"}) {
    for (const char* accumulator : {"fp32", "kulisch"}) {
      std::string text = fmt::format("a={} lanes=32 accumulator={}", format, accumulator);
      benchmark::RegisterBenchmark(fmt::format("generate/{}/{}", format, accumulator).c_str(),
                                   [text](benchmark::State& state) { generate_row(state, text); })
          ->Unit(benchmark::kMillisecond);
    }
    std::string text = fmt::format("a={} lanes=32 accumulator=fp32", format);
    benchmark::RegisterBenchmark(fmt::format("cosim/{}/fp32", format).c_str(),
                                 [text](benchmark::State& state) { cosim_row(state, text); })
        ->Unit(benchmark::kMillisecond);
  }
  return true;
}();

}  // namespace
}  // namespace blockdot::testbench
