#!/usr/bin/env bash
# test.sh [CTEST OPTION...]: installs what is missing, builds, and runs every test.
# The last line is ctest's summary. `-L cosim`, `-LE slow` and the like choose by label.
set -euo pipefail
cd "$(dirname "$0")/.."
./scripts/setup.sh
./scripts/build.sh
ctest --preset release --no-tests=error -j "$(nproc)" "$@"
