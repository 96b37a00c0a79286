// blockdot prove: what can be shown of a design's units, and how surely.
#include "explore/prove.h"

#include <fmt/core.h>

#include "cli/command.h"
#include "cli/progress.h"
#include "formats/error.h"

namespace blockdot::cli {

namespace {

struct ProveArguments {
  Designs designs;
  explore::ProveOptions options;
};

void run(const ProveArguments& arguments, Context& context) {
  const explore::DesignFile designs = read_designs(arguments.designs);
  nlohmann::json points = nlohmann::json::array();
  bool text = !context.json && !context.quiet;
  for (const explore::DesignPoint& point : designs.points) {
    Progress bar(point.name, context.quiet || context.json);
    explore::ProveOptions options = arguments.options;
    options.progress = [&](std::string_view step, double done) {
      bar.update(done, 1, std::string(step));
    };
    const std::vector<explore::ProofStep> steps =
        explore::in_point(point, [&] { return explore::prove(point, options); });
    bar.clear();
    nlohmann::json list = nlohmann::json::array();
    const std::string spec = to_text(explore::design_spec(point));
    if (text) fmt::print("{}: {}\n", point.name, spec);
    for (const explore::ProofStep& step : steps) {
      if (step.verdict == explore::Verdict::kFailed) context.exit_code = kCheckFailed;
      list.push_back({{"step", step.what},
                      {"verdict", to_text(step.verdict)},
                      {"how", step.how},
                      {"cases", step.cases},
                      {"seconds", step.seconds}});
      if (!text) continue;
      std::string cases = step.cases > 0 ? fmt::format("{} cases; ", step.cases) : "";
      fmt::print("  {:<10} {:<8} {}{} ({:.1f} s)\n", step.what, to_text(step.verdict), cases,
                 step.how, step.seconds);
    }
    points.push_back({{"name", point.name}, {"spec", spec}, {"steps", list}});
  }
  if (context.json) print_json({{"schema", "blockdot.prove/1"}, {"points", points}});
}

}  // namespace

void add_prove(CLI::App& program, Context& context) {
  auto arguments = std::make_shared<ProveArguments>();
  explore::ProveOptions& options = arguments->options;
  CLI::App* command = program.add_subcommand(
      "prove", "Prove what can be proved of a design's units, sample the rest, say which is which");
  add_designs(*command, arguments->designs);
  command
      ->add_option(
          "--beats", options.beats,
          "Sampled beats of the whole unit, at least; left out: 200000 Verilated, 2000 in Icarus")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40))
      ->type_name("N");
  command
      ->add_option("--solver-seconds", options.solver_seconds,
                   "Time for the equivalence checker, a point")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str()
      ->type_name("S");
  command->add_flag("--netlist", options.netlist,
                    "Also map the unit to OSU 0.18 um and simulate its gates");
  add_seed(*command, options.seed, "Seed of the samples");
  command->footer(
      examples({"blockdot prove explore/designs/quickstart.toml --point 'MXFP4 E2M1'",
                "blockdot prove explore/designs/quickstart.toml --beats 10000000 --netlist"}) +
      "\n\nproved: for all inputs; sampled: no difference in so many cases; open: undecided.\n"
      "Exit status 1 where a step FAILED.");
  command->callback([arguments, &context] { run(*arguments, context); });
}

}  // namespace blockdot::cli
