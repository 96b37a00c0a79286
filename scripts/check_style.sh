#!/usr/bin/env bash
# check_style.sh [--fix]: clang-format over every C++ source of the repository; with --fix in place.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t sources < <(git ls-files '*.h' '*.cc')
if [ "${1:-}" = --fix ]; then
  clang-format -i "${sources[@]}"
else
  clang-format --dry-run --Werror "${sources[@]}"
  echo "check_style.sh: ${#sources[@]} files are formatted"
fi
