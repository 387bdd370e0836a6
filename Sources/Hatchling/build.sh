#!/bin/sh
# Builds the bare-metal guest: build.sh OUT. Needs a Swift 6.3 toolchain in PATH, or named by SWIFTC.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 OUT" >&2; exit 2; }
mkdir -p "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cd "$(dirname "$0")"

swiftc=$(command -v "${SWIFTC:-swiftc}") || { echo "$0: no swiftc in PATH: install a Swift 6.3 toolchain" >&2; exit 1; }
tools=$(dirname "$(readlink -f "$swiftc")")
for tool in clang ld.lld llvm-objcopy; do
  [ -x "$tools/$tool" ] || { echo "$0: the toolchain of $swiftc has no $tool beside it" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

target=i686-unknown-none-elf
"$tools/clang" -target $target -c boot.S -o "$work/boot.o"
"$swiftc" -target $target -swift-version 6 -enable-experimental-feature Embedded -parse-as-library -wmo -Osize \
  -strict-memory-safety -warnings-as-errors -module-name Hatchling \
  -target-cpu pentiumpro -Xfrontend -function-sections -Xfrontend -disable-stack-protector -file-prefix-map "$PWD=." \
  -module-cache-path "$work/modules" -Xcc -ffreestanding -Xcc -fmodule-map-file=Machine/module.modulemap \
  -I Machine -c ./*.swift -o "$work/hatchling.o"
"$tools/ld.lld" -m elf_i386 -static --gc-sections --build-id=none --strip-all -T hatchling.ld \
  "$work/boot.o" "$work/hatchling.o" -o "$work/hatchling.elf"
mv "$work/hatchling.elf" "$out"
