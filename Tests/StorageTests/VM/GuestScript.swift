/// Scripts that machines under test run, by the name that `check=` on the kernel's command line has. Each `check` prints
/// one line that the tests look for.
enum GuestScript: String, CaseIterable {
  /// The volumes of a live session.
  case volumes
  /// From memory to an empty disk (`vda`) while something writes; it ends with a cut of the power.
  case persist
  /// The same disk after that, with a copy of it (`vdb`) or without.
  case persisted
  /// Disks on the fly, on the disk that is the home.
  case disks
  /// A stick with the medium and an empty partition for the guests.
  case stick
  /// The home's bookkeeping is damaged.
  case repair
  /// What a cut of the power left is looked at; then work goes on until the next one.
  case chaos
  /// Disks that fail (`vda`, behind device-mapper) refuse a session, which a good one (`vdb`) then takes.
  case faultyTarget
  /// A home (`vda`, behind device-mapper) fails while guests write.
  case faultyHome
  /// A home (`vda`) that failed, and answers again.
  case healed
  /// A home (`vda`) that cannot be read.
  case unreadable
  /// A stick (`vda`) of which a part cannot be read.
  case faultyMedium
  /// A medium (`vda`) whose place a copy of it (`vdb`) takes.
  case mediumSwitch
  /// NBD from Debian's server.
  case nbd
  /// iSCSI from Debian's tgt.
  case iscsi
  /// AoE from Debian's vblade.
  case aoe
  /// A home that needs room over the network is made.
  case remoteHome
  /// It is found again.
  case remoteHomeAgain
  /// One of two machines with a replicated volume.
  case drbd

  /// Its text.
  var text: String {
    switch self {
    case .volumes: volumesScript
    case .persist: persistScript
    case .persisted: persistedScript
    case .disks: disksScript
    case .stick: stickScript
    case .repair: repairScript
    case .chaos: chaosScript
    case .faultyTarget: faultyTargetScript
    case .faultyHome: faultyHomeScript
    case .healed: healedScript
    case .unreadable: unreadableScript
    case .faultyMedium: faultyMediumScript
    case .mediumSwitch: mediumSwitchScript
    case .nbd: nbdScript
    case .iscsi: iscsiScript
    case .aoe: aoeScript
    case .remoteHome: remoteHomeScript
    case .remoteHomeAgain: remoteHomeAgainScript
    case .drbd: drbdScript
    }
  }

  /// The names of its checks, in their order; those that a function makes of its arguments are left out.
  var checks: [String] {
    text.split(separator: "\n").compactMap { line -> String? in
      let words = line.split(separator: " ")
      return words.first == "check" && words.count > 2 && !words[1].hasPrefix("$") ? String(words[1]) : nil
    }
  }
}

/// What every machine runs as its init.
let guestPrelude = #"""
  #!/usr/bin/busybox sh
  export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
  busybox mount -t proc proc /proc
  busybox mount -t sysfs sysfs /sys
  busybox mount -t devtmpfs devtmpfs /dev
  busybox mkdir -p /mnt/alpha /mnt/beta /tmp /run/roost
  exec </dev/console >/dev/console 2>&1
  echo 4 >/proc/sys/kernel/printk
  echo 1 >/proc/sys/kernel/sysrq
  for module in loop squashfs dm_mod dm_thin_pool dm_mirror ext4 virtio_pci virtio_blk; do modprobe $module || echo "no module $module"; done
  medium=/run/roost/medium/roost
  # Where something stands that is blocked for two minutes.
  (
    until dmesg | grep -q 'blocked for more than'; do sleep 10; done
    dmesg | grep -A 30 'blocked for more than'
    echo w >/proc/sysrq-trigger
    dmesg | tail -n 100
  ) &

  check() { # name, command...
    name=$1; shift
    [ ! -e /tmp/out ] || mv /tmp/out /tmp/said
    if "$@" >/tmp/out 2>&1; then echo "CHECK $name ok"; else echo "CHECK $name FAILED $*"; cat /tmp/out; fi
  }
  refused() { # text, command...: it fails and says the text
    text=$1; shift
    if "$@" >/tmp/refused 2>&1; then echo "it did not fail"; return 1; fi
    cat /tmp/refused
    grep -q -- "$text" /tmp/refused
  }
  size() { [ "$(blockdev --getsize64 $1)" = $2 ]; }
  origin() { # mount point: the file of the image is there as it was made
    mountpoint -q $1 && (cd $1 && sha256sum -c /expected) >/dev/null
  }
  zeros() { # device, MiB from, MiB
    [ -z "$(dd if=$1 bs=1M skip=$2 count=$3 2>/dev/null | tr -d '\0' | head -c 1)" ]
  }
  quiet() { # nothing of ours is left
    ! grep -q /run/roost/ /sys/block/loop*/loop/backing_file 2>/dev/null && ! grep -q ' /run/roost/[ir]' /proc/mounts &&
      [ ! -e /dev/mapper/roost-alpha ] && [ ! -e /dev/roost/alpha ] && [ -z "$(dmsetup ls | grep -v 'No devices')" ]
  }
  written() { mountpoint -q /mnt/alpha && [ "$(cat /mnt/alpha/mine)" = alpha ] && [ ! -e /mnt/beta/mine ]; }
  waits() { # process: the pool is full, and the process waits
    for second in $(seq 60); do
      dmsetup status roost-roost--pool.thin-tpool | grep -q out_of_data_space && kill -0 $1 && return 0
      sleep 1
    done
    return 1
  }
  with_ram() { sed "s/\"ramBytes\" *: *[0-9]*/\"ramBytes\": $1/" $medium/manifest.json >/tmp/manifest.json; }
  has() { grep -q -- "$1" $2; }
  home() { has "\"home\" : \"$1\"" /run/roost/storage.json; }
  # Writes numbered blocks of 4 KiB behind the first 16 MiB of beta, and tells each after its flush.
  writer() { # first number
    number=$1
    while [ ! -e /tmp/stop ] && [ $number -lt 4096 ]; do
      printf 'block %08d' $number |
        dd of=/dev/roost/beta bs=4096 seek=$((4096 + number)) conv=notrunc,sync,fsync 2>/dev/null || break
      echo ACK $number
      number=$((number + 1))
    done
  }
  blocks() { # how many of them there are
    dd if=/dev/roost/beta bs=1M skip=16 2>/dev/null | tr -d '\0' | sed 's/block/\n&/g' | grep -c '^block [0-9]'
  }
  word() { sed -n "s/.*\b$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
  for word in $(cat /proc/cmdline); do
    case $word in check=*) . /scripts/${word#check=} ;; esac
  done
  echo CHECKS DONE
  busybox poweroff -f

  """#

private let volumesScript = #"""
  check no-udev sh -c '! pidof systemd-udevd udevd'
  check activates roost-storage activate
  cat /tmp/out
  check state-is-ready grep -q '"state" : "ready"' /run/roost/storage.json
  check alpha-has-its-size size /dev/roost/alpha 67108864
  check beta-has-its-size size /dev/roost/beta 33554432
  check nodes-are-made [ -b /dev/mapper/roost-alpha ]
  check images-are-hidden [ ! -e /dev/roost/image-alpha ]
  check images-are-readable sh -c 'sha256sum /run/roost/images/images.pv >/tmp/images.sum && [ -s /tmp/images.sum ]'
  check alpha-mounts mount /dev/roost/alpha /mnt/alpha
  check beta-mounts mount /dev/roost/beta /mnt/beta
  check alpha-reads-its-origin origin /mnt/alpha
  check beta-reads-its-origin origin /mnt/beta
  check zeros-behind-the-origin zeros /dev/roost/alpha 16 48
  check alpha-writes sh -c 'echo alpha >/mnt/alpha/mine && echo changed >/mnt/alpha/origin-small && sync'
  check writes-are-isolated written
  check beta-is-unchanged origin /mnt/beta
  check images-are-unchanged sh -c 'sha256sum -c /tmp/images.sum >/dev/null'
  check writes-behind-the-origin sh -c 'dd if=/expected of=/dev/roost/alpha bs=1M seek=40 conv=notrunc,fsync'
  check reads-behind-the-origin sh -c 'dd if=/dev/roost/alpha bs=1M skip=40 count=1 | head -c $(stat -c %s /expected) | cmp - /expected'
  check zeros-around-a-small-write zeros /dev/roost/alpha 41 1
  check activates-again roost-storage activate
  check writes-survive-activation written
  check status-is-told sh -c 'roost-storage status --json >/tmp/status && grep -q "\"isOpen\" : true" /tmp/status'
  roost-storage status
  check busy-is-refused refused 'in use: alpha, beta' roost-storage deactivate
  check busy-is-left-alone written
  umount /mnt/beta
  check beta-is-lost dmsetup remove roost-beta
  check activates-what-is-lost roost-storage activate
  check beta-is-back mount /dev/roost/beta /mnt/beta
  check beta-reads-on origin /mnt/beta

  umount /mnt/beta
  dd if=/dev/urandom of=/dev/roost/beta bs=1M count=32 oflag=direct conv=notrunc >/tmp/writer 2>&1 &
  writer=$!
  check full-pool-lets-writes-wait waits $writer
  check full-pool-is-told sh -c 'roost-storage status | grep -q "100.0 % used"'
  check full-pool-keeps-alpha written
  check more-than-there-is-is-refused refused 'to spare' roost-storage grow --ram 1TiB
  check pool-takes-more-memory roost-storage grow --ram 96MiB
  check waiting-writes-go-on wait $writer
  check more-memory-is-told sh -c 'roost-storage status --json >/tmp/status && grep -q "\"ramBytes\" : 100663296" /tmp/status'
  umount /mnt/alpha
  check full-pool-mounts-alpha mount -o ro /dev/roost/alpha /mnt/alpha
  check full-pool-reads-alpha sh -c 'cd /mnt/alpha && grep origin-large /expected | sha256sum -c >/dev/null'
  umount /mnt/alpha
  check images-are-still-unchanged sh -c 'sha256sum -c /tmp/images.sum >/dev/null'

  check deactivates roost-storage deactivate
  check nothing-is-left quiet
  check deactivates-again roost-storage deactivate
  check no-state [ ! -e /run/roost/storage.json ]
  check status-without-state refused 'was not activated' roost-storage status

  check activates-anew roost-storage activate
  check alpha-mounts-anew mount /dev/roost/alpha /mnt/alpha
  check alpha-is-new origin /mnt/alpha
  umount /mnt/alpha
  check deactivates-anew roost-storage deactivate

  with_ram 1099511627776
  check too-much-ram-is-cut roost-storage activate --manifest /tmp/manifest.json
  check cut-is-told grep -q 'more than half' /run/roost/storage.json
  check deactivates-cut roost-storage deactivate
  with_ram 3000000
  check too-little-ram refused 'too little' roost-storage activate --manifest /tmp/manifest.json
  check failure-is-told grep -q '"state" : "failed"' /run/roost/storage.json
  roost-storage deactivate

  sed 's/"mediumUUID" *: *"....../"mediumUUID": "zzzzzz/' $medium/manifest.json >/tmp/manifest.json
  check other-medium-is-refused refused 'write the medium again' roost-storage activate --manifest /tmp/manifest.json
  roost-storage deactivate
  mv $medium/images.squashfs $medium/kept
  check missing-images refused 'has no .*images.squashfs' roost-storage activate
  echo garbage >$medium/images.squashfs
  check garbage-images refused 'not a squashfs' roost-storage activate
  mv $medium/kept $medium/images.squashfs
  mv $medium/volume-group.conf $medium/kept
  check missing-template refused 'volume-group.conf' roost-storage activate
  mv $medium/kept $medium/volume-group.conf
  check recovers-from-failures roost-storage activate
  check deactivates-at-last roost-storage deactivate
  check nothing-is-left-at-last quiet

  """#
