internal import Binary
internal import Platform

/// What the tables say about the machine.
struct ACPIDescription: Hashable {
  var cpus: Int
  /// First port of the power management block: event at 0, control at 4, timer at 8.
  var powerManagement: UInt16
  /// What the guest writes into SLP_TYP to power off.
  var powerOffType: UInt8
  /// The interrupt of the power button and the timer.
  var systemControlInterrupt: UInt8 = 9
  /// PCI's windows.
  var memoryWindow: Range<UInt64>
  /// The global interrupt of PIRQA to PIRQD.
  var pciInterrupts: [UInt8]
  /// Which of those a device's pin (1...4) reaches.
  var wire: @Sendable (_ device: UInt8, _ pin: UInt8) -> Int
  /// Devices on bus 0 that interrupt.
  var devices: Range<UInt8> = 1..<32
  var hasSerial = true
  var hasClock = true
  var hasKeyboard = true

  static func == (left: Self, right: Self) -> Bool {
    left.cpus == right.cpus && left.powerManagement == right.powerManagement && left.memoryWindow == right.memoryWindow
  }

  func hash(into hasher: inout Hasher) { hasher.combine(cpus) }
}

/// The machine's ACPI tables, for a place below 1 MiB. ACPI 6.5, 5.2.
struct ACPITables {
  /// Address of the root pointer.
  let rootPointer: UInt64
  /// All tables, to be written at `rootPointer`.
  let bytes: [UInt8]

  /// Lays the tables out from `address` on.
  init(_ machine: ACPIDescription, at address: UInt64 = AddressMap.tables) {
    rootPointer = address
    var area = ByteWriter()
    area.zeros(64)  // the root pointer comes last, when the addresses are known
    func place(_ table: [UInt8]) -> UInt64 {
      area.align(16)
      let at = address + UInt64(area.count)
      area.raw(table)
      return at
    }
    let dsdt = place(Self.dsdt(machine))
    let facs = Self.placeFACS(&area, address)
    let fadt = place(Self.fadt(machine, dsdt: dsdt, facs: facs))
    let madt = place(Self.madt(machine))
    var short = ByteWriter()
    var long = ByteWriter()
    for table in [fadt, madt] {
      short.little(UInt32(truncatingIfNeeded: table))
      long.little(table)
    }
    let rsdt = place(Self.table("RSDT", revision: 1, short.bytes))
    let xsdt = place(Self.table("XSDT", revision: 1, long.bytes))
    for (index, byte) in Self.rootPointer(rsdt: rsdt, xsdt: xsdt).enumerated() { area.patch(byte, at: index) }
    bytes = area.bytes
  }

  /// Puts the tables into the guest's memory.
  func write(to memory: GuestRAM) throws(HypervisorError) {
    guard let offset = memory.offset(of: rootPointer, count: bytes.count),
      rootPointer + UInt64(bytes.count) <= AddressMap.highMemory
    else {
      throw HypervisorError(.configuration, "the ACPI tables of so many CPUs do not fit below 1 MiB; give fewer CPUs")
    }
    memory.mapping.write(at: offset, from: bytes.span)
  }

  /// The value that makes all bytes sum up to zero.
  static func checksum(_ bytes: some Sequence<UInt8>) -> UInt8 {
    0 &- bytes.reduce(0, &+)
  }

  /// A table with its header (5.2.6).
  private static func table(_ signature: String, revision: UInt8, _ body: [UInt8]) -> [UInt8] {
    var writer = ByteWriter()
    writer.fixed(signature, width: 4)
    writer.little(UInt32(36 + body.count))
    writer.little(revision)
    writer.little(0 as UInt8)
    writer.fixed("ROOST", width: 6, padding: 0x20)
    writer.fixed("ROOSTPC", width: 8, padding: 0x20)
    writer.little(1 as UInt32)
    writer.fixed("RST", width: 4, padding: 0x20)
    writer.little(1 as UInt32)
    writer.raw(body)
    writer.patch(checksum(writer.bytes), at: 9)
    return writer.bytes
  }

  /// RSDP (5.2.5.3).
  private static func rootPointer(rsdt: UInt64, xsdt: UInt64) -> [UInt8] {
    var writer = ByteWriter()
    writer.fixed("RSD PTR ", width: 8)
    writer.little(0 as UInt8)
    writer.fixed("ROOST", width: 6, padding: 0x20)
    writer.little(2 as UInt8)
    writer.little(UInt32(truncatingIfNeeded: rsdt))
    writer.little(36 as UInt32)
    writer.little(xsdt)
    writer.little(0 as UInt32)
    writer.patch(checksum(writer.bytes.prefix(20)), at: 8)
    writer.patch(checksum(writer.bytes), at: 32)
    return writer.bytes
  }

  /// FACS (5.2.10): it must be 64-byte aligned, has no checksum, and the guest locks it.
  private static func placeFACS(_ area: inout ByteWriter, _ address: UInt64) -> UInt64 {
    area.align(64)
    let at = address + UInt64(area.count)
    area.fixed("FACS", width: 4)
    area.little(64 as UInt32)
    area.zeros(24)
    area.little(2 as UInt8)
    area.zeros(31)
    return at
  }

  /// MADT (5.2.12).
  private static func madt(_ machine: ACPIDescription) -> [UInt8] {
    var writer = ByteWriter()
    writer.little(UInt32(AddressMap.localAPIC))
    writer.little(1 as UInt32)  // PCAT_COMPAT: there is an 8259 pair too
    for cpu in 0..<machine.cpus {
      writer.raw([0, 8, UInt8(truncatingIfNeeded: cpu), UInt8(truncatingIfNeeded: cpu)])
      writer.little(1 as UInt32)  // enabled
    }
    writer.raw([1, 12, 0, 0])
    writer.little(UInt32(AddressMap.ioAPIC))
    writer.little(0 as UInt32)
    // Interrupt source overrides: bus, source, global interrupt, flags (active high, level: 0xD).
    func override(_ source: UInt8, _ global: UInt8, _ flags: UInt16) {
      writer.raw([2, 10, 0, source])
      writer.little(UInt32(global))
      writer.little(flags)
    }
    override(0, 2, 0)
    for line in Set(machine.pciInterrupts + [machine.systemControlInterrupt]).sorted() { override(line, line, 0xD) }
    writer.raw([4, 6, 0xFF, 0, 0, 1])  // LINT1 of every CPU is the NMI
    return table("APIC", revision: 4, writer.bytes)
  }

  /// FADT (5.2.9), revision 6.1, 276 bytes.
  private static func fadt(_ machine: ACPIDescription, dsdt: UInt64, facs: UInt64) -> [UInt8] {
    let base = machine.powerManagement
    var writer = ByteWriter()
    writer.little(UInt32(truncatingIfNeeded: facs))
    writer.little(UInt32(truncatingIfNeeded: dsdt))
    writer.raw([0, 0])  // reserved, profile unspecified
    writer.little(UInt16(machine.systemControlInterrupt))
    writer.little(0 as UInt32)  // SMI_CMD: none, the machine is in ACPI mode
    writer.raw([0, 0, 0, 0])
    writer.little(UInt32(base))  // PM1a event
    writer.little(0 as UInt32)
    writer.little(UInt32(base) + 4)  // PM1a control
    writer.little(0 as UInt32)
    writer.little(0 as UInt32)  // PM2 control
    writer.little(UInt32(base) + 8)  // timer
    writer.little(0 as UInt32)  // GPE0
    writer.little(0 as UInt32)  // GPE1
    writer.raw([4, 2, 0, 4, 0, 0, 0, 0])  // lengths: PM1 event, PM1 control, PM2, timer, GPE0, GPE1, GPE1 base, _CST
    writer.little(0xFFFF as UInt16)  // no C2
    writer.little(0xFFFF as UInt16)  // no C3
    writer.little(0 as UInt16)
    writer.little(0 as UInt16)
    writer.raw([0, 0, 0, 0, 0x32])  // duty offset and width, day and month alarm; century at 0x32
    // IA-PC boot flags (5.2.9.3): legacy devices, 8042, no VGA.
    writer.little(UInt16(0x1 | (machine.hasKeyboard ? 0x2 : 0) | 0x4 | (machine.hasClock ? 0 : 0x20)))
    writer.little(0 as UInt8)
    // WBINVD, C1, no fixed sleep button, RTC wakes not by a fixed event, 32-bit timer, reset register.
    writer.little([0, 2, 5, 6, 8, 10].reduce(0 as UInt32) { $0 | 1 << $1 })
    address(&writer, port: 0xCF9, bits: 8)
    writer.little(6 as UInt8)
    writer.little(0 as UInt16)
    writer.little(1 as UInt8)  // minor version: 6.1
    writer.little(0 as UInt64)  // X_FIRMWARE_CTRL: the 32-bit field has it
    writer.little(dsdt)
    address(&writer, port: base, bits: 32)
    address(&writer, port: 0, bits: 0)
    address(&writer, port: base + 4, bits: 16)
    address(&writer, port: 0, bits: 0)
    address(&writer, port: 0, bits: 0)
    address(&writer, port: base + 8, bits: 32)
    for _ in 0..<2 { address(&writer, port: 0, bits: 0) }
    for _ in 0..<2 { address(&writer, port: 0, bits: 0) }  // sleep control and status
    writer.fixed("Roost", width: 8)
    return table("FACP", revision: 6, writer.bytes)
  }

  /// A generic address in the I/O space (5.2.3.2).
  private static func address(_ writer: inout ByteWriter, port: UInt16, bits: UInt8) {
    writer.raw([1, bits, 0, bits == 8 ? 1 : bits == 16 ? 2 : bits == 32 ? 3 : 0])
    writer.little(UInt64(port))
  }

  /// DSDT: the PCI root with its windows and interrupts, the ISA devices, and how to power off.
  private static func dsdt(_ machine: ACPIDescription) -> [UInt8] {
    let window =
      UInt32(
        truncatingIfNeeded: machine.memoryWindow.lowerBound)...UInt32(
        truncatingIfNeeded: machine.memoryWindow.upperBound - 1)
    var routes: [AML] = []
    for device in machine.devices {
      for pin in 1...4 as ClosedRange<UInt8> {
        let line = machine.pciInterrupts[machine.wire(device, pin) & 3]
        routes.append(
          .package([
            .integer(UInt64(device) << 16 | 0xFFFF), .integer(UInt64(pin - 1)), .integer(0), .integer(UInt64(line)),
          ]))
      }
    }
    var isa: [AML] = [.name("_ADR", .integer(0x1_0000))]
    if machine.hasSerial {
      isa.append(
        .device(
          "COM1",
          [
            .name("_HID", .eisaID("PNP0501")), .name("_UID", .integer(1)),
            .name("_CRS", .resources([.ports(0x3F8, count: 8), .interrupt(4)])),
          ]))
    }
    if machine.hasClock {
      isa.append(
        .device(
          "RTC",
          [.name("_HID", .eisaID("PNP0B00")), .name("_CRS", .resources([.ports(0x70, count: 8), .interrupt(8)]))]))
    }
    if machine.hasKeyboard {
      isa.append(
        .device(
          "KBD",
          [
            .name("_HID", .eisaID("PNP0303")),
            .name("_CRS", .resources([.ports(0x60, count: 1), .ports(0x64, count: 1), .interrupt(1)])),
          ]))
    }
    isa.append(
      .device(
        "TMR", [.name("_HID", .eisaID("PNP0100")), .name("_CRS", .resources([.ports(0x40, count: 4), .interrupt(0)]))]))
    let root: [AML] = [
      .name("_HID", .eisaID("PNP0A03")), .name("_UID", .integer(0)),
      .name("_BBN", .integer(0)),
      .name(
        "_CRS",
        .resources([
          .buses(0...0), .ports(0xCF8, count: 8), .portWindow(0...0xCF7), .portWindow(0xD00...0xFFFF),
          .memoryWindow32(window),
        ])),
      .name("_PRT", .package(routes)),
      .device("ISA", isa),
    ]
    let off = AML.integer(UInt64(machine.powerOffType))
    let terms: [AML] = [
      .name("\\_S5", .package([off, off, .integer(0), .integer(0)])),
      .scope("\\_SB", [.device("PCI0", root)]),
    ]
    return table("DSDT", revision: 2, AML.list(terms).bytes)
  }
}
