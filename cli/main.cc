// blockdot: argument parsing and printing. The work is done in the rooms below.
#include <fmt/core.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <exception>

#include "cli/command.h"
#include "formats/error.h"

namespace blockdot::cli {
namespace {

void start_logging(bool verbose) {
  auto logger = spdlog::stderr_color_mt("blockdot");
  logger->set_pattern("%^%l%$: %v");
  logger->set_level(verbose ? spdlog::level::debug : spdlog::level::warn);
  spdlog::set_default_logger(logger);
}

int run(int argc, char** argv) {
  Context context;
  CLI::App program(
      "Generates dot-product hardware for block-scaled number formats, and simulates it\n"
      "value for value and cycle for cycle.",
      "blockdot");
  program.set_version_flag("--version", "blockdot " BLOCKDOT_VERSION);
  program.require_subcommand(1);
  program.fallthrough();
  program.get_formatter()->column_width(34);
  bool verbose = false;
  program.add_flag("--json", context.json, "Print one JSON document instead of text");
  program.add_flag("-q,--quiet", context.quiet, "No progress and no summary");
  program.add_flag("-v,--verbose", verbose, "Say what is being done, on standard error");
  program.parse_complete_callback([&] { start_logging(verbose); });
  add_gen(program, context);
  add_sim(program, context);
  add_compare(program, context);
  add_formats(program, context);
  add_quantize(program, context);
  add_gemm(program, context);
  add_trace(program, context);
  add_doctor(program, context);
  add_completion(program, context);
  add_man(program, context);
  program.footer(
      examples(
          {"blockdot gen --a mxfp8_e4m3 --lanes 32 --out unit/",
           "blockdot sim design.toml --trace sim/trace/data --engine all",
           "blockdot compare explore/designs/quickstart.toml --trace sim/trace/data --out out"}) +
      "\n\nExit status: 0 done, 1 a check failed, 2 bad input.\n"
      "`blockdot COMMAND --help` shows a command's options and examples.");
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return program.exit(success);  // --help, --version
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "blockdot: {}; see `blockdot --help`\n", error.what());
    return kBadInput;
  }
  return context.exit_code;
}

}  // namespace
}  // namespace blockdot::cli

int main(int argc, char** argv) {
  try {
    return blockdot::cli::run(argc, argv);
  } catch (const blockdot::ConfigError& error) {
    fmt::print(stderr, "blockdot: {}\n", error.what());
    return blockdot::cli::kBadInput;
  } catch (const std::exception& error) {
    fmt::print(stderr,
               "blockdot: internal error: {}\nThis is a bug in blockdot; please report it.\n",
               error.what());
    return 70;  // EX_SOFTWARE of sysexits.h: neither a failed check nor bad input
  }
}
