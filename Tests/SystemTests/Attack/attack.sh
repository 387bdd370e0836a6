#!/bin/sh
# In the control domain of an appliance whose domains run: what do their monitors have, and what would one get that was
# taken over? For the latter a program goes into a monitor's jail and makes one attempt each time.
cd "$(dirname "$0")" || exit 1

jailed=0 all=0 users=
for pid in $(pidof roost-vmm); do
  all=$((all + 1))
  set -- $(awk '/^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):/ { print $2 }' "/proc/$pid/status")
  [ "$1" -ge 1900000000 ] && [ "$2$3$4$5" = 0000000000000000000000000000000012 ] || continue
  [ -z "$(ls -A "/proc/$pid/root")" ] && [ "$(wc -l <"/proc/$pid/mountinfo")" = 1 ] || continue
  case " $users " in *" $1 "*) continue ;; esac
  users="$users $1"
  jailed=$((jailed + 1))
done
echo "monitors jailed: $jailed of $all"

# Layers, the exit code that is wanted, and attempts.
attempt() {
  layers=$1 wanted=$2
  shift 2
  all=0 good=0
  for attack in "$@"; do
    all=$((all + 1))
    unshare --pid --fork ./jail-attack "$layers" $attack >said 2>&1
    code=$?
    if [ "$code" = "$wanted" ]; then good=$((good + 1)); else echo "$layers $attack: exit code $code: $(cat said)"; fi
  done
  echo "$layers: stopped $good of $all"
}
domain=$(pidof roost-vmm | cut -d ' ' -f 1) manager=$(pidof roostd)
set -- "open /etc/shadow" "list /proc" "connect-path /run/roost/roostd.sock" \
  "connect-path /run/roost/domains/debian/control.sock" "connect-abstract any" "connect-tcp 22" "trace $manager" \
  "kill $domain" "execute" "mount /tmp" "become-root" "set-clock" "ring /etc/shadow"
attempt unfiltered 1 "$@"
attempt filtered 15 "$@" "fork" "executable-memory" "executable-change" "user-namespace"
kill -0 "$domain" && echo "attacked: all there"
