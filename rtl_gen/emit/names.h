// Verilog names of signals.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/ir/graph.h"

namespace blockdot::rtl_gen {

/// A reserved word of Verilog-2005 or SystemVerilog-2017.
bool is_keyword(std::string_view word);

/// One name a node that is `written` as a signal of its own, unique, legal Verilog, by node index;
/// empty for others. Inputs keep their names, states end in _q, and the unnamed next value of a
/// state in _d. A node that the builder did not name is called after the named node that it is part
/// of and its operation, or, where it is part of several, after what it is made of.
/// `reserved`: names that are taken (outputs, clock, reset).
std::vector<std::string> assign_names(const Graph& graph, const std::vector<std::string>& reserved,
                                      const std::vector<bool>& written);

}  // namespace blockdot::rtl_gen
