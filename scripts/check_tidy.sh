#!/usr/bin/env bash
# check_tidy.sh [FILE...]: clang-tidy, warnings as errors, over every source (or the named ones).
set -euo pipefail
cd "$(dirname "$0")/.."
[ -f build/release/compile_commands.json ] || ./scripts/build.sh
if [ $# -gt 0 ]; then sources=("$@"); else mapfile -t sources < <(git ls-files '*.cc'); fi
# The compile commands are g++'s: clang need not know all its warnings.
printf '%s\n' "${sources[@]}" |
  xargs -P "$(nproc)" -n 4 clang-tidy --quiet -p build/release --warnings-as-errors='*' \
    --extra-arg=-Wno-unknown-warning-option 2> >(
    grep -vE 'warnings? generated|Suppressed|Use -header-filter' >&2 || true
  )
echo "check_tidy.sh: ${#sources[@]} files are clean"
