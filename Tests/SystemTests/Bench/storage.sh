# The guests' storage beside what it lies on: memory behind a loop device. Last comes a move to a disk, the first empty
# one that is there, beside plain copying to the same disk.
. /mnt/lib.sh
thin=/dev/roost/scratch
dd if=/dev/zero of=$thin bs=1M count=64 2>/dev/null
dd if=/dev/zero of=$scratch/raw.img bs=1M count=64 2>/dev/null
raw=$(busybox losetup -f)
busybox losetup $raw $scratch/raw.img
sync

# Requests of a guest that polls.
rates() {
  rm -f $scratch/storage-$1*
  printf ROOSTPRB | dd of=$2 conv=notrunc,fsync 2>/dev/null
  timeout -s KILL 120 taskset -c 1-31 $(monitor storage-$1 --memory 64MiB --boot pvh --kernel $cd/probe --cmdline rates --disk $2) >/dev/null 2>$scratch/storage.err </dev/null
  grep -a '^RATE \(read\|write\)' $scratch/storage-$1 | tr -d '\r' | sed "s/^RATE \([^ ]*\)/BENCH \1-$1/"
  grep -aq '^RATE write-1m' $scratch/storage-$1 || echo "BENCH-FAILED storage-$1 $(tail -n 1 $scratch/storage.err) $(tail -c 100 $scratch/storage-$1 | tr -d '\r\n')"
}
for round in 1 2 3; do
  rates thin $thin
  rates raw $raw
done

# Milliseconds that a command takes.
taken() { begun=$(now); "$@" >/dev/null 2>&1 || echo "BENCH-FAILED $*" >&2; echo $(($(now) - begun)); }

# Halves of blocks of 64 KiB in turn: the first fills the rest of its block from the medium, the second does not; in a
# second pass neither does.
halves() { dd if=/dev/zero of=/dev/roost/origin bs=32k count=2048 seek=2048 oflag=direct conv=notrunc; }
roost-storage disk clone debian origin >/dev/null
first=$(taken halves)
second=$(taken halves)
echo $first $second | awk '{ print "BENCH origin-first", ($1 - $2 / 2) / 1.024; print "BENCH origin-second", $2 / 2.048 }'
roost-storage disk destroy origin >/dev/null

for round in 1 2 3; do
  echo "BENCH clone $(taken roost-storage disk clone scratch copy)"
  echo "BENCH clone-dd $(taken dd if=$thin of=$raw bs=1M oflag=direct iflag=direct)"
  roost-storage disk destroy copy >/dev/null
done
busybox losetup -d $raw
rm $scratch/raw.img

disk=$(for name in vda vdb; do grep -q "^/dev/$name " /proc/mounts || echo /dev/$name; done)
mebibytes=$(($(busybox stat -c %s /run/roost/ram/ram.pv) >> 20))
plain=$(taken dd if=/run/roost/ram/ram.pv of=$disk bs=1M oflag=direct conv=fsync)
dd if=/dev/zero of=$disk bs=1M count=8 oflag=direct 2>/dev/null
moved=$(taken roost-storage persist $disk --wipe)
echo $mebibytes $plain $moved | awk '{ print "BENCH persist-dd", $1 * 1000 / $2; print "BENCH persist", $1 * 1000 / $3 }'
roost-storage status | grep -q "on $disk" || echo "BENCH-FAILED persist $(roost-storage status | tail -n 1)"
echo BENCH-END
