import Synchronization
import TestMachine
import Testing

@testable import Devices

/// QEMU, docs/specs/fw_cfg.rst.
@Suite struct FirmwareConfigurationTests {
  private static let descriptor: UInt64 = 0x1000
  private static let target: UInt64 = 0x20000

  private let memory = TestMemory()

  private func make<E: Error>(
    _ fill: (inout FirmwareItems) throws(E) -> Void
  ) throws(E) -> FirmwareConfiguration<TestMemory> {
    var items = FirmwareItems()
    try fill(&items)
    return FirmwareConfiguration(items, memory: memory)
  }

  private func select(_ device: FirmwareConfiguration<TestMemory>, _ key: UInt16) {
    device.write(UInt64(key), at: 0, width: .word)
  }

  private func bytes(_ device: FirmwareConfiguration<TestMemory>, _ key: UInt16, _ count: Int) -> [UInt8] {
    select(device, key)
    return (0..<count).map { _ in UInt8(truncatingIfNeeded: device.read(at: 1, width: .byte)) }
  }

  /// Starts a transfer as SeaBIOS does: the low half of the descriptor's address, big-endian. What remains of the
  /// control field.
  private func transfer(
    _ device: FirmwareConfiguration<TestMemory>, _ control: UInt32, _ length: UInt32, _ address: UInt64,
    at descriptor: UInt64 = descriptor
  ) throws -> UInt32 {
    try memory.storeUInt32(control.byteSwapped, at: GuestAddress(descriptor))
    try memory.storeUInt32(length.byteSwapped, at: GuestAddress(descriptor + 4))
    try memory.storeUInt64(address.byteSwapped, at: GuestAddress(descriptor + 8))
    device.write(UInt64(UInt32(truncatingIfNeeded: descriptor).byteSwapped), at: 8, width: .doubleWord)
    return try memory.loadUInt32(at: GuestAddress(descriptor)).byteSwapped
  }

  @Test func signatureAndInterface() {
    let device = make { _ in }
    #expect(bytes(device, 0, 6) == [0x51, 0x45, 0x4D, 0x55, 0, 0])
    #expect(bytes(device, 1, 4) == [3, 0, 0, 0])
    // A guest reads "QEMU CFG" in the order of memory.
    #expect(device.read(at: 4, width: .doubleWord) == 0x554D_4551)
    #expect(device.read(at: 8, width: .doubleWord) == 0x4746_4320)
    #expect(device.read(at: 5, width: .byte) == 0x45)
    #expect(device.read(at: 4, width: .quadWord) == 0x4746_4320_554D_4551)
    #expect(device.read(at: 10, width: .doubleWord) == 0xFFFF_FFFF)
    #expect(bytes(device, 0x3333, 4) == [0, 0, 0, 0])
  }

  @Test func machineKeys() {
    let device = make { $0.setMachine(uuid: Array(1...16), memory: 0x1_4000_0000, cpus: 3, hasScreen: false) }
    #expect(bytes(device, 2, 16) == Array(1...16))
    #expect(bytes(device, 3, 8) == [0, 0, 0, 0x40, 1, 0, 0, 0])
    #expect(bytes(device, 4, 2) == [1, 0])
    #expect(bytes(device, 5, 2) == [3, 0])
    #expect(bytes(device, 0x0F, 2) == [3, 0])
    #expect(bytes(device, 0x8002, 1) == [1])
    #expect(bytes(device, 0x4005, 2) == [3, 0])  // the old write channel
  }

  @Test func directoryIsSortedAndBigEndian() throws {
    let device = try make { items in
      try items.add("etc/e820", [1, 2, 3])
      try items.add("bootorder", Array(repeating: 7, count: 258))
      try items.addGenerated([("etc/acpi/tables", 4096)]) { [[0xAA]] }
    }
    let directory = bytes(device, 0x19, 4 + 3 * 64)
    #expect(Array(directory[0..<4]) == [0, 0, 0, 3])
    func entry(_ index: Int) -> (UInt32, UInt16, String) {
      let at = 4 + index * 64
      let size = directory[at..<(at + 4)].reduce(0 as UInt32) { $0 << 8 | UInt32($1) }
      let key = directory[(at + 4)..<(at + 6)].reduce(0 as UInt16) { $0 << 8 | UInt16($1) }
      return (size, key, String(decoding: directory[(at + 8)..<(at + 64)].prefix { $0 != 0 }, as: UTF8.self))
    }
    #expect(entry(0) == (258, 0x20, "bootorder"))
    #expect(entry(1) == (4096, 0x21, "etc/acpi/tables"))
    #expect(entry(2) == (3, 0x22, "etc/e820"))
    #expect(bytes(device, 0x22, 4) == [1, 2, 3, 0])
    #expect(bytes(device, 0x21, 2) == [0xAA, 0])
  }

  @Test func badFilesAreRefused() throws {
    var items = FirmwareItems()
    let name = String(repeating: "n", count: 55)
    try items.add(name, [])
    #expect(throws: FirmwareConfigurationError.duplicate(name)) { try items.add(name, []) }
    #expect(throws: FirmwareConfigurationError.badName(name + "n")) { try items.add(name + "n", []) }
    #expect(throws: FirmwareConfigurationError.badName("")) { try items.add("", []) }
    #expect(throws: FirmwareConfigurationError.tooMuch("x")) {
      try items.addGenerated([("x", 1 << 32)]) { [] }
    }
  }

  /// Files of one group are made together, once, when the first is selected.
  @Test func generatedFiles() throws {
    let made = Mutex(0)
    let device = try make { items in
      try items.addGenerated([("a", 4), ("b", 2)]) {
        let count = made.withLock { made in
          made += 1
          return UInt8(made)
        }
        return [[count], [count, count, count]]
      }
    }
    _ = bytes(device, 0x19, 8)
    #expect(made.withLock { $0 } == 0)
    #expect(bytes(device, 0x21, 3) == [1, 1, 0])  // cut to its two bytes
    #expect(bytes(device, 0x20, 4) == [1, 0, 0, 0])
    #expect(made.withLock { $0 } == 1)
  }

  @Test func dmaReadsSkipsAndPads() throws {
    let content = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 / 256 ^ $0) }
    let device = try make { try $0.add("blob", content) }
    // Select and read at once, in more than one piece.
    #expect(try transfer(device, 0x20 << 16 | 0x0A, 150_000, Self.target) == 0)
    #expect(try memory.bytes(at: GuestAddress(Self.target), count: 150_000) == Array(content.prefix(150_000)))
    // Skip, then what is left and zeros behind it.
    #expect(try transfer(device, 0x04, 49_990, 0) == 0)
    try memory.write([UInt8](repeating: 0xEE, count: 20), at: GuestAddress(Self.target))
    #expect(try transfer(device, 0x02, 16, Self.target) == 0)
    #expect(
      try memory.bytes(at: GuestAddress(Self.target), count: 17)
        == Array(content[199_990...]) + [0, 0, 0, 0, 0, 0, 0xEE])
    // Nothing is selected by an unknown key, which reads as zeros.
    #expect(try transfer(device, 0x3000 << 16 | 0x0A, 4, Self.target) == 0)
    #expect(try memory.bytes(at: GuestAddress(Self.target), count: 4) == [0, 0, 0, 0])
    // Selection alone, as OVMF uses it; the data port goes on where DMA ended.
    #expect(try transfer(device, 0x20 << 16 | 0x08, 0, 0) == 0)
    #expect(try transfer(device, 0x04, 3, 0) == 0)
    #expect(device.read(at: 1, width: .byte) == UInt64(content[3]))
  }

  @Test func dmaAddressInTwoHalves() throws {
    let device = try make { try $0.add("blob", [5]) }
    // A descriptor above 4 GiB is not there, and the upper half counts once.
    device.write(UInt64(UInt32(1).byteSwapped), at: 4, width: .doubleWord)
    #expect(try transfer(device, 0x20 << 16 | 0x0A, 1, Self.target) == 0x20 << 16 | 0x0A)
    #expect(try transfer(device, 0x20 << 16 | 0x0A, 1, Self.target) == 0)
    #expect(try memory.bytes(at: GuestAddress(Self.target), count: 1) == [5])
    // All 64 bits in one write.
    try memory.storeUInt32((0x02 as UInt32).byteSwapped, at: GuestAddress(Self.descriptor))
    device.write(Self.descriptor.byteSwapped, at: 4, width: .quadWord)
    #expect(try memory.loadUInt32(at: GuestAddress(Self.descriptor)) == 0)
  }

  @Test func dmaThatCannotBe() throws {
    let device = try make { try $0.add("blob", [UInt8](repeating: 1, count: 64)) }
    let read: UInt32 = 0x20 << 16 | 0x0A
    #expect(try transfer(device, read, 64, TestMemory.hole.lowerBound - 32) == 1)  // runs into a hole
    #expect(try transfer(device, read, 64, .max - 10) == 1)  // leaves the address space
    #expect(try transfer(device, read, 64, 1 << 40) == 1)
    #expect(try transfer(device, 0x20 << 16 | 0x18, 4, Self.target) == 1)  // not writable
    #expect(try transfer(device, 0x04, .max, 0) == 0)
    #expect(try transfer(device, 0x02, 0, 0) == 0)
    // A descriptor in a hole is answered by nothing at all, one that overlaps its own target is.
    device.write(UInt64(UInt32(TestMemory.hole.lowerBound).byteSwapped), at: 8, width: .doubleWord)
    #expect(try transfer(device, read, 64, Self.descriptor) == 0)
  }

  /// More zeros than 1 MiB are refused at once, whatever RAM there is.
  @Test func dmaIsBounded() throws {
    let large = TestMemory(count: 4 << 20)
    let device = FirmwareConfiguration(FirmwareItems(), memory: large)
    for (length, expected) in [(1 << 20 as UInt32, 0 as UInt32), (1 << 20 + 1, 1)] {
      try large.write([0xEE], at: GuestAddress(0x10_0000))
      try large.storeUInt32((0x3000 << 16 | 0x0A as UInt32).byteSwapped, at: GuestAddress(0x1000))
      try large.storeUInt32(length.byteSwapped, at: GuestAddress(0x1004))
      try large.storeUInt64((0x10_0000 as UInt64).byteSwapped, at: GuestAddress(0x1008))
      device.write(UInt64((0x1000 as UInt32).byteSwapped), at: 8, width: .doubleWord)
      #expect(try large.loadUInt32(at: GuestAddress(0x1000)).byteSwapped == expected)
      #expect(try large.bytes(at: GuestAddress(0x10_0000), count: 1) == [expected == 0 ? 0 : 0xEE])
    }
  }

  @Test func fuzz() throws {
    var random = SeededNumbers(21)
    let device = try make { items in
      items.setMachine(uuid: Array(1...16), memory: 1 << 30, cpus: 1, hasScreen: true)
      try items.add("bytes", Array(0...255))
      try items.add("long", [UInt8](repeating: 1, count: 70_000))
      try items.addGenerated([("g", 32)]) { [] }
    }
    let widths: [AccessWidth] = [.byte, .word, .doubleWord, .quadWord]
    for round in 0..<20_000 {
      let width = widths[Int.random(in: 0..<4, using: &random)]
      let offset = UInt64.random(in: 0..<14, using: &random)
      let value = UInt64.random(in: 0...(.max), using: &random)
      device.write(value & width.mask, at: offset, width: width)
      _ = device.read(at: offset, width: width)
      select(device, UInt16(truncatingIfNeeded: value & 0x3F))
      if round % 4 == 0 {
        let control = UInt32(truncatingIfNeeded: value & 0x3F) << 16 | UInt32(truncatingIfNeeded: value >> 8 & 0x3F)
        let length = UInt32.random(in: 0..<0x10000, using: &random) << (value & 0x100 == 0 ? 0 : 12)
        let target = value & 0x200 == 0 ? UInt64.random(in: 0..<0x12_0000, using: &random) : value
        let at = UInt64.random(in: 0..<0x8100, using: &random)
        if memory.contains(GuestSegment(address: GuestAddress(at), count: 16)) {
          _ = try transfer(device, control, length, target, at: at)
        }
      }
    }
    #expect(bytes(device, 0, 4) == [0x51, 0x45, 0x4D, 0x55])
  }
}

@Suite struct BootOrderTests {
  /// The paths that SeaBIOS's src/boot.c and OVMF's QemuBootOrderLib give as examples.
  @Test func paths() {
    #expect(BootOrder.path(.virtioBlock(PCIAddress(device: 6))) == "/pci@i0cf8/scsi@6/disk@0,0")
    #expect(BootOrder.path(.virtioBlock(PCIAddress(device: 0x1E, function: 3))) == "/pci@i0cf8/scsi@1e,3/disk@0,0")
    #expect(
      BootOrder.path(.virtioSCSI(PCIAddress(device: 7), target: 2, unit: 3)) == "/pci@i0cf8/scsi@7/channel@0/disk@2,3")
    let ide = PCIAddress(device: 1, function: 1)
    #expect(BootOrder.path(.ide(ide, isSecondary: false, isSlave: false)) == "/pci@i0cf8/ide@1,1/drive@0/disk@0")
    #expect(BootOrder.path(.ide(ide, isSecondary: true, isSlave: true)) == "/pci@i0cf8/ide@1,1/drive@1/disk@1")
    #expect(
      BootOrder.path(.floppy(bridge: PCIAddress(device: 1), drive: 0)) == "/pci@i0cf8/isa@1/fdc@03f0/floppy@0")
    #expect(BootOrder.path(.network(PCIAddress(device: 3))) == "/pci@i0cf8/ethernet@3/ethernet-phy@0")
    #expect(BootOrder.path(.file("genroms/linuxboot_dma.bin")) == "/rom@genroms/linuxboot_dma.bin")
  }

  @Test func file() {
    let file = BootOrder.file([.virtioBlock(PCIAddress(device: 4)), .halt])
    #expect(String(decoding: file, as: UTF8.self) == "/pci@i0cf8/scsi@4/disk@0,0\nHALT\0")
    #expect(BootOrder.file([]).isEmpty)
  }
}

@Suite struct TableLoaderTests {
  /// Entries of 128 bytes: command, names of 56 bytes, little-endian numbers.
  @Test func entries() {
    var script = TableLoader()
    script.allocate("etc/acpi/tables", alignment: 64, zone: .high)
    script.addPointer(in: "a", at: 0x1234, size: 8, to: "b")
    script.addChecksum(in: "a", at: 9, over: 4..<40)
    let bytes = script.bytes
    #expect(bytes.count == 3 * 128)
    #expect(Array(bytes[0..<4]) == [1, 0, 0, 0])
    #expect(Array(bytes[4..<20]) == Array("etc/acpi/tables".utf8) + [0])
    #expect(Array(bytes[60..<65]) == [64, 0, 0, 0, 1])
    #expect(Array(bytes[128..<134]) == [2, 0, 0, 0, 0x61, 0])
    #expect(bytes[128 + 60] == 0x62)
    #expect(Array(bytes[(128 + 116)..<(128 + 121)]) == [0x34, 0x12, 0, 0, 8])
    #expect(Array(bytes[256..<262]) == [3, 0, 0, 0, 0x61, 0])
    #expect(Array(bytes[(256 + 60)..<(256 + 72)]) == [9, 0, 0, 0, 4, 0, 0, 0, 36, 0, 0, 0])
  }
}
