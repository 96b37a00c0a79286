// Comparison runs in three steps: generate every unit (and synthesise it where asked), replay what
// the store does not hold, and put what was found in the order of points and GEMMs. Results come
// back from the store as the JSON they were kept in, fresh ones go through the same JSON, so that a
// table is the same text whichever way it was made.
#include "explore/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "explore/energy.h"
#include "explore/pareto.h"
#include "explore/report.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "sim/trace/sha256.h"

namespace blockdot::explore {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// One synthesis takes about as long as the replay of this many multiply-accumulates in lock-step.
constexpr double kSynthesisMacs = 2e8;
constexpr double kEnergyMacs = 4e8;

bool agrees(const sim::GemmReport& report) { return report.agree && not_compared(report).empty(); }

GemmRow gemm_row(const sim::GemmInfo& info) {
  return {info.name, info.model, info.layer, std::string(to_text(info.role)),
          info.step, info.m,     info.n,     info.k};
}

// Everything of the manifest that a result depends on.
std::string identity(const sim::GemmInfo& info) {
  auto operand = [](const sim::OperandInfo& o) {
    return fmt::format("{} {} {}x{}", o.sha256, o.transpose, o.rows, o.columns);
  };
  return fmt::format("{} {} {} {} {} {}x{}x{} {} {} {}", info.name, info.model, info.layer,
                     to_text(info.role), info.step, info.m, info.n, info.k, operand(info.a),
                     operand(info.b), info.loss ? fmt::format("{}", *info.loss) : "null");
}

std::string identities(const sim::TraceReader& trace, const std::vector<std::size_t>& chosen) {
  std::string text;
  for (std::size_t index : chosen) text += identity(trace.gemms()[index]) + "\n";
  return text;
}

Figures estimated_figures(const rtl_gen::UnitReport& report) {
  Figures figures;
  auto take = [&](const char* name, const rtl_gen::Figure& figure) {
    if (!figure.provenance.empty()) figures[name] = figure;
  };
  take("area", report.area);
  take("critical_path_ns", report.critical_path_ns);
  take("register_bits", report.register_bits);
  take("luts", report.luts);
  return figures;
}

// The clock of the throughput: the target; without one what the generator took, the technology's
// default or the accumulator's loop; one evaluation a path for a combinational unit.
double clock_of(const rtl_gen::Arch& arch, const rtl_gen::UnitReport& report) {
  double path = report.critical_path_ns.value;
  if (arch.combinational) return path;
  if (arch.clock_ns > 0) return arch.clock_ns;
  return std::max(rtl_gen::CostModel(arch.technology).default_clock_ns(), path);
}

// Tells of work done, from any thread, one call at a time.
class Reporter {
 public:
  explicit Reporter(const CompareOptions& options) : options_(options) {}
  void expect(double work) { total_ += work; }
  void add(double work, const std::string& what) {
    std::lock_guard lock(mutex_);
    done_ += work;
    if (options_.progress) options_.progress({done_, total_, what});
  }

 private:
  const CompareOptions& options_;
  std::mutex mutex_;
  double done_ = 0, total_ = 0;
};

// Calls work(i) for each point, `jobs` at a time; the first failure by order of the points is
// thrown and names its point.
template <typename Work>
void for_points(const std::vector<DesignPoint>& points, int jobs, Work work) {
  std::vector<std::exception_ptr> failures(points.size());
  std::atomic<std::size_t> next = 0;
  auto take = [&] {
    for (std::size_t i = next++; i < points.size(); i = next++) {
      try {
        in_point(points[i], [&] { work(i); });
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  };
  std::vector<std::thread> threads;
  for (int t = 1; t < std::min<int>(jobs, static_cast<int>(points.size())); ++t)
    threads.emplace_back(take);
  take();
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
}

// The energy of one point on the products, as the document of `blockdot energy`; from the store or
// measured.
json point_energy(const DesignPoint& point, const std::vector<sim::GemmTrace>& products,
                  const std::string& identities, const CompareOptions& options) {
  EnergyOptions energy;
  energy.cache = options.unit_cache;
  energy.store = options.store;
  const std::string key = result_key({"energy", canonical_text(point), identities,
                                      fmt::format("{}", energy.beats), tool_versions()});
  if (auto kept = options.store.find(key)) return json::parse(*kept);
  const std::string text = to_json(measure_energy(point, products, energy)).dump();
  options.store.keep(key, text);
  return json::parse(text);
}

// Into the table, whose results are already there.
void take_energy(const json& from, std::size_t point, ResultTable& table) {
  auto stimulus = [&](std::size_t i) { return from.at("stimuli").at(i); };
  table.points[point].energy = {stimulus(0).at("pj_per_mac"), stimulus(1).at("pj_per_mac"),
                                from.at("provenance")};
  for (ResultRow& row : table.results) {
    if (row.point != point) continue;
    const json& found = stimulus(2 + row.gemm);
    BLOCKDOT_CHECK(found.at("name") == row.report.name);
    row.energy.unit = found.at("pj_per_mac");
    if (!found.contains("memory")) continue;
    row.energy.sram = found.at("memory").at("sram_pj_per_mac");
    row.energy.dram = found.at("memory").at("dram_pj_per_mac");
  }
}

sim::ReplayOptions replay_options(const DesignPoint& point, const rtl_gen::Unit& unit,
                                  const CompareOptions& options) {
  sim::ReplayOptions replay;
  replay.quantize = point.quantize;
  replay.seed = point.quantize.seed;
  replay.clock_ns = clock_of(point.arch, unit.report);
  replay.jobs = options.jobs;
  replay.cache = options.unit_cache;
  replay.machine = design_machine(point, options.engine);
  return replay;
}

// The reports of one point on the chosen GEMMs, from the store or replayed.
std::vector<sim::GemmReport> replay_point(const DesignPoint& point, const rtl_gen::Unit& unit,
                                          sim::ReplayOptions replay, sim::TraceReader& trace,
                                          const std::vector<std::size_t>& chosen,
                                          const CompareOptions& options, Reporter& reporter) {
  std::vector<std::string> keys, found(chosen.size());
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const sim::GemmInfo& info = trace.gemms()[chosen[i]];
    keys.push_back(result_key(
        {"replay", canonical_text(point), unit.verilog, to_text(options.engine), identity(info)}));
    if (auto kept = options.store.find(keys[i])) {
      found[i] = *kept;
      reporter.add(static_cast<double>(info.m * info.n * info.k), point.name);
    } else {
      missing.push_back(i);
    }
  }
  if (!missing.empty()) {
    std::vector<std::size_t> indices;
    for (std::size_t i : missing) indices.push_back(chosen[i]);
    std::int64_t macs = 0;
    replay.progress = [&](const sim::Progress& progress) {
      reporter.add(static_cast<double>(progress.macs_done - macs),
                   fmt::format("{}: {}", point.name, progress.gemm));
      macs = progress.macs_done;
    };
    sim::SimReport report =
        sim::replay_trace(trace, indices, point.spec, unit, options.engine, replay);
    for (std::size_t i = 0; i < missing.size(); ++i) {
      found[missing[i]] = sim::to_json(report.gemms[i], /*timing=*/false).dump();
      // A disagreement is to be seen again, not remembered.
      if (report.gemms[i].agree) options.store.keep(keys[missing[i]], found[missing[i]]);
    }
  }
  std::vector<sim::GemmReport> reports;
  for (const std::string& text : found)
    reports.push_back(sim::gemm_report_from_json(json::parse(text)));
  return reports;
}

ordered_json energy_json(const ResultEnergy& energy) {
  ordered_json out = {{"pj_per_mac", sim::number_json(energy.unit)}};
  if (std::isnan(energy.sram)) return out;
  out["sram_pj_per_mac"] = energy.sram;
  out["dram_pj_per_mac"] = energy.dram;
  return out;
}

ResultEnergy energy_from_json(const json& from) {
  ResultEnergy energy;
  energy.unit = sim::number_from_json(from.at("pj_per_mac"));
  energy.sram = from.value("sram_pj_per_mac", kNan);
  energy.dram = from.value("dram_pj_per_mac", kNan);
  return energy;
}

ordered_json figures_json(const Figures& figures) {
  ordered_json out = ordered_json::object();
  for (const auto& [name, figure] : figures)
    out[name] = {{"value", figure.value}, {"unit", figure.unit}, {"provenance", figure.provenance}};
  return out;
}

Figures figures_from_json(const json& from) {
  Figures figures;
  for (const auto& [name, figure] : from.items())
    figures[name] = {figure.at("value"), figure.at("unit"), figure.at("provenance")};
  return figures;
}

double value_of(const Figures& figures, const std::string& name) {
  auto found = figures.find(name);
  return found == figures.end() ? kNan : found->second.value;
}

std::string key_of(const GemmRow& gemm, GroupBy group, bool many_models) {
  switch (group) {
    case GroupBy::kAll:
      return "all";
    case GroupBy::kModel:
      return gemm.model;
    case GroupBy::kStep:
      return fmt::format("{}", gemm.step);
    case GroupBy::kLayer:
      return many_models ? fmt::format("{}/{}", gemm.model, gemm.layer) : gemm.layer;
    case GroupBy::kRole:
      return gemm.role;
  }
  BLOCKDOT_CHECK(false, "group");
}

ordered_json aggregate_json(const ResultTable& table, GroupBy group) {
  ordered_json out = ordered_json::array();
  for (const Aggregate& a : aggregate(table, group)) {
    out.push_back({{"point", a.point},
                   {"key", a.key},
                   {"gemms", a.gemms},
                   {"snr_mean_db", sim::number_json(a.snr_mean_db)},
                   {"snr_min_db", sim::number_json(a.snr_min_db)},
                   {"gmac_per_s", sim::number_json(a.gmac_per_s)},
                   {"utilisation", sim::number_json(a.utilisation)}});
    if (!std::isnan(a.energy.unit)) out.back()["energy"] = energy_json(a.energy);
  }
  return out;
}

// The fronts of the report: accuracy against area and storage, throughput against area. Areas of
// different technologies do not compare, so each has a front of its own in the list.
ordered_json fronts_json(const ResultTable& table) {
  std::vector<Aggregate> all = aggregate(table, GroupBy::kAll);
  std::vector<double> area = areas(table);
  auto front = [&](auto group, auto cost, auto gain) {
    std::map<std::string, std::vector<std::size_t>> members;
    for (std::size_t i = 0; i < all.size(); ++i) members[group(all[i])].push_back(i);
    std::vector<std::size_t> points;
    for (const auto& [name, indices] : members) {
      std::vector<CostGain> items;
      for (std::size_t i : indices) items.push_back({cost(all[i]), gain(all[i])});
      for (std::size_t i : pareto_front(items)) points.push_back(all[indices[i]].point);
    }
    return points;
  };
  auto together = [](const Aggregate&) { return std::string(); };
  auto technology = [&](const Aggregate& a) { return table.points[a.point].technology; };
  auto point_area = [&](const Aggregate& a) { return area[a.point]; };
  auto bits = [&](const Aggregate& a) { return table.points[a.point].bits_per_element; };
  auto snr = [](const Aggregate& a) { return a.snr_mean_db; };
  // Fast and wrong is no gain: a point of which no result could be compared is on no front.
  auto throughput = [](const Aggregate& a) { return a.compared > 0 ? a.gmac_per_s : kNan; };
  auto energy = [](const Aggregate& a) { return a.energy.unit; };
  ordered_json fronts = {{"snr_area", front(technology, point_area, snr)},
                         {"snr_bits", front(together, bits, snr)},
                         {"throughput_area", front(technology, point_area, throughput)}};
  // All units are mapped to one library for it.
  if (!table.points.empty() && table.points.front().energy)
    fronts["snr_energy"] = front(together, energy, snr);
  return fronts;
}

// A field of a CSV file: quoted where it must be (RFC 4180).
std::string csv(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string csv(double x) {
  if (std::isnan(x)) return "";
  if (std::isinf(x)) return x > 0 ? "inf" : "-inf";
  return fmt::format("{}", x);
}

std::string energy_fields(const ResultEnergy& energy) {
  return fmt::format("{},{},{}", csv(energy.unit), csv(energy.sram), csv(energy.dram));
}

// Units are the columns' names; the unit of the area is the point's.
constexpr const char* kPointColumns =
    "point,a,b,lanes,accumulator,output,rounding,technology,bits_per_element,clock_ns,latency,"
    "interval";

std::string point_fields(const PointRow& p) {
  return fmt::format("{},{},{},{},{},{},{},{},{},{},{},{}", csv(p.name), csv(p.a), csv(p.b),
                     p.lanes, csv(p.accumulator), csv(p.output), csv(p.rounding), p.technology,
                     p.bits_per_element, p.clock_ns, p.latency, p.interval);
}

/// Cycles by cause, the roofline and bytes by level, under their names in JSON.
std::string machine_columns() {
  std::string out;
  for (const sim::NamedCount& cause : sim::MachineReport().cycles_by_cause())
    out +=
        fmt::format("{}{},", cause.name == std::string_view("compute") ? "" : "stall_", cause.name);
  out += "macs_per_byte,bound_gmac_per_s,wall,";
  for (const sim::NamedCount& bytes : sim::MachineReport().bytes_by_level())
    out += fmt::format("{},", bytes.name);
  return out;
}

std::string machine_fields(const std::optional<sim::MachineReport>& machine) {
  const std::string columns = machine_columns();
  if (!machine) return std::string(static_cast<std::size_t>(std::ranges::count(columns, ',')), ',');
  std::string out;
  for (const sim::NamedCount& cause : machine->cycles_by_cause())
    out += fmt::format("{},", cause.value);
  out += fmt::format("{},{},{},", csv(machine->intensity()), csv(machine->bound()),
                     to_text(machine->wall()));
  for (const sim::NamedCount& bytes : machine->bytes_by_level())
    out += fmt::format("{},", bytes.value);
  return out;
}

}  // namespace

double snr_db(const sim::GemmReport& report) {
  return report.fp64.compared > 0 ? report.fp64.snr_db : kNan;
}

bool all_agree(const ResultTable& table) {
  return !table.results.empty() &&
         std::all_of(table.results.begin(), table.results.end(),
                     [](const ResultRow& row) { return agrees(row.report); });
}

std::vector<double> areas(const ResultTable& table) {
  bool synthesised = std::all_of(table.points.begin(), table.points.end(),
                                 [](const PointRow& p) { return p.synthesised.count("area") > 0; });
  std::vector<double> areas;
  for (const PointRow& p : table.points)
    areas.push_back(static_cast<double>(p.units) *
                    value_of(synthesised ? p.synthesised : p.estimated, "area"));
  return areas;
}

std::vector<Aggregate> aggregate(const ResultTable& table, GroupBy group) {
  bool many_models = std::any_of(table.gemms.begin(), table.gemms.end(), [&](const GemmRow& g) {
    return g.model != table.gemms.front().model;
  });
  std::vector<std::string> order;  // of the keys
  for (const GemmRow& gemm : table.gemms) {
    std::string key = key_of(gemm, group, many_models);
    if (std::find(order.begin(), order.end(), key) == order.end()) order.push_back(key);
  }
  struct Sums {
    Aggregate out;
    std::int64_t snr_count = 0, macs = 0, cycles = 0;
    double unit = 0, sram = 0, dram = 0;  // pJ; NaN as soon as one is
  };
  std::vector<std::map<std::string, Sums>> sums(table.points.size());
  for (const ResultRow& row : table.results) {
    const sim::GemmReport& report = row.report;
    Sums& s = sums[row.point][key_of(table.gemms[row.gemm], group, many_models)];
    ++s.out.gemms;
    s.out.compared += report.fp64.compared;
    if (double snr = snr_db(report); std::isfinite(snr)) {
      s.out.snr_min_db = s.snr_count == 0 ? snr : std::min(s.out.snr_min_db, snr);
      s.out.snr_mean_db += snr;
      ++s.snr_count;
    }
    s.macs += report.macs;
    s.cycles += report.cycles;
    const double weight = static_cast<double>(report.macs);
    s.unit += weight * row.energy.unit;
    s.sram += weight * row.energy.sram;
    s.dram += weight * row.energy.dram;
    s.out.checked += report.checked();
    s.out.handshakes += report.handshakes();
    s.out.mismatches += report.mismatches;
    s.out.disagree += !agrees(report);
    for (const sim::EngineRun& run : report.engines)
      s.out.cycle_delta = std::max(s.out.cycle_delta, std::abs(run.cycles - report.cycles));
  }
  std::vector<Aggregate> aggregates;
  for (std::size_t point = 0; point < table.points.size(); ++point) {
    for (const std::string& key : order) {
      auto found = sums[point].find(key);
      if (found == sums[point].end()) continue;
      const Sums& s = found->second;
      Aggregate a = s.out;
      a.point = point;
      a.key = key;
      double count = static_cast<double>(s.snr_count);
      a.snr_mean_db = s.snr_count == 0 ? kNan : a.snr_mean_db / count;
      if (s.snr_count == 0) a.snr_min_db = kNan;
      double macs = static_cast<double>(s.macs), cycles = static_cast<double>(s.cycles);
      a.gmac_per_s = macs / (cycles * table.points[point].clock_ns);
      a.energy = {s.unit / macs, s.sram / macs, s.dram / macs};
      a.utilisation =
          macs /
          (cycles * static_cast<double>(table.points[point].lanes * table.points[point].units));
      aggregates.push_back(a);
    }
  }
  return aggregates;
}

PointRow point_row(const DesignPoint& point, const rtl_gen::Unit& unit,
                   const std::optional<sim::MachineDesign>& machine) {
  PointRow row;
  row.name = point.name;
  row.text = canonical_text(point);
  row.hash = content_hash(point);
  row.a = display_name(point.spec.a);
  row.b = display_name(point.spec.b);
  row.lanes = point.spec.lanes;
  row.accumulator = to_text(point.spec.accumulator);
  row.output = to_text(point.spec.output);
  row.rounding = to_text(point.spec.rounding);
  row.technology = std::string(to_text(point.arch.technology));
  row.bits_per_element = (bits_per_element(point.spec.a) + bits_per_element(point.spec.b)) / 2;
  row.latency = unit.report.latency;
  row.interval = unit.report.interval;
  row.estimated = estimated_figures(unit.report);
  row.clock_ns = clock_of(point.arch, unit.report);
  if (machine) {
    row.machine = to_text(machine->machine);
    row.units = std::int64_t{machine->machine.rows} * machine->machine.cols;
    row.clock_ns = machine->clock_ns;
  }
  return row;
}

ResultTable start_table(const std::string& title, const std::string& program, sim::Engine engine,
                        const std::filesystem::path& trace_folder, const sim::TraceReader& trace,
                        const std::vector<std::size_t>& chosen) {
  ResultTable table;
  table.title = title;
  table.program = program;
  table.engine = engine;
  table.trace_name = std::filesystem::absolute(trace_folder).lexically_normal().filename().string();
  if (table.trace_name.empty())  // a path that ends in a separator
    table.trace_name = std::filesystem::absolute(trace_folder)
                           .lexically_normal()
                           .parent_path()
                           .filename()
                           .string();
  table.recipe_json = trace.trace().recipe_json;
  for (std::size_t index : chosen) table.gemms.push_back(gemm_row(trace.gemms()[index]));
  table.trace_sha256 = sim::sha256_hex(identities(trace, chosen));
  return table;
}

ResultTable compare(const DesignFile& designs, const std::filesystem::path& trace_folder,
                    const CompareOptions& options) {
  sim::TraceReader trace(trace_folder);
  std::vector<std::size_t> chosen = options.gemms;
  if (chosen.empty())
    for (std::size_t i = 0; i < trace.size(); ++i) chosen.push_back(i);
  if (options.synth)
    for (const DesignPoint& point : designs.points) require_synthesis_tools(point.arch.technology);
  if (options.energy) {
    for (const DesignPoint& point : designs.points) check_energy(point);
    require_synthesis_tools(rtl_gen::Technology::kOsu018);
  }

  ResultTable table =
      start_table(designs.title, options.program, options.engine, trace_folder, trace, chosen);
  double macs = 0;
  for (const GemmRow& gemm : table.gemms) macs += static_cast<double>(gemm.m * gemm.n * gemm.k);

  std::vector<rtl_gen::Unit> units;
  std::vector<sim::ReplayOptions> replays;
  for (const DesignPoint& point : designs.points) {
    units.push_back(generate_unit(point));
    replays.push_back(replay_options(point, units.back(), options));
    table.points.push_back(point_row(point, units.back(), replays.back().machine));
    in_point(point, [&] {
      check_replay(trace, chosen, point.spec, units.back(), options.engine, replays.back());
    });
  }

  Reporter reporter(options);
  double points = static_cast<double>(units.size());
  reporter.expect(
      points * (macs + (options.synth ? kSynthesisMacs : 0) + (options.energy ? kEnergyMacs : 0)));
  if (options.synth)
    for_points(designs.points, options.jobs, [&](std::size_t i) {
      table.points[i].synthesised =
          synthesise(units[i], designs.points[i].arch.technology, options.store);
      reporter.add(kSynthesisMacs, fmt::format("synthesis of {}", designs.points[i].name));
    });
  for (std::size_t i = 0; i < units.size(); ++i) {
    std::vector<sim::GemmReport> reports = in_point(designs.points[i], [&] {
      return replay_point(designs.points[i], units[i], replays[i], trace, chosen, options,
                          reporter);
    });
    for (std::size_t j = 0; j < reports.size(); ++j)
      table.results.push_back({i, j, std::move(reports[j])});
  }
  if (options.energy) {
    std::vector<sim::GemmTrace> products;
    for (std::size_t index : chosen) products.push_back(trace.load(index));
    std::vector<json> found(units.size());
    for_points(designs.points, options.jobs, [&](std::size_t i) {
      found[i] = point_energy(designs.points[i], products, identities(trace, chosen), options);
      reporter.add(kEnergyMacs, fmt::format("energy of {}", designs.points[i].name));
    });
    for (std::size_t i = 0; i < found.size(); ++i) take_energy(found[i], i, table);
  }
  if (options.on_unit)
    for (std::size_t i = 0; i < units.size(); ++i) options.on_unit(designs.points[i], units[i]);
  return table;
}

std::string to_json(const ResultTable& table) {
  ordered_json gemms = ordered_json::array();
  for (const GemmRow& g : table.gemms)
    gemms.push_back({{"name", g.name},
                     {"model", g.model},
                     {"step", g.step},
                     {"layer", g.layer},
                     {"role", g.role},
                     {"M", g.m},
                     {"N", g.n},
                     {"K", g.k}});
  ordered_json points = ordered_json::array();
  std::vector<Aggregate> all = aggregate(table, GroupBy::kAll);
  for (std::size_t i = 0; i < table.points.size(); ++i) {
    const PointRow& p = table.points[i];
    points.push_back({{"name", p.name},
                      {"text", p.text},
                      {"hash", p.hash},
                      {"a", p.a},
                      {"b", p.b},
                      {"lanes", p.lanes},
                      {"machine", p.machine},
                      {"units", p.units},
                      {"accumulator", p.accumulator},
                      {"output", p.output},
                      {"rounding", p.rounding},
                      {"technology", p.technology},
                      {"bits_per_element", p.bits_per_element},
                      {"clock_ns", p.clock_ns},
                      {"latency", p.latency},
                      {"interval", p.interval},
                      {"estimated", figures_json(p.estimated)},
                      {"synthesised", figures_json(p.synthesised)}});
    if (p.energy)
      points.back()["energy"] = {{"zeros_pj_per_mac", p.energy->zeros},
                                 {"gaussian_pj_per_mac", p.energy->gaussian},
                                 {"provenance", p.energy->provenance}};
    for (const Aggregate& a : all)
      if (a.point == i)
        points.back()["verification"] = {{"checked", a.checked},
                                         {"handshakes", a.handshakes},
                                         {"mismatches", a.mismatches},
                                         {"cycle_delta", a.cycle_delta},
                                         {"disagree", a.disagree}};
  }
  ordered_json results = ordered_json::array();
  for (const ResultRow& row : table.results) {
    ordered_json result = {{"point", row.point}, {"gemm", row.gemm}};
    result.update(sim::to_json(row.report, /*timing=*/false));
    if (!std::isnan(row.energy.unit)) result["energy"] = energy_json(row.energy);
    results.push_back(std::move(result));
  }
  ordered_json out = {{"schema", kCompareSchema},
                      {"program", table.program},
                      {"title", table.title},
                      {"engine", to_text(table.engine)},
                      {"trace",
                       {{"name", table.trace_name},
                        {"sha256", table.trace_sha256},
                        {"recipe", ordered_json::parse(table.recipe_json)}}},
                      {"points", std::move(points)},
                      {"gemms", std::move(gemms)},
                      {"results", std::move(results)},
                      {"aggregates",
                       {{"all", aggregate_json(table, GroupBy::kAll)},
                        {"model", aggregate_json(table, GroupBy::kModel)},
                        {"step", aggregate_json(table, GroupBy::kStep)},
                        {"layer", aggregate_json(table, GroupBy::kLayer)},
                        {"role", aggregate_json(table, GroupBy::kRole)}}},
                      {"pareto", fronts_json(table)}};
  return out.dump() + "\n";
}

ResultTable table_from_json(std::string_view text) {
  try {
    json from = json::parse(text);
    if (from.at("schema") != kCompareSchema)
      throw ConfigError("schema {}: must be {}", from.at("schema").dump(), kCompareSchema);
    ResultTable table;
    table.title = from.at("title");
    table.program = from.at("program");
    table.engine = sim::parse_engine(from.at("engine").get<std::string>());
    table.trace_name = from.at("trace").at("name");
    table.trace_sha256 = from.at("trace").at("sha256");
    table.recipe_json = from.at("trace").at("recipe").dump();
    for (const json& p : from.at("points")) {
      PointRow row;
      row.name = p.at("name");
      row.text = p.at("text");
      row.hash = p.at("hash");
      row.a = p.at("a");
      row.b = p.at("b");
      row.lanes = p.at("lanes");
      row.machine = p.value("machine", std::string());
      row.units = p.value("units", std::int64_t{1});
      row.accumulator = p.at("accumulator");
      row.output = p.at("output");
      row.rounding = p.at("rounding");
      row.technology = p.at("technology");
      row.bits_per_element = p.at("bits_per_element");
      row.clock_ns = p.at("clock_ns");
      row.latency = p.at("latency");
      row.interval = p.at("interval");
      row.estimated = figures_from_json(p.at("estimated"));
      row.synthesised = figures_from_json(p.at("synthesised"));
      if (p.contains("energy"))
        row.energy = {p["energy"].at("zeros_pj_per_mac"), p["energy"].at("gaussian_pj_per_mac"),
                      p["energy"].at("provenance")};
      table.points.push_back(std::move(row));
    }
    for (const json& g : from.at("gemms"))
      table.gemms.push_back({g.at("name"), g.at("model"), g.at("layer"), g.at("role"), g.at("step"),
                             g.at("M"), g.at("N"), g.at("K")});
    for (const json& r : from.at("results")) {
      ResultRow row{r.at("point"), r.at("gemm"), sim::gemm_report_from_json(r), {}};
      if (r.contains("energy")) row.energy = energy_from_json(r["energy"]);
      if (row.point >= table.points.size() || row.gemm >= table.gemms.size())
        throw ConfigError("a result names point {} and GEMM {}: there are {} and {}", row.point,
                          row.gemm, table.points.size(), table.gemms.size());
      table.results.push_back(std::move(row));
    }
    return table;
  } catch (const json::exception& error) {
    throw ConfigError("not a result table of schema {}: {}", kCompareSchema, error.what());
  }
}

std::string results_csv(const ResultTable& table) {
  std::string out = fmt::format(
      "{},gemm,model,step,layer,role,M,N,K,snr_db,rel_frobenius,cosine,max_abs,max_ulp_output,"
      "overflow,underflow,nan,inf,qsnr_a_db,qsnr_b_db,beats,cycles,utilisation,gmac_per_s,{}"
      "pj_per_mac,sram_pj_per_mac,dram_pj_per_mac,checked,mismatches\r\n",
      kPointColumns, machine_columns());
  for (const ResultRow& row : table.results) {
    const GemmRow& g = table.gemms[row.gemm];
    const sim::GemmReport& r = row.report;
    out += fmt::format("{},{},{},{},{},{},{},{},{},", point_fields(table.points[row.point]),
                       csv(g.name), csv(g.model), g.step, csv(g.layer), g.role, g.m, g.n, g.k);
    out += fmt::format("{},{},{},{},{},{},{},{},{},{},{},", csv(snr_db(r)),
                       csv(r.fp64.rel_frobenius), csv(r.fp64.cosine), csv(r.fp64.max_abs),
                       csv(r.fp64.max_ulp_output), r.fp64.overflow, r.fp64.underflow, r.fp64.nan,
                       r.fp64.inf, csv(r.a.qsnr_db), csv(r.b.qsnr_db));
    out += fmt::format("{},{},{},{},{}{},{},{}\r\n", r.beats, r.cycles, csv(r.utilisation),
                       csv(r.gmac_per_s), machine_fields(r.machine), energy_fields(row.energy),
                       r.checked(), r.mismatches);
  }
  return out;
}

std::string points_csv(const ResultTable& table) {
  std::string out = fmt::format(
      "{},area_unit,area_estimated,area_synthesised,path_ns_estimated,path_ns_synthesised,"
      "register_bits_estimated,gemms,snr_mean_db,snr_min_db,gmac_per_s,utilisation,pj_per_mac,"
      "sram_pj_per_mac,dram_pj_per_mac,checked,mismatches,text,hash\r\n",
      kPointColumns);
  for (const Aggregate& a : aggregate(table, GroupBy::kAll)) {
    const PointRow& p = table.points[a.point];
    auto area = p.estimated.find("area");
    out += fmt::format("{},{},{},{},{},{},{},", point_fields(p),
                       csv(area == p.estimated.end() ? "" : area->second.unit),
                       csv(value_of(p.estimated, "area")), csv(value_of(p.synthesised, "area")),
                       csv(value_of(p.estimated, "critical_path_ns")),
                       csv(value_of(p.synthesised, "critical_path_ns")),
                       csv(value_of(p.estimated, "register_bits")));
    out += fmt::format("{},{},{},{},{},{},{},{},{},{}\r\n", a.gemms, csv(a.snr_mean_db),
                       csv(a.snr_min_db), csv(a.gmac_per_s), csv(a.utilisation),
                       energy_fields(a.energy), a.checked, a.mismatches, csv(p.text), p.hash);
  }
  return out;
}

void write_results(const ResultTable& table, const std::filesystem::path& folder) {
  write_file_atomic(folder / "results.json", to_json(table));
  write_file_atomic(folder / "results.csv", results_csv(table));
  write_file_atomic(folder / "points.csv", points_csv(table));
  write_file_atomic(folder / "report.html", report_html(table));
}

}  // namespace blockdot::explore
