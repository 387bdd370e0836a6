# FreeBSD, Debian and Plan 9 at the same time, from the start of the monitors' processes to each one's prompt: with
# QEMU, which writes to nothing, then with roost-vmm. QEMU starts FreeBSD and Plan 9 as their disks do by BIOS.
. /mnt/lib.sh
until [ -e /dev/roost/plan9 ]; do sleep 1; done
domains=/run/roost/medium/roost/domains
prompt=$(cat $cd/prompt)
freebsd="vfs.root.mountfrom=ufs:/dev/gpt/rootfs"
debian="root=/dev/vda rw rootfstype=ext4 console=ttyS0 quiet TERM=dumb net.ifnames=0 fsck.mode=skip audit=0 lsm=yama"
start=$(now)
begin() {
  name=$1 text=$2
  shift 2
  rm -f $scratch/$name
  "$@" >/dev/null 2>$scratch/$name.err </dev/null &
  processes="$processes $!"
  watch $name "$text" 300 $scratch/$name $! $start &
  watches="$watches $!"
}
finish() {
  wait $watches
  kill -9 $processes 2>/dev/null
  wait $processes 2>/dev/null
  watches= processes=
}
drive() { echo "-drive if=none,id=d,file=$1,format=raw,snapshot=on -device virtio-blk-pci,drive=d"; }
qemus() {
  start=$(now)
  begin freebsd-qemu "$prompt" taskset -c 1-31 $(qemu freebsd-qemu -M pc -m 256 $(drive /dev/roost/freebsd) -kernel $cd/freebsd)
  begin debian-qemu "debian login:" taskset -c 1-31 $(qemu debian-qemu -M pc -m 256 $(drive /dev/roost/debian) -kernel $domains/debian/kernel -initrd $domains/debian/initrd) -append "$debian"
  begin plan9-qemu "term% " taskset -c 1-31 $(qemu plan9-qemu -M pc -m 128 $(drive $cd/bios-disk.img))
  finish
}
roosts() {
  start=$(now)
  begin freebsd-roost "$prompt" $(monitor freebsd-roost --memory 256MiB --boot freebsd --kernel $domains/freebsd/kernel --disk /dev/roost/freebsd) --cmdline "$freebsd"
  begin debian-roost "debian login:" $(monitor debian-roost --memory 256MiB --boot linux --kernel $domains/debian/kernel --initrd $domains/debian/initrd --disk /dev/roost/debian) --cmdline "$debian"
  begin plan9-roost "term% " $(monitor plan9-roost --memory 128MiB --boot plan9 --kernel $domains/plan9/kernel --disk /dev/roost/plan9)
  finish
}
qemus
roosts
qemus
echo BENCH-END
