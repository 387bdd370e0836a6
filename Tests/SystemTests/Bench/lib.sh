# What the benchmarks in the appliance share. A figure is a line "BENCH name value"; what failed, "BENCH-FAILED name".
# All monitors keep off processor 0, where the emulator loses guests (docs/architecture.md, "Known limits of emulators").
cd=/mnt
scratch=/tmp/bench
mkdir -p $scratch

# Milliseconds since the start of the machine.
now() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; }

# Whether the processors here are emulated: then peers that the emulator does not outlive are left out.
emulated() { grep -qw hypervisor /proc/cpuinfo && ! dmesg | grep -q 'Hypervisor detected'; }
# left_out NAME WHY
left_out() { echo "BENCH-LEFT-OUT $*"; }

# watch NAME TEXT SECONDS LOG PROCESS START: waits until LOG has TEXT; the figure is the milliseconds since START.
watch() {
  deadline=$(($(now) + $3 * 1000))
  until grep -aqF "$2" "$4" 2>/dev/null; do
    if ! kill -0 "$5" 2>/dev/null; then echo "BENCH-FAILED $1 it ended: $(tail -n 1 "$4.err" 2>/dev/null)"; return 1; fi
    if [ "$(now)" -gt $deadline ]; then echo "BENCH-FAILED $1 nothing after $3 s: $(tail -c 100 "$4" | tr -d '\r\n')"; return 1; fi
    sleep 0.05
  done
  echo "BENCH $1 $(($(now) - $6))"
}

# timed NAME TEXT SECONDS COMMAND...: runs a monitor that writes its guest's serial line to $scratch/NAME until TEXT
# comes, and ends it.
timed() {
  name=$1 text=$2 seconds=$3
  shift 3
  log=$scratch/$name
  rm -f "$log"; : >"$log"
  start=$(now)
  taskset -c 1-31 "$@" >/dev/null 2>"$log.err" </dev/null &
  process=$!
  watch "$name" "$text" "$seconds" "$log" $process "$start"
  kill -9 $process 2>/dev/null
  wait $process 2>/dev/null
}

# The command lines of a roost-vmm and of a QEMU with the name $1.
monitor() { vmm=$1; shift; echo "roost-vmm --name $vmm --serial unix:$scratch/$vmm.sock,log=$scratch/$vmm $*"; }
qemu() {
  log=$1; shift
  echo "qemu-system-x86_64 -accel kvm -cpu host -nodefaults -no-user-config -display none -serial file:$scratch/$log $*"
}
