#!/bin/sh
# Makes the CD that the benchmarks' scripts come on: prepare.sh ISO OUT [FAMILIES FREEBSD].
# Beside them: a start-up that says when it is init's turn, the kernel for PVH, and a disk that firmware boots with both.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
iso=$1 out=$2 families=${3:-} freebsd=${4:-}
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
mkdir -p "$work/cd" "$work/root/bin" "$work/disk/boot/grub"
cp "$here"/*.sh "$work/cd"
if [ -n "$families" ]; then
  cp "$families/plan9/bios-disk-virtio.img" "$work/cd/bios-disk.img"
  cp "$freebsd" "$work/cd/freebsd"
  head -n 1 "$families/freebsd/ready" | tr -d '\n' >"$work/cd/prompt"
else
  xorriso -osirrox on -indev "$iso" -extract /roost/domains/debian/kernel "$work/disk/boot/vmlinuz" 2>/dev/null

  cp /bin/busybox "$work/root/bin/busybox"
  printf '%s\n' '#!/bin/busybox sh' 'echo ROOST-INIT' 'exec /bin/busybox sleep 1000' >"$work/root/init"
  chmod +x "$work/root/init"
  (cd "$work/root" && find . | cpio -o -H newc --quiet | gzip -9) >"$work/disk/boot/initrd"
  cp "$work/disk/boot/vmlinuz" "$work/disk/boot/initrd" "$work/cd"

  # Where the kernel proper lies in a bzImage: Documentation/arch/x86/boot.rst.
  field() { od -A n -t "u$2" -j "$1" -N "$2" "$work/disk/boot/vmlinuz" | tr -d ' '; }
  start=$((($(field 497 1) + 1) * 512 + $(field 584 4)))
  tail -c "+$((start + 1))" "$work/disk/boot/vmlinuz" | head -c "$(field 588 4)" >"$work/payload"
  case $(od -A n -t x1 -N 4 "$work/payload") in
    " fd 37 7a 58") xz -dc --single-stream "$work/payload" >"$work/cd/vmlinux" 2>/dev/null || true ;;
    " 28 b5 2f fd") zstd -dc "$work/payload" >"$work/cd/vmlinux" 2>/dev/null || true ;;
    *) echo "prepare.sh: the kernel is packed in a way that is not known here" >&2; exit 1 ;;
  esac
  [ -s "$work/cd/vmlinux" ]

  printf '%s\n' 'linux /boot/vmlinuz console=ttyS0 quiet' 'initrd /boot/initrd' boot >"$work/disk/boot/grub/grub.cfg"
  grub-mkrescue -o "$work/cd/firmware.img" "$work/disk" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
  cp "${ROOST_CONFORMANCE:-build/conformance.elf}" "$work/cd/probe"
fi
xorriso -as mkisofs -quiet -R -o "$out" "$work/cd"
