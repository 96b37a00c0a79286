"""The work of scripts/bench_estimates.sh: run both design files through blockdot synth, write the page."""

import json
import pathlib
import statistics
import subprocess
import sys

SETS = [("Calibration", "explore/designs/calibration.toml"),
        ("Validation", "explore/designs/validation.toml")]

INTRO = """# Estimates

`unit.json` gives every unit estimates of area and delay, made in milliseconds without any tool. This page
says what they are worth. Written by `scripts/bench_estimates.sh`; `blockdot synth FILE` prints the same of any
design file.

**Area** is the sum over the bits of the lowered graph, without those that constants fix and those that nothing
reads (`rtl_gen/cost/area.cc`), in areas of a gate, an exclusive or, a multiplexer, an adder bit. **LUTs** are
counted by a small technology mapper (`rtl_gen/cost/luts.cc`). **Delay** is timed bit by bit
(`rtl_gen/cost/timing.cc`): the low bits of a sum come before its high bits, and a signal is late by the logarithm
of its readers. Each technology has one set of constants (`rtl_gen/cost/cost.cc`), fitted to the calibration units
below; nothing is fitted to a unit or a format. The validation units were drawn at random (`scripts/draw_validation.py`, the
seed is in `explore/designs/validation.toml`) and measured once, after the constants had been fitted. They are the second
set: in the first, a saturating window was estimated 39.9 % too slow, for comparisons with constants counted as whole carry
chains; that was mended, no constant changed, and windows joined the calibration units. Registers are counted as the Verilog
has them; synthesis merges equal ones and packs chains of them into shift registers, of a quantiser's on xilinx about a fifth.
The delay of xilinx units is a rule of thumb that no tool of this flow checks.

**Scope.** Both sets are `dot`, `block-dot`, `multi` and `fused` units of at most 16 lanes. Everything else is estimated by the
same rules without a table that says how well. The [RTL benchmark](rtl-benchmark.md) measures more lanes and structures by
hand; the worst of its estimates are the area of `multiplier=table,signs=negate` on osu018 (+58 %), the delay of Brent-Kung
trees (-21 %) and the LUTs of `multiplier=word,sum=tree` on xilinx (-45 %). A clock target is met by the estimate: leave the
worst error of the table as a margin, or measure.

**What ABC does to an adder.** It merges the gates of a carry tree, whatever its shape, into one chain that takes two bits a
cell, so a merge of two groups costs in proportion to the bits that the carry passes; full adder cells stay where they are,
and a bit that drives many of them is slow, because ABC sees neither their load nor their delay. Where constants fix the
carry (zeros below a word, 2^n - 1 - x) it leaves wires and inverters.
"""


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bench_estimates.sh: {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def error(unit, figure):
    """Of the estimate, relative to the measurement; None where one is missing."""
    estimate, measured = unit["estimates"].get(figure), unit["synthesised"].get(figure)
    return estimate["value"] / measured["value"] - 1 if estimate and measured else None


def summary(errors):
    errors = [100 * abs(e) for e in errors if e is not None]
    return f"{statistics.median(errors):.1f} % | {max(errors):.1f} %" if errors else "- | -"


def cell(unit, figure, digits):
    e = error(unit, figure)
    if e is None:
        return "- | - | -"
    return (f"{unit['estimates'][figure]['value']:,.{digits}f} "
            f"| {unit['synthesised'][figure]['value']:,.{digits}f} | {100 * e:+.1f} %")


def main():
    program, page = sys.argv[1:]
    results = [(title, json.loads(run(program, "--json", "synth", path))["units"])
               for title, path in SETS]
    packages = run("dpkg-query", "-W", "-f=${Package} ${Version}\\n", "yosys", "berkeley-abc",
                   "opensta", "qflow-tech-osu018").split("\n")
    lines = [INTRO, "Tools: " + ", ".join(p for p in packages if p) + ".", "",
             "| units | technology | number | area or LUTs: median | worst | delay: median | worst |",
             "|---|---|---|---|---|---|---|"]
    of = lambda units, technology: [u for u in units if f", {technology}" in u["arch"]]
    for title, units in results:
        for technology in ("osu018", "xilinx"):
            some = of(units, technology)
            lines.append(f"| {title.lower()} | {technology} | {len(some)} "
                         f"| {summary(error(u, 'area') for u in some)} "
                         f"| {summary(error(u, 'critical_path_ns') for u in some)} |")
    for title, units in results:
        lines += ["", f"## {title}", "",
                  "| osu018 | area, estimated | synthesised | | ns, estimated | synthesised | |",
                  "|---|---|---|---|---|---|---|"]
        lines += [f"| {u['name']} | {cell(u, 'area', 0)} | {cell(u, 'critical_path_ns', 2)} |"
                  for u in of(units, "osu018")]
        lines += ["", "| xilinx | LUTs, estimated | synthesised | |", "|---|---|---|---|"]
        lines += [f"| {u['name']} | {cell(u, 'area', 0)} |" for u in of(units, "xilinx")]
    temporary = pathlib.Path(page + ".tmp")
    temporary.write_text("\n".join(lines) + "\n")
    temporary.replace(page)


main()
