#!/bin/bash
# Regenerates docs/estimates.md: the built-in estimates beside what synthesis measures, of the units
# that the constants were fitted to and of others.
#   scripts/bench_estimates.sh [BUILD]      BUILD: default build/release
# `blockdot synth` keeps its results: a second run measures only what changed.
# Needs python3 and Debian's yosys, berkeley-abc, opensta, qflow-tech-osu018 (scripts/setup.sh).
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}
[ -x "$build/bin/blockdot" ] || { echo "bench_estimates.sh: no $build/bin/blockdot: run scripts/build.sh" >&2; exit 1; }
exec python3 scripts/bench_estimates.py "$build/bin/blockdot" docs/estimates.md
