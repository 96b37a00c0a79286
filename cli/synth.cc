// blockdot synth: the units of a design file through the fixed synthesis flow.
#include "explore/synth.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <vector>

#include "cli/command.h"
#include "cli/progress.h"
#include "explore/design.h"
#include "formats/error.h"
#include "formats/file_io.h"

namespace blockdot::cli {

namespace {

namespace fs = std::filesystem;

struct SynthArguments {
  Designs designs;
  std::string out;
  bool no_cache = false;
};

std::string value_of(const explore::Figures& figures, const char* name) {
  auto found = figures.find(name);
  return found == figures.end() ? "-" : fmt::format("{:.6g}", found->second.value);
}

// How far the estimate is from the measurement, of it; nothing where one of the two is not known.
std::optional<double> error_of(const rtl_gen::Figure& estimate, const explore::Figures& figures,
                               const char* name) {
  auto found = figures.find(name);
  if (found == figures.end() || estimate.provenance.empty() || found->second.value == 0) return {};
  return estimate.value / found->second.value - 1;
}

std::string percent(std::optional<double> error) {
  return error ? fmt::format("{:+.1f} %", 100 * *error) : "-";
}

// Of several estimates: the median and the worst error, either sign.
std::string summary(std::vector<double> errors) {
  for (double& error : errors) error = std::fabs(error);
  std::sort(errors.begin(), errors.end());
  if (errors.empty()) return "-";
  double median = (errors[(errors.size() - 1) / 2] + errors[errors.size() / 2]) / 2;
  return fmt::format("median {:.1f} %, worst {:.1f} %", 100 * median, 100 * errors.back());
}

void run(const SynthArguments& arguments, Context& context) {
  const explore::DesignFile designs = read_designs(arguments.designs);
  fs::path out = arguments.out;
  if (!arguments.out.empty())
    for (const fs::path& folder : point_folders(designs, out)) check_writable(folder / "unit.json");
  explore::ResultStore store =
      arguments.no_cache ? explore::ResultStore({}) : explore::ResultStore::at_default();
  nlohmann::json units = nlohmann::json::array();
  bool text = !context.json && !context.quiet;
  if (text)
    fmt::print("{:<24} {:>12} {:>12} {:>9} {:>9} {:>9} {:>9}  {}\n", "point", "area est.",
               "area synth.", "error", "ns est.", "ns synth.", "error", "unit of area");
  Progress bar("synthesising", context.quiet || context.json);
  double done = 0;
  std::vector<rtl_gen::Design> made;  // all, before any is synthesised
  for (const explore::DesignPoint& point : designs.points) {
    made.push_back(explore::generate_design(point));
    explore::require_synthesis_tools(point.arch.technology);
  }
  struct Errors {
    std::vector<double> area, delay;
  };
  std::map<std::string, Errors> errors;  // by technology
  for (std::size_t i = 0; i < made.size(); ++i) {
    const explore::DesignPoint& point = designs.points[i];
    const rtl_gen::Design& design = made[i];
    bar.update(done++, static_cast<double>(made.size()), point.name);
    explore::Figures figures = explore::synthesise(design, point.arch.technology, store);
    nlohmann::json json = explore::unit_json(design.json, figures);
    if (!arguments.out.empty()) {
      fs::path folder = out / folder_name(point.name);
      for (const rtl_gen::ModuleFile& file : design.files)
        write_file_atomic(folder / design.file_of(file), file.text);
      write_file_atomic(folder / "unit.json", json.dump(2) + "\n");
    }
    json["name"] = point.name;
    units.push_back(json);
    bar.clear();
    const rtl_gen::UnitReport& r = design.report;
    std::optional<double> area = error_of(r.area, figures, "area");
    std::optional<double> delay = error_of(r.critical_path_ns, figures, "critical_path_ns");
    Errors& of_technology = errors[std::string(to_text(point.arch.technology))];
    if (area) of_technology.area.push_back(*area);
    if (delay) of_technology.delay.push_back(*delay);
    if (!text) continue;
    fmt::print("{:<24} {:>12.6g} {:>12} {:>9} {:>9.3g} {:>9} {:>9}  {}\n", point.name, r.area.value,
               value_of(figures, "area"), percent(area), r.critical_path_ns.value,
               value_of(figures, "critical_path_ns"), percent(delay), r.area.unit);
  }
  if (context.json) print_json({{"schema", "blockdot.synth/1"}, {"units", units}});
  if (text && units.size() > 1) {
    for (const auto& [technology, e] : errors)
      fmt::print("error of the estimates, {}, {} units: area {}; delay {}\n", technology,
                 std::max(e.area.size(), e.delay.size()), summary(e.area), summary(e.delay));
  }
  if (text && !arguments.out.empty())
    fmt::print("wrote Verilog and unit.json of {} units under {}\n", units.size(), out.string());
}

}  // namespace

void add_synth(CLI::App& program, Context& context) {
  auto arguments = std::make_shared<SynthArguments>();
  CLI::App* command = program.add_subcommand(
      "synth", "Synthesise the units of a design file, and compare with the estimates");
  add_designs(*command, arguments->designs);
  command
      ->add_option("--out", arguments->out,
                   "Folder for Verilog and unit.json, estimates and measurements, of each point")
      ->type_name("DIR");
  command->add_flag("--no-cache", arguments->no_cache, "Neither read nor keep earlier results");
  command->footer(
      examples({"blockdot synth explore/designs/quickstart.toml",
                "blockdot synth explore/designs/quickstart.toml --point MXINT8 --out out"}) +
      "\n\nThe flow is scripts/measure_unit.sh: Yosys, ABC and OpenSTA on the OSU 0.18 um "
      "library\n(technology osu018 and generic), Yosys for UltraScale+ LUTs (xilinx).");
  command->callback([arguments, &context] { run(*arguments, context); });
}

}  // namespace blockdot::cli
