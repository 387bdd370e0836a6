#!/bin/sh
# In the control domain of an appliance whose domains run: the domain manager is killed at several moments of a domain's
# making and of its removal. Whatever came of that, when the domain is gone nothing of it is left.

# All that a domain has: volumes, interfaces, control groups, files, mounts, monitors (each is a user of its own).
inventory() {
  ls /dev/mapper /sys/class/net /sys/fs/cgroup/roost /run/roost/domains /run/roost/network /var/log/roost 2>&1
  wc -l </proc/self/mountinfo
  pidof roost-vmm | wc -w
}
answers() {
  for try in $(seq 200); do roost list >/dev/null 2>&1 && return; sleep 0.2; done
  echo "the domain manager does not come back"
}
there() { roost list | grep -q '^torn '; }
tear() {
  sleep "$1"
  kill -9 $(pidof roostd)
  wait
  answers
  moments=$((moments + 1))
}
moments=0
inventory >/tmp/before

for delay in 0.1 0.3 0.6 1 1.5; do
  roost create --like debian --name torn --memory '64 MiB' >/dev/null 2>&1 &
  tear $delay
  if there; then roost remove torn --force --yes >/dev/null || echo "after $delay s of its making it is not removed"; fi
done
# A service that came down often waits long; one that ran well begins anew.
sleep 11
for delay in 0.05 0.2 0.5 1; do
  # What was left half made goes with the next that is made.
  roost create --like debian --name torn --memory '64 MiB' >/dev/null || echo "it cannot be made again"
  roost remove torn --force --yes >/dev/null 2>&1 &
  tear $delay
  if there; then roost remove torn --force --yes >/dev/null || echo "after $delay s of its removal it is not removed"; fi
done
# Interfaces go when who asked has his answer already.
for second in $(seq 60); do
  inventory >/tmp/after
  cmp -s /tmp/before /tmp/after && break
  sleep 1
done
if cmp -s /tmp/before /tmp/after; then
  echo "torn $moments times: nothing is left"
else
  echo "torn $moments times: something is left"
  diff /tmp/before /tmp/after
fi
