#!/usr/bin/env bash
# setup.sh [--minimal]: installs the Debian 12 packages that blockdot needs, and says which.
# Does nothing when all are there; never waits for input; uses sudo only when not root.
# --minimal leaves out PyTorch with the recorder's data sets and the browser.
set -euo pipefail

minimal=0
for argument in "$@"; do
  case "$argument" in
    --minimal) minimal=1 ;;
    -h | --help)
      sed -n '2,4s/^# //p' "$0"
      exit 0
      ;;
    *)
      echo "setup.sh: unknown option '$argument'; known: --minimal, --help" >&2
      exit 2
      ;;
  esac
done

# One line a purpose: what it is for, then the packages.
build="g++ cmake ninja-build ccache pkg-config git
  libfmt-dev libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libspdlog-dev libssl-dev
  libboost-dev libhwy-dev libgtest-dev libgmock-dev libbenchmark-dev libopenblas-dev libsystemc-dev"
style="clang-format clang-tidy"
simulate="verilator iverilog zlib1g-dev"  # zlib: waves as FST
synthesise="yosys berkeley-abc opensta qflow-tech-osu018"
package="tcl python3-yaml"  # read what ships with a unit, in the tests
recorder="python3-torch python3-numpy python3-pytest dataset-fashion-mnist bible-kjv bible-kjv-text"
browser="chromium python3"

wanted="$build $style $simulate $synthesise $package"
[ "$minimal" = 1 ] || wanted="$wanted $recorder $browser"

installed=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' 2> /dev/null | awk '/^ii/{print $2}')
missing=""
for package in $wanted; do
  grep -qxF "$package" <<< "$installed" || missing="$missing $package"
done
if [ -z "$missing" ]; then
  echo "setup.sh: every package is installed"
  exit 0
fi

echo "setup.sh: installing$missing"
if [ "$(id -u)" = 0 ]; then
  as_root=""
elif command -v sudo > /dev/null; then
  as_root="sudo"
else
  echo "setup.sh: needs root or sudo to install:$missing" >&2
  exit 2
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 "$@"; }
# A list that is a day old may name versions that are gone: refresh, and say what failed.
if ! apt update > "$log" 2>&1; then
  tail -5 "$log" >&2
  echo "setup.sh: 'apt-get update' failed; the package lists may be stale" >&2
fi
# shellcheck disable=SC2086 # the list is words on purpose
if ! apt install -y --no-install-recommends $missing < /dev/null > "$log" 2>&1; then
  tail -15 "$log" >&2
  echo "setup.sh: 'apt-get install$missing' failed; see above" >&2
  exit 1
fi
echo "setup.sh: done"
