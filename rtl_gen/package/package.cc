#include "rtl_gen/package/package.h"

#include <fmt/format.h>

#include <algorithm>

#include "formats/error.h"
#include "rtl_gen/package/constraints.h"
#include "rtl_gen/package/numbers.h"
#include "rtl_gen/package/timing.h"
#include "rtl_gen/package/wavedrom.h"

namespace blockdot::rtl_gen {
namespace {

/// FuseSoC's name of the core: vendor, library, name, version.
std::string core_name(const UnitReport& report) {
  return fmt::format("blockdot:units:{}:0.1.0", report.top);
}

// Verilator's -Wall wants a file named after its module; unit.v is called unit.v under any --top.
std::string lint_options(const UnitReport& report) {
  return report.top == "unit" ? "-Wall" : "-Wall, -Wno-DECLFILENAME";
}

std::string fusesoc_core(const UnitReport& report, bool testbench) {
  std::string text =
      fmt::format(R"(CAPI=2:
# FuseSoC core of {top}: fusesoc --cores-root . run --target=lint {name}
name: {name}
description: "{kind} unit of blockdot, {arch}"

filesets:
  rtl:
    files:
      - unit.v: {{file_type: verilogSource-2005}}
  constraints:
    files:
      - unit.sdc: {{file_type: SDC}}
      - unit.xdc: {{file_type: xdc}}
)",
                  fmt::arg("top", report.top), fmt::arg("name", core_name(report)),
                  fmt::arg("kind", to_text(report.kind)), fmt::arg("arch", report.arch_text));
  if (testbench)
    text += R"(  tb:
    files:
      - unit_tb.v: {file_type: verilogSource-2005}
      - vectors.hex: {file_type: user, copyto: vectors.hex}
)";
  text += fmt::format(R"(
targets:
  default: &default
    filesets: [rtl]
    toplevel: {top}
  lint:
    <<: *default
    description: Verilator's warnings, all of them
    default_tool: verilator
    tools:
      verilator:
        mode: lint-only
        verilator_options: [{lint}]
)",
                      fmt::arg("top", report.top), fmt::arg("lint", lint_options(report)));
  if (testbench)
    text += R"(  sim:
    description: The golden vectors in Icarus Verilog or, with --tool=verilator, in Verilator 5
    default_tool: icarus
    filesets: [rtl, tb]
    toplevel: unit_tb
    tools:
      icarus:
        iverilog_options: [-g2005]
      verilator:
        mode: cc
        verilator_options: [--main, --timing, -Wno-fatal]
)";
  text += R"(  synth:
    <<: *default
    description: Synthesis with Yosys or, with --tool=vivado, in Vivado
    default_tool: yosys
    filesets: [rtl, constraints]
    tools:
      yosys:
        arch: xilinx
      vivado:
        part: xcku5p-ffvb676-2-e
        pnr: none
)";
  return text;
}

std::string readme(const Unit& unit, const formats::DotSpec& spec, int results) {
  const UnitReport& r = unit.report;
  std::string text = fmt::format("# {}\n\n", r.top);
  text += r.kind == UnitKind::kBlockDot
              ? fmt::format("The exact dot product of {} pairs {} x {}, without rounding.\n",
                            spec.lanes, display_name(spec.a), display_name(spec.b))
              : fmt::format(
                    "Dot product of {} pairs {} x {} a beat, accumulated in {}, result in "
                    "{}.\n",
                    spec.lanes, display_name(spec.a), display_name(spec.b),
                    to_text(spec.accumulator), to_text(spec.output));
  text += fmt::format(
      "\nExact: {}.\n\n## Ports\n\n| port | direction | width | meaning |\n|---|---|---|---|\n",
      r.exact_level);
  for (const Port& port : r.ports)
    text += fmt::format("| `{}` | {} | {} | {} |\n", port.name, port.is_input ? "input" : "output",
                        port.width, port.meaning);

  text += fmt::format(
      "\n## Parameters\n\nThe module has none: widths are baked in, and the text that was verified "
      "is "
      "the text that ships.\nIt was generated from\n\n| parameter | value |\n|---|---|\n| spec | "
      "`{}` "
      "|\n| arch | {} |\n",
      r.spec_text, r.arch_text);
  const auto figure = [&](std::string_view name, const Figure& f) {
    if (!f.provenance.empty())
      text += fmt::format("| {} | {:.6g} {} ({}) |\n", name, f.value, f.unit, f.provenance);
  };
  figure("area", r.area);
  figure("longest path", r.critical_path_ns);
  figure("registers", r.register_bits);

  text += fmt::format("\n## Timing\n\nLatency {}, interval {}: ", r.latency, r.interval);
  const bool clocked =
      std::any_of(r.ports.begin(), r.ports.end(), [](const Port& p) { return p.name == "clk_i"; });
  if (r.latency == 0)
    text += "outputs belong to the inputs of the same cycle.";
  else
    text += fmt::format(
        "what is presented in cycle c is seen at the outputs in cycle c + {}, and a beat may be "
        "presented\nevery cycle. There is no back-pressure.",
        r.latency);
  if (r.kind == UnitKind::kDot)
    text +=
        " A beat with `valid_i` low changes nothing.\nThe first beat after reset must have "
        "`first_i`.";
  text +=
      "\n\n![Timing diagram](timing.svg)\n\n([timing.json](timing.json) is its WaveDrom source.) ";
  text += fmt::format("`unit.sdc` and `unit.xdc` constrain {} {:.6g} ns.\n",
                      clocked ? "the clock to" : "the paths from inputs to outputs to",
                      constrained_ns(r));
  if (clocked)
    text +=
        "They leave the synchronous reset untimed: hold it for two cycles or more and release it "
        "while\n`valid_i` is low.\n";

  text +=
      "\n## Number formats\n\n| number | format | layout, top bit first | value | range |\n"
      "|---|---|---|---|---|\n" +
      format_rows(r, spec) + "\n## Error bounds\n\n" + error_bounds(r, spec);

  text += "\n## Running the testbench\n\n";
  if (results > 0)
    text += fmt::format(
        "`unit_tb.v` checks {0} results against `vectors.hex`, computed from the definition and "
        "not "
        "from this\nVerilog. It prints `PASS {0}`, or the mismatches and `FAIL`. In this folder, "
        "Icarus Verilog:\n\n    iverilog -g2005 -o unit_tb unit.v unit_tb.v && vvp unit_tb\n\n"
        "Verilator 5:\n\n    verilator --binary --timing -Wno-fatal --top-module unit_tb unit.v "
        "unit_tb.v && obj_dir/Vunit_tb\n",
        results);
  else
    text += "Generated without one (`--vectors 0`).\n";
  text += "\n## FuseSoC\n\n";
  for (const std::string target :
       {"--target=lint", "--target=sim", "--target=sim --tool=verilator", "--target=synth"})
    if (results > 0 || !target.starts_with("--target=sim"))
      text += fmt::format("    fusesoc --cores-root . run {} {}\n", target, core_name(r));
  text += fmt::format(
      "\nA core that uses the unit names it in the `depend` of a fileset: `depend: [{}]`.\n",
      core_name(r));
  return text;
}

}  // namespace

std::vector<PackageFile> make_package(const Unit& unit, const formats::DotSpec& spec,
                                      int testbench_results) {
  const nlohmann::json timing = timing_diagram(unit);
  return {{"unit.sdc", constraints(unit.report, ConstraintsKind::kSdc)},
          {"unit.xdc", constraints(unit.report, ConstraintsKind::kXdc)},
          {"unit.core", fusesoc_core(unit.report, testbench_results > 0)},
          {"timing.json", timing.dump(2) + "\n"},
          {"timing.svg", draw_wavedrom(timing)},
          {"README.md", readme(unit, spec, testbench_results)}};
}

}  // namespace blockdot::rtl_gen
