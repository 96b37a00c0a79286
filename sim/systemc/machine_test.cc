// The SystemC machine against the closed form (every cycle, every cause), the golden model and the
// exact GEMM (every value), and itself under random stalls.
#include "sim/systemc/machine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>

#include "formats/error.h"
#include "models/gemm.h"
#include "models/golden.h"
#include "sim/machine/cycles.h"
#include "sim/machine/report.h"
#include "sim/machine/tile_values.h"
#include "sim/testing/random.h"

namespace blockdot::sim {
namespace {

using formats::DotSpec;
using sim::testing::Random;

/// A machine, an array's timing and a product; small.
struct Case {
  Machine machine;
  rtl_gen::ArrayTiming timing;
  DotSpec spec;
  std::int64_t m = 1, n = 1, k = 1;
  std::string text() const {
    return fmt::format("{} | unit={} term={} step={} finish={} | {} | {} x {} x {}",
                       to_text(machine), timing.unit, timing.term, timing.step, timing.finish,
                       to_text(spec), m, n, k);
  }
  Schedule schedule() const { return make_schedule(machine, timing, 40, spec, m, n, k); }
};

/// Random in every field; buffers from the least that holds a tile up to all of the operands.
Case random_case(std::uint64_t seed) {
  Random random(seed);
  Case c;
  static const std::vector<DotSpec> specs = [] {
    std::vector<DotSpec> all;
    for (const char* text :
         {"a=mxfp8_e4m3 lanes=4 accumulator=fp32", "a=e4m3 lanes=3 accumulator=fp32",
          "a=mxfp4_e2m1 lanes=8", "a=mx6 lanes=4 accumulator=bf16 output=bf16", "a=mxint8 lanes=16",
          "a=bm8 b=bm8 lanes=16 accumulator=fp32",
          "a=e4m3@fp32/16 b=e2m1@e4m3/16 lanes=1 accumulator=fp32", "a=mx9 b=mx4 lanes=8",
          "a=nvfp4 lanes=8 accumulator=fp32",
          "a=e2m1@e4m3/8*fp32/row b=int8:frac=0@fp32:amax/row lanes=4 accumulator=fp32"})
      all.push_back(formats::parse_dot_spec(text));
    return all;
  }();
  c.spec = specs[static_cast<std::size_t>(random.in(0, static_cast<int>(specs.size()) - 1))];
  c.m = random.in(1, random.one_of({1, 4, 24}));
  c.n = random.in(1, random.one_of({1, 4, 24}));
  c.k = random.in(1, random.one_of({1, 20, 150}));
  Machine& m = c.machine;
  m.rows = random.in(1, random.one_of({1, 3, 8}));
  m.cols = random.in(1, random.one_of({1, 3, 8}));
  m.dataflow =
      random.one_of({rtl_gen::Dataflow::kOutputStationary, rtl_gen::Dataflow::kWeightStationary});
  m.banks = random.in(1, 4);
  m.depth = random.in(1, random.one_of({1, 6, 20}));
  for (int* banks : {&m.a_banks, &m.b_banks, &m.c_banks})
    *banks = random.in(0, 2) == 0 ? random.in(1, 8) : 0;
  m.bandwidth = random.one_of<std::int64_t>({1, 3, 16, 64, 1000, Machine::kUnlimited});
  m.latency = random.one_of({0, 1, 7, 60});
  m.burst = random.one_of({1, 8, 64});
  const bool whole = c.spec.a.tile_rows > 1 || c.spec.a.has_outer();
  m.operands = whole || random.in(0, 3) != 0
                   ? OperandSource::kPacked
                   : random.one_of({OperandSource::kFp32, OperandSource::kBf16});
  m.quantizer_rate = random.in(1, 40);
  m.quantizer_latency = random.in(0, 20);
  c.timing.dataflow = m.dataflow;
  c.timing.rows = m.rows;
  c.timing.cols = m.cols;
  c.timing.banks = m.banks;
  c.timing.depth = m.depth;
  c.timing.unit = random.in(1, 9);
  c.timing.term = random.in(1, 5);
  c.timing.step = random.in(1, 4);
  c.timing.finish = random.in(0, 3);
  // Buffers grow until a tile fits.
  const int least = random.one_of({64, 300, 5000});
  m.a_sram = m.b_sram = m.c_sram = least;
  for (;;) {
    try {
      c.schedule();
      return c;
    } catch (const ConfigError& error) {
      const std::string message = error.what();
      for (auto [name, field] : {std::pair{"a-sram", &m.a_sram}, std::pair{"b-sram", &m.b_sram},
                                 std::pair{"c-sram", &m.c_sram}})
        if (message.starts_with(name)) *field = *field * 3 / 2;
    }
  }
}

struct Operands {
  std::vector<float> x, y;
  formats::QuantizedMatrix a, b;
  MachineOperands of(const Case& c) const {
    if (c.machine.operands == OperandSource::kPacked) return {&a, &b, {}, {}, {}, {}};
    return {nullptr,
            nullptr,
            formats::row_major(x.data(), c.m, c.k),
            formats::row_major(y.data(), c.n, c.k),
            {},
            {}};
  }
};
Operands make_operands(const Case& c, std::uint64_t seed) {
  Random random(seed);
  Operands o;
  o.x = random.values(c.m * c.k);
  o.y = random.values(c.n * c.k);
  o.a = formats::quantize(c.spec.a, formats::row_major(o.x.data(), c.m, c.k));
  o.b = formats::quantize(c.spec.b, formats::row_major(o.y.data(), c.n, c.k));
  return o;
}

std::string show(const CycleCount& c) {
  return fmt::format(
      "{} cycles: compute {} fill {} load {} bank {} store {} back-pressure {} drain {}", c.cycles,
      c.compute, c.fill, c.load, c.bank, c.store, c.back_pressure, c.drain);
}

TEST(SystemcMachine, EqualsTheClosedFormInEveryCycleAndCauseAndTheExactGemmInEveryValue) {
  int checked = 0, ws = 0, several_steps = 0, stays = 0, edge = 0, unlimited = 0;
  std::int64_t values = 0;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    const Case c = random_case(seed);
    const Operands operands = make_operands(c, seed);
    const Schedule schedule = c.schedule();
    const MachineRun run = run_machine(schedule, operands.of(c));
    const CycleCount closed = machine_cycles(schedule);
    ASSERT_EQ(run.count, closed) << "seed " << seed << ": " << c.text() << "\n  systemc "
                                 << show(run.count) << "\n  closed  " << show(closed);
    ASSERT_EQ(run.codes, models::gemm(c.spec, operands.a, operands.b).codes)
        << "seed " << seed << ": " << c.text();
    ++checked;
    ws += !schedule.os();
    several_steps += schedule.chunks > 1;
    stays += schedule.a_stays && schedule.chunks > 1;
    edge += c.machine.operands != OperandSource::kPacked;
    unlimited += c.machine.unlimited();
    values += c.m * c.n;
  }
  EXPECT_EQ(checked, 3000);
  for (int count : {ws, several_steps, stays, edge, unlimited}) EXPECT_GT(count, 40);
  EXPECT_GT(values, 50000);
}

/// A bound of the roofline by what was moved and read, without the report's formulas: ns that this
/// wall needs at least.
double least_ns(const Schedule& s, Wall wall, double clock_ns) {
  const Machine& machine = s.machine;
  double cycles = 0;
  switch (wall) {
    case Wall::kCompute:
      return static_cast<double>(s.m * s.n * s.k) / machine.rows / machine.cols / s.spec.lanes *
             clock_ns;
    case Wall::kMemory:
      for (const Transfer& x : s.transfers) cycles += static_cast<double>(x.bytes);
      return machine.unlimited() ? 0 : cycles / static_cast<double>(machine.bandwidth) * clock_ns;
    case Wall::kQuantizer: {
      if (machine.unlimited() || machine.operands == OperandSource::kPacked) return 0;
      const double edge =
          machine.quantizer_rate * (machine.operands == OperandSource::kFp32 ? 4.0 : 2.0);
      const auto bandwidth = static_cast<double>(machine.bandwidth);
      if (edge >= bandwidth) return 0;
      for (const Transfer& x : s.transfers)
        cycles += static_cast<double>(x.bytes) / (x.kind == Transfer::Kind::kC ? bandwidth : edge);
      return cycles * clock_ns;
    }
    case Wall::kBanks:  // words a bank
      for (std::int64_t t = 0; t < s.tiles(); ++t) {
        const MachineTile tile = s.tile(t);
        if (machine.a_banks > 0)
          cycles += static_cast<double>(tile.rows * s.beats()) / machine.a_banks;
      }
      return cycles * clock_ns;
  }
  return 0;
}

// Oracle: the cycles that SystemC counts, and each wall once more from the transfers and words.
TEST(SystemcMachine, IsNeverAboveItsRooflineWhoseWallIsTheLowest) {
  constexpr double kClock = 1.25;
  std::map<Wall, int> walls;
  int exact = 0;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    const Case c = random_case(seed);
    const Operands operands = make_operands(c, seed);
    const Schedule schedule = c.schedule();
    const CycleCount count = run_machine(schedule, operands.of(c)).count;
    MachineDesign design;
    design.machine = c.machine;
    design.lanes = c.spec.lanes;
    design.clock_ns = kClock;
    const MachineReport report = machine_report(design, schedule, count);
    const double ns = static_cast<double>(count.cycles) * kClock;
    const double macs = static_cast<double>(report.macs), rounding = 1 + 1e-12;
    ASSERT_LE(report.gmac_per_s(), report.bound() * rounding)
        << "seed " << seed << ": " << c.text();
    for (Wall wall : kWalls) {
      ASSERT_LE(report.bound(), report.at(wall)) << to_text(wall) << ": " << c.text();
      ASSERT_LE(macs / report.at(wall), ns * rounding) << to_text(wall) << ": " << c.text();
      const double least = least_ns(schedule, wall, kClock);
      if (wall != Wall::kBanks) {
        ASSERT_NEAR(macs / report.at(wall), least, 1e-9 * ns) << to_text(wall) << ": " << c.text();
      } else if (count.bank > 0) {
        ASSERT_LE(least, macs / report.at(wall) * rounding) << c.text();
      }
    }
    ASSERT_EQ(report.bound(), report.at(report.wall()));
    // Where reading costs cycles, each beat (os) or row (ws) is read, then taken.
    if (count.bank > 0) {
      ASSERT_GE(report.bank_cycles, count.compute + count.bank) << c.text();
    }
    if (count.bank > 0 && c.machine.c_banks == 0 && (schedule.os() || c.machine.b_banks == 0)) {
      ASSERT_EQ(report.bank_cycles, count.compute + count.bank) << c.text();
      ++exact;
    }
    ++walls[report.wall()];
  }
  EXPECT_GT(exact, 50);
  for (Wall wall : kWalls) EXPECT_GT(walls[wall], 100) << to_text(wall);
}

TEST(SystemcMachine, StallsOnEveryChannelChangeNoValue) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const Case c = random_case(seed);
    const Operands operands = make_operands(c, seed);
    const Schedule schedule = c.schedule();
    const MachineRun run =
        run_machine(schedule, operands.of(c), {.stalls = seed % 2 ? 0.3 : 0.8, .seed = seed});
    ASSERT_EQ(run.codes, models::gemm(c.spec, operands.a, operands.b).codes)
        << "seed " << seed << ": " << c.text();
    EXPECT_GE(run.count.cycles, machine_cycles(schedule).cycles);
    EXPECT_GT(run.stalled, 0);
  }
}

// The golden model of each unit with its own stream: what docs/arrays.md says of draws.
TEST(SystemcMachine, UnitsWithRandomBitsDrawFromTheirOwnStreams) {
  Case c = random_case(3);
  c.machine = parse_machine("rows=2 cols=3 dataflow=os bandwidth=4 latency=3 burst=1");
  c.timing = {.dataflow = rtl_gen::Dataflow::kOutputStationary,
              .rows = 2,
              .cols = 3,
              .unit = 4,
              .banks = 2};
  c.spec = formats::parse_dot_spec("a=mxfp8_e4m3 lanes=4 accumulator=bf16:sr:8 output=bf16");
  c.m = 5, c.n = 7, c.k = 20;
  const Operands operands = make_operands(c, 9);
  const Schedule schedule = c.schedule();
  const auto codes = machine_values(schedule, operands.a, operands.b);
  EXPECT_EQ(run_machine(schedule, operands.of(c), {.stalls = 0.2}).codes, codes);
  // Unit (0, 0) has the state 1 after reset, as every GoldenDot: the first tile's first result.
  models::GoldenDot golden(c.spec, 1);
  models::BeatBuffer beat;
  std::optional<std::uint32_t> code;
  for (std::size_t t = 0; t < schedule.ranges.size(); ++t) {
    fill_beat(c.spec, operands.a, 0, operands.b, 0, schedule.ranges[t], beat);
    code = golden.step(beat.beat(t == 0, t + 1 == schedule.ranges.size()));
  }
  EXPECT_EQ(codes[0], code.value());
  EXPECT_NE(codes, models::gemm(c.spec, operands.a, operands.b).codes);
}

TEST(SystemcMachine, RefusesWhatItCannotRun) {
  Case c = random_case(1);
  c.machine.operands = OperandSource::kFp32;
  const Operands operands = make_operands(c, 1);
  MachineOperands reals = operands.of(c);
  reals.a_options.rounding = formats::parse_rounding("sr:8");
  EXPECT_THROW(run_machine(c.schedule(), reals), ConfigError);
  c.machine.operands = OperandSource::kPacked;
  EXPECT_THROW(run_machine(c.schedule(), operands.of(c), {.stalls = 1}), ConfigError);
}

}  // namespace
}  // namespace blockdot::sim
