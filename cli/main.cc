// blockdot: argument parsing and printing. The work is done in the rooms below.
#include <fmt/core.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <string>
#include <vector>

#include "cli/command.h"
#include "formats/error.h"
#include "formats/interrupt.h"
#include "formats/text.h"

namespace blockdot::cli {
namespace {

void start_logging(bool verbose) {
  auto logger = spdlog::stderr_color_mt("blockdot");
  logger->set_pattern("%^%l%$: %v");
  logger->set_level(verbose ? spdlog::level::debug : spdlog::level::warn);
  spdlog::set_default_logger(logger);
}

// The first word must be a command: said with the nearest, which the parser would not.
void check_command(const CLI::App& program, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word.starts_with("-")) continue;
    std::vector<std::string> names;
    for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; }))
      names.push_back(command->get_name());
    if (std::find(names.begin(), names.end(), word) == names.end())
      throw ConfigError("'{}' is no command; `blockdot --help` lists them{}", word,
                        formats::did_you_mean(word, names));
    return;
  }
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
  add_synth(program, context);
  add_energy(program, context);
  add_prove(program, context);
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
      "\n\nExit status: 0 done, 1 a check failed, 2 bad input, 128 + signal interrupted.\n"
      "`blockdot COMMAND --help` shows a command's options and examples.");
  try {
    check_command(program, argc, argv);
    program.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return program.exit(success);  // --help, --version
  } catch (const CLI::ParseError& error) {
    std::string command = "blockdot";
    for (const CLI::App* chosen : program.get_subcommands()) command += " " + chosen->get_name();
    fmt::print(stderr, "blockdot: {}; see `{} --help`\n", error.what(), command);
    return kBadInput;
  }
  return context.exit_code;
}

}  // namespace
}  // namespace blockdot::cli

int main(int argc, char** argv) {
  blockdot::interrupt::watch();
  try {
    const int code = blockdot::cli::run(argc, argv);
    blockdot::interrupt::settle();
    return code;
  } catch (const blockdot::ConfigError& error) {
    blockdot::interrupt::settle();
    fmt::print(stderr, "blockdot: {}\n", error.what());
    return blockdot::cli::kBadInput;
  } catch (const std::exception& error) {
    blockdot::interrupt::settle();
    fmt::print(stderr,
               "blockdot: internal error: {}\nThis is a bug in blockdot; please report it.\n",
               error.what());
    return 70;  // EX_SOFTWARE of sysexits.h: neither a failed check nor bad input
  }
}
