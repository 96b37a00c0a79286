// blockdot doctor: which outside tools are there, in which version, and what each is needed for.
#include <fmt/core.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <vector>

#include "cli/command.h"

namespace blockdot::cli {

namespace {

struct Tool {
  const char* name;
  const char* probe;    // prints a version on its first line, or fails
  const char* package;  // of Debian
  const char* purpose;
};

constexpr Tool kTools[] = {
    {"g++", "g++ --version", "g++", "compiling Verilated units (sim --engine rtl)"},
    {"verilator", "verilator --version", "verilator", "co-simulation (sim --engine rtl)"},
    {"zlib", "printf '#include <zlib.h>\nZLIB_VERSION\n' | g++ -E -x c - | grep '^\"'",
     "zlib1g-dev", "waves as FST (sim --fst)"},
    {"iverilog", "iverilog -V", "iverilog", "running a unit's own testbench"},
    {"yosys", "yosys -V", "yosys", "synthesis (synth, prove, energy, compare --synth)"},
    {"berkeley-abc", "berkeley-abc -q version | grep -o 'UC Berkeley.*' | head -1", "berkeley-abc",
     "synthesis (synth, prove, energy, compare --synth)"},
    {"sta", "sta -version", "opensta", "timing (synth, compare --synth)"},
    {"osu018 library",
     "grep -m1 -o 'library *([a-zA-Z0-9_]*)' /usr/share/qflow/tech/osu018/osu018_stdcells.lib",
     "qflow-tech-osu018", "the cell library of synthesis"},
    {"python3-torch", "/usr/bin/python3 -c 'import torch; print(\"torch\", torch.__version__)'",
     "python3-torch", "recording traces (python -m blockdot_record)"},
    {"Fashion-MNIST", "ls /usr/share/datasets/fashion-mnist | head -1", "dataset-fashion-mnist",
     "the recorder's built-in CNN training"},
    {"King James text", "bible -f gen1:1", "bible-kjv-text",
     "the recorder's built-in language-model training"},
    {"chromium", "chromium --version", "chromium", "the test that opens report.html"},
};

struct Finding {
  const Tool* tool;
  bool found;
  std::string version;
};

std::string first_line(const char* command, bool& succeeded) {
  std::string line;
  auto* pipe = popen(fmt::format("{{ {}; }} 2>/dev/null", command).c_str(), "r");
  if (pipe == nullptr) {
    succeeded = false;
    return line;
  }
  std::array<char, 256> buffer{};
  if (fgets(buffer.data(), buffer.size(), pipe) != nullptr) line = buffer.data();
  while (fgets(buffer.data(), buffer.size(), pipe) != nullptr) {
  }
  // Some tools (abc) print their name and still fail: a line is what counts.
  pclose(pipe);
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  succeeded = !line.empty();
  return line;
}

void run(Context& context) {
  std::vector<Finding> findings;
  std::string missing;
  for (const Tool& tool : kTools) {
    Finding finding{&tool, false, {}};
    finding.version = first_line(tool.probe, finding.found);
    if (!finding.found) missing += fmt::format(" {}", tool.package);
    findings.push_back(finding);
  }
  context.exit_code = missing.empty() ? kDone : kCheckFailed;
  if (context.json) {
    nlohmann::json tools = nlohmann::json::array();
    for (const Finding& finding : findings)
      tools.push_back({{"name", finding.tool->name},
                       {"found", finding.found},
                       {"version", finding.version},
                       {"package", finding.tool->package},
                       {"purpose", finding.tool->purpose}});
    print_json({{"schema", "blockdot.doctor/1"}, {"tools", tools}});
    return;
  }
  for (const Finding& finding : findings)
    fmt::print(
        "{:<8} {:<16} {:<50.50} {}\n", finding.found ? "found" : "MISSING", finding.tool->name,
        finding.found ? finding.version : fmt::format("Debian package {}", finding.tool->package),
        finding.tool->purpose);
  if (!missing.empty()) fmt::print("\nTo install what is missing:  apt-get install{}\n", missing);
}

}  // namespace

void add_doctor(CLI::App& program, Context& context) {
  CLI::App* command =
      program.add_subcommand("doctor", "Say which outside tools are there and what they are for");
  command->footer(examples({"blockdot doctor", "blockdot doctor --json"}));
  command->callback([&context] { run(context); });
}

}  // namespace blockdot::cli
