/// What `roost-storage --help` says.
let help = """
  roost-storage: the guests' disks, in memory or on a disk of this machine.

  Usage:
    roost-storage activate [--live]            bring the volumes up; what is there already stays
    roost-storage deactivate [--end]           take them down; what lives in memory is gone
    roost-storage status [--json]              what there is, and how full
    roost-storage watch                        keep /run/roost/pool.json current, for ever
    roost-storage persist DEVICE [--wipe] [--standalone] [--json]
                                               move what guests wrote to a disk while they run; it is their home then
    roost-storage persist --abort              take a move back that is not at its end
    roost-storage copy TARGET [SOURCE]         the copying of a move, which persist has done in a process of its own
    roost-storage grow DEVICE [--wipe]         add a disk's room to the guests' storage
    roost-storage grow --ram SIZE              give it more of the machine's memory
    roost-storage disk list [--json]
    roost-storage disk create NAME --size SIZE
    roost-storage disk resize NAME --size SIZE
    roost-storage disk snapshot NAME SNAPSHOT  keep what the disk is now
    roost-storage disk rollback NAME SNAPSHOT  make the disk again what the snapshot is
    roost-storage disk clone NAME NEW          a disk that begins as what the other is
    roost-storage disk attach NAME DOMAIN
    roost-storage disk detach NAME
    roost-storage disk destroy NAME
    roost-storage domain define NAME --definition TEXT [--image VOLUME | --clone DISK | --file PATH] [--size SIZE]
                                               record a domain that is made on the fly, and make its disk
    roost-storage domain undefine NAME         forget it, and remove its disk
    roost-storage connect NAME ADDRESS [--use disk|room] [--wipe]
                                               a disk for a guest, or more room for all, over the network
    roost-storage disconnect NAME              let it go
    roost-storage remotes [--json]             what comes over the network
    roost-storage remotes connect              connect what is not there
    roost-storage promote NAME [--force]       have this machine write to a replicated volume
    roost-storage demote NAME                  let the other machine do so
    roost-storage inspect DEVICE               what LVM says of the group on a device, as JSON

  Options:
    --manifest PATH   the medium's manifest (default /run/roost/medium/roost/manifest.json)
    --medium PATH     where the medium is mounted (default /run/roost/medium)
    --standalone      the medium is copied to the disk first, which then starts by itself; the machine reads
                      the copy from then on, and the medium can be taken out while guests run
    --live            memory is used even where a disk is the guests' home
                      (so does roost.live on the kernel's command line; with roost.persistent there, it is refused)
    --use USE         disk: a guest can have it; room: it becomes a part of the guests' storage
    --force           this machine's copy of a replicated volume is the right one, whatever the other has
    --end             writes that wait for room fail, so that their programs end (the appliance's last act)
    --wipe            what the device holds may be lost
    --json            output for programs
    -h, --help        this text

  Addresses: nbd://server[:10809]/export, iscsi://server[:3260]/iqn.…/UNIT, aoe://SHELF.SLOT[/INTERFACE],
  drbd://PEER[:7788]/SIZE.
  Sizes are written as 512MiB or "2 GiB". activate and every change write /run/roost/storage.json.
  persist may be interrupted (Ctrl-C) and run again: it goes on where it was.
  Exit: 0 done; 1 failed, with the reason; 2 bad usage.

  Examples:
    roost-storage status --json
    roost-storage persist /dev/sda
    roost-storage disk snapshot debian before-upgrade
    roost-storage connect data nbd://10.77.0.20/data

  """
