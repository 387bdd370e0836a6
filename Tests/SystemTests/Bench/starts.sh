# From the start of the monitor's process to the guest's init.
. /mnt/lib.sh
line="console=ttyS0 quiet"
# In less memory GRUB under a newer OVMF finds no room for the kernel.
firmware="-M pc -m 512 -drive if=none,id=d,file=$cd/firmware.img,format=raw,readonly=on -device virtio-blk-pci,drive=d"
for round in 1 2 3; do
  timed linux-roost ROOST-INIT 60 $(monitor linux-roost --memory 256MiB --boot linux --kernel $cd/vmlinuz --initrd $cd/initrd) --cmdline "$line"
  for machine in microvm pc; do
    timed linux-$machine ROOST-INIT 60 $(qemu linux-$machine -M $machine -m 256 -kernel $cd/vmlinuz -initrd $cd/initrd) -append "$line"
  done
  timed pvh-roost ROOST-INIT 60 $(monitor pvh-roost --memory 256MiB --boot pvh --kernel $cd/vmlinux --initrd $cd/initrd) --cmdline "$line"
  for machine in microvm pc; do
    timed pvh-$machine ROOST-INIT 60 $(qemu pvh-$machine -M $machine -m 256 -kernel $cd/vmlinux -initrd $cd/initrd) -append "$line"
  done
  timed bios-roost ROOST-INIT 200 $(monitor bios-roost --memory 512MiB --boot bios --display none --disk $cd/firmware.img,ro)
  timed bios-pc ROOST-INIT 200 $(qemu bios-pc $firmware)
  timed uefi-roost ROOST-INIT 300 $(monitor uefi-roost --memory 512MiB --boot uefi --display none --uefi-vars $scratch/vars-$round --disk $cd/firmware.img,ro)
  if emulated; then
    left_out uefi-pc "OVMF in QEMU ends the emulator (docs/guests.md)"
  else
    cp /usr/share/OVMF/OVMF_VARS_4M.fd $scratch/vars
    timed uefi-pc ROOST-INIT 300 $(qemu uefi-pc $firmware -drive if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd -drive if=pflash,format=raw,file=$scratch/vars)
  fi
done
echo BENCH-END
