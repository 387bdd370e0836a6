#!/bin/sh
# Builds the guest that probes its machine: build.sh OUT.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 OUT" >&2; exit 2; }
exec "$(dirname "$0")/../BareMetal/build.sh" Conformance "$1"
