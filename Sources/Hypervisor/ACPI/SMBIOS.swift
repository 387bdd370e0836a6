internal import Binary

/// What SMBIOS says about the machine.
struct SMBIOSDescription: Hashable {
  /// Sixteen bytes, in the order they are written.
  var uuid: [UInt8]
  var name: String
  var cpus: Int
  /// Bytes below 4 GiB, from 0 on.
  var lowMemory: UInt64
  /// Bytes from 4 GiB on.
  var highMemory: UInt64 = 0
  /// Whether the firmware is UEFI.
  var isUEFI = false
}

/// System Management BIOS tables (DMTF DSP0134, 3.0.0): for firmware, which copies and completes them, or at an address
/// of the monitor's.
struct SMBIOS {
  /// Which entry point.
  enum EntryPoint {
    /// Version 2.8, 31 bytes, 32-bit address (5.2.1).
    case version2
    /// Version 3.0, 24 bytes, 64-bit address (5.2.2).
    case version3
  }

  static let tablesName = "etc/smbios/smbios-tables"
  static let anchorName = "etc/smbios/smbios-anchor"

  /// The structures, one after another.
  let tables: [UInt8]
  private let structures: Int
  private let largest: Int

  private enum Handle {
    static let bios: UInt16 = 0
    static let system: UInt16 = 0x100
    static let enclosure: UInt16 = 0x300
    static let processor: UInt16 = 0x400
    static let memoryArray: UInt16 = 0x1000
    static let memoryDevice: UInt16 = 0x1100
    static let arrayMapping: UInt16 = 0x1300
    static let boot: UInt16 = 0x2000
    static let end: UInt16 = 0x7F00
  }

  /// Bytes in one memory device.
  private static let memoryDeviceLimit: UInt64 = 16 << 30

  init(_ machine: SMBIOSDescription) {
    var builder = Builder()
    Self.bios(machine, &builder)
    Self.system(machine, &builder)
    Self.enclosure(&builder)
    for cpu in 0..<machine.cpus { Self.processor(cpu, &builder) }
    Self.memory(machine, &builder)
    builder.add(32, Handle.boot, strings: []) { $0.zeros(7) }  // booted without error
    builder.add(127, Handle.end, strings: []) { _ in }
    tables = builder.writer.bytes
    structures = builder.count
    largest = builder.largest
  }

  /// An entry point for tables at `address`. Firmware gets it with address 0, and puts its own address and checksums
  /// there.
  func entryPoint(_ kind: EntryPoint, tables address: UInt64 = 0) -> [UInt8] {
    var writer = ByteWriter()
    switch kind {
    case .version2:
      writer.fixed("_SM_", width: 4)
      writer.raw([0, 31, 2, 8])
      writer.little(UInt16(truncatingIfNeeded: largest))
      writer.zeros(6)  // revision and formatted area
      writer.fixed("_DMI_", width: 5)
      writer.little(0 as UInt8)
      writer.little(UInt16(truncatingIfNeeded: tables.count))
      writer.little(UInt32(truncatingIfNeeded: address))
      writer.little(UInt16(truncatingIfNeeded: structures))
      writer.little(0x28 as UInt8)
      // The inner part first: the outer sum covers it.
      writer.patch(0 &- writer.bytes[16...].reduce(0, &+), at: 21)
      writer.patch(0 &- writer.bytes.reduce(0, &+), at: 4)
    case .version3:
      writer.fixed("_SM3_", width: 5)
      writer.raw([0, 24, 3, 0, 0, 1, 0])
      writer.little(UInt32(truncatingIfNeeded: tables.count))
      writer.little(address)
      writer.patch(0 &- writer.bytes.reduce(0, &+), at: 5)
    }
    return writer.bytes
  }

  /// Appends structures: header, formatted area, strings (6.1).
  private struct Builder {
    var writer = ByteWriter()
    var count = 0
    var largest = 0

    mutating func add(
      _ type: UInt8, _ handle: UInt16, strings: [String], _ body: (inout ByteWriter) -> Void
    ) {
      var formatted = ByteWriter()
      body(&formatted)
      let start = writer.count
      writer.raw([type, UInt8(truncatingIfNeeded: 4 + formatted.count)])
      writer.little(handle)
      writer.raw(formatted.bytes)
      // A string of no bytes would end the structure.
      for string in strings { writer.raw((string.isEmpty ? "-" : string).utf8.map { $0 == 0 ? 0x20 : $0 } + [0]) }
      writer.raw(strings.isEmpty ? [0, 0] : [0])
      count += 1
      largest = max(largest, writer.count - start)
    }
  }

  /// Type 0 (7.1). Version and date are firmware's to know.
  private static func bios(_ machine: SMBIOSDescription, _ builder: inout Builder) {
    builder.add(0, Handle.bios, strings: ["Roost", "1.0", "01/01/2026"]) { writer in
      writer.raw([1, 2])
      writer.little(0xE800 as UInt16)
      writer.raw([3, 0])
      writer.little(1 << 3 as UInt64)  // characteristics not given
      // ACPI; content distribution, UEFI, virtual machine.
      writer.raw([0x01, 0x04 | (machine.isUEFI ? 0x08 : 0) | 0x10])
      writer.raw([1, 0, 0xFF, 0xFF])  // release 1.0, no embedded controller
    }
  }

  /// Type 1 (7.2). The first three fields of the UUID are little-endian (7.2.1).
  private static func system(_ machine: SMBIOSDescription, _ builder: inout Builder) {
    builder.add(1, Handle.system, strings: ["Roost", "Roost PC", "1", machine.name, "Virtual machine"]) { writer in
      writer.raw([1, 2, 3, 4])
      let uuid = Array(machine.uuid.prefix(16)) + [UInt8](repeating: 0, count: max(0, 16 - machine.uuid.count))
      for range in [0..<4, 4..<6, 6..<8] { writer.raw(uuid[range].reversed()) }
      writer.raw(uuid[8...])
      writer.raw([6, 0, 5])  // woken by the power switch; no SKU; family
    }
  }

  /// Type 3 (7.4).
  private static func enclosure(_ builder: inout Builder) {
    builder.add(3, Handle.enclosure, strings: ["Roost", "1"]) { writer in
      writer.raw([1, 1, 2, 0, 0])  // manufacturer; of kind "other"
      writer.raw([3, 3, 3, 2])  // safe and sound; no security status to speak of
      writer.little(0 as UInt32)
      writer.raw([0, 0, 0, 0, 0])
    }
  }

  /// Type 4 (7.5): a socket for each processor, one core and one thread each.
  private static func processor(_ index: Int, _ builder: inout Builder) {
    builder.add(
      4, Handle.processor &+ UInt16(truncatingIfNeeded: index), strings: ["CPU \(index)", "Roost", "1"]
    ) { writer in
      writer.raw([1, 3, 1, 2])  // central processor of another family
      writer.little(0 as UInt64)
      writer.raw([3, 0])
      writer.little(0 as UInt16)  // external clock unknown
      writer.little(2000 as UInt16)
      writer.little(2000 as UInt16)
      writer.raw([0x41, 1])  // populated and enabled
      for _ in 0..<3 { writer.little(0xFFFF as UInt16) }  // no cache structures
      writer.raw([0, 0, 0, 1, 1, 1])
      writer.little(2 as UInt16)
      writer.little(1 as UInt16)
    }
  }

  /// Types 16, 17, 19 (7.17, 7.18, 7.20): an array of devices of 16 GiB at most, and its addresses.
  private static func memory(_ machine: SMBIOSDescription, _ builder: inout Builder) {
    let total = machine.lowMemory + machine.highMemory
    let devices = Int(max(1, (total + memoryDeviceLimit - 1) / memoryDeviceLimit))
    builder.add(16, Handle.memoryArray, strings: []) { writer in
      writer.raw([1, 3, 6])  // "other" place, system memory, multi-bit ECC
      let kib = total >> 10
      writer.little(kib < 0x8000_0000 ? UInt32(kib) : 0x8000_0000)
      writer.little(0xFFFE as UInt16)
      writer.little(UInt16(truncatingIfNeeded: devices))
      writer.little(kib < 0x8000_0000 ? 0 : total)
    }
    for index in 0..<devices {
      let size = min(memoryDeviceLimit, total - UInt64(index) * memoryDeviceLimit) >> 20
      builder.add(
        17, Handle.memoryDevice &+ UInt16(truncatingIfNeeded: index), strings: ["DIMM \(index)", "Roost"]
      ) { writer in
        writer.little(Handle.memoryArray)
        writer.little(0xFFFE as UInt16)
        writer.little(0xFFFF as UInt16)
        writer.little(0xFFFF as UInt16)
        writer.little(UInt16(truncatingIfNeeded: size))  // MiB
        writer.raw([9, 0, 1, 0, 7])  // DIMM; RAM
        writer.little(1 << 1 as UInt16)
        writer.little(0 as UInt16)
        writer.raw([2, 0, 0, 0, 0])
        writer.little(0 as UInt32)
        writer.little(0 as UInt16)
        for _ in 0..<3 { writer.little(0 as UInt16) }
      }
    }
    mapping(0, 0, machine.lowMemory, devices, &builder)
    if machine.highMemory > 0 { mapping(1, AddressMap.fourGiB, machine.highMemory, devices, &builder) }
  }

  private static func mapping(
    _ index: UInt16, _ start: UInt64, _ count: UInt64, _ devices: Int, _ builder: inout Builder
  ) {
    builder.add(19, Handle.arrayMapping + index, strings: []) { writer in
      // In KiB, where that fits.
      let (first, last) = (start >> 10, (start + count - 1) >> 10)
      let isWide = last >= 0xFFFF_FFFF
      writer.little(isWide ? 0xFFFF_FFFF : UInt32(first))
      writer.little(isWide ? 0xFFFF_FFFF : UInt32(last))
      writer.little(Handle.memoryArray)
      writer.little(UInt8(truncatingIfNeeded: min(devices, 255)))
      writer.little(isWide ? start : 0)
      writer.little(isWide ? start + count - 1 : 0)
    }
  }
}
