"""The work of scripts/bench_rtl.sh: generate, measure, write the page."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import subprocess
import sys

# What the best open design measured takes, its better run and its other one: LUT, (area, ns)...
# and the bar set for this generator: LUT, area, ns. 32 lanes, the same function.
BARS = {
    "mxint8": ("MXINT8", 6767, [(488982, 7.77), (520876, 6.63)], (2235, 282000, 5.5)),
    "mxfp4_e2m1": ("MXFP4 E2M1", 2243, [(113676, 5.71), (121347, 4.37)], (770, 92000, 5.3)),
    "mxfp8_e4m3": ("MXFP8 E4M3", 7297, [(481574, 10.18), (509549, 9.95)], (4900, 425000, 9.9)),
}

# Choices of --arch beside the cost model's own ("").
FRONT = {
    "mxint8": {
        "osu018": ["", "optimize=area", "optimize=delay", "multiplier=booth,adder=sparse",
                   "multiplier=booth,cells=library", "multiplier=array",
                   "multiplier=booth,cells=none"],
        "xilinx": ["", "multiplier=array,sum=tree", "multiplier=word,sum=tree"],
    },
    "mxfp4_e2m1": {
        "osu018": ["", "optimize=area", "optimize=delay", "align=split,signs=negate",
                   "align=split,signs=negate,adder=brent-kung", "multiplier=table,signs=negate",
                   "signs=before", "align=split,signs=extend", "align=before,signs=after",
                   "counters=6:3", "cells=none"],
        "xilinx": ["", "multiplier=array,align=split,sum=chain",
                   "align=shift,signs=after,sum=tree"],
    },
    "mxfp8_e4m3": {
        "osu018": ["", "optimize=area", "optimize=delay", "align=split,signs=negate",
                   "adder=sparse", "align=shift,signs=before", "align=split,signs=extend",
                   "align=bucket", "counters=6:3", "cells=none"],
        "xilinx": ["", "multiplier=array,align=split,sum=chain",
                   "multiplier=array,align=bucket,sum=chain", "align=split,signs=after,sum=tree"],
    },
}

# The same structures elsewhere, all chosen by the cost model: operands, lanes.
OTHERS = [("mxfp8_e5m2", "", 32), ("mxfp6_e3m2", "", 32), ("mxfp6_e2m3", "", 32), ("bm8", "", 32),
          ("mx9", "", 16), ("mxfp8_e4m3", "mxfp4_e2m1", 32), ("mxint8", "mxfp8_e4m3", 32)]
OTHERS += [(a, "", lanes) for a in BARS for lanes in (8, 16)]
OTHERS += [("e2m1@e8m0/64", "", 64)]

# Sums of several formats by mode with an FP32 addend, rounded once: title, modes, lanes, the best open
# design's LUT and (area, ns), the bar, choices of --arch.
FUSED = ("FP8 (E4M3 and E5M2 by mode), 8 terms + FP32", "e4m3,e5m2", 8, 4847, [(344878, 24.95)],
         (4000, 250000, 20.0),
         {"osu018": ["", "optimize=area", "align=shift,adder=sklansky", "adder=kogge-stone"],
          "xilinx": ["", "align=shift"]})
# The bare sums of several formats: modes, lanes.
MULTI = [("e4m3,e5m2", 8), ("e4m3,e5m2,e2m3,e3m2,e2m1", 8)]

STOCHASTIC = "explore/designs/stochastic.toml"

FLOW = pathlib.Path("scripts/measure_unit.sh")


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"bench_rtl.sh: {' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def versions():
    yosys = run(["yosys", "-V"]).split("(")[0].strip()
    packages = run(["dpkg-query", "-W", "-f=${Package} ${Version}\n", "yosys", "berkeley-abc",
                    "opensta", "qflow-tech-osu018"]).split("\n")
    return yosys, [p for p in packages if p]


class Bench:
    def __init__(self, program, folder):
        self.program = program
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tools = "\n".join(versions()[1])

    def measure(self, a, b, lanes, technology, arch):
        unit = ["--unit", "block-dot", "--a", a] + (["--b", b] if b else [])
        return self.take(f"{a}_{b}_{lanes}_{technology}_{arch}", unit, lanes, technology, arch)

    def measure_modes(self, kind, modes, lanes, technology, arch):
        return self.take(f"{kind}_{modes}_{lanes}_{technology}_{arch}",
                         ["--unit", kind, "--modes", modes], lanes, technology, arch)

    def take(self, name, unit, lanes, technology, arch):
        out = self.folder / hashlib.sha256(name.encode()).hexdigest()[:16]
        run([self.program, "gen", *unit, "--combinational", "--lanes", str(lanes), "--tech",
             technology, "--arch", arch, "--out", str(out), "--vectors", "200"])
        run(["iverilog", "-g2005", "-o", "tb", "unit.v", "unit_tb.v"], cwd=out)
        if "PASS" not in run(["vvp", "tb"], cwd=out):
            sys.exit(f"bench_rtl.sh: {name}: its testbench fails")
        report = json.loads((out / "unit.json").read_text())
        # What the comments say changes no netlist.
        text = "\n".join(line for line in (out / "unit.v").read_text().split("\n")
                         if not line.startswith("//"))
        key = hashlib.sha256((text + FLOW.read_text() + self.tools).encode()).hexdigest()[:24]
        kept = self.folder / f"{key}.json"
        if not kept.exists():
            modes = "fpga" if technology == "xilinx" else "asic buf"
            measured = run(["bash", str(FLOW), "unit", str(out / "unit.v")],
                           env={**os.environ, "MODES": modes})
            kept.write_text(measured)
            print(f"{name}: {measured.strip()}", file=sys.stderr, flush=True)
        result = json.loads(kept.read_text())
        result["estimated"] = report["estimates"]["area"]["value"]
        result["estimated_ns"] = report["estimates"]["critical_path_ns"]["value"]
        result["arch"] = report["arch"].split(", ", 2)[2] if report["arch"].count(", ") > 1 else ""
        return result


def better(result, area_bar, delay_bar):
    """Of the plain and the buffered netlist the one to quote: within the bar, else of less area."""
    runs = [(result["area"], result["delay_ns"], "plain"),
            (result["area_buf"], result["delay_ns_buf"], "buffered")]
    inside = [r for r in runs if r[0] <= area_bar and r[1] <= delay_bar]
    return (inside or sorted(runs))[0]


def number(value):
    return f"{value:,.0f}"


def percent(estimated, measured):
    return f"{100 * (estimated - measured) / measured:+.0f} %"


def main():
    program, folder, page = sys.argv[1:]
    bench = Bench(program, folder)
    jobs = []
    for a, technologies in FRONT.items():
        jobs += [(a, "", 32, t, arch) for t, archs in technologies.items() for arch in archs]
    jobs += [(a, b, lanes, t, "") for a, b, lanes in OTHERS for t in ("osu018", "xilinx")]
    title, modes, fused_lanes, fused_luts, fused_runs, fused_bar, fused_front = FUSED
    mode_jobs = [("fused", modes, fused_lanes, t, arch) for t, archs in fused_front.items()
                 for arch in archs]
    mode_jobs += [("multi", m, lanes, t, "") for m, lanes in MULTI for t in ("osu018", "xilinx")]
    workers = int(os.environ.get("BLOCKDOT_JOBS", "2"))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        results = dict(zip(jobs, pool.map(lambda job: bench.measure(*job), jobs)))
        results.update(zip(mode_jobs, pool.map(lambda job: bench.measure_modes(*job), mode_jobs)))
    fused = {(t, arch): results[("fused", modes, fused_lanes, t, arch)]
             for t, archs in fused_front.items() for arch in archs}

    yosys, packages = versions()
    lines = [
        "# RTL benchmark", "",
        "Combinational block dots of 32 lanes (`blockdot gen --unit block-dot --combinational`): exact sum,",
        "sum of the scale codes, NaN flag. Area and delay are of one netlist of the `--tech osu018` unit,",
        "LUTs of the `--tech xilinx` unit, all in the fixed flow of `scripts/measure_unit.sh`. Every unit",
        "passes its own testbench in Icarus before it is measured. Written by `scripts/bench_rtl.sh`.", "",
        f"Tools: {yosys}; " + ", ".join(packages) + ".", "",
        "## Against the best open design", "",
        "What the cost model chooses, nothing given by hand. Open design: its two runs in the same flow.", "",
        "| unit | LUT | area | ns | run | bar: LUT / area / ns | open design: LUT, area / ns | met |",
        "|---|---|---|---|---|---|---|---|"]
    rows = [(*bars, results[(a, "", 32, "osu018", "")], results[(a, "", 32, "xilinx", "")])
            for a, bars in BARS.items()]
    rows.append((title, fused_luts, fused_runs, fused_bar, fused[("osu018", "")],
                 fused[("xilinx", "")]))
    for title, luts, runs, bar, osu, fpga in rows:
        area, delay, which = better(osu, bar[1], bar[2])
        met = [name for name, ok in (("LUT", fpga["lut"] <= bar[0]), ("area", area <= bar[1]),
                                     ("delay", delay <= bar[2])) if ok]
        lines.append(
            f"| {title} | {number(fpga['lut'])} | {number(area)} | {delay:.2f} | {which} "
            f"| {number(bar[0])} / {number(bar[1])} / {bar[2]} | {number(luts)}; "
            + "; ".join(f"{number(x)} / {y}" for x, y in runs)
            + f" | {'all' if len(met) == 3 else ', '.join(met) or 'none'} |")
    lines += ["", "The last row is combinational too (`--unit fused`): all products and the addend in one exact",
              "sum, rounded once."]
    lines += ["", "## Front over the structures", "",
              "Each line is one `--arch`; fields that are not named are the cost model's. A dot marks the points",
              "that no other point of the format beats in area and delay at once (both runs count).", ""]
    for a, (title, luts, runs, bar) in BARS.items():
        lines += [f"### {title}", "", "| osu018 | area | ns | area, buffered | ns, buffered | estimate, area | estimate, ns | |",
                  "|---|---|---|---|---|---|---|---|"]
        points = []
        for arch in FRONT[a]["osu018"]:
            r = results[(a, "", 32, "osu018", arch)]
            points.append((arch, r, [(r["area"], r["delay_ns"]), (r["area_buf"], r["delay_ns_buf"])]))
        every = [p for _, _, pair in points for p in pair]
        for arch, r, pair in points:
            front = any(not any(q[0] <= p[0] and q[1] <= p[1] and q != p for q in every) for p in pair)
            lines.append(
                f"| `{arch or '(chosen)'}` | {number(r['area'])} | {r['delay_ns']:.2f} | {number(r['area_buf'])} "
                f"| {r['delay_ns_buf']:.2f} | {percent(r['estimated'], r['area'])} "
                f"| {percent(r['estimated_ns'], r['delay_ns_buf'])} | {'•' if front else ''} |")
        beaten = [f"{number(x)} / {y}" for x, y in runs if any(q[0] <= x and q[1] <= y for q in every)]
        lines += ["", f"Runs of the open design that some point beats in area and delay at once: "
                  f"{len(beaten)} of {len(runs)}.", "",
                  "| xilinx | LUT | estimate |", "|---|---|---|"]
        for arch in FRONT[a]["xilinx"]:
            r = results[(a, "", 32, "xilinx", arch)]
            lines.append(f"| `{arch or '(chosen)'}` | {number(r['lut'])} | {percent(r['estimated'], r['lut'])} |")
        lines.append("")
    lines += ["### " + FUSED[0], "",
              "| osu018 | area | ns | area, buffered | ns, buffered | estimate, area | estimate, ns |",
              "|---|---|---|---|---|---|---|"]
    for arch in fused_front["osu018"]:
        r = fused[("osu018", arch)]
        lines.append(f"| `{arch or '(chosen)'}` | {number(r['area'])} | {r['delay_ns']:.2f} | {number(r['area_buf'])} "
                     f"| {r['delay_ns_buf']:.2f} | {percent(r['estimated'], r['area'])} "
                     f"| {percent(r['estimated_ns'], r['delay_ns_buf'])} |")
    lines += ["", "| xilinx | LUT | estimate |", "|---|---|---|"]
    for arch in fused_front["xilinx"]:
        r = fused[("xilinx", arch)]
        lines.append(f"| `{arch or '(chosen)'}` | {number(r['lut'])} | {percent(r['estimated'], r['lut'])} |")
    lines += ["", "The chosen structures:", ""]
    for a, (title, *_) in BARS.items():
        for t in ("osu018", "xilinx"):
            lines.append(f"- {title}, {t}: `{results[(a, '', 32, t, '')]['arch']}`")
    lines += ["", "## Other formats and lane counts", "",
              "| operands | lanes | LUT | area | ns | area, buffered | ns, buffered |", "|---|---|---|---|---|---|---|"]
    for a, b, lanes in OTHERS:
        osu, fpga = results[(a, b, lanes, "osu018", "")], results[(a, b, lanes, "xilinx", "")]
        lines.append(f"| {a}{' x ' + b if b else ''} | {lanes} | {number(fpga['lut'])} | {number(osu['area'])} "
                     f"| {osu['delay_ns']:.2f} | {number(osu['area_buf'])} | {osu['delay_ns_buf']:.2f} |")
    for m, lanes in MULTI:
        osu, fpga = (results[("multi", m, lanes, t, "")] for t in ("osu018", "xilinx"))
        lines.append(f"| {m} by mode | {lanes} | {number(fpga['lut'])} | {number(osu['area'])} "
                     f"| {osu['delay_ns']:.2f} | {number(osu['area_buf'])} | {osu['delay_ns_buf']:.2f} |")
    lines += ["", "## Lazy and eager stochastic rounding", "",
              "Dot units whose accumulator rounds stochastically after every beat (`explore/designs/stochastic.toml`, by",
              "`blockdot synth`): the buffered run; the clocked path is the loop's.", "",
              "| unit | area | estimate | ns | estimate |", "|---|---|---|---|---|"]
    for unit in json.loads(run([program, "--json", "synth", STOCHASTIC]))["units"]:
        cells = []
        for figure, digits in (("area", 0), ("critical_path_ns", 2)):
            measured, estimated = (unit[kind][figure]["value"] for kind in ("synthesised", "estimates"))
            cells += [f"{measured:,.{digits}f}", percent(estimated, measured)]
        lines.append(f"| {unit['name']}: {' '.join(w for w in unit['spec'].split() if w[:2] in ('a=', 'la'))} | {' | '.join(cells)} |")
    temporary = pathlib.Path(page + ".tmp")
    temporary.write_text("\n".join(lines) + "\n")
    temporary.replace(page)


main()
