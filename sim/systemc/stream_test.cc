#include "sim/systemc/stream.h"

#include <gtest/gtest.h>

#include <numeric>

#include "formats/error.h"

namespace blockdot::sim {
namespace {

std::vector<std::uint32_t> numbers(std::int64_t n) {
  std::vector<std::uint32_t> codes(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < codes.size(); ++i)
    codes[i] = static_cast<std::uint32_t>(i * 2654435761u);
  return codes;
}

StreamRun run(const StreamShape& shape, const StreamOptions& options = {}) {
  auto codes = numbers(shape.results);
  PrecomputedDatapath datapath(codes);
  StreamRun r = run_stream(shape, datapath, options);
  EXPECT_EQ(r.codes, codes);
  EXPECT_EQ(r.beats, shape.results * shape.beats_per_result);
  return r;
}

TEST(Stream, CountsByHandOneBeatThroughLatencyThree) {
  // Cycle 0 takes the beat, 3 shows the result: 4 cycles.
  EXPECT_EQ(run({.latency = 3, .interval = 1, .results = 1, .beats_per_result = 1}).cycles, 4);
}

TEST(Stream, TakesTheCyclesOfTheClosedFormWithoutStalls) {
  int checked = 0;
  for (int latency : {0, 1, 2, 7, 30})
    for (int interval : {1, 2, 5})
      for (std::int64_t results : {1, 2, 40})
        for (std::int64_t beats : {1, 3}) {
          StreamShape shape{latency, interval, results, beats};
          StreamRun r = run(shape);
          EXPECT_EQ(r.cycles, (results * beats - 1) * interval + latency + 1)
              << latency << ' ' << interval << ' ' << results << ' ' << beats;
          EXPECT_EQ(r.cycles, stream_cycles(shape));
          EXPECT_EQ(r.input_idle, 0);
          EXPECT_EQ(r.output_blocked, 0);
          ++checked;
        }
  EXPECT_EQ(checked, 90);
}

TEST(Stream, StallsCostCyclesAndChangeNoValue) {
  for (std::uint64_t seed : {1, 2, 3}) {
    StreamShape shape{seed == 3 ? 0 : 5, 1, 2000, 2};
    StreamRun in = run(shape, {.input_stalls = 0.3, .seed = seed});
    EXPECT_EQ(in.cycles, stream_cycles(shape) + in.input_idle);  // each idle cycle costs one
    EXPECT_GT(in.input_idle, 1000);
    StreamRun out = run(shape, {.output_stalls = 0.8, .seed = seed});
    EXPECT_GT(out.cycles, stream_cycles(shape));
    EXPECT_GT(out.output_blocked, 0);
    EXPECT_GT(out.input_blocked, 0);  // back-pressure reaches the source
    run(shape, {.input_stalls = 0.5, .output_stalls = 0.5, .seed = seed});
  }
}

TEST(Stream, RunsAreReproducible) {
  StreamShape shape{4, 1, 300, 3};
  StreamOptions options{.input_stalls = 0.4, .output_stalls = 0.6, .seed = 9};
  EXPECT_EQ(run(shape, options).cycles, run(shape, options).cycles);
}

TEST(Stream, AFifoOfOnePlaceStillDeliversEveryResult) {
  StreamShape shape{6, 1, 100, 1};
  StreamRun r = run(shape, {.fifo_depth = 1});
  EXPECT_EQ(r.cycles, 99 * 7 + 7);  // one result at a time: taken, shown after 6 cycles, 7 a result
  run(shape, {.output_stalls = 0.5, .fifo_depth = 1});
}

TEST(Stream, RefusesSharesOutOfRange) {
  auto codes = numbers(1);
  PrecomputedDatapath datapath(codes);
  StreamShape shape{1, 1, 1, 1};
  EXPECT_THROW(run_stream(shape, datapath, {.input_stalls = 1}), ConfigError);
  EXPECT_THROW(run_stream(shape, datapath, {.output_stalls = -0.1}), ConfigError);
  EXPECT_THROW(run_stream(shape, datapath, {.fifo_depth = -1}), ConfigError);
}

}  // namespace
}  // namespace blockdot::sim
