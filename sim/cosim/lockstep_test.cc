// The Verilated unit in lock-step. Oracle: the golden model (models/golden.h), which shares nothing
// with the generator but the spec.
#include "sim/cosim/lockstep.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "formats/error.h"
#include "models/golden.h"
#include "sim/cosim/faulty_unit.h"
#include "sim/cosim/stage.h"

namespace blockdot::sim {
namespace {

const std::filesystem::path kCache = BLOCKDOT_BINARY_DIR "/test-cache";

/// A product of random numbers with everything that a lock-step run needs.
struct Case {
  formats::DotSpec spec;
  rtl_gen::Unit unit;
  formats::QuantizedMatrix a, b;
  models::GemmResult golden;

  Case(const char* spec_text, std::int64_t m, std::int64_t n, std::int64_t k,
       const rtl_gen::Arch& arch = {}, std::uint64_t seed = 1)
      : spec(formats::parse_dot_spec(spec_text)),
        unit(rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, arch)) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    std::vector<float> x(static_cast<std::size_t>(m * k)), y(static_cast<std::size_t>(n * k));
    for (float& v : x) v = normal(random);
    for (float& v : y) v = normal(random);
    a = formats::quantize(spec.a, formats::row_major(x.data(), m, k));
    b = formats::quantize(spec.b, formats::row_major(y.data(), n, k));
    golden = models::gemm_golden(spec, a, b, seed);
  }
  LockstepRun run(const LockstepOptions& options = {}) const {
    return run_lockstep(Model::load(model_source(unit), kCache), unit.report, spec, a, b,
                        golden.codes, "test", options);
  }
  Case with_fault(const std::map<std::string, std::string>& changes) const {
    Case other = *this;
    other.unit = faulty_unit(unit, changes);
    return other;
  }
};

constexpr const char* kSmall = "a=e2m1@e8m0/8 lanes=4 accumulator=kulisch[40:-20]";

TEST(Lockstep, TheUnitGivesTheGoldenModelsBitsInTheCyclesOfItsLatency) {
  Case c(kSmall, 5, 7, 37);
  LockstepRun run = c.run();
  EXPECT_EQ(run.results, 35) << "vacuous co-simulation";
  EXPECT_EQ(run.mismatches, 0) << run.first_mismatch;
  EXPECT_EQ(run.beats, 35 * 10);
  EXPECT_EQ(run.cycles, 350 - 1 + c.unit.report.latency + 1);
}

TEST(Lockstep, BubblesChangeNoValue) {
  Case c(kSmall, 5, 7, 37);
  for (std::uint64_t seed : {1, 2, 3}) {
    LockstepRun run = c.run({.bubbles = 0.5, .bubble_seed = seed});
    EXPECT_EQ(run.mismatches, 0) << run.first_mismatch;
    EXPECT_GT(run.idle, 200);
    EXPECT_EQ(run.cycles, 350 + run.idle + c.unit.report.latency);
  }
}

TEST(Lockstep, StochasticRoundingFollowsTheSeedAndNotTheBubbles) {
  Case c("a=e2m1@e8m0/8 lanes=4 accumulator=kulisch[40:-20] output=bf16 rounding=sr:8", 6, 6, 64,
         {}, 12345);
  EXPECT_EQ(c.run({.seed = 12345}).mismatches, 0);
  EXPECT_EQ(c.run({.seed = 12345, .bubbles = 0.4}).mismatches, 0);
  EXPECT_GT(c.run({.seed = 54321}).mismatches, 0);
}

TEST(Lockstep, ASeededFaultIsFoundAndExplained) {
  Case good(kSmall, 5, 7, 37);
  // Lane 2 of b loses its sign bit, [4*2 + 3].
  Case bad = good.with_fault({{"b_i", "b_i & 16'hF7FF"}});
  LockstepRun run = bad.run();
  EXPECT_GT(run.mismatches, 0);
  EXPECT_EQ(run.results, 35);
  for (const char* part : {"test: result [", "expected 0x", "got 0x", "differs after beat",
                           "(k = ", "a scale 0x", "lane   2: a 0x", "b 0x"})
    EXPECT_NE(run.first_mismatch.find(part), std::string::npos) << part << "\n"
                                                                << run.first_mismatch;
}

TEST(Lockstep, AWrongLatencyIsFound) {
  Case c(kSmall, 2, 2, 16);
  c.unit.report.latency += 1;
  LockstepRun run = c.run();
  EXPECT_GT(run.mismatches, 0);
  EXPECT_NE(run.first_mismatch.find("valid_o is high"), std::string::npos) << run.first_mismatch;
  c.unit.report.latency -= 2;
  run = c.run();
  EXPECT_NE(run.first_mismatch.find("valid_o is low"), std::string::npos) << run.first_mismatch;
}

TEST(Lockstep, AWrongValidNamesWhatItDoesNotFollow) {
  Case c(kSmall, 2, 2, 16);
  const int latency = c.unit.report.latency;
  for (const auto& [changes, stage] :
       {std::pair<std::map<std::string, std::string>, std::string>{{{"last_i", "1'b1"}},
                                                                   "it does not wait for last_i"},
        {{{"valid_i", "valid_i | last_i"}}, "it does not wait for valid_i"},
        {{{"valid_i", "1'b0"}}, "it does not come for one beat alone"},
        {{{"rst_ni", "rst_ni & ~a_i[0]"}}, "one beat alone has it right"}}) {
    const LockstepRun run = c.with_fault(changes).run({.bubbles = 0.9});
    EXPECT_GT(run.mismatches, 0);
    EXPECT_NE(run.first_mismatch.find("\n  stage: valid_o: " + stage), std::string::npos)
        << stage << " in:\n"
        << run.first_mismatch;
  }
  c.unit.report.latency = latency + 1;
  const LockstepRun run = c.run();
  EXPECT_NE(
      run.first_mismatch.find(fmt::format("has it {} cycles later, not {}", latency, latency + 1)),
      std::string::npos)
      << run.first_mismatch;
}

// One lane is wrong in the last of 16384 beats: trying 1, 2, 3, ... beats would take hours.
TEST(Lockstep, AFaultAtTheEndOfALongResultIsExplained) {
  constexpr std::int64_t kLength = 65536;
  Case c("a=e2m1@e8m0/8 lanes=4 accumulator=kulisch[40:-20]", 1, 1, kLength);
  std::vector<float> ones(kLength, 1.0f);
  c.a = formats::quantize(c.spec.a, formats::row_major(ones.data(), 1, kLength));
  ones[kLength - 2] = -1.0f;
  c.b = formats::quantize(c.spec.b, formats::row_major(ones.data(), 1, kLength));
  c.golden = models::gemm_golden(c.spec, c.a, c.b);
  const LockstepRun run = c.with_fault({{"b_i", "b_i & 16'hF7FF"}}).run();
  EXPECT_GT(run.mismatches, 0);
  for (const char* part :
       {"differs after beat 16384 of 16384 (k = 65532..65535)", "stage: product of lane 2"})
    EXPECT_NE(run.first_mismatch.find(part), std::string::npos) << part << "\n"
                                                                << run.first_mismatch;
}

TEST(TurnsWrong, FindsTheFirstLengthAndAsksFewAndNoneFarBeyond) {
  for (std::size_t most = 1; most <= 40; ++most)
    for (std::size_t first = 1; first <= most + 1; ++first) {
      int asked = 0;
      std::size_t longest = 0;
      const auto turn = turns_wrong(most, [&](std::size_t length) {
        ++asked;
        longest = std::max(longest, length);
        return length >= first;
      });
      EXPECT_EQ(turn, first <= most ? std::optional(first) : std::nullopt);
      EXPECT_LE(longest, std::min(most, 2 * first));
      EXPECT_LE(asked, 13);
    }
}

TEST(Lockstep, AnAccumulatorThatIsNotClearedIsToldFromAWrongSum) {
  Case c(kSmall, 3, 3, 16);
  // The unit never sees `first`: its sums go on from the results before.
  Case bad = c.with_fault({{"first_i", "1'b0"}});
  LockstepRun run = bad.run();
  EXPECT_GT(run.mismatches, 0);
  EXPECT_NE(run.first_mismatch.find("left from the results before"), std::string::npos)
      << run.first_mismatch;
}

TEST(Lockstep, ACombinationalUnitShowsResultsInTheSameCycle) {
  rtl_gen::Arch arch;
  arch.combinational = true;
  Case c(kSmall, 4, 4, 20, arch);
  EXPECT_EQ(c.unit.report.latency, 0);
  LockstepRun run = c.run({.bubbles = 0.3});
  EXPECT_EQ(run.results, 16);
  EXPECT_EQ(run.mismatches, 0) << run.first_mismatch;
}

TEST(Lockstep, RefusesTheUnitOfAnotherSpec) {
  Case c(kSmall, 2, 2, 16);
  auto other = formats::parse_dot_spec("a=e2m3@e8m0/8 lanes=4");
  EXPECT_THROW(DotRecords(Model::load(model_source(c.unit), kCache), other), ConfigError);
}

TEST(Scoreboard, ChecksValueAndCycleOfEachResult) {
  Scoreboard board(3);
  board.expect(0, 7);
  board.expect(1, 8);
  for (std::int64_t cycle = 0; cycle < 3; ++cycle) board.observe(cycle, false, 0);
  board.observe(3, true, 7);
  EXPECT_EQ(board.mismatches(), 0);
  board.observe(4, true, 9);
  EXPECT_EQ(board.mismatches(), 1);
  EXPECT_EQ(board.first()->kind, Scoreboard::Kind::kValue);
  board.observe(5, true, 9);
  EXPECT_EQ(board.mismatches(), 2);  // spurious
  EXPECT_EQ(board.checked(), 2);
  EXPECT_EQ(board.pending(), 0);
}

}  // namespace
}  // namespace blockdot::sim
