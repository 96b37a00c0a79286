#include "explore/synth.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "explore/assets.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/text.h"
#include "sim/temporary_folder.h"

namespace blockdot::explore {
namespace {

namespace fs = std::filesystem;

bool on_path(const char* program) {
  const char* path = std::getenv("PATH");
  for (const std::string& folder : formats::split(path == nullptr ? "" : path, ':'))
    if (!folder.empty() && access((fs::path(folder) / program).c_str(), X_OK) == 0) return true;
  return false;
}

fs::path liberty() {
  const char* own = std::getenv("LIBERTY");
  return own != nullptr ? own : "/usr/share/qflow/tech/osu018/osu018_stdcells.lib";
}

// Output and exit status of a shell command.
std::pair<std::string, int> run(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw ConfigError("cannot start a shell to run synthesis");
  std::string output;
  std::array<char, 4096> buffer;
  while (std::size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) output.append(buffer.data(), n);
  return {output, pclose(pipe)};
}

// A NAND2X1 of the library, in its own area units (um^2): the unit of the generic technology.
constexpr double kNand2Area = 24;

// The figures of measure_unit.sh's JSON line, in the units of the technology's estimates.
Figures read_figures(const std::string& output, rtl_gen::Technology technology) {
  nlohmann::json measured = nlohmann::json::parse(output);
  std::string area_unit(rtl_gen::CostModel(technology).area_unit());
  Figures figures;
  auto take = [&](const char* name, const char* field, const std::string& unit, double scale) {
    figures[name] = {measured.at(field).get<double>() * scale, unit, "synthesised"};
  };
  switch (technology) {
    case rtl_gen::Technology::kXilinx:
      take("area", "lut", area_unit, 1);
      take("register_bits", "ff", "bit", 1);
      break;
    case rtl_gen::Technology::kGeneric:
      take("area", "area_buf", area_unit, 1 / kNand2Area);
      take("critical_path_ns", "delay_ns_buf", "ns", 1);
      break;
    case rtl_gen::Technology::kOsu018:
      take("area", "area_buf", area_unit, 1);
      take("critical_path_ns", "delay_ns_buf", "ns", 1);
      break;
  }
  return figures;
}

}  // namespace

void require_synthesis_tools(rtl_gen::Technology technology) {
  auto need = [](bool there, std::string_view what, std::string_view package) {
    if (!there)
      throw ConfigError("synthesis needs {}, which is not here: install the Debian package {}", what,
                        package);
  };
  need(on_path("yosys"), "yosys", "yosys");
  if (technology == rtl_gen::Technology::kXilinx) return;
  need(on_path("berkeley-abc") || on_path("yosys-abc"), "berkeley-abc", "berkeley-abc");
  need(on_path("sta"), "sta (OpenSTA)", "opensta");
  std::error_code ignored;
  need(fs::exists(liberty(), ignored), liberty().string(), "qflow-tech-osu018");
}

Figures synthesise(const rtl_gen::Unit& unit, rtl_gen::Technology technology,
                   const ResultStore& store) {
  const char* mode = technology == rtl_gen::Technology::kXilinx ? "fpga" : "buf";
  std::string key = result_key({"synthesis", mode, unit.verilog, assets::measure_unit_sh});
  if (auto kept = store.find(key)) return read_figures(*kept, technology);

  require_synthesis_tools(technology);
  sim::TemporaryFolder folder;
  write_file_atomic(folder.path() / "unit.v", unit.verilog);
  write_file_atomic(folder.path() / "measure_unit.sh", assets::measure_unit_sh);
  // The names in this command are ours: the folder, a mode and a Verilog identifier.
  const char* clock = unit.report.latency > 0 ? "CLK=clk_i " : "";
  auto [output, status] =
      run(fmt::format("cd '{}' && {}MODES={} bash measure_unit.sh {} unit.v 2>errors",
                      folder.path().string(), clock, mode, unit.report.top));
  if (status != 0) {
    std::string errors = read_file(folder.path() / "errors");
    while (!errors.empty() && errors.back() == '\n') errors.pop_back();
    throw ConfigError("synthesis of {} failed: {}", unit.report.top,
                      errors.empty() ? "no message (time limit? set LIMIT_S, seconds)"
                                     : errors.substr(errors.rfind('\n') + 1));
  }
  Figures figures = read_figures(output, technology);
  store.keep(key, output);
  return figures;
}

}  // namespace blockdot::explore
