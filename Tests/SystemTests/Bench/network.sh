# Between two Debian guests on one bridge: what TCP carries, and how long an answer takes.
. /mnt/lib.sh
line="console=ttyS0 quiet root=/dev/vda ro init=/bin/bash"
kernel=/run/roost/medium/roost/domains/debian
disk=/dev/roost/debian
modprobe vhost_net 2>/dev/null
ip link add bench type bridge
ip link set bench up
for tap in bench1 bench2; do ip tuntap add $tap mode tap vnet_hdr; ip link set $tap master bench up; done

# connect NUMBER: opens a guest's console for `tell` and stays: what somebody typed who has gone since may be lost.
connect() {
  mkfifo $scratch/keys$1
  # Open for both, it waits for nobody at its other end.
  case $1 in 1) exec 3<>$scratch/keys1 ;; 2) exec 4<>$scratch/keys2 ;; esac
  socat - UNIX:$scratch/guest$1.sock <$scratch/keys$1 >/dev/null 2>&1 &
  processes="$processes $!"
}
# tell NUMBER TEXT: types a line there.
tell() { printf '%s\r' "$2" >$scratch/keys$1; sleep 1; }
# expect NUMBER TEXT SECONDS: waits until it is there.
expect() {
  for second in $(seq $(($3 * 2))); do grep -aq "$2" $scratch/guest$1 && return 0; sleep 0.5; done
  echo "BENCH-FAILED network-$who guest $1 did not say $2: $(tail -c 200 $scratch/guest$1 | tr -d '\r\n')"
  return 1
}
# Brings both guests up, and has one talk to the other.
converse() {
  for n in 1 2; do
    expect $n 'root@' 200 || return
    connect $n
    tell $n 'mount -t proc p /proc; mount -t sysfs s /sys; mount -t tmpfs t /tmp; modprobe virtio_net; ip link set lo up'
    tell $n "until n=\$(ls /sys/class/net | grep -v lo); do sleep 1; done; ip link set \$n up"
    tell $n "ip addr add 10.9.9.$n/24 dev \$n; echo is-u''p"
    expect $n is-up 120 || return
  done
  # It listens at port 5201.
  tell 1 "iperf3 -s -1 >/dev/null & until grep -qs ':1451 ' /proc/net/tcp*; do sleep 1; done; echo liste''ns"
  expect 1 listens 120 || return
  tell 2 "ping -q -c 100 -i 0.05 10.9.9.1; iperf3 -f m -t 10 -c 10.9.9.1; echo all-ov''er"
  expect 2 all-over 240
}
measure() {
  who=$1 processes=
  rm -f $scratch/guest* $scratch/keys*
  for n in 1 2; do
    if [ $who = roost ]; then
      taskset -c 1-31 roost-vmm --name guest$n --memory 256MiB --boot linux --kernel $kernel/kernel --initrd $kernel/initrd --cmdline "$line" --disk $disk,ro --net bench$n,mac=52:54:00:00:01:0$n --serial unix:$scratch/guest$n.sock,log=$scratch/guest$n &
    else
      taskset -c 1-31 $(qemu guest$n -M pc -m 256 -kernel $kernel/kernel -initrd $kernel/initrd -drive if=none,id=d,file=$disk,format=raw,readonly=on -device virtio-blk-pci,drive=d -netdev tap,id=n,ifname=bench$n,script=no,downscript=no,vhost=on -device virtio-net-pci,netdev=n,mac=52:54:00:00:01:0$n -chardev socket,id=s,path=$scratch/guest$n.sock,server=on,wait=off,logfile=$scratch/guest$n -serial chardev:s | sed "s| -serial file:[^ ]*||") -append "$line" &
    fi >/dev/null 2>$scratch/network.err </dev/null
    processes="$processes $!"
  done
  converse
  tr -d '\r' <$scratch/guest2 | awk -v who=$who '
    /^rtt/ { split($4, t, "/"); print "BENCH ping-" who, t[2] * 1000 }
    / receiver/ { for (i = 1; i < NF; i++) if ($(i + 1) ~ /bits/) print "BENCH tcp-" who, $i }'
  kill -9 $processes 2>/dev/null
  wait $processes 2>/dev/null
  exec 3>&- 4>&-
}
for round in 1 2; do measure roost; measure qemu; done
echo BENCH-END
