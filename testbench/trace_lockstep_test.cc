// The shipped trace, every product of it, through the four units that the quick start compares: the
// fast kernels, the SystemC model and the Verilated unit agree in every bit and cycle.
#include <gtest/gtest.h>

#include <set>

#include "explore/design.h"
#include "sim/replay/replay.h"

namespace blockdot::testbench {
namespace {

const std::filesystem::path kSource = BLOCKDOT_SOURCE_DIR;

explore::DesignFile quickstart() {
  return explore::read_design_file(kSource / "explore/designs/quickstart.toml");
}

class TraceLockstep : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Shipped, TraceLockstep, ::testing::Range(0, 4));

TEST_P(TraceLockstep, EveryGemmAgreesInAllEngines) {
  explore::DesignPoint point = quickstart().points.at(static_cast<size_t>(GetParam()));
  sim::TraceReader trace(kSource / "sim/trace/data");
  rtl_gen::Unit unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, point.spec, point.arch);
  sim::ReplayOptions options;
  options.quantize = point.quantize;
  options.jobs = 2;
  sim::SimReport report =
      sim::replay_trace(trace, {}, point.spec, unit, sim::Engine::kAll, options);

  ASSERT_EQ(report.gemms.size(), trace.size());
  std::set<std::string> roles;
  for (size_t i = 0; i < report.gemms.size(); ++i) {
    const sim::GemmReport& gemm = report.gemms[i];
    const sim::GemmInfo& info = trace.gemms()[i];
    EXPECT_EQ(gemm.name, info.name);
    EXPECT_EQ(gemm.mismatches, 0) << gemm.name << ": " << gemm.first_mismatch;
    EXPECT_TRUE(gemm.agree) << gemm.name;
    // fast, systemc, rtl: each gave every result, none was left out.
    ASSERT_EQ(gemm.engines.size(), 3u) << gemm.name;
    for (const sim::EngineRun& run : gemm.engines) {
      EXPECT_EQ(run.results, info.m * info.n) << gemm.name << " " << to_text(run.engine);
      EXPECT_EQ(run.beats, info.m * info.n * beats_for(point.spec, info.k)) << gemm.name;
      EXPECT_EQ(run.cycles, gemm.engines.front().cycles) << gemm.name;
    }
    roles.insert(std::string(to_text(gemm.role)));
  }
  EXPECT_EQ(roles.size(), 3u) << "fprop, dgrad and wgrad";
  EXPECT_TRUE(report.agree());
}

TEST(TraceLockstep, TheQuickStartComparesTheFourFormats) {
  std::set<std::string> formats;
  for (const explore::DesignPoint& point : quickstart().points)
    formats.insert(display_name(point.spec.a));
  EXPECT_EQ(formats, (std::set<std::string>{"mxfp8_e4m3", "mxfp4_e2m1", "mxint8", "bm8"}));
}

TEST(TraceLockstep, StallsChangeNoValue) {
  explore::DesignPoint point = quickstart().points.front();
  point.spec.rounding = point.spec.accumulator.rounding = formats::stochastic_rounding(16);
  rtl_gen::Unit unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, point.spec, point.arch);
  sim::TraceReader trace(kSource / "sim/trace/data");
  sim::GemmTrace gemm = trace.load(trace.find("cnn/step0800/conv2/dgrad"));
  sim::ReplayOptions stalled;
  stalled.input_stalls = 0.4;
  stalled.output_stalls = 0.4;
  sim::GemmReport with = replay(gemm, point.spec, unit, sim::Engine::kAll, stalled);
  sim::GemmReport without = replay(gemm, point.spec, unit, sim::Engine::kFast);
  EXPECT_EQ(with.mismatches, 0) << with.first_mismatch;
  EXPECT_EQ(with.results_sha256, without.results_sha256);
  EXPECT_FALSE(with.results_sha256.empty());
}

}  // namespace
}  // namespace blockdot::testbench
