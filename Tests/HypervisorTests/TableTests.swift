import Devices
import Platform
import Testing

@testable import Hypervisor

@Suite("ACPI tables, CPU model, memory, arguments")
struct TableTests {
  private func tables(cpus: Int, maximum: Int? = nil, isFirmware: Bool = false) -> ACPITables {
    var machine = ACPIDescription(
      cpus: cpus, powerManagement: 0x600, powerOffType: 5, memoryWindow: AddressMap.pciWindow,
      pciInterrupts: [10, 10, 11, 11], wire: { PCIBus.wire(device: $0, pin: $1) })
    machine.maximumCPUs = maximum
    machine.hasFirmwareConfiguration = isFirmware
    return ACPITables(machine)
  }

  private func table(_ address: UInt64, in tables: ACPITables) -> [UInt8] {
    let start = Int(address - tables.rootPointer)
    let length = Int(tables.bytes.little(UInt32.self, at: start + 4))
    return Array(tables.bytes[start..<(start + length)])
  }

  private func name(_ table: [UInt8]) -> String { String(decoding: table.prefix(4), as: UTF8.self) }

  @Test("every table is reachable and sums up to zero", arguments: [1, 2, 64, 254])
  func checksums(cpus: Int) {
    let tables = tables(cpus: cpus)
    let root = Array(tables.bytes.prefix(36))
    #expect(root.prefix(20).reduce(0, &+) == 0 && root.reduce(0, &+) == 0)
    let rsdt = table(UInt64(root.little(UInt32.self, at: 16)), in: tables)
    let xsdt = table(root.little(UInt64.self, at: 24), in: tables)
    #expect(name(rsdt) == "RSDT" && name(xsdt) == "XSDT")
    #expect(rsdt.reduce(0, &+) == 0 && xsdt.reduce(0, &+) == 0)
    var names: [String] = []
    for index in 0..<((xsdt.count - 36) / 8) {
      let address = xsdt.little(UInt64.self, at: 36 + index * 8)
      #expect(UInt64(rsdt.little(UInt32.self, at: 36 + index * 4)) == address)
      let table = table(address, in: tables)
      names.append(name(table))
      #expect(table.reduce(0, &+) == 0, "\(name(table))")
      if name(table) == "FACP" {
        #expect(table.count == 276)
        let dsdt = self.table(table.little(UInt64.self, at: 140), in: tables)
        #expect(name(dsdt) == "DSDT" && dsdt.reduce(0, &+) == 0)
        #expect(table.little(UInt32.self, at: 40) == UInt32(table.little(UInt64.self, at: 140)))
        #expect(table[128] == 6 && table.little(UInt64.self, at: 120) == 0xCF9)
      }
      if name(table) == "APIC" {
        #expect(table.count == 44 + cpus * 8 + 12 + 4 * 10 + 6)
      }
    }
    #expect(names == ["FACP", "APIC"])
    #expect(tables.bytes.count < 0x1_0000)
  }

  @Test("the I/O APIC has an id that no CPU has, but SeaBIOS's where that makes a table too", arguments: [1, 3, 254])
  func interruptControllers(cpus: Int) throws {
    for isFirmware in [false, true] {
      let tables = tables(cpus: cpus, isFirmware: isFirmware)
      let xsdt = table(tables.bytes.little(UInt64.self, at: 24), in: tables)
      let madt = table(xsdt.little(UInt64.self, at: 36 + 8), in: tables)
      #expect(name(madt) == "APIC")
      let chip = Array(madt[(44 + cpus * 8)..<(56 + cpus * 8)])
      #expect(chip == [1, 12, isFirmware ? 0 : UInt8(cpus), 0, 0, 0, 0xC0, 0xFE, 0, 0, 0, 0])
    }
  }

  @Test("processors that may come are named, not enabled, and have an event", arguments: [2, 64, 254])
  func processorsThatCome(maximum: Int) throws {
    let tables = tables(cpus: 1, maximum: maximum)
    let xsdt = table(tables.bytes.little(UInt64.self, at: 24), in: tables)
    let fadt = table(xsdt.little(UInt64.self, at: 36), in: tables)
    let madt = table(xsdt.little(UInt64.self, at: 36 + 8), in: tables)
    // GPE0: four bytes at 12 of the power management block.
    #expect(fadt.little(UInt32.self, at: 80) == 0x60C && fadt[92] == 4 && fadt.little(UInt64.self, at: 224) == 0x60C)
    for cpu in 0..<maximum {
      let entry = Array(madt[(44 + cpu * 8)..<(52 + cpu * 8)])
      #expect(entry == [0, 8, UInt8(cpu), UInt8(cpu), cpu == 0 ? 1 : 0, 0, 0, 0])
    }
    #expect(madt[44 + maximum * 8 + 2] == UInt8(maximum), "the I/O APIC's id")
    let dsdt = table(fadt.little(UInt64.self, at: 140), in: tables)
    let names = String(decoding: dsdt.map { $0 < 0x80 ? $0 : 0x20 }, as: UTF8.self)
    #expect(names.contains("_E02") && names.contains("C001") && !names.contains("C0FF"))
    #expect(tables.bytes.count < 0x1_0000)
    let others = self.tables(cpus: 2)
    #expect(!String(decoding: others.bytes.map { $0 < 0x80 ? $0 : 0x20 }, as: UTF8.self).contains("_E02"))
  }

  @Test("AML lengths at their borders")
  func lengths() {
    for count in [0, 60, 61, 62, 63, 64, 4090, 4091, 4092, 4093, 4094, 70_000] {
      let bytes = AML.buffer([UInt8](repeating: 0, count: count)).bytes
      let more = Int(bytes[1] >> 6)
      var length = Int(bytes[1] & (more == 0 ? 0x3F : 0x0F))
      for index in 0..<more { length |= Int(bytes[2 + index]) << (4 + 8 * index) }
      #expect(length == bytes.count - 1)
    }
    #expect(AML.eisaID("PNP0A03").bytes == [0x0C, 0x41, 0xD0, 0x0A, 0x03])
    #expect(AML.path("\\_SB.PCI0").bytes == [0x5C, 0x2E] + Array("_SB_PCI0".utf8))
  }

  @Test("guests see no nested virtualisation, and their own topology")
  func cpuid() throws {
    let host = [
      CPUIDEntry(function: 0, eax: 7, ebx: 0x6874_7541, ecx: 0x444D_4163, edx: 0x6974_6E65),
      CPUIDEntry(function: 1, ebx: 0x0500_0800, ecx: 0x28, edx: 0),
      CPUIDEntry(function: 0xB, index: 0, indexMatters: true, edx: 5),
      CPUIDEntry(function: 0x4000_0000, ebx: 1), CPUIDEntry(function: 0x4000_0001, eax: 0x0103_FFFF),
      CPUIDEntry(function: 0x8000_0001, ecx: 0x4), CPUIDEntry(function: 0x8000_0007, edx: 0x100),
      CPUIDEntry(function: 0x8000_0008, eax: 0x3028), CPUIDEntry(function: 0x8000_000A, eax: 1),
    ]
    let model = CPUModel(host: host, cpus: 3, tscKHz: 2_500_000, hasDeadlineTimer: true)
    let entries = model.entries(for: 2)
    func leaf(_ function: UInt32, _ index: UInt32 = 0) throws -> CPUIDEntry {
      try #require(entries.first { $0.function == function && $0.index == index })
    }
    #expect(try leaf(0).eax == 0xB)
    let features = try leaf(1)
    #expect(features.ebx == 0x0204_0800)
    #expect(features.ecx & (1 << 3 | 1 << 5) == 0)
    #expect(features.ecx & (1 << 31 | 1 << 24 | 1 << 21) == 1 << 31 | 1 << 24 | 1 << 21)
    #expect(try leaf(0xB, 1).ebx == 3 && leaf(0xB, 1).eax == 2 && leaf(0xB, 1).edx == 2)
    #expect(try leaf(0x8000_0001).ecx == 1 << 1)
    #expect(try leaf(0x8000_0007).edx == 0x100)
    #expect(try leaf(0x8000_0008).ecx == 0x2002)
    #expect(!entries.contains { $0.function == 0x8000_000A })
    #expect(try leaf(0x4000_0000).eax == 0x4000_0010)
    #expect(try leaf(0x4000_0010).eax == 2_500_000)
    #expect(try leaf(0x4000_0010).ebx == 1_000_000)
    let slow = CPUModel(host: host, cpus: 1, tscKHz: 1, localAPICCycle: 20, hasDeadlineTimer: true).entries(for: 0)
    #expect(slow.first { $0.function == 0x4000_0010 }?.ebx == 50_000)
    #expect(try leaf(0x4000_0001).eax & 0x3_8000 == 0)
    let xen = CPUModel(host: host, cpus: 1, tscKHz: 1, hasDeadlineTimer: true, isXen: true).entries(for: 0)
    #expect(xen.filter { $0.function >> 16 == 0x4000 }.map(\.function) == [0x4000_0000, 0x4000_0001, 0x4000_0002])
    let signature = try #require(xen.first { $0.function == 0x4000_0000 })
    var name: [UInt8] = []
    for word in [signature.ebx, signature.ecx, signature.edx] { name += .little(word) }
    #expect(String(decoding: name, as: UTF8.self) == "XenVMMXenVMM" && signature.eax == 0x4000_0002)
    #expect(entries.filter { $0.function == 0xB }.count == 3)
  }

  @Test("the baseline has what x86-64-v2 needs and nothing that came later")
  func baseline() throws {
    let everything = UInt32.max
    let host = [
      CPUIDEntry(function: 0, eax: 0x20, ebx: 0x756E_6547, ecx: 0x6C65_746E, edx: 0x4965_6E69),
      CPUIDEntry(function: 1, ecx: everything, edx: everything),
      CPUIDEntry(function: 7, index: 0, indexMatters: true, eax: 2, ebx: everything, ecx: everything, edx: everything),
      CPUIDEntry(function: 7, index: 1, indexMatters: true, eax: everything),
      CPUIDEntry(function: 0xD, index: 0, indexMatters: true, eax: 7, ebx: 832, ecx: 832),
      CPUIDEntry(function: 0x8000_0001, ecx: everything, edx: everything),
    ]
    let entries = CPUModel(host: host, cpus: 1, tscKHz: 1, hasDeadlineTimer: true, name: .baseline).entries(for: 0)
    func leaf(_ function: UInt32) throws -> CPUIDEntry { try #require(entries.first { $0.function == function }) }
    // SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT; neither FMA, XSAVE, AVX, F16C nor RDRAND.
    let needed: UInt32 = 1 << 0 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23
    #expect(try leaf(1).ecx & needed == needed)
    #expect(try leaf(1).ecx & (1 << 12 | 1 << 26 | 1 << 28 | 1 << 29 | 1 << 30) == 0)
    #expect(try leaf(7).ebx == 0 && leaf(7).ecx == 0)
    #expect(entries.count { $0.function == 7 } == 1 && !entries.contains { $0.function == 0xD })
    #expect(try leaf(0x8000_0001).edx & (1 << 29 | 1 << 20 | 1 << 11) == 1 << 29 | 1 << 20 | 1 << 11)
    #expect(try leaf(0x8000_0001).edx & (3 << 30 | 1 << 26) == 0)
  }

  @Test("RAM: holes, borders and overflow")
  func memory() throws {
    let memory = try GuestRAM(count: 3 << 30 | 64 << 20)
    #expect(memory.lowCount == 3 << 30 && memory.highCount == 64 << 20)
    #expect(memory.offset(of: 0, count: 0) == 0)
    #expect(memory.offset(of: (3 << 30) - 1, count: 1) == (3 << 30) - 1)
    #expect(memory.offset(of: (3 << 30) - 1, count: 2) == nil)
    #expect(memory.offset(of: 0xFEE0_0000, count: 4) == nil)
    #expect(memory.offset(of: 1 << 32, count: 64 << 20) == 3 << 30)
    #expect(memory.offset(of: 1 << 32, count: (64 << 20) + 1) == nil)
    #expect(memory.offset(of: .max, count: 1) == nil)
    #expect(memory.offset(of: .max - 7, count: 16) == nil)
    #expect(memory.offset(of: 0, count: -1) == nil)
    try memory.write([1, 2, 3, 4], at: GuestAddress(1 << 32))
    #expect(try memory.loadUInt32(at: GuestAddress(1 << 32)) == 0x0403_0201)
    #expect(try memory.bytes(at: GuestAddress((1 << 32) + 1), count: 2) == [2, 3])
    #expect(throws: GuestMemoryError.self) { try memory.loadUInt64(at: GuestAddress((3 << 30) - 4)) }
    #expect(throws: GuestMemoryError.self) { try memory.loadAcquiringUInt16(at: GuestAddress(1)) }
    try memory.storeReleasingUInt16(0xBEEF, at: GuestAddress(0x1000))
    #expect(try memory.loadAcquiringUInt16(at: GuestAddress(0x1000)) == 0xBEEF)
    #expect(throws: HypervisorError.self) { try GuestRAM(count: 0) }
    #expect(throws: HypervisorError.self) { try GuestRAM(count: 12345) }
  }

  @Test("an empty run is RAM wherever it is, and one byte is not")
  func emptyRuns() throws {
    let memory = try GuestRAM(count: 4 << 20)
    for address in [4 << 20, 4 << 20 + 1, AddressMap.fourGiB, 1 << 40, .max] as [UInt64] {
      let address = GuestAddress(address)
      #expect(memory.contains(GuestSegment(address: address, count: 0)))
      #expect(try memory.bytes(at: address, count: 0).isEmpty)
      try memory.write([], at: address)
      #expect(!memory.contains(GuestSegment(address: address, count: 1)))
      #expect(throws: GuestMemoryError(.read, address: address, count: 1)) { try memory.bytes(at: address, count: 1) }
      #expect(throws: GuestMemoryError(.write, address: address, count: 1)) { try memory.write([1], at: address) }
    }
  }

  @Test("what a balloon gives up reads as zeros, whole pages of it; what is no RAM changes nothing")
  func balloon() throws {
    let memory = try GuestRAM(count: 4 << 20)
    let balloon = RAMBalloon(memory: memory)
    try memory.write([UInt8](repeating: 0xAA, count: 3 * 4096), at: GuestAddress(0x20_0000))
    // From the middle of one page to the middle of the third: the second is given up.
    balloon.discard(GuestSegment(address: GuestAddress(0x20_0800), count: 2 * 4096))
    #expect(try memory.bytes(at: GuestAddress(0x20_0000), count: 4096).allSatisfy { $0 == 0xAA })
    #expect(try memory.bytes(at: GuestAddress(0x20_1000), count: 4096).allSatisfy { $0 == 0 })
    #expect(try memory.bytes(at: GuestAddress(0x20_2000), count: 4096).allSatisfy { $0 == 0xAA })
    balloon.discard(GuestSegment(address: GuestAddress(1 << 40), count: 4096))
    balloon.discard(GuestSegment(address: GuestAddress(0x20_0000), count: 1))
    #expect(try memory.bytes(at: GuestAddress(0x20_0000), count: 1) == [0xAA])
  }

  @Test("memory that grows lies apart from RAM, below the devices where it fits, at what Linux adds at once")
  func growthPlaces() throws {
    let (mebibyte, gibibyte) = (1 << 20 as UInt64, 1 << 30 as UInt64)
    func place(_ memory: UInt64, by count: UInt64, isFirmware: Bool = false) -> Range<UInt64> {
      AddressMap.growth(by: count, above: memory, isFirmware: isFirmware)
    }
    #expect(place(512 * mebibyte, by: 512 * mebibyte) == 640 * mebibyte..<1152 * mebibyte)
    #expect(place(500 * mebibyte, by: mebibyte) == 512 * mebibyte..<640 * mebibyte)
    #expect(place(gibibyte, by: 1920 * mebibyte) == 1152 * mebibyte..<3 * gibibyte)
    #expect(place(gibibyte, by: 1921 * mebibyte).lowerBound == 4 * gibibyte + 128 * mebibyte)
    // Firmware's windows for PCI begin at 2 GiB, or at the end of RAM.
    #expect(place(gibibyte, by: 896 * mebibyte, isFirmware: true) == 1152 * mebibyte..<2 * gibibyte)
    #expect(place(gibibyte, by: gibibyte, isFirmware: true).lowerBound == 4 * gibibyte + 128 * mebibyte)
    #expect(place(5 * gibibyte / 2, by: mebibyte, isFirmware: true).lowerBound == 4 * gibibyte + 128 * mebibyte)
    #expect(place(8 * gibibyte, by: gibibyte).lowerBound == 9 * gibibyte + 128 * mebibyte)
    #expect(place(64 * gibibyte, by: gibibyte) == 66 * gibibyte..<68 * gibibyte)
  }

  @Test("RAM that grows: devices reach what is plugged, all of it and nothing else")
  func growingMemory() throws {
    let start: UInt64 = 128 << 20
    let block = Int(GuestRAM.blockBytes)
    let memory = try GuestRAM(count: 3 << 20, growth: start..<start + 128 << 20)
    func segment(_ first: Int, _ count: Int) -> GuestSegment {
      GuestSegment(address: GuestAddress(start + UInt64(first * block)), count: count * block)
    }
    #expect(memory.count == 3 << 20 && memory.offset(of: start, count: 1) == nil)
    #expect(memory.contains(GuestSegment(address: GuestAddress(start), count: 0)))
    memory.mark(segment(1, 2), isPlugged: true)
    memory.mark(segment(63, 1), isPlugged: true)
    #expect(memory.contains(segment(1, 2)) && memory.contains(segment(63, 1)))
    for (first, count) in [(0, 1), (0, 2), (2, 2), (3, 1), (62, 2), (63, 2), (64, 1)] {
      #expect(!memory.contains(segment(first, count)), "\(first) \(count)")
    }
    #expect(memory.offset(of: start + UInt64(3 * block) - 1, count: 1) != nil)
    #expect(memory.offset(of: start + UInt64(3 * block) - 1, count: 2) == nil)
    #expect(memory.offset(of: start + (128 << 20) - 1, count: 2) == nil)
    // Behind what it starts with, at the start of a huge page.
    #expect(memory.offset(of: start + UInt64(block), count: 1) == 4 << 20 + block)
    try memory.storeUInt64(0x0123_4567_89AB_CDEF, at: GuestAddress(start + UInt64(2 * block)))
    #expect(try memory.loadUInt64(at: GuestAddress(start + UInt64(2 * block))) == 0x0123_4567_89AB_CDEF)
    memory.mark(segment(2, 1), isPlugged: false)
    #expect(throws: GuestMemoryError.self) { try memory.loadUInt64(at: GuestAddress(start + UInt64(2 * block))) }
    #expect(memory.contains(segment(1, 1)) && !memory.contains(segment(1, 2)))
  }

  @Test("RAM as the kernel's network server is shown it: what there is, in as few runs as it takes")
  func memoryRegions() throws {
    let start: UInt64 = 128 << 20
    let block = Int(GuestRAM.blockBytes)
    let memory = try GuestRAM(count: 3 << 20, growth: start..<start + 128 << 20)
    func segment(_ first: Int, _ count: Int) -> GuestSegment {
      GuestSegment(address: GuestAddress(start + UInt64(first * block)), count: count * block)
    }
    let low = VhostNetworkDevice.Region(guest: 0, count: 3 << 20, offset: 0)
    #expect(memory.regions(limit: 64) == [low])
    memory.mark(segment(1, 2), isPlugged: true)
    memory.mark(segment(63, 1), isPlugged: true)
    let runs: [VhostNetworkDevice.Region] = [
      .init(guest: start + UInt64(block), count: 2 * block, offset: 4 << 20 + block),
      .init(guest: start + UInt64(63 * block), count: block, offset: 4 << 20 + 63 * block),
    ]
    #expect(memory.regions(limit: 3) == [low] + runs)
    #expect(
      memory.regions(limit: 2)
        == [low, .init(guest: start + UInt64(block), count: 63 * block, offset: 4 << 20 + block)])
    memory.mark(segment(1, 2), isPlugged: false)
    #expect(memory.regions(limit: 2) == [low, runs[1]])
  }

  @Test("SRAT is there where memory grows past 4 GiB and did not begin there")
  func affinity() throws {
    let high = try GuestRAM(count: 4 << 20, growth: 0x1_0800_0000..<0x1_1000_0000)
    #expect(high.affinity.count == 2 && (high.affinity.last?.isPluggable ?? false))
    #expect(try GuestRAM(count: 4 << 20, growth: 0x0800_0000..<0x1000_0000).affinity.isEmpty)
    #expect(try GuestRAM(count: 4 << 20).affinity.isEmpty)
    var machine = ACPIDescription(
      cpus: 3, powerManagement: 0x600, powerOffType: 5, memoryWindow: AddressMap.pciWindow,
      pciInterrupts: [10, 10, 11, 11], wire: { PCIBus.wire(device: $0, pin: $1) })
    machine.memory = high.affinity
    let tables = ACPITables(machine)
    let root = Array(tables.bytes.prefix(36))
    let rsdt = table(UInt64(root.little(UInt32.self, at: 16)), in: tables)
    let xsdt = table(root.little(UInt64.self, at: 24), in: tables)
    #expect(rsdt.count == 36 + 3 * 4 && xsdt.count == 36 + 3 * 8)
    let address = xsdt.little(UInt64.self, at: 36 + 16)
    #expect(UInt64(rsdt.little(UInt32.self, at: 36 + 8)) == address)
    let srat = table(address, in: tables)
    #expect(name(srat) == "SRAT" && srat.reduce(0, &+) == 0)
    try #require(srat.count == 48 + 3 * 16 + 2 * 40)
    #expect(srat.little(UInt32.self, at: 36) == 1)
    for cpu in 0..<3 { #expect(Array(srat[(48 + cpu * 16)...].prefix(8)) == [0, 16, 0, UInt8(cpu), 1, 0, 0, 0]) }
    let runs = [(0, 4 << 20, 1), (0x1_0800_0000, 0x800_0000, 3)] as [(UInt64, UInt64, UInt32)]
    for (index, run) in runs.enumerated() {
      let entry = Array(srat[(96 + index * 40)...].prefix(40))
      #expect(entry[0] == 1 && entry[1] == 40 && entry.little(UInt32.self, at: 2) == 0)
      #expect(entry.little(UInt64.self, at: 8) == run.0 && entry.little(UInt64.self, at: 16) == run.1)
      #expect(entry.little(UInt32.self, at: 28) == run.2)
    }
  }

  @Test("arguments: the contract's flags")
  func arguments() throws {
    let machine = try MachineConfiguration(arguments: [
      "--name", "d", "--cpus", "2", "--memory", "1GiB", "--boot", "linux", "--kernel", "k", "--initrd", "i",
      "--cmdline", "a b", "--disk", "/dev/x,ro,id=root", "--net", "tap0,mac=52:54:00:aa:BB:01", "--serial",
      "unix:/run/s,log=/var/l", "--console", "unix:/run/c", "--no-entropy", "--hotplug", "--control", "unix:/run/k,1",
    ])
    #expect(machine.hasHotplug && machine.control == "/run/k,1")
    #expect(machine.cpus == 2 && machine.memory == 1 << 30 && machine.bootMethod == .linux)
    #expect(machine.disks == [MachineConfiguration.Disk(path: "/dev/x", isReadOnly: true, identifier: "root")])
    #expect(machine.networks.first?.mac == [0x52, 0x54, 0, 0xAA, 0xBB, 1])
    #expect(machine.networks.first?.usesKernel == true)
    let plain = try MachineConfiguration(arguments: ["--name", "d", "--kernel", "k", "--net", "tap0,vhost=off"])
    #expect(plain.networks.first?.usesKernel == false)
    #expect(machine.serial == .socket(path: "/run/s", log: "/var/l"))
    #expect(machine.console == .socket(path: "/run/c", log: nil) && !machine.hasEntropy)
    #expect(try MachineConfiguration.size("256 MiB") == 256 << 20)
    #expect(machine.memoryMaximum == 0 && !machine.hasBalloon)
    let growing = try MachineConfiguration(arguments: [
      "--name", "d", "--kernel", "k", "--memory", "512MiB", "--memory-max", "1GiB", "--balloon",
    ])
    #expect(growing.memoryMaximum == 1 << 30 && growing.hasBalloon)
  }

  @Test("arguments: a machine that boots by firmware")
  func firmwareArguments() throws {
    let machine = try MachineConfiguration(arguments: [
      "--name", "d", "--disk", "a.img,bus=ide", "--cdrom", "c.iso", "--net", "tap0,model=e1000", "--cpu", "baseline",
      "--vnc", "unix:/run/v,password-file=/run/p", "--serial2", "unix:/run/s2",
    ])
    #expect(machine.bootMethod == .bios && machine.kernel == nil && machine.hasDisplay)
    #expect(machine.disks.first?.bus == .ide && machine.cdroms == ["c.iso"] && machine.cpuModel == .baseline)
    #expect(machine.networks.first?.model == .e1000)
    #expect(machine.viewers == [MachineConfiguration.Viewer(path: "/run/v", passwordFile: "/run/p")])
    #expect(machine.secondSerial == .socket(path: "/run/s2", log: nil))
    let modules = try MachineConfiguration(arguments: ["--name", "d", "--kernel", "k", "--module", "m,cmdline=a, b"])
    #expect(!modules.hasHotplug && modules.control == nil)
    #expect(modules.modules == [MachineConfiguration.Module(path: "m", commandLine: "a, b")] && !modules.hasDisplay)
  }

  @Test(
    "arguments: mistakes are named",
    arguments: [
      ["--kernel", "k"], ["--name", "x"], ["--name"], ["--name", "x", "--kernel", "k", "--memory", "12"],
      ["--name", "x", "--kernel", "k", "--memory", "99999999999999999GiB"],
      ["--name", "x", "--kernel", "k", "--memory", "2GiB", "--memory-max", "1GiB"],
      ["--name", "x", "--kernel", "k", "--memory-max", "1"],
      ["--name", "x", "--kernel", "k", "--cpus", "0"],
      ["--name", "x", "--kernel", "k", "--cpus", "2,max=1"], ["--name", "x", "--kernel", "k", "--cpus", "2,most=3"],
      ["--name", "x", "--boot", "bios", "--cpus", "1,max=2"],
      ["--name", "x", "--kernel", "k", "--net", "t,mac=1"],
      ["--name", "x", "--kernel", "k", "--net", "t,mac=01:00:00:00:00:00"],
      ["--name", "x", "--kernel", "k", "--disk", ",ro"], ["--name", "x", "--kernel", "k", "--disk", "d,rw"],
      ["--name", "x", "--boot", "bios", "--kernel", "k"], ["--name", "x", "--boot", "uefi"],
      ["--name", "x", "--kernel", "k", "--uefi-vars", "v"], ["--name", "x", "--kernel", "k", "--cpu", "best"],
      ["--name", "x", "--kernel", "k", "--disk", "d,bus=usb"],
      ["--name", "x", "--kernel", "k", "--module", ",cmdline=a"],
      ["--name", "x", "--kernel", "k", "--vnc", "unix:s", "--display", "none"],
      ["--name", "x", "--kernel", "k", "--net", "t,model=ne2000"],
      ["--name", "x", "--kernel", "k", "--net", "t,vhost=maybe"],
      ["--name", "x", "--disk", "a,bus=ide", "--cdrom", "1", "--cdrom", "2", "--cdrom", "3", "--cdrom", "4"],
      ["--name", "x", "--kernel", "k", "--control", "stdio"], ["--name", "x", "--kernel", "k", "--control", "unix:"],
      ["--name", "x", "--kernel", "k", "--serial", "tcp:1"], ["--name", "x", "--kernel", "k", "--bot", "linux"],
    ])
  func mistakes(arguments: [String]) {
    #expect(throws: ArgumentError.self) { try MachineConfiguration(arguments: arguments) }
  }
}
