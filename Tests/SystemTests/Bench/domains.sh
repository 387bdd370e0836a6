# Domains that are made and removed: how long that takes, what many of them take, and whether they share as they are told.
. /mnt/lib.sh
count=$(roost list | grep -c .)
egg="--like hatchling --memory 16MiB"

for round in 1 2 3; do
  start=$(now)
  roost create $egg --name one >/dev/null || echo "BENCH-FAILED create one is not made"
  echo "BENCH create $(($(now) - start))"
  roost events --domain one --until ready >/dev/null
  echo "BENCH create-ready $(($(now) - start))"
  start=$(now)
  roost remove one --force --yes >/dev/null
  left=$(ls /dev/roost /sys/fs/cgroup/roost /run/roost/domains | grep -cx one)
  [ "$left" = 0 ] && echo "BENCH remove $(($(now) - start))" || echo "BENCH-FAILED remove $left things are left"
done

# Fifty at once.
free() { awk '/^MemAvailable/ { print $2 }' /proc/meminfo; }
before=$(free)
start=$(now)
roost create $egg --name h --count 50 >/dev/null || echo "BENCH-FAILED fifty-made not all are made"
echo "BENCH fifty-made $(($(now) - start))"
deadline=$(($(now) + 600000))
until [ "$(roost list | grep -c '^h-.* ready ')" = 50 ] || [ "$(now)" -gt $deadline ]; do sleep 0.2; done
ready=$(roost list | grep -c '^h-.* ready ')
[ "$ready" = 50 ] && echo "BENCH fifty-ready $(($(now) - start))" || echo "BENCH-FAILED fifty-ready only $ready are"
echo "BENCH fifty-memory $((before - $(free)))"
for process in $(pidof roost-vmm); do
  grep -q -a 'h-[0-9]' /proc/$process/cmdline || continue
  awk '/^[0-9a-f]+-/ { guest = /memfd:roost/ } /^Private_(Clean|Dirty)/ && !guest { sum += $2 }
    END { print "BENCH fifty-each", sum }' /proc/$process/smaps
done
start=$(now)
roost remove $(seq 50 | sed 's/^/h-/') --force --yes >/dev/null
echo "BENCH fifty-removed $(($(now) - start))"
[ "$(roost list | grep -c .)" = "$count" ] || echo "BENCH-FAILED fifty-removed some are left"

# Two that never rest, on one processor, with weights of 1 to 3.
for weight in 100 300; do
  roost create --name busy-$weight --kernel /mnt/vmlinuz --initrd /mnt/initrd --boot linux --memory 96MiB --no-network \
    --command-line 'console=ttyS0 rdinit=/bin/busybox -- sh -c "echo BUSY; while :; do :; done"' --ready BUSY >/dev/null
  roost limit busy-$weight --cpus 1 --cpu-weight $weight >/dev/null
done
for weight in 100 300; do roost events --domain busy-$weight --until ready >/dev/null; done
used() { sed -n 's/^usage_usec //p' /sys/fs/cgroup/roost/busy-$1/cpu.stat; }
for round in 1 2 3; do
  light=$(used 100) heavy=$(used 300)
  sleep 20
  echo "BENCH weights $(awk -v a=$(($(used 100) - light)) -v b=$(($(used 300) - heavy)) 'BEGIN { printf "%.3f", b / a }')"
done
roost remove busy-100 busy-300 --force --yes >/dev/null
echo BENCH-END
