internal import Platform

/// How the first CPU starts: what a boot protocol leaves for `Machine` to put into its registers.
struct BootState: Hashable {
  var general: GeneralRegisters
  var system: SystemRegisters
}

/// Which protocol starts a kernel.
public enum BootMethod: String, Sendable, CaseIterable {
  /// Linux's own 64-bit protocol, from a bzImage or an uncompressed 64-bit ELF (vmlinux).
  case linux
  /// An ELF with a Xen note that names a 32-bit entry.
  case pvh
  /// The same, for a kernel that finds Xen there and not KVM: it is served as much of Xen as a boot loader needs.
  case xenPVH = "xen-pvh"
  /// The Multiboot Specification, version 1 (0.6.96) or 2 (2.0): which one, the kernel's header says.
  case multiboot
  /// What FreeBSD's loader hands to a 64-bit FreeBSD kernel.
  case freebsd
  /// A Plan 9 kernel, 32-bit or 64-bit, 9legacy or 9front, with its plan9.ini.
  case plan9
  /// SeaBIOS, from the disks.
  case bios
  /// OVMF, from the disks.
  case uefi
  /// What the file looks like.
  case auto
}

extension BootMethod {
  /// Whether firmware looks for something to boot.
  var isFirmware: Bool { self == .bios || self == .uefi }
}

extension BootState {
  /// A flat descriptor table at `AddressMap.gdt`: null, 64-bit or 32-bit code at 0x10, data at 0x18, task at 0x20.
  /// Intel SDM volume 3, 3.4.5.
  static func writeGDT(long: Bool, to memory: GuestRAM) {
    let entries: [UInt64] = [
      0, 0,
      long ? 0x00AF_9B00_0000_FFFF : 0x00CF_9B00_0000_FFFF,
      0x00CF_9300_0000_FFFF,
      0x0000_8B00_0000_0067,
    ]
    for (index, entry) in entries.enumerated() {
      memory.mapping.store(entry.littleEndian, at: Int(AddressMap.gdt) + index * 8)
    }
  }

  /// Flat segments over that table.
  static func flatRegisters(long: Bool) -> SystemRegisters {
    var registers = SystemRegisters()
    registers.code = Segment(limit: .max, selector: 0x10, type: 11, big: !long, long: long, granular: true)
    registers.data = Segment(limit: .max, selector: 0x18, type: 3, big: true, granular: true)
    registers.gdtBase = AddressMap.gdt
    registers.gdtLimit = 5 * 8 - 1
    return registers
  }

  /// 32-bit protected mode without paging, flat segments, interrupts off: how PVH, Multiboot and Plan 9 begin.
  static func protectedMode(_ general: GeneralRegisters, in memory: GuestRAM) -> BootState {
    writeGDT(long: false, to: memory)
    var registers = flatRegisters(long: false)
    registers.cr0 = 0x11  // PE, ET
    return BootState(general: general, system: registers)
  }
}
