// Runs emitted Verilog in an outside simulator, for the tests: Icarus for many small runs,
// Verilator for the wide ones. One testbench text serves both.
#pragma once

#include <string>
#include <vector>

#include "rtl_gen/emit/verilog.h"

namespace blockdot::rtl_gen::testing {

enum class Simulator { kIcarus, kVerilator };

/// Values of the ports of one cycle, in the order of the module's inputs (without clk_i) or
/// outputs.
using Cycle = std::vector<Int>;

/// Presents `inputs[c]` in cycle c and returns the outputs seen in cycle c, before its clock edge.
/// Unknown bits fail the test. InternalError with the tool's messages when a tool fails.
std::vector<Cycle> simulate(Simulator simulator, const std::string& verilog,
                            const std::string& module_name, const std::vector<Port>& ports,
                            const std::vector<Cycle>& inputs);

/// What `verilator --lint-only -Wall`, `iverilog -Wall -g2005` and `yosys read_verilog` say of a
/// module, empty when all are content. The file is named after the module.
std::string lint(const std::string& verilog, const std::string& module_name,
                 bool with_yosys = true);

/// The same of a design of several files {name, text}, the first of them the top's.
std::string lint(const std::vector<std::pair<std::string, std::string>>& files,
                 const std::string& top, bool with_yosys = true);

/// Runs a yosys script beside files {name, text}; its output, and its exit code in `code`.
std::string run_yosys(const std::vector<std::pair<std::string, std::string>>& files,
                      const std::string& script, int& code);

}  // namespace blockdot::rtl_gen::testing
