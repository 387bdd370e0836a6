internal import Binary
internal import Platform

/// The machine's processors and interrupts as systems without ACPI read them: the floating pointer and, right behind it,
/// the configuration table. MultiProcessor Specification 1.4, 4.
struct MPTable {
  /// Address of the floating pointer, a multiple of 16.
  let address: UInt64
  /// Both structures, to be written at `address`.
  let bytes: [UInt8]

  /// Bus numbers of PCI and ISA.
  private static let pciBus: UInt8 = 0
  private static let isaBus: UInt8 = 1
  /// Flags of an interrupt: as its bus says; level-triggered and active high, which is how the chips are wired.
  private static let conforming: UInt16 = 0
  private static let level: UInt16 = 0xD

  /// Lays the tables out at `address`, rounded up to 16 bytes: in the first KiB behind 639 KiB, or from 0xF0000 on, as
  /// systems search nowhere else.
  ///
  /// - Parameters:
  ///   - signature: family, model and stepping (CPUID leaf 1, EAX).
  ///   - features: CPUID leaf 1, EDX; with an FPU and a local APIC at least.
  init(_ machine: ACPIDescription, at address: UInt64, signature: UInt32 = 0x600, features: UInt32 = 0x201) {
    self.address = (address + 15) & ~15
    let ioAPIC = machine.ioAPIC
    var entries: [[UInt8]] = []
    for cpu in 0..<machine.cpus {
      var entry = ByteWriter()
      // Type, id, version of the local APIC, enabled and (the first) bootstrap processor.
      entry.raw([0, UInt8(truncatingIfNeeded: cpu), 0x14, cpu == 0 ? 3 : 1])
      entry.little(signature)
      entry.little(features)
      entry.zeros(8)
      entries.append(entry.bytes)
    }
    for (id, name) in [(Self.pciBus, "PCI"), (Self.isaBus, "ISA")] {
      var entry = ByteWriter()
      entry.raw([1, id])
      entry.fixed(name, width: 6, padding: 0x20)
      entries.append(entry.bytes)
    }
    var chip = ByteWriter()
    chip.raw([2, ioAPIC, 0x11, 1])
    chip.little(UInt32(AddressMap.ioAPIC))
    entries.append(chip.bytes)

    func assign(_ type: UInt8, _ kind: UInt8, _ flags: UInt16, bus: UInt8, line: UInt8, to apic: UInt8, pin: UInt8) {
      entries.append([type, kind, UInt8(flags & 0xFF), UInt8(flags >> 8), bus, line, apic, pin])
    }
    for line in 0..<16 as Range<UInt8> where line != 2 && !machine.pciInterrupts.contains(line) {
      // The timer is wired to pin 2, where the second 8259 would be.
      assign(
        3, 0, line == machine.systemControlInterrupt ? Self.level : Self.conforming, bus: Self.isaBus, line: line,
        to: ioAPIC, pin: line == 0 ? 2 : line)
    }
    for device in machine.devices {
      for pin in 1...4 as ClosedRange<UInt8> {
        assign(
          3, 0, Self.level, bus: Self.pciBus, line: device << 2 | (pin - 1), to: ioAPIC,
          pin: machine.pciInterrupts[machine.wire(device, pin) & 3])
      }
    }
    assign(4, 3, Self.conforming, bus: Self.isaBus, line: 0, to: 0xFF, pin: 0)  // the 8259 pair: ExtINT on LINT0
    assign(4, 1, Self.conforming, bus: Self.isaBus, line: 0, to: 0xFF, pin: 1)  // NMI on LINT1

    let table = Self.table(entries)
    var all = ByteWriter()
    all.fixed("_MP_", width: 4)
    all.little(UInt32(truncatingIfNeeded: self.address) + 16)
    // Length in 16 bytes, revision 1.4, checksum, there is a table, virtual wire mode.
    all.raw([1, 4, 0, 0, 0, 0, 0, 0])
    all.patch(ACPITables.checksum(all.bytes), at: 10)
    all.raw(table)
    bytes = all.bytes
  }

  /// The configuration table's header (4.2) and entries.
  private static func table(_ entries: [[UInt8]]) -> [UInt8] {
    var writer = ByteWriter()
    writer.fixed("PCMP", width: 4)
    writer.little(UInt16(truncatingIfNeeded: 44 + entries.reduce(0) { $0 + $1.count }))
    writer.raw([4, 0])
    writer.fixed("ROOST", width: 8, padding: 0x20)
    writer.fixed("ROOSTPC", width: 12, padding: 0x20)
    writer.little(0 as UInt32)
    writer.little(0 as UInt16)
    writer.little(UInt16(truncatingIfNeeded: entries.count))
    writer.little(UInt32(AddressMap.localAPIC))
    writer.zeros(4)  // no extended table
    for entry in entries { writer.raw(entry) }
    writer.patch(ACPITables.checksum(writer.bytes), at: 7)
    return writer.bytes
  }

  /// Puts the tables into the guest's memory.
  func write(to memory: GuestRAM) throws(HypervisorError) {
    guard address >= AddressMap.tables, address + UInt64(bytes.count) <= AddressMap.highMemory,
      let offset = memory.offset(of: address, count: bytes.count)
    else {
      throw HypervisorError(.configuration, "the tables of so many CPUs do not fit below 1 MiB; give fewer CPUs")
    }
    memory.mapping.write(at: offset, from: bytes.span)
  }
}
