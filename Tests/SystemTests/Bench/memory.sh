# Private memory of a monitor that is one of several, without its guest's RAM: with and without a display.
. /mnt/lib.sh
private() {
  awk -v name="$2" '
    /^[0-9a-f]+-/ { guest = /memfd:roost/ }
    /^Private_(Clean|Dirty)/ && !guest { sum += $2; if (/Dirty/) dirty += $2 }
    END { print "BENCH", name, sum; print "BENCH", name "-dirty", dirty }' "/proc/$1/smaps"
}
private "$(pidof roost-vmm | tr ' ' '\n' | head -n 1)" alone
kernel=/run/roost/medium/roost/domains/hatchling/kernel
for display in none vga; do
  roost-vmm --name memory --memory 128MiB --boot pvh --kernel $kernel --display $display --serial unix:$scratch/memory.sock,log=$scratch/memory >/dev/null 2>&1 </dev/null &
  sleep 5
  private $! display-$display
  kill -9 $!
done
echo BENCH-END
