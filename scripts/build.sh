#!/usr/bin/env bash
# build.sh [TARGET...]: builds everything (or the named targets) into build/release.
# The programs are build/release/bin/blockdot and build/release/bin/blockdot_bench.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset release -DCMAKE_MESSAGE_LOG_LEVEL=NOTICE > /dev/null
if [ $# -gt 0 ]; then
  cmake --build --preset release --target "$@"
else
  cmake --build --preset release
fi
