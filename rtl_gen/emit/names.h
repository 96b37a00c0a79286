// Verilog names for every node: the builder's, else the consumer's name plus the operation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

/// A reserved word of Verilog-2005 or SystemVerilog-2017.
bool is_keyword(std::string_view word);

/// One name a node, unique, legal Verilog, by node index; empty for constants and dead nodes.
/// Inputs keep their names, states end in _q, and the unnamed next value of a state in _d.
/// `reserved`: names that are taken (outputs, clock, reset).
std::vector<std::string> assign_names(const Graph& graph, const std::vector<std::string>& reserved);

}  // namespace blockdot::rtl_gen
