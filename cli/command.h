// What the commands share: how they are registered, how they print, how they end.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "explore/design.h"
#include "sim/trace/gemm_trace.h"

namespace blockdot::cli {

/// Exit codes of the program.
inline constexpr int kDone = 0;         // everything asked for is done and right
inline constexpr int kCheckFailed = 1;  // a check failed: a mismatch, a missing tool in `doctor`
inline constexpr int kBadInput = 2;     // the request cannot be met; one line says why

/// Options of every command, and what the chosen one returned.
struct Context {
  bool json = false;   // print one JSON document on standard output and nothing else
  bool quiet = false;  // no progress, no summary
  int exit_code = kDone;
};

// Each adds its command to the program; the command runs when the parser meets it.
void add_gen(CLI::App& program, Context& context);
void add_sim(CLI::App& program, Context& context);
void add_compare(CLI::App& program, Context& context);
void add_energy(CLI::App& program, Context& context);
void add_synth(CLI::App& program, Context& context);
void add_prove(CLI::App& program, Context& context);
void add_formats(CLI::App& program, Context& context);
void add_quantize(CLI::App& program, Context& context);
void add_gemm(CLI::App& program, Context& context);
void add_trace(CLI::App& program, Context& context);
void add_doctor(CLI::App& program, Context& context);
void add_completion(CLI::App& program, Context& context);
void add_man(CLI::App& program, Context& context);

/// Prints a JSON document, two spaces a level, with a line end.
void print_json(const nlohmann::json& document);

/// Where a command's document goes: --json FILE, where `-` is standard output, and `blockdot
/// --json`.
struct JsonOutput {
  std::string file;
  bool print = false;  // Context::json

  bool to_file() const { return !file.empty() && file != "-"; }
  bool to_stdout() const { return print || file == "-"; }
  /// ConfigError where the file cannot be written: before the work.
  void check() const;
  void write(const nlohmann::ordered_json& document) const;
};

/// The products of these names, in their order; none: empty. ConfigError for an unknown name, and
/// for one that is given twice.
std::vector<std::size_t> choose_gemms(const sim::TraceReader& trace,
                                      const std::vector<std::string>& names);

/// ConfigError where `text` is no whole number in [0, 2^63).
std::uint64_t parse_seed(std::string_view field, std::string_view text);
/// Adds --seed with its default, read by parse_seed.
void add_seed(CLI::App& command, std::uint64_t& seed, const std::string& help);
/// ConfigError where two of these files are one; an empty name is none.
void check_distinct(const std::vector<std::string>& outputs);
/// ConfigError for a seed of 0, which an LFSR cannot leave.
void check_seed(std::uint64_t seed);

/// A folder name for a design point: what is no letter, digit, dot or dash becomes '_'.
std::string folder_name(const std::string& point);

/// What a command reads of a design file.
struct Designs {
  std::string file, point;
  std::optional<std::string> machine;  // of every point, instead of its own
};
/// Adds DESIGNS and --point, and --machine where its help is given.
void add_designs(CLI::App& command, Designs& designs, const std::string& machine_help = "");
explore::DesignFile read_designs(const Designs& designs);

/// The folders of all points under `parent`. ConfigError where two would share one.
std::vector<std::filesystem::path> point_folders(const explore::DesignFile& designs,
                                                 const std::filesystem::path& parent);

/// The common end of a command's --help: "Examples:" and the given lines, indented.
std::string examples(std::initializer_list<std::string_view> lines);

}  // namespace blockdot::cli
