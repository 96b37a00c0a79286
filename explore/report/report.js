// report.html's script: reads the result table (JSON, blockdot.compare/1) inside the page and draws
// its charts (Observable Plot) and tables. The filters choose which GEMMs everything is taken over.
"use strict";
(() => {
  const table = JSON.parse(document.getElementById("data").textContent);
  const { points, gemms } = table;
  const palette = ["#4269d0", "#e29a00", "#ff725c", "#39ab95", "#3ca951", "#e86f9f", "#a463f2", "#6f9fe0", "#9c6b4e", "#838995"];
  const colour = (i) => palette[i % palette.length];
  const kRoles = ["fprop", "dgrad", "wgrad"];
  const state = { model: "", step: "", role: "", layer: "", area: null, sort: {} };

  // ---- Small helpers ----
  const $ = (id) => document.getElementById(id);
  const el = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "onclick" || key === "onchange") node[key] = value;
      else if (value !== undefined && value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
    }
    node.append(...children.flat().filter((c) => c !== null && c !== undefined));
    return node;
  };
  const finite = (x) => typeof x === "number" && Number.isFinite(x);
  const number = (x, digits = 1) => (finite(x) ? x.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }) : "–");
  const whole = (x) => number(x, 0);
  // JSON has no infinity: the file says "inf". Of a decibel figure it means that nothing was lost.
  const real = (x) => (x === "inf" ? Infinity : x === "-inf" ? -Infinity : x === "nan" ? NaN : x);
  const decibels = (x) => (real(x) === Infinity ? "exact" : finite(x) ? `${number(x)} dB` : "–");
  const short = (x) => (finite(x) ? d3.format(".3~s")(x).replace("G", "B") : "–");
  const significant = (x, n = 3) => (finite(x) ? (x !== 0 && (Math.abs(x) < 1e-3 || Math.abs(x) >= 1e6) ? x.toExponential(n - 1) : d3.format(`.${n}~r`)(x)) : "–");
  const unique = (values) => [...new Set(values)];
  const plural = (n, word) => `${whole(n)} ${word}${n === 1 ? "" : "s"}`;

  // Where no result could be compared there is no noise either: that is no exact product.
  const snrOf = (r) => (r.error.fp64.compared > 0 ? real(r.error.fp64.snr_db) : NaN);
  const rows = table.results.map((r) => ({ ...r, p: points[r.point], g: gemms[r.gemm], snr: snrOf(r) }));

  // ---- Aggregates ----
  const selected = () => rows.filter((r) =>
    (!state.model || r.g.model === state.model) && (!state.step || String(r.g.step) === state.step) &&
    (!state.role || r.g.role === state.role) && (!state.layer || r.g.layer === state.layer));

  // One line of numbers for some rows of one point. A product whose result is exact has no SNR (it
  // is infinite) and stays out of the mean; min is over the others.
  function summary(some) {
    const snr = some.map((r) => r.snr).filter(finite);
    const timed = some.filter((r) => finite(r.cycles) && r.cycles > 0);
    const macs = d3.sum(timed, (r) => r.g.M * r.g.N * r.g.K);
    const ns = d3.sum(timed, (r) => r.cycles * r.p.clock_ns);
    return {
      count: some.length,
      snr: d3.mean(snr) ?? NaN,
      low: d3.min(snr) ?? NaN,
      high: d3.max(snr) ?? NaN,
      exact: some.some((r) => r.snr === Infinity),
      compared: d3.sum(some, (r) => r.error.fp64.compared),
      gmacs: ns > 0 ? macs / ns : NaN,
      utilisation: timed.length ? macs / (d3.sum(timed, (r) => r.cycles) * some[0].p.lanes * (some[0].p.units ?? 1)) : NaN,
      cosine: d3.mean(some, (r) => r.error.fp64.cosine) ?? NaN,
      energy: perMac(some, (r) => r.energy?.pj_per_mac), sram: perMac(some, (r) => r.energy?.sram_pj_per_mac),
      dram: perMac(some, (r) => r.energy?.dram_pj_per_mac),
    };
  }
  // Of all multiply-accumulates; only where it is known of all.
  function perMac(some, value) {
    const known = some.every((r) => finite(value(r)));
    return known && some.length ? d3.sum(some, (r) => value(r) * r.macs) / d3.sum(some, (r) => r.macs) : NaN;
  }
  const figure = (point, source, key) => point[source]?.[key]?.value;

  // Kinds of area: where the figure comes from and its unit. Areas of different technologies do not
  // compare, so the reader chooses one; at first what most points have, synthesised before estimated.
  const kinds = d3.rollups(points.flatMap((p) => ["synthesised", "estimated"].filter((s) => finite(figure(p, s, "area"))).map((s) => ({ source: s, unit: p[s].area.unit }))),
    (v) => ({ ...v[0], count: v.length }), (a) => `${a.source} ${a.unit}`).map(([key, a]) => ({ key, ...a }));
  state.area = kinds[d3.maxIndex(kinds, (a) => a.count)] ?? { key: "", source: "estimated", unit: "" };
  const areaOf = (p) => (p[state.area.source]?.area?.unit === state.area.unit ? p[state.area.source].area.value * (p.units ?? 1) : NaN);
  // The library's areas are in square micrometres (a NAND2X1 of 2.4 by 10 has 24).
  const prettyUnit = (u) => ({ "osu018 area": "µm²", NAND2: "NAND2 equivalents", LUT: "LUTs" })[u] ?? u;

  // Points that no other point beats in both: less x, more y (first of equals counts).
  function paretoFront(items, x, y) {
    let best = -Infinity;
    const front = [];
    for (const item of items.filter((i) => finite(x(i)) && finite(y(i))).sort((s, t) => x(s) - x(t) || y(t) - y(s)))
      if (y(item) > best) { front.push(item); best = y(item); }
    return front;
  }

  // ---- Tables ----
  // columns: {name, unit, value(row) -> number or text, show(row) -> text or node, text: left-aligned}
  function drawTable(id, columns, items) {
    const sort = state.sort[id];
    const ordered = [...items];
    if (sort) {
      const value = columns[sort.column].value;
      const key = (row) => { const v = value(row); return typeof v === "number" && !Number.isFinite(v) ? undefined : v; };
      ordered.sort((s, t) => (sort.down ? d3.descending(key(s), key(t)) : d3.ascending(key(s), key(t))));
    }
    const header = columns.map((c, i) => {
      const flip = () => {
        state.sort[id] = { column: i, down: sort?.column === i ? !sort.down : !c.text };
        drawTable(id, columns, items);
        $(id).querySelectorAll("thead button")[i].focus();
      };
      return el("th", { scope: "col", class: c.text && "text", "aria-sort": sort?.column === i ? (sort.down ? "descending" : "ascending") : null },
        el("button", { type: "button", onclick: flip }, c.name, c.unit ? el("span", { class: "unit" }, c.unit) : null));
    });
    const body = ordered.map((row) => el("tr", {}, columns.map((c, i) =>
      el(i === 0 ? "th" : "td", { class: c.text && "text", scope: i === 0 ? "row" : null }, c.show ? c.show(row) : String(c.value(row))))));
    $(id).replaceChildren(el("thead", {}, el("tr", {}, header)), el("tbody", {}, body));
  }
  const pointCell = (p) => el("span", {}, pointName(p), el("small", { class: "sub" }, `${format(p)}, ${p.lanes} lanes, ${p.accumulator} → ${p.output} ${p.rounding}`));
  const pointName = (p) => el("span", {}, el("span", { class: "swatch", style: `background:${colour(points.indexOf(p))}` }), el("span", { class: "name" }, p.name));
  const format = (p) => (p.a === p.b ? p.a : `${p.a} × ${p.b}`);

  function drawPoints(stats) {
    const from = (source, key, name, digits) => unique(points.map((p) => p[source]?.[key]?.unit).filter(Boolean)).map((unit) => {
      const get = (s) => (s.p[source]?.[key]?.unit === unit ? figure(s.p, source, key) : NaN);
      return { name, unit: `${prettyUnit(unit)} ${source === "estimated" ? "est." : "synth."}`, value: get, show: (s) => number(get(s), digits) };
    });
    drawTable("table-points", [
      { name: "Design point", text: true, value: (s) => s.p.name, show: (s) => pointCell(s.p) },
      { name: "Verified", value: (s) => s.p.verification.mismatches || s.p.verification.disagree, show: (s) => verified(s.p.verification) },
      { name: "SNR mean", unit: "dB", value: (s) => s.snr, show: (s) => number(s.snr) },
      { name: "SNR min", unit: "dB", value: (s) => s.low, show: (s) => number(s.low) },
      { name: "Throughput", unit: "GMAC/s", value: (s) => s.gmacs, show: (s) => number(s.gmacs, 2) },
      { name: "Storage", unit: "bits/elem.", value: (s) => s.p.bits_per_element, show: (s) => number(s.p.bits_per_element, 2) },
      ...(hasEnergy ? [{ name: "Energy", unit: "unit, pJ/MAC", value: (s) => s.energy, show: (s) => el("span", { title: energyNote(s.p) }, number(s.energy, 2)) }] : []),
      ...(hasMemory ? [{ name: "SRAM", unit: "pJ/MAC, 45 nm", value: (s) => s.sram, show: (s) => number(s.sram, 2) },
        { name: "DRAM", unit: "pJ/MAC, 45 nm", value: (s) => s.dram, show: (s) => number(s.dram, 2) }] : []),
      ...from("estimated", "area", hasMachine ? "Area of one" : "Area", 0),
      ...from("synthesised", "area", hasMachine ? "Area of one" : "Area", 0),
      { name: "Clock", unit: "ns", value: (s) => s.p.clock_ns, show: (s) => number(s.p.clock_ns, 2) },
      ...from("estimated", "critical_path_ns", "Path", 2),
      ...from("synthesised", "critical_path_ns", "Path", 2),
      ...from("estimated", "register_bits", "Registers", 0),
      { name: "Latency", unit: "cycles", value: (s) => s.p.latency },
      { name: "Utilised", unit: "%", value: (s) => s.utilisation, show: (s) => number(100 * s.utilisation) },
    ], stats);
  }
  function verified(p) {
    if (!p.checked && !p.disagree) return el("span", { title: "Run with --engine all to check the RTL against the model" }, "not run");
    if (!p.mismatches && !p.disagree) return el("span", { class: "ok", title: compared(p.checked, p.handshakes) + ", none differs" }, "✓");
    return el("span", { class: "fail", title: `among ${whole(p.checked)} values` }, p.mismatches ? `✗ ${whole(p.mismatches)}` : `✗ ${plural(p.disagree, "GEMM")}`);
  }

  const compared = (values, handshakes) => `${whole(values)} values${handshakes ? ` and ${whole(handshakes)} handshakes of the RTL` : ""} compared`;

  const hasEnergy = points.some((p) => p.energy), hasMemory = rows.some((r) => finite(r.energy?.dram_pj_per_mac));
  const energyNote = (p) => (p.energy ? `zeros ${number(p.energy.zeros_pj_per_mac, 2)}, Gaussian ${number(p.energy.gaussian_pj_per_mac, 2)} pJ/MAC; ${p.energy.provenance}` : "");

  // ---- Charts ----
  function drawFigure(id, title, subtitle, plot, headers, data) {
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", `${title}. ${subtitle}`);
    $(id).replaceChildren(
      el("figcaption", {}, el("b", {}, title), el("span", {}, subtitle)),
      el("div", { class: "scroll" }, plot),
      el("details", {}, el("summary", {}, "As a table"),
        el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, headers.map((h, i) => el("th", { scope: "col", class: i === 0 && "text" }, h)))),
          el("tbody", {}, data.map((row) => el("tr", {}, row.map((cell, i) => el(i === 0 ? "th" : "td", { class: i === 0 && "text", scope: i === 0 ? "row" : null }, cell)))))))));
  }
  const axis = { grid: true, labelAnchor: "center", labelArrow: "none", ticks: 6 };
  const base = { width: 560, height: 340, marginLeft: 52, marginBottom: 48, style: { background: "none", overflow: "visible" } };

  // Puts each label beside its mark, where it covers the fewest of the other labels, of all marks and
  // of the lines, within [left, right]. Positions are in pixels.
  function placeLabels(labelled, marks, lines, left, right) {
    const placed = [];
    for (const m of [...labelled].sort((s, t) => s.py - t.py)) {
      const w = m.label.length * 7.4 + 4;
      const boxes = [];
      for (const dy of [0, -14, 14, -28, 28])
        for (const side of [1, -1])
          boxes.push({ side, dy, x0: side > 0 ? m.px + 10 : m.px - 10 - w, x1: side > 0 ? m.px + 10 + w : m.px - 10, y0: m.py + dy - 7, y1: m.py + dy + 7 });
      const over = (b, x0, x1, y0, y1) => b.x0 < x1 && x0 < b.x1 && b.y0 < y1 && y0 < b.y1;
      const cost = (b) => 8 * ((b.x0 < left) + (b.x1 > right)) + 4 * placed.filter((p) => over(b, p.x0, p.x1, p.y0, p.y1)).length +
        3 * marks.filter((o) => over(b, o.px - 8, o.px + 8, o.py - 8, o.py + 8)).length +
        lines.filter(([[x0, y0], [x1, y1]]) => over(b, Math.min(x0, x1) - 2, Math.max(x0, x1) + 2, Math.min(y0, y1) - 2, Math.max(y0, y1) + 2)).length;
      const best = boxes[d3.minIndex(boxes, cost)];
      placed.push(best);
      Object.assign(m, { dx: 10 * best.side, dy: best.dy, anchor: best.side > 0 ? "start" : "end" });
    }
  }

  function scatter(id, title, subtitle, stats, x, xLabel, xShow) {
    const data = stats.filter((s) => finite(x(s)) && finite(s.snr));
    const front = paretoFront(data, x, (s) => s.snr);
    const onFront = new Set(front);
    const [x0, x1] = d3.extent(data, x);
    const [y0, y1] = [d3.min(data, (s) => s.low), d3.max(data, (s) => s.high)];
    const pad = (lo, hi, share) => { const d = (hi - lo || Math.abs(hi) || 1) * share; return [lo - d, hi + d]; };
    const log = x0 > 0 && x1 / x0 > 30;
    const xDomain = log ? [x0 / 1.4, x1 * 1.4] : pad(x0, x1, 0.14);
    if (!log && xDomain[0] < 0) xDomain[0] = 0;
    const yDomain = pad(y0, y1, 0.06);
    const options = { ...base, marginRight: 48, x: { ...axis, label: xLabel, domain: xDomain, type: log ? "log" : "linear", nice: true, tickFormat: xShow },
      y: { ...axis, label: "SNR (dB)", domain: yDomain, nice: true } };
    const scales = Plot.plot({ ...options, marks: [] });
    const sx = scales.scale("x"), sy = scales.scale("y");
    const labels = data.length > 14 ? data.filter((s) => onFront.has(s)) : data;
    for (const s of data) Object.assign(s, { label: s.p.name, px: sx.apply(x(s)), py: sy.apply(s.snr) });
    const line = front.length ? [...front.flatMap((s, i) => (i ? [[x(s), front[i - 1].snr], [x(s), s.snr]] : [[x(s), s.snr]])), [sx.domain.at(-1), front.at(-1).snr]] : [];
    const place = ([u, v]) => [sx.apply(u), sy.apply(v)];
    placeLabels(labels, data, [...d3.pairs(line), ...data.map((s) => [[x(s), s.low], [x(s), s.high]])].map((ends) => ends.map(place)), base.marginLeft, base.width);
    const plot = Plot.plot({ ...options, marks: [
      Plot.line(line, { stroke: "var(--soft)", strokeWidth: 1.4, strokeDasharray: "5 4" }),
      Plot.ruleX(data, { x, y1: "low", y2: "high", stroke: (s) => colour(s.i), strokeOpacity: 0.45, strokeWidth: 2.5, strokeLinecap: "round" }),
      Plot.dot(data, { x, y: "snr", r: 6.5, symbol: (s) => (s.p.accumulator.startsWith("kulisch") ? "circle" : "diamond"), fill: (s) => (onFront.has(s) ? colour(s.i) : "var(--card)"), stroke: (s) => colour(s.i), strokeWidth: 2, ariaLabel: (s) => s.p.name, className: "points" }),
      labels.map((s) => Plot.text([s], { x, y: "snr", text: (d) => d.label, dx: s.dx, dy: s.dy, textAnchor: s.anchor, fill: "currentColor", stroke: "var(--card)", strokeWidth: 4, fontWeight: onFront.has(s) ? 600 : 400 })),
      Plot.tip(data, Plot.pointer({ x, y: "snr", title: (s) => `${s.p.name}\n${format(s.p)}, ${s.p.accumulator}\nSNR mean ${number(s.snr)} dB (${number(s.low)} to ${number(s.high)})\n${xLabel}: ${xShow(x(s))}\n${onFront.has(s) ? "on the Pareto front" : "not on the front"}` })),
    ] });
    drawFigure(id, title, subtitle, plot, ["Design point", xLabel, "SNR mean (dB)", "SNR min (dB)", "Pareto front"],
      data.map((s) => [s.p.name, xShow(x(s)), number(s.snr), number(s.low), onFront.has(s) ? "yes" : "no"]));
    $(id).dataset.front = front.map((s) => s.p.name).join("\n");
  }

  function bars(id, title, subtitle, stats, value, label, digits) {
    const data = stats.filter((s) => finite(value(s)));
    const marginLeft = Math.min(240, 16 + 7 * d3.max(data, (s) => s.p.name.length));
    const show = (s) => (digits === undefined ? significant(value(s)) : number(value(s), digits));
    const plot = Plot.plot({ ...base, height: Math.max(150, 62 + 34 * data.length), marginLeft, marginRight: 56,
      x: { ...axis, label, tickFormat: (v) => significant(v), domain: [0, d3.max(data, value) || 1] },
      y: { label: null, domain: data.map((s) => s.p.name), padding: 0.32, tickSize: 0 },
      marks: [
        Plot.barX(data, { x: value, y: (s) => s.p.name, fill: (s) => colour(s.i), rx: 3, className: "bars" }),
        Plot.text(data, { x: value, y: (s) => s.p.name, text: show, textAnchor: "start", dx: 7, fill: "currentColor" }),
        Plot.ruleX([0], { stroke: "var(--line)" }),
      ] });
    drawFigure(id, title, subtitle, plot, ["Design point", label], data.map((s) => [s.p.name, show(s)]));
  }

  // ---- The machine ----
  const legend = (id, items) => $(id).querySelector("figcaption").after(el("ul", { class: "legend" },
    items.map(([name, fill]) => el("li", {}, el("span", { class: "swatch", style: `background:${fill}` }), name))));

  // Several GEMMs on one machine as one: sums, and the walls of sim/machine/report.h in ns.
  function machineSum(of) {
    const total = (get) => d3.sum(of, get), bytes = (...names) => d3.sum(names, (name) => total((m) => m.traffic[name])), roof = of[0].roofline;
    const macs = total((m) => m.macs), cycles = total((m) => m.cycles), bandwidth = roof.bandwidth_gbyte_per_s, quantiser = roof.quantizer_gbyte_per_s;
    const loaded = bytes("dram_a", "dram_b"), stored = bytes("dram_c");
    const walls = [["compute", macs / roof.peak_gmac_per_s], ["memory", bandwidth && (loaded + stored) / bandwidth],
      ["quantiser", quantiser && loaded / quantiser + stored / bandwidth], ["banks", total((m) => m.roofline.bank_cycles) * of[0].clock_ns]];
    const [wall, ns] = walls[d3.maxIndex(walls, ([, least]) => least)];
    const gmacs = macs / (cycles * of[0].clock_ns);
    return { cycles, loaded, stored, gmacs, wall, bound: macs / ns, utilisation: gmacs / roof.peak_gmac_per_s, intensity: macs / (loaded + stored),
      cause: Object.fromEntries(causes.map(([key]) => [key, total((m) => (key === "compute" ? m.compute : m.stalls[key]))])),
      read: bytes("sram_a_read", "sram_b_read", "sram_c_read"), written: bytes("sram_a_written", "sram_b_written", "sram_c_written"), spilled: bytes("spilled") };
  }
  function drawMachineGroups(id, first, key, order, some) {
    const groups = d3.group(some.filter((r) => r.machine), key);
    const items = order.filter((k) => groups.has(k)).flatMap((k) => d3.groups(groups.get(k), (r) => r.p).map(([p, of]) => ({ k, p, ...machineSum(of.map((r) => r.machine)) })));
    const bytes = (name, unit, key) => ({ name, unit, value: (i) => i[key], show: (i) => whole(i[key]) });
    drawTable(id, [
      { name: first, text: true, value: (i) => i.k },
      { name: "Design point", text: true, value: (i) => i.p.name, show: (i) => pointName(i.p) },
      { name: "Cycles", value: (i) => i.cycles, show: (i) => whole(i.cycles) },
      { name: "Utilisation", unit: "%", value: (i) => i.utilisation, show: (i) => number(100 * i.utilisation) },
      { name: "Throughput", unit: "GMAC/s", value: (i) => i.gmacs, show: (i) => number(i.gmacs, 2) },
      { name: "Bound", unit: "GMAC/s", value: (i) => i.bound, show: (i) => number(i.bound, 2) },
      { name: "Wall", text: true, value: (i) => i.wall },
      ...causes.map(([key, name]) => ({ name, unit: "% of cycles", value: (i) => i.cause[key] / i.cycles, show: (i) => number((100 * i.cause[key]) / i.cycles) })),
      { name: "Intensity", unit: "MAC/byte", value: (i) => i.intensity, show: (i) => significant(i.intensity) },
      bytes("DRAM loaded", "bytes", "loaded"), bytes("DRAM stored", "bytes", "stored"), bytes("SRAM read", "bytes", "read"), bytes("SRAM written", "bytes", "written"),
      bytes("Partial sums", "bytes", "spilled"),
    ], items);
  }
  // Each GEMM under the walls of its machine, both axes logarithmic.
  function drawRoofline(some) {
    const data = some.filter((r) => r.machine).map((r) => ({ r, i: r.point, x: r.machine.macs_per_byte, y: r.machine.gmac_per_s, roof: r.machine.roofline }));
    const shown = points.map((p, i) => ({ p, i })).filter(({ i }) => data.some((d) => d.i === i));
    const lo = d3.min(data, (d) => d.x) / 2, hi = Math.max(d3.max(data, (d) => d.x) * 2, d3.max(data, (d) => (d.roof.bandwidth_gbyte_per_s > 0 ? (10 * d.roof.peak_gmac_per_s) / d.roof.bandwidth_gbyte_per_s : 0)));
    // Each pair of walls once: in the colour of its design point, or in none where several share it.
    const walls = d3.rollups(data, (v) => unique(v.map((d) => d.i)), (d) => `${d.roof.peak_gmac_per_s} ${d.roof.bandwidth_gbyte_per_s}`).map(([key, of]) => {
      const [peak, bandwidth] = key.split(" ").map(Number);
      const at = (x) => (bandwidth > 0 ? Math.min(peak, bandwidth * x) : peak);
      const corner = Math.min(Math.max(bandwidth > 0 ? peak / bandwidth : lo, lo), hi);
      return { peak, bandwidth, corner, stroke: of.length > 1 ? "var(--soft)" : colour(of[0]), line: [lo, corner, hi].map((x) => [x, at(x)]) };
    }).sort((v, w) => w.peak - v.peak);
    // The highest walls have their names above them, the lowest below; those between have none.
    const named = walls.filter((w, n) => n === 0 || n === walls.length - 1).map((w, n) => ({ ...w, dy: n === 0 ? -8 : 12 }));
    const top = d3.max(data, (d) => d.roof.peak_gmac_per_s) * 2.2, bottom = Math.min(d3.min(data, (d) => d.y), d3.min(walls, (w) => w.line[0][1])) / 1.6;
    const ticks = (v) => d3.format("~r")(Number(v.toPrecision(3)));
    const options = { ...base, marginLeft: 58, marginRight: 16,
      x: { ...axis, type: "log", domain: [lo, hi], label: "Arithmetic intensity (MAC per DRAM byte)", tickFormat: ticks },
      y: { ...axis, type: "log", domain: [bottom, top], label: "Throughput (GMAC/s)", tickFormat: ticks } };
    const scales = Plot.plot({ ...options, marks: [] });
    const [sx, sy] = ["x", "y"].map((axis) => scales.scale(axis));
    // Along the slope, which is the same for every bandwidth where both axes are logarithmic.
    const turn = (180 / Math.PI) * Math.atan2(sy.apply(2) - sy.apply(1), sx.apply(2) - sx.apply(1));
    const middle = (w) => lo ** 0.62 * w.corner ** 0.38;
    const plot = Plot.plot({ ...options,
      marks: [
        walls.map((w) => Plot.line(w.line, { stroke: w.stroke, strokeWidth: 1.8, strokeOpacity: 0.75, className: "wall" })),
        named.map((w) => Plot.text([[hi, w.peak]], { text: () => `compute wall ${significant(w.peak)} GMAC/s`, textAnchor: "end", dy: w.dy, fill: "var(--soft)", className: "wall-name" })),
        named.filter((w) => w.bandwidth > 0 && w.corner > 1.5 * lo).map((w) => Plot.text([[middle(w), w.bandwidth * middle(w)]], { text: () => `memory wall ${significant(w.bandwidth)} GB/s`, rotate: turn, dx: w.dy < 0 ? -5 : 6, dy: w.dy < 0 ? -7 : 9, fill: "var(--soft)", className: "wall-name" })),
        // Walls of one GEMM: of the quantiser, whose share of the bytes differs, and of the banks.
        Plot.link(data.filter((d) => ["quantiser", "banks"].includes(d.roof.wall)), { x1: (d) => d.x / 1.1, x2: (d) => d.x * 1.1, y1: (d) => d.roof.bound_gmac_per_s, y2: (d) => d.roof.bound_gmac_per_s, stroke: (d) => colour(d.i), strokeWidth: 1.6, strokeOpacity: 0.7, className: "caps" }),
        Plot.dot(data, { x: "x", y: "y", r: 4.5, fill: (d) => colour(d.i), fillOpacity: 0.75, stroke: "var(--card)", strokeWidth: 0.8, className: "gemms" }),
        Plot.tip(data, Plot.pointer({ x: "x", y: "y", title: (d) => `${d.r.g.name}\n${d.r.p.name}\n${significant(d.x)} MAC/byte, ${significant(d.y)} GMAC/s\n${number(100 * d.roof.of_bound)} % of what the ${d.roof.wall} wall allows` })),
      ] });
    drawFigure("chart-roofline", "Roofline", "a mark each GEMM; walls: all of the DRAM's bandwidth, all units busy; a dash over a mark: its SRAM banks or its quantiser allow less", plot,
      ["GEMM", "Design point", "MAC/byte", "GMAC/s", "Bound (GMAC/s)", "Wall", "Of bound (%)"],
      data.map((d) => [d.r.g.name, d.r.p.name, significant(d.x), significant(d.y), significant(d.roof.bound_gmac_per_s), d.roof.wall, number(100 * d.roof.of_bound)]));
    legend("chart-roofline", shown.map(({ p, i }) => [p.name, colour(i)]));
  }

  // Greyed, since the strong colours are those of the design points.
  const causes = [
    ["compute", "compute", "#48687f"], ["fill", "fill", "#7d6482"], ["load", "load", "#a3bccb"], ["bank", "bank", "#94795b"],
    ["store", "store", "#d0c09c"], ["back_pressure", "back-pressure", "#85888f"], ["drain", "drain", "#bba6be"]];
  const onFill = (fill) => (d3.lab(fill).l > 62 ? "#10131c" : "#ffffff");
  function drawCycles(some) {
    const data = points.map((p, i) => {
      const of = some.filter((r) => r.point === i && r.machine).map((r) => r.machine);
      const cycles = d3.sum(of, (m) => m.cycles);
      return { p, cycles, parts: causes.map(([key, name, fill]) => ({ p: p.name, key, name, fill, cycles: d3.sum(of, (m) => (key === "compute" ? m.compute : m.stalls[key])) })) };
    }).filter((d) => d.cycles > 0);
    for (const d of data) {
      let at = 0;
      for (const part of d.parts) { part.share = (100 * part.cycles) / d.cycles; part.x1 = at; at += part.share; part.x2 = at; }
    }
    const parts = data.flatMap((d) => d.parts).filter((part) => part.cycles > 0);
    const marginLeft = Math.min(240, 16 + 7 * d3.max(data, (d) => d.p.name.length));
    const plot = Plot.plot({ ...base, height: Math.max(150, 62 + 34 * data.length), marginLeft, marginRight: 56,
      x: { ...axis, label: "Share of the cycles (%)", domain: [0, 100], ticks: 5 },
      y: { label: null, domain: data.map((d) => d.p.name), padding: 0.3, tickSize: 0 },
      marks: [
        Plot.barX(parts, { x1: "x1", x2: "x2", y: "p", fill: "fill", insetRight: 0.5, className: "causes", title: (c) => `${c.p}: ${c.name} ${whole(c.cycles)} cycles, ${number(c.share)} %` }),
        Plot.text(parts.filter((c) => c.share >= 7), { x: (c) => (c.x1 + c.x2) / 2, y: "p", text: (c) => number(c.share, 0), fill: (c) => onFill(c.fill), fontWeight: 600, pointerEvents: "none" }),
        Plot.text(data, { x: 100, y: (d) => d.p.name, text: (d) => short(d.cycles), textAnchor: "start", dx: 7, fill: "currentColor" }),
      ] });
    drawFigure("chart-cycles", "Where the cycles went", "of all cycles of the GEMMs; their number at the right", plot,
      ["Design point", "Cycles", ...causes.map(([, name]) => `${name} (%)`)], data.map((d) => [d.p.name, whole(d.cycles), ...d.parts.map((part) => number(part.share, 2))]));
    legend("chart-cycles", causes.filter(([key]) => parts.some((part) => part.key === key)).map(([, name, fill]) => [name, fill]));
  }
  // The same unit on other data.
  function drawEnergyByData(stats) {
    const kinds = [["zeros", "zeros", "#c3c8d2"], ["gaussian", "N(0, 1)", "#8d95a5"], ["trace", "these GEMMs", "conic-gradient(" + points.map((p, i) => `${colour(i)} 0 ${(100 * (i + 1)) / points.length}%`).join(", ") + ")"]];
    const data = stats.filter((s) => finite(s.energy)).flatMap((s) => kinds.map(([key, name, fill]) =>
      ({ p: s.p.name, name, fill: key === "trace" ? colour(s.i) : fill, pj: key === "trace" ? s.energy : s.p.energy[`${key}_pj_per_mac`] })));
    const marginLeft = Math.min(240, 16 + 7 * d3.max(data, (d) => d.p.length));
    const plot = Plot.plot({ ...base, height: Math.max(150, 62 + 58 * (data.length / 3)), marginLeft, marginRight: 56,
      fy: { label: null, domain: unique(data.map((d) => d.p)), padding: 0.2 }, y: { axis: null, domain: kinds.map(([, name]) => name), padding: 0.1 },
      x: { ...axis, label: "Energy of the unit (pJ/MAC, OSU 0.18 µm)", domain: [0, d3.max(data, (d) => d.pj)] },
      marks: [
        Plot.barX(data, { x: "pj", y: "name", fy: "p", fill: "fill", rx: 2, className: "data" }),
        Plot.text(data, { x: "pj", y: "name", fy: "p", text: (d) => significant(d.pj), textAnchor: "start", dx: 6, fontSize: 11, fill: "currentColor" }),
        Plot.axisFy({ anchor: "left", label: null }),
      ] });
    drawFigure("chart-data", "Energy by data", "the same gates on zeros, on Gaussian numbers and on the GEMMs", plot,
      ["Design point", "Data", "pJ/MAC"], data.map((d) => [d.p, d.name, significant(d.pj)]));
    legend("chart-data", kinds.map(([, name, fill]) => [name, fill]));
  }
  const hasMachine = rows.some((r) => r.machine);
  if (!hasMachine) $("machine").remove();
  if (!hasEnergy) for (const id of ["chart-energy", "chart-data"]) $(id).remove();

  function drawLayers(some) {
    const roles = unique(some.map((r) => r.g.role)).sort((s, t) => kRoles.indexOf(s) - kRoles.indexOf(t));
    const layers = layerOrder(some);
    const cells = d3.rollups(some, (v) => summary(v), (r) => r.g.role, (r) => layerName(r.g), (r) => r.p.name)
      .flatMap(([role, l]) => l.flatMap(([layer, p]) => p.map(([name, s]) => ({ role, layer, name, ...s }))));
    const [low, high] = d3.extent(cells.filter((c) => finite(c.snr)), (c) => c.snr);
    // Few points: layers down, points across; many points the other way round.
    const names = points.map((p) => p.name);
    const [down, across, x, y] = names.length > 8 ? [names, layers, "layer", "name"] : [layers, names, "name", "layer"];
    const longest = d3.max(across, (n) => n.length);
    const marginLeft = Math.min(260, 14 + 6.8 * d3.max(down, (l) => l.length));
    const cellWidth = Math.max(34, Math.min(118, (1150 - marginLeft) / (across.length * roles.length)));
    const turned = longest * 6.6 > cellWidth - 4;
    const width = Math.max(920, marginLeft + 20 + roles.length * (across.length * cellWidth + 14));
    const fits = (c) => (cellWidth < 40 ? c.toFixed(0) : c.toFixed(1));
    const plot = Plot.plot({ ...base, width, height: 78 + (turned ? longest * 4.4 : 0) + down.length * 30, marginLeft, marginTop: 44,
      marginBottom: turned ? 14 + longest * 4.9 : 30, marginRight: turned ? 30 : 12,
      fx: { domain: roles, label: null, padding: 0.03, axis: null },
      x: { domain: across, label: null, tickRotate: turned ? -38 : 0, tickSize: 0, padding: 0.05 }, y: { domain: down, label: null, tickSize: 0, padding: 0.07 },
      color: { type: "linear", domain: [low, low === high ? high + 1 : high], range: ["#20275e", "#2f6f9f", "#4bb59a", "#e8e27a"], interpolate: d3.interpolateLab },
      marks: [
        Plot.text(roles, { fx: (r) => r, text: (r) => roleTitle(r), frameAnchor: "top", dy: -22, fontWeight: 600, fontSize: 13 }),
        Plot.cell(cells.filter((c) => finite(c.snr) || c.exact), { fx: "role", x, y, fill: (c) => (finite(c.snr) ? c.snr : high), rx: 3, className: "cells", inset: 0.5 }),
        Plot.text(cells, { fx: "role", x, y, text: (c) => (finite(c.snr) ? fits(c.snr) : c.exact ? "exact" : "–"), fill: (c) => (finite(c.snr) ? (c.snr > low + (high - low) * 0.55 ? "#10131c" : "#ffffff") : c.exact ? "#10131c" : "currentColor"), fontSize: cellWidth < 56 ? 11 : 12.5, pointerEvents: "none" }),
        Plot.tip(cells, Plot.pointer({ fx: "role", x, y, title: (c) => `${c.layer}, ${c.role}\n${c.name}\nSNR mean ${number(c.snr)} dB, min ${number(c.low)} dB\n${plural(c.count, "GEMM")}\ncosine ${number(c.cosine, 6)}` })),
      ] });
    plot.style.minWidth = `${Math.min(width, 30 * across.length * roles.length + marginLeft)}px`;
    drawFigure("chart-layers", "SNR by layer, role and design point",
      `dB against the product of the operands before quantisation; brighter is more accurate${steps.length > 1 && !state.step ? "; mean over the steps" : ""}`, plot,
      ["Layer", "Role", "Design point", "SNR mean (dB)", "SNR min (dB)"], cells.map((c) => [c.layer, c.role, c.name, number(c.snr), number(c.low)]));
  }
  const roleTitle = (r) => ({ fprop: "fprop (forward)", dgrad: "dgrad (input gradient)", wgrad: "wgrad (weight gradient)" })[r] ?? r;

  // ---- Histograms ----
  const picks = { gemm: 0, point: 0 };
  function drawPickers() {
    const pick = (name, key, options) => el("label", {}, name,
      el("select", { id: `pick-${key}`, onchange: (e) => { picks[key] = Number(e.target.value); drawHistograms(); } },
        options.map(([value, text]) => el("option", { value, selected: picks[key] === value }, text))));
    $("pickers").replaceChildren(
      pick("GEMM", "gemm", gemms.map((g, i) => [i, g.name])),
      pick("Design point", "point", points.map((p, i) => [i, p.name])));
  }
  function drawHistograms() {
    const row = rows.find((r) => r.gemm === picks.gemm && r.point === picks.point);
    const g = gemms[picks.gemm];
    const cards = [];
    for (const side of ["a", "b"]) {
      const o = row?.operands[side];
      if (!o) continue;
      const share = (n) => `${significant((100 * n) / (o.count || 1))} %`;
      cards.push({ id: `histogram-${side}-values`, side, h: o.values, title: `Operand ${side.toUpperCase()}: magnitudes before quantisation`, counted: "elements",
        note: [side === "a" ? `op(A), ${g.M} × ${g.K}` : `op(B), ${g.K} × ${g.N}`, `${share(o.zeros)} zeros`, `${row.p.name} flushes ${share(o.flushed)} to zero, saturates ${share(o.saturated)}`,
          o.nan_in + o.inf_in ? `${whole(o.nan_in + o.inf_in)} NaN or Inf` : null] });
      if (o.scales.counts.length) {
        const { h, zero } = withoutZeroBlocks(o.scales);
        cards.push({ id: `histogram-${side}-scales`, side, h, title: `Operand ${side.toUpperCase()}: block scales`, counted: "blocks",
          note: [row.p.name, `QSNR ${decibels(o.qsnr_db)}`, `${whole(d3.sum(h.counts))} blocks`, zero ? `and ${whole(zero)} of zeros` : null] });
      }
    }
    if (row) cards.push({ id: "histogram-c-values", side: "c", h: row.results, title: "Result C: magnitudes", counted: "results",
      note: [`${row.p.name}, ${g.M} × ${g.N}`, `SNR ${decibels(row.snr)}`, `${whole(row.error.fp64.overflow)} overflow, ${whole(row.error.fp64.underflow)} underflow`] });
    $("histograms").replaceChildren(...cards.map((c) => el("figure", { id: c.id })));
    cards.forEach(histogram);
  }
  // A block of zeros has the least scale there is, 2^-127, far from every other.
  function withoutZeroBlocks(h) {
    const next = h.counts.findIndex((n, i) => i > 0 && n > 0);
    if (h.first !== -127 || (next > 0 && next < 20)) return { h, zero: 0 };
    return { h: next < 0 ? { ...h, first: 0, counts: [] } : { ...h, first: h.first + next, counts: h.counts.slice(next) }, zero: h.counts[0] };
  }
  function histogram({ id, title, side, h, note, counted }) {
    const total = d3.sum(h.counts) + (h.zeros ?? 0) + (h.infinities ?? 0) + (h.nans ?? 0) || 1;
    const bins = h.counts.map((count, i) => ({ e: h.first + i, count, share: count / total }));
    const colours = { a: "#5f7390", b: "#8a7663", c: "#7d6482" };  // of no design point
    const plot = Plot.plot({ ...base, height: 230,
      x: { ...axis, grid: false, label: "floor(log2 |x|)", ticks: 10, tickFormat: (v) => (Number.isInteger(v) ? String(v) : ""), domain: bins.length ? [bins[0].e - 1, bins.at(-1).e + 1] : [0, 1] },
      y: { ...axis, label: `share of ${counted} (%)`, percent: true, ticks: 5 },
      marks: [
        Plot.rectY(bins, { x1: (b) => b.e - 0.5, x2: (b) => b.e + 0.5, y: "share", fill: colours[side], fillOpacity: counted === "blocks" ? 0.65 : 1, className: "bins", insetLeft: 0.5, insetRight: 0.5 }),
        Plot.ruleY([0], { stroke: "var(--soft)" }),
        Plot.tip(bins, Plot.pointerX({ x: "e", y: "share", title: (b) => `2^${b.e} ≤ |x| < 2^${b.e + 1}\n${whole(b.count)} ${counted} (${(100 * b.share).toFixed(2)} %)` })),
      ] });
    drawFigure(id, title, note.filter(Boolean).join("; "), plot, ["floor(log2 |x|)", counted, "Share (%)"], bins.filter((b) => b.count).map((b) => [String(b.e), whole(b.count), (100 * b.share).toFixed(2)]));
  }

  // ---- Per layer, per role, per GEMM ----
  const models = unique(gemms.map((g) => g.model)), steps = unique(gemms.map((g) => g.step)).sort(d3.ascending);
  const layerName = (g) => (models.length > 1 ? `${g.model} ${g.layer}` : g.layer);
  const stepName = (g) => (models.length > 1 ? `${g.model} ${g.step}` : String(g.step));
  const layerOrder = (some) => unique(some.map((r) => layerName(r.g)));
  function drawGroups(id, first, key, order, some) {
    const groups = d3.group(some, key);
    const items = order.filter((k) => groups.has(k)).map((k) => ({ k, of: points.map((p) => summary(groups.get(k).filter((r) => r.p === p))), all: groups.get(k) }));
    const perPoint = new Set();
    drawTable(id, [
      { name: first, text: true, value: (i) => i.k },
      { name: "GEMMs", value: (i) => (perPoint.clear(), i.all.forEach((r) => perPoint.add(r.gemm)), perPoint.size) },
      ...points.map((p, n) => ({ name: p.name, unit: "dB mean (min)", value: (i) => i.of[n].snr, show: (i) => `${number(i.of[n].snr)} (${number(i.of[n].low)})` })),
    ], items);
  }
  function drawGemms(some) {
    $("gemms-summary").textContent = `${plural(some.length, "result")}: each design point on each GEMM`;
    drawTable("table-gemms", [
      { name: "GEMM", text: true, value: (r) => r.g.name },
      { name: "Design point", text: true, value: (r) => r.p.name, show: (r) => pointName(r.p) },
      { name: "M × N × K", value: (r) => r.g.M * r.g.N * r.g.K, show: (r) => `${r.g.M} × ${r.g.N} × ${r.g.K}` },
      { name: "SNR", unit: "dB", value: (r) => r.snr, show: (r) => (r.snr === Infinity ? "exact" : number(r.snr, 2)) },
      { name: "QSNR A", unit: "dB", value: (r) => real(r.operands.a.qsnr_db), show: (r) => (real(r.operands.a.qsnr_db) === Infinity ? "exact" : number(r.operands.a.qsnr_db)) },
      { name: "QSNR B", unit: "dB", value: (r) => real(r.operands.b.qsnr_db), show: (r) => (real(r.operands.b.qsnr_db) === Infinity ? "exact" : number(r.operands.b.qsnr_db)) },
      { name: "Rel. error", unit: "Frobenius", value: (r) => real(r.error.fp64.rel_frobenius), show: (r) => significant(r.error.fp64.rel_frobenius) },
      { name: "Cosine", value: (r) => real(r.error.fp64.cosine), show: (r) => number(r.error.fp64.cosine, 6) },
      { name: "Max error", unit: "output ulp", value: (r) => real(r.error.fp64.max_ulp_output), show: (r) => significant(r.error.fp64.max_ulp_output) },
      { name: "Overflow", value: (r) => r.error.fp64.overflow, show: (r) => whole(r.error.fp64.overflow) },
      { name: "Underflow", value: (r) => r.error.fp64.underflow, show: (r) => whole(r.error.fp64.underflow) },
      { name: "NaN, Inf", value: (r) => r.error.fp64.nan + r.error.fp64.inf, show: (r) => whole(r.error.fp64.nan + r.error.fp64.inf) },
      { name: "Cycles", value: (r) => r.cycles ?? NaN, show: (r) => whole(r.cycles) },
      { name: "Utilisation", unit: "%", value: (r) => r.utilisation ?? NaN, show: (r) => number(100 * r.utilisation) },
      { name: "GMAC/s", value: (r) => r.gmac_per_s ?? NaN, show: (r) => number(r.gmac_per_s, 2) },
      ...(hasEnergy ? [{ name: "Energy", unit: "pJ/MAC", value: (r) => r.energy?.pj_per_mac ?? NaN, show: (r) => number(r.energy?.pj_per_mac, 2) }] : []),
      { name: "Mismatches", value: (r) => r.mismatches ?? NaN, show: (r) => (!r.agree ? el("span", { class: "fail", title: r.first_mismatch }, r.mismatches ? whole(r.mismatches) : "disagree") : r.engines.some((run) => run.checked) ? el("span", { class: "ok" }, whole(r.mismatches)) : "not run") },
    ], some);
  }

  // ---- Head, filters, notes ----
  function drawHead() {
    const t = table.trace;
    $("program-version").textContent = table.program.replace(/^blockdot ?/, "");
    const made = [t.recipe?.dataset].filter(Boolean).map((d) => `, recorded on ${d}`).join("");
    const some = (names, most) => names.slice(0, most).join(", ") + (names.length > most ? ` and ${names.length - most} more` : "");
    $("lead").replaceChildren(...[
      ["Designs", some(points.map((p) => p.name), 8)],
      ["Trace", `${t.name}: ${plural(gemms.length, "GEMM")} of ${models.length > 1 ? "models" : "model"} ${some(models, 8)}, ` +
        `${steps.length > 1 ? "steps" : "step"} ${some(steps, 8)}, ${unique(gemms.map((g) => g.role)).join(", ")}${made}`],
      ...(hasMachine ? [["Machine", some(unique(points.map((p) => p.machine).filter(Boolean)), 2)]] : []),
      ["Engine", table.engine],
    ].flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]));
    const all = points.map((p) => p.verification);
    const checked = d3.sum(all, (v) => v.checked), handshakes = d3.sum(all, (v) => v.handshakes), wrong = d3.sum(all, (v) => v.mismatches), delta = d3.max(all, (v) => v.cycle_delta), disagree = d3.sum(all, (v) => v.disagree);
    const verdict = $("verdict");
    if (!checked && !disagree) {
      verdict.className = "verdict plain";
      verdict.textContent = "Values of the fast exact kernels; the RTL was not run. Use --engine all to check it in lock-step.";
    } else if (wrong || disagree) {
      verdict.className = "verdict bad";
      verdict.textContent = `✗ ${whole(wrong)} ${wrong === 1 ? "mismatch" : "mismatches"}; ${whole(disagree)} of ${plural(rows.length, "replay")} do not agree or were not compared in full; ${compared(checked, handshakes)}; largest cycle difference ${whole(delta)}`;
    } else {
      verdict.textContent = `✓ ${handshakes ? "Verified" : "The RTL was not run"}: ${compared(checked, handshakes)} in ${plural(rows.length, "replay")}, 0 mismatches, ${delta ? `cycle difference ${whole(delta)} under stalls` : "cycle difference 0"}`;
    }
  }
  function drawTiles(stats) {
    // Of one point alone there is no best.
    const of = (best, alone) => (points.length > 1 ? best : alone);
    const tile = (name, best, show) => (best ? [el("div", {}, el("dt", {}, name), el("dd", {}, show(best)), el("dd", {}, best.p.name))] : []);
    const area = (s) => areaOf(s.p);
    const pickMost = (f) => { const i = d3.maxIndex(stats, (s) => (finite(f(s)) ? f(s) : undefined)); return i < 0 ? null : stats[i]; };
    const pickLeast = (f) => { const i = d3.minIndex(stats, (s) => (finite(f(s)) ? f(s) : undefined)); return i < 0 ? null : stats[i]; };
    $("tiles").replaceChildren(
      ...tile(of("Most accurate", "Accuracy"), pickMost((s) => s.snr), (s) => [number(s.snr), el("small", {}, " dB SNR")]),
      ...tile(of("Least area", "Area"), pickLeast(area), (s) => [short(area(s)), el("small", {}, ` ${prettyUnit(state.area.unit)} ${state.area.source}`)]),
      ...tile(of("Fewest bits", "Storage"), pickLeast((s) => s.p.bits_per_element), (s) => [number(s.p.bits_per_element, 2), el("small", {}, " bits/element")]),
      ...tile(of("Least energy", "Energy"), pickLeast((s) => s.energy), (s) => [number(s.energy, 2), el("small", {}, " pJ/MAC of the unit")]),
      ...tile(of("Densest", "Density"), pickMost(densityOf), (s) => [significant(densityOf(s)), el("small", {}, ` ${densityUnit()}`)]));
  }
  // An area unit is tiny beside a GMAC/s: densities are given for 10^6 of them (1 mm² of µm²).
  // Fast and wrong is no density.
  const densityOf = (s) => (s.compared > 0 ? (1e6 * s.gmacs) / areaOf(s.p) : NaN);
  const densityUnit = () => (prettyUnit(state.area.unit) === "µm²" ? "GMAC/s per mm²" : `GMAC/s per 10⁶ ${prettyUnit(state.area.unit)}`);

  function drawFilters() {
    const choose = (name, key, values, all) => (values.length < 2 ? [] : [el("label", {}, name,
      el("select", { id: `filter-${key}`, onchange: (e) => { state[key] = e.target.value; draw(); } },
        all ? el("option", { value: "" }, all) : null, values.map((v) => el("option", { value: v, selected: String(v) === state[key] }, v))))]);
    $("filters").replaceChildren(
      ...choose("Model", "model", models, "all"), ...choose("Step", "step", steps, "all"),
      ...choose("Role", "role", kRoles.filter((r) => gemms.some((g) => g.role === r)), "all"),
      ...choose("Layer", "layer", unique(gemms.map((g) => g.layer)), "all"),
      ...(kinds.length < 2 ? [] : [el("label", {}, "Area",
        el("select", { id: "filter-area", onchange: (e) => { state.area = kinds[e.target.selectedIndex]; draw(); } },
          kinds.map((a) => el("option", { value: a.key, selected: a.key === state.area.key }, `${a.source}, ${prettyUnit(a.unit)}`))))]),
      el("span", { class: "count", id: "count", role: "status" }));
  }
  function drawNotes() {
    const notes = [
      ["SNR", "Signal to noise ratio of the product in dB: 10 log₁₀(‖C‖² / ‖C' − C‖²), C the product of the operands as recorded in float64 and C' the unit's result, every quantisation, accumulation and rounding included. Means are of the dB values over the selected GEMMs; the bar behind a dot spans the worst to the best of them."],
      ["QSNR A, QSNR B", "The same ratio for one operand before and after quantisation alone."],
      ["Area and paths", "“Estimated” is the generator's own cost model; “synthesised” is Yosys and ABC on the OSU 0.18 µm library with buffering and sizing, timed by OpenSTA (LUTs: Yosys for UltraScale+). Both are proxies for comparing designs with each other, not a promise about a process. The clock is the target that the unit was scheduled for."],
      ["Throughput", `Multiply-accumulates of ${hasMachine ? "all units of the machine at their clock" : "one unit at its clock target"} over the cycles that the replay took, padding and ${hasMachine ? "every stall" : "pipeline latency"} included.`],
      ...(hasEnergy ? [["Energy", `Of one unit's gates: ${points.find((p) => p.energy).energy.provenance}. A proxy for comparing units and data with each other. ${hasMemory ? "SRAM and DRAM: bytes of the machine's schedule at the prices of ISSCC 2014, figure 1.1.9 (45 nm), another process, never added to the unit's." : ""}`]] : []),
      ...(hasMachine ? [["Roofline", "Multiply-accumulates a second against multiply-accumulates per byte from and to DRAM. No GEMM can be above a wall: bandwidth times intensity, or all units busy in every cycle; where they allow less, what the quantiser at the edge takes in, or what the SRAM's banks read and write."],
        ["Cycles", "Each cycle counts for what the array's input did: compute (a beat was taken), or why not: fill (the pipeline, weights or partial sums), load (operands are not in SRAM), bank (too few SRAM banks), store (results wait for DRAM), back-pressure (results must leave first), drain (nothing is left to take)."]] : []),
      ["Storage", "Bits of an element with its share of the block's scales; the mean of both operands."],
      ["Pareto front", "Points that no other point beats in both directions: filled marks on the dashed line. Circles have an exact (Kulisch) accumulator, diamonds a floating-point one."],
      ["Verified", "The values of the fast kernels, of the SystemC model and of the Verilated RTL were compared bit for bit, and the cycles of the model with those of the RTL."],
    ];
    $("notes").replaceChildren(...notes.flatMap(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]));
    $("footer").replaceChildren(`Written by ${table.program}. Trace sha256 `, el("code", {}, (table.trace.sha256 ?? "").slice(0, 16)), ". The data of this page is inside it, as JSON of schema ", el("code", {}, table.schema), ".");
  }

  // ---- Everything that depends on the filters ----
  function draw() {
    const some = selected();
    const stats = points.map((p, i) => ({ p, i, ...summary(some.filter((r) => r.p === p)) }));
    const chosen = unique(some.map((r) => r.gemm)).length;
    $("count").textContent = `${whole(chosen)} of ${plural(gemms.length, "GEMM")}`;
    const over = `over ${plural(chosen, "GEMM")}`;
    drawTiles(stats);
    drawPoints(stats);
    const unit = prettyUnit(state.area.unit);
    const source = state.area.source === "synthesised" ? "synthesised (Yosys, ABC)" : "estimated by the cost model";
    scatter("chart-area", "Accuracy against area", `mean SNR ${over}; area ${source}; up and left is better`, stats, (s) => areaOf(s.p), `Area of ${hasMachine ? "all units" : "one unit"} (${unit}, ${state.area.source})`, short);
    scatter("chart-bits", "Accuracy against storage", `mean SNR ${over}; up and left is better`, stats, (s) => s.p.bits_per_element, "Storage (bits per element, scales included)", (v) => number(v, Number.isInteger(v) ? 0 : 2));
    bars("chart-throughput", "Throughput", `${hasMachine ? "the whole machine at its clock" : "one unit at its clock target"}, ${over}`, stats, (s) => s.gmacs, "Throughput (GMAC/s)", 2);
    bars("chart-density", "Throughput per area", `area ${source}, ${over}`, stats, densityOf, `Density (${densityUnit()})`);
    if (hasEnergy) scatter("chart-energy", "Accuracy against energy", `one unit's gates on the data of the GEMMs, ${over}; up and left is better`, stats, (s) => s.energy, "Energy of the unit (pJ/MAC, OSU 0.18 µm)", (v) => significant(v));
    if (hasEnergy) drawEnergyByData(stats);
    if (hasMachine) {
      drawRoofline(some);
      drawCycles(some);
      drawMachineGroups("table-machine-layers", "Layer", (r) => layerName(r.g), layerOrder(some), some);
      drawMachineGroups("table-machine-roles", "Role", (r) => r.g.role, kRoles, some);
      drawMachineGroups("table-machine-steps", "Step", (r) => stepName(r.g), unique(some.map((r) => stepName(r.g))), some);
    }
    drawLayers(some);
    drawGroups("table-layers", "Layer", (r) => layerName(r.g), layerOrder(some), some);
    drawGroups("table-roles", "Role", (r) => r.g.role, kRoles, some);
    drawGemms(some);
    document.documentElement.dataset.drawn = String(Number(document.documentElement.dataset.drawn ?? 0) + 1);
  }
  drawHead();
  drawFilters();
  drawNotes();
  drawPickers();
  draw();
  drawHistograms();
})();
