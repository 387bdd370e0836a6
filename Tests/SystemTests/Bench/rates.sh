# Exits, and requests to a thin volume in RAM that was written to before, from a guest that polls.
. /mnt/lib.sh
disk=/dev/roost/scratch
dd if=/dev/zero of=$disk bs=1M count=64 2>/dev/null
printf ROOSTPRB | dd of=$disk conv=notrunc 2>/dev/null
sync
run() {
  who=$1
  shift
  timeout -s KILL 120 taskset -c 1-31 "$@" >/dev/null 2>$scratch/rates.err </dev/null
  grep -a '^RATE' $scratch/rates-$who | tr -d '\r' | sed "s/^RATE \([^ ]*\)/BENCH \1-$who/"
  grep -aq '^RATE write-1m' $scratch/rates-$who || echo "BENCH-FAILED rates-$who $(tail -n 1 $scratch/rates.err)"
}
for round in 1 2 3; do
  rm -f $scratch/rates-*
  run roost $(monitor rates-roost --memory 64MiB --boot pvh --kernel $cd/probe --cmdline rates --disk $disk)
  run qemu $(qemu rates-qemu -M pc -m 64 -kernel $cd/probe -append rates -no-reboot -object iothread,id=t -drive if=none,id=d,file=$disk,format=raw,cache=none,aio=io_uring -device virtio-blk-pci,drive=d,iothread=t)
done
echo BENCH-END
