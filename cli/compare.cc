// blockdot compare: design points x a trace -> results, Pareto fronts, report.html.
#include "explore/compare.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <thread>

#include "cli/command.h"
#include "cli/progress.h"
#include "explore/report.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "rtl_gen/generate.h"
#include "sim/cosim/testbench.h"

namespace blockdot::cli {

namespace {

namespace fs = std::filesystem;

struct CompareArguments {
  Designs designs;
  std::string trace, out, engine = "fast";
  std::vector<std::string> gemms;
  bool synth = false, energy = false, no_cache = false;
  int jobs = 0;
};

// Where no result was comparable there is no figure.
std::string decibel(double value) {
  return std::isfinite(value) ? fmt::format("{:.2f}", value) : "-";
}

void print_table(const explore::ResultTable& table) {
  std::vector<explore::Aggregate> totals = explore::aggregate(table, explore::GroupBy::kAll);
  auto known = [&](double explore::ResultEnergy::*part) {
    return std::any_of(totals.begin(), totals.end(), [&](const explore::Aggregate& total) {
      return !std::isnan(total.energy.*part);
    });
  };
  const bool energy = known(&explore::ResultEnergy::unit);
  const bool memory = known(&explore::ResultEnergy::dram);
  fmt::print("{:<24} {:>9} {:>18} {:>18} {:>9} {:>9} {:>8}{}{} {:>9} {:>10}\n", "point",
             "bits/elem", "area est.", "area synth.", "SNR dB", "min dB", "GMAC/s",
             energy ? fmt::format(" {:>8}", "pJ/MAC") : "",
             memory ? fmt::format(" {:>8} {:>8}", "SRAM", "DRAM") : "", "checked", "mismatches");
  for (const explore::Aggregate& total : totals) {
    const explore::PointRow& point = table.points[total.point];
    auto figure = [](const explore::Figures& figures) {
      auto found = figures.find("area");
      return found == figures.end()
                 ? std::string("-")
                 : fmt::format("{:.0f} {}", found->second.value, found->second.unit);
    };
    auto picojoules = [](bool shown, double value) {
      if (!shown) return std::string();
      return std::isnan(value) ? fmt::format(" {:>8}", "-") : fmt::format(" {:>8.3f}", value);
    };
    // Nothing compared is no agreement.
    const auto count = [&](std::int64_t number) {
      return total.checked > 0 ? fmt::format("{}", number) : "-";
    };
    fmt::print("{:<24} {:>9.3f} {:>18} {:>18} {:>9} {:>9} {:>8.3f}{}{}{} {:>9} {:>10}\n",
               point.name, point.bits_per_element, figure(point.estimated),
               figure(point.synthesised), decibel(total.snr_mean_db), decibel(total.snr_min_db),
               total.gmac_per_s, picojoules(energy, total.energy.unit),
               picojoules(memory, total.energy.sram), picojoules(memory, total.energy.dram),
               count(total.checked), count(total.mismatches));
  }
  if (energy)
    for (const explore::PointRow& point : table.points)
      if (point.energy) {
        fmt::print("energy: {}{}\n", point.energy->provenance,
                   memory ? "; memories of another process (45 nm), not to be added" : "");
        break;
      }
}

/// What was compared with what, and how much of it.
void print_verdict(const explore::ResultTable& table) {
  std::int64_t checked = 0, handshakes = 0;
  for (const explore::ResultRow& row : table.results) {
    checked += row.report.checked();
    handshakes += row.report.handshakes();
  }
  if (checked == 0)
    fmt::print("nothing compared; --engine all checks the RTL against the model\n");
  else
    fmt::print("compared {} values{}\n", checked,
               handshakes > 0 ? fmt::format(" and {} handshakes of the RTL", handshakes) : "");
}

void run(const CompareArguments& arguments, Context& context) {
  if (arguments.out.empty()) throw ConfigError("out = (nothing): must name a folder");
  const explore::DesignFile designs = read_designs(arguments.designs);
  explore::CompareOptions options;
  options.engine = sim::parse_engine(arguments.engine);
  options.synth = arguments.synth;
  options.energy = arguments.energy;
  options.jobs = arguments.jobs > 0
                     ? arguments.jobs
                     : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  options.program = "blockdot " BLOCKDOT_VERSION;
  if (!arguments.no_cache) options.store = explore::ResultStore::at_default();
  if (!arguments.gemms.empty()) {
    sim::TraceReader trace(arguments.trace);
    options.gemms = choose_gemms(trace, arguments.gemms);
  }
  fs::path out = arguments.out;
  // Said before the work, not after it.
  for (const char* file : {"report.html", "results.json", "results.csv", "points.csv"})
    check_writable(out / file);
  for (const fs::path& folder : point_folders(designs, out / "units"))
    check_writable(folder / "unit.v");
  Progress bar("comparing", context.quiet);
  bar.update(0, 1, "checking all points");
  options.progress = [&](const explore::CompareProgress& progress) {
    bar.update(progress.done, progress.total, progress.what);
  };
  std::vector<fs::path> units;
  options.on_unit = [&](const explore::DesignPoint& point, const rtl_gen::Unit& unit) {
    const fs::path folder = out / "units" / folder_name(point.name);
    write_file_atomic(folder / "unit.v", unit.verilog);
    sim::write_testbench(folder, sim::make_testbench(unit, point.spec, 64));
    write_file_atomic(folder / "unit.json", rtl_gen::to_json(unit.report).dump(2) + "\n");
    units.push_back(folder);
  };
  explore::ResultTable table = explore::compare(designs, arguments.trace, options);
  bar.clear();
  explore::write_results(table, out);
  if (!explore::all_agree(table)) context.exit_code = kCheckFailed;

  if (context.json) {
    fmt::print("{}\n", explore::to_json(table));
    return;
  }
  if (context.quiet) return;
  print_table(table);
  print_verdict(table);
  if (context.exit_code != kDone) {
    for (const explore::ResultRow& row : table.results)
      if (!row.report.agree || !not_compared(row.report).empty())
        fmt::print("MISMATCH {}: {}: {}\n", table.points[row.point].name, row.report.name,
                   row.report.first_mismatch.empty() ? not_compared(row.report)
                                                     : row.report.first_mismatch);
  }
  fmt::print("wrote {}, results.json, results.csv, points.csv and {} units\n",
             (out / "report.html").string(), units.size());
}

}  // namespace

void add_compare(CLI::App& program, Context& context) {
  auto arguments = std::make_shared<CompareArguments>();
  CLI::App* command =
      program.add_subcommand("compare", "Compare design points on a trace, with a report");
  add_designs(*command, arguments->designs, "Run every point on this machine");
  command->add_option("--trace", arguments->trace, "Folder of the trace")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--out", arguments->out,
                   "Folder for report.html, results.json, results.csv, points.csv and units/")
      ->required()
      ->type_name("DIR");
  command->add_option("--engine", arguments->engine, "fast, systemc, rtl or all")
      ->capture_default_str()
      ->type_name("ENGINE");
  command->add_option("--gemm", arguments->gemms, "Only this product of the trace; may be repeated")
      ->type_name("NAME");
  command->add_flag("--synth", arguments->synth,
                    "Also synthesise each unit (Yosys, ABC, OpenSTA on OSU 0.18 um)");
  command->add_flag("--energy", arguments->energy,
                    "Also pJ/MAC of each unit on the trace's data (as blockdot energy; Yosys, ABC, "
                    "Verilator)");
  command->add_flag("--no-cache", arguments->no_cache, "Neither read nor keep earlier results");
  command->add_option("--jobs", arguments->jobs, "Replays at a time (default: all cores)")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  command->footer(examples(
      {"blockdot compare explore/designs/quickstart.toml --trace sim/trace/data --out out",
       "blockdot compare sweep.toml --trace traces/run1 --out out --synth --energy",
       "blockdot compare sweep.toml --trace traces/run1 --out out --machine 'rows=8 cols=8'",
       "blockdot compare sweep.toml --trace traces/run1 --out out --engine all --json"}));
  command->callback([arguments, &context] { run(*arguments, context); });
}

}  // namespace blockdot::cli
