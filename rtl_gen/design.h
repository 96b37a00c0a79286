// A design of any kind, from what names it to what it ships: one way through the generator for the
// command line, the design files, the package and the testbench.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "formats/dot_spec.h"
#include "formats/multi_spec.h"
#include "rtl_gen/array/array.h"
#include "rtl_gen/emit/shell.h"
#include "rtl_gen/generate.h"
#include "rtl_gen/stream/stream.h"
#include "rtl_gen/units/quantizer.h"

namespace blockdot::rtl_gen {

/// What is to be generated. Beside `kind` one member counts: multi and fused units are `multi`, a
/// quantizer is `quantizer`, an array is `array` (its unit is array.unit), all others are `dot`.
struct DesignSpec {
  UnitKind kind = UnitKind::kDot;
  formats::DotSpec dot;
  formats::MultiSpec multi;
  QuantizerSpec quantizer;
  ArraySpec array;

  /// The contract of the dot products inside; nullptr: there are none of one contract.
  const formats::DotSpec* contract() const;
};

/// The spec as its unit's report has it.
std::string to_text(const DesignSpec& spec);

/// The fields of a DesignSpec as text (empty: left out), under the names of the command line.
struct DesignText {
  std::string unit;  // empty: dot
  formats::DotSpecText dot;
  std::string modes, addend;                       // multi, fused
  std::string input, scale_rule;                   // quantizer
  std::string rows, cols, dataflow, banks, depth;  // array
};
/// ConfigError as the parsers, and for a field that the kind does not take: it names those that it
/// takes. Validated.
DesignSpec resolve(const DesignText& text);

struct Design {
  DesignSpec spec;
  Technology technology = Technology::kGeneric;
  UnitReport report;  // the top's name, ports and latency; figures as far as they are known
  std::vector<ModuleFile> files;           // the top first
  nlohmann::json json;                     // unit.json
  std::variant<Unit, Stream, Array> made;  // as it came from its generator

  /// Where the top is written: one-module units of dot products are unit.v under any name, all
  /// others are named after their module.
  std::string file_of(const ModuleFile& module) const;
  std::string sources() const;  // the names of all, the top's first: "unit.v"
  std::string verilog() const;  // all files one after the other
};

/// ConfigError as the generator of the kind. An empty `top` is the kind's own: unit, stream, array
/// or quantizer. The report's latency is, of an array, that from a tile's last operands to its
/// first row of results.
Design generate_design(const DesignSpec& spec, const Arch& arch, std::string_view top = "");

}  // namespace blockdot::rtl_gen
