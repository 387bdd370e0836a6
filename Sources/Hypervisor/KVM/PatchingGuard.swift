/// Keeps KVM from patching its own code while guests' CPUs run, where the processors are emulated by QEMU.
///
/// KVM patches its run path (a static key) when the last CPU that has its local APIC switched off switches it on: in
/// the middle of a guest's start. QEMU's translator can miss such a change on another processor, and the kernel of the
/// control domain then panics with `Oops: int3`. A CPU that never runs, and so never switches its APIC on, holds the
/// key; every monitor has one of its own, so the key holds from the first domain's start to the last one's end.
/// On real processors nothing of this is needed, and nothing is made.
struct PatchingGuard: ~Copyable {
  private let machine: VirtualMachine
  private let cpu: VirtualCPU

  /// A guard, if this system's processors are emulated by QEMU; nil on others.
  static func ifNeeded(_ kvm: borrowing KVM) throws(HypervisorError) -> PatchingGuard? {
    guard QEMUEmulation.isPresent else { return nil }
    let machine = try kvm.makeVirtualMachine()
    try machine.makeInterruptChips()
    let cpu = try machine.makeCPU(id: 0)
    return PatchingGuard(machine: machine, cpu: cpu)
  }
}
