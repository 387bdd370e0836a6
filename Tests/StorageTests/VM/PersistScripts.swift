let persistScript = #"""
  check activates roost-storage activate
  check lives-in-memory home memory
  check alpha-mounts mount /dev/roost/alpha /mnt/alpha
  check alpha-writes sh -c 'echo alpha >/mnt/alpha/mine && sync'
  writer 0 &
  writer=$!
  check no-device-is-refused refused 'no disk or partition' roost-storage persist /dev/nothing
  check a-small-disk-is-refused refused 'at least' roost-storage persist /dev/vdb
  mke2fs -q -L kept /dev/vdc
  check a-file-system-is-refused refused 'it holds ext2 "kept"' roost-storage persist /dev/vdc
  mount /dev/vdc /mnt/beta
  check a-mounted-disk-is-refused refused 'in use' roost-storage persist /dev/vdc --wipe
  umount /mnt/beta
  check nothing-was-touched sh -c 'blkid -p /dev/vdc | grep -q kept'
  check moves roost-storage persist /dev/vda --json
  cat /tmp/out
  check progress-is-told has '"step":"move"' /tmp/said
  check the-disk-is-the-home home disk
  check memory-is-given-back sh -c '! mountpoint -q /run/roost/ram && ! grep -q ram.pv /sys/block/loop*/loop/backing_file'
  check the-pool-has-the-disk sh -c 'roost-storage status --json >/tmp/status && [ $(sed -n "s/.*\"poolBytes\" : \([0-9]*\).*/\1/p" /tmp/status) -gt 3000000000 ]'
  check the-bookkeeping-grew-with-it sh -c 'dmsetup status roost-roost--pool.thin-tpool | grep -q "/2048 "'
  check once-more-is-the-same roost-storage persist /dev/vda
  check the-writer-goes-on kill -0 $writer
  check alpha-is-written written
  check a-second-disk-is-taken roost-storage grow /dev/vdc --wipe
  check it-is-told has /dev/vdc /run/roost/storage.json
  check pool-is-well sh -c 'dmsetup status roost-roost--pool.thin-tpool | grep -q " rw "'
  roost-storage status
  sleep 2
  echo CUT NOW
  sleep 1000
  """#

let persistedScript = #"""
  check a-lost-disk-is-told refused 'is not here' sh -c 'rm -f /dev/vdc && roost-storage activate'
  echo b 252 32 >/dev/null; mknod /dev/vdc b $(sed 's/:/ /' /sys/class/block/vdc/dev)
  check activates roost-storage activate
  cat /tmp/out
  check the-disk-is-the-home home disk
  check alpha-mounts mount /dev/roost/alpha /mnt/alpha
  check alpha-is-written written
  echo BLOCKS $(blocks)
  umount /mnt/alpha
  check deactivates roost-storage deactivate
  check live-is-possible roost-storage activate --live
  check live-is-in-memory home memory
  check alpha-mounts-live mount /dev/roost/alpha /mnt/alpha
  check alpha-is-new-live origin /mnt/alpha
  umount /mnt/alpha
  check deactivates-live roost-storage deactivate
  dd if=/dev/vda of=/dev/vdd bs=1M count=64 2>/dev/null
  check copies-are-refused refused 'copies of one another' roost-storage activate
  dd if=/dev/zero of=/dev/vdd bs=1M count=4 2>/dev/null
  check comes-back-without-the-copy roost-storage activate
  check it-is-the-home-still home disk
  check deactivates-again roost-storage deactivate
  """#

let disksScript = #"""
  check activates roost-storage activate
  check the-disk-is-the-home home disk
  check creates roost-storage disk create data --size 64MiB --json
  check it-is-told has '"kind" : "disk"' /tmp/said
  check it-is-there size /dev/roost/data 67108864
  check a-taken-name-is-refused refused 'already' roost-storage disk create data --size 64MiB
  check a-bad-name-is-refused refused 'lower-case' roost-storage disk create Data --size 64MiB
  check a-kept-name-is-refused refused 'kept for' roost-storage disk create image-x --size 64MiB
  check no-size-is-refused refused 'missing' roost-storage disk create more
  check grows roost-storage disk resize data --size 128MiB
  check it-is-larger size /dev/roost/data 134217728
  check shrinking-is-refused refused 'does not get smaller' roost-storage disk resize data --size 64MiB
  mke2fs -q /dev/roost/data && mount /dev/roost/data /mnt/beta
  echo before >/mnt/beta/file && sync
  check snapshot-while-in-use roost-storage disk snapshot data before
  echo after >/mnt/beta/file && sync
  check rollback-in-use-is-refused refused 'in use' roost-storage disk rollback data before
  check clones roost-storage disk clone data copy
  umount /mnt/beta
  mount /dev/roost/copy /mnt/beta
  check the-clone-has-what-was-flushed has after /mnt/beta/file
  umount /mnt/beta
  check rolls-back roost-storage disk rollback data before
  mount /dev/roost/data /mnt/beta
  check it-is-what-it-was has before /mnt/beta/file
  umount /mnt/beta
  check the-snapshot-stays sh -c 'roost-storage disk list --json >/tmp/list && grep -q "\"name\" : \"before\"" /tmp/list'
  check a-snapshot-takes-no-writes refused 'Operation not permitted\|Read-only\|error' dd if=/dev/zero of=/dev/roost/before bs=4096 count=1 conv=fsync
  check attaches roost-storage disk attach data alpha
  check twice-is-once roost-storage disk attach data alpha
  check two-domains-are-refused refused 'attached to alpha' roost-storage disk attach data beta
  check attached-is-told has '"attachedTo" : "alpha"' /run/roost/storage.json
  check destroying-attached-is-refused refused 'detach it first' roost-storage disk destroy data
  check detaches roost-storage disk detach data
  check detached-twice-is-refused refused 'not attached' roost-storage disk detach data
  check own-disks-stay refused 'own disk' roost-storage disk destroy alpha
  check destroys roost-storage disk destroy data
  check it-is-gone [ ! -e /dev/roost/data ]
  check snapshots-outlive-it roost-storage disk clone before data
  check unknown-is-refused refused 'no disk named nobody' roost-storage disk clone nobody more
  roost-storage disk list
  # A command that ends after it recorded a volume, and before the pool was told: it runs a few milliseconds at a time,
  # and between them it is looked whether its record is on the disk. The area with the records begins at byte 4096, and
  # at byte 40 of it stand place and length of the record that holds (LVM, lib/format_text/layout.h).
  recorded() {
    set -- $(od -An -tu8 -j 4136 -N 16 /dev/vda) "$1"
    dd if=/dev/vda bs=512 skip=$(((4096 + $1) / 512)) count=$(($2 / 512 + 1)) 2>/dev/null | grep -qa "create = \"$3\""
  }
  told() { dmsetup status --noflush roost-roost--pool.thin-tpool | cut -d' ' -f4; }
  caught=0 broken=
  for try in 1 2 3; do
    before=$(told)
    roost-storage disk create pending-$try --size 32MiB >/dev/null 2>&1 &
    command=$!
    while kill -STOP $command 2>/dev/null; do
      recorded pending-$try && break
      kill -CONT $command
      usleep 3000
    done
    [ "$(told)" = "$before" ] && caught=$((caught + 1))
    kill -9 $command; wait $command
    roost-storage deactivate && roost-storage activate && [ -b /dev/roost/pending-$try ] &&
      roost-storage disk destroy pending-$try || broken="$broken $try"
  done
  echo "commands ended before the pool was told: $caught"
  check a-command-was-caught [ $caught -gt 0 ]
  check all-came-back [ -z "$broken" ]
  check defines roost-storage domain define web --definition definition-of-web --size 64MiB --json
  check its-disk-is-its-own has '"kind" : "own"' /tmp/said
  check the-domain-is-told has '"web" : "definition-of-web"' /run/roost/storage.json
  check its-disk-is-there size /dev/roost/web 67108864
  check a-taken-domain-is-refused refused 'already' roost-storage domain define web --definition again
  check a-taken-disk-is-refused refused 'already' roost-storage domain define copy --definition again
  check its-disk-is-not-destroyed refused 'roost remove' roost-storage disk destroy web
  check its-disk-is-not-attached refused 'own disk' roost-storage disk attach web alpha
  check defines-from-an-image roost-storage domain define second --definition second --image image-alpha --size 96MiB
  check it-has-its-size size /dev/roost/second 100663296
  check it-mounts mount /dev/roost/second /mnt/beta
  check it-begins-as-the-image origin /mnt/beta
  check in-use-is-not-undefined refused 'in use' roost-storage domain undefine second
  umount /mnt/beta
  check undefines roost-storage domain undefine second
  check its-disk-is-gone [ ! -e /dev/roost/second ]
  check it-is-told-no-more sh -c '! grep -q second /run/roost/storage.json'
  check a-recipes-domain-stays refused 'recipe' roost-storage domain undefine alpha
  check defines-from-a-disk roost-storage domain define second --definition second --clone copy
  check it-is-the-disk cmp /dev/roost/second /dev/roost/copy
  dd if=/dev/urandom of=/tmp/raw bs=1M count=5 2>/dev/null
  truncate -s 21M /tmp/raw
  check defines-from-a-file roost-storage domain define third --definition third --file /tmp/raw --size 32MiB
  check it-is-the-file cmp -n 22020096 /tmp/raw /dev/roost/third
  check zeros-take-no-room sh -c '[ $(dmsetup status --noflush roost-third | cut -d" " -f4) -le 10240 ]'
  check a-larger-file-is-refused refused 'cannot hold' roost-storage domain define fourth --definition 4 --file /tmp/raw --size 16MiB
  printf 'QFI\373' >/tmp/image.qcow2
  check a-format-is-refused refused 'qemu-img' roost-storage domain define fourth --definition 4 --file /tmp/image.qcow2
  check nothing-is-left-of-it sh -c '! ls /dev/roost | grep -q fourth && ! grep -q fourth /run/roost/storage.json'
  check defines-without-a-disk roost-storage domain define bare --definition bare
  check long-definitions roost-storage domain define long --definition $(head -c 2400 /dev/zero | tr '\0' x)
  check too-long-definitions-are-refused refused '2400 bytes' roost-storage domain define longer --definition $(head -c 2401 /dev/zero | tr '\0' x)
  check a-made-disk-rolls-back sh -c 'roost-storage disk snapshot web early && roost-storage disk rollback web early'
  check it-is-its-domains-still has '"web" : "definition-of-web"' /run/roost/storage.json
  check attaches-for-later roost-storage disk attach copy alpha
  check own-disk-rolls-back sh -c 'roost-storage disk snapshot alpha mark && roost-storage disk rollback alpha mark'
  check deactivates roost-storage deactivate
  check comes-back roost-storage activate
  check copy-is-attached-still has '"attachedTo" : "alpha"' /run/roost/storage.json
  check copy-is-there [ -b /dev/roost/copy ]
  check web-is-there-still sh -c '[ -b /dev/roost/web ] && grep -q "\"web\" : \"definition-of-web\"" /run/roost/storage.json'
  check third-is-there-still sh -c 'cmp -n 22020096 /tmp/raw /dev/roost/third && grep -q "/dev/roost/third" /run/roost/storage.json'
  check bare-and-long-are-told-still sh -c 'grep -q "\"bare\" : \"bare\"" /run/roost/storage.json && grep -q "\"long\" : \"x\{2400\}\"" /run/roost/storage.json'
  check alpha-mounts mount /dev/roost/alpha /mnt/alpha
  check alpha-is-written written
  umount /mnt/alpha
  check deactivates-at-last roost-storage deactivate
  """#

let stickScript = #"""
  mount -t squashfs -o ro /dev/vda1 /run/roost/medium || echo "no medium on the stick"
  check first-use-makes-it-the-home roost-storage activate
  cat /tmp/out
  check the-stick-is-the-home home disk
  echo SESSION MARKS $(head -c 1048576 /dev/vda2 | /usr/bin/grep -a -o 'roost.session=' | wc -l)
  check changes-are-counted sh -c '[ "$(cat /run/roost/storage.lock)" -ge 1 ]'
  check the-partition-is-in-it has /dev/vda2 /run/roost/storage.json
  check alpha-mounts mount /dev/roost/alpha /mnt/alpha
  if [ -e /mnt/alpha/mine ]; then echo WAS HERE BEFORE; else check alpha-is-new origin /mnt/alpha; fi
  check alpha-writes sh -c 'echo alpha >/mnt/alpha/mine && sync'
  check watches sh -c 'roost-storage watch & for second in $(seq 120); do [ -s /run/roost/pool.json ] && break; sleep 1; done; kill $!; grep -q "\"home\" : \"disk\"" /run/roost/pool.json'
  umount /mnt/alpha
  check deactivates roost-storage deactivate
  """#

let repairScript = #"""
  check activates roost-storage activate
  check deactivates roost-storage deactivate
  # The bookkeeping's superblock, wherever it lies, has the magic number 27022010 at byte 32, and at byte 80 the block in
  # which the tree of free space begins (Linux, drivers/md/dm-thin-metadata.c, struct thin_disk_superblock).
  damage() {
    magic=$(head -c 268435456 /dev/vda | /usr/bin/grep -obUaP '\xBA\x52\x9C\x01\x00\x00\x00\x00' | head -n 1 | cut -d: -f1)
    [ -n "$magic" ] || return 1
    start=$((magic - 32))
    block=$(od -An -tu8 -j $((start + 80)) -N 8 /dev/vda | tr -d ' ')
    printf 'damaged!' | dd of=/dev/vda bs=1 seek=$((start + block * 4096 + 64)) conv=notrunc,fsync 2>/dev/null
  }
  check damages damage
  check repairs roost-storage activate
  cat /tmp/out
  check it-is-told has 'has been repaired' /run/roost/storage.json
  check alpha-mounts mount /dev/roost/alpha /mnt/alpha
  check alpha-is-written written
  umount /mnt/alpha
  check deactivates-again roost-storage deactivate
  wreck() { # nothing is left to repair from, on either disk
    for disk in /dev/vda /dev/vdc; do
      for place in $(head -c 268435456 $disk | /usr/bin/grep -obUaP '\xBA\x52\x9C\x01\x00\x00\x00\x00' | cut -d: -f1); do
        dd if=/dev/urandom of=$disk bs=4096 seek=$(((place - 32) / 4096)) count=64 conv=notrunc,fsync 2>/dev/null
      done
    done
  }
  check wrecks wreck
  check the-wreck-is-told refused 'choose the live session\|Choose the live session' roost-storage activate
  roost-storage deactivate
  check live-is-possible roost-storage activate --live
  check deactivates-live roost-storage deactivate
  """#

let chaosScript = #"""
  phase=$(word phase)
  [ $phase = first ] && mount -t squashfs -o ro /dev/vda1 /run/roost/medium
  live=
  [ $phase = persist ] && live=--live
  echo STARTS
  if roost-storage activate $live; then
    echo ACTIVE $(sed -n 's/.*"home" : "\([a-z]*\)".*/\1/p' /run/roost/storage.json)
  else
    echo BROKEN
  fi
  echo BLOCKS $(blocks)
  dmsetup status | grep -q 'needs_check\|Fail' && echo BROKEN pool
  ls /dev/roost | grep -q made && echo BROKEN half-made
  if grep -q '"web" : "definition' /run/roost/storage.json; then [ -b /dev/roost/web ]; else [ ! -e /dev/roost/web ]; fi ||
    echo BROKEN web
  echo LOOKED
  writer $(blocks) &
  case $phase in
    persist)
      echo CHECKPOINT
      roost-storage persist /dev/vda --wipe --json && echo PERSISTED ;;
    disks)
      for round in $(seq 1000); do
        roost-storage disk create more --size 32MiB && roost-storage disk resize more --size $((64 + round))MiB &&
          roost-storage disk snapshot alpha before && roost-storage disk rollback alpha before >/dev/null
        roost-storage disk destroy before
        roost-storage disk destroy more
        roost-storage disk destroy alpha 2>/dev/null && echo BROKEN rules
        roost-storage domain define web --definition definition --image image-alpha
        roost-storage domain undefine web
      done >/dev/null ;;
  esac
  sleep 1000
  """#
