// Units with a fault, for tests: the unit inside a wrapper that ties or changes some of its inputs.
// Independent of how the unit's text looks.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>

#include "formats/error.h"
#include "rtl_gen/generate.h"

namespace blockdot::sim {

/// The unit under a wrapper of the same name and ports; input PORT of the inner unit is driven by
/// the Verilog expression changes[PORT].
inline rtl_gen::Unit faulty_unit(const rtl_gen::Unit& unit,
                                 const std::map<std::string, std::string>& changes) {
  rtl_gen::Unit faulty = unit;
  std::string head = "module " + unit.report.top;
  std::size_t at = faulty.verilog.find(head);
  BLOCKDOT_CHECK(at != std::string::npos);
  faulty.verilog.replace(at, head.size(), "module inner");
  std::string ports, connections;
  for (const rtl_gen::Port& port : unit.report.ports) {
    ports += fmt::format("{}{} wire [{}:0] {}", ports.empty() ? "" : ", ",
                         port.is_input ? "input" : "output", port.width - 1, port.name);
    auto change = changes.find(port.name);
    connections += fmt::format("{}.{}({})", connections.empty() ? "" : ", ", port.name,
                               change == changes.end() ? port.name : change->second);
  }
  faulty.verilog +=
      fmt::format("{} ({});\n  inner dut ({});\nendmodule\n", head, ports, connections);
  return faulty;
}

}  // namespace blockdot::sim
