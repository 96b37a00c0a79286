#include "explore/synth.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "explore/assets.h"
#include "formats/error.h"
#include "formats/file_io.h"
#include "formats/temporary_folder.h"
#include "sim/cosim/testbench.h"
#include "sim/cosim/tool.h"

namespace blockdot::explore {
namespace {

namespace fs = std::filesystem;

// A NAND2X1 of the library, in its own area units (um^2): the unit of the generic technology.
constexpr double kNand2Area = 24;

// The figures of measure_unit.sh's JSON line, in the units of the technology's estimates.
Figures read_figures(const std::string& output, rtl_gen::Technology technology) {
  nlohmann::json measured = nlohmann::json::parse(output);
  std::string area_unit(rtl_gen::CostModel(technology).area_unit());
  Figures figures;
  auto take = [&](const char* name, const char* field, const std::string& unit, double scale) {
    // The timer reads no netlist whose ports ABC left concatenated, and the flow then says 0 ns.
    if (measured.at(field).get<double>() == 0 && std::string_view(field) == "delay_ns_buf") return;
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

fs::path liberty_file() {
  const char* own = std::getenv("LIBERTY");
  return own != nullptr ? own : "/usr/share/qflow/tech/osu018/osu018_stdcells.lib";
}

void require_synthesis_tools(rtl_gen::Technology technology) {
  auto need = [](const char* program, std::string_view package) {
    try {
      sim::find_tool(program);
    } catch (const ConfigError&) {
      throw ConfigError("synthesis needs {}: not found on PATH: install it (apt-get install {})",
                        program, package);
    }
  };
  need("yosys", "yosys");
  if (technology == rtl_gen::Technology::kXilinx) return;
  need("berkeley-abc", "berkeley-abc");
  need("sta", "opensta");
  std::error_code ignored;
  if (!fs::exists(liberty_file(), ignored))
    throw ConfigError(
        "synthesis needs {}: not found: install it (apt-get install qflow-tech-osu018) or set "
        "LIBERTY",
        liberty_file().string());
}

std::string tool_versions() {
  static const std::string versions = [] {
    std::string text;
    for (const std::vector<std::string>& command : {std::vector<std::string>{"yosys", "-V"},
                                                    {"berkeley-abc", "-q", "version"},
                                                    {"sta", "-version"}}) {
      try {
        sim::find_tool(command[0]);
        text += sim::run_tool(command, "/").output;
      } catch (const ConfigError&) {
        text += command[0] + " is missing\n";
      }
    }
    return text;
  }();
  return versions;
}

namespace {

Figures synthesise(const std::string& verilog, const std::string& top, bool clocked,
                   rtl_gen::Technology technology, const ResultStore& store) {
  const char* mode = technology == rtl_gen::Technology::kXilinx ? "fpga" : "buf";
  std::string key = result_key({"synthesis", mode, verilog, assets::measure_unit_sh,
                                liberty_file().string(), tool_versions()});
  if (auto kept = store.find(key)) return read_figures(*kept, technology);

  require_synthesis_tools(technology);
  TemporaryFolder folder;
  write_file_atomic(folder.path() / "unit.v", verilog);
  write_file_atomic(folder.path() / "measure_unit.sh", assets::measure_unit_sh);
  std::vector<std::string> command = {"env", fmt::format("MODES={}", mode)};
  if (clocked) command.push_back("CLK=clk_i");
  for (const char* word : {"bash", "measure_unit.sh", top.c_str(), "unit.v"})
    command.emplace_back(word);
  sim::ToolResult result = sim::run_tool(command, folder.path());
  std::string output =
      result.output.substr(std::min(result.output.find('{'), result.output.size()));
  if (result.status != 0 || output.empty()) {
    std::string words = result.output.substr(0, result.output.find_last_not_of('\n') + 1);
    throw ConfigError("synthesis of {} failed: {}", top,
                      words.empty() ? "no message (time limit? set LIMIT_S, seconds)"
                                    : words.substr(words.rfind('\n') + 1));
  }
  Figures figures = read_figures(output, technology);
  store.keep(key, output);
  return figures;
}

}  // namespace

Figures synthesise(const rtl_gen::Unit& unit, rtl_gen::Technology technology,
                   const ResultStore& store) {
  return synthesise(unit.verilog, unit.report.top, unit.report.latency > 0, technology, store);
}

Figures synthesise(const rtl_gen::Design& design, rtl_gen::Technology technology,
                   const ResultStore& store) {
  return synthesise(design.verilog(), design.report.top, design.report.latency > 0, technology,
                    store);
}

nlohmann::json unit_json(const nlohmann::json& unit, const Figures& synthesised) {
  nlohmann::json json = unit;
  nlohmann::json figures = nlohmann::json::object();
  for (const auto& [name, figure] : synthesised)
    figures[name] = {
        {"value", figure.value}, {"unit", figure.unit}, {"provenance", figure.provenance}};
  json["synthesised"] = figures;
  return json;
}

std::string map_netlist(const rtl_gen::Unit& unit, const ResultStore& store) {
  const std::string lib = liberty_file().string();
  std::string script = fmt::format(
      "read_liberty -lib {0}; read_verilog unit.v; hierarchy -check -top {1}; "
      "synth -flatten -noalumacc -top {1}; dfflibmap -liberty {0}; "
      "abc -liberty {0} -constr constr; opt_clean -purge; write_json netlist.json",
      lib, unit.report.top);
  std::string key = result_key({"netlist", unit.verilog, script, tool_versions()});
  if (auto kept = store.find(key)) return *kept;
  require_synthesis_tools(rtl_gen::Technology::kOsu018);
  TemporaryFolder folder;
  write_file_atomic(folder.path() / "unit.v", unit.verilog);
  write_file_atomic(folder.path() / "constr",
                    "set_driving_cell INVX4\nset_load 0.05 [all_outputs]\n");
  sim::require_tool({"yosys", "-q", "-p", script}, folder.path());
  std::string netlist = read_file(folder.path() / "netlist.json");
  store.keep(key, netlist);
  return netlist;
}

NetlistRun simulate_netlist(const rtl_gen::Design& design, int vectors, std::uint64_t seed) {
  require_synthesis_tools(rtl_gen::Technology::kOsu018);
  TemporaryFolder folder;
  write_file_atomic(folder.path() / "unit.v", design.verilog());
  const sim::Testbench testbench = sim::make_testbench(design, vectors, seed);
  sim::write_testbench(folder.path(), testbench);
  const std::string lib = liberty_file().string();
  sim::require_tool(
      {"yosys", "-q", "-p", fmt::format("read_liberty {}; write_verilog cells.v", lib)},
      folder.path());
  sim::require_tool(
      {"yosys", "-q", "-p",
       fmt::format(
           "read_liberty -lib {0}; read_verilog unit.v; hierarchy -check -top {1}; "
           "synth -flatten -noalumacc -top {1}; dfflibmap -liberty {0}; abc -liberty {0}; "
           "opt_clean -purge; tee -q -o stat.json stat -json; write_verilog -noattr netlist.v",
           lib, design.report.top)},
      folder.path());
  NetlistRun run;
  nlohmann::json stat = nlohmann::json::parse(read_file(folder.path() / "stat.json"));
  run.cells = stat.at("design").at("num_cells").get<std::int64_t>();
  sim::require_tool({"iverilog", "-g2005", "-o", "netlist", "netlist.v", "cells.v", "unit_tb.v"},
                    folder.path());
  sim::ToolResult result = sim::run_tool({"vvp", "netlist"}, folder.path());
  run.passed = result.output.find(fmt::format("PASS {}", testbench.checks)) != std::string::npos;
  run.vectors = testbench.checks;
  if (!run.passed) run.message = result.output.substr(0, result.output.find('\n'));
  return run;
}

}  // namespace blockdot::explore
