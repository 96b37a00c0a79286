#!/usr/bin/env bash
# bench.sh [FILTER]: builds blockdot_bench and runs its rows (those matching the regular expression
# FILTER), with their yardsticks in the same run; the figures go to build/release/bench.json too.
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/build.sh blockdot_bench
build/release/bin/blockdot_bench --benchmark_filter="${1:-.}" \
  --benchmark_out=build/release/bench.json --benchmark_out_format=json
