// All engines on the same products. Oracles: the golden model behind models::gemm for values, the
// closed form by hand for cycles.
#include "sim/replay/replay.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "formats/text.h"
#include "models/golden.h"
#include "sim/cosim/faulty_unit.h"
#include "sim/cosim/tool.h"

namespace blockdot::sim {
namespace {

const std::filesystem::path kCache = BLOCKDOT_BINARY_DIR "/test-cache";

Matrix random_matrix(std::int64_t rows, std::int64_t columns, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Matrix m{rows, columns, std::vector<float>(static_cast<std::size_t>(rows * columns))};
  for (float& x : m.data) x = normal(random);
  return m;
}

rtl_gen::Unit dot_unit(const formats::DotSpec& spec) {
  return rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, {});
}

constexpr const char* kSmall = "a=e2m1@e8m0/8 lanes=4 accumulator=kulisch[40:-20]:saturate";

class AllEngines : public ::testing::TestWithParam<const char*> {};

TEST_P(AllEngines, AgreeInEveryBitAndCycle) {
  auto spec = formats::parse_dot_spec(GetParam());
  auto unit = dot_unit(spec);
  GemmTrace gemm = make_gemm("random", random_matrix(9, 45, 1), random_matrix(45, 7, 2));
  GemmReport r = replay(gemm, spec, unit, Engine::kAll, {.seed = 77, .cache = kCache});
  EXPECT_TRUE(r.agree) << r.first_mismatch;
  EXPECT_EQ(r.mismatches, 0);
  ASSERT_EQ(r.engines.size(), 3u);
  // 45 = 5 blocks of 8 and a rest of 5: with 4 lanes 12 beats, with 8 lanes 6.
  EXPECT_EQ(r.beats_per_result, spec.lanes == 4 ? 12 : 6);
  for (const EngineRun& run : r.engines) {
    EXPECT_EQ(run.results, 63) << "vacuous run of " << to_text(run.engine);
    EXPECT_EQ(run.beats, 63 * r.beats_per_result);
    EXPECT_EQ(run.cycles, 63 * r.beats_per_result + unit.report.latency);
  }
  EXPECT_EQ(r.macs, 9 * 7 * 45);
  EXPECT_NEAR(r.utilisation, 9.0 * 7 * 45 / (static_cast<double>(r.cycles) * spec.lanes), 1e-12);
  auto a = formats::quantize(spec.a, gemm.a_view());
  auto b = formats::quantize(spec.b, gemm.b_view());
  auto golden = models::gemm_golden(spec, a, b, 77);
  Histogram h;
  for (float v : golden.values()) h.add(static_cast<double>(v));
  EXPECT_EQ(r.results, h);
}

INSTANTIATE_TEST_SUITE_P(Specs, AllEngines,
                         ::testing::Values("a=e2m1@e8m0/8 lanes=4 accumulator=kulisch[40:-20]",
                                           "a=e4m3@e8m0/8 b=e5m2@e8m0/8 lanes=4 accumulator=fp32",
                                           "a=int8@e8m0/8 lanes=8 output=bf16 rounding=sr:8",
                                           "a=sm4@e8m0/8+u1/2 lanes=8",
                                           "a=e2m1@e4m3/8*fp32/tensor b=int8:frac=0@fp32:amax/row "
                                           "lanes=4 accumulator=fp32",
                                           "a=e2m1@e4m3/8x8*fp32/tensor "
                                           "b=e2m5:bias=2@e8m0/8x8 lanes=8"));

TEST(Replay, ARunThatComparedNothingIsNoAgreement) {
  auto spec = formats::parse_dot_spec(kSmall);
  GemmTrace gemm = make_gemm("layer", random_matrix(3, 16, 1), random_matrix(16, 5, 2));
  GemmReport r = replay(gemm, spec, dot_unit(spec), Engine::kAll, {.cache = kCache});
  EXPECT_EQ(not_compared(r), "") << "all three compared";
  EXPECT_EQ(r.checked(), 2 * 15);
  EXPECT_EQ(r.handshakes(), r.cycles + 8);  // until nothing more can come
  GemmReport less = r;
  less.engines[1].checked = 14;
  EXPECT_EQ(not_compared(less), "layer: systemc compared 14 of 15 results");
  less = r;
  less.engines[2].handshakes = 0;
  EXPECT_EQ(not_compared(less), "layer: rtl compared no handshake");
  less.engines.clear();
  EXPECT_EQ(not_compared(less), "layer: no engine ran");
  less = r;
  less.n = 0;
  less.engines[1].checked = less.engines[2].checked = 0;
  EXPECT_EQ(not_compared(less), "layer: systemc compared 0 of 0 results");
  SimReport none;
  EXPECT_FALSE(none.agree());
  GemmReport fast = replay(gemm, spec, dot_unit(spec), Engine::kFast);
  EXPECT_EQ(fast.checked(), 0);  // it says so, and claims nothing
  EXPECT_TRUE(fast.agree);
}

TEST(Replay, StallsAndBubblesChangeNoValue) {
  auto spec = formats::parse_dot_spec(kSmall);
  auto unit = dot_unit(spec);
  GemmTrace gemm = make_gemm("random", random_matrix(8, 24, 1), random_matrix(24, 8, 2));
  GemmReport calm = replay(gemm, spec, unit, Engine::kAll, {.cache = kCache});
  GemmReport r = replay(gemm, spec, unit, Engine::kAll,
                        {.input_stalls = 0.3, .output_stalls = 0.5, .cache = kCache});
  EXPECT_TRUE(r.agree) << r.first_mismatch;
  EXPECT_EQ(r.results_sha256, calm.results_sha256);
  EXPECT_GT(r.engines[1].cycles, r.cycles);
  EXPECT_EQ(r.engines[2].cycles, r.cycles + r.engines[2].input_idle);
  EXPECT_GT(r.engines[2].input_idle, 0);
}

TEST(Replay, ACombinationalUnitAgreesToo) {
  auto spec = formats::parse_dot_spec(kSmall);
  rtl_gen::Arch arch;
  arch.combinational = true;
  auto unit = rtl_gen::generate(rtl_gen::UnitKind::kDot, spec, arch);
  GemmTrace gemm = make_gemm("random", random_matrix(3, 24, 1), random_matrix(24, 5, 2));
  GemmReport r = replay(gemm, spec, unit, Engine::kAll, {.cache = kCache});
  EXPECT_TRUE(r.agree) << r.first_mismatch;
  EXPECT_EQ(r.cycles, 15 * 6);  // each result shows in the cycle of its last beat
}

TEST(Replay, AFaultInTheUnitIsReportedAndNotAgreed) {
  auto spec = formats::parse_dot_spec(kSmall);
  auto unit = faulty_unit(dot_unit(spec), {{"b_i", "b_i & 16'hF7FF"}});
  GemmTrace gemm = make_gemm("layer", random_matrix(5, 37, 1), random_matrix(37, 7, 2));
  GemmReport r = replay(gemm, spec, unit, Engine::kAll, {.cache = kCache});
  EXPECT_FALSE(r.agree);
  EXPECT_GT(r.mismatches, 0);
  EXPECT_EQ(r.first_mismatch.find("layer: result ["), 0u) << r.first_mismatch;
}

TEST(Replay, NanAndInfInATraceAreCountedAndNoError) {
  auto spec = formats::parse_dot_spec(kSmall);
  Matrix a = random_matrix(4, 16, 1);
  a.data[3] = NAN;                                      // row 0: its block is NaN
  a.data[16] = std::numeric_limits<float>::infinity();  // row 1
  GemmTrace gemm = make_gemm("nan", a, random_matrix(16, 5, 2));
  GemmReport r = replay(gemm, spec, dot_unit(spec), Engine::kAll, {.cache = kCache});
  EXPECT_TRUE(r.agree) << r.first_mismatch;
  EXPECT_EQ(r.a.nan_in, 1);
  EXPECT_EQ(r.a.inf_in, 1);
  EXPECT_EQ(r.a.nan_out, 16);  // two blocks of 8
  EXPECT_EQ(r.fp64.nan, 10);   // two rows of 5 results
  EXPECT_EQ(r.fp64.compared, 10);
}

TEST(Replay, RefusesWhatDoesNotFit) {
  auto spec = formats::parse_dot_spec(std::string(kSmall) + " max-k=32");
  auto unit = dot_unit(spec);
  GemmTrace gemm = make_gemm("long", random_matrix(2, 40, 1), random_matrix(40, 2, 2));
  try {
    replay(gemm, spec, unit, Engine::kFast);
    FAIL() << "K beyond max-k";
  } catch (const ConfigError& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with("long: k = 40: ")) << error.what();
  }
  auto other = formats::parse_dot_spec("a=e2m3@e8m0/8 lanes=4");
  EXPECT_THROW(replay(gemm, other, unit, Engine::kFast), ConfigError);
  EXPECT_THROW(parse_engine("verilog"), ConfigError);
}

// ---- Waves ----

/// A value change dump by IEEE 1364 (18.2): values of the signals by their place, `a.b.name`.
class Vcd {
 public:
  explicit Vcd(const std::string& text) {
    std::vector<std::string> scopes;
    std::map<std::string, std::vector<std::string>> names;  // by identifier code
    std::int64_t time = -1;
    for (const std::string& line : formats::split(text, '\n')) {
      std::vector<std::string> words;
      for (const std::string& word : formats::split(line, ' '))
        if (!word.empty()) words.push_back(word);
      if (words.empty()) continue;
      const std::string& first = words[0];
      if (first == "$scope") scopes.push_back(words.at(2));
      if (first == "$upscope") scopes.pop_back();
      if (first == "$var")
        names[words.at(3)].push_back(fmt::format("{}.{}", fmt::join(scopes, "."), words.at(4)));
      if (first[0] == '#') {
        time = std::stoll(first.substr(1));
        times.push_back(time);
      }
      if (first[0] == '$') continue;
      const bool vector = first[0] == 'b';
      if (!vector && first[0] != '0' && first[0] != '1') continue;
      for (const std::string& name : names[vector ? words.at(1) : first.substr(1)])
        changes[name].emplace_back(std::max<std::int64_t>(time, 0),
                                   vector ? first.substr(1) : first.substr(0, 1));
    }
  }
  /// Binary digits of a signal at a time.
  std::string at(const std::string& name, std::int64_t time) const {
    std::string value = "?";
    for (const auto& [when, bits] : changes.at(name))
      if (when <= time) value = bits;
    return value;
  }
  std::int64_t number(const std::string& name, std::int64_t time) const {
    return static_cast<std::int64_t>(std::stoull(at(name, time), nullptr, 2));
  }

  std::vector<std::int64_t> times;
  std::map<std::string, std::vector<std::pair<std::int64_t, std::string>>> changes;
};

/// A product on a machine of one row and two columns.
class MachineWave : public ::testing::Test {
 protected:
  GemmReport run(Engine engine, WaveFormat format, std::int64_t from, std::int64_t to) {
    ReplayOptions options{.cache = kCache};
    options.machine = design_machine(parse_machine("rows=1 cols=2 bandwidth=8 latency=3 burst=1"),
                                     spec_, {}, engine == Engine::kRtl);
    options.wave = Wave{folder_.path() / "wave", format, from, to};
    return replay(gemm_, spec_, unit_, engine, options);
  }
  std::string file() const { return read_file(folder_.path() / "wave"); }
  int files() const {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_.path()))
      ++count;
    return count;
  }

  TemporaryFolder folder_;
  formats::DotSpec spec_ = formats::parse_dot_spec(kSmall);
  rtl_gen::Unit unit_ = dot_unit(spec_);
  GemmTrace gemm_ = make_gemm("layer", random_matrix(3, 20, 1), random_matrix(20, 5, 2));
};

TEST_F(MachineWave, OfTheRtlShowsEveryResultInItsCycle) {
  GemmReport r = run(Engine::kRtl, WaveFormat::kVcd, 0, 100000);
  ASSERT_TRUE(r.agree) << r.first_mismatch;
  const Vcd vcd(file());
  // The exact GEMM's results in the order in which one row of two units makes them.
  const auto golden = models::gemm_golden(spec_, formats::quantize(spec_.a, gemm_.a_view()),
                                          formats::quantize(spec_.b, gemm_.b_view()));
  std::vector<std::uint32_t> want, got;
  for (std::size_t row = 0; row < 3; ++row)
    for (std::size_t col = 0; col < 5; ++col) want.push_back(golden.codes[row * 5 + col]);
  for (std::int64_t ps = 250; ps < vcd.times.back(); ps += 1000) {
    if (vcd.number("unit.out_valid_o", ps) == 0 || vcd.number("unit.out_ready_i", ps) == 0)
      continue;
    const std::string bits = vcd.at("unit.out_result_o", ps);
    const std::string row = std::string(64 - bits.size(), '0') + bits;
    got.push_back(static_cast<std::uint32_t>(std::stoull(row.substr(32), nullptr, 2)));
    if (got.size() % 5 != 0)
      got.push_back(static_cast<std::uint32_t>(std::stoull(row.substr(0, 32), nullptr, 2)));
  }
  EXPECT_EQ(got, want);
  EXPECT_GT(vcd.changes.size(), 50u);  // what is inside the units, too
  EXPECT_EQ(files(), 1);
}

TEST_F(MachineWave, HoldsTheChosenCyclesOnly) {
  ASSERT_TRUE(run(Engine::kRtl, WaveFormat::kVcd, 7, 12).agree);
  const Vcd rtl(file());
  EXPECT_EQ(rtl.times, (std::vector<std::int64_t>{7000, 7500, 8000, 8500, 9000, 9500, 10000, 10500,
                                                  11000, 11500}));
  ASSERT_TRUE(run(Engine::kSystemc, WaveFormat::kVcd, 7, 12).agree);
  const Vcd systemc(file());
  for (std::int64_t time : systemc.times) EXPECT_TRUE(time >= 7000 && time <= 12000) << time;
  EXPECT_EQ(systemc.number("SystemC.clock", 11400), 1);
}

TEST_F(MachineWave, OfTheSystemcMachineCountsAsTheReportDoes) {
  GemmReport r = run(Engine::kSystemc, WaveFormat::kVcd, 0, 100000);
  ASSERT_TRUE(r.agree) << r.first_mismatch;
  const Vcd vcd(file());
  std::int64_t beats = 0, rows = 0, first = 0;
  for (std::int64_t cycle = 1; cycle < r.cycles; ++cycle) {
    const std::int64_t ps = 1000 * cycle + 250;
    const bool taken = vcd.number("SystemC.rows.valid", ps) && vcd.number("SystemC.rows.ready", ps);
    if (taken && beats++ == 0) first = cycle;
    rows += vcd.number("SystemC.results.valid", ps) && vcd.number("SystemC.results.ready", ps);
  }
  EXPECT_EQ(beats, r.machine->count.compute);
  EXPECT_EQ(rows, 3 * 3);  // three rows in each of three tiles
  EXPECT_EQ(first, 1 + r.machine->count.fill + r.machine->count.load - 1);
  // In the last cycle all but that one are counted.
  std::int64_t counted = 0;
  for (const char* cause : {"compute", "fill", "load", "bank", "store", "back_pressure", "drain"})
    counted += vcd.number(std::string("SystemC.cycles.") + cause, 1000 * (r.cycles - 1) + 250);
  EXPECT_EQ(counted, r.cycles - 1);
  EXPECT_EQ(files(), 1);
}

// A store is in DRAM `latency` cycles after it left the channel.
TEST_F(MachineWave, ReachesTheRunsLastCycle) {
  const std::int64_t cycles = run(Engine::kRtl, WaveFormat::kVcd, 0, 1).cycles;
  ASSERT_TRUE(run(Engine::kRtl, WaveFormat::kVcd, cycles - 1, cycles).agree);
  const std::int64_t last = 1000 * (cycles - 1);
  EXPECT_EQ(Vcd(file()).times, (std::vector<std::int64_t>{last, last + 500}));
  ASSERT_TRUE(run(Engine::kRtl, WaveFormat::kVcd, cycles - 2, cycles + 9).agree);
  EXPECT_EQ(Vcd(file()).times.back(), last + 500);
  ASSERT_TRUE(run(Engine::kSystemc, WaveFormat::kVcd, cycles - 1, cycles).agree);
  EXPECT_THROW(run(Engine::kSystemc, WaveFormat::kVcd, cycles, cycles + 1), ConfigError);
}

// Oracle: the reader of GTKWave's own library, whose source Verilator brings.
TEST_F(MachineWave, AsFstReadsBackAsTheVcdOfTheSameCycles) {
  ASSERT_TRUE(run(Engine::kRtl, WaveFormat::kVcd, 7, 40).agree);
  const Vcd vcd(file());
  ASSERT_TRUE(run(Engine::kRtl, WaveFormat::kFst, 7, 40).agree);
  EXPECT_EQ(files(), 1);
  TemporaryFolder reader;
  write_file_atomic(reader.path() / "reader.c", R"(#include <stdio.h>
#include "fstapi.h"
int main(int count, char** arguments) {
  void* wave = count == 2 ? fstReaderOpen(arguments[1]) : NULL;
  if (!wave || !fstReaderProcessHier(wave, stdout)) return 1;
  fstReaderSetFacProcessMaskAll(wave);
  return !fstReaderIterBlocks(wave, NULL, NULL, stdout);
}
)");
  std::string root = require_tool({"verilator", "--getenv", "VERILATOR_ROOT"}, "/");
  const std::string library = root.substr(0, root.find('\n')) + "/include/gtkwave";
  require_tool(
      {"g++", "-x", "c", "-w", "-DFST_CONFIG_INCLUDE=\"fst_config.h\"", "-I" + library, "reader.c",
       library + "/fstapi.c", library + "/fastlz.c", library + "/lz4.c", "-o", "reader", "-lz"},
      reader.path());
  const Vcd fst(require_tool(
      {(reader.path() / "reader").string(), (folder_.path() / "wave").string()}, reader.path()));
  EXPECT_EQ(fst.times.front(), 7000);
  EXPECT_EQ(fst.times.back(), 39500);
  const auto plain = [](const std::string& bits) {
    return bits.substr(std::min(bits.find('1'), bits.size() - 1));  // without leading zeros
  };
  std::int64_t checked = 0;
  for (const auto& [name, changes] : vcd.changes) {
    ASSERT_TRUE(fst.changes.contains(name)) << name;
    for (std::int64_t time : vcd.times) {
      ASSERT_EQ(plain(fst.at(name, time)), plain(vcd.at(name, time))) << name << " at " << time;
      ++checked;
    }
  }
  EXPECT_GT(checked, 50 * 66);
}

TEST_F(MachineWave, OfNoCycleOrNoRtlIsRefusedAndLeavesNoFile) {
  for (Engine engine : {Engine::kRtl, Engine::kSystemc}) try {
      run(engine, WaveFormat::kVcd, 5000, 5001);
      ADD_FAILURE() << to_text(engine);
    } catch (const ConfigError& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with("wave-window = 5000:5001: the run has "))
          << error.what();
    }
  EXPECT_EQ(files(), 0);
  Wave wave;
  for (const char* text :
       {"", "7", "7:", "7:7", "-1:7", "x:7", "7:x", "7:9:11", "0:99999999999999"})
    EXPECT_THROW(parse_wave_window(text, wave), ConfigError) << text;
  parse_wave_window("7:9", wave);
  EXPECT_EQ(wave.from, 7);
  EXPECT_EQ(wave.to, 9);
}

/// A trace of five products of different sizes.
class TraceReplay : public ::testing::Test {
 protected:
  TraceReplay() {
    TraceWriter writer(folder_.path());
    for (unsigned i = 0; i < 5; ++i) {
      GemmTrace gemm = make_gemm("g" + std::to_string(i), random_matrix(3 + i, 16 + i, i),
                                 random_matrix(16 + i, 4, 9 + i));
      gemm.info.step = i;
      gemm.info.loss = 2.5 / (i + 1);
      writer.add(gemm);
    }
    writer.write();
  }
  TemporaryFolder folder_;
  formats::DotSpec spec_ = formats::parse_dot_spec(kSmall);
  rtl_gen::Unit unit_ = dot_unit(spec_);
};

TEST_F(TraceReplay, TheReportDoesNotDependOnTheNumberOfProcesses) {
  TraceReader trace(folder_.path());
  std::string one, many;
  for (int jobs : {1, 3}) {
    std::int64_t calls = 0, macs = 0;
    ReplayOptions options{.jobs = jobs, .cache = kCache};
    options.progress = [&](const Progress& p) {
      EXPECT_EQ(p.gemms_done, ++calls);
      EXPECT_EQ(p.gemms_total, 5);
      macs = p.macs_done;
      EXPECT_EQ(p.macs_done == p.macs_total, calls == 5);
    };
    SimReport report = replay_trace(trace, {}, spec_, unit_, Engine::kAll, options);
    EXPECT_EQ(calls, 5);
    EXPECT_GT(macs, 0);
    EXPECT_TRUE(report.agree());
    (jobs == 1 ? one : many) = to_json(report, false).dump();
  }
  EXPECT_EQ(one, many);
}

TEST_F(TraceReplay, ChosenProductsComeInTheAskedOrder) {
  TraceReader trace(folder_.path());
  SimReport report = replay_trace(trace, {3, 1}, spec_, unit_, Engine::kFast, {.jobs = 2});
  ASSERT_EQ(report.gemms.size(), 2u);
  EXPECT_EQ(report.gemms[0].name, "g3");
  EXPECT_EQ(report.gemms[1].name, "g1");
}

TEST_F(TraceReplay, AnErrorInAWorkerProcessIsTheCallersError) {
  auto spec = formats::parse_dot_spec(std::string(kSmall) + " max-k=8");
  TraceReader trace(folder_.path());
  try {
    replay_trace(trace, {}, spec, dot_unit(spec), Engine::kFast, {.jobs = 2});
    FAIL();
  } catch (const ConfigError& error) {
    std::string text = error.what();  // of whichever product came first
    EXPECT_TRUE(text.starts_with("g") && text.find(": k = ") == 2) << text;
    EXPECT_NE(text.find("max-k"), std::string::npos) << text;
  }
}

TEST_F(TraceReplay, TheJsonReadsBackWhole) {
  TraceReader trace(folder_.path());
  SimReport report = replay_trace(trace, {}, spec_, unit_, Engine::kSystemc);
  auto json = to_json(report);
  EXPECT_EQ(json["schema"], "blockdot.sim/1");
  EXPECT_EQ(to_json(sim_report_from_json(nlohmann::json::parse(json.dump()))), json);
  json["schema"] = "blockdot.sim/9";
  EXPECT_THROW(sim_report_from_json(nlohmann::json(json)), ConfigError);
}

TEST(ShippedTrace, SystemcAndFastAgreeOnEveryProduct) {
  TraceReader trace(std::filesystem::path(BLOCKDOT_SOURCE_DIR) / "sim/trace/data");
  auto spec = formats::parse_dot_spec("a=mxfp4_e2m1");
  SimReport report = replay_trace(trace, {}, spec, dot_unit(spec), Engine::kSystemc, {.jobs = 2});
  EXPECT_TRUE(report.agree());
  ASSERT_EQ(report.gemms.size(), trace.size());
  for (const GemmReport& gemm : report.gemms) {
    EXPECT_GT(gemm.fp64.snr_db, 0) << gemm.name;  // more signal than noise, with 4-bit elements
    EXPECT_GT(gemm.fp64.cosine, 0.7) << gemm.name;
    EXPECT_LT(gemm.fp64.snr_db, gemm.baseline.snr_db);
  }
}

}  // namespace
}  // namespace blockdot::sim
