// blockdot trace info: what a trace holds, checked.
#include <fmt/core.h>

#include "cli/command.h"
#include "sim/trace/gemm_trace.h"

namespace blockdot::cli {

namespace {

void info(const std::string& folder, const Context& context) {
  sim::TraceReader reader(folder);
  std::int64_t bytes = reader.verify();
  sim::NotFinite not_finite = reader.not_finite();
  std::int64_t macs = 0;
  for (const sim::GemmInfo& gemm : reader.gemms()) macs += gemm.m * gemm.n * gemm.k;
  if (context.json) {
    nlohmann::json gemms = nlohmann::json::array();
    for (const sim::GemmInfo& gemm : reader.gemms()) {
      nlohmann::json j = {{"name", gemm.name},
                          {"model", gemm.model},
                          {"step", gemm.step},
                          {"layer", gemm.layer},
                          {"role", sim::to_text(gemm.role)},
                          {"M", gemm.m},
                          {"N", gemm.n},
                          {"K", gemm.k},
                          {"source_dtype", gemm.source_dtype}};
      if (gemm.loss) j["loss"] = *gemm.loss;
      gemms.push_back(j);
    }
    print_json({{"schema", "blockdot.trace-info/1"},
                {"folder", folder},
                {"created_by", reader.trace().created_by},
                {"recipe", nlohmann::json::parse(reader.trace().recipe_json)},
                {"bytes_checked", bytes},
                {"macs", macs},
                {"nan", not_finite.nan},
                {"inf", not_finite.inf},
                {"gemms", gemms}});
    return;
  }
  if (context.quiet) return;
  fmt::print("{:<38} {:<6} {:>6} {:>6} {:>6} {:>10}  {}\n", "product", "role", "M", "N", "K",
             "MACs", "loss");
  for (const sim::GemmInfo& gemm : reader.gemms())
    fmt::print("{:<38} {:<6} {:>6} {:>6} {:>6} {:>10}  {}\n", gemm.name, sim::to_text(gemm.role),
               gemm.m, gemm.n, gemm.k, gemm.m * gemm.n * gemm.k,
               gemm.loss ? fmt::format("{:.4f}", *gemm.loss) : "");
  fmt::print("{} products, {:.1f} M multiply-adds, {:.1f} MB of tensors: every sha256 is right\n",
             reader.size(), static_cast<double>(macs) / 1e6, static_cast<double>(bytes) / 1e6);
  if (not_finite.nan + not_finite.inf > 0)
    fmt::print("{} values are NaN and {} are Inf: they are replayed and counted\n", not_finite.nan,
               not_finite.inf);
}

}  // namespace

void add_trace(CLI::App& program, Context& context) {
  auto folder = std::make_shared<std::string>();
  CLI::App* command = program.add_subcommand("trace", "Look at GEMM traces");
  command->require_subcommand(1);
  CLI::App* info_command =
      command->add_subcommand("info", "List the products of a trace and check its tensors");
  info_command->add_option("DIR", *folder, "Folder with manifest.json")->required();
  info_command->footer(examples({"blockdot trace info sim/trace/data",
                                 "blockdot trace info sim/trace/data --json | jq .macs"}));
  info_command->callback([folder, &context] { info(*folder, context); });
}

}  // namespace blockdot::cli
