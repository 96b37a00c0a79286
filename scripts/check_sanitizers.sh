#!/usr/bin/env bash
# check_sanitizers.sh [CTEST OPTION...]: builds with AddressSanitizer and UBSan into
# build/asan-ubsan and runs the tests there; -LE slow is the default choice.
set -euo pipefail
cd "$(dirname "$0")/.."
cmake --preset asan-ubsan -DCMAKE_MESSAGE_LOG_LEVEL=NOTICE > /dev/null
cmake --build --preset asan-ubsan
if [ $# -eq 0 ]; then set -- -LE slow; fi
ctest --preset asan-ubsan --no-tests=error -j "$(nproc)" "$@"
