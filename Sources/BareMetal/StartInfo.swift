/// `struct hvm_start_info` of Xen's public/arch-x86/hvm/start_info.h, version 1: what the machine tells us.
struct StartInfo {
  private static let signature: UInt32 = 0x336E_C578
  /// No machine has more; a number above it is damage.
  private static let mostEntries: UInt32 = 128

  /// Physical address of the structure.
  let address: UInt64

  var isValid: Bool { PhysicalMemory.word32(address) == Self.signature }
  var version: UInt32 { PhysicalMemory.word32(address &+ 4) }
  var moduleCount: UInt32 { PhysicalMemory.word32(address &+ 12) }

  /// The command line: a NUL-terminated text, or zero.
  var commandLine: UInt64 { isValid ? PhysicalMemory.word64(address &+ 24) : 0 }
  /// ACPI's root pointer, or zero.
  var rootPointer: UInt64 { isValid ? PhysicalMemory.word64(address &+ 32) : 0 }

  var memoryMapCount: UInt32 {
    guard isValid, version >= 1, PhysicalMemory.word64(address &+ 40) != 0 else { return 0 }
    return min(PhysicalMemory.word32(address &+ 48), Self.mostEntries)
  }

  /// The entry of that index, which must be below `memoryMapCount`.
  func memoryRegion(_ index: UInt32) -> MemoryRegion {
    let entry = PhysicalMemory.word64(address &+ 40) &+ UInt64(index) &* 24
    return MemoryRegion(
      start: PhysicalMemory.word64(entry), length: PhysicalMemory.word64(entry &+ 8),
      type: PhysicalMemory.word32(entry &+ 16))
  }

  /// Bytes of usable memory.
  var usableMemory: UInt64 {
    var total: UInt64 = 0
    for index in 0..<memoryMapCount {
      let region = memoryRegion(index)
      if region.type == MemoryRegion.usable { total &+= region.length }
    }
    return total
  }
}

/// One line of the memory map; types are those of ACPI 6.5, table 15.10.
struct MemoryRegion {
  static let usable: UInt32 = 1

  let start: UInt64
  let length: UInt64  // bytes
  let type: UInt32

  var end: UInt64 { start &+ length }

  var name: StaticString {
    switch type {
    case Self.usable: "usable"
    case 2: "reserved"
    case 3: "ACPI tables"
    case 4: "ACPI state"
    case 5: "defective"
    case 7: "persistent"
    default: "of unknown type"
    }
  }
}
