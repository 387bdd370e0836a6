import Machine

/// The few tables of ACPI that switching a machine off takes. Sections are those of ACPI 6.5.
struct ACPI {
  /// Physical address of the fixed description table (FADT, section 5.2.9).
  let fixedTable: UInt64

  /// The tables that the root pointer leads to. It is looked for in the firmware's area where the loader
  /// names none (section 5.2.5.1). Nil where there is no sound set of tables.
  init?(rootPointer: UInt64) {
    var root = rootPointer
    if root == 0 {
      var candidate: UInt64 = 0xE0000
      while candidate < 0x100000 && root == 0 {
        if Self.isRootPointer(candidate) { root = candidate }
        candidate += 16
      }
    }
    guard root != 0, Self.isRootPointer(root) else { return nil }
    let extended = PhysicalMemory.byte(root &+ 15) >= 2 ? PhysicalMemory.word64(root &+ 24) : 0
    let table = extended != 0 ? extended : UInt64(PhysicalMemory.word32(root &+ 16))
    let width: UInt64 = extended != 0 ? 8 : 4
    let length = UInt64(min(PhysicalMemory.word32(table &+ 4), 4096))
    var offset: UInt64 = 36
    while offset &+ width <= length {
      let entry = table &+ offset
      let address = width == 8 ? PhysicalMemory.word64(entry) : UInt64(PhysicalMemory.word32(entry))
      if PhysicalMemory.matches("FACP", at: address) {
        fixedTable = address
        return
      }
      offset &+= width
    }
    return nil
  }

  private static func isRootPointer(_ address: UInt64) -> Bool {
    PhysicalMemory.matches("RSD PTR ", at: address) && PhysicalMemory.sum(address, count: 20) == 0
  }

  var hasSoundChecksum: Bool {
    PhysicalMemory.sum(fixedTable, count: min(length, 4096)) == 0
  }

  /// True when the machine has neither PM1 registers nor an SMI port.
  var isReducedHardware: Bool { flags & 1 << 20 != 0 }

  /// The PM1a control port.
  var controlPort: UInt16? {
    let port = field32(64)
    return port == 0 ? nil : UInt16(exactly: port)
  }

  /// Where an operating system asks the firmware to hand ACPI over, and with which byte.
  var enableCommand: (port: UInt16, value: UInt8)? {
    guard let port = UInt16(exactly: field32(48)), port != 0, field8(52) != 0 else { return nil }
    return (port, field8(52))
  }

  /// The sleep control register of reduced hardware (section 4.8.3.7).
  var sleepControl: Register? { register(at: 244) }

  /// The reset register and what to write to it (section 4.8.3.6).
  var reset: (register: Register, value: UInt8)? {
    guard flags & 1 << 10 != 0, let register = register(at: 116) else { return nil }
    return (register, field8(128))
  }

  /// The sleep type of soft off: the first element of the package `\_S5` (section 7.4.2). The definition
  /// block is searched for its bytes (sections 20.2.5.1 and 20.2.5.4); running it would take an interpreter.
  var softOffType: UInt8? {
    let wide = length >= 148 ? PhysicalMemory.word64(fixedTable &+ 140) : 0
    let block = wide != 0 ? wide : UInt64(field32(40))
    guard PhysicalMemory.matches("DSDT", at: block) else { return nil }
    let end = block &+ UInt64(min(PhysicalMemory.word32(block &+ 4), 1 << 20))
    var at = block &+ 36
    while at &+ 8 < end {
      if PhysicalMemory.byte(at) == 0x5F, PhysicalMemory.matches("_S5_", at: at),
        PhysicalMemory.byte(at &+ 4) == 0x12
      {
        // PackageOp, its length in one to four bytes, the number of elements, then the first one.
        let first = at &+ 7 &+ UInt64(PhysicalMemory.byte(at &+ 5) >> 6)
        let value = PhysicalMemory.byte(first)
        return value == 0x0A ? PhysicalMemory.byte(first &+ 1) : value <= 1 ? value : nil
      }
      at &+= 1
    }
    return nil
  }

  private var length: UInt32 { PhysicalMemory.word32(fixedTable &+ 4) }
  private var flags: UInt32 { field32(112) }

  private func field8(_ offset: UInt32) -> UInt8 {
    offset < length ? PhysicalMemory.byte(fixedTable &+ UInt64(offset)) : 0
  }

  private func field32(_ offset: UInt32) -> UInt32 {
    offset &+ 4 <= length ? PhysicalMemory.word32(fixedTable &+ UInt64(offset)) : 0
  }

  /// A generic address structure (section 5.2.3.2).
  private func register(at offset: UInt32) -> Register? {
    guard offset &+ 12 <= length else { return nil }
    let address = PhysicalMemory.word64(fixedTable &+ UInt64(offset) &+ 4)
    guard address != 0 else { return nil }
    switch field8(offset) {
    case 0: return .memory(address)
    case 1: return UInt16(exactly: address).map { .port($0) }
    default: return nil
    }
  }

  /// A register of one byte.
  enum Register {
    case memory(UInt64)
    case port(UInt16)

    func write(_ value: UInt8) {
      switch self {
      case .port(let port): machine_out8(port, value)
      case .memory(let address):
        guard address >= 4096, let low = UInt(exactly: address) else { return }
        machine_store8(low, value)
      }
    }
  }
}
