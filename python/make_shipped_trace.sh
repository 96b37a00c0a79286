#!/bin/bash
# Makes the trace in sim/trace/data again from the two built-in trainings; with the same torch version on the same
# kind of processor the files come out byte for byte. Takes about a minute.
#
#   python/make_shipped_trace.sh [DIR]        DIR: where to (default: sim/trace/data)
#
# PYTHON: a Python that has torch (default: /usr/bin/python3, where Debian's python3-torch is).
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
out="${1:-$root/sim/trace/data}"
export PYTHONPATH="$root/python"
python="${PYTHON:-/usr/bin/python3}"

"$python" -m blockdot_record train cnn --steps 0,800 --seed 1 --max-rows 192 --first-row 300 --out "$out"
"$python" -m blockdot_record train lm --steps 0,1000 --seed 1 --max-rows 128 \
  --layers 'blocks.0.attn.*,blocks.1.up,head' --out "$out"
"$python" -m blockdot_record check "$out"
