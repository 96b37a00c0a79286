// Comparison on the shipped trace and on tables made by hand: numbers against the replay's own and
// against arithmetic done here, JSON and CSV there and back, the store, errors.
#include "explore/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "formats/text.h"

namespace blockdot::explore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const char* const kTrace = BLOCKDOT_SOURCE_DIR "/sim/trace/data";

sim::GemmReport report_of(double snr_db, std::int64_t macs, std::int64_t cycles) {
  sim::GemmReport report;
  report.fp64.snr_db = snr_db;
  report.fp64.compared = 6;
  report.macs = macs;
  report.cycles = cycles;
  return report;
}

// Two points of 2 lanes at 1 and 2 ns, three GEMMs of two models.
ResultTable table_by_hand() {
  ResultTable table;
  table.title = "By hand, with \"quotes\"";
  table.program = "blockdot test";
  table.trace_name = "data";
  table.trace_sha256 = std::string(64, 'a');
  table.recipe_json = R"({"seed":1})";
  for (int i = 0; i < 2; ++i) {
    PointRow point;
    point.name = i == 0 ? "small, fast" : "big";
    point.a = point.b = "mxint8";
    point.lanes = 2;
    point.technology = "osu018";
    point.bits_per_element = 8.25;
    point.clock_ns = i + 1;
    point.estimated["area"] = {100.0 * (i + 1), "osu018 area", "estimated"};
    table.points.push_back(point);
  }
  table.gemms = {{"g0", "cnn", "fc", "fprop", 0, 2, 3, 4},
                 {"g1", "cnn", "fc", "wgrad", 5, 2, 3, 4},
                 {"g2", "lm", "fc", "fprop", 0, 2, 3, 4}};
  constexpr double kInf = std::numeric_limits<double>::infinity();
  double snr[2][3] = {{10, 20, kInf}, {30, 40, 50}};
  for (std::size_t p = 0; p < 2; ++p)
    for (std::size_t g = 0; g < 3; ++g)
      table.results.push_back(
          {p, g, report_of(snr[p][g], 24, static_cast<std::int64_t>(12 * (g + 1)))});
  return table;
}

const Aggregate& find(const std::vector<Aggregate>& all, std::size_t point,
                      const std::string& key) {
  for (const Aggregate& a : all)
    if (a.point == point && a.key == key) return a;
  throw std::runtime_error("no aggregate " + key);
}

TEST(Aggregate, EqualsSumsDoneByHand) {
  ResultTable table = table_by_hand();
  std::vector<Aggregate> all = aggregate(table, GroupBy::kAll);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].gemms, 3);
  EXPECT_DOUBLE_EQ(all[0].snr_mean_db, 15);  // the exact product stays out of the mean
  EXPECT_DOUBLE_EQ(all[0].snr_min_db, 10);
  EXPECT_DOUBLE_EQ(all[0].gmac_per_s, 72.0 / 72);    // 3 x 24 over 12 + 24 + 36 cycles of 1 ns
  EXPECT_DOUBLE_EQ(all[1].gmac_per_s, 72.0 / 144);   // the same at 2 ns
  EXPECT_DOUBLE_EQ(all[0].utilisation, 72.0 / 144);  // of 2 lanes
  EXPECT_DOUBLE_EQ(all[1].snr_mean_db, 40);
}

TEST(Aggregate, WeighsEnergyByMultiplyAccumulates) {
  ResultTable table = table_by_hand();
  for (std::size_t i = 0; i < 3; ++i) {
    table.results[i].energy = {1.0 + static_cast<double>(i), 10, 100};  // of the first point
    table.results[i].report.macs = i == 2 ? 96 : 24;
  }
  const Aggregate first = aggregate(table, GroupBy::kAll)[0];
  EXPECT_DOUBLE_EQ(first.energy.unit, (24 * 1 + 24 * 2 + 96 * 3) / 144.0);
  EXPECT_DOUBLE_EQ(first.energy.dram, 100);
  EXPECT_TRUE(std::isnan(aggregate(table, GroupBy::kAll)[1].energy.unit));
  // There and back, as JSON and CSV; a point without it has none.
  table.points[0].energy = {0.5, 2.5, "by hand"};
  const std::string text = to_json(table);
  EXPECT_EQ(to_json(table_from_json(text)), text);
  const nlohmann::json json = nlohmann::json::parse(text);
  EXPECT_EQ(json.at("points")[0].at("energy").at("provenance"), "by hand");
  EXPECT_FALSE(json.at("points")[1].contains("energy"));
  EXPECT_EQ(json.at("results")[2].at("energy").at("pj_per_mac"), 3);
  EXPECT_FALSE(json.at("aggregates").at("all")[1].contains("energy"));
  EXPECT_EQ(json.at("pareto").at("snr_energy"), (std::vector<int>{0}));
  EXPECT_THAT(points_csv(table), HasSubstr(",2.5,10,100,"));
}

TEST(Aggregate, GroupsByLayerRoleStepAndModel) {
  ResultTable table = table_by_hand();
  std::vector<Aggregate> layers = aggregate(table, GroupBy::kLayer);
  ASSERT_EQ(layers.size(), 4u);  // `fc` of two models are two layers
  EXPECT_DOUBLE_EQ(find(layers, 0, "cnn/fc").snr_mean_db, 15);
  EXPECT_TRUE(std::isnan(find(layers, 0, "lm/fc").snr_mean_db));
  EXPECT_DOUBLE_EQ(find(aggregate(table, GroupBy::kRole), 1, "fprop").snr_mean_db, 40);
  EXPECT_DOUBLE_EQ(find(aggregate(table, GroupBy::kRole), 1, "wgrad").snr_min_db, 40);
  EXPECT_EQ(find(aggregate(table, GroupBy::kStep), 0, "0").gemms, 2);
  EXPECT_EQ(find(aggregate(table, GroupBy::kModel), 0, "lm").gemms, 1);
}

TEST(Areas, AreSynthesisedOnlyWhereEveryPointIs) {
  ResultTable table = table_by_hand();
  EXPECT_THAT(areas(table), ElementsAre(100, 200));
  table.points[0].synthesised["area"] = {70, "osu018 area", "synthesised"};
  EXPECT_THAT(areas(table), ElementsAre(100, 200));
  table.points[1].synthesised["area"] = {60, "osu018 area", "synthesised"};
  EXPECT_THAT(areas(table), ElementsAre(70, 60));
}

TEST(TableJson, ThereAndBackIsTheSame) {
  ResultTable table = table_by_hand();
  table.points[1].synthesised["area"] = {123.5, "osu018 area", "synthesised"};
  std::string text = to_json(table);
  ResultTable back = table_from_json(text);
  EXPECT_EQ(to_json(back), text);
  EXPECT_EQ(back.points[1].synthesised.at("area").value, 123.5);
  EXPECT_TRUE(std::isinf(back.results[2].report.fp64.snr_db));
  nlohmann::json json = nlohmann::json::parse(text);
  EXPECT_EQ(json.at("schema"), "blockdot.compare/1");
  EXPECT_EQ(json.at("pareto").at("snr_area"), (std::vector<int>{0, 1}));
  // Equal storage: only the more accurate point is on that front.
  EXPECT_EQ(json.at("pareto").at("snr_bits"), (std::vector<int>{1}));
}

// Where every result is NaN or Inf nothing is compared, and no noise is no exactness.
TEST(TableJson, APointWithoutComparableResultsIsOnNoFront) {
  ResultTable table = table_by_hand();
  for (ResultRow& row : table.results)
    if (row.point == 0) {
      row.report = report_of(std::numeric_limits<double>::infinity(), 24, 12);
      row.report.fp64.compared = 0;
    }
  nlohmann::json pareto = nlohmann::json::parse(to_json(table)).at("pareto");
  for (const char* front : {"snr_area", "snr_bits", "throughput_area"})
    EXPECT_EQ(pareto.at(front), (std::vector<int>{1})) << front;
  EXPECT_TRUE(std::isnan(aggregate(table, GroupBy::kAll)[0].snr_mean_db));
  EXPECT_TRUE(std::isnan(snr_db(table.results[0].report)));
  EXPECT_THAT(results_csv(table), ::testing::Not(HasSubstr("2,3,4,inf")));
  // A NaN as SNR is as good as none.
  for (ResultRow& row : table.results)
    if (row.point == 0) {
      row.report.fp64.compared = 6;
      row.report.fp64.snr_db = std::nan("");
    }
  pareto = nlohmann::json::parse(to_json(table)).at("pareto");
  EXPECT_EQ(pareto.at("snr_area"), (std::vector<int>{1}));
  EXPECT_EQ(pareto.at("snr_bits"), (std::vector<int>{1}));
}

TEST(TableJson, PointsOfTwoTechnologiesHaveTwoAreaFronts) {
  ResultTable table = table_by_hand();
  std::swap(table.points[0].estimated, table.points[1].estimated);  // point 1 now beats point 0
  EXPECT_EQ(nlohmann::json::parse(to_json(table)).at("pareto").at("snr_area"),
            (std::vector<int>{1}));
  table.points[0].technology = "xilinx";
  EXPECT_THAT(nlohmann::json::parse(to_json(table)).at("pareto").at("snr_area"),
              ::testing::UnorderedElementsAre(0, 1));
}

TEST(TableJson, WhatIsNoTableIsRefused) {
  for (const char* text : {"", "{", "[]", "{}", R"({"schema": "blockdot.compare/2"})",
                           R"({"schema": "blockdot.compare/1"})"})
    EXPECT_THROW(table_from_json(text), ConfigError) << text;
  ResultTable table = table_by_hand();
  table.results[0].gemm = 7;
  nlohmann::json json = nlohmann::json::parse(to_json(table_by_hand()));
  json["results"][0]["gemm"] = 7;
  EXPECT_THROW(table_from_json(json.dump()), ConfigError);
}

// The fields of one CSV line (RFC 4180).
std::vector<std::string> csv_fields(const std::string& line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"' && quoted && i + 1 < line.size() && line[i + 1] == '"')
      fields.back() += line[i++];
    else if (line[i] == '"')
      quoted = !quoted;
    else if (line[i] == ',' && !quoted)
      fields.emplace_back();
    else if (line[i] != '\r')
      fields.back() += line[i];
  }
  return fields;
}

TEST(Csv, HoldsTheTablesNumbersUnderItsColumns) {
  ResultTable table = table_by_hand();
  for (const std::string& csv : {results_csv(table), points_csv(table)}) {
    std::vector<std::string> lines = formats::split(csv, '\n');
    std::vector<std::string> header = csv_fields(lines[0]);
    bool per_result = csv == results_csv(table);
    ASSERT_EQ(lines.size(), 2 + (per_result ? 6u : 2u));  // header, rows, end
    for (std::size_t i = 1; i + 1 < lines.size(); ++i)
      ASSERT_EQ(csv_fields(lines[i]).size(), header.size()) << lines[i];
    auto at = [&](std::size_t row, const std::string& column) {
      auto found = std::find(header.begin(), header.end(), column);
      return csv_fields(lines[row + 1]).at(static_cast<std::size_t>(found - header.begin()));
    };
    EXPECT_EQ(at(0, "point"), "small, fast");
    if (per_result) {
      EXPECT_EQ(at(1, "snr_db"), "20");
      EXPECT_EQ(at(2, "snr_db"), "inf");
      EXPECT_EQ(at(5, "cycles"), "36");
      EXPECT_EQ(at(4, "gemm"), "g1");
    } else {
      EXPECT_EQ(at(0, "snr_mean_db"), "15");
      EXPECT_EQ(at(1, "area_estimated"), "200");
      EXPECT_EQ(at(1, "area_synthesised"), "");
    }
  }
}

// Oracle: the same table's JSON. A result without a machine has empty fields.
TEST(Csv, HoldsCyclesByCauseBytesByLevelAndTheWallOfAMachine) {
  ResultTable table = table_by_hand();
  sim::MachineReport machine;
  machine.macs = 24;
  machine.count = {.cycles = 90,
                   .compute = 6,
                   .fill = 7,
                   .load = 20,
                   .bank = 9,
                   .store = 10,
                   .back_pressure = 11,
                   .drain = 27};
  machine.traffic = {.a = 31,
                     .b = 32,
                     .c = 33,
                     .scale_bits = 34,
                     .sram_a = {35, 36},
                     .sram_b = {37, 38},
                     .sram_c = {39, 40},
                     .spilled = 41};
  machine.peak = 4;
  machine.bank_cycles = 48;
  table.results[1].report.machine = machine;
  const nlohmann::json json = nlohmann::json::parse(to_json(table)).at("results")[1].at("machine");
  const std::vector<std::string> lines = formats::split(results_csv(table), '\n');
  const std::vector<std::string> header = csv_fields(lines[0]);
  const auto at = [&](std::size_t row, const std::string& column) {
    const auto found = std::find(header.begin(), header.end(), column);
    EXPECT_NE(found, header.end()) << column;
    return csv_fields(lines[row + 1]).at(static_cast<std::size_t>(found - header.begin()));
  };
  EXPECT_EQ(at(1, "wall"), "banks");
  EXPECT_EQ(at(1, "bound_gmac_per_s"), "0.5");
  EXPECT_EQ(at(1, "macs_per_byte"), "0.25");
  EXPECT_EQ(at(1, "compute"), "6");
  EXPECT_EQ(at(1, "stall_drain"), "27");
  EXPECT_EQ(at(1, "dram_c"), "33");
  EXPECT_EQ(at(1, "sram_c_written"), "40");
  std::set<std::string> names = {"wall", "bound_gmac_per_s", "macs_per_byte", "compute"};
  for (const auto& [name, value] : json.at("stalls").items()) {
    EXPECT_EQ(at(1, "stall_" + name), value.dump());
    names.insert("stall_" + name);
  }
  for (const auto& [name, value] : json.at("traffic").items()) {
    EXPECT_EQ(at(1, name), value.dump());
    names.insert(name);
  }
  EXPECT_EQ(names.size(), 4u + 6u + 11u);
  for (const std::string& name : names) EXPECT_EQ(at(0, name), "") << name;
  for (std::size_t i = 1; i + 1 < lines.size(); ++i)
    EXPECT_EQ(csv_fields(lines[i]).size(), header.size());
}

// Two designs on the first three GEMMs of the shipped trace.
struct Shipped {
  DesignFile designs = parse_design_file(
      "[defaults]\nlanes = 16\n[[design]]\na = \"mxfp8_e4m3\"\n[[design]]\na = \"mxint8\"\n",
      "x.toml");
  CompareOptions options;
  Shipped() { options.gemms = {0, 1, 2}; }
};

TEST(Compare, GivesTheReplaysOwnNumbers) {
  Shipped s;
  std::vector<rtl_gen::Unit> units;
  s.options.on_unit = [&](const DesignPoint&, const rtl_gen::Unit& unit) { units.push_back(unit); };
  ResultTable table = compare(s.designs, kTrace, s.options);
  ASSERT_EQ(table.results.size(), 6u);
  ASSERT_EQ(units.size(), 2u);
  sim::TraceReader trace(kTrace);
  std::size_t checked = 0;
  for (const ResultRow& row : table.results) {
    const DesignPoint& point = s.designs.points[row.point];
    sim::ReplayOptions replay;
    replay.clock_ns = table.points[row.point].clock_ns;
    sim::GemmReport direct =
        sim::replay(trace.load(row.gemm), point.spec, units[row.point], sim::Engine::kFast, replay);
    EXPECT_EQ(sim::to_json(row.report, false), sim::to_json(direct, false));
    EXPECT_GT(row.report.fp64.snr_db, 15);
    ++checked;
  }
  EXPECT_EQ(checked, 6u);
  EXPECT_TRUE(all_agree(table));
  ResultTable vacuous = table;
  vacuous.results[0].report.engines[0].engine = sim::Engine::kRtl;  // that compared nothing
  EXPECT_FALSE(all_agree(vacuous));
  vacuous.results.clear();
  EXPECT_FALSE(all_agree(vacuous));
  EXPECT_EQ(table.points[0].estimated.at("area").provenance, "estimated");
}

TEST(Compare, TheStoreChangesNothingButTheTime) {
  Shipped s;
  TemporaryFolder folder;
  std::string without = to_json(compare(s.designs, kTrace, s.options));
  s.options.store = ResultStore(folder.path());
  std::string first = to_json(compare(s.designs, kTrace, s.options));
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path()))
    if (entry.is_regular_file()) files.push_back(entry.path());
  EXPECT_EQ(files.size(), 6u);
  std::string second = to_json(compare(s.designs, kTrace, s.options));
  EXPECT_EQ(without, first);
  EXPECT_EQ(first, second);
  // A damaged entry is computed again.
  write_file_atomic(files[0], "nonsense");
  EXPECT_EQ(to_json(compare(s.designs, kTrace, s.options)), first);
  EXPECT_NE(read_file(files[0]), "nonsense");
  // And entries are really used: another answer, rightly kept, shows.
  std::string key = files[1].parent_path().filename().string() + files[1].filename().string();
  nlohmann::ordered_json kept = nlohmann::ordered_json::parse(s.options.store.find(key).value());
  kept["error"]["fp64"]["snr_db"] = 123.25;
  s.options.store.keep(key, kept.dump());
  std::size_t shown = 0;
  for (const ResultRow& row : compare(s.designs, kTrace, s.options).results)
    if (row.report.fp64.snr_db == 123.25) ++shown;
  EXPECT_EQ(shown, 1u);
}

TEST(Compare, JobsDoNotChangeTheTable) {
  Shipped s;
  std::string one = to_json(compare(s.designs, kTrace, s.options));
  s.options.jobs = 2;
  EXPECT_EQ(to_json(compare(s.designs, kTrace, s.options)), one);
}

TEST(Compare, ProgressEndsAtTheTotal) {
  Shipped s;
  std::vector<CompareProgress> seen;
  s.options.progress = [&](const CompareProgress& progress) { seen.push_back(progress); };
  compare(s.designs, kTrace, s.options);
  ASSERT_FALSE(seen.empty());
  EXPECT_DOUBLE_EQ(seen.back().done, seen.back().total);
  for (std::size_t i = 1; i < seen.size(); ++i) EXPECT_GE(seen[i].done, seen[i - 1].done);
}

TEST(Compare, ErrorsNameTheDesign) {
  Shipped s;
  s.designs =
      parse_design_file("[[design]]\nname = \"short\"\na = \"mxint8\"\nmax-k = 32\n", "x.toml");
  s.options.gemms = {};
  try {
    compare(s.designs, kTrace, s.options);
    FAIL() << "K beyond max-k was taken";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), HasSubstr("design point 'short': "));
  }
  // So does a clock that no unit meets, found only when the unit is generated.
  s.designs =
      parse_design_file("[[design]]\nname = \"hasty\"\na = \"mxint8\"\nclock-ns = 0.3\n", "x.toml");
  try {
    compare(s.designs, kTrace, s.options);
    FAIL() << "a clock of 0.3 ns was taken";
  } catch (const ConfigError& error) {
    EXPECT_THAT(error.what(), ::testing::StartsWith("design point 'hasty': clock-ns = 0.3: "));
  }
  EXPECT_THROW(compare(s.designs, "/nonexistent", s.options), ConfigError);
}

TEST(WriteResults, WritesTheFourFiles) {
  TemporaryFolder folder;
  ResultTable table = table_by_hand();
  write_results(table, folder.path() / "new");
  EXPECT_EQ(read_file(folder.path() / "new" / "results.json"), to_json(table));
  EXPECT_EQ(read_file(folder.path() / "new" / "results.csv"), results_csv(table));
  EXPECT_EQ(read_file(folder.path() / "new" / "points.csv"), points_csv(table));
  EXPECT_THAT(read_file(folder.path() / "new" / "report.html"), HasSubstr("<!doctype html>"));
  write_file_atomic(folder.path() / "file", "");
  EXPECT_THROW(write_results(table, folder.path() / "file"), ConfigError);
}

}  // namespace
}  // namespace blockdot::explore
