// blockdot sim: a trace through the units of a design file.
#include <fmt/core.h>

#include <cmath>
#include <limits>
#include <thread>

#include "cli/command.h"
#include "cli/progress.h"
#include "explore/compare.h"
#include "explore/design.h"
#include "explore/report.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "sim/replay/replay.h"

namespace blockdot::cli {

namespace {

struct SimArguments {
  Designs designs;
  std::string trace, engine = "fast", json_file, html, timeline, vcd, fst, wave_window;
  std::vector<std::string> gemms;
  int jobs = 0;
  double input_stalls = 0, output_stalls = 0;
  std::uint64_t stall_seed = 1;
};

std::string decibel(double value) {
  return std::isfinite(value) ? fmt::format("{:.2f}", value) : (value > 0 ? "exact" : "-");
}

/// What was compared with what: an engine alone proves nothing.
std::string verdict(const sim::SimReport& report, bool stalls) {
  const std::string compared = fmt::format(
      "{} values{} compared", report.checked(),
      report.handshakes() > 0 ? fmt::format(" and {} handshakes of the RTL", report.handshakes())
                              : "");
  if (!report.agree())
    return fmt::format("{}, {} MISMATCHES: the engines do not agree", compared,
                       report.mismatches());
  switch (report.engine) {
    case sim::Engine::kFast:
      return "nothing compared; --engine all does";
    case sim::Engine::kSystemc:
      return compared + ", 0 mismatches; --engine all compares the RTL";
    case sim::Engine::kRtl:
      return compared + ", 0 mismatches between the RTL and the model";
    case sim::Engine::kAll:
      return compared + ", 0 mismatches, all engines agree in every bit" +
             (stalls ? " (cycles of stalled runs are not compared)" : " and cycle");
  }
  BLOCKDOT_CHECK(false, "engine");
}

/// Where the cycles and bytes of a machine went: by product, layer, role and step.
void print_machine(const sim::SimReport& report) {
  if (report.machine.empty()) return;
  std::vector<std::pair<std::string, const sim::MachineReport*>> rows;
  for (const sim::GemmReport& gemm : report.gemms) rows.emplace_back(gemm.name, &*gemm.machine);
  const std::vector<sim::SimReport::MachineGroup> groups = report.machine_groups();
  for (const sim::SimReport::MachineGroup& group : groups)
    if (group.by == "all")
      rows.emplace_back("all", &group.report);
    else if (group.report.products > 1)
      rows.emplace_back(group.by + " " + group.key, &group.report);

  fmt::print("  machine: {}\n", report.machine);
  fmt::print("  {:<38} {:>10} {:>6} {:>9} {:>7} {:>9} {:<9}", "", "cycles", "util", "GMAC/s",
             "MAC/B", "roofline", "wall");
  for (const char* cause : {"comp%", "fill%", "load%", "bank%", "store%", "back%", "drain%"})
    fmt::print(" {:>6}", cause);
  fmt::print("\n");
  for (const auto& [name, r] : rows) {
    fmt::print("  {:<38} {:>10} {:>5.1f}% {:>9.4g} {:>7.3g} {:>9.4g} {:<9}", name, r->count.cycles,
               100 * r->utilisation(), r->gmac_per_s(), r->intensity(), r->bound(),
               to_text(r->wall()));
    for (const sim::NamedCount& part : r->cycles_by_cause())
      fmt::print(" {:>6.1f}",
                 100 * static_cast<double>(part.value) / static_cast<double>(r->count.cycles));
    fmt::print("\n");
  }
  fmt::print("  {:<38} {:>11} {:>11} {:>11} {:>10} {:>12} {:>12} {:>12}\n", "bytes", "DRAM a",
             "DRAM b", "DRAM c", "scales", "SRAM read", "written", "partial sums");
  for (const auto& [name, r] : rows)
    fmt::print("  {:<38} {:>11} {:>11} {:>11} {:>10} {:>12} {:>12} {:>12}\n", name, r->traffic.a,
               r->traffic.b, r->traffic.c, r->traffic.scale_bits / 8, r->traffic.sram_read(),
               r->traffic.sram_written(), r->traffic.spilled);
}

void print_report(const explore::DesignPoint& point, const sim::SimReport& report, bool stalls) {
  fmt::print("{}: {}\n  {} latency {} interval {}, clock {:.3g} ns, engine {}\n", point.name,
             report.spec, report.top, report.latency, report.interval, report.clock_ns,
             sim::to_text(report.engine));
  // A machine's cycles have tables of their own, below.
  const bool cycles = report.machine.empty();
  fmt::print("  {:<38} {:>5} {:>5} {:>5}{} {:>8} {:>10} {:>9}\n", "product", "M", "N", "K",
             cycles ? fmt::format(" {:>9} {:>6} {:>8}", "cycles", "util", "GMAC/s") : "", "SNR dB",
             "cosine", "checked");
  for (const sim::GemmReport& gemm : report.gemms) {
    const std::string checked = gemm.checked() > 0 ? fmt::format("{}", gemm.checked()) : "-";
    const std::string speed = cycles ? fmt::format(" {:>9} {:>5.1f}% {:>8.3f}", gemm.cycles,
                                                   100 * gemm.utilisation, gemm.gmac_per_s)
                                     : "";
    fmt::print("  {:<38} {:>5} {:>5} {:>5}{} {:>8} {:>10.7f} {:>9}\n", gemm.name, gemm.m, gemm.n,
               gemm.k, speed, decibel(gemm.fp64.snr_db), gemm.fp64.cosine, checked);
    std::int64_t results = gemm.m * gemm.n;
    if (gemm.fp64.compared < results)
      fmt::print(
          "    {} of {} results are NaN or Inf, or their reference is: left out of SNR and "
          "cosine\n",
          results - gemm.fp64.compared, results);
    if (stalls) {
      std::string taken;
      for (const sim::EngineRun& run : gemm.engines)
        if (run.engine != sim::Engine::kFast)
          taken += fmt::format("{}{} {}", taken.empty() ? "" : ", ", sim::to_text(run.engine),
                               run.cycles);
      fmt::print("    cycles with stalls: {}\n", taken);
    }
    if (!gemm.first_mismatch.empty()) fmt::print("    MISMATCH {}\n", gemm.first_mismatch);
  }
  print_machine(report);
  fmt::print("  {} {}: {}\n\n", report.gemms.size(),
             report.gemms.size() == 1 ? "product" : "products", verdict(report, stalls));
}

/// What one product on one machine is needed for.
void require_one_product(const char* option, const std::string& file, std::size_t products,
                         const std::vector<explore::DesignPoint>& points) {
  if (products != 1 || points.size() != 1 || !points[0].machine)
    throw ConfigError(
        "{} = {}: needs one product, one design point and a machine, not {}, {} and {}; choose "
        "with --gemm, --point and --machine 'rows=4 cols=4'",
        option, file, products, points.size(), points[0].machine ? "one" : "none");
  check_writable(file);
}

std::optional<sim::Wave> wave_of(const SimArguments& arguments) {
  if (!arguments.vcd.empty() && !arguments.fst.empty())
    throw ConfigError("--vcd = {}, --fst = {}: one wave at a time", arguments.vcd, arguments.fst);
  sim::Wave wave;
  wave.format = arguments.fst.empty() ? sim::WaveFormat::kVcd : sim::WaveFormat::kFst;
  wave.file = arguments.fst.empty() ? arguments.vcd : arguments.fst;
  if (!arguments.wave_window.empty()) sim::parse_wave_window(arguments.wave_window, wave);
  if (!wave.file.empty()) return wave;
  if (!arguments.wave_window.empty())
    throw ConfigError("--wave-window = {}: of no wave; add --vcd FILE or --fst FILE",
                      arguments.wave_window);
  return {};
}

/// The timeline of the one product that was asked for.
std::string timeline_text(const explore::DesignPoint& point, const sim::MachineDesign& design,
                          const sim::GemmInfo& gemm) {
  const sim::Schedule schedule = make_schedule(design.machine, design.timing, design.sum_width,
                                               point.spec, gemm.m, gemm.n, gemm.k);
  return timeline_json(schedule, gemm.name);
}

void check_stalls(const SimArguments& arguments, sim::Engine engine) {
  const std::string given = arguments.input_stalls > 0
                                ? fmt::format("--input-stalls = {}", arguments.input_stalls)
                                : fmt::format("--output-stalls = {}", arguments.output_stalls);
  if (engine == sim::Engine::kFast)
    throw ConfigError("{}: engine = fast moves nothing; must be systemc, rtl or all", given);
  if (!arguments.timeline.empty())
    throw ConfigError(
        "{}: --timeline = {} shows the closed form, which has no stalls; leave one out", given,
        arguments.timeline);
}

/// A point's unit and how it is replayed.
struct Run {
  const explore::DesignPoint& point;
  rtl_gen::Unit unit;
  sim::ReplayOptions options;
};

Run make_run(const explore::DesignPoint& point, sim::Engine engine, const SimArguments& arguments,
             const std::optional<sim::Wave>& wave) {
  Run run{point, explore::generate_unit(point), {}};
  sim::ReplayOptions& options = run.options;
  options.quantize = point.quantize;
  options.seed = point.quantize.seed;
  options.clock_ns = point.arch.clock_ns;
  options.jobs = arguments.jobs > 0
                     ? arguments.jobs
                     : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  options.input_stalls = arguments.input_stalls;
  options.output_stalls = arguments.output_stalls;
  options.stall_seed = arguments.stall_seed;
  options.machine = design_machine(point, engine);
  options.wave = wave;
  return run;
}

void run(const SimArguments& arguments, Context& context) {
  const explore::DesignFile designs = read_designs(arguments.designs);
  sim::Engine engine = sim::parse_engine(arguments.engine);
  const bool stalls = arguments.input_stalls > 0 || arguments.output_stalls > 0;
  if (stalls) check_stalls(arguments, engine);
  sim::TraceReader trace(arguments.trace);
  std::vector<std::size_t> chosen = choose_gemms(trace, arguments.gemms);

  const std::size_t products = chosen.empty() ? trace.size() : chosen.size();
  if (products == 1 && chosen.empty()) chosen = {0};
  if (!arguments.timeline.empty())
    require_one_product("--timeline", arguments.timeline, products, designs.points);
  check_distinct(
      {arguments.json_file, arguments.html, arguments.timeline, arguments.vcd, arguments.fst});
  const std::optional<sim::Wave> wave = wave_of(arguments);
  if (wave)
    require_one_product(arguments.fst.empty() ? "--vcd" : "--fst", wave->file.string(), products,
                        designs.points);

  const JsonOutput output{arguments.json_file, context.json};
  // What cannot be written in the end is said before the work.
  output.check();
  if (!arguments.html.empty()) check_writable(arguments.html);
  std::vector<Run> runs;
  for (const explore::DesignPoint& point : designs.points) {
    runs.push_back(make_run(point, engine, arguments, wave));
    explore::in_point(point, [&] {
      check_replay(trace, chosen, point.spec, runs.back().unit, engine, runs.back().options);
    });
  }
  std::string timeline;
  if (!arguments.timeline.empty())
    timeline = timeline_text(runs[0].point, *runs[0].options.machine, trace.gemms()[chosen[0]]);

  std::vector<std::size_t> shown = chosen;  // on the page
  if (shown.empty())
    for (std::size_t i = 0; i < trace.size(); ++i) shown.push_back(i);
  explore::ResultTable table = explore::start_table(designs.title, "blockdot " BLOCKDOT_VERSION,
                                                    engine, arguments.trace, trace, shown);
  nlohmann::ordered_json reports = nlohmann::ordered_json::array();
  for (Run& run : runs) {
    const explore::DesignPoint& point = run.point;
    Progress bar(point.name, context.quiet);
    bar.update(0, 1, "starting");
    run.options.progress = [&](const sim::Progress& progress) {
      bar.update(static_cast<double>(progress.macs_done), static_cast<double>(progress.macs_total),
                 progress.gemm);
    };
    sim::SimReport report =
        sim::replay_trace(trace, chosen, point.spec, run.unit, engine, run.options);
    bar.clear();
    if (!report.agree()) context.exit_code = kCheckFailed;
    nlohmann::ordered_json json = sim::to_json(report);
    json["name"] = point.name;
    reports.push_back(json);
    if (!output.to_stdout() && !context.quiet) print_report(point, report, stalls);
    table.points.push_back(point_row(point, run.unit, run.options.machine));
    table.points.back().clock_ns = report.clock_ns;
    for (std::size_t j = 0; j < report.gemms.size(); ++j)
      table.results.push_back({table.points.size() - 1, j, std::move(report.gemms[j])});
  }
  if (!timeline.empty()) write_file_atomic(arguments.timeline, timeline);
  const nlohmann::ordered_json document = {{"schema", sim::kSimSchema}, {"runs", reports}};
  if (!arguments.html.empty()) write_file_atomic(arguments.html, report_html(table));
  output.write(document);
}

}  // namespace

void add_sim(CLI::App& program, Context& context) {
  auto arguments = std::make_shared<SimArguments>();
  CLI::App* command = program.add_subcommand("sim", "Replay a training trace through units");
  add_designs(*command, arguments->designs, "Run every point on this machine");
  command->add_option("--trace", arguments->trace, "Folder of the trace")
      ->required()
      ->type_name("DIR");
  command
      ->add_option(
          "--engine", arguments->engine,
          "fast (closed form), systemc (every cycle), rtl (Verilated, in lock-step) or all")
      ->capture_default_str()
      ->type_name("ENGINE");
  command->add_option("--gemm", arguments->gemms, "Only this product of the trace; may be repeated")
      ->type_name("NAME");
  command
      ->add_option("--json", arguments->json_file,
                   "Write the reports to this file as JSON; - is standard output, as is `blockdot "
                   "--json sim`")
      ->type_name("FILE");
  command
      ->add_option("--html", arguments->html,
                   "Write the reports to this file as a page with charts, as compare does")
      ->type_name("FILE");
  command
      ->add_option("--timeline", arguments->timeline,
                   "Write when one product's loads, tiles and stores happen on its machine, for "
                   "Perfetto or chrome://tracing")
      ->type_name("FILE");
  command
      ->add_option("--vcd", arguments->vcd,
                   "Write a wave of one product on its machine as VCD: every signal of the array's "
                   "RTL (--engine rtl, all), or the machine's handshakes (systemc)")
      ->type_name("FILE");
  command->add_option("--fst", arguments->fst, "The same as FST, of the RTL")->type_name("FILE");
  command
      ->add_option("--wave-window", arguments->wave_window,
                   "Cycles of the wave, FROM up to TO without it (default: 0:1000)")
      ->type_name("FROM:TO");
  command->add_option("--jobs", arguments->jobs, "Products at a time (default: all cores)")
      ->check(CLI::Range(1, 1024))
      ->type_name("N");
  command
      ->add_option("--input-stalls", arguments->input_stalls,
                   "Share of cycles in which no beat is offered: values may not change; on a "
                   "machine every channel has the larger of the two shares")
      ->check(CLI::Range(0.0, 0.99))
      ->capture_default_str()
      ->type_name("P");
  command
      ->add_option("--output-stalls", arguments->output_stalls,
                   "Share of cycles in which no result is taken")
      ->check(CLI::Range(0.0, 0.99))
      ->capture_default_str()
      ->type_name("P");
  command->add_option("--stall-seed", arguments->stall_seed, "Seed of the stalls")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str()
      ->type_name("SEED");
  command->footer(examples(
      {"blockdot sim explore/designs/quickstart.toml --trace sim/trace/data",
       "blockdot sim design.toml --trace run1 --engine all --json out.json --html out.html",
       "blockdot sim design.toml --trace run1 --gemm lm/step0000/head/fprop --engine rtl",
       "blockdot sim design.toml --trace run1 --machine 'rows=4 cols=4 bandwidth=32' --engine all",
       "blockdot sim one.toml --trace run1 --gemm G --machine rows=4 --engine rtl --fst a.fst"}));
  command->callback([arguments, &context] { run(*arguments, context); });
}

}  // namespace blockdot::cli
