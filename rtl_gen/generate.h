// The generator: a DotSpec and an Arch in, Verilog and its report out.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/multi_spec.h"
#include "rtl_gen/cost/cost.h"
#include "rtl_gen/emit/verilog.h"
#include "rtl_gen/ir/graph.h"
#include "rtl_gen/ir/interpreter.h"
#include "rtl_gen/pipeline/schedule.h"
#include "rtl_gen/units/structure.h"
#include "rtl_gen/units/unit.h"

namespace blockdot::rtl_gen {

/// How a unit is built; never what it computes.
struct Arch {
  /// Clock period to meet, ns. 0: the technology's default (generic 1.5, osu018 6, xilinx 4), or
  /// the fastest that the accumulator's loop allows where that is slower.
  double clock_ns = 0;
  bool combinational = false;  // no pipeline: outputs in the cycle of the inputs
  Technology technology = Technology::kGeneric;
  ScheduleKind schedule = ScheduleKind::kMinRegister;
  std::uint64_t schedule_seed = 0;  // for ScheduleKind::kRandom
  Structure structure = {};

  bool operator==(const Arch&) const = default;
};

/// The longest clock period that can be asked for.
inline constexpr double kMaxClockNs = 1000;

/// ConfigError where clock_ns is not in [0, kMaxClockNs], or is given for a combinational unit.
void validate(const Arch& arch);

/// "clock 1.5 ns, generic, min-register" or "combinational, generic"; a structure other than the
/// plain one follows.
std::string to_text(const Arch& arch);

enum class UnitKind {
  kDot,       // accumulates beats from `first` to `last`, rounds to the output
  kBlockDot,  // the bare exact sum of one beat
  kMulti,     // the bare exact sum in one of several formats (MultiSpec)
  kFused,     // that sum and an addend, rounded once (MultiSpec)
  // Made by generators of their own (rtl_gen/design.h):
  kStream,     // a dot unit behind AXI4-Stream
  kArray,      // rows x columns of dot units
  kQuantizer,  // floats to a block
};
/// "dot", "block-dot", "multi", "fused", "stream", "array", "quantizer".
std::string_view to_text(UnitKind kind);
UnitKind parse_unit_kind(std::string_view text);

/// A number and where it comes from: "estimated" (built-in model), "synthesised", "simulated".
/// An empty provenance: not known.
struct Figure {
  double value = 0;
  std::string unit;
  std::string provenance;
};

struct UnitReport {
  std::string top;  // module name
  UnitKind kind = UnitKind::kDot;
  std::string spec_text;  // of a block dot only what it has: a, b and lanes
  std::string arch_text;
  double clock_ns = 0;  // what it is scheduled for; 0: combinational
  int latency = 0;      // cycles from the inputs of a last beat to its outputs
  int interval = 1;     // cycles between beats
  std::vector<Port> ports;
  std::vector<Parameter> parameters;  // the seed of the random stream, where there is one
  Figure area;                        // NAND2 equivalents, osu018 area units or LUTs
  Figure critical_path_ns;            // with register overhead when clocked
  Figure register_bits;
  Figure luts;  // technology xilinx only
  std::string critical_node;
  std::string exact_level;    // one sentence: what is summed without rounding
  int sum_lsb = 0;            // weight of sum_o's bit 0: the block dot is sum_o * 2^sum_lsb
  int sum_width = 0;          // bits of the exact block dot
  int scale_lsb = 0;          // block dot: Xa Xb = scale_sig_o * 2^(scale_o + scale_lsb)
  int accumulator_width = 0;  // bits of the accumulator register; 0 for a block dot
  int accumulator_lsb = 0;    // weight of its bit 0 (fixed point only)
};

/// Schema "blockdot.unit/1": top, kind, spec, arch, latency, interval, ports[{name, direction,
/// width, meaning}], parameters[{name, width, default, meaning}],
/// numbers{...}, estimates{name: {value, unit, provenance}}.
nlohmann::json to_json(const UnitReport& report);
/// [{name, direction, width, meaning}], [{name, width, default, meaning}].
nlohmann::json ports_json(const std::vector<Port>& ports);
nlohmann::json parameters_json(const std::vector<Parameter>& parameters);
/// ConfigError when a field is missing or the schema is another.
UnitReport report_from_json(const nlohmann::json& json);

struct Unit {
  UnitReport report;
  Graph graph;        // as built: sums whole, what the interpreter runs
  Graph lowered;      // as scheduled and emitted
  Schedule schedule;  // of `lowered`
  std::string verilog;
};

/// ConfigError where `top` is no name for a module: see generate.
void check_top(std::string_view top);
/// What a unit of several formats computes: "dot product of ...".
std::string purpose(const formats::MultiSpec& spec);

/// Builds a unit. ConfigError when the spec or the arch is not valid, the clock cannot be met
/// (names the node and the clock that would fit) or the kind does not take the spec. Verilator's
/// -Wall asks that a file be named after its module: the module is `unit`, for unit.v, unless `top`
/// says otherwise: an identifier of at most 64 characters, no keyword, not `unit_tb`, which is the
/// testbench's, and none of the cells that a unit may instantiate.
Unit generate(UnitKind kind, const formats::DotSpec& spec, const Arch& arch,
              std::string_view top = "unit");

/// A unit of several formats: kMulti, or kFused where the spec has an addend.
Unit generate(const formats::MultiSpec& spec, const Arch& arch, std::string_view top = "unit");
UnitKind kind_of(const formats::MultiSpec& spec);
/// The halves of a multi unit with an accumulator, for proofs: what a beat is, and what becomes of
/// its sum (rtl_gen/units/multi.h).
Unit generate_multi_beat(const formats::MultiSpec& spec, const Arch& arch, std::string_view top);
Unit generate_multi_accumulator(const formats::MultiSpec& spec, const Arch& arch,
                                std::string_view top);

/// What is written about a module beside its graph.
struct UnitText {
  std::string purpose;      // one line, after the module's name
  std::string spec, exact;  // lines of the header; empty: none
  std::function<std::string(const std::string& port)> meaning;
  std::function<std::string(const Arch& arch)> command;  // that makes it again, under this clock
};
/// Any graph as a module: lowered, scheduled, emitted, with its figures. What generate is made of,
/// for graphs that are no dot unit. ConfigError as generate.
Unit build_unit(Graph graph, const Arch& arch, std::string_view top, const UnitText& text);

/// For designs made of a dot unit or of its parts: what an input of it carries, what it sums
/// without rounding (one clause), and its facts in a report.
std::string port_meaning(const std::string& port, const formats::DotSpec& spec);
std::string exact_level(UnitKind kind, const formats::DotSpec& spec);
void note_facts(UnitReport& report, const UnitFacts& facts);

/// The graph alone, without schedule or text: for the interpreter.
Graph build_graph(UnitKind kind, const formats::DotSpec& spec);
Graph build_graph(const formats::MultiSpec& spec);

}  // namespace blockdot::rtl_gen
