#include "cli/command.h"

#include <fmt/core.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/text.h"

namespace blockdot::cli {

void print_json(const nlohmann::json& document) { fmt::print("{}\n", document.dump(2)); }

void JsonOutput::check() const {
  if (to_file()) check_writable(file);
}

void JsonOutput::write(const nlohmann::ordered_json& document) const {
  if (to_file()) write_file_atomic(file, document.dump(2) + "\n");
  if (to_stdout()) print_json(document);
}

std::vector<std::size_t> choose_gemms(const sim::TraceReader& trace,
                                      const std::vector<std::string>& names) {
  std::vector<std::size_t> chosen;
  for (const std::string& name : names) {
    const std::size_t index = trace.find(name);
    if (std::find(chosen.begin(), chosen.end(), index) != chosen.end())
      throw ConfigError("--gemm = {}: is given twice", name);
    chosen.push_back(index);
  }
  return chosen;
}

std::uint64_t parse_seed(std::string_view field, std::string_view text) {
  return static_cast<std::uint64_t>(
      formats::parse_int(field, text, 0, std::numeric_limits<std::int64_t>::max()));
}

void add_seed(CLI::App& command, std::uint64_t& seed, const std::string& help) {
  command
      .add_option_function<std::string>(
          "--seed", [&seed](const std::string& text) { seed = parse_seed("seed", text); }, help)
      ->default_str(fmt::format("{}", seed))
      ->type_name("SEED");
}

void check_distinct(const std::vector<std::string>& outputs) {
  std::set<std::filesystem::path> taken;
  for (const std::string& output : outputs)
    if (!output.empty() &&
        !taken.insert(std::filesystem::weakly_canonical(std::filesystem::absolute(output))).second)
      throw ConfigError("{}: is named for two outputs; give each its own file", output);
}

void check_seed(std::uint64_t seed) {
  if (seed == 0) throw ConfigError("seed = 0: must be at least 1, since an LFSR stays at zero");
}

std::string examples(std::initializer_list<std::string_view> lines) {
  std::string text = "Examples:";
  for (std::string_view line : lines) text += fmt::format("\n  {}", line);
  return text;
}

std::string folder_name(const std::string& point) {
  std::string name = point;
  for (char& c : name)
    if (!isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  if (name.starts_with('.')) name[0] = '_';  // neither the folder above nor a hidden one
  return name;
}

void add_designs(CLI::App& command, Designs& designs, const std::string& machine_help) {
  command.add_option("DESIGNS", designs.file, "Design file (TOML), one point or many")
      ->required()
      ->type_name("FILE");
  command.add_option("--point", designs.point, "Only the design point of this name")
      ->type_name("NAME");
  if (!machine_help.empty())
    command
        .add_option("--machine", designs.machine,
                    machine_help + ", e.g. 'rows=8 cols=8 bandwidth=32' (docs/machine.md)")
        ->type_name("FIELDS");
}

explore::DesignFile read_designs(const Designs& designs) {
  explore::DesignFile file =
      explore::only_point(explore::read_design_file(designs.file), designs.point);
  if (!designs.machine) return file;
  if (designs.machine->find_first_not_of(' ') == std::string::npos)
    throw ConfigError("machine = (nothing): must name fields, e.g. 'rows=4 cols=4'");
  for (explore::DesignPoint& point : file.points)
    point.machine = sim::parse_machine(*designs.machine);
  return file;
}

std::vector<std::filesystem::path> point_folders(const explore::DesignFile& designs,
                                                 const std::filesystem::path& parent) {
  std::vector<std::filesystem::path> folders;
  std::map<std::string, std::string> taken;
  for (const explore::DesignPoint& point : designs.points) {
    const std::string name = folder_name(point.name);
    if (const auto [other, fresh] = taken.emplace(name, point.name); !fresh)
      throw ConfigError("design points '{}' and '{}': both have the folder {}; rename one",
                        other->second, point.name, (parent / name).string());
    folders.push_back(parent / name);
  }
  return folders;
}

}  // namespace blockdot::cli
