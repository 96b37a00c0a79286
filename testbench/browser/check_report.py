#!/usr/bin/env python3
"""Opens a report.html in headless Chromium and checks it against the results.json beside it.

    check_report.py FOLDER [--make PROGRAM] [--screenshot FILE.png] [--dark]

PROGRAM FOLDER is run first, to write the two files. Nothing of the page may complain on the console
or ask a network for anything; charts must have one mark for each number, tables one row for each
line of the data with the same figures, and the filters must change them. Exit 0: all as it should
be; 1: a check failed; 2: it could not be run.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from chromium import Browser, BrowserError

checks = 0
failures = []


def check(what, got, wanted):
    global checks
    checks += 1
    if got != wanted:
        failures.append(f"{what}: {got!r}, expected {wanted!r}")


def texts(page, selector):
    return page.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)")


def count(page, selector):
    return page.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length")


def choose(page, select, value):
    """Chooses an option as a reader does, and waits until the page is drawn again."""
    page.evaluate(f"""(() => {{ const s = document.getElementById({json.dumps(select)});
        s.value = {json.dumps(str(value))}; s.dispatchEvent(new Event("change")); }})()""")


def unique(values):
    return list(dict.fromkeys(values))


def check_charts(page, table):
    points, gemms, results = table["points"], table["gemms"], table["results"]
    area = [p for p in points if "area" in p["estimated"]]
    check("marks of accuracy against area", count(page, "#chart-area svg .points > *"), len(area))
    check("marks of accuracy against storage", count(page, "#chart-bits svg .points > *"), len(points))
    check("bars of throughput", count(page, "#chart-throughput svg .bars > *"), len(points))
    check("bars of density", count(page, "#chart-density svg .bars > *"), len(area))
    cells = {(gemms[r["gemm"]]["model"], gemms[r["gemm"]]["layer"], gemms[r["gemm"]]["role"], r["point"])
             for r in results}
    check("cells of the layer chart", count(page, "#chart-layers svg .cells > *"), len(cells))
    check("histograms are drawn", count(page, "#histograms figure svg .bins > *") > 0, True)
    check("every chart has a name", count(page, "figure svg:not([aria-label])"), 0)
    check("every chart is a table too", count(page, "figure:not(:has(details table tbody tr))"), 0)
    on_machine = [r for r in results if "machine" in r]
    if on_machine:
        check("a mark each GEMM on a machine", count(page, "#chart-roofline svg .gemms > *"), len(on_machine))
        machines = unique(tuple(r["machine"]["roofline"][w] for w in ("peak_gmac_per_s", "bandwidth_gbyte_per_s")) for r in on_machine)
        check("walls", count(page, "#chart-roofline svg g.wall"), len(machines))
        names = " ".join(texts(page, "#chart-roofline svg .wall-name text"))
        check("both walls have their names", ["compute wall" in names, "memory wall" in names], [True, True])
        causes = {(r["point"], cause) for r in on_machine for cause, n in
                  {"compute": r["machine"]["compute"], **r["machine"]["stalls"]}.items() if n}
        check("parts of the cycles", count(page, "#chart-cycles svg .causes > *"), len(causes))
        cycles = {}
        for r in on_machine:
            cycles[r["point"]] = cycles.get(r["point"], 0) + r["machine"]["cycles"]
        check("cycles of every point", texts(page, "#chart-cycles tbody td:nth-child(2)"), [f"{n:,}" for n in cycles.values()])
        narrow = [r for r in on_machine if r["machine"]["roofline"]["wall"] in ("quantiser", "banks")]
        check("dashes of narrower walls", count(page, "#chart-roofline svg .caps > *"), len(narrow))
        check_machine_tables(page, table, on_machine)
    else:
        check("no machine, no chart of one", count(page, "#machine"), 0)
    with_energy = any("energy" in p for p in points)
    check("marks of accuracy against energy", count(page, "#chart-energy svg .points > *"), len(points) if with_energy else 0)
    check("energy on three kinds of data", count(page, "#chart-data svg .data rect"), 3 * len(points) if with_energy else 0)
    fronts = [("chart-area", "snr_area"), ("chart-bits", "snr_bits")]
    for chart, front in fronts + ([("chart-energy", "snr_energy")] if with_energy else []):
        if front == "snr_area" and len({p["technology"] for p in points}) > 1:
            continue
        names = [points[i]["name"] for i in table["pareto"][front]]
        check(f"Pareto front of {chart}", page.evaluate(f"document.getElementById('{chart}').dataset.front"), "\n".join(names))


def check_machine_tables(page, table, on_machine):
    """Cycles, bytes and walls by layer, role and step: sums of the results', done once more."""
    points, gemms = table["points"], table["gemms"]
    model = (lambda g: g["model"] + " ") if len({g["model"] for g in gemms}) > 1 else (lambda g: "")
    keys = {"layers": lambda g: model(g) + g["layer"], "roles": lambda g: g["role"],
            "steps": lambda g: model(g) + str(g["step"])}
    for name, key in keys.items():
        groups = {}
        for r in on_machine:
            groups.setdefault((key(gemms[r["gemm"]]), points[r["point"]]["name"]), []).append(r["machine"])
        table_id = f"#table-machine-{name}"
        headers = texts(page, f"{table_id} thead th")
        column = lambda header: texts(page, f"{table_id} tbody tr > :nth-child({headers.index(header) + 1})")
        rows = list(zip(texts(page, f"{table_id} tbody th"), column("Design point")))
        check(f"rows of machine by {name}", sorted(rows), sorted(groups))
        total = lambda of, *names: f"{sum(m['traffic'][n] for m in of for n in names):,}"
        wanted = {"Cycles": lambda of: f"{sum(m['cycles'] for m in of):,}",
                  "load% of cycles": lambda of: f"{100 * sum(m['stalls']['load'] for m in of) / sum(m['cycles'] for m in of):.1f}",
                  "DRAM loadedbytes": lambda of: total(of, "dram_a", "dram_b"),
                  "DRAM storedbytes": lambda of: total(of, "dram_c"),
                  "SRAM readbytes": lambda of: total(of, "sram_a_read", "sram_b_read", "sram_c_read"),
                  "Partial sumsbytes": lambda of: total(of, "spilled")}
        for header, sums in wanted.items():
            check(f"{header} by {name}", column(header), [sums(groups[row]) for row in rows if row in groups])
        for row, wall in zip(rows, column("Wall")):  # one wall of all is the wall of their sum
            walls = {m["roofline"]["wall"] for m in groups.get(row, [])}
            if len(walls) == 1:
                check(f"wall of {row}", wall, walls.pop())


def check_head(page, table):
    head = dict(zip(texts(page, "#lead dt"), texts(page, "#lead dd")))
    for p in table["points"][:8]:
        check(f"the head names {p['name']}", p["name"] in head["Designs"], True)
    check("the head names the trace", head["Trace"].startswith(f"{table['trace']['name']}: {len(table['gemms'])} GEMM"), True)
    check("the head names the engine", head["Engine"], table["engine"])
    check("the head names the machine", "Machine" in head, any(p["machine"] for p in table["points"]))
    source = texts(page, "#chart-area figcaption span")[0]
    check("the area says where it is from", "area estimated" in source or "area synthesised" in source, True)


def check_tables(page, table):
    points, gemms, results = table["points"], table["gemms"], table["results"]
    many = len({g["model"] for g in gemms}) > 1
    layers = unique((g["model"] + " " if many else "") + g["layer"] for g in gemms)
    check("rows of design points", count(page, "#table-points tbody tr"), len(points))
    check("names of design points", texts(page, "#table-points tbody tr .name"), [p["name"] for p in points])
    check("rows by layer", texts(page, "#table-layers tbody th"), layers)
    check("rows by role", sorted(texts(page, "#table-roles tbody th")), sorted({g["role"] for g in gemms}))
    check("rows of GEMMs", count(page, "#table-gemms tbody tr"), len(results))
    headers = texts(page, "#table-points thead th")
    mean = headers.index("SNR meandB")
    shown = texts(page, f"#table-points tbody tr > :nth-child({mean + 1})")
    check("mean SNR of every point", shown, [f"{a['snr_mean_db']:.1f}" for a in table["aggregates"]["all"]])


def check_sorting(page):
    column = texts(page, "#table-gemms thead th").index("SNRdB") + 1
    for order in ("descending", "ascending"):
        page.evaluate(f"document.querySelector('#table-gemms thead th:nth-child({column}) button').click()")
        cells = texts(page, f"#table-gemms tbody td:nth-child({column})")
        numbers = [float(c.replace(",", "").replace("−", "-")) for c in cells if c not in ("exact", "–")]
        check(f"GEMMs sorted by SNR, {order}", numbers, sorted(numbers, reverse=order == "descending"))
        check("the sorted column says so", page.evaluate(
            f"document.querySelector('#table-gemms thead th:nth-child({column})').ariaSort"), order)


def check_filters(page, table):
    gemms, results = table["gemms"], table["results"]
    for key in ("model", "step", "role", "layer"):
        values = unique(g[key] for g in gemms)
        if len(values) < 2:
            check(f"no filter for one {key}", count(page, f"#filter-{key}"), 0)
            continue
        before = texts(page, "#table-roles tbody td")
        for value in (values[0], values[-1]):
            choose(page, f"filter-{key}", value)
            kept = [r for r in results if gemms[r["gemm"]][key] == value]
            check(f"GEMMs with {key} {value}", count(page, "#table-gemms tbody tr"), len(kept))
            check(f"count with {key} {value}", page.evaluate("document.getElementById('count').textContent"),
                  f"{len({r['gemm'] for r in kept})} of {len(gemms)} GEMM{'s' if len(gemms) != 1 else ''}")
        choose(page, f"filter-{key}", "")
        check(f"everything back after {key}", texts(page, "#table-roles tbody td"), before)
    captions = texts(page, "#histograms figcaption")
    choose(page, "pick-gemm", len(gemms) - 1)
    check("another GEMM has other histograms", texts(page, "#histograms figcaption") != captions, True)
    choose(page, "pick-gemm", 0)
    check("and the first has its own", texts(page, "#histograms figcaption"), captions)


def check_looks(browser, path):
    backgrounds = {}
    for dark in (False, True):
        for width in (1280, 420):
            page = browser.open(path, width=width, dark=dark)
            page.wait_for("document.documentElement.dataset.drawn")
            check(f"the page fits {width} pixels", page.evaluate("document.documentElement.scrollWidth") <= width, True)
            backgrounds[dark] = page.evaluate("getComputedStyle(document.body).backgroundColor")
            check(f"no complaints at {width} pixels, dark={dark}", page.complaints(), [])
    check("dark is not light", backgrounds[False] != backgrounds[True], True)


def check_verdict(browser, path):
    """A page that says ✓ although a product does not agree would be worse than none: the same page
    with checked values, as it is and after one product has been made to disagree without a mismatch."""
    page_text = path.read_text()
    start = page_text.index(">", page_text.index('id="data"')) + 1
    end = page_text.index("</script>", start)
    for disagree in (0, 1):
        table = json.loads(page_text[start:end])
        for point in table["points"]:
            point["verification"].update(checked=5, mismatches=0, cycle_delta=0, disagree=0)
        for result in table["results"]:
            result["agree"] = True
        if disagree:
            table["results"][0]["agree"] = False
            table["points"][table["results"][0]["point"]]["verification"]["disagree"] = 1
        changed = path.with_name(f"verdict-{disagree}.html")
        changed.write_text(page_text[:start] + json.dumps(table).replace("<", "\\u003c") + page_text[end:])
        page = browser.open(changed)
        page.wait_for("document.documentElement.dataset.drawn")
        verdict = texts(page, "#verdict")[0]
        check(f"the verdict with {disagree} in disagreement", verdict[:1], "✗" if disagree else "✓")
        check("its class", page.evaluate("document.getElementById('verdict').classList.contains('bad')"), bool(disagree))
        check("crosses among the points", count(page, "#table-points tbody .fail"), disagree)
        check("crosses among the GEMMs", count(page, "#table-gemms tbody .fail"), disagree)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--make", metavar="PROGRAM")
    parser.add_argument("--screenshot", type=Path)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--height", type=int, default=1180, help="of the screenshot, pixels")
    arguments = parser.parse_args()
    if arguments.make:
        subprocess.run([arguments.make, str(arguments.folder)], check=True)
    path = arguments.folder / "report.html"
    table = json.loads((arguments.folder / "results.json").read_text())
    with Browser() as browser:
        page = browser.open(path, dark=arguments.dark, height=arguments.height)
        page.wait_for("document.documentElement.dataset.drawn")
        if arguments.screenshot:
            page.screenshot(arguments.screenshot)
        inside = json.loads(page.evaluate("document.getElementById('data').textContent"))
        check("the page holds the same results", inside == table, True)
        check_charts(page, table)
        check_head(page, table)
        check_tables(page, table)
        check_filters(page, table)
        check_sorting(page)
        check("no complaints", page.complaints(), [])
        check_looks(browser, path)
        check_verdict(browser, path)
    for failure in failures:
        print(f"FAIL {failure}")
    print(f"check_report: {checks} checks, {len(failures)} failed")
    return 1 if failures or checks < 20 else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (BrowserError, OSError, ValueError, subprocess.CalledProcessError) as error:
        print(f"check_report: {error}", file=sys.stderr)
        sys.exit(2)
