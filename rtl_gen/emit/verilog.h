// Verilog-2005 text of a scheduled graph.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/ir/graph.h"
#include "rtl_gen/pipeline/schedule.h"

namespace blockdot::rtl_gen {

/// A port as the reader of the unit sees it.
struct Port {
  std::string name;
  bool is_input = true;
  int width = 1;
  std::string meaning;
};

/// A Verilog parameter.
struct Parameter {
  std::string name;
  int width = 1;
  std::uint64_t value = 0;  // by default
  std::string meaning;
};

struct VerilogRequest {
  std::string module_name;
  std::vector<std::string> header;         // comment lines at the top, without slashes
  std::vector<Port> ports;                 // all of them, in order; clk_i and rst_ni where clocked
  std::vector<Parameter> parameters = {};  // those of the graph's states
};

/// "module NAME #(parameters) (ports);" with every port's meaning.
std::string module_head(std::string_view name, const std::vector<Parameter>& parameters,
                        const std::vector<Port>& ports);

/// What the library cells that a unit names do, for tools that read it as synthesis does and have
/// no library at hand: proofs, lint.
inline constexpr const char* kCellModels =
    "module FAX1 (input A, B, C, output YC, YS);\n"
    "  assign YC = (A & B) | (C & (A ^ B));\n"
    "  assign YS = A ^ B ^ C;\n"
    "endmodule\n"
    "module HAX1 (input A, B, output YC, YS);\n"
    "  assign YC = A & B;\n"
    "  assign YS = A ^ B;\n"
    "endmodule\n";

/// The module. Deterministic: the same graph, schedule and request give the same bytes.
std::string emit_verilog(const Graph& lowered, const Schedule& schedule,
                         const VerilogRequest& request);

}  // namespace blockdot::rtl_gen
