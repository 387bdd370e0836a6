/// A network with servers beside the machine: in a network namespace of their own, at the other end of a virtual cable.
/// The servers' files are below `/far`.
private let farSide = #"""
  mkdir -p /far
  # The shell has simpler ones of its own.
  ip() { /usr/bin/ip "$@"; }
  far() { /usr/bin/nsenter --net=/run/netns/far "$@"; }
  network() {
    modprobe veth
    ip netns add far
    ip link add near type veth peer name far0 netns far
    ip address add 10.99.0.1/24 dev near
    ip link set near up
    ip -n far address add 10.99.0.2/24 dev far0
    ip -n far link set far0 up
    ip -n far link set lo up
  }
  blank() { # file, MiB
    [ -e /far/$1 ] || truncate -s $2M /far/$1
  }
  processes() { # of a server of ours, which its loader runs
    for process in /proc/[0-9]*; do
      tr '\0' ' ' <$process/cmdline 2>/dev/null | grep -q " /servers/$1 " && echo ${process#/proc/}
    done
  }
  ends() { # a server: it is there, and then nothing of it is left
    [ -n "$(processes $1)" ] || return 1
    for tenth in $(seq 600); do
      left=$(processes $1)
      [ -n "$left" ] || return 0
      kill -9 $left
      sleep 0.1
    done
    return 1
  }
  listens() { # port in hexadecimal digits
    for tenth in $(seq 100); do far grep -q ":$1 0*:0000 0A" /proc/net/tcp /proc/net/tcp6 && return 0; sleep 0.1; done
    return 1
  }
  nbd_serves() { # names of files
    printf '[generic]\n' >/tmp/nbd.conf
    for file in "$@"; do printf '[%s]\nexportname = /far/%s\nflush = true\nfua = true\n' $file $file >>/tmp/nbd.conf; done
    far nbd-server -C /tmp/nbd.conf -p /tmp/nbd.pid
    listens 2A39
  }
  iscsi_serves() { # names of files, the logical units 1 and on
    mkdir -p /run/tgtd /var/run/tgtd
    far tgtd
    for tenth in $(seq 100); do far tgtadm --lld iscsi --op show --mode target >/dev/null 2>&1 && break; sleep 0.1; done
    far tgtadm --lld iscsi --op new --mode target --tid 1 -T iqn.2026-11.org.example:disk || return 1
    number=1
    for file in "$@"; do
      far tgtadm --lld iscsi --op new --mode logicalunit --tid 1 --lun $number -b /far/$file || return 1
      number=$((number + 1))
    done
    far tgtadm --lld iscsi --op bind --mode target --tid 1 -I ALL
  }
  pool() { roost-storage status --json | sed -n 's/.*"poolBytes" : \([0-9]*\).*/\1/p'; }
  grown() { # bytes that it had
    [ $(pool) -gt $1 ]
  }
  device() { # name: its block device
    roost-storage remotes | sed -n "s/^$1: .*, \(\/dev\/[^ ,]*\),.*/\1/p"
  }
  # What is written to a remote is in the server's file, and what is in the file is read from it.
  writes_through() { # name, file
    dd if=/expected of=$(device $1) bs=1M seek=3 conv=notrunc,fsync 2>/dev/null || return 1
    dd if=/far/$2 bs=1M skip=3 count=1 2>/dev/null | head -c $(stat -c %s /expected) | cmp - /expected || return 1
    [ "$(dd if=$(device $1) bs=1M skip=3 count=1 iflag=direct 2>/dev/null | head -c 16)" = "$(head -c 16 /expected)" ]
  }
  # A remote as a disk of a guest's: everything that is refused, and what is not.
  guest_disk() { # scheme, name, file
    check $1-writes-reach-the-server writes_through $2 $3
    check $1-is-told has '"kind" : "remote"' /run/roost/storage.json
    check $1-is-listed sh -c "roost-storage disk list | grep -q '^$2 .*remote'"
    check $1-is-no-room-by-accident refused 'comes over the network' roost-storage grow $(device $2)
    check $1-is-no-home-by-accident refused 'comes over the network' roost-storage persist $(device $2) --wipe
    check $1-name-is-taken refused 'already' roost-storage disk create $2 --size 16MiB
    check $1-attaches roost-storage disk attach $2 alpha
    check $1-attached-is-told has '"attachedTo" : "alpha"' /run/roost/storage.json
    check $1-one-domain-only refused 'attached to alpha' roost-storage disk attach $2 beta
    check $1-attached-stays refused 'detach it first' roost-storage disconnect $2
    check $1-detaches roost-storage disk detach $2
    exec 9<$(device $2)
    check $1-open-stays refused 'is in use' roost-storage disconnect $2
    check $1-open-keeps-storage-up refused "in use: $2" roost-storage deactivate
    exec 9<&-
  }

  """#

let nbdScript =
  farSide + #"""
    check activates roost-storage activate
    check nothing-is-remote sh -c '[ -z "$(roost-storage remotes)" ]'
    network
    check a-bad-address-is-refused refused 'did you mean nbd' roost-storage connect data ndb://10.99.0.2/data
    check no-server-is-refused refused 'does not answer' roost-storage connect data nbd://10.99.0.2/data
    check nothing-is-left-of-it sh -c '[ -z "$(roost-storage remotes)" ]'
    blank data 64; blank more 96; blank full 32
    mke2fs -q -F -L kept /far/full
    check nbd-serves nbd_serves data more full
    # On a machine with much else to do, a server that has just been started may not answer in time.
    unknown_export() {
      for try in 1 2 3; do
        refused 'no export named nothing\|hangs up' roost-storage connect data nbd://10.99.0.2/nothing && return 0
        grep -q 'does not answer' /tmp/refused || return 1
      done
      return 1
    }
    check an-unknown-export-is-refused unknown_export
    check nbd-connects roost-storage connect data nbd://10.99.0.2/data --json
    check nbd-size-is-told has '"bytes" : 67108864' /tmp/said
    check nbd-twice-is-refused refused 'already' roost-storage connect data nbd://10.99.0.2/more
    check nbd-the-same-is-refused refused 'connected already, as data' roost-storage connect other nbd://10.99.0.2:10809/data
    guest_disk nbd data data

    roost-storage watch &
    watch=$!
    check nbd-server-ends ends nbd-server
    dd if=/expected of=/dev/nbd0 bs=1M seek=7 conv=notrunc,fsync 2>/tmp/writer &
    writer=$!
    lost() { for second in $(seq 60); do grep -q '"data"' /run/roost/remotes.json && return 0; sleep 1; done; return 1; }
    check nbd-loss-is-told lost
    check nbd-loss-is-shown sh -c 'roost-storage remotes | grep -q "is lost"'
    check nbd-writes-wait kill -0 $writer
    check nbd-server-comes-back nbd_serves data more full
    check nbd-writes-go-on wait $writer
    check nbd-wrote sh -c 'dd if=/far/data bs=1M skip=7 count=1 2>/dev/null | head -c $(stat -c %s /expected) | cmp - /expected'
    found() { for second in $(seq 20); do grep -q '"data"' /run/roost/remotes.json || return 0; sleep 1; done; return 1; }
    check nbd-recovery-is-told found
    kill $watch
    check nbd-disconnects roost-storage disconnect data
    check nbd-is-gone sh -c '[ ! -e /sys/block/nbd0/pid ] && [ -z "$(roost-storage remotes)" ]'
    check nbd-unknown-is-refused refused 'no remote named data' roost-storage disconnect data

    before=$(pool)
    check nbd-full-is-no-room refused 'it holds ext2 "kept"' roost-storage connect full nbd://10.99.0.2/full --use room
    check nbd-full-is-untouched sh -c 'blkid -p /far/full | grep -q kept && [ -z "$(roost-storage remotes)" ]'
    check nbd-is-room roost-storage connect more nbd://10.99.0.2/more --use room
    check nbd-room-is-in-the-pool grown $before
    check nbd-room-stays refused 'part of their room' roost-storage disconnect more
    check nbd-room-is-no-disk refused 'room for all guests' roost-storage disk attach more alpha
    check nbd-room-takes-writes dd if=/dev/urandom of=/dev/roost/beta bs=1M count=32 oflag=direct conv=notrunc
    check activates-again roost-storage activate
    check nbd-room-is-told-still sh -c 'roost-storage remotes | grep -q "^more: .*room, /dev/nbd"'
    check deactivates roost-storage deactivate
    check nothing-is-left quiet
    check nbd-is-let-go sh -c '! ls /sys/block/nbd*/pid'

    check activates-anew roost-storage activate
    check memory-forgets sh -c '[ -z "$(roost-storage remotes)" ]'
    check a-dead-sessions-room-is-free roost-storage connect more nbd://10.99.0.2/more --use room
    check wiping-takes-what-is-full roost-storage connect full nbd://10.99.0.2/full --use room --wipe
    check deactivates-at-last roost-storage deactivate

    """#

let iscsiScript =
  farSide + #"""
    check activates roost-storage activate
    network
    check no-server-is-refused refused 'log in to iscsi' roost-storage connect data iscsi://10.99.0.2/iqn.2026-11.org.example:disk
    blank data 64; blank more 96
    check iscsi-serves iscsi_serves data more
    check an-unknown-target-is-refused refused 'log in to iscsi' roost-storage connect data iscsi://10.99.0.2/iqn.2026-11.org.example:none
    check an-unknown-unit-is-refused refused 'it has 1, 2' roost-storage connect data iscsi://10.99.0.2/iqn.2026-11.org.example:disk/9
    check iscsi-connects roost-storage connect data iscsi://10.99.0.2/iqn.2026-11.org.example:disk/1 --json
    check iscsi-size-is-told has '"bytes" : 67108864' /tmp/said
    guest_disk iscsi data data
    check other-units-are-nobodys-disk refused 'comes over the network' roost-storage grow /dev/sdb
    echo 10.99.0.2 nas >>/etc/hosts
    check iscsi-a-twin-is-refused refused 'is data already' roost-storage connect twin iscsi://nas/iqn.2026-11.org.example:disk/1
    check iscsi-by-name-shares-the-session roost-storage connect named iscsi://nas/iqn.2026-11.org.example:disk/2
    check iscsi-named-goes roost-storage disconnect named
    check iscsi-the-other-stays dd if=$(device data) of=/dev/null bs=4096 count=1 iflag=direct
    before=$(pool)
    check iscsi-is-room roost-storage connect more iscsi://10.99.0.2/iqn.2026-11.org.example:disk/2 --use room
    check iscsi-room-is-in-the-pool grown $before
    check iscsi-room-stays refused 'part of their room' roost-storage disconnect more
    check iscsi-disconnects roost-storage disconnect data
    check iscsi-session-stays-for-the-room sh -c 'ls -d /sys/class/iscsi_session/session*'
    check iscsi-room-is-there [ -b $(device more) ]
    check iscsi-comes-back roost-storage connect data iscsi://10.99.0.2/iqn.2026-11.org.example:disk/1
    check iscsi-has-what-was-written sh -c "dd if=$(device data) bs=1M skip=3 count=1 2>/dev/null | head -c $(stat -c %s /expected) | cmp - /expected"

    ip link set near down
    dd if=/expected of=$(device data) bs=1M seek=7 conv=notrunc,fsync 2>/tmp/writer &
    writer=$!
    away() { for second in $(seq 60); do roost-storage remotes | grep -q 'session with .* is lost' && return 0; sleep 1; done; return 1; }
    check iscsi-loss-is-shown away
    check iscsi-writes-wait kill -0 $writer
    ip link set near up
    check iscsi-writes-go-on wait $writer
    check iscsi-wrote sh -c 'dd if=/far/data bs=1M skip=7 count=1 2>/dev/null | head -c $(stat -c %s /expected) | cmp - /expected'
    check deactivates roost-storage deactivate
    check iscsi-logs-out sh -c '! ls -d /sys/class/iscsi_session/session*'
    check nothing-is-left quiet

    """#

let aoeScript =
  farSide + #"""
    check activates roost-storage activate
    network
    blank data 64; blank more 96
    check no-interface-is-refused refused 'no network interface eth7' roost-storage connect data aoe://7.1/eth7
    check no-target-is-refused refused 'no AoE target 7.1 answers' roost-storage connect data aoe://7.1
    aoe_serves() { far vblade 7 1 far0 /far/data >/tmp/vblade.1 2>&1 & far vblade 7 2 far0 /far/more >/tmp/vblade.2 2>&1 & }
    aoe_serves
    # It gives up by the clock, maybe before a server that has just been started answers.
    aoe_connects() { for try in $(seq 10); do roost-storage connect "$@" && return 0; done; return 1; }
    check aoe-connects aoe_connects data aoe://7.1 --json
    check aoe-size-is-told has '"bytes" : 67108864' /tmp/said
    check aoe-has-its-node [ -b /dev/etherd/e7.1 ]
    guest_disk aoe data data
    check aoe-a-twin-is-refused refused 'is data already' roost-storage connect twin aoe://7.1/near
    before=$(pool)
    check aoe-is-room aoe_connects more aoe://7.2/near --use room
    check aoe-room-is-in-the-pool grown $before
    check aoe-all-interfaces-stay sh -c '[ -z "$(tr -d "\0\n" </sys/module/aoe/parameters/aoe_iflist)" ]'
    check aoe-room-stays refused 'part of their room' roost-storage disconnect more
    check aoe-server-ends ends vblade
    dd if=/expected of=/dev/etherd/e7.1 bs=1M seek=7 conv=notrunc,fsync 2>/tmp/writer &
    writer=$!
    sleep 5
    check aoe-writes-wait kill -0 $writer
    aoe_serves
    check aoe-writes-go-on wait $writer
    check aoe-wrote sh -c 'dd if=/far/data bs=1M skip=7 count=1 2>/dev/null | head -c $(stat -c %s /expected) | cmp - /expected'
    check aoe-disconnects roost-storage disconnect data
    check aoe-is-gone [ ! -e /dev/etherd/e7.1 ]
    check deactivates roost-storage deactivate
    check nothing-is-left quiet

    """#

/// A home on `vda` becomes one that needs room over the network; the servers' files are on `vdb`.
let remoteHomeScript =
  farSide + #"""
    check activates roost-storage activate
    check moves roost-storage persist /dev/vda
    mke2fs -q /dev/vdb
    mount /dev/vdb /far
    network
    blank more 96; blank data 64
    check nbd-serves nbd_serves more
    check iscsi-serves iscsi_serves data
    before=$(pool)
    check nbd-is-room roost-storage connect more nbd://10.99.0.2/more --use room
    check the-pool-grows grown $before
    check iscsi-is-a-disk roost-storage connect data iscsi://10.99.0.2/iqn.2026-11.org.example:disk/1
    check attaches roost-storage disk attach data alpha
    check alpha-mounts mount /dev/roost/alpha /mnt/alpha
    check alpha-writes sh -c 'echo alpha >/mnt/alpha/mine && sync'
    umount /mnt/alpha
    check deactivates roost-storage deactivate
    check nbd-server-ends ends nbd-server
    check iscsi-server-ends ends tgtd
    check umounts umount /far

    """#

/// The same home at its next start: there is no network yet, then one without servers, then all.
let remoteHomeAgainScript =
  farSide + #"""
    mount /dev/vdb /far
    check it-waits refused 'waits for more, which comes over the network' roost-storage activate
    check waiting-is-told sh -c 'grep -q "\"waitingFor\" : \[" /run/roost/storage.json && grep -q "\"more\"" /run/roost/storage.json'
    check without-a-network-it-waits-on refused 'not connected' roost-storage remotes connect
    network
    check without-servers-it-waits-on refused 'does not answer' roost-storage remotes connect
    check iscsi-serves iscsi_serves data
    check nbd-serves nbd_serves more
    check connects roost-storage remotes connect --json
    check it-is-ready has '"state" : "ready"' /run/roost/storage.json
    check the-disk-is-the-home home disk
    check nobody-waits sh -c '! grep -q "\"waitingFor\" : \[ *\"" /run/roost/storage.json'
    check alpha-mounts mount /dev/roost/alpha /mnt/alpha
    check alpha-is-written written
    umount /mnt/alpha
    check the-disk-is-there has '"device" : "/dev/sd' /run/roost/storage.json
    check it-is-attached-still has '"attachedTo" : "alpha"' /run/roost/storage.json
    check room-stays-room refused 'part of their room' roost-storage disconnect more
    check live-needs-none-of-it sh -c 'roost-storage deactivate && roost-storage activate --live'
    check live-is-in-memory home memory
    check deactivates-live roost-storage deactivate

    """#

/// One of two machines with a replicated volume; `own=` and `other=` on the command line are their addresses.
let drbdScript =
  farSide + #"""
    own=$(word own); other=$(word other)
    modprobe virtio_net
    for second in $(seq 20); do [ -e /sys/class/net/eth0 ] && break; sleep 0.5; done
    ip address add $own/24 dev eth0
    ip link set eth0 up
    check activates roost-storage activate
    check room-is-refused refused 'only be a disk' roost-storage connect twin drbd://$other/64MiB --use room
    check connects roost-storage connect twin drbd://$other/64MiB --json
    cat /tmp/out
    check secondary-is-told has '"isPrimary" : false' /tmp/said
    check secondary-is-not-attached refused 'roost storage promote twin' roost-storage disk attach twin alpha
    check its-own-part-is-hidden sh -c '! roost-storage disk list | grep -q replica'
    state() { # what both machines are, until they are that
      for second in $(seq 600); do
        roost-storage remotes >/dev/null
        [ "$(/usr/lib/drbd/drbdsetup-84 $1 0)" = $2 ] && return 0
        sleep 0.5
      done
      /usr/lib/drbd/drbdsetup-84 role 0; /usr/lib/drbd/drbdsetup-84 cstate 0; /usr/lib/drbd/drbdsetup-84 dstate 0
      return 1
    }
    # What would soon be over stays until the other machine has seen it, which says so by an address more.
    says() { # number
      ip address add 10.98.0.1$1/32 dev eth0
    }
    hears() { # number
      for second in $(seq 600); do ping -c 1 -W 1 10.98.0.1$1 >/dev/null 2>&1 && return 0; sleep 0.5; done
      return 1
    }
    check sees-the-other state cstate Connected
    if [ $own = 10.98.0.1 ]; then
      check promotes roost-storage promote twin
      check nothing-is-copied state dstate UpToDate/UpToDate
      check attaches roost-storage disk attach twin alpha
      check writes dd if=/expected of=$(device twin) bs=1M seek=3 conv=notrunc,fsync
      check attached-stays refused 'detach it first' roost-storage disconnect twin
      check detaches roost-storage disk detach twin
      check the-other-was-refused hears 1
      check demotes roost-storage demote twin
      check the-other-takes-over state role Secondary/Primary
      check says-so says 2
      check the-other-hands-back state role Secondary/Secondary
      check promotes-again roost-storage promote twin
      check reads sh -c "dd if=$(device twin) bs=1M skip=9 count=1 2>/dev/null | head -c $(stat -c %s /expected) | cmp - /expected"
      check the-other-saw-it hears 3
      check demotes-again roost-storage demote twin
      echo HANDED OVER
      check the-other-is-missed state cstate WFConnection
      check that-is-told sh -c 'roost-storage remotes | grep -q "the other machine is not there"'
      check disconnects roost-storage disconnect twin
      check its-part-is-gone sh -c '! dmsetup ls | grep -q replica'
    else
      check sees-the-primary state role Secondary/Primary
      check two-primaries-are-refused refused 'may be the primary' roost-storage promote twin
      check says-so says 1
      check sees-the-primary-end state role Secondary/Secondary
      check promotes roost-storage promote twin
      check reads sh -c "dd if=$(device twin) bs=1M skip=3 count=1 2>/dev/null | head -c $(stat -c %s /expected) | cmp - /expected"
      check writes dd if=/expected of=$(device twin) bs=1M seek=9 conv=notrunc,fsync
      check the-other-saw-it hears 2
      check demotes roost-storage demote twin
      check sees-the-first-again state role Secondary/Primary
      check says-it-again says 3
      check sees-its-end state role Secondary/Secondary
    fi
    check deactivates roost-storage deactivate
    check nothing-is-left quiet

    """#
