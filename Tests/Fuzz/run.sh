#!/bin/bash
# usage: run.sh build                  builds the fuzz targets and writes their seeds
#        run.sh SECONDS [TARGET ...]   runs the targets (all) for so many seconds in all
#        run.sh TARGET FILE            runs one input, such as a crash
set -euo pipefail
package=$(realpath "$(dirname "$0")")
work=$(realpath -m "$package/../../build/fuzz")
programs="fuzz-machine fuzz-files"
# Swift's own report of a crash would come before libFuzzer writes the input down.
export SWIFT_BACKTRACE=enable=no
# libyaml, libarchive and what Foundation keeps for good are not the subject.
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1

build() {
  for program in $programs; do
    swift build -c release --quiet --package-path "$package" --scratch-path "$work" --product "$program"
  done
  for program in $programs; do "$work/release/$program" seeds "$work/seeds"; done
}

# The program that has a target.
program_of() {
  for program in $programs; do
    if "$work/release/$program" list | grep -x -- "$1" >/dev/null; then echo "$work/release/$program"; return; fi
  done
  echo "run.sh: there is no target $1" >&2
  exit 1
}

# One line: how often the target ran and how many of its edges were reached. A crash's input is kept, and named.
fuzz() {
  local target=$1 seconds=$2 program status=0
  program=$(program_of "$target") || return 1
  mkdir -p "$work/corpus/$target" "$work/crashes" "$work/logs"
  "$program" "$target" -max_total_time="$seconds" -max_len=4096 -len_control=20 -timeout=10 -rss_limit_mb=4096 \
    -artifact_prefix="$work/crashes/$target-" "$work/corpus/$target" "$work/seeds/$target" \
    >"$work/logs/$target" 2>&1 || status=$?
  awk -v target="$target" '/ cov: / { runs = substr($1, 2); for (i = 1; i < NF; i++) if ($i == "cov:") edges = $(i + 1) }
    END { printf "    %-24s %10d runs %6d edges\n", target, runs, edges }' "$work/logs/$target"
  if [ "$status" != 0 ]; then
    grep -E 'SUMMARY|Fatal error|Precondition failed|runtime error' "$work/logs/$target" | sed 's/^/      /' || true
    echo "      input: $(sed -n 's/.*Test unit written to //p' "$work/logs/$target" | tail -n 1)"
    echo "      again: Tests/Fuzz/run.sh $target FILE    (log: $work/logs/$target)"
  fi
  return "$status"
}

case ${1:-} in
build) build ;;
[0-9]*)
  seconds=$1
  shift
  targets=${*:-$(for program in $programs; do "$work/release/$program" list; done)}
  count=$(wc -w <<<"$targets")
  each=$((seconds / count > 0 ? seconds / count : 1))
  failed=0
  for target in $targets; do fuzz "$target" "$each" || failed=1; done
  exit "$failed"
  ;;
?*) exec "$(program_of "$1")" "$@" ;;
*) sed -n '2,4s/^# //p' "$0" && exit 2 ;;
esac
