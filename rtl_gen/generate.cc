#include "rtl_gen/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "formats/error.h"
#include "formats/text.h"
#include "rtl_gen/build/lower.h"
#include "rtl_gen/choose.h"
#include "rtl_gen/emit/names.h"
#include "rtl_gen/units/lfsr.h"
#include "rtl_gen/units/multi.h"
#include "rtl_gen/units/unit.h"

namespace blockdot::rtl_gen {

using formats::AccumulatorKind;
using formats::DotSpec;

namespace {

constexpr const char* kSchema = "blockdot.unit/1";
constexpr std::string_view kDefaultTop = "unit";
constexpr std::size_t kMaxTopLength = 64;

// What the unit of this kind computes: a block dot neither accumulates nor rounds, and its nan_o
// marks NaN and Inf alike.
std::string spec_line(UnitKind kind, const DotSpec& spec) {
  if (kind == UnitKind::kDot) return to_text(spec);
  return fmt::format("a={} b={} lanes={}", to_text(spec.a), to_text(spec.b), spec.lanes);
}

// One argument for a shell: in single quotes where it holds more than plain characters.
std::string shell_argument(const std::string& text) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("_-./:@=,+").find(c) != std::string_view::npos;
  };
  return std::all_of(text.begin(), text.end(), plain) ? text : "'" + text + "'";
}

Graph build(UnitKind kind, const DotSpec& spec, bool framed, UnitFacts* facts,
            const Structure& structure, Technology technology) {
  formats::validate(spec);
  switch (kind) {
    case UnitKind::kDot:
      return build_dot_unit(spec, facts, structure, technology);
    case UnitKind::kBlockDot:
      return build_block_dot_unit(spec, framed, facts, structure, technology);
    case UnitKind::kMulti:
    case UnitKind::kFused:
    case UnitKind::kStream:
    case UnitKind::kArray:
    case UnitKind::kQuantizer:
      break;
  }
  BLOCKDOT_CHECK(false, "unit {} is no one dot product", to_text(kind));
  return {};
}

std::string element_meaning(const formats::BlockFormat& f, int lanes) {
  return fmt::format("{} codes {}, element j at bits [j*{} +: {}]", lanes, to_text(f.element),
                     f.element.width(), f.element.width());
}

std::string scale_meaning(const formats::ScaleFormat& f, bool of_result, std::string_view whose) {
  const std::string when =
      of_result ? fmt::format("{}, read with last_i", whose) : fmt::format("of {}", whose);
  switch (f.kind) {
    case formats::ScaleKind::kNone:
      return "";
    case formats::ScaleKind::kE8M0:
      return fmt::format("e8m0 code {}: 2^(code-127), 255 is NaN", when);
    case formats::ScaleKind::kMinifloat:
      return fmt::format("{} code {} without sign bit{}", to_text(f.minifloat), when,
                         f.of_maximum ? "; the value of the largest element" : "");
    case formats::ScaleKind::kInteger:
      return fmt::format("whole number {}", when);
    case formats::ScaleKind::kCodeBook:
      return fmt::format("{} index {}", formats::code_book_name(f.book), when);
  }
  return "";
}

std::string_view shared_by(formats::Span span) {
  switch (span) {
    case formats::Span::kBlock:
      return "the beat's block";
    case formats::Span::kRow:
      return "the row";
    case formats::Span::kTensor:
      return "the tensor";
  }
  return "";
}

// Ports of a unit with an accumulator that do not depend on its operands; empty: another one.
std::string common_meaning(const std::string& port, const formats::Accumulation& spec,
                           bool factor) {
  if (port == "first_i") return "it starts a result: the accumulator starts at zero";
  if (port == "last_i") return "it ends a result: valid_o follows after `latency` cycles";
  if (port == "valid_o") return "the outputs are those of a beat that asked for them";
  if (port == "result_o") return fmt::format("the dot product in {}", to_text(spec.output));
  if (port == kSeedParameter)
    return seed_meaning(spec.lfsr, formats::drawn_rounding(spec, factor).random_bits);
  return "";
}

std::string meaning_of(const std::string& port, const DotSpec& spec, const UnitFacts& facts) {
  const auto operand = [&](const formats::BlockFormat& f, std::string_view what) -> std::string {
    if (what == "_i") return element_meaning(f, spec.lanes);
    if (what == "_scale_i")
      return scale_meaning(f.scale, formats::scale_in_result(f), shared_by(f.span));
    if (what == "_outer_i")
      return scale_meaning(f.outer.scale, formats::outer_in_result(f),
                           f.outer.span == formats::Span::kBlock ? "the beat's group of blocks"
                                                                 : shared_by(f.outer.span));
    if (what == "_mean_i")
      return "binary32 that is added to scale * outer scale, rounded to binary32";
    return fmt::format("tau of each {} elements, group g at bits [g*{} +: {}]", f.micro.block,
                       f.micro.bits, f.micro.bits);
  };
  if (port == "valid_i") return "a beat is presented";
  if (port == "seed_load_i") return "load seed_i for the roundings of the beats after this one";
  if (port == "seed_i") return "state of the random stream; 0 is read as 1";
  if (std::string meaning = common_meaning(port, spec, formats::has_result_factor(spec));
      !meaning.empty())
    return meaning;
  if (port == "sum_o")
    return fmt::format("exact sum of products, two's complement, times 2^{}", facts.sum_lsb);
  if (port == "count_i") return "lanes that count, 1 to all; the products of those above are zero";
  if (port == "scale_o")
    return fmt::format("exponent of the scales: their factor is {}2^(scale_o{:+})",
                       facts.has_scale_sig ? "scale_sig_o * " : "", facts.scale_lsb);
  if (port == "scale_sig_o")
    return fmt::format(
        "significand of the scales{}{}", facts.scale_sig_signed ? ", two's complement" : "",
        facts.has_scale_exponent ? "" : fmt::format(", times 2^{}", facts.scale_lsb));
  if (port == "nan_o") return "some element is NaN or Inf or some scale is NaN: ignore the others";
  if (port.starts_with("a_")) return operand(spec.a, std::string_view(port).substr(1));
  if (port.starts_with("b_")) return operand(spec.b, std::string_view(port).substr(1));
  BLOCKDOT_CHECK(false, "port {}", port);
  return "";
}

// Of a command line: how it is built, and the module's name.
std::string arch_options(const Arch& arch, std::string_view top) {
  std::string text;
  text += arch.combinational ? " --combinational" : fmt::format(" --clock-ns {}", arch.clock_ns);
  text += fmt::format(" --tech {}", to_text(arch.technology));
  if (!arch.combinational && arch.schedule != ScheduleKind::kMinRegister)
    text += fmt::format(" --schedule {}", to_text(arch.schedule));
  if (arch.schedule == ScheduleKind::kRandom)
    text += fmt::format(" --schedule-seed {}", arch.schedule_seed);
  if (arch.structure != kPlain) text += fmt::format(" --arch {}", to_text(arch.structure));
  if (top != kDefaultTop) text += fmt::format(" --top {}", top);
  return text;
}

std::string accumulation_options(const formats::Accumulation& spec) {
  std::string text =
      fmt::format(" --accumulator {} --output {} --rounding {} --max-k {}",
                  shell_argument(to_text(spec.accumulator)), shell_argument(to_text(spec.output)),
                  to_text(spec.rounding), spec.max_k);
  if (spec.lfsr != formats::LfsrSpec{}) text += " --lfsr " + to_text(spec.lfsr);
  return text;
}

std::string command_line(UnitKind kind, const DotSpec& spec, const Arch& arch,
                         std::string_view top) {
  std::string text =
      fmt::format("blockdot gen --a {} --b {} --lanes {}", shell_argument(to_text(spec.a)),
                  shell_argument(to_text(spec.b)), spec.lanes);
  if (kind == UnitKind::kBlockDot) {
    text += " --unit block-dot";
  } else {
    text += accumulation_options(spec);
    if (spec.specials == formats::SpecialsPolicy::kNan) text += " --specials nan";
  }
  return text + arch_options(arch, top);
}

std::string command_line(const formats::MultiSpec& spec, const Arch& arch, std::string_view top) {
  std::string text = fmt::format("blockdot gen --unit {} --modes ", to_text(kind_of(spec)));
  for (std::size_t i = 0; i < spec.modes.size(); ++i)
    text += (i ? "," : "") + to_text(spec.modes[i]);
  text += fmt::format(" --lanes {}", spec.lanes);
  if (spec.addend)
    text += fmt::format(" --addend {} --rounding {}", shell_argument(to_text(*spec.addend)),
                        to_text(spec.rounding));
  if (spec.lfsr != formats::LfsrSpec{}) text += " --lfsr " + to_text(spec.lfsr);
  if (spec.accumulation) text += accumulation_options(*spec.accumulation);
  return text + arch_options(arch, top);
}

std::string meaning_of(const std::string& port, const formats::MultiSpec& spec,
                       const UnitFacts& facts) {
  if (spec.accumulation)
    if (std::string meaning = common_meaning(port, *spec.accumulation, false); !meaning.empty())
      return meaning;
  if (port == "valid_i") return "a beat is presented";
  if (port == "valid_o") return "the outputs are those of a beat";
  if (port == "mode_i") {
    std::string text;
    for (std::size_t i = 0; i < spec.modes.size(); ++i)
      text += fmt::format("{}{}: {}{}", i ? ", " : "", i, to_text(spec.modes[i]),
                          spec.terms(spec.modes[i]) == 2 ? ", two terms a lane" : "");
    return text;
  }
  if (port == "a_i" || port == "b_i") {
    const int slot = port == "a_i" ? spec.slot_a() : spec.slot_b();
    return fmt::format("{} slots, lane j at bits [j*{} +: {}], its codes from the lowest bit up",
                       spec.lanes, slot, slot);
  }
  if (port == "seed_load_i") return "load seed_i for the roundings of the beats after this one";
  if (port == "seed_i") return "state of the random stream; 0 is read as 1";
  if (port == kSeedParameter) return seed_meaning(spec.lfsr, spec.rounding.random_bits);
  if (port == "c_i") return fmt::format("addend in {}", to_text(*spec.addend));
  if (port == "result_o") return fmt::format("the rounded sum in {}", to_text(*spec.addend));
  if (port == "sum_o")
    return fmt::format("exact sum of products, two's complement, times 2^{}", facts.sum_lsb);
  if (port == "nan_o") return "some element is NaN or Inf: ignore sum_o";
  BLOCKDOT_CHECK(false, "port {}", port);
  return "";
}

// What a clock that was refused can be had with: the same unit with a Kulisch accumulator, in
// segments where it must. `exact`: that unit's spec and `build` its graph; `refused`: the spec that
// was, in segments of so many bits; `arch`: as it was asked for.
template <typename Spec>
std::string faster(const Spec& exact, const Spec& refused, int segment, const Arch& arch,
                   const std::function<Graph(const Structure&)>& build) {
  Structure structure = arch.structure;
  structure.rounding = SrPlace::kAuto;  // no draw of a beat here
  structure = choose(exact, arch.technology, structure).structure;
  structure.segment = kAutoSegment;
  const SegmentChoice choice = choose_segment(exact, arch.technology, structure, arch.clock_ns);
  if (choice.clock_ns == 0 || choice.clock_ns > arch.clock_ns) return "";
  structure.segment = choice.segment;
  if (exact == refused && structure.segment == segment) return "";
  // The choice has seen a unit of few lanes.
  const Graph lowered = lower(build(structure), sum_options(structure, arch.technology));
  if (fastest_clock_ns(lowered, CostModel(arch.technology)) > arch.clock_ns) return "";
  std::string text = "; accumulator kulisch fits this one";
  if (choice.segment > 0)
    text += fmt::format(" with --arch accumulator=segmented:{}", choice.segment);
  return text;
}

std::string purpose(UnitKind kind, const DotSpec& spec) {
  const std::string pairs =
      fmt::format("{} pairs {} x {}", spec.lanes, display_name(spec.a), display_name(spec.b));
  if (kind == UnitKind::kBlockDot) return "exact block dot product of " + pairs + ".";
  return fmt::format("dot product of {} a beat, accumulated in {}, result in {}.", pairs,
                     to_text(spec.accumulator), to_text(spec.output));
}

// `products`: of a beat; `any`: products, of which there may be max_k.
std::string exact_level(const formats::Accumulation& spec, const std::string& products,
                        std::string_view any) {
  switch (spec.accumulator.kind) {
    case AccumulatorKind::kKulisch:
      return fmt::format("the whole result is exact up to {} products {}, then rounded once to {}",
                         spec.max_k, any, to_text(spec.output));
    case AccumulatorKind::kKulischWindow:
      return fmt::format(
          "the {} of a beat are summed exactly, then truncated to a multiple of 2^{}{}; "
          "beats are added exactly and {} at 2^{}; the result is rounded once to {}",
          products, spec.accumulator.window.lsb,
          spec.accumulator.window.sticky ? " with a sticky bit" : "",
          spec.accumulator.window.saturate ? "saturate" : "wrap", spec.accumulator.window.msb,
          to_text(spec.output));
    case AccumulatorKind::kFloat:
      return fmt::format(
          "the {} of a beat and the accumulator are summed exactly and rounded once to {} "
          "each beat",
          products, to_text(spec.accumulator.format));
    case AccumulatorKind::kAligned:
      return fmt::format(
          "the {} of a beat and the accumulator are each truncated {} bits below their "
          "largest exponent, summed exactly and rounded once to {} each beat",
          products, spec.accumulator.fraction_bits, to_text(spec.accumulator.format));
  }
  return "";
}

}  // namespace

std::string exact_level(UnitKind kind, const DotSpec& spec) {
  const std::string products = fmt::format("{} products", spec.lanes);
  if (kind == UnitKind::kBlockDot)
    return fmt::format("the {} of a beat are summed exactly", products);
  return exact_level(spec, products, "of any two finite scales");
}

std::string purpose(const formats::MultiSpec& spec) {
  const std::string text =
      fmt::format("dot product of {} lane{} in {} format{}", spec.lanes, spec.lanes > 1 ? "s" : "",
                  spec.modes.size(), spec.modes.size() > 1 ? "s by mode" : "");
  if (spec.addend)
    return text + fmt::format(", with an addend, rounded once to {}.", to_text(*spec.addend));
  if (spec.accumulation)
    return text + fmt::format(", accumulated in {}, result in {}.",
                              to_text(spec.accumulation->accumulator),
                              to_text(spec.accumulation->output));
  return text + ", without rounding.";
}

void check_top(std::string_view top) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_";
  const auto legal = [&](char c) {
    return kLetters.find(c) != std::string_view::npos || (c >= '0' && c <= '9');
  };
  if (top.empty() || top.size() > kMaxTopLength || !std::all_of(top.begin(), top.end(), legal) ||
      kLetters.find(top[0]) == std::string_view::npos || is_keyword(top) || top == "unit_tb" ||
      top == "FAX1" || top == "HAX1")
    throw ConfigError(
        "top = {}: must be a Verilog identifier ([A-Za-z_][A-Za-z0-9_]*) of at most {} characters, "
        "no keyword of Verilog or SystemVerilog, not unit_tb, the testbench's name, and not FAX1 "
        "or HAX1, cells of osu018",
        top.empty() ? "(nothing)" : formats::shown(top), kMaxTopLength);
}

std::string port_meaning(const std::string& port, const DotSpec& spec) {
  return meaning_of(port, spec, {});
}

void note_facts(UnitReport& report, const UnitFacts& facts) {
  report.sum_lsb = facts.sum_lsb;
  report.sum_width = facts.sum_width;
  report.scale_lsb = facts.scale_lsb;
  report.accumulator_width = facts.accumulator_width;
  report.accumulator_lsb = facts.accumulator_lsb;
}

std::string_view to_text(UnitKind kind) {
  switch (kind) {
    case UnitKind::kDot:
      return "dot";
    case UnitKind::kBlockDot:
      return "block-dot";
    case UnitKind::kMulti:
      return "multi";
    case UnitKind::kFused:
      return "fused";
    case UnitKind::kStream:
      return "stream";
    case UnitKind::kArray:
      return "array";
    case UnitKind::kQuantizer:
      return "quantizer";
  }
  return "?";
}

UnitKind parse_unit_kind(std::string_view text) {
  std::vector<std::string> names;
  for (UnitKind k : {UnitKind::kDot, UnitKind::kBlockDot, UnitKind::kMulti, UnitKind::kFused,
                     UnitKind::kStream, UnitKind::kArray, UnitKind::kQuantizer}) {
    if (to_text(k) == text) return k;
    names.emplace_back(to_text(k));
  }
  throw ConfigError("unit = {}: must be dot, block-dot, multi, fused, stream, array or quantizer{}",
                    formats::shown(text), formats::did_you_mean(std::string(text), names));
}

std::string to_text(const Arch& arch) {
  std::string text = arch.combinational  ? "combinational"
                     : arch.clock_ns > 0 ? fmt::format("clock {} ns", arch.clock_ns)
                                         : "default clock";
  text += fmt::format(", {}", to_text(arch.technology));
  if (!arch.combinational) text += fmt::format(", {}", to_text(arch.schedule));
  if (!arch.combinational && arch.schedule == ScheduleKind::kRandom)
    text += fmt::format(" {}", arch.schedule_seed);
  if (arch.structure != kPlain && arch.structure != Structure{})
    text += ", " + given_text(arch.structure);
  return text;
}

void validate(const Arch& arch) {
  if (!(arch.clock_ns >= 0 && arch.clock_ns <= kMaxClockNs))
    throw ConfigError("clock-ns = {}: must be in (0, {}], or 0 for the default", arch.clock_ns,
                      kMaxClockNs);
  if (arch.combinational && arch.clock_ns != 0)
    throw ConfigError("clock-ns = {}: a combinational unit has no clock; give one of the two",
                      arch.clock_ns);
}

Graph build_graph(UnitKind kind, const DotSpec& spec) {
  return build(kind, spec, false, nullptr, kPlain, Technology::kGeneric);
}

Graph build_graph(const formats::MultiSpec& spec) {
  formats::validate(spec);
  return (spec.addend ? build_fused_unit : build_multi_unit)(spec, false, nullptr, kPlain,
                                                             Technology::kGeneric);
}

Unit build_unit(Graph graph, const Arch& wanted, std::string_view top, const UnitText& text) {
  validate(wanted);
  check_top(top);
  Unit unit;
  Arch arch = wanted;
  unit.graph = std::move(graph);
  unit.lowered = lower(unit.graph, sum_options(arch.structure, arch.technology));
  const CostModel cost(arch.technology);
  if (!arch.combinational && arch.clock_ns == 0)
    arch.clock_ns = std::max(cost.default_clock_ns(),
                             std::ceil(fastest_clock_ns(unit.lowered, cost) * 100) / 100);
  unit.schedule = make_schedule(
      unit.lowered, cost, {arch.clock_ns, arch.schedule, arch.schedule_seed, arch.combinational});

  UnitReport& r = unit.report;
  r.top = top;
  r.spec_text = text.spec;
  r.arch_text = to_text(arch);
  r.clock_ns = arch.clock_ns;
  r.latency = unit.schedule.latency;
  r.interval = 1;
  r.exact_level = text.exact;
  r.critical_node = unit.schedule.critical_node;
  if (!arch.combinational || !unit.lowered.states().empty()) {
    r.ports.push_back({"clk_i", true, 1, "clock, rising edge"});
    r.ports.push_back({"rst_ni", true, 1, "synchronous reset of the control state, active low"});
  }
  for (NodeId i : unit.lowered.inputs()) {
    const Node& n = unit.lowered.node(i);
    r.ports.push_back({n.name, true, n.width, text.meaning(n.name)});
  }
  for (const Graph::Output& o : unit.lowered.outputs())
    r.ports.push_back({o.name, false, unit.lowered.width(o.node), text.meaning(o.name)});

  const std::vector<bool> live = unit.lowered.live();
  for (const Graph::State& s : unit.lowered.states()) {
    const Node& n = unit.lowered.node(s.node);
    if (live[index(s.node)] && !n.parameter.empty())
      r.parameters.push_back(
          {n.parameter, n.width, n.value.limbs.at(0), text.meaning(n.parameter)});
  }

  const double area = cost.area(unit.lowered) +
                      static_cast<double>(unit.schedule.register_bits) * cost.register_area();
  r.area = {std::round(area), std::string(cost.area_unit()), "estimated"};
  r.critical_path_ns = {std::round(unit.schedule.critical_path_ns * 1000) / 1000, "ns",
                        "estimated"};
  r.register_bits = {static_cast<double>(unit.schedule.register_bits), "bits", "estimated"};
  if (arch.technology == Technology::kXilinx) r.luts = {std::round(area), "LUT", "estimated"};

  VerilogRequest request;
  request.module_name = r.top;
  request.ports = r.ports;
  request.parameters = r.parameters;
  request.header = {fmt::format("{}: {}", r.top, text.purpose), ""};
  if (!r.spec_text.empty()) request.header.push_back(fmt::format("  spec   {}", r.spec_text));
  request.header.push_back(fmt::format("  arch   {}", r.arch_text));
  request.header.push_back(fmt::format(
      "  cost   latency {}, interval {}, {} register bits, est. {:.2f} ns, est. {:.0f} {}",
      r.latency, r.interval, unit.schedule.register_bits, unit.schedule.critical_path_ns, area,
      cost.area_unit()));
  if (!r.exact_level.empty()) request.header.push_back(fmt::format("  exact  {}", r.exact_level));
  request.header.insert(
      request.header.end(),
      {"", "Generated by blockdot. Do not edit; regenerate with:", "  " + text.command(arch)});
  unit.verilog = emit_verilog(unit.lowered, unit.schedule, request);
  return unit;
}

Unit generate(UnitKind kind, const DotSpec& spec, const Arch& wanted, std::string_view top) {
  validate(wanted);
  check_top(top);
  formats::validate(spec);
  UnitFacts facts;
  Arch arch = wanted;
  arch.structure = choose(spec, arch.technology, arch.structure).structure;
  if (kind == UnitKind::kDot)
    arch.structure.segment =
        choose_segment(spec, arch.technology, arch.structure, arch.clock_ns).segment;
  else if (arch.structure.segment > 0)
    throw ConfigError("arch accumulator = segmented:{}: a bare block dot has no accumulator",
                      arch.structure.segment);
  if (kind == UnitKind::kBlockDot) arch.structure.rounding = SrPlace::kAuto;  // it rounds nothing
  Graph graph = build(kind, spec, !arch.combinational, &facts, arch.structure, arch.technology);
  UnitText text;
  text.purpose = purpose(kind, spec);
  text.spec = spec_line(kind, spec);
  text.exact = exact_level(kind, spec);
  text.meaning = [&](const std::string& port) { return meaning_of(port, spec, facts); };
  text.command = [&](const Arch& built) { return command_line(kind, spec, built, top); };
  Unit unit;
  try {
    unit = build_unit(std::move(graph), arch, top, text);
  } catch (const ConfigError& error) {
    if (kind != UnitKind::kDot) throw;
    DotSpec exact = spec;
    // An output that was not told how to round does it as the accumulator.
    if (exact.rounding == exact.accumulator.rounding) exact.rounding = {};
    exact.accumulator = {};
    throw ConfigError("{}{}", error.what(),
                      faster(exact, spec, arch.structure.segment, wanted, [&](const Structure& s) {
                        return build_dot_unit(exact, nullptr, s, arch.technology);
                      }));
  }
  unit.report.kind = kind;
  note_facts(unit.report, facts);
  return unit;
}

UnitKind kind_of(const formats::MultiSpec& spec) {
  return spec.addend ? UnitKind::kFused : UnitKind::kMulti;
}

Unit generate(const formats::MultiSpec& spec, const Arch& wanted, std::string_view top) {
  validate(wanted);
  check_top(top);
  formats::validate(spec);
  UnitFacts facts;
  Arch arch = wanted;
  arch.structure = choose(spec, arch.technology, arch.structure).structure;
  if (spec.accumulation)
    arch.structure.segment =
        choose_segment(spec, arch.technology, arch.structure, arch.clock_ns).segment;
  Graph graph = (spec.addend ? build_fused_unit : build_multi_unit)(
      spec, !arch.combinational, &facts, arch.structure, arch.technology);
  UnitText text;
  text.spec = to_text(spec);
  text.purpose = purpose(spec);
  if (spec.addend) {
    text.exact =
        fmt::format("the products and the addend are summed exactly and rounded once to {} ({})",
                    to_text(*spec.addend), to_text(spec.rounding));
  } else if (spec.accumulation) {
    text.exact = exact_level(*spec.accumulation, "products", "of any modes");
  } else {
    text.exact = "the products of all lanes are summed exactly";
  }
  text.meaning = [&](const std::string& port) { return meaning_of(port, spec, facts); };
  text.command = [&](const Arch& built) { return command_line(spec, built, top); };
  Unit unit;
  try {
    unit = build_unit(std::move(graph), arch, top, text);
  } catch (const ConfigError& error) {
    if (!spec.accumulation) throw;
    formats::MultiSpec exact = spec;
    formats::Accumulation& sum = *exact.accumulation;
    if (sum.rounding == sum.accumulator.rounding) sum.rounding = {};
    sum.accumulator = {};
    throw ConfigError("{}{}", error.what(),
                      faster(exact, spec, arch.structure.segment, wanted, [&](const Structure& s) {
                        return build_multi_unit(exact, true, nullptr, s, arch.technology);
                      }));
  }
  unit.report.kind = kind_of(spec);
  note_facts(unit.report, facts);
  return unit;
}

namespace {

Unit generate_half(Graph (*build)(const formats::MultiSpec&, UnitFacts*, const Structure&,
                                  Technology),
                   const formats::MultiSpec& spec, const Arch& wanted, std::string_view top) {
  validate(wanted);
  formats::validate(spec);
  BLOCKDOT_CHECK(spec.accumulation.has_value());
  Arch arch = wanted;
  arch.structure = choose(spec, arch.technology, arch.structure).structure;
  arch.structure.segment =
      choose_segment(spec, arch.technology, arch.structure, arch.clock_ns).segment;
  UnitFacts facts;
  UnitText text;
  text.purpose = "half of a unit of several formats";
  text.meaning = [](const std::string&) { return std::string("of the half"); };
  text.command = [](const Arch&) { return std::string("blockdot prove"); };
  Unit unit = build_unit(build(spec, &facts, arch.structure, arch.technology), arch, top, text);
  unit.report.kind = UnitKind::kMulti;
  note_facts(unit.report, facts);
  return unit;
}

}  // namespace

Unit generate_multi_beat(const formats::MultiSpec& spec, const Arch& arch, std::string_view top) {
  return generate_half(build_multi_beat, spec, arch, top);
}

Unit generate_multi_accumulator(const formats::MultiSpec& spec, const Arch& arch,
                                std::string_view top) {
  return generate_half(build_multi_accumulator, spec, arch, top);
}

nlohmann::json ports_json(const std::vector<Port>& ports) {
  nlohmann::json list = nlohmann::json::array();
  for (const Port& p : ports)
    list.push_back({{"name", p.name},
                    {"direction", p.is_input ? "input" : "output"},
                    {"width", p.width},
                    {"meaning", p.meaning}});
  return list;
}

nlohmann::json parameters_json(const std::vector<Parameter>& parameters) {
  nlohmann::json list = nlohmann::json::array();
  for (const Parameter& p : parameters)
    list.push_back(
        {{"name", p.name}, {"width", p.width}, {"default", p.value}, {"meaning", p.meaning}});
  return list;
}

nlohmann::json to_json(const UnitReport& r) {
  nlohmann::json estimates = nlohmann::json::object();
  const auto figure = [&](const char* name, const Figure& f) {
    if (!f.provenance.empty())
      estimates[name] = {{"value", f.value}, {"unit", f.unit}, {"provenance", f.provenance}};
  };
  figure("area", r.area);
  figure("critical_path_ns", r.critical_path_ns);
  figure("register_bits", r.register_bits);
  figure("luts", r.luts);
  return {{"schema", kSchema},
          {"top", r.top},
          {"kind", to_text(r.kind)},
          {"spec", r.spec_text},
          {"arch", r.arch_text},
          {"clock_ns", r.clock_ns},
          {"latency", r.latency},
          {"interval", r.interval},
          {"ports", ports_json(r.ports)},
          {"parameters", parameters_json(r.parameters)},
          {"estimates", estimates},
          {"critical_node", r.critical_node},
          {"exact_level", r.exact_level},
          {"sum", {{"width", r.sum_width}, {"lsb", r.sum_lsb}}},
          {"scale", {{"lsb", r.scale_lsb}}},
          {"accumulator", {{"width", r.accumulator_width}, {"lsb", r.accumulator_lsb}}}};
}

UnitReport report_from_json(const nlohmann::json& json) {
  try {
    if (json.at("schema") != kSchema)
      throw ConfigError("unit report: schema {} is not {}", json.at("schema").dump(), kSchema);
    UnitReport r;
    r.top = json.at("top");
    r.kind = parse_unit_kind(json.at("kind").get<std::string>());
    r.spec_text = json.at("spec");
    r.arch_text = json.at("arch");
    r.clock_ns = json.at("clock_ns");
    r.latency = json.at("latency");
    r.interval = json.at("interval");
    for (const auto& p : json.at("ports")) {
      const std::string direction = p.at("direction");
      if (direction != "input" && direction != "output")
        throw ConfigError("unit report: port direction {}: must be input or output", direction);
      r.ports.push_back({p.at("name"), direction == "input", p.at("width"), p.at("meaning")});
    }
    for (const auto& p : json.at("parameters"))
      r.parameters.push_back({p.at("name"), p.at("width"), p.at("default"), p.at("meaning")});
    const auto figure = [&](const char* name, Figure& f) {
      const auto& all = json.at("estimates");
      if (!all.contains(name)) return;
      f = {all.at(name).at("value"), all.at(name).at("unit"), all.at(name).at("provenance")};
    };
    figure("area", r.area);
    figure("critical_path_ns", r.critical_path_ns);
    figure("register_bits", r.register_bits);
    figure("luts", r.luts);
    r.critical_node = json.at("critical_node");
    r.exact_level = json.at("exact_level");
    r.sum_width = json.at("sum").at("width");
    r.sum_lsb = json.at("sum").at("lsb");
    r.scale_lsb = json.at("scale").at("lsb");
    r.accumulator_width = json.at("accumulator").at("width");
    r.accumulator_lsb = json.at("accumulator").at("lsb");
    return r;
  } catch (const nlohmann::json::exception& error) {
    throw ConfigError("unit report: {}", error.what());
  }
}

}  // namespace blockdot::rtl_gen
