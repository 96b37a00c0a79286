// blockdot energy: what the units of a design file spend on the data of a trace.
#include "explore/energy.h"

#include <fmt/core.h>

#include <filesystem>

#include "cli/command.h"
#include "cli/progress.h"
#include "explore/synth.h"
#include "formats/error.h"
#include "formats/file_io.h"

namespace blockdot::cli {

namespace {

namespace fs = std::filesystem;

struct EnergyArguments {
  Designs designs;
  std::string trace, json_file, saif;
  std::vector<std::string> gemms;
  std::int64_t beats = 2048;
  bool no_cache = false;
};

void print_report(const explore::EnergyReport& report) {
  fmt::print(
      "{}: {} cells, {} of them flip-flops, {} nets; {} at {} V, clock {:.3g} ns\n"
      "  {:<38} {:>7} {:>8} {:>9} {:>9}   {:>7} {:>7} {:>7} {:>7} {:>7}\n",
      report.point, report.cells, report.registers, report.nets, report.library, report.voltage,
      report.clock_ns, "stimulus", "beats", "toggles", "pJ/beat", "pJ/MAC", "inputs", "logic",
      "regs", "clock", "leak");
  for (const explore::StimulusEnergy& s : report.stimuli) {
    double total = s.energy.total() / 100;
    fmt::print(
        "  {:<38} {:>7} {:>8.4f} {:>9.2f} {:>9.3f}   {:>6.1f}% {:>6.1f}% {:>6.1f}% {:>6.1f}% "
        "{:>6.2f}%\n",
        s.name, s.beats, s.toggle_rate, s.per_beat(), s.per_product(), s.energy.inputs / total,
        s.energy.logic / total, s.energy.registers / total, s.energy.clock / total,
        s.energy.leakage / total);
  }
  bool head = true;
  for (const explore::StimulusEnergy& s : report.stimuli) {
    if (!s.memory) continue;
    if (head)
      fmt::print("  {:<38} {:>16} {:>16}\n", "memories, 45 nm", "SRAM pJ/MAC", "DRAM pJ/MAC");
    head = false;
    auto macs = static_cast<double>(s.macs);
    fmt::print("  {:<38} {:>16.3f} {:>16.3f}\n", s.name, s.memory->sram / macs,
               s.memory->dram / macs);
  }
  fmt::print("\n");
}

void run(const EnergyArguments& arguments, Context& context) {
  const explore::DesignFile designs = read_designs(arguments.designs);
  sim::TraceReader trace(arguments.trace);
  const JsonOutput output{arguments.json_file, context.json};
  output.check();
  if (!arguments.saif.empty())
    for (const fs::path& folder : point_folders(designs, arguments.saif))
      check_writable(folder / "zeros.saif");
  std::vector<std::size_t> chosen = choose_gemms(trace, arguments.gemms);
  if (chosen.empty())
    for (std::size_t i = 0; i < trace.size(); ++i) chosen.push_back(i);
  for (const explore::DesignPoint& point : designs.points) explore::check_energy(point);
  for (const explore::DesignPoint& point : designs.points) {
    const rtl_gen::Unit unit = explore::generate_unit(point);
    sim::ReplayOptions replay;
    replay.quantize = point.quantize;
    replay.machine = design_machine(point, sim::Engine::kFast);
    explore::in_point(
        point, [&] { check_replay(trace, chosen, point.spec, unit, sim::Engine::kFast, replay); });
  }
  std::vector<sim::GemmTrace> products;
  for (std::size_t index : chosen) products.push_back(trace.load(index));

  explore::EnergyOptions options;
  options.beats = arguments.beats;
  if (!arguments.no_cache) options.store = explore::ResultStore::at_default();
  Progress bar("energy", context.quiet || output.to_stdout());
  double done = 0;
  auto total = static_cast<double>(designs.points.size() * (products.size() + 4));
  options.progress = [&](const std::string& what) { bar.update(done++, total, what); };
  nlohmann::ordered_json reports = nlohmann::ordered_json::array();
  for (const explore::DesignPoint& point : designs.points) {
    explore::EnergyReport report = explore::measure_energy(point, products, options);
    bar.clear();
    reports.push_back(explore::to_json(report));
    if (!output.to_stdout() && !context.quiet) print_report(report);
    if (arguments.saif.empty()) continue;
    fs::path folder = fs::path(arguments.saif) / folder_name(point.name);
    for (const explore::StimulusEnergy& s : report.stimuli)
      write_file_atomic(folder / (folder_name(s.name) + ".saif"),
                        sim::to_saif(s.activity, report.gates, report.clock_ns));
  }
  output.write({{"schema", "blockdot.energy/1"}, {"units", reports}});
}

}  // namespace

void add_energy(CLI::App& program, Context& context) {
  auto arguments = std::make_shared<EnergyArguments>();
  CLI::App* command = program.add_subcommand(
      "energy", "Energy of units on the data of a trace, from the transitions of their gates");
  add_designs(*command, arguments->designs, "Also the memories of every point on this machine");
  command->add_option("--trace", arguments->trace, "Folder of the trace")
      ->required()
      ->type_name("DIR");
  command->add_option("--gemm", arguments->gemms, "Only this product of the trace; may be repeated")
      ->type_name("NAME");
  command
      ->add_option("--beats", arguments->beats,
                   "Beats to count of each product, about: whole results at four places of it")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40))
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option(
          "--json", arguments->json_file,
          "Write the report to this file as JSON; - is standard output, as is `blockdot --json "
          "energy`")
      ->type_name("FILE");
  command
      ->add_option("--saif", arguments->saif,
                   "Folder for the counts of each stimulus as SAIF, for other tools")
      ->type_name("DIR");
  command->add_flag("--no-cache", arguments->no_cache, "Neither read nor keep earlier netlists");
  command->footer(
      examples({"blockdot energy explore/designs/quickstart.toml --trace sim/trace/data --point "
                "\"MXFP4 E2M1\"",
                "blockdot energy design.toml --trace traces/run1 --gemm lm/step0000/head/fprop "
                "--saif out"}) +
      "\n\nUnits are mapped to the OSU 0.18 um library (Yosys, ABC); the gates run compiled "
      "(Verilator).\nZeros and N(0, 1) of the first product's shape stand beside the trace. What "
      "is left out:\nwires, glitches within a cycle; without --machine also memories "
      "(docs/energy.md).");
  command->callback([arguments, &context] { run(*arguments, context); });
}

}  // namespace blockdot::cli
