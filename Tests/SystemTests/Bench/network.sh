# Between two Debian guests on one bridge: what TCP carries, and how long an answer takes.
. /mnt/lib.sh
line="console=ttyS0 quiet root=/dev/vda ro init=/bin/bash"
kernel=/run/roost/medium/roost/domains/debian
disk=/dev/roost/debian
modprobe vhost_net 2>/dev/null
ip link add bench type bridge
ip link set bench up
for tap in bench1 bench2; do ip tuntap add $tap mode tap vnet_hdr; ip link set $tap master bench up; done

# tell NUMBER TEXT: types a line on a guest's console.
tell() { printf '%s\r' "$2" | timeout 20 socat -u - UNIX:$scratch/guest$1.sock; sleep 1; }
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
    tell $n 'mount -t proc p /proc; mount -t sysfs s /sys; mount -t tmpfs t /tmp; modprobe virtio_net; ip link set lo up'
    tell $n "n=\$(ls /sys/class/net | grep -v lo); ip link set \$n up"
    tell $n "ip addr add 10.9.9.$n/24 dev \$n; echo is-u''p"
    expect $n is-up 60 || return
  done
  tell 1 "iperf3 -s -1 >/dev/null & sleep 3; echo liste''ns"
  expect 1 listens 60 || return
  tell 2 "ping -q -c 100 -i 0.05 10.9.9.1; iperf3 -f m -t 10 -c 10.9.9.1; echo ove''r"
  expect 2 over 120
}
measure() {
  who=$1
  rm -f $scratch/guest*
  for n in 1 2; do
    if [ $who = roost ]; then
      taskset -c 1-31 roost-vmm --name guest$n --memory 256MiB --boot linux --kernel $kernel/kernel --initrd $kernel/initrd --cmdline "$line" --disk $disk,ro --net bench$n,mac=52:54:00:00:01:0$n --serial unix:$scratch/guest$n.sock,log=$scratch/guest$n &
    else
      taskset -c 1-31 $(qemu guest$n -M pc -m 256 -kernel $kernel/kernel -initrd $kernel/initrd -drive if=none,id=d,file=$disk,format=raw,readonly=on -device virtio-blk-pci,drive=d -netdev tap,id=n,ifname=bench$n,script=no,downscript=no,vhost=on -device virtio-net-pci,netdev=n,mac=52:54:00:00:01:0$n -chardev socket,id=s,path=$scratch/guest$n.sock,server=on,wait=off,logfile=$scratch/guest$n -serial chardev:s | sed "s| -serial file:[^ ]*||") -append "$line" &
    fi >/dev/null 2>$scratch/network.err </dev/null
  done
  converse
  tr -d '\r' <$scratch/guest2 | awk -v who=$who '
    /^rtt/ { split($4, t, "/"); print "BENCH ping-" who, t[2] * 1000 }
    / receiver/ { for (i = 1; i < NF; i++) if ($(i + 1) ~ /bits/) print "BENCH tcp-" who, $i }'
  kill -9 $(jobs -p) 2>/dev/null
  wait 2>/dev/null
}
for round in 1 2; do measure roost; measure qemu; done
echo BENCH-END
