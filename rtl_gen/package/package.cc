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
std::string lint_options(const Design& design) {
  return design.file_of(design.files[0]) == design.files[0].file() ? "-Wall"
                                                                   : "-Wall, -Wno-DECLFILENAME";
}

// Units of a cell library are for the flow that has the library: no FPGA.
bool for_fpga(const Design& design) { return design.technology != Technology::kOsu018; }

/// Cells that the Verilog instantiates.
std::vector<std::string> library_cells(const Design& design) {
  const std::string verilog = design.verilog();
  std::vector<std::string> cells;
  for (const char* cell : {"FAX1", "HAX1"})
    if (verilog.find(fmt::format("\n  {} ", cell)) != std::string::npos)
      cells.push_back(fmt::format("`{}`", cell));
  return cells;
}

std::string fusesoc_core(const Design& design, bool testbench) {
  const UnitReport& report = design.report;
  std::string sources;
  for (const ModuleFile& file : design.files)
    sources += fmt::format("      - {}: {{file_type: verilogSource-2005}}\n", design.file_of(file));
  std::string text = fmt::format(R"(CAPI=2:
# FuseSoC core of {top}: fusesoc --cores-root . run --target=lint {name}
name: {name}
description: "{kind} unit of blockdot, {arch}"

filesets:
  rtl:
    files:
{sources}  constraints:
    files:
      - unit.sdc: {{file_type: SDC}}
)",
                                 fmt::arg("top", report.top), fmt::arg("name", core_name(report)),
                                 fmt::arg("kind", to_text(report.kind)),
                                 fmt::arg("arch", report.arch_text), fmt::arg("sources", sources));
  if (for_fpga(design)) text += "      - unit.xdc: {file_type: xdc}\n";
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
                      fmt::arg("top", report.top), fmt::arg("lint", lint_options(design)));
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
        verilator_options: [--main, --timing, -Wno-fatal, -fno-const-bit-op-tree]
)";
  if (for_fpga(design))
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

/// What the design does, one sentence.
std::string summary(const Design& design) {
  const UnitReport& r = design.report;
  const formats::DotSpec* dot = design.spec.contract();
  const std::string pairs =
      dot == nullptr
          ? ""
          : fmt::format("{} pairs {} x {}", dot->lanes, display_name(dot->a), display_name(dot->b));
  const auto accumulated = [&] {
    return fmt::format("{} a beat, accumulated in {}, result in {}", pairs,
                       to_text(dot->accumulator), to_text(dot->output));
  };
  switch (r.kind) {
    case UnitKind::kBlockDot:
      return fmt::format("The exact dot product of {}, without rounding.", pairs);
    case UnitKind::kDot:
      return fmt::format("Dot product of {}.", accumulated());
    case UnitKind::kStream:
      return fmt::format("Dot product of {}, behind AXI4-Stream.", accumulated());
    case UnitKind::kArray: {
      const ArraySpec& a = design.spec.array;
      return fmt::format(
          "{} array of {} x {} dot products, each of {}.",
          a.dataflow == Dataflow::kOutputStationary ? "Output-stationary" : "Weight-stationary",
          a.rows, a.cols, accumulated());
    }
    case UnitKind::kMulti:
    case UnitKind::kFused: {
      std::string text = purpose(design.spec.multi);
      text[0] = 'D';
      return text;
    }
    case UnitKind::kQuantizer: {
      const QuantizerSpec& q = design.spec.quantizer;
      return fmt::format("Quantiser: {} values {} a beat to {}{}.", lanes_of(q), to_text(q.input),
                         q.format.block > 0 ? "blocks of " : "", display_name(q.format));
    }
  }
  return "";
}

/// How tdata holds the operands and the result.
std::string stream_layout(const Stream& stream) {
  std::string text = "\n| field of | name | bits |\n|---|---|---|\n";
  const auto rows = [&](const char* bus, const std::vector<StreamField>& fields) {
    for (const StreamField& f : fields)
      text += fmt::format("| `{}` | {} | [{} +: {}] |\n", bus, f.name, f.lo, f.width);
  };
  rows("s_axis_tdata", stream.beat);
  rows("m_axis_tdata", stream.result);
  return text +
         "\nElement j of w bits stands at [j*w +: w] of its field; bits above the fields are "
         "zero, or not read.\n";
}

/// When outputs follow inputs, and what may stall.
std::string timing_text(const Design& design) {
  const UnitReport& r = design.report;
  std::string text = fmt::format("Latency {}, interval {}: ", r.latency, r.interval);
  switch (r.kind) {
    case UnitKind::kStream:
      return text +
             fmt::format(
                 "a last beat taken in cycle c shows its result in cycle c + {0} where no earlier "
                 "one waits,\nand a beat may be taken every cycle. A beat is taken only while "
                 "every result under way has a place in\na queue of {1}, so no stall loses one. "
                 "Without stalls n beats take n + {0} cycles from the first beat\nto the last "
                 "result, both counted.",
                 r.latency, std::get<Stream>(design.made).depth);
    case UnitKind::kArray: {
      const ArrayTiming& t = std::get<Array>(design.made).timing;
      text +=
          "an offer stands until it is taken; a stall on any border changes no result. Where "
          "every border is\nwilling, ";
      if (t.dataflow == Dataflow::kOutputStationary)
        return text +
               fmt::format(
                   "the first row of results leaves {0} cycles after the tile's last beat was "
                   "taken, and a tile of K\nbeats and m rows takes K + m + {1} cycles, the first "
                   "and the last counted. Up to {2} tile{3} may be\nbetween their last beat and "
                   "their last row; the last beat of the next one waits.",
                   r.latency, r.latency + 1, t.banks, t.banks > 1 ? "s" : "");
      return text +
             fmt::format(
                 "a row of results leaves {0} cycles after its row of a was taken in the last "
                 "pass. K beats take\nceil(K / {1}) passes of up to {1} beats of weights; a tile "
                 "of one pass and m rows takes K + m + {2} cycles,\nthe first and the last "
                 "counted. A row may enter the next pass {3} cycles after it entered this one.",
                 t.through(), t.rows, t.through() + 1, t.turn());
    }
    case UnitKind::kDot:
    case UnitKind::kBlockDot:
    case UnitKind::kMulti:
    case UnitKind::kFused:
    case UnitKind::kQuantizer:
      break;
  }
  if (r.latency == 0)
    text += "outputs belong to the inputs of the same cycle.";
  else
    text += fmt::format(
        "what is presented in cycle c is seen at the outputs in cycle c + {}, and a beat may be "
        "presented\nevery cycle. There is no back-pressure.",
        r.latency);
  if (r.kind == UnitKind::kDot || (r.kind == UnitKind::kMulti && design.spec.multi.accumulation))
    text +=
        " A beat with `valid_i` low changes nothing.\nThe first beat after reset must have "
        "`first_i`.";
  return text;
}

std::string readme(const Design& design, int checks) {
  const UnitReport& r = design.report;
  std::string text = fmt::format("# {}\n\n{}\n", r.top, summary(design));
  text += fmt::format(
      "\nExact: {}.\n\n## Ports\n\n| port | direction | width | meaning |\n|---|---|---|---|\n",
      r.exact_level);
  for (const Port& port : r.ports)
    text += fmt::format("| `{}` | {} | {} | {} |\n", port.name, port.is_input ? "input" : "output",
                        port.width, port.meaning);
  if (r.kind == UnitKind::kStream) text += stream_layout(std::get<Stream>(design.made));

  std::string parameters = "| parameter | width | default | meaning |\n|---|---|---|---|\n";
  for (const Parameter& p : r.parameters)
    parameters += fmt::format("| `{}` | {} | {} | {} |\n", p.name, p.width, p.value, p.meaning);
  text += fmt::format(
      "\n## Parameters\n\nWidths are baked in, and the text that was verified is the text that "
      "ships. {}\nIt was generated from\n\n| field | value |\n|---|---|\n| spec | `{}` |\n| arch | "
      "{} |\n",
      r.parameters.empty() ? "The module has no parameter."
                           : "The module's parameters are\n\n" + parameters,
      r.spec_text, r.arch_text);
  const auto figure = [&](std::string_view name, const Figure& f) {
    if (!f.provenance.empty())
      text += fmt::format("| {} | {:.6g} {} ({}) |\n", name, f.value, f.unit, f.provenance);
  };
  figure("area", r.area);
  figure("longest path", r.critical_path_ns);
  figure("registers", r.register_bits);

  text += "\n## Timing\n\n" + timing_text(design);
  const bool clocked =
      std::any_of(r.ports.begin(), r.ports.end(), [](const Port& p) { return p.name == "clk_i"; });
  text +=
      "\n\n![Timing diagram](timing.svg)\n\n([timing.json](timing.json) is its WaveDrom source.) ";
  text += fmt::format(
      "{} {} {:.6g} ns.\n",
      for_fpga(design) ? "`unit.sdc` and `unit.xdc` constrain" : "`unit.sdc` constrains",
      clocked ? "the clock to" : "the paths from inputs to outputs to", constrained_ns(r));
  if (clocked)
    text +=
        "The synchronous reset is left untimed: hold it for two cycles or more and release it "
        "while\nnothing is offered.\n";

  if (const std::vector<std::string> cells = library_cells(design); !cells.empty())
    text += fmt::format(
        "\n## Cells\n\nUnder `SYNTHESIS`, which synthesis tools define, the Verilog instantiates "
        "{} of "
        "the OSU 0.18 um\nlibrary: let the tool read `osu018_stdcells.lib` first (Yosys: "
        "`read_liberty "
        "-lib`). Elsewhere the same adders\nare gates in the same file: a simulator needs no model "
        "of "
        "a cell.\n",
        fmt::join(cells, " and "));

  text +=
      "\n## Number formats\n\n| number | format | layout, top bit first | value | range |\n"
      "|---|---|---|---|---|\n" +
      format_rows(design) + "\n## Error bounds\n\n" + error_bounds(design);

  text += "\n## Running the testbench\n\n";
  if (checks > 0) {
    text += fmt::format(
        "`unit_tb.v` makes {0} checks against `vectors.hex`, computed from the definition and not "
        "from this\nVerilog",
        checks);
    if (r.kind == UnitKind::kStream || r.kind == UnitKind::kArray)
      text +=
          ": first without stalls, counting the cycles, then with stalls of what offers, of what "
          "takes, and of\nboth";
    text += fmt::format(
        ". It prints `PASS {}`, or the mismatches and `FAIL`. In this folder, Icarus Verilog:\n\n"
        "    {}\n\nVerilator 5:\n\n    {}\n\n"
        "`-fno-const-bit-op-tree` belongs to every design that holds this unit: that step of "
        "Verilator's optimiser, up to\n5.026 at least, computes some trees of exclusive ors wrong "
        "(its issues 4059, 4709, 5186).\n",
        checks, icarus_command(design), verilator_command(design));
  } else {
    text += "Generated without one (`--vectors 0`).\n";
  }
  text += "\n## FuseSoC\n\n";
  for (const std::string target :
       {"--target=lint", "--target=sim", "--target=sim --tool=verilator", "--target=synth"})
    if ((checks > 0 || !target.starts_with("--target=sim")) &&
        (for_fpga(design) || target != "--target=synth"))
      text += fmt::format("    fusesoc --cores-root . run {} {}\n", target, core_name(r));
  text += fmt::format(
      "\nA core that uses the unit names it in the `depend` of a fileset: `depend: [{}]`.\n",
      core_name(r));
  return text;
}

}  // namespace

std::string icarus_command(const Design& design) {
  return fmt::format("iverilog -g2005 -o unit_tb {} unit_tb.v && vvp unit_tb", design.sources());
}

std::string verilator_command(const Design& design) {
  return fmt::format(
      "verilator --binary --timing -fno-const-bit-op-tree -Wno-fatal --top-module unit_tb {} "
      "unit_tb.v && "
      "obj_dir/Vunit_tb",
      design.sources());
}

std::vector<PackageFile> make_package(const Design& design, int checks) {
  const nlohmann::json timing = timing_diagram(design);
  std::vector<PackageFile> files = {
      {"unit.sdc", constraints(design.report, ConstraintsKind::kSdc)}};
  if (for_fpga(design))
    files.push_back({"unit.xdc", constraints(design.report, ConstraintsKind::kXdc)});
  files.insert(files.end(), {{"unit.core", fusesoc_core(design, checks > 0)},
                             {"timing.json", timing.dump(2) + "\n"},
                             {"timing.svg", draw_wavedrom(timing)},
                             {"README.md", readme(design, checks)}});
  return files;
}

}  // namespace blockdot::rtl_gen
