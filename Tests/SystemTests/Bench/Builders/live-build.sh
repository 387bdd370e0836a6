#!/bin/sh
# live-build makes a hybrid ISO of the packages in a file, one a line.
#
#   live-build.sh prepare DIRECTORY PACKAGES   the first time: fetches what it needs
#   live-build.sh build DIRECTORY PACKAGES     from nothing but packages; prints the image's path
set -eu
packages=$(realpath "$3")
mkdir -p "$2"
cd "$2"
# It forgets its configuration, too, and keeps packages.
lb clean >&2
rm -rf cache/bootstrap cache/bootstrap_* ./*.iso
# As our root: no recommended packages, no firmware, no installer, zstd.
lb config --distribution trixie --architectures amd64 --archive-areas main --apt-recommends false --apt-indices false \
  --security false --updates false --backports false --firmware-chroot false --firmware-binary false \
  --debian-installer none --memtest none --binary-images iso-hybrid --bootloaders grub-efi,grub-pc \
  --chroot-squashfs-compression-type zstd --cache true --cache-packages true >&2
mkdir -p config/package-lists
cp "$packages" config/package-lists/control.list.chroot
lb build >&2
set -- *.iso
[ -s "$1" ]
realpath "$1"
