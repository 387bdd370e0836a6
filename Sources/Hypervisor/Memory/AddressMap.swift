/// Where things lie in the guest's physical address space.
///
/// RAM runs from 0 to 3 GiB at most; what is beyond goes on at 4 GiB. Between lie the devices.
enum AddressMap {
  /// RAM below here is conventional; the firmware's data area follows.
  static let conventionalEnd: UInt64 = 0x9_FC00
  /// For a guest that finds Xen: a gap in its memory map, of two pages, for what it wants to be mapped somewhere; then its
  /// console's rings and its store's. All of them are RAM.
  static let xenGap: UInt64 = 0x9_A000
  static let xenConsole: UInt64 = 0x9_C000
  static let xenStore: UInt64 = 0x9_D000
  /// Here the old video and adapter area begins.
  static let legacyHole: UInt64 = 0xA_0000
  /// The VGA's window: no RAM is seen there.
  static let videoWindow: Range<UInt64> = 0xA_0000..<0xC_0000
  /// What of it shows text in colour.
  static let textWindow: Range<UInt64> = 0xB_8000..<0xC_0000
  /// Firmware's last 128 KiB are copied here, as the board's shadow RAM has them after a reset.
  static let firmwareShadow: UInt64 = 0xE_0000
  /// Tables that the monitor puts down for the guest: here and up to 1 MiB. Not lower: Plan 9 scribbles on 0xE0000.
  static let tables: UInt64 = 0xF_0000
  /// The first byte above the tables.
  static let highMemory: UInt64 = 0x10_0000
  /// RAM below 4 GiB ends here at the latest, and PCI's 32-bit window begins.
  static let deviceHole: UInt64 = 0xC000_0000
  /// PCI's 32-bit window.
  static let pciWindow: Range<UInt64> = 0xE000_0000..<0xFEB0_0000
  static let ioAPIC: UInt64 = 0xFEC0_0000
  static let localAPIC: UInt64 = 0xFEE0_0000
  /// One page of identity map and three of task state, for Intel's real-mode emulation.
  static let identityMap: UInt64 = 0xFEFF_C000
  static let taskState: UInt64 = 0xFEFF_D000
  /// Firmware ends here, with the instruction at which a CPU starts 16 bytes before.
  static let firmwareEnd: UInt64 = 0x1_0000_0000
  /// RAM beyond the hole goes on here.
  static let fourGiB: UInt64 = 0x1_0000_0000

  /// Where memory lies that is plugged later: up to `count` bytes, of a machine that starts with `memory`. A multiple of
  /// what Linux adds at once.
  ///
  /// Below PCI's windows where it fits, as devices that know 32 bits of an address then reach it without bounce buffers;
  /// firmware begins those windows at 2 GiB or at the end of RAM. Never right behind RAM: a run of both would be one run to
  /// a guest and none to us.
  static func growth(by count: UInt64, above memory: UInt64, isFirmware: Bool) -> Range<UInt64> {
    // Linux has blocks of 2 GiB where RAM is plenty.
    let block: UInt64 = memory < 64 << 30 ? 128 << 20 : 2 << 30
    let length = (count + block - 1) / block * block
    let low = min(memory, deviceHole)
    let limit = isFirmware ? 2 << 30 : deviceHole
    var start = (low / block + 1) * block
    if start + length > limit { start = ((fourGiB + memory - low) / block + 1) * block }
    return start..<(start + length)
  }

  /// What direct boot puts below the kernel. All of it is free again once the kernel runs.
  static let gdt: UInt64 = 0x500
  static let startInfo: UInt64 = 0x6000
  static let bootParameters: UInt64 = 0x7000
  static let pageTables: UInt64 = 0x9000
  static let stackTop: UInt64 = 0x8FF0
  static let commandLine: UInt64 = 0x2_0000
  static let commandLineRoom = 0x1_0000
}

/// One run of addresses as the guest is told about it (ACPI 6.5, 15: E820).
struct MemoryMapEntry: Hashable {
  enum Kind: UInt32 {
    case ram = 1
    case reserved = 2
  }

  var address: UInt64
  var count: UInt64
  var kind: Kind
}
