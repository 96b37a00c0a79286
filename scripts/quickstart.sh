#!/usr/bin/env bash
# quickstart.sh: installs what is missing, builds, and runs the main job on the shipped trace:
# Verilog for four design points, real training GEMMs through each in every engine (fast, SystemC,
# Verilated RTL in lock-step), and a report.
set -euo pipefail
cd "$(dirname "$0")/.."
out=out
case "${1:-}" in
  "") ;;
  -h | --help)
    sed -n '2,4s/^# //p' "$0"
    exit 0
    ;;
  *)
    echo "quickstart.sh: takes no arguments" >&2
    exit 2
    ;;
esac

echo "1/3 packages"
./scripts/setup.sh --minimal
echo "2/3 build"
./scripts/build.sh blockdot
echo "3/3 four design points x the shipped training trace, all engines"
./build/release/bin/blockdot compare explore/designs/quickstart.toml \
  --trace sim/trace/data --engine all --out "$out"

cat << END

Where everything is
  $out/report.html             open it in a browser: accuracy, area, throughput, per layer and role
  $out/results.json, .csv      the same as data
  $out/units/*/unit.v          the Verilog of each design point, with unit.json and a testbench

What to try next
  ./build/release/bin/blockdot --help
  ./build/release/bin/blockdot formats
  ./build/release/bin/blockdot gen --a mxfp6_e2m3 --accumulator fp32 --out $out/mxfp6
  ./build/release/bin/blockdot sim explore/designs/quickstart.toml --trace sim/trace/data --engine rtl
  ./build/release/bin/blockdot compare explore/designs/quickstart.toml --trace sim/trace/data --synth --out $out/synth
  ./scripts/test.sh            every test
END
