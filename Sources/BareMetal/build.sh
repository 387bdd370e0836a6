#!/bin/sh
# Builds a bare-metal guest: build.sh NAME OUT makes a program of the folder ../NAME and of this one, which all guests
# share. Needs a Swift 6.3 toolchain in PATH, or named by SWIFTC.
set -eu
[ $# -eq 2 ] || { echo "usage: $0 NAME OUT" >&2; exit 2; }
mkdir -p "$(dirname "$2")"
out=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
cd "$(dirname "$0")/.."
[ -d "$1" ] || { echo "$0: there is no guest $PWD/$1" >&2; exit 2; }

swiftc=$(command -v "${SWIFTC:-swiftc}") || { echo "$0: no swiftc in PATH: install a Swift 6.3 toolchain" >&2; exit 1; }
tools=$(dirname "$(readlink -f "$swiftc")")
for tool in clang ld.lld llvm-objcopy; do
  [ -x "$tools/$tool" ] || { echo "$0: the toolchain of $swiftc has no $tool beside it" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

target=i686-unknown-none-elf
"$tools/clang" -target $target -c BareMetal/boot.S -o "$work/boot.o"
"$swiftc" -target $target -swift-version 6 -enable-experimental-feature Embedded -parse-as-library -wmo -Osize \
  -strict-memory-safety -warnings-as-errors -module-name "$1" \
  -target-cpu pentiumpro -Xfrontend -function-sections -Xfrontend -disable-stack-protector -file-prefix-map "$PWD=." \
  -module-cache-path "$work/modules" -Xcc -ffreestanding -Xcc -fmodule-map-file=BareMetal/Machine/module.modulemap \
  -I BareMetal/Machine -c BareMetal/*.swift "$1"/*.swift -o "$work/guest.o"
"$tools/ld.lld" -m elf_i386 -static --gc-sections --build-id=none --strip-all -T BareMetal/bare-metal.ld \
  "$work/boot.o" "$work/guest.o" -o "$work/guest.elf"
mv "$work/guest.elf" "$out"
