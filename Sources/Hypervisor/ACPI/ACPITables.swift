internal import Binary
internal import Devices
internal import Platform

/// The machine's ACPI tables, for a place below 1 MiB. ACPI 6.5, 5.2.
struct ACPITables {
  /// Address of the root pointer.
  let rootPointer: UInt64
  /// All tables, to be written at `rootPointer`.
  let bytes: [UInt8]

  /// Lays the tables out from `address` on, a multiple of 64.
  init(_ machine: ACPIDescription, at address: UInt64 = AddressMap.tables) {
    var layout = ACPILayout(machine)
    // The root pointer has the first 64 bytes.
    layout.move(to: address + 64)
    var area = ByteWriter()
    area.raw(layout.rootPointer)
    area.zeros(64 - layout.rootPointer.count)
    area.raw(layout.tables)
    rootPointer = address
    bytes = area.bytes
  }

  /// The value that makes all bytes sum up to zero.
  static func checksum(_ bytes: some Sequence<UInt8>) -> UInt8 {
    0 &- bytes.reduce(0, &+)
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
}

/// The same tables as firmware gets them: files, and the script that puts them into its memory.
struct ACPIFiles {
  static let tablesName = "etc/acpi/tables"
  static let rootPointerName = "etc/acpi/rsdp"
  static let loaderName = "etc/table-loader"

  /// Contents of "etc/acpi/tables".
  let tables: [UInt8]
  /// Contents of "etc/acpi/rsdp".
  let rootPointer: [UInt8]
  /// Contents of "etc/table-loader".
  let loader: [UInt8]

  init(_ machine: ACPIDescription) {
    let layout = ACPILayout(machine)
    tables = layout.tables
    rootPointer = layout.rootPointer
    // The root pointer must be found below 1 MiB, the tables in 32 bits; FACS wants 64 bytes.
    var script = TableLoader()
    script.allocate(Self.rootPointerName, alignment: 16, zone: .below1MiB)
    script.allocate(Self.tablesName, alignment: 64, zone: .high)
    for pointer in layout.pointers {
      script.addPointer(in: Self.tablesName, at: pointer.offset, size: pointer.size, to: Self.tablesName)
    }
    for checksum in layout.checksums {
      script.addChecksum(in: Self.tablesName, at: checksum.offset, over: checksum.range)
    }
    for pointer in layout.rootPointers {
      script.addPointer(in: Self.rootPointerName, at: pointer.offset, size: pointer.size, to: Self.tablesName)
    }
    for checksum in ACPILayout.rootChecksums {
      script.addChecksum(in: Self.rootPointerName, at: checksum.offset, over: checksum.range)
    }
    loader = script.bytes
  }

  /// Offers the files to firmware. They are made when it asks for the first of them, for it has set PCI up by then.
  ///
  /// - Parameters:
  ///   - items: where they go.
  ///   - estimate: a machine whose tables are as long as they will be, give or take a few hundred bytes.
  ///   - describe: the machine as it is then. Called on the thread of a vCPU.
  static func add(
    to items: inout FirmwareItems, estimate: ACPIDescription, describe: @escaping @Sendable () -> ACPIDescription
  ) throws(FirmwareConfigurationError) {
    let files = ACPIFiles(estimate)
    try items.addGenerated([
      (tablesName, (files.tables.count + 0x2FFF) & ~0xFFF), (rootPointerName, files.rootPointer.count),
      (loaderName, files.loader.count),
    ]) {
      let files = ACPIFiles(describe())
      return [files.tables, files.rootPointer, files.loader]
    }
  }
}

/// The tables one after another, with addresses as offsets from the first, and what has to be done to them once
/// their place is known. Checksums are zero until then.
struct ACPILayout {
  struct Pointer: Hashable {
    let offset: Int
    /// Bytes: 4 or 8.
    let size: Int
  }

  struct Checksum: Hashable {
    let offset: Int
    let range: Range<Int>
  }

  private(set) var tables: [UInt8]
  private(set) var rootPointer: [UInt8]
  private(set) var pointers: [Pointer] = []
  private(set) var checksums: [Checksum] = []
  /// Pointers of the root pointer into `tables`.
  let rootPointers = [Pointer(offset: 16, size: 4), Pointer(offset: 24, size: 8)]
  /// The root pointer's own: of its first 20 bytes, then of all.
  static let rootChecksums = [Checksum(offset: 8, range: 0..<20), Checksum(offset: 32, range: 0..<36)]

  init(_ machine: ACPIDescription) {
    var area = ByteWriter()
    var (pointers, checksums): ([Pointer], [Checksum]) = ([], [])
    /// `fields` are the pointers in the table, by their offset in it.
    func place(_ table: [UInt8], _ fields: [Pointer] = []) -> Int {
      area.align(16)
      let at = area.count
      area.raw(table)
      pointers += fields.map { Pointer(offset: at + $0.offset, size: $0.size) }
      checksums.append(Checksum(offset: at + 9, range: at..<(at + table.count)))
      return at
    }
    // FACS first: it must be 64-byte aligned.
    let facs = area.count
    area.raw(Self.facs())
    let dsdt = place(Self.dsdt(machine))
    let fadt = place(
      Self.fadt(machine, dsdt: UInt64(dsdt), facs: UInt64(facs)),
      [Pointer(offset: 36, size: 4), Pointer(offset: 40, size: 4), Pointer(offset: 140, size: 8)])
    let madt = place(Self.madt(machine))
    var short = ByteWriter()
    var long = ByteWriter()
    let listed = [fadt, madt] + (machine.memory.isEmpty ? [] : [place(Self.srat(machine))])
    for table in listed {
      short.little(UInt32(table))
      long.little(UInt64(table))
    }
    let rsdt = place(
      Self.table("RSDT", revision: 1, short.bytes), listed.indices.map { Pointer(offset: 36 + 4 * $0, size: 4) })
    let xsdt = place(
      Self.table("XSDT", revision: 1, long.bytes), listed.indices.map { Pointer(offset: 36 + 8 * $0, size: 8) })
    tables = area.bytes
    rootPointer = Self.rootPointer(rsdt: UInt64(rsdt), xsdt: UInt64(xsdt))
    self.pointers = pointers
    self.checksums = checksums
  }

  /// Makes offsets addresses, for tables that lie at `address`, and fills the checksums in.
  mutating func move(to address: UInt64) {
    Self.relocate(&tables, pointers, checksums, by: address)
    Self.relocate(&rootPointer, rootPointers, Self.rootChecksums, by: address)
  }

  private static func relocate(
    _ bytes: inout [UInt8], _ pointers: [Pointer], _ checksums: [Checksum], by address: UInt64
  ) {
    for pointer in pointers {
      var value: UInt64 = 0
      for index in (0..<pointer.size).reversed() { value = value << 8 | UInt64(bytes[pointer.offset + index]) }
      value &+= address
      for index in 0..<pointer.size {
        bytes[pointer.offset + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * index))
      }
    }
    for checksum in checksums { bytes[checksum.offset] = 0 &- bytes[checksum.range].reduce(0, &+) }
  }

  /// A table with its header (5.2.6).
  static func table(_ signature: String, revision: UInt8, _ body: [UInt8]) -> [UInt8] {
    var writer = ByteWriter()
    writer.fixed(signature, width: 4)
    writer.little(UInt32(36 + body.count))
    writer.little(revision)
    writer.little(0 as UInt8)  // checksum
    writer.fixed("ROOST", width: 6, padding: 0x20)
    writer.fixed("ROOSTPC", width: 8, padding: 0x20)
    writer.little(1 as UInt32)
    writer.fixed("RST", width: 4, padding: 0x20)
    writer.little(1 as UInt32)
    writer.raw(body)
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
    return writer.bytes
  }

  /// FACS (5.2.10): it has no checksum, and the guest locks it.
  private static func facs() -> [UInt8] {
    var writer = ByteWriter()
    writer.fixed("FACS", width: 4)
    writer.little(64 as UInt32)
    writer.zeros(24)
    writer.little(2 as UInt8)
    writer.zeros(31)
    return writer.bytes
  }

  /// A CPU's local APIC (5.2.12.2). In a table before revision 5 one that is not enabled may come later.
  static func localAPIC(_ cpu: Int, isEnabled: Bool) -> [UInt8] {
    let id = UInt8(truncatingIfNeeded: cpu)
    return [0, 8, id, id, isEnabled ? 1 : 0, 0, 0, 0]
  }

  /// MADT (5.2.12).
  private static func madt(_ machine: ACPIDescription) -> [UInt8] {
    var writer = ByteWriter()
    writer.little(UInt32(AddressMap.localAPIC))
    writer.little(1 as UInt32)  // PCAT_COMPAT: there is an 8259 pair too
    for cpu in 0..<machine.allCPUs { writer.raw(localAPIC(cpu, isEnabled: cpu < machine.cpus)) }
    writer.raw([1, 12, machine.ioAPIC, 0])
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

  /// SRAT (5.2.16): one node with all CPUs and all memory. Linux takes from it how far memory may reach one day, and has
  /// bounce buffers for devices that do not (arch/x86/mm/srat.c, kernel/dma/swiotlb.c).
  private static func srat(_ machine: ACPIDescription) -> [UInt8] {
    var writer = ByteWriter()
    writer.little(1 as UInt32)
    writer.zeros(8)
    for cpu in 0..<machine.allCPUs {
      writer.raw([0, 16, 0, UInt8(truncatingIfNeeded: cpu)])
      writer.little(1 as UInt32)  // enabled
      writer.zeros(8)
    }
    for run in machine.memory {
      writer.raw([1, 40])
      writer.zeros(6)  // the node, reserved
      writer.little(run.addresses.lowerBound)
      writer.little(UInt64(run.addresses.count))
      writer.zeros(4)
      writer.little(run.isPluggable ? 3 : 1 as UInt32)  // enabled, hot-pluggable
      writer.zeros(8)
    }
    return table("SRAT", revision: 3, writer.bytes)
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
    // GPE0: there are events only where CPUs come.
    let events = machine.maximumCPUs == nil ? 0 : UInt32(base) + UInt32(PowerManagementLayout.generalPurposeEvents)
    writer.little(events)
    writer.little(0 as UInt32)  // GPE1
    // Lengths: PM1 event, PM1 control, PM2, timer, GPE0, GPE1, GPE1 base, _CST.
    writer.raw([4, 2, 0, 4, events == 0 ? 0 : 4, 0, 0, 0])
    writer.little(0xFFFF as UInt16)  // no C2
    writer.little(0xFFFF as UInt16)  // no C3
    writer.little(0 as UInt16)
    writer.little(0 as UInt16)
    writer.raw([0, 0, 0, 0, 0x32])  // duty offset and width, day and month alarm; century at 0x32
    // IA-PC boot flags (5.2.9.3): legacy devices, 8042, VGA not present, CMOS clock not present.
    let flags: UInt16 =
      0x1 | (machine.hasKeyboard || machine.hasMouse ? 0x2 : 0) | (machine.hasScreen ? 0 : 0x4)
      | (machine.hasClock ? 0 : 0x20)
    writer.little(flags)
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
    address(&writer, port: UInt16(truncatingIfNeeded: events), bits: events == 0 ? 0 : 32)
    address(&writer, port: 0, bits: 0)
    for _ in 0..<2 { address(&writer, port: 0, bits: 0) }  // sleep control and status
    writer.fixed("Roost", width: 8)
    return table("FACP", revision: 6, writer.bytes)
  }

  /// A generic address in the I/O space (5.2.3.2).
  private static func address(_ writer: inout ByteWriter, port: UInt16, bits: UInt8) {
    writer.raw([1, bits, 0, bits == 8 ? 1 : bits == 16 ? 2 : bits == 32 ? 3 : 0])
    writer.little(UInt64(port))
  }
}
