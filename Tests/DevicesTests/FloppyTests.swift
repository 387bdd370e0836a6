import TestMachine
import Testing

@testable import Devices

@Suite struct FloppyTests {
  private let memory = TestMemory()
  private let line = TestLine()
  private let dma: ISADMA<TestMemory>
  private let store = TestStore(sectors: 2880)
  private let floppy: FloppyController<TestStore, TestLine, TestMemory>

  init() {
    dma = ISADMA(memory: memory)
    floppy = FloppyController(drives: [.disk(store), .empty], interrupt: line, dma: dma)
    write(0, 2)
    write(0x1C, 2)  // out of reset, interrupts and DMA, motor of drive 0
    for _ in 0..<4 { _ = run([0x08]) }
    write(0, 7)  // 500 kb/s
  }

  private func read(_ register: UInt64) -> UInt8 { UInt8(floppy.read(at: register, width: .byte)) }
  private func write(_ value: UInt8, _ register: UInt64) { floppy.write(UInt64(value), at: register, width: .byte) }

  /// Writes a command by the main status register, and reads its result.
  private func run(_ bytes: [UInt8]) -> [UInt8] {
    for byte in bytes {
      #expect(read(4) & 0xC0 == 0x80)
      write(byte, 5)
    }
    var results: [UInt8] = []
    while read(4) & 0xC0 == 0xC0, results.count < 16 { results.append(read(5)) }
    return results
  }

  private func setDMA(mode: UInt64, address: UInt64, count: UInt64) {
    let ports = ISADMA.Ports(dma, .first)
    let writes: [(UInt64, UInt64)] = [
      (0x06, 0x0A), (0, 0x0C), (mode, 0x0B), (address & 0xFF, 4), (address >> 8 & 0xFF, 4), ((count - 1) & 0xFF, 5),
      ((count - 1) >> 8, 5), (0x02, 0x0A),
    ]
    for (value, port) in writes { ports.write(value, at: port, width: .byte) }
    ISADMA.Ports(dma, .pages).write(address >> 16, at: 1, width: .byte)
  }

  @Test func reset() {
    write(0, 2)
    #expect(read(4) == 0)
    #expect(!line.isHigh)
    write(0x0C, 2)
    #expect(line.isHigh)
    #expect(read(4) == 0x80)
    for drive in 0..<UInt8(4) { #expect(run([0x08]) == [0xC0 | drive, 0]) }
    #expect(!line.isHigh)
    #expect(run([0x08]) == [0x80])  // nothing is left to tell
    // By the data rate select register, and with the gate closed.
    write(0x04, 2)
    write(0x80, 4)
    #expect(!line.isHigh)
    write(0x0C, 2)
    #expect(line.isHigh)
  }

  /// How Linux tells an 82077AA (`get_fdc_version`).
  @Test func identification() {
    #expect(run([0x13, 0, 0x5A, 0x07]).isEmpty)
    #expect(run([0x03, 0xAF, 0x02]).isEmpty)
    #expect(run([0x0E]) == [0, 0, 0, 0, 0xAF, 0x02, 0, 0, 0x5A, 0x07])
    #expect(run([0x10]) == [0x90])
    #expect(run([0x12, 0x80]).isEmpty)
    #expect(run([0x14]) == [0x00])
    #expect(run([0x18]) == [0x80])  // PART ID is of later chips
    #expect(run([0x94]) == [0x10])
    write(0, 2)
    write(0x1C, 2)
    #expect(Array(run([0x0E]).suffix(3)) == [0x80, 0x5A, 0x07])  // locked: kept over a reset
  }

  @Test func seeks() {
    #expect(read(7) == 0x80)  // the disk was changed
    #expect(run([0x0F, 0x00, 40]).isEmpty)
    #expect(line.isHigh)
    #expect(run([0x08]) == [0x20, 40])
    #expect(!line.isHigh)
    #expect(read(7) == 0)
    #expect(run([0x04, 0x00]) == [0x28])
    #expect(run([0x07, 0x00]).isEmpty)
    #expect(run([0x08]) == [0x20, 0])
    #expect(run([0x04, 0x04]) == [0x3C])
    #expect(run([0xCF, 0x00, 5]).isEmpty)
    #expect(run([0x08]) == [0x20, 5])
    #expect(run([0x8F, 0x00, 9]).isEmpty)
    #expect(run([0x08]) == [0x20, 0])
    // A drive that is not there.
    #expect(run([0x07, 0x02]).isEmpty)
    #expect(run([0x08]) == [0x72, 0])
  }

  @Test func readID() {
    #expect(run([0x4A, 0x04]) == [0x04, 0, 0, 0, 1, 1, 2])
    #expect(line.edges % 2 == 0)
    write(2, 7)  // at 250 kb/s there are no address marks
    #expect(run([0x4A, 0x00]) == [0x40, 0x01, 0, 0, 0, 0, 0])
    write(0, 7)
    #expect(run([0x4A, 0x01]) == [0x41, 0x01, 0, 0, 0, 0, 0])  // no disk
  }

  @Test func reads() throws {
    setDMA(mode: 0x46, address: 0x2_0000, count: 512)
    #expect(run([0xE6, 0, 0, 0, 3, 2, 18, 0x1B, 0xFF]) == [0x00, 0, 0, 0, 0, 4, 2])
    #expect(try memory.bytes(at: GuestAddress(0x2_0000), count: 513) == sectors(2, 1) + [0])
    // Across the heads with MT, to the end of the cylinder.
    _ = run([0x0F, 0, 7])
    _ = run([0x08])
    setDMA(mode: 0x46, address: 0x2_0000, count: 20 * 512)
    #expect(run([0xE6, 0, 7, 0, 17, 2, 18, 0x1B, 0xFF]) == [0x04, 0, 0, 8, 0, 1, 2])
    #expect(try memory.bytes(at: GuestAddress(0x2_0000), count: 20 * 512) == sectors(7 * 36 + 16, 20))
    // Without MT the track's end is the end.
    setDMA(mode: 0x46, address: 0x2_0000, count: 4 * 512)
    #expect(run([0x66, 0, 7, 0, 17, 2, 18, 0x1B, 0xFF]) == [0x40, 0x80, 0, 8, 0, 1, 2])
    // Another cylinder than the heads are on; then with implied seek.
    #expect(run([0xE6, 0, 9, 0, 1, 2, 18, 0x1B, 0xFF]) == [0x40, 0x04, 0x10, 9, 0, 1, 2])
    _ = run([0x13, 0, 0x40, 0])
    setDMA(mode: 0x46, address: 0x2_0000, count: 512)
    #expect(run([0xE6, 4, 9, 1, 1, 2, 18, 0x1B, 0xFF]) == [0x04, 0, 0, 9, 1, 2, 2])
    #expect(try memory.bytes(at: GuestAddress(0x2_0000), count: 512) == sectors(9 * 36 + 18, 1))
    // Sectors that are not there, sizes that are not, a masked channel.
    #expect(run([0xE6, 0, 9, 0, 19, 2, 19, 0x1B, 0xFF])[1] == 0x04)
    #expect(run([0xE6, 0, 9, 0, 0, 2, 18, 0x1B, 0xFF])[1] == 0x04)
    #expect(run([0xE6, 0, 9, 1, 1, 2, 18, 0x1B, 0xFF])[1] == 0x04)
    #expect(run([0xE6, 0, 9, 0, 1, 3, 18, 0x1B, 0xFF])[1] == 0x04)
    #expect(run([0xE6, 0, 9, 0, 1, 2, 18, 0x1B, 0xFF])[1] == 0x10)
    #expect(run([0xF6, 0, 9, 0, 1, 2, 18, 0x1B, 0xFF]) == [0x04, 0, 0, 10, 0, 1, 2])  // VERIFY
  }

  @Test func writes() throws {
    let data = (0..<1024).map { UInt8(truncatingIfNeeded: $0 * 5) }
    try memory.write(data, at: GuestAddress(0x2_0000))
    setDMA(mode: 0x4A, address: 0x2_0000, count: 1024)
    #expect(run([0xC5, 0, 0, 0, 5, 2, 18, 0x1B, 0xFF]) == [0x00, 0, 0, 0, 0, 7, 2])
    #expect(store.bytes(sector: 4, count: 3) == data + sectors(6, 1))
    // Terminal count in the middle of a sector.
    setDMA(mode: 0x4A, address: 0x2_0000, count: 2)
    #expect(run([0xC5, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF])[0] == 0)
    #expect(store.bytes(sector: 0) == [0, 5] + [UInt8](repeating: 0, count: 510))
    #expect(floppy.insert(TestStore(sectors: 2880, isReadOnly: true), drive: 0))
    #expect(run([0xC5, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF]) == [0x40, 0x02, 0, 0, 0, 1, 2])
    #expect(run([0x04, 0])[0] & 0x40 != 0)
    #expect(run([0x4D, 0, 2, 18, 0x1B, 0xF6]) == [0x40, 0x02, 0, 0, 0, 0, 2])  // FORMAT
  }

  @Test func badMedium() {
    store.spoil(1)
    setDMA(mode: 0x46, address: 0x2_0000, count: 1024)
    #expect(run([0xE6, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF]) == [0x40, 0x20, 0, 0, 0, 2, 2])
    #expect(line.edges > 0 && !line.isHigh)
  }

  @Test func formats() {
    let expected: [(Int, UInt8, UInt8, UInt8, UInt8)] = [
      (720, 40, 9, 2, 1), (1440, 80, 9, 2, 3), (2400, 80, 15, 0, 2), (2880, 80, 18, 0, 4), (5760, 80, 36, 3, 5),
    ]
    for (sectors, cylinders, perTrack, rate, drive) in expected {
      let format = FloppyFormat(bytes: UInt64(sectors * 512))
      #expect(format?.cylinders == cylinders)
      #expect(format?.sectors == perTrack)
      #expect(format?.rate == rate)
      #expect(format?.driveType == drive)
      #expect(format?.offset(cylinder: cylinders - 1, head: 1, sector: perTrack) == UInt64(sectors - 1) * 512)
    }
    #expect(FloppyFormat(bytes: 1000) == nil)
    #expect(!floppy.insert(TestStore(sectors: 3), drive: 0))
    #expect(!floppy.insert(store, drive: 3))
  }

  @Test func randomAccesses() {
    var random = SeededNumbers(72)
    let ports = [ISADMA.Ports(dma, .first), ISADMA.Ports(dma, .second), ISADMA.Ports(dma, .pages)]
    let codes: [UInt8] = [
      0x02, 0x03, 0x04, 0x45, 0xE6, 0x07, 0x08, 0x4A, 0x4D, 0x0E, 0x0F, 0x10, 0x12, 0x13, 0x14, 0xF6,
    ]
    var ended = 0
    for _ in 0..<20_000 {
      let value = UInt8.random(in: 0...255, using: &random)
      switch Int.random(in: 0..<10, using: &random) {
      case 0: write(value, UInt64.random(in: 0..<9, using: &random))
      case 1: _ = read(UInt64.random(in: 0..<9, using: &random))
      case 2: ports[Int(value % 3)].write(UInt64(value), at: UInt64.random(in: 0..<40, using: &random), width: .byte)
      case 3: _ = ports[Int(value % 3)].read(at: UInt64.random(in: 0..<40, using: &random), width: .word)
      case 4: setDMA(mode: value & 1 == 0 ? 0x46 : 0x4A, address: UInt64(value) << 11, count: 1024)
      case 5:
        write(0x1C, 2)
        write(0, 7)
      default:
        while read(4) & 0xC0 == 0xC0 { _ = read(5) }
        write(codes.randomElement(using: &random) ?? 0, 5)
        for _ in 0..<8 where read(4) & 0xD0 == 0x90 { write(UInt8.random(in: 0..<20, using: &random), 5) }
        if read(4) & 0xC0 == 0xC0, read(5) & 0xC0 == 0 { ended += 1 }
      }
    }
    #expect(ended > 1000)
  }
}
