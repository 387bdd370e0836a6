import Platform
import Testing

/// What `roost disk` does for the guest `debian` while it runs: the machine shows the screen, and root is logged in on
/// that guest's console.
struct DiskSession {
  let machine: Machine

  func run() throws {
    try machine.inShell([
      // The guest is a small one, without a program that makes file systems.
      ("roost disk create data --size '256 MiB' && busybox mke2fs /dev/roost/data >/dev/null", "data: 256 MiB, empty"),
      ("roost disk attach data debian", "data: attached to debian"),
      ("roost disk resize debian --size '3 GiB'", "debian: 3 GiB"),
    ])
    try machine.inGuest([
      ("for i in $(seq 30); do [ -b /dev/sda ] && break; sleep 1; done; blockdev --getsize64 /dev/sda", "268435456"),
      ("mount /dev/sda /mnt && echo fir''st >/mnt/file && sync && cat /mnt/file", "first"),
      ("blockdev --getsize64 /dev/vda", "3221225472"),
    ])
    try machine.inShell([
      ("roost disk snapshot data early", "early: a snapshot of data"),
      ("roost disk resize data --size '384 MiB'", "data: 384 MiB"),
      ("roost disk destroy data --yes", "detach it first"),
    ])
    try machine.inGuest([
      ("blockdev --getsize64 /dev/sda", "402653184"),
      ("echo sec''ond >/mnt/file && sync && cat /mnt/file && umount /mnt", "second"),
    ])
    try machine.inShell([
      ("roost disk detach data", "data: detached"),
      ("roost disk rollback data early --yes", "data: as it was in early"),
      ("roost disk clone data trial", "trial: a clone of data"),
      ("roost disk attach data debian && roost disk attach trial debian", "trial: attached to debian"),
    ])
    try machine.inGuest([
      ("for i in $(seq 30); do [ -b /dev/sdb ] && break; sleep 1; done; echo $(ls /dev/sd?)", "/dev/sda /dev/sdb"),
      ("mount /dev/sda /mnt && echo rolled-ba''ck-to-$(cat /mnt/file); umount /mnt", "rolled-back-to-first"),
      ("mount /dev/sdb /mnt && echo clo''ne-of-$(cat /mnt/file); umount /mnt", "clone-of-first"),
    ])
    try machine.inShell([
      ("roost disk detach data && roost disk detach trial", "trial: detached"),
      ("roost disk destroy data --yes && roost disk destroy trial --yes", "trial: removed"),
      ("roost disk destroy early --yes && echo left $(roost disk list | grep -c 'data\\|trial\\|early')", "left 0"),
    ])
    try machine.inGuest([("ls /dev/sd? 2>/dev/null | wc -l | sed 's/^/disks=/'", "disks=0")])
  }
}
