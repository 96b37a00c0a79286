#include "rtl_gen/testing/simulate.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "formats/error.h"
#include "formats/temporary_folder.h"

namespace blockdot::rtl_gen::testing {
namespace {

// A folder with the commands that a run needs.
class Scratch {
 public:
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.path() / name) << text;
  }
  std::string read(const std::string& name) const {
    std::ifstream in(folder_.path() / name);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  // Output of a command run in the folder.
  std::string run(const std::string& command, int& code) const {
    const int status = std::system(
        fmt::format("cd '{}' && ( {} ) > log.txt 2>&1", folder_.path().string(), command).c_str());
    code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return read("log.txt");
  }

 private:
  TemporaryFolder folder_;
};

std::string hex(const Int& value, int width) {
  std::string digits = value.str(0, std::ios_base::hex);
  const auto wanted = static_cast<std::size_t>((width + 3) / 4);
  return std::string(wanted > digits.size() ? wanted - digits.size() : 0, '0') + digits;
}

}  // namespace

std::vector<Cycle> simulate(Simulator simulator, const std::string& verilog,
                            const std::string& module_name, const std::vector<Port>& ports,
                            const std::vector<Cycle>& inputs) {
  int in_width = 0, out_width = 0;
  bool clocked = false;
  std::string connections, writes;
  std::size_t out_count = 0;
  for (const Port& p : ports) {
    connections += connections.empty() ? "" : ", ";
    if (p.name == "clk_i") {
      clocked = true;
      connections += ".clk_i(clk)";
    } else if (p.is_input) {
      connections += fmt::format(".{}(in[{} +: {}])", p.name, in_width, p.width);
      in_width += p.width;
    } else {
      connections += fmt::format(".{}(out[{} +: {}])", p.name, out_width, p.width);
      writes += fmt::format("      $fwrite(file, \"%h \", out[{} +: {}]);\n", out_width, p.width);
      out_width += p.width;
      ++out_count;
    }
  }
  std::string stimuli;
  for (const Cycle& cycle : inputs) {
    Int word = 0;
    int at = 0;
    std::size_t i = 0;
    for (const Port& p : ports) {
      if (!p.is_input || p.name == "clk_i") continue;
      word |= floor_shift(cycle.at(i++), -at);
      at += p.width;
    }
    stimuli += hex(word, in_width) + "\n";
  }
  const std::string bench = fmt::format(
      "module bench;\n"
      "  reg clk;\n  reg [{0}:0] in;\n  wire [{1}:0] out;\n  reg [{0}:0] stimuli [0:{2}];\n"
      "  integer i, file;\n  {3} dut ({4});\n"
      "  initial begin\n    $readmemh(\"stimuli.hex\", stimuli);\n    file = $fopen(\"out.hex\", "
      "\"w\");\n"
      "    clk = 0;\n    for (i = 0; i < {5}; i = i + 1) begin\n"
      "      in = stimuli[i]; #1;\n{7}      {6}#1;\n    end\n"
      "    $fclose(file);\n    $finish;\n  end\nendmodule\n",
      in_width - 1, out_width - 1, inputs.size() - 1, module_name, connections, inputs.size(),
      clocked ? "clk = 1; #1; clk = 0; " : "", writes);
  const Scratch dir;
  dir.write("bench.v", bench);
  dir.write(module_name + ".v", verilog);
  dir.write("stimuli.hex", stimuli);
  int code = 0;
  const std::string log =
      simulator == Simulator::kIcarus
          ? dir.run(fmt::format("iverilog -g2005 -o sim bench.v {}.v && vvp -n sim", module_name),
                    code)
          : dir.run(fmt::format("verilator --binary -O0 --x-initial unique -Wno-fatal -Wno-lint "
                                "-Wno-style -CFLAGS -O0 "
                                "--top-module bench bench.v {}.v && ./obj_dir/Vbench",
                                module_name),
                    code);
  BLOCKDOT_CHECK(code == 0, "simulation failed:\n{}", log);
  std::istringstream words(dir.read("out.hex"));
  std::vector<Cycle> outputs;
  std::string word;
  while (words >> word) {
    if (outputs.empty() || outputs.back().size() == out_count) outputs.emplace_back();
    // Unknown bits come as x or z digits; they count as a value no reference has.
    const bool unknown = word.find_first_of("xzXZ") != std::string::npos;
    outputs.back().push_back(unknown ? Int(-1) : Int("0x" + word));
  }
  BLOCKDOT_CHECK(outputs.size() == inputs.size(), "{} cycles of {} simulated:\n{}", outputs.size(),
                 inputs.size(), log);
  return outputs;
}

std::string lint(const std::string& verilog, const std::string& module_name, bool with_yosys) {
  const Scratch dir;
  const std::string file = module_name + ".v";
  dir.write(file, verilog);
  int code = 0;
  std::string said = dir.run("verilator --lint-only -Wall " + file, code);
  if (code != 0 && said.empty()) said = "verilator fails";
  std::string more = dir.run("iverilog -Wall -g2005 -o sim " + file, code);
  if (code != 0 && more.empty()) more = "iverilog fails";
  said += more;
  if (with_yosys) {
    dir.write("cells.v", kCellModels);
    more = dir.run(
        "yosys -q -p 'read_verilog cells.v " + file + "; hierarchy -check; proc; check -assert'",
        code);
    if (code != 0) said += "yosys: " + more;
  }
  return said;
}

std::string lint(const std::vector<std::pair<std::string, std::string>>& files,
                 const std::string& top, bool with_yosys) {
  const Scratch dir;
  std::string names;
  for (const auto& [name, text] : files) {
    dir.write(name, text);
    names += name + " ";
  }
  int code = 0;
  std::string said = dir.run(
      fmt::format("verilator --lint-only -Wall --top-module {} {}", top, files[0].first), code);
  if (code != 0 && said.empty()) said = "verilator fails";
  std::string more =
      dir.run(fmt::format("iverilog -Wall -g2005 -o sim -s {} {}", top, names), code);
  if (code != 0 && more.empty()) more = "iverilog fails";
  said += more;
  if (!with_yosys) return said;
  dir.write("cells.v", kCellModels);
  more = dir.run(
      fmt::format(
          "yosys -q -p 'read_verilog cells.v {}; hierarchy -check -top {}; proc; check -assert'",
          names, top),
      code);
  return code == 0 ? said : said + "yosys: " + more;
}

std::string run_yosys(const std::vector<std::pair<std::string, std::string>>& files,
                      const std::string& script, int& code) {
  const Scratch dir;
  for (const auto& [name, text] : files) dir.write(name, text);
  dir.write("script.ys", script);
  return dir.run("yosys -q script.ys", code);
}

}  // namespace blockdot::rtl_gen::testing
