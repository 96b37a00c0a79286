// The machine as data, its schedule and its closed form. Counts by hand for small machines; laws
// that no formula here knows: bytes over bandwidth, monotone bandwidth and SRAM.
#include "sim/machine/machine.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "formats/error.h"
#include "formats/pack.h"
#include "formats/quantize.h"
#include "sim/machine/cycles.h"
#include "sim/machine/report.h"
#include "sim/machine/schedule.h"

namespace blockdot::sim {
namespace {

using rtl_gen::ArrayTiming;
using rtl_gen::Dataflow;

std::string message_of(const std::string& text) {
  try {
    parse_machine(text);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

ArrayTiming timing_of(const Machine& m, int unit = 3) {
  ArrayTiming t;
  t.dataflow = m.dataflow;
  t.rows = m.rows;
  t.cols = m.cols;
  t.banks = m.banks;
  t.depth = m.depth;
  t.unit = unit;
  t.term = 2;
  t.step = 1;
  t.finish = 1;
  return t;
}

Schedule schedule_of(const std::string& machine, const std::string& spec, std::int64_t m,
                     std::int64_t n, std::int64_t k) {
  const Machine parsed = parse_machine(machine);
  return make_schedule(parsed, timing_of(parsed), 40, formats::parse_dot_spec(spec), m, n, k);
}

TEST(MachineText, ReadsWhatItPrints) {
  for (const char* text : {"", "rows=3 cols=5 dataflow=ws depth=7 bandwidth=unlimited",
                           "operands=bf16 k-tile=8 a-banks=2 latency=0 burst=1"}) {
    const Machine machine = parse_machine(text);
    EXPECT_EQ(parse_machine(to_text(machine)), machine) << text;
  }
  EXPECT_EQ(parse_machine(""), Machine{});
}

TEST(MachineText, NamesFieldValueAndRange) {
  EXPECT_EQ(message_of("bandwidth=0"),
            "bandwidth = 0: must be a whole number in [1, 1099511627776]");
  EXPECT_EQ(message_of("rows=1025"), "rows = 1025: must be a whole number in [1, 1024]");
  EXPECT_EQ(message_of("dataflow=rs"),
            "dataflow = rs: must be os (output-stationary) or ws (weight-stationary)");
  EXPECT_EQ(message_of("operands=fp16"),
            "operands = fp16: must be packed, fp32 or bf16; did you "
            "mean bf16 or fp32?");
  EXPECT_NE(message_of("bandwith=3").find("did you mean bandwidth"), std::string::npos);
  EXPECT_EQ(message_of("rows=2 rows=3"), "machine: rows is given twice");
  Machine machine;
  machine.bandwidth = 0;
  EXPECT_THROW(validate(machine), ConfigError);
}

TEST(MachineSchedule, RefusesATileThatDoesNotFitItsBuffers) {
  const auto message = [](const std::string& machine) -> std::string {
    try {
      schedule_of(machine, "a=mxfp8_e4m3", 64, 64, 1024);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  // 16 words of 33 bytes in a half, 16 x 16 results of 4 bytes in one of C.
  EXPECT_EQ(message("a-sram=1055"),
            "a-sram = 1055: a half holds 0 beats of 16 words of 33 bytes, and a tile needs 1; must "
            "be in [1056, 1099511627776]");
  EXPECT_EQ(message("a-sram=1056 b-sram=1056 c-sram=2048"), "accepted");
  EXPECT_EQ(message("c-sram=2047"),
            "c-sram = 2047: a half does not hold a tile of 16 x 16 results of 4 bytes; must be in "
            "[2048, 1099511627776]");
  EXPECT_EQ(message("b-sram=4000 k-tile=8"),
            "b-sram = 4000: a half holds 3 beats of 16 words of 33 bytes, and a tile needs 8; must "
            "be in [8448, 1099511627776]");
  EXPECT_EQ(message("dataflow=ws k-tile=24"),
            "k-tile = 24: must be a multiple of 16 beats (a pass), or the whole 32");
  EXPECT_THROW(schedule_of("operands=fp32", "a=bm8 b=bm8 lanes=16", 4, 4, 96), ConfigError);
  const auto refusal = [](const std::string& machine, const std::string& spec) -> std::string {
    try {
      schedule_of(machine, spec, 4, 4, 1024);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal("", "a=nvfp4 lanes=16 accumulator=fp32"), "accepted");
  EXPECT_EQ(refusal("operands=bf16", "a=nvfp4 lanes=16 accumulator=fp32"),
            "operands: a = e2m1@e4m3/16*fp32/tensor: a scale of a whole row or tensor is not known "
            "before all of it has arrived, and the quantiser at the edge meets one step at a time; "
            "must be packed");
  EXPECT_EQ(
      refusal("", "a=int4@u4/16*fp32/64 b=mxint8 lanes=16 accumulator=fp32"),
      "a = int4@u4/16*fp32/64: a machine moves outer scales of a row or the tensor, without a "
      "mean; replay this one without a machine");
}

// Oracle: steps counted by hand: 16 units x 4 bits, 4 columns x 4 bits.
TEST(Machine, RefusesStreamsThatWouldShareBitsBeforeAnyProduct) {
  const auto refusal = [](const char* machine, const char* lfsr) -> std::string {
    try {
      design_machine(parse_machine(machine),
                     formats::parse_dot_spec(
                         fmt::format("a=mxfp4 lanes=2 rounding=sr:4 output=bf16 lfsr={}", lfsr)),
                     {}, false);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  };
  EXPECT_EQ(refusal("rows=4 cols=4", "galois:6"),
            "lfsr = galois:6: 16 streams that draw 4 bits each would share some: it has 63 states; "
            "take lfsr = galois:7 or wider");
  EXPECT_EQ(refusal("rows=4 cols=4", "galois:7"), "accepted");
  EXPECT_TRUE(refusal("rows=4 cols=4 dataflow=ws", "galois:4").ends_with("galois:5 or wider"));
  EXPECT_EQ(refusal("rows=4 cols=4 dataflow=ws", "galois:5"), "accepted");
}

TEST(MachineCycles, CountsOneSmallTileByHand) {
  // 2 x 3 array, unit latency 3; 2 rows of 12 and 3 of 12 elements of one byte, 1 byte a cycle.
  // A: cycles 0..23, B: 24..59, in SRAM from 65 on. The 3 beats of 4 lanes are taken in 65, 66, 67;
  // the results are there in 67 + 2 + 3 - 1 + 3 = 74 and leave in 74 and 75; C's 2 x 3 x 4 bytes
  // go in 76..99 and are in DRAM after 5 more: 105 cycles.
  const Schedule s = schedule_of("rows=2 cols=3 bandwidth=1 latency=5 burst=1",
                                 "a=e4m3 lanes=4 accumulator=fp32", 2, 3, 12);
  const CycleCount c = machine_cycles(s);
  EXPECT_EQ(c.cycles, 105);
  EXPECT_EQ(c.compute, 3);
  EXPECT_EQ(c.fill, 1);
  EXPECT_EQ(c.load, 64);
  EXPECT_EQ(c.drain, 9);   // 68..76
  EXPECT_EQ(c.store, 28);  // 77..104
  EXPECT_EQ(c.bank + c.back_pressure, 0);
  EXPECT_EQ(s.traffic.a, 24);
  EXPECT_EQ(s.traffic.b, 36);
  EXPECT_EQ(s.traffic.c, 24);
}

TEST(MachineCycles, CountsScaleBytesAndPartialSums) {
  // K = 64: two blocks of 32 a row, 64 bytes of elements and 2 of scales.
  const Schedule s = schedule_of("rows=1 cols=1 dataflow=ws depth=4 burst=1",
                                 "a=mxfp8_e4m3 accumulator=fp32", 4, 1, 64);
  EXPECT_EQ(s.traffic.a, 4 * 66);
  EXPECT_EQ(s.traffic.b, 66);
  EXPECT_EQ(s.traffic.scale_bits, 5 * 2 * 8);
  // Two passes of one beat: 4 partial sums of 40 bits, written and read.
  EXPECT_EQ(s.traffic.spilled, 4 * 5 * 2);
}

// Oracle: formats::pack. What a whole row or tensor shares is not counted.
TEST(MachineSchedule, CountsTheBytesThatPackingMakesOfWholeBlocks) {
  constexpr std::int64_t kRows = 8, kLength = 128;
  for (const char* format : {"mxfp8_e4m3", "mx9", "nvfp4", "nvfp4_tile", "vsq8", "vsq4"}) {
    const std::string spec = fmt::format("a={} lanes=16 accumulator=fp32", format);
    const formats::BlockFormat parsed = formats::parse_block_format(format);
    const std::vector<float> ones(kRows * kLength, 1);
    const formats::PackedMatrix packed = formats::pack(
        formats::quantize(parsed, formats::row_major(ones.data(), kRows, kLength), {}));
    const Schedule s = schedule_of("rows=8 cols=8 burst=1", spec, kRows, kRows, kLength);
    EXPECT_EQ(s.traffic.a, static_cast<std::int64_t>(packed.elements.size() + packed.scales.size() +
                                                     packed.micros.size()))
        << format;
    EXPECT_EQ(s.traffic.a, s.traffic.b) << format;
    EXPECT_EQ(s.traffic.scale_bits, 2 * 8 * static_cast<std::int64_t>(packed.scales.size()))
        << format;
  }
}

MachineReport report_of(const Schedule& s, double clock_ns) {
  MachineDesign design;
  design.machine = s.machine;
  design.lanes = s.spec.lanes;
  design.clock_ns = clock_ns;
  return machine_report(design, s, machine_cycles(s));
}

TEST(MachineRoofline, HasAWallForBanks) {
  // 4 tiles of 10 beats, each read in 4 cycles; 2560 multiply-accumulates.
  const MachineReport r =
      report_of(schedule_of("rows=4 cols=4 a-banks=1 b-banks=2 bandwidth=unlimited",
                            "a=e4m3 lanes=4 accumulator=fp32", 8, 8, 40),
                2);
  EXPECT_EQ(r.bank_cycles, 160);
  EXPECT_EQ(r.at(Wall::kCompute), 32);
  EXPECT_EQ(r.at(Wall::kBanks), 8);
  EXPECT_TRUE(std::isinf(r.at(Wall::kMemory)) && std::isinf(r.at(Wall::kQuantizer)));
  EXPECT_EQ(r.wall(), Wall::kBanks);
  EXPECT_EQ(r.bound(), 8);
  // Banks for whole rows cost nothing and are no wall, ragged tiles or not.
  for (const char* text : {"rows=4 cols=4 a-banks=4 b-banks=7 c-banks=4", "rows=4 cols=4"})
    EXPECT_EQ(schedule_of(text, "a=e4m3 lanes=4 accumulator=fp32", 7, 5, 40).bank_cycles(), 0);
}

TEST(MachineRoofline, HasAWallForTheQuantiserAtTheEdge) {
  // 2 x 160 reals in 8 bytes a cycle, 16 results of 4 bytes in 16: 160 + 4 cycles of 2 ns.
  const std::string machine = "rows=4 cols=4 bandwidth=16 burst=1 operands=fp32 quantizer-rate=";
  const auto report = [&](const std::string& rate) {
    return report_of(schedule_of(machine + rate, "a=e4m3 lanes=4 accumulator=fp32", 4, 4, 40), 2);
  };
  const MachineReport r = report("2");
  EXPECT_DOUBLE_EQ(r.at(Wall::kQuantizer), 640.0 / (164 * 2));
  EXPECT_DOUBLE_EQ(r.at(Wall::kMemory), 640.0 / (84 * 2));
  EXPECT_EQ(r.wall(), Wall::kQuantizer);
  // One as fast as the channel is no wall of its own.
  EXPECT_TRUE(std::isinf(report("4").at(Wall::kQuantizer)));
  EXPECT_EQ(report("4").wall(), Wall::kMemory);
}

TEST(MachineRoofline, AReportComesBackFromJsonAndAddsUp) {
  const MachineReport r = report_of(
      schedule_of("rows=2 cols=3 dataflow=ws depth=4 a-banks=1 operands=fp32 quantizer-rate=1",
                  "a=e4m3 lanes=4 accumulator=fp32", 7, 8, 90),
      1.5);
  MachineReport back = machine_report_from_json(to_json(r));
  EXPECT_EQ(to_json(back), to_json(r));
  back += r;
  EXPECT_EQ(back.products, 2);
  EXPECT_EQ(back.count.cycles, 2 * r.count.cycles);
  std::int64_t cycles = 0;
  for (const NamedCount& cause : back.cycles_by_cause()) cycles += cause.value;
  EXPECT_EQ(cycles, 2 * r.count.cycles);
  EXPECT_EQ(back.traffic.dram(), 2 * r.traffic.dram());
  for (Wall wall : kWalls) EXPECT_DOUBLE_EQ(back.at(wall), r.at(wall)) << to_text(wall);
}

// A machine whose loads cost nothing is the array alone, with a cycle before and one after.
TEST(MachineCycles, AreTheArraysWhereBandwidthIsUnlimited) {
  std::mt19937_64 random(7);
  const auto in = [&](int low, int high) {
    return low + static_cast<int>(random() % static_cast<std::uint64_t>(high - low + 1));
  };
  int checked = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string text = fmt::format(
        "rows={} cols={} dataflow={} banks={} depth={} bandwidth=unlimited a-sram=1000000 "
        "b-sram=1000000 c-sram=100000",
        in(1, 6), in(1, 6), i % 2 ? "os" : "ws", in(1, 4), in(1, 30));
    const std::int64_t m = in(1, 40), n = in(1, 40), k = in(1, 60);
    const Schedule s = schedule_of(text, "a=e4m3 lanes=2 accumulator=fp32", m, n, k);
    std::vector<rtl_gen::ArrayTile> tiles;
    for (std::int64_t t = 0; t < s.tiles(); ++t) tiles.push_back({s.beats(), s.tile(t).rows});
    const CycleCount c = machine_cycles(s);
    ASSERT_EQ(c.cycles, array_cycles(s.timing, tiles) + 1) << text;
    ASSERT_EQ(c.load + c.store + c.bank, 0) << text;
    ++checked;
  }
  EXPECT_EQ(checked, 2000);
}

// By the trace event format: complete events ("X") with a name, a track, a begin and a duration; on
// a track none may cut another.
void check_timeline(const std::string& bandwidth, int tracks) {
  const Schedule s =
      schedule_of("rows=2 cols=3 latency=5 a-sram=64 b-sram=64 bandwidth=" + bandwidth,
                  "a=e4m3 lanes=4 accumulator=fp32", 7, 8, 30);
  const nlohmann::json timeline = nlohmann::json::parse(timeline_json(s, "a product"));
  std::map<int, std::int64_t> end;  // by track
  std::map<std::string, int> names;
  std::int64_t bytes = 0, events = 0, nested = 0;
  for (const nlohmann::json& event : timeline.at("traceEvents")) {
    if (event.at("ph") == "M") {
      ++names[event.at("name")];
      continue;
    }
    ASSERT_EQ(event.at("ph"), "X");
    const std::int64_t begin = event.at("ts"), duration = event.at("dur");
    const int track = event.at("tid");
    EXPECT_GE(duration, 1);
    const bool nests = s.machine.unlimited() && duration == 1 && begin + 1 == end[track];
    nested += nests;
    EXPECT_TRUE(nests || begin >= end[track]) << event;
    EXPECT_EQ(event.at("args").contains("tile"), event.at("name") == "store c") << event;
    end[track] = begin + duration;
    bytes += event.at("args").value("bytes", std::int64_t{0});
    ++events;
  }
  EXPECT_EQ(names["process_name"], 1);
  EXPECT_EQ(names["thread_name"], tracks);
  EXPECT_EQ(events, static_cast<std::int64_t>(s.transfers.size()) + s.steps() + s.tiles());
  EXPECT_EQ(bytes, s.traffic.dram());
  // The last store leaves the channel and is in DRAM after the latency.
  EXPECT_EQ(s.machine.unlimited() ? end[5] : end[1] + 5, machine_cycles(s).cycles);
  EXPECT_EQ(nested > 0, s.machine.unlimited());
}

TEST(MachineTimeline, IsAValidTraceOfEveryTransferStepAndTile) {
  check_timeline("4", 3);
  check_timeline("unlimited", 5);
}

TEST(MachineCycles, ObeyTheLawsOfMemory) {
  std::mt19937_64 random(11);
  const auto in = [&](int low, int high) {
    return low + static_cast<int>(random() % static_cast<std::uint64_t>(high - low + 1));
  };
  std::int64_t checked = 0, fell = 0;
  for (int i = 0; i < 1500; ++i) {
    Machine machine;
    machine.rows = in(1, 8);
    machine.cols = in(1, 8);
    machine.dataflow = i % 2 ? Dataflow::kOutputStationary : Dataflow::kWeightStationary;
    machine.banks = in(1, 4);
    machine.depth = in(1, 20);
    machine.latency = in(0, 50);
    machine.burst = in(0, 1) ? 64 : in(1, 20);
    machine.a_banks = in(0, 4);
    machine.c_banks = in(0, 2);
    if (i % 5 == 0) machine.operands = OperandSource::kFp32;
    machine.a_sram = machine.b_sram = 60000;
    machine.c_sram = 4000;
    const auto spec = formats::parse_dot_spec(i % 3 ? "a=mxfp8_e4m3 lanes=4 accumulator=fp32"
                                                    : "a=mxfp4_e2m1 lanes=12 accumulator=fp32");
    const std::int64_t m = in(1, 40), n = in(1, 40), k = in(1, 700);
    const auto run = [&](const Machine& one) {
      return make_schedule(one, timing_of(one), 40, spec, m, n, k);
    };
    // Bandwidth: never slower; never faster than the bytes or the beats allow.
    std::int64_t before = 0;
    for (const std::int64_t bandwidth :
         {std::int64_t{1}, std::int64_t{2}, std::int64_t{7}, std::int64_t{64}, std::int64_t{513},
          Machine::kUnlimited}) {
      machine.bandwidth = bandwidth;
      const Schedule s = run(machine);
      const CycleCount c = machine_cycles(s);
      for (std::int64_t part : {c.fill, c.load, c.bank, c.store, c.back_pressure, c.drain})
        ASSERT_GE(part, 0) << to_text(machine);
      ASSERT_EQ(c.compute + c.stalls(), c.cycles);
      ASSERT_GE(c.cycles, c.compute);
      if (!machine.unlimited()) {
        ASSERT_GE(c.cycles * bandwidth, s.traffic.dram());
      }
      if (before > 0) {
        ASSERT_LE(c.cycles, before) << to_text(machine);
      }
      before = c.cycles;
      ++checked;
    }
    // SRAM: DRAM bytes never rise. From the least that holds a tile.
    for (std::int64_t Machine::*sram : {&Machine::a_sram, &Machine::b_sram, &Machine::c_sram}) {
      Machine other = machine;
      std::int64_t bytes = -1;
      for (other.*sram = 40; other.*sram < 400000; other.*sram = other.*sram * 9 / 8 + 1) {
        try {
          const std::int64_t now = run(other).traffic.dram();
          if (bytes >= 0) {
            ASSERT_LE(now, bytes) << to_text(other);
            fell += now < bytes;
          }
          bytes = now;
        } catch (const ConfigError&) {
          ASSERT_EQ(bytes, -1) << "a larger SRAM holds less: " << to_text(other);
        }
      }
    }
  }
  EXPECT_EQ(checked, 9000);
  EXPECT_GT(fell, 1000);
}

}  // namespace
}  // namespace blockdot::sim
