internal import CKVM
internal import Platform

/// What QEMU's software emulation of AMD-V wants done differently. On real processors all of this does nothing.
enum QEMUEmulation {
  /// Whether this system's processors are emulated by QEMU (CPUID leaf 0x40000000: "TCGTCGTCGTCG").
  static let isPresent = ckvm_is_qemu_emulation() != 0

  /// Keeps the calling thread, which is to run a guest's CPU, off processor 0, if there is another.
  ///
  /// QEMU changes processor 0's record of "nested paging is on" from other processors' threads without a lock (at
  /// each FXRSTOR, for the sake of a bit beside it): a #VMEXIT on processor 0 at that moment leaves nested paging on
  /// for the host, and guest and host are lost. No other processor's record is touched so.
  static func leaveUnsafeProcessor() throws(SystemError) {
    if isPresent { try Thread.keepOffProcessor(0) }
  }

  /// EFER.
  static let extendedFeatures: UInt32 = 0xC000_0080

  /// Lets us carry out the guest's writes of EFER (`VirtualCPU.setEFER`).
  ///
  /// A guest that sets EFER.LME while CR4.PAE is still clear and paging is off, as FreeBSD's BIOS loader does, makes
  /// QEMU lose the host's CR0 at the next #VMEXIT, and the control domain's processor runs away.
  static func watchExtendedFeatures(
    _ machine: borrowing VirtualMachine, _ kvm: borrowing KVM
  ) throws(HypervisorError) {
    guard isPresent, kvm.check(.msrFilter) > 0, kvm.check(.userSpaceMSR) > 0 else { return }
    try machine.refuseWrites(ofMSR: extendedFeatures)
  }

  /// Slows the local APIC's timer of a machine that starts by UEFI, and returns the nanoseconds of its cycle.
  ///
  /// A guest's write of CR8 ends QEMU when an interrupt waits at that moment, and OVMF ends each of its timer
  /// interrupts with one. It takes the timer's clock for 1 GHz and asks for 100 interrupts in a second, which are more
  /// than an emulated machine gets done: the next one waits already. At a clock of 10 MHz there is one in a second,
  /// and the start is faster for it. What runs after OVMF measures the clock, or reads CPUID leaf 0x40000010.
  /// CPUs made before keep their clock.
  static func slowLocalTimer(
    _ machine: borrowing VirtualMachine, _ kvm: borrowing KVM
  ) throws(HypervisorError) -> UInt32 {
    guard isPresent, kvm.check(.localAPICBusCycle) > 0 else { return 1 }
    try machine.enable(.localAPICBusCycle, 100)
    return 100
  }
}
