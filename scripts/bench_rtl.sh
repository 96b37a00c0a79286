#!/bin/bash
# Regenerates docs/rtl-benchmark.md: combinational block dots through the fixed flow of
# scripts/measure_unit.sh, beside the best open design measured in that flow, and the front over the
# choices of --arch. Every line of the lists below is measured; one that fails ends the run.
#   scripts/bench_rtl.sh [BUILD]      BUILD: default build/release
# Results are kept in BUILD/rtl-benchmark by a hash of the Verilog, the flow and the tools: a second
# run measures only what changed. BLOCKDOT_JOBS at once, default 2.
# Needs python3 and Debian's yosys, berkeley-abc, opensta, qflow-tech-osu018 (scripts/setup.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}
[ -x "$build/bin/blockdot" ] || { echo "bench_rtl.sh: no $build/bin/blockdot: run scripts/build.sh" >&2; exit 1; }
for tool in yosys berkeley-abc sta python3; do
  command -v "$tool" > /dev/null || { echo "bench_rtl.sh: $tool is missing: run scripts/setup.sh" >&2; exit 1; }
done
exec python3 scripts/bench_rtl.py "$build/bin/blockdot" "$build/rtl-benchmark" docs/rtl-benchmark.md
