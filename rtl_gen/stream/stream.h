// A dot unit behind AXI4-Stream: beats in, results out, back-pressure on both sides.
//
//                tdata, tlast, tvalid   +--------------------------------+   tdata, tvalid
//   s_axis  ------------------------->  | unit (latency L) -> queue      | ----------------> m_axis
//           <-------------------------  | of L + 2 places                | <----------------
//                tready                 +--------------------------------+   tready
//
// The unit has no stall input. A beat is taken only while every result under way has a place in the
// queue, so none is lost; with L + 2 places and a ready receiver a beat is taken every cycle.
// tready comes from a register alone. tlast marks the last beat of a result; the beat after it (and
// the first one after reset) starts the next.
//
// Cycles: a last beat taken in cycle c shows its result in cycle c + L where the queue is empty.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "rtl_gen/emit/shell.h"
#include "rtl_gen/generate.h"

namespace blockdot::rtl_gen {

/// A part of tdata.
struct StreamField {
  std::string
      name;  // the unit's port without _i / _o: "a", "a_scale", "a_micro", "b", ..., "result"
  int lo = 0;
  int width = 0;
};

struct Stream {
  std::string top;
  Unit unit;  // module TOP_unit
  int depth = 0;
  std::vector<Port> ports;
  std::vector<StreamField> beat, result;  // of s_axis_tdata and m_axis_tdata
  int beat_bits = 0, result_bits = 0;     // tdata: whole bytes, zero above the fields
  std::vector<ModuleFile> files;          // the top first

  std::string verilog() const;  // all files one after the other
};

/// ConfigError as generate, and for a combinational arch: its accumulator would stand behind no
/// register.
Stream generate_stream(const formats::DotSpec& spec, const Arch& arch,
                       std::string_view top = "stream");

/// Schema "blockdot.stream/1": top, spec, arch, clock_ns, latency, depth, ports, tdata fields and
/// the unit's own report.
nlohmann::json to_json(const Stream& stream);

}  // namespace blockdot::rtl_gen
