import Devices
import Platform
import Testing

@testable import Hypervisor

@Suite("MultiProcessor Specification's table")
struct MPTableTests {
  private func table(cpus: Int, at address: UInt64 = 0xF_1234) -> MPTable {
    MPTable(
      ACPIDescription(
        cpus: cpus, powerManagement: 0x600, powerOffType: 5, memoryWindow: AddressMap.pciWindow,
        pciInterrupts: [10, 10, 11, 11], wire: { PCIBus.wire(device: $0, pin: $1) }),
      at: address)
  }

  /// Entries by type.
  private func entries(_ table: MPTable) -> [[UInt8]] {
    var entries: [[UInt8]] = []
    var at = 16 + 44
    while at < table.bytes.count {
      let count = table.bytes[at] == 0 ? 20 : 8
      entries.append(Array(table.bytes[at..<(at + count)]))
      at += count
    }
    return entries
  }

  @Test("the floating pointer and the header sum up to zero and lead to the entries", arguments: [1, 2, 64, 254])
  func structure(cpus: Int) {
    let table = table(cpus: cpus)
    #expect(table.address == 0xF_1240)
    let pointer = Array(table.bytes.prefix(16))
    #expect(String(decoding: pointer.prefix(4), as: UTF8.self) == "_MP_" && pointer.reduce(0, &+) == 0)
    #expect(pointer.little(UInt32.self, at: 4) == 0xF_1250)
    #expect(pointer[8] == 1 && pointer[9] == 4 && pointer[11] == 0 && pointer[12] & 0x80 == 0)
    let rest = Array(table.bytes.dropFirst(16))
    #expect(String(decoding: rest.prefix(4), as: UTF8.self) == "PCMP" && rest.reduce(0, &+) == 0)
    #expect(Int(rest.little(UInt16.self, at: 4)) == rest.count && rest[6] == 4)
    #expect(rest.little(UInt32.self, at: 36) == 0xFEE0_0000)
    let entries = entries(table)
    #expect(Int(rest.little(UInt16.self, at: 34)) == entries.count)
    // Entries are in ascending order of their types (4.3).
    #expect(entries.map { $0[0] } == entries.map { $0[0] }.sorted())
    #expect(Int(table.address) + table.bytes.count <= 0x10_0000)
  }

  @Test("processors, buses, the I/O APIC with an id of its own, and every interrupt")
  func contents() throws {
    let entries = entries(table(cpus: 3))
    let cpus = entries.filter { $0[0] == 0 }
    #expect(cpus.map { $0[1] } == [0, 1, 2] && cpus.map { $0[3] } == [3, 1, 1])
    #expect(entries.filter { $0[0] == 1 }.map { String(decoding: $0[2...], as: UTF8.self) } == ["PCI   ", "ISA   "])
    let chip = try #require(entries.first { $0[0] == 2 })
    #expect(chip[1] == 3 && chip[3] == 1 && chip.little(UInt32.self, at: 4) == 0xFEC0_0000)
    let assigned = entries.filter { $0[0] == 3 }
    let isa = assigned.filter { $0[4] == 1 }
    #expect(isa.map { $0[5] } == [0, 1, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 15])
    #expect(isa.allSatisfy { $0[7] == ($0[5] == 0 ? 2 : $0[5]) && $0[6] == chip[1] })
    #expect(isa.filter { $0[2] == 0xD }.map { $0[5] } == [9])
    let pci = assigned.filter { $0[4] == 0 }
    #expect(pci.count == 31 * 4 && pci.allSatisfy { $0[2] == 0xD && $0[3] == 0 })
    for entry in pci {
      let line = [10, 10, 11, 11][PCIBus.wire(device: entry[5] >> 2, pin: entry[5] & 3 + 1)]
      #expect(Int(entry[7]) == line)
    }
    #expect(entries.filter { $0[0] == 4 } == [[4, 3, 0, 0, 1, 0, 0xFF, 0], [4, 1, 0, 0, 1, 0, 0xFF, 1]])
  }

  @Test("it goes behind the ACPI tables, and nowhere else")
  func placement() throws {
    let memory = try GuestRAM(count: 2 << 20)
    try table(cpus: 2).write(to: memory)
    #expect(memory.text(0xF_1240).hasPrefix("_MP_"))
    #expect(throws: HypervisorError.self) { try table(cpus: 2, at: 0xF_FFF0).write(to: memory) }
    #expect(throws: HypervisorError.self) { try table(cpus: 2, at: 0xE_0000).write(to: memory) }
  }
}
