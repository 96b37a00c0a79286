#include "rtl_gen/design.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"
#include "formats/text.h"

namespace blockdot::rtl_gen {
namespace {

// Which fields each kind takes.
struct Field {
  const char* name;
  const std::string& value;
  std::vector<UnitKind> kinds;
};

std::vector<Field> fields_of(const DesignText& text) {
  using enum UnitKind;
  const std::vector<UnitKind> contract = {kDot, kStream, kArray};
  const std::vector<UnitKind> accumulates = {kDot, kMulti, kStream, kArray};
  const std::vector<UnitKind> rounds = {kDot, kMulti, kFused, kStream, kArray, kQuantizer};
  return {{"a", text.dot.a, {kDot, kBlockDot, kStream, kArray, kQuantizer}},
          {"b", text.dot.b, {kDot, kBlockDot, kStream, kArray}},
          {"modes", text.modes, {kMulti, kFused}},
          {"addend", text.addend, {kFused}},
          {"lanes", text.dot.lanes, {kDot, kBlockDot, kMulti, kFused, kStream, kArray, kQuantizer}},
          {"accumulator", text.dot.accumulator, accumulates},
          {"output", text.dot.output, accumulates},
          {"rounding", text.dot.rounding, rounds},
          {"specials", text.dot.specials, contract},
          {"max-k", text.dot.max_k, accumulates},
          {"lfsr", text.dot.lfsr, rounds},
          {"input", text.input, {kQuantizer}},
          {"scale-rule", text.scale_rule, {kQuantizer}},
          {"rows", text.rows, {kArray}},
          {"cols", text.cols, {kArray}},
          {"dataflow", text.dataflow, {kArray}},
          {"banks", text.banks, {kArray}},
          {"depth", text.depth, {kArray}}};
}

void check_fields(UnitKind kind, const DesignText& text) {
  const std::vector<Field> fields = fields_of(text);
  const auto takes = [&](const Field& field) {
    return std::find(field.kinds.begin(), field.kinds.end(), kind) != field.kinds.end();
  };
  for (const Field& field : fields) {
    if (field.value.empty() || takes(field)) continue;
    std::string taken, kinds;
    for (const Field& other : fields)
      if (takes(other)) taken += fmt::format("{}{}", taken.empty() ? "" : ", ", other.name);
    for (UnitKind other : field.kinds)
      kinds += fmt::format("{}{}", kinds.empty() ? "" : ", ", to_text(other));
    throw ConfigError("{} = {}: is of unit {}; unit {} takes {}", field.name,
                      formats::shown(field.value), kinds, to_text(kind), taken);
  }
  if (text.dot.a.empty() && kind != UnitKind::kMulti && kind != UnitKind::kFused)
    throw ConfigError("a = (nothing): a format is needed by unit {}, e.g. mxfp8_e4m3",
                      to_text(kind));
}

void read_int(const char* field, const std::string& text, int most, int& to) {
  if (!text.empty()) to = static_cast<int>(formats::parse_int(field, text, 1, most));
}

// All rules but the one that no quantiser unit takes; asked for by name, validate() says why.
formats::ScaleRule parse_quantizer_rule(const std::string& text) {
  std::vector<std::string> names = formats::scale_rule_names();
  std::erase(names, to_text(formats::ScaleRule::kOptimal));
  if (text != to_text(formats::ScaleRule::kOptimal) &&
      std::find(names.begin(), names.end(), text) == names.end())
    throw ConfigError("scale-rule = {}: must be one of {}{}", formats::shown(text),
                      fmt::join(names, ", "), formats::did_you_mean(text, names));
  return formats::parse_scale_rule(text);
}

/// The report of a shell around units: what the units say, with the shell's own ports.
UnitReport shell_report(const UnitReport& unit, UnitKind kind, const std::string& top,
                        const std::vector<Port>& ports) {
  UnitReport report = unit;
  report.kind = kind;
  report.top = top;
  report.ports = ports;
  return report;
}

UnitReport array_report(const Array& array) {
  UnitReport report = shell_report(array.units[0].report, UnitKind::kArray, array.top, array.ports);
  report.area = array.area;
  report.parameters.clear();  // its streams have a state each
  const ArrayTiming& t = array.timing;
  report.latency =
      t.dataflow == Dataflow::kOutputStationary ? t.rows + t.cols - 1 + t.unit : t.through();
  // Of the units together: the slowest stage of any, and the registers of all.
  double bits = static_cast<double>(array.shell_register_bits);
  for (std::size_t i = 0; i < array.units.size(); ++i) {
    const UnitReport& unit = array.units[i].report;
    bits += unit.register_bits.value * static_cast<double>(array.counts[i]);
    report.clock_ns = std::max(report.clock_ns, unit.clock_ns);
    report.critical_path_ns.value =
        std::max(report.critical_path_ns.value, unit.critical_path_ns.value);
  }
  report.register_bits.value = bits;
  report.luts = {};
  return report;
}

}  // namespace

const formats::DotSpec* DesignSpec::contract() const {
  switch (kind) {
    case UnitKind::kDot:
    case UnitKind::kBlockDot:
    case UnitKind::kStream:
      return &dot;
    case UnitKind::kArray:
      return &array.unit;
    case UnitKind::kMulti:
    case UnitKind::kFused:
    case UnitKind::kQuantizer:
      return nullptr;
  }
  return nullptr;
}

std::string to_text(const DesignSpec& spec) {
  switch (spec.kind) {
    case UnitKind::kDot:
    case UnitKind::kBlockDot:
    case UnitKind::kStream:
      return formats::to_text(spec.dot);
    case UnitKind::kMulti:
    case UnitKind::kFused:
      return formats::to_text(spec.multi);
    case UnitKind::kQuantizer:
      return to_text(spec.quantizer);
    case UnitKind::kArray: {
      const ArraySpec& a = spec.array;
      const bool os = a.dataflow == Dataflow::kOutputStationary;
      return fmt::format("{} rows={} cols={} dataflow={} {}={}", formats::to_text(a.unit), a.rows,
                         a.cols, to_text(a.dataflow), os ? "banks" : "depth",
                         os ? a.banks : a.depth);
    }
  }
  return "";
}

DesignSpec resolve(const DesignText& text) {
  DesignSpec spec;
  if (!text.unit.empty()) spec.kind = parse_unit_kind(text.unit);
  check_fields(spec.kind, text);
  switch (spec.kind) {
    case UnitKind::kDot:
    case UnitKind::kBlockDot:
    case UnitKind::kStream:
      spec.dot = formats::resolve(text.dot);
      break;
    case UnitKind::kArray: {
      ArraySpec& a = spec.array;
      a.unit = formats::resolve(text.dot);
      if (!text.dataflow.empty()) a.dataflow = parse_dataflow(text.dataflow);
      const bool os = a.dataflow == Dataflow::kOutputStationary;
      if (const std::string& other = os ? text.depth : text.banks; !other.empty())
        throw ConfigError("{} = {}: dataflow {} has none; it takes {}", os ? "depth" : "banks",
                          other, to_text(a.dataflow), os ? "banks" : "depth");
      read_int("rows", text.rows, kMostArrayUnits, a.rows);
      read_int("cols", text.cols, kMostArrayUnits, a.cols);
      read_int("banks", text.banks, kMostArrayBanks, a.banks);
      read_int("depth", text.depth, kMostArrayDepth, a.depth);
      break;
    }
    case UnitKind::kMulti:
    case UnitKind::kFused:
      spec.multi = formats::resolve_multi(
          text.modes, spec.kind == UnitKind::kFused && text.addend.empty() ? "fp32" : text.addend,
          text.dot);
      break;
    case UnitKind::kQuantizer: {
      QuantizerSpec& q = spec.quantizer;
      q.format = formats::parse_block_format(text.dot.a, "a");
      if (!text.input.empty()) q.input = formats::parse_element(text.input, "input");
      if (!text.scale_rule.empty()) q.rule = parse_quantizer_rule(text.scale_rule);
      if (!text.dot.rounding.empty()) q.rounding = formats::parse_rounding(text.dot.rounding);
      if (!text.dot.lfsr.empty()) q.lfsr = formats::parse_lfsr(text.dot.lfsr);
      if (!text.dot.lanes.empty())
        q.lanes = static_cast<int>(formats::parse_int("lanes", text.dot.lanes, 1, 1024));
      validate(q);
      break;
    }
  }
  return spec;
}

std::string Design::file_of(const ModuleFile& module) const {
  const bool one_module = report.kind == UnitKind::kDot || report.kind == UnitKind::kBlockDot ||
                          report.kind == UnitKind::kMulti || report.kind == UnitKind::kFused;
  return one_module ? "unit.v" : module.file();
}

std::string Design::sources() const {
  std::string text;
  for (const ModuleFile& file : files) text += (text.empty() ? "" : " ") + file_of(file);
  return text;
}

std::string Design::verilog() const {
  std::string text;
  for (const ModuleFile& file : files) text += file.text;
  return text;
}

Design generate_design(const DesignSpec& spec, const Arch& arch, std::string_view wanted_top) {
  if (!wanted_top.empty()) check_top(wanted_top);
  Design d;
  d.spec = spec;
  d.technology = arch.technology;
  const auto top = [&](std::string_view own) { return wanted_top.empty() ? own : wanted_top; };
  const auto take_unit = [&](Unit unit) {
    d.report = unit.report;
    d.report.kind = spec.kind;
    d.files = {{unit.report.top, unit.verilog}};
    d.json = spec.kind == UnitKind::kQuantizer ? quantizer_json(unit, spec.quantizer)
                                               : to_json(unit.report);
    d.made = std::move(unit);
  };
  switch (spec.kind) {
    case UnitKind::kDot:
    case UnitKind::kBlockDot:
      take_unit(generate(spec.kind, spec.dot, arch, top("unit")));
      break;
    case UnitKind::kMulti:
    case UnitKind::kFused:
      take_unit(generate(spec.multi, arch, top("unit")));
      break;
    case UnitKind::kQuantizer:
      take_unit(generate_quantizer(spec.quantizer, arch, top("quantizer")));
      break;
    case UnitKind::kStream: {
      Stream stream = generate_stream(spec.dot, arch, top("stream"));
      d.report = shell_report(stream.unit.report, spec.kind, stream.top, stream.ports);
      d.files = stream.files;
      d.json = to_json(stream);
      d.made = std::move(stream);
      break;
    }
    case UnitKind::kArray: {
      Array array = generate_array(spec.array, arch, top("array"));
      d.report = array_report(array);
      d.report.spec_text = to_text(spec);
      d.files = array.files;
      d.json = to_json(array);
      d.made = std::move(array);
      break;
    }
  }
  return d;
}

}  // namespace blockdot::rtl_gen
