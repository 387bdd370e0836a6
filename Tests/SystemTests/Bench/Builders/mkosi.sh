#!/bin/sh
# mkosi makes a squashfs of the packages in a file, one a line; bootable where this kernel can mount the FAT of its disk.
#
#   mkosi.sh prepare DIRECTORY PACKAGES   fetches what it needs
#   mkosi.sh build DIRECTORY PACKAGES     from nothing but packages; prints the image's path
set -eu
packages=$(sed 's/^/--package=/' "$3")
mkdir -p "$2/cache" "$2/bin"
cd "$2"
# Where there is no systemd to make scopes, systemd-nspawn is to do without, on a /run that is in memory.
if ! [ -S /run/dbus/system_bus_socket ]; then
  printf '#!/bin/sh\nexec %s --keep-unit --register=no "$@"\n' "$(command -v systemd-nspawn)" >bin/systemd-nspawn
  chmod 755 bin/systemd-nspawn
  PATH=$PWD/bin:$PATH
fi
form=plain_squashfs
if modprobe vfat 2>/dev/null || grep -q vfat /proc/filesystems; then form="gpt_squashfs --bootable"; fi
export PATH form packages
unshare --mount sh -euc '
  [ -S /run/dbus/system_bus_socket ] || { mount -t tmpfs tmpfs /run; mkdir -p /run/systemd; }
  mkosi --force --distribution debian --release trixie --architecture x86_64 --format $form --compress-fs zstd \
    --with-docs=no --with-tests=no --cache "$PWD/cache" --output "$PWD/image.raw" $packages build' >&2
[ -s image.raw ]
realpath image.raw
