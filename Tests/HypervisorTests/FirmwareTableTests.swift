import Devices
import Platform
import Testing

@testable import Hypervisor

@Suite("tables for firmware")
struct FirmwareTableTests {
  private func description(cpus: Int = 2) -> ACPIDescription {
    var machine = ACPIDescription(
      cpus: cpus, powerManagement: 0xB000, powerOffType: 5, memoryWindow: 0x8000_0000..<0xFEC0_0000,
      pciInterrupts: [10, 10, 11, 11], wire: { PCIBus.wire(device: $0, pin: $1) })
    machine.highMemoryWindow = 0x8_0000_0000..<0x10_0000_0000
    machine.hasSecondSerial = true
    machine.hasMouse = true
    machine.hasScreen = true
    machine.hasFirmwareConfiguration = true
    return machine
  }

  /// Does what firmware does with the script (QEMU, hw/acpi/bios-linker-loader.c): the files, and where they went.
  private func load(
    _ files: ACPIFiles, places: [String: UInt64]
  ) throws -> (tables: [UInt8], rootPointer: [UInt8]) {
    var contents = [ACPIFiles.tablesName: files.tables, ACPIFiles.rootPointerName: files.rootPointer]
    var allocated: [String: (alignment: UInt32, zone: UInt8)] = [:]
    try #require(files.loader.count % TableLoader.entryCount == 0)
    for start in stride(from: 0, to: files.loader.count, by: TableLoader.entryCount) {
      let entry = Array(files.loader[start..<(start + TableLoader.entryCount)])
      func name(_ at: Int) -> String { String(decoding: entry[at..<(at + 56)].prefix { $0 != 0 }, as: UTF8.self) }
      let file = name(4)
      var bytes = try #require(contents[file])
      switch entry.little(UInt32.self, at: 0) {
      case 1:
        #expect(allocated[file] == nil)
        allocated[file] = (entry.little(at: 60), entry[64])
      case 2:
        let target = name(60)
        let offset = Int(entry.little(UInt32.self, at: 116))
        #expect(allocated[file] != nil && allocated[target] != nil)
        let place = try #require(places[target])
        // OVMF refuses pointers that do not lie in their file.
        if entry[120] == 4 {
          let value: UInt32 = bytes.little(at: offset)
          #expect(Int(value) < contents[target]?.count ?? 0)
          bytes.put(value + UInt32(place), at: offset)
        } else {
          try #require(entry[120] == 8)
          let value: UInt64 = bytes.little(at: offset)
          #expect(value < UInt64(contents[target]?.count ?? 0))
          bytes.put(value + place, at: offset)
        }
      case 3:
        let (offset, first, count) = (
          Int(entry.little(UInt32.self, at: 60)), Int(entry.little(UInt32.self, at: 64)),
          Int(entry.little(UInt32.self, at: 68))
        )
        // SeaBIOS subtracts the sum, OVMF stores its negative: the same where the byte is zero.
        #expect(bytes[offset] == 0)
        bytes[offset] = 0 &- bytes[first..<(first + count)].reduce(0, &+)
      case let command: Issue.record("unknown command \(command)")
      }
      contents[file] = bytes
    }
    #expect(allocated[ACPIFiles.tablesName]?.zone == 1 && allocated[ACPIFiles.tablesName]?.alignment == 64)
    #expect(allocated[ACPIFiles.rootPointerName]?.zone == 2)
    return (contents[ACPIFiles.tablesName] ?? [], contents[ACPIFiles.rootPointerName] ?? [])
  }

  @Test("the loader's script gives the same tables as a fixed place", arguments: [1, 64])
  func relocation(cpus: Int) throws {
    let machine = description(cpus: cpus)
    let loaded = try load(
      ACPIFiles(machine), places: [ACPIFiles.tablesName: 0xF0040, ACPIFiles.rootPointerName: 0xF0000])
    let fixed = ACPITables(machine, at: 0xF0000)
    #expect(Array(fixed.bytes.prefix(36)) == loaded.rootPointer)
    #expect(Array(fixed.bytes.dropFirst(64)) == loaded.tables)
    // And anywhere else everything still adds up.
    let far: UInt64 = 0x7FFE_1240
    let high = try load(ACPIFiles(machine), places: [ACPIFiles.tablesName: far, ACPIFiles.rootPointerName: 0xF5A10])
    #expect(high.rootPointer.reduce(0, &+) == 0 && high.rootPointer.prefix(20).reduce(0, &+) == 0)
    let xsdt = Int(high.rootPointer.little(UInt64.self, at: 24) - far)
    #expect(high.tables[xsdt..<(xsdt + 4)].elementsEqual("XSDT".utf8))
    let facp = Int(high.tables.little(UInt64.self, at: xsdt + 36) - far)
    #expect(high.tables[facp..<(facp + 276)].reduce(0, &+) == 0)
    let facs = UInt64(high.tables.little(UInt32.self, at: facp + 36))
    #expect(facs % 64 == far % 64 && high.tables[Int(facs - far)..<Int(facs - far + 4)].elementsEqual("FACS".utf8))
    let dsdt = high.tables.little(UInt64.self, at: facp + 140)
    #expect(UInt64(high.tables.little(UInt32.self, at: facp + 40)) == dsdt)
    #expect(high.tables[Int(dsdt - far)..<Int(dsdt - far + 4)].elementsEqual("DSDT".utf8))
    #expect(high.tables.little(UInt32.self, at: facp + 56) == 0xB000)  // PM1a event block
    #expect(high.tables.little(UInt32.self, at: facp + 76) == 0xB008)  // PM timer
    #expect(high.tables.little(UInt16.self, at: facp + 109) == 0x3)  // 8042, and a VGA
    #expect(high.tables.little(UInt32.self, at: facp + 48) == 0)  // no SMI command
  }

  @Test("files are made when firmware asks, and fit what the directory promised")
  func generated() throws {
    let memory = try GuestRAM(count: 4 << 20)
    var items = FirmwareItems()
    var estimate = description()
    estimate.powerManagement = 0
    estimate.highMemoryWindow = nil
    let asked = description()
    try ACPIFiles.add(to: &items, estimate: estimate) { asked }
    let device = FirmwareConfiguration(items, memory: memory)
    func file(_ index: Int) -> (name: String, bytes: [UInt8]) {
      device.write(0x19, at: 0, width: .word)
      let directory = (0..<(4 + 3 * 64)).map { _ in UInt8(truncatingIfNeeded: device.read(at: 1, width: .byte)) }
      let entry = Array(directory[(4 + index * 64)..<(68 + index * 64)])
      device.write(UInt64(0x20 + index), at: 0, width: .word)
      let count = Int(entry.little(UInt32.self, at: 0).byteSwapped)
      return (
        String(decoding: entry[8...].prefix { $0 != 0 }, as: UTF8.self),
        (0..<count).map { _ in UInt8(truncatingIfNeeded: device.read(at: 1, width: .byte)) }
      )
    }
    let files = ACPIFiles(asked)
    #expect(file(0) == (ACPIFiles.rootPointerName, files.rootPointer))
    let tables = file(1)
    #expect(tables.name == ACPIFiles.tablesName && tables.bytes.count % 4096 == 0)
    #expect(Array(tables.bytes.prefix(files.tables.count)) == files.tables)
    #expect(file(2) == (ACPIFiles.loaderName, files.loader))
  }

  @Test("windows follow what firmware assigned")
  func windows() {
    var machine = description()
    machine.setWindows([], endOfLowMemory: 1 << 30)
    #expect(machine.memoryWindow == 0x8000_0000..<0xFEC0_0000 && machine.highMemoryWindow == nil)
    machine.setWindows([], endOfLowMemory: 3 << 30)
    #expect(machine.memoryWindow == 0xC000_0000..<0xFEC0_0000)
    machine.setWindows(
      [0xE000_0000..<0xE000_4000, 0x38_4000_4000..<0x38_4000_8000, (1 << 52)..<(1 << 53)], endOfLowMemory: 3 << 30)
    #expect(machine.highMemoryWindow == 0x38_4000_0000..<0x38_8000_0000)
  }

  private static let hasCompiler = Files.exists("/usr/bin/iasl")

  @Test(
    "the DSDT disassembles and compiles again without a warning",
    .enabled(if: hasCompiler, "skipped: there is no /usr/bin/iasl (package acpica-tools)"),
    arguments: [0x600 as UInt16, 0xB000], [nil, 64])
  func compiles(power: UInt16, maximumCPUs: Int?) throws {
    var machine = description()
    machine.powerManagement = power
    machine.maximumCPUs = maximumCPUs
    let tables = ACPIFiles(machine).tables
    // FACS is first, the DSDT follows.
    var dsdt = Array(tables[64..<(64 + Int(tables.little(UInt32.self, at: 68)))])
    #expect(dsdt.starts(with: "DSDT".utf8))
    dsdt[9] = 0 &- dsdt.reduce(0, &+)
    let folder = try Files.makeTemporaryDirectory(prefix: "roost-acpi")
    defer { try? Files.removeTree(folder) }
    try Files.write(dsdt, to: folder + "/dsdt.aml")
    #expect(try run(["iasl", "-d", "dsdt.aml"], in: folder) == .exited(0))
    #expect(try run(["iasl", "-we", "-p", "again", "dsdt.dsl"], in: folder) == .exited(0))
    let text = try Files.readText(folder + "/dsdt.dsl")
    for name in ["LNKA", "LNKD", "_PRT", "_PIC", "PRQC", "COM2", "PNP0F13", "QEMU0002"]
      + (maximumCPUs == nil ? [] : ["C03F", "_EJ0", "_E02", "_MAT"])
    {
      #expect(text.contains(name), "\(name)")
    }
  }

  private func run(_ arguments: [String], in folder: String) throws -> Platform.ExitStatus {
    let null = try FileDescriptor(opening: "/dev/null", .readWrite)
    var request = ChildRequest(arguments)
    request.directory = folder
    request.descriptors = [null.rawValue, null.rawValue, null.rawValue]
    let child = try ChildProcess.start(request)
    return try child.wait()
  }
}

@Suite("SMBIOS")
struct SMBIOSTests {
  private static let uuid: [UInt8] = [
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF,
  ]

  private struct Structure {
    let type: UInt8
    let handle: UInt16
    let formatted: [UInt8]
    let strings: [String]
  }

  private func parse(_ tables: [UInt8]) throws -> [Structure] {
    var structures: [Structure] = []
    var at = 0
    while at < tables.count {
      let length = Int(tables[at + 1])
      let formatted = Array(tables[at..<(at + length)])
      var strings: [String] = []
      var next = at + length
      while tables[next] != 0 {
        let text = tables[next...].prefix { $0 != 0 }
        strings.append(String(decoding: text, as: UTF8.self))
        next += text.count + 1
      }
      next += strings.isEmpty ? 2 : 1
      structures.append(
        Structure(type: tables[at], handle: tables.little(at: at + 2), formatted: formatted, strings: strings))
      at = next
    }
    try #require(at == tables.count)
    return structures
  }

  private func machine(cpus: Int = 2, low: UInt64 = 3 << 30, high: UInt64 = 30 << 30) -> SMBIOSDescription {
    SMBIOSDescription(uuid: Self.uuid, name: "debian", cpus: cpus, lowMemory: low, highMemory: high)
  }

  @Test("structures have the lengths and fields of DSP0134")
  func structures() throws {
    let structures = try parse(SMBIOS(machine()).tables)
    #expect(structures.map(\.type) == [0, 1, 3, 4, 4, 16, 17, 17, 17, 19, 19, 32, 127])
    #expect(Set(structures.map(\.handle)).count == structures.count)
    let lengths: [UInt8: Int] = [0: 24, 1: 27, 3: 22, 4: 42, 16: 23, 17: 40, 19: 31, 32: 11, 127: 4]
    for structure in structures { #expect(structure.formatted.count == lengths[structure.type], "\(structure.type)") }
    let system = structures[1]
    #expect(system.strings == ["Roost", "Roost PC", "1", "debian", "Virtual machine"])
    #expect(
      Array(system.formatted[8..<24]) == [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66] + Array(Self.uuid[8...]))
    #expect(structures[3].strings.first == "CPU 0" && structures[3].formatted[0x18] == 0x41)
    let array = structures[5].formatted
    #expect(array.little(UInt32.self, at: 7) == 33 << 20 && array.little(UInt16.self, at: 13) == 3)
    #expect(structures[6...8].map { $0.formatted.little(UInt16.self, at: 12) } == [16384, 16384, 1024])
    #expect(structures[9].formatted.little(UInt32.self, at: 8) == (3 << 20) - 1)
    #expect(structures[10].formatted.little(UInt32.self, at: 4) == 4 << 20)
    #expect(structures[10].formatted.little(UInt32.self, at: 8) == (34 << 20) - 1)
  }

  @Test("sizes that need the extended fields")
  func large() throws {
    let structures = try parse(SMBIOS(machine(cpus: 254, low: 3 << 30, high: (5 << 40) - (3 << 30))).tables)
    let array = try #require(structures.first { $0.type == 16 }).formatted
    #expect(array.little(UInt32.self, at: 7) == 0x8000_0000 && array.little(UInt64.self, at: 15) == 5 << 40)
    let mapping = try #require(structures.last { $0.type == 19 }).formatted
    #expect(mapping.little(UInt32.self, at: 4) == 0xFFFF_FFFF && mapping.little(UInt64.self, at: 15) == 1 << 32)
    #expect(Set(structures.map(\.handle)).count == structures.count)
    #expect(try parse(SMBIOS(machine(low: 64 << 20, high: 0)).tables).filter { $0.type == 19 }.count == 1)
    var odd = machine()
    odd.name = "a\0b"
    odd.uuid = []
    #expect(try parse(SMBIOS(odd).tables)[1].strings[3] == "a b")
    odd.name = ""
    #expect(try parse(SMBIOS(odd).tables)[1].strings[3] == "-")
  }

  @Test("entry points")
  func entryPoints() {
    let tables = SMBIOS(machine())
    let old = tables.entryPoint(.version2, tables: 0xF1000)
    #expect(old.count == 31 && old.starts(with: "_SM_".utf8) && old[16...].starts(with: "_DMI_".utf8))
    #expect(old.reduce(0, &+) == 0 && old[16...].reduce(0, &+) == 0)
    #expect(old[5] == 31 && old[6] == 2 && old[7] == 8)
    #expect(Int(old.little(UInt16.self, at: 22)) == tables.tables.count && old.little(UInt32.self, at: 24) == 0xF1000)
    #expect(old.little(UInt16.self, at: 28) == 13)
    let new = tables.entryPoint(.version3, tables: 0xF1000)
    #expect(new.count == 24 && new.starts(with: "_SM3_".utf8) && new.reduce(0, &+) == 0)
    #expect(new[6] == 24 && new[7] == 3 && new.little(UInt64.self, at: 16) == 0xF1000)
    #expect(Int(new.little(UInt32.self, at: 12)) == tables.tables.count)
  }
}
