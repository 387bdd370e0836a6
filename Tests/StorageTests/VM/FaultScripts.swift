/// What scripts with a faulty disk share: a target of device-mapper between the disk and what storage sees.
private let faultHelpers = #"""
  # Puts $faulty in front of a disk, without the name that LVM would rather use.
  behind() { # disk
    disk=$1
    sectors=$(blockdev --getsz $disk)
    dmsetup create faulty --table "0 $sectors linear $disk 0"
    faulty=/dev/dm-$(dmsetup info --columns --noheadings -o minor faulty)
    rm -f /dev/mapper/faulty
  }
  # Gives it the table on the standard input, or its first one again.
  fault() {
    cat >/tmp/table
    dmsetup reload faulty /tmp/table && dmsetup suspend --nolockfs faulty && dmsetup resume faulty
  }
  heal() { echo "0 $sectors linear $disk 0" | fault; }
  # The table under which the pool's bookkeeping takes no writes, but for its first block: that an error was met with can
  # still be marked there.
  bookkeeping() {
    dmsetup table roost-roost--pool.thin_tmeta | awk -v all=$sectors -v disk=$disk '
      { from[NR] = $5 + (NR == 1 ? 8 : 0); to[NR] = $5 + $2 }
      END {
        at = 0
        for (;;) {
          first = 0
          for (i in from) if (from[i] >= at && (!first || from[i] < from[first])) first = i
          if (!first) break
          if (from[first] > at) print at, from[first] - at, "linear", disk, at
          print from[first], to[first] - from[first], "flakey", disk, from[first], "0 1000 1 error_writes"
          at = to[first]
        }
        if (at < all) print at, all - at, "linear", disk, at
      }'
  }
  watched() { # it fails where nothing is told
    rm -f /run/roost/pool.json
    roost-storage watch &
    for second in $(seq 120); do [ -s /run/roost/pool.json ] && break; sleep 1; done
    kill $!
    cat /run/roost/pool.json
  }
  healthy() { watched && ! has degraded /run/roost/pool.json; }
  degraded() { watched; has '"degraded" : "the guests. storage' /run/roost/pool.json; }
  pool() { dmsetup status roost-roost--pool.thin-tpool | grep -q -- "$1"; }

  """#

/// Disks that take no writes refuse a session; a good one takes it.
let faultyTargetScript =
  faultHelpers + #"""
    check activates roost-storage activate
    check alpha-mounts mount /dev/roost/alpha /mnt/alpha
    check alpha-writes sh -c 'echo alpha >/mnt/alpha/mine && sync'
    writer 0 &
    writer=$!
    behind /dev/vda
    echo "0 $sectors flakey $disk 0 0 1000 1 error_writes" | fault
    check a-disk-that-takes-nothing-is-told refused "$faulty was not taken" roost-storage persist $faulty
    cat /tmp/out
    forgotten() { home memory && ! has /dev/dm- /run/roost/storage.json && ! dmsetup ls | grep pvmove; }
    check nothing-of-it-is-kept forgotten
    check disks-can-be-made roost-storage disk create more --size 16MiB
    { echo "0 16384 linear $disk 0"; echo "16384 $((sectors - 16384)) flakey $disk 16384 0 1000 1 error_writes"; } | fault
    check a-disk-that-fails-in-the-middle-is-told refused "$faulty .*nothing is lost" roost-storage persist $faulty --wipe
    cat /tmp/out
    check nothing-of-it-is-kept-either forgotten
    check alpha-is-written written
    check disks-can-be-removed roost-storage disk destroy more
    check the-writer-goes-on kill -0 $writer
    check a-good-disk-takes-it roost-storage persist /dev/vdb
    check the-disk-is-the-home home disk
    check the-writer-still-goes-on kill -0 $writer
    touch /tmp/stop
    wait $writer
    check alpha-is-still-written written
    echo BLOCKS $(blocks)
    # Where the bookkeeping lies, and which of its blocks the tree of free space begins with (as in `repair`).
    start=$(dmsetup table roost-roost--pool.thin_tmeta | awk 'NR == 1 { print $5 }')
    umount /mnt/alpha
    check deactivates roost-storage deactivate
    block=$(od -An -tu8 -j $((start * 512 + 80)) -N 8 /dev/vdb | tr -d ' ')
    echo TREE $((start + block * 8))
    """#

/// The disk under the home stops taking what the pool writes about itself.
let faultyHomeScript =
  faultHelpers + #"""
    check activates roost-storage activate
    check alpha-mounts mount /dev/roost/alpha /mnt/alpha
    check alpha-writes sh -c 'echo alpha >/mnt/alpha/mine && sync'
    behind /dev/vda
    check moves roost-storage persist $faulty
    check the-disk-is-the-home home disk
    writer 0 &
    writer=$!
    for second in $(seq 120); do [ "$(blocks)" -gt 8 ] && break; sleep 1; done
    check it-is-healthy healthy
    bookkeeping | fault
    cat /tmp/table
    check writes-fail refused 'error' dd if=/dev/urandom of=/dev/roost/alpha bs=64k seek=512 count=4 conv=notrunc,fsync
    check the-pool-takes-no-writes pool ' ro .*needs_check'
    check it-is-degraded degraded
    cat /tmp/out
    wait $writer
    check what-is-there-can-be-read written
    umount /mnt/alpha
    # That there was an error comes to the disk with the pool's end.
    check deactivates roost-storage deactivate
    """#

/// The same disk, which answers again.
let healedScript =
  faultHelpers + #"""
    check activates roost-storage activate
    cat /tmp/out
    check the-disk-is-the-home home disk
    check the-pool-takes-writes pool ' rw .* - '
    check it-is-healthy healthy
    check alpha-mounts mount /dev/roost/alpha /mnt/alpha
    check alpha-is-written written
    check alpha-takes-writes sh -c 'echo more >/mnt/alpha/more && sync'
    echo BLOCKS $(blocks)
    umount /mnt/alpha
    check deactivates roost-storage deactivate
    """#

/// A home (`vda`) that cannot be read, everywhere or somewhere.
let unreadableScript = #"""
  check the-disk-is-named refused '/dev/vda' roost-storage activate
  cat /tmp/out
  check the-live-session-is-offered grep -qi 'choose the live session' /tmp/refused
  check it-is-told has '"state" : "failed"' /run/roost/storage.json
  check why-is-told has 'cannot be read' /run/roost/storage.json
  roost-storage deactivate
  check live-is-possible roost-storage activate --live
  check live-is-in-memory home memory
  check alpha-mounts mount /dev/roost/alpha /mnt/alpha
  check alpha-is-new origin /mnt/alpha
  umount /mnt/alpha
  check deactivates roost-storage deactivate
  """#

/// A medium with blocks that cannot be read, in the middle of a guest's image.
let faultyMediumScript =
  faultHelpers + #"""
    behind /dev/vda1
    mount -t squashfs -o ro $faulty /run/roost/medium || echo "no medium on the stick"
    check activates roost-storage activate --live
    dd if=/dev/roost/alpha of=/tmp/good bs=64k count=256 2>/dev/null
    check deactivates roost-storage deactivate
    umount /run/roost/medium
    { echo "0 6144 linear $disk 0"; echo "6144 512 error"; echo "6656 $((sectors - 6656)) linear $disk 6656"; } | fault
    mount -t squashfs -o ro $faulty /run/roost/medium || echo "no medium on the stick"
    echo 3 >/proc/sys/vm/drop_caches
    check activates-all-the-same roost-storage activate --live
    # Reads a block of 64 KiB: what comes must be right.
    read_block() { # number
      dd if=/dev/roost/alpha of=/tmp/block bs=64k skip=$1 count=1 iflag=direct 2>/dev/null &&
        [ $(stat -c %s /tmp/block) = 65536 ]
    }
    good=0 bad=0 wrong=0
    for number in $(seq 0 255); do
      if read_block $number; then
        if dd if=/tmp/good bs=64k skip=$number count=1 2>/dev/null | cmp -s - /tmp/block; then
          good=$((good + 1))
        else
          wrong=$((wrong + 1))
        fi
      else
        bad=$((bad + 1)) place=$number
      fi
    done
    echo "blocks: $good good, $bad bad, $wrong wrong"
    check no-wrong-data [ $wrong = 0 ]
    check bad-blocks-are-errors [ $bad -gt 0 ]
    check all-others-are-right [ $good -gt 240 ]
    # What is left of a bad block would have to come from the medium.
    check a-part-of-one-cannot-be-written refused 'error' dd if=/dev/zero of=/dev/roost/alpha bs=4k count=1 seek=$((place * 16)) conv=notrunc,fsync
    check a-whole-one-can-be-written dd if=/dev/zero of=/dev/roost/alpha bs=64k count=1 seek=$place oflag=direct conv=notrunc
    check it-is-what-was-written sh -c "dd if=/dev/roost/alpha bs=64k skip=$place count=1 iflag=direct | cmp -n 65536 - /dev/zero"
    check the-pool-is-well pool ' rw .* - '
    check others-can-be-written sh -c 'dd if=/expected of=/dev/roost/alpha bs=1M seek=40 conv=notrunc,fsync'
    heal
    reads_all() { for number in $(seq 0 255); do [ $number = $place ] || read_block $number || return 1; done; }
    check a-medium-that-answers-again-is-read reads_all
    check deactivates-at-last roost-storage deactivate
    """#

/// The medium's place is taken by a copy of it, where an earlier attempt left something.
let mediumSwitchScript = #"""
  modprobe isofs
  mount -t iso9660 -o ro /dev/vda /run/roost/medium || echo "no medium"
  # What writes the medium to a disk is not here, and the disk has it.
  printf '#!/usr/bin/busybox sh\nexit 0\n' >/usr/sbin/roost
  chmod +x /usr/sbin/roost
  check activates roost-storage activate
  mkdir -p /run/roost/medium.next
  mount -t iso9660 -o ro /dev/vda /run/roost/medium.next
  check moves roost-storage persist /dev/vdb --standalone
  cat /tmp/out
  check the-medium-is-the-copy grep -q '^/dev/vdb1 /run/roost/medium ' /proc/mounts
  check nothing-is-left-of-the-other sh -c '! grep -q "^/dev/vda " /proc/mounts'
  check images-come-from-it sh -c 'cat /sys/block/loop*/loop/backing_file | grep -q "^/run/roost/medium/roost/images.squashfs$"'
  check alpha-mounts mount /dev/roost/alpha /mnt/alpha
  check alpha-reads-its-origin origin /mnt/alpha
  umount /mnt/alpha
  check deactivates roost-storage deactivate
  """#
