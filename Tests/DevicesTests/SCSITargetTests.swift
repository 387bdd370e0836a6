import TestMachine
import Testing

@testable import Devices

/// A disk of 2000 blocks whose power-on attention is over.
private func makeDisk(isReadOnly: Bool = false, canDiscard: Bool = true, capacity: UInt64 = 1_024_000) -> SCSITarget {
  var target = SCSITarget(
    kind: .disk, capacity: capacity, serial: "serial-1", isReadOnly: isReadOnly, canDiscard: canDiscard)
  _ = target.execute([0])
  return target
}

extension SCSITarget {
  /// What was replied; nil for any other outcome.
  mutating func data(_ command: [UInt8]) -> [UInt8]? {
    if case .reply(let data) = execute(command) { data } else { nil }
  }
}

@Suite struct SCSIDiskTests {
  private var target = makeDisk()

  /// The first command but INQUIRY and its like hears of the reset (SPC-3, 5.9.4).
  @Test mutating func powerOnAttention() {
    var target = SCSITarget(kind: .disk, capacity: 512, serial: "1")
    #expect(target.data([0x12, 0, 0, 0, 36, 0])?.count == 36)
    #expect(target.execute([0]) == .checkCondition(.reset))
    #expect(target.execute([0]) == .reply([]))
    target.reset()
    // REQUEST SENSE takes it too.
    #expect(target.data([3, 0, 0, 0, 18, 0]) == [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0])
    #expect(target.execute([0]) == .reply([]))
  }

  /// SPC-3, 6.4.2.
  @Test mutating func inquiry() throws {
    let dataReply = target.data([0x12, 0, 0, 0, 96, 0])
    let data = try #require(dataReply)
    #expect(data.prefix(8) == [0, 0, 5, 2, 31, 0, 0, 2])
    #expect(Array(data[8..<36]) == Array("ROOST   DISK            1.0 ".utf8))
    #expect(target.data([0x12, 0, 0, 0, 5, 0]) == [0, 0, 5, 2, 31])
    #expect(target.data([0x12, 0, 0, 0, 0, 0]) == [])
    #expect(target.execute([0x12, 0, 1, 0, 96, 0]) == .checkCondition(.invalidField))
  }

  @Test mutating func vitalProductData() throws {
    #expect(target.data([0x12, 1, 0, 0, 96, 0]) == [0, 0, 0, 6, 0, 0x80, 0x83, 0xB0, 0xB1, 0xB2])
    #expect(target.data([0x12, 1, 0x80, 0, 96, 0]) == [0, 0x80, 0, 8] + Array("serial-1".utf8))
    let identificationReply = target.data([0x12, 1, 0x83, 0, 96, 0])
    let identification = try #require(identificationReply)
    #expect(identification.prefix(8) == [0, 0x83, 0, 36, 2, 1, 0, 32])
    #expect(Array(identification.dropFirst(8)) == Array("ROOST   DISK            serial-1".utf8))
    let limitsReply = target.data([0x12, 1, 0xB0, 0, 96, 0])
    let limits = try #require(limitsReply)
    #expect(limits.count == 64)
    #expect(limits.prefix(5) == [0, 0xB0, 0, 60, 1])
    // 1 GiB and one descriptor for UNMAP, 1 GiB for WRITE SAME.
    #expect(limits[20..<28] == [0, 0x20, 0, 0, 0, 0, 0, 1])
    #expect(limits[36..<44] == [0, 0, 0, 0, 0, 0x20, 0, 0])
    #expect(target.data([0x12, 1, 0xB1, 0, 6, 0]) == [0, 0xB1, 0, 60, 0, 1])
    #expect(target.data([0x12, 1, 0xB2, 0, 96, 0]) == [0, 0xB2, 0, 4, 0, 0xE0, 2, 0])
    #expect(target.execute([0x12, 1, 0xC0, 0, 96, 0]) == .checkCondition(.invalidField))
    var plain = makeDisk(canDiscard: false)
    #expect(plain.data([0x12, 1, 0, 0, 96, 0]) == [0, 0, 0, 5, 0, 0x80, 0x83, 0xB0, 0xB1])
    #expect(plain.execute([0x12, 1, 0xB2, 0, 96, 0]) == .checkCondition(.invalidField))
  }

  @Test mutating func capacity() {
    #expect(target.data([0x25]) == [0, 0, 7, 0xCF, 0, 0, 2, 0])
    #expect(target.execute([0x25, 0, 0, 0, 0, 1]) == .checkCondition(.invalidField))
    let long = target.data([0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0])
    #expect(long == [0, 0, 0, 0, 0, 0, 7, 0xCF, 0, 0, 2, 0, 0, 0, 0x80, 0] + [UInt8](repeating: 0, count: 16))
    #expect(target.execute([0x9E, 0x11]) == .checkCondition(.invalidField))
    // Beyond 2 TiB the short form says so (SBC-3, 5.15.2).
    var large = makeDisk(capacity: 1 << 42)
    #expect(large.data([0x25]) == [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 2, 0])
    target.resize(capacity: 512)
    #expect(target.execute([0]) == .checkCondition(.capacityChanged))
    #expect(target.data([0x25]) == [0, 0, 0, 0, 0, 0, 2, 0])
  }

  /// The four forms say the same.
  @Test mutating func readsAndWrites() {
    let wanted = SCSIOutcome.read(offset: 0x102 * 512, count: 3 * 512)
    #expect(target.execute([0x08, 0, 1, 2, 3, 0]) == wanted)
    #expect(target.execute([0x28, 0, 0, 0, 1, 2, 0, 0, 3, 0]) == wanted)
    #expect(target.execute([0xA8, 0, 0, 0, 1, 2, 0, 0, 0, 3, 0, 0]) == wanted)
    #expect(target.execute([0x88, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3, 0, 0]) == wanted)
    let write = SCSIOutcome.write(offset: 0x102 * 512, count: 3 * 512, flushes: false)
    #expect(target.execute([0x0A, 0, 1, 2, 3, 0]) == write)
    #expect(target.execute([0x2A, 0, 0, 0, 1, 2, 0, 0, 3, 0]) == write)
    #expect(target.execute([0xAA, 0, 0, 0, 1, 2, 0, 0, 0, 3, 0, 0]) == write)
    #expect(target.execute([0x8A, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3, 0, 0]) == write)
    // Six-byte commands have 21 bits of address, and 0 is 256 blocks; elsewhere 0 is none.
    #expect(target.execute([0x08, 0xE0, 0, 0, 0, 0]) == .read(offset: 0, count: 256 * 512))
    #expect(target.execute([0x28, 0, 0, 0, 0, 0, 0, 0, 0, 0]) == .reply([]))
    // FUA, and WRITE AND VERIFY.
    #expect(target.execute([0x2A, 8, 0, 0, 0, 0, 0, 0, 1, 0]) == .write(offset: 0, count: 512, flushes: true))
    #expect(target.execute([0x2E, 0, 0, 0, 0, 0, 0, 0, 1, 0]) == .write(offset: 0, count: 512, flushes: true))
  }

  @Test mutating func addressesBeyondTheEnd() {
    func read16(_ block: UInt64, _ count: UInt32) -> [UInt8] {
      [0x88, 0] + (0..<8).map { UInt8(truncatingIfNeeded: block >> (56 - 8 * UInt64($0))) }
        + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * UInt32($0))) } + [0, 0]
    }
    #expect(target.execute(read16(1999, 1)) == .read(offset: 1999 * 512, count: 512))
    #expect(target.execute(read16(2000, 0)) == .reply([]))
    for (block, count) in [
      (UInt64(2000), UInt32(1)), (1999, 2), (2001, 0), (.max, 1), (.max, .max), (0, .max), (1 << 55, 1), (1, 2000),
    ] {
      #expect(target.execute(read16(block, count)) == .checkCondition(.outOfRange))
    }
    #expect(target.execute([0x08, 0x1F, 0xFF, 0xFF, 0, 0]) == .checkCondition(.outOfRange))
    #expect(target.execute([0x2F, 0, 0, 0, 7, 0xD0, 0, 0, 1, 0]) == .checkCondition(.outOfRange))
    #expect(target.execute([0x35, 0, 0, 0, 7, 0xD0, 0, 0, 1, 0]) == .checkCondition(.outOfRange))
  }

  @Test mutating func fieldsThatAreNotSupported() {
    for command: [UInt8] in [
      [0x28, 0x20, 0, 0, 0, 0, 0, 0, 1, 0],  // RDPROTECT
      [0x2A, 0x20, 0, 0, 0, 0, 0, 0, 1, 0],  // WRPROTECT
      [0x2F, 0x02, 0, 0, 0, 0, 0, 0, 1, 0],  // BYTCHK
      [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 4],  // NACA
      [0, 0, 0, 0, 0, 4],
      [0x42, 1, 0, 0, 0, 0, 0, 0, 24, 0],  // ANCHOR
      [0x41, 4, 0, 0, 0, 0, 0, 0, 1, 0],  // PBDATA
      [0x41, 0, 0, 0, 0, 0, 0, 0, 0, 0],  // WSNZ
      [0x1D, 0, 0, 0, 0, 0],
      [0x1B, 0, 0, 0, 2, 0],  // LOEJ of a disk
    ] {
      #expect(target.execute(command) == .checkCondition(.invalidField), "\(command)")
    }
    for operation: UInt8 in [0x01, 0x04, 0x43, 0x46, 0x4A, 0x7F, 0xBE, 0xFF] {
      #expect(target.execute([operation]) == .checkCondition(.invalidOperation))
    }
    #expect(target.execute([]) == .reply([]))
  }

  @Test mutating func readOnlyDisk() {
    var target = makeDisk(isReadOnly: true)
    #expect(target.execute([0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0]) == .checkCondition(.writeProtected))
    #expect(target.execute([0x35]) == .reply([]))
    #expect(target.execute([0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0]) == .checkCondition(.invalidOperation))
    #expect(target.data([0x1A, 0, 8, 0, 4, 0]) == [31, 0, 0x90, 8])
  }

  @Test mutating func stoppedDisk() {
    #expect(target.execute([0x1B, 0, 0, 0, 0, 0]) == .flush)
    #expect(target.execute([0]) == .checkCondition(.stopped))
    #expect(target.execute([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]) == .checkCondition(.stopped))
    #expect(target.execute([0x1B, 0, 0, 0, 1, 0]) == .reply([]))
    #expect(target.execute([0]) == .reply([]))
  }

  @Test mutating func unmap() {
    let command: [UInt8] = [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0]
    #expect(target.execute(command) == .parameters(count: 24))
    func list(_ block: UInt8, _ count: [UInt8]) -> [UInt8] {
      [0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, block] + count + [0, 0, 0, 0]
    }
    let unmap = SCSICommand(command)
    #expect(
      target.execute(unmap, parameters: list(2, [0, 0, 0, 8])) == .discard(offset: 1024, count: 4096))
    #expect(target.execute(unmap, parameters: list(2, [0, 0, 0, 0])) == .reply([]))
    #expect(target.execute(unmap, parameters: list(2, [0, 0, 7, 0xD0])) == .checkCondition(.outOfRange))
    #expect(
      target.execute(unmap, parameters: list(2, [0xFF, 0xFF, 0xFF, 0xFF])) == .checkCondition(.invalidParameter))
    #expect(target.execute(unmap, parameters: [0, 6, 0, 0, 0, 0, 0, 0]) == .reply([]))
    for wrong: [UInt8] in [
      [], [0], [0, 6, 0, 16, 0, 0, 0, 0], [0, 22, 0, 17] + [UInt8](repeating: 0, count: 21),
      Array(list(2, [0, 0, 0, 1]).prefix(23)), [0xFF, 0xFF, 0xFF, 0xF0] + [UInt8](repeating: 0, count: 40),
    ] {
      #expect(target.execute(unmap, parameters: wrong) == .checkCondition(.parameterLength))
    }
    let two = [0, 38, 0, 32] + [UInt8](repeating: 0, count: 36)
    #expect(target.execute(unmap, parameters: two) == .checkCondition(.invalidParameter))
  }

  @Test mutating func writeSame() {
    let command: [UInt8] = [0x93, 8, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 16, 0, 0]
    #expect(target.execute(command) == .parameters(count: 512))
    let zeroes = [UInt8](repeating: 0, count: 512)
    #expect(
      target.execute(SCSICommand(command), parameters: zeroes) == .writeZeroes(offset: 2048, count: 8192, unmap: true))
    #expect(
      target.execute(SCSICommand(command), parameters: zeroes.dropLast() + [1]) == .checkCondition(.invalidField))
    #expect(target.execute(SCSICommand(command), parameters: [0, 0]) == .checkCondition(.parameterLength))
    // NDOB.
    #expect(
      target.execute([0x93, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 16, 0, 0])
        == .writeZeroes(offset: 2048, count: 8192, unmap: false))
    #expect(
      target.execute([0x93, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0]) == .checkCondition(.invalidField))
    #expect(target.execute([0x41, 0, 0, 0, 7, 0xCF, 0, 0, 2, 0]) == .checkCondition(.outOfRange))
  }

  /// SPC-3, 7.4; SBC-3, 6.5.5.
  @Test mutating func cachingPage() {
    #expect(
      target.data([0x1A, 0, 0x08, 0, 0xFF, 0])
        == [31, 0, 0x10, 8, 0, 0, 7, 0xD0, 0, 0, 2, 0, 8, 18, 4] + [UInt8](repeating: 0, count: 17))
    #expect(target.data([0x5A, 8, 0x48, 0, 0, 0, 0, 0, 11, 0]) == [0, 26, 0, 0x10, 0, 0, 0, 0, 8, 18, 4])
    #expect(target.execute([0x1A, 0, 0xC8, 0, 255, 0]) == .checkCondition(.noSaving))
    #expect(target.execute([0x1A, 0, 0x2A, 0, 255, 0]) == .checkCondition(.invalidField))
    #expect(target.data([0x1A, 8, 0x3F, 0, 255, 0])?.count == 4 + 12 + 20 + 12)
    // Without the cache, what was in it is flushed, and each write from now on.
    let select = SCSICommand([0x15, 0x10, 0, 0, 24, 0])
    #expect(target.execute(select) == .parameters(count: 24))
    let page: [UInt8] = [8, 18, 0] + [UInt8](repeating: 0, count: 17)
    #expect(target.execute(select, parameters: [0, 0, 0, 0] + page) == .flush)
    #expect(target.execute([0x0A, 0, 0, 0, 1, 0]) == .write(offset: 0, count: 512, flushes: true))
    #expect(target.execute(select, parameters: [0, 0, 0, 0] + page.prefix(2) + [4] + page.dropFirst(3)) == .reply([]))
    #expect(target.execute([0x0A, 0, 0, 0, 1, 0]) == .write(offset: 0, count: 512, flushes: false))
    // Unchangeable bits, a page that is not there, half a page, another block size.
    #expect(
      target.execute(select, parameters: [0, 0, 0, 0, 8, 18, 5] + page.dropFirst(3))
        == .checkCondition(.invalidParameter))
    #expect(target.execute(select, parameters: [0, 0, 0, 0, 9, 0]) == .checkCondition(.invalidParameter))
    #expect(target.execute(select, parameters: [0, 0, 0, 0, 8, 18, 4]) == .checkCondition(.parameterLength))
    #expect(target.execute(select, parameters: [0, 0]) == .checkCondition(.parameterLength))
    #expect(
      target.execute(select, parameters: [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 4, 0]) == .checkCondition(.invalidParameter))
    #expect(target.execute(select, parameters: [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 2, 0]) == .reply([]))
  }

  @Test mutating func unitsThatAreNotThere() {
    #expect(target.data([0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0]) == [0, 0, 0, 8] + [UInt8](repeating: 0, count: 12))
    #expect(target.execute([0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0]) == .checkCondition(.invalidField))
    #expect(target.executeOnAbsentUnit(SCSICommand([0])) == .checkCondition(.noSuchUnit))
    guard case .reply(let data) = target.executeOnAbsentUnit(SCSICommand([0x12, 0, 0, 0, 36, 0])) else {
      Issue.record("no INQUIRY data")
      return
    }
    #expect(data.count == 36)
    #expect(data[0] == 0x7F)
  }

  @Test mutating func failures() {
    #expect(target.failed(.read(offset: 0, count: 512)) == .readError)
    #expect(target.failed(.flush) == .writeError)
    // SCSI sends sense with the status and keeps none.
    #expect(target.data([3, 1, 0, 0, 8, 0]) == [0x72, 0, 0, 0, 0, 0, 0, 0])
  }
}

@Suite struct SCSIDiscTests {
  private var target: SCSITarget

  init() {
    target = SCSITarget(kind: .cdrom, capacity: 2048 * 1000, serial: "disc", interface: .atapi)
    _ = target.execute([0])
    _ = target.execute([3])
  }

  @Test mutating func identity() {
    #expect(target.data([0x12, 0, 0, 0, 8, 0]) == [5, 0x80, 0, 0x21, 31, 0, 0, 0])
    #expect(target.data([0x25]) == [0, 0, 3, 0xE7, 0, 0, 8, 0])
    #expect(target.execute([0x28, 0, 0, 0, 0, 16, 0, 0, 1, 0]) == .read(offset: 32768, count: 2048))
    #expect(target.execute([0x2A, 0, 0, 0, 0, 16, 0, 0, 1, 0]) == .checkCondition(.invalidOperation))
    #expect(target.execute([0xBE, 0, 0, 0, 0, 16, 0, 0, 1, 0x10, 0, 0]) == .read(offset: 32768, count: 2048))
    #expect(target.execute([0xBE, 0, 0, 0, 0, 16, 0, 0, 1, 0xF8, 0, 0]) == .checkCondition(.wrongTrackMode))
    #expect(
      target.execute([0xBE, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x10, 0, 0]) == .checkCondition(.outOfRange))
  }

  /// MMC-5, 6.27.3.
  @Test mutating func tableOfContents() {
    #expect(
      target.data([0x43, 0, 0, 0, 0, 0, 0, 0, 100, 0])
        == [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xAA, 0, 0, 0, 3, 0xE8])
    // 1150 frames are 15 seconds and 25 frames.
    #expect(
      target.data([0x43, 2, 0, 0, 0, 0, 0xAA, 0, 100, 0]) == [0, 10, 1, 1, 0, 0x14, 0xAA, 0, 0, 0, 15, 25])
    #expect(target.data([0x43, 0, 0, 0, 0, 0, 0, 0, 4, 0]) == [0, 18, 1, 1])
    #expect(target.execute([0x43, 0, 0, 0, 0, 0, 2, 0, 4, 0]) == .checkCondition(.invalidField))
    let sessions: [UInt8] = [0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0]
    #expect(target.data([0x43, 0, 1, 0, 0, 0, 0, 0, 12, 0]) == sessions)
    #expect(target.data([0x43, 0, 0, 0, 0, 0, 0, 0, 12, 0x40]) == sessions)
    #expect(target.data([0x43, 0, 2, 0, 0, 0, 1, 1, 0, 0])?.count == 4 + 44)
    #expect(target.execute([0x43, 0, 5, 0, 0, 0, 0, 0, 12, 0]) == .checkCondition(.invalidField))
  }

  /// MMC-5, 6.6.
  @Test mutating func configuration() throws {
    let allReply = target.data([0x46, 0, 0, 0, 0, 0, 0, 1, 0, 0])
    let all = try #require(allReply)
    #expect(Int(all[3]) == all.count - 4)
    #expect(all[6..<8] == [0, 8])
    #expect(all[8..<12] == [0, 0, 3, 8])
    #expect(target.data([0x46, 2, 0, 0x1E, 0, 0, 0, 1, 0, 0]) == [0, 0, 0, 12, 0, 0, 0, 8, 0, 0x1E, 9, 4, 0, 0, 0, 0])
    // No DVD is in: the feature is not current.
    #expect(target.data([0x46, 1, 0, 0x1F, 0, 0, 0, 1, 0, 0]) == [0, 0, 0, 4, 0, 0, 0, 8])
    #expect(target.execute([0x46, 3]) == .checkCondition(.invalidField))
    target.insert(capacity: 4 << 30)
    #expect(target.data([0x46, 0, 0, 0, 0, 0, 0, 0, 8, 0])?[7] == 0x10)
  }

  @Test mutating func mediumGoesAndComes() {
    let events: [UInt8] = [0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8, 0]
    #expect(target.data(events) == [0, 6, 4, 0x10, 0, 2, 0, 0])
    #expect(target.data([0x4A, 1, 0, 0, 2, 0, 0, 0, 8, 0]) == [0, 2, 0x80, 0x10])
    #expect(target.execute([0x4A, 0, 0, 0, 0x10, 0, 0, 0, 8, 0]) == .checkCondition(.invalidField))
    #expect(target.execute([0x1E, 0, 0, 0, 1, 0]) == .reply([]))
    #expect(target.isLocked)
    #expect(target.execute([0x1B, 0, 0, 0, 2, 0]) == .checkCondition(.removalPrevented))
    target.requestEject()
    #expect(target.data(events) == [0, 6, 4, 0x10, 1, 2, 0, 0])
    #expect(target.execute([0x1E, 0, 0, 0, 0, 0]) == .reply([]))
    #expect(target.execute([0x1B, 0, 0, 0, 2, 0]) == .reply([]))
    #expect(target.isOpen)
    #expect(target.execute([0]) == .checkCondition(.trayOpen))
    #expect(target.execute([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]) == .checkCondition(.trayOpen))
    #expect(target.data(events) == [0, 6, 4, 0x10, 3, 1, 0, 0])
    #expect(target.data([0x46, 0, 0, 0, 0, 0, 0, 0, 8, 0])?[7] == 0)
    target.insert(capacity: 2048)
    #expect(target.execute([0]) == .checkCondition(.mediumChanged))
    #expect(target.data(events) == [0, 6, 4, 0x10, 2, 2, 0, 0])
    #expect(target.data([0x25]) == [0, 0, 0, 0, 0, 0, 8, 0])
    target.insert(capacity: nil)
    #expect(target.execute([0]) == .checkCondition(.noMedium))
  }

  /// ATAPI keeps sense data until it is fetched, and the next command forgets it.
  @Test mutating func senseIsKept() {
    #expect(target.execute([0xFF]) == .checkCondition(.invalidOperation))
    #expect(target.pendingSense == .invalidOperation)
    #expect(target.data([3, 0, 0, 0, 14, 0]) == [0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0])
    #expect(target.data([3, 0, 0, 0, 3, 0]) == [0x70, 0, 0])
    _ = target.failed(.read(offset: 0, count: 2048))
    #expect(target.pendingSense == .readError)
    _ = target.execute([0])
    #expect(target.pendingSense == .none)
  }

  @Test mutating func capabilitiesPage() throws {
    let pageReply = target.data([0x5A, 0, 0x2A, 0, 0, 0, 0, 1, 0, 0])
    let page = try #require(pageReply)
    #expect(page.count == 28)
    #expect(page[0..<12] == [0, 26, 0, 0, 0, 0, 0, 0, 0x2A, 18, 0x0B, 0])
    #expect(page[14] == 0x29)
    _ = target.execute([0x1E, 0, 0, 0, 1, 0])
    #expect(target.data([0x5A, 0, 0x2A, 0, 0, 0, 0, 1, 0, 0])?[14] == 0x2B)
    #expect(target.data([0x51, 0, 0, 0, 0, 0, 0, 0, 64, 0])?.count == 34)
    #expect(target.data([0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0])?.count == 8)
    #expect(target.data([0x23, 0, 0, 0, 0, 0, 0, 0, 12, 0]) == [0, 0, 0, 8, 0, 0, 3, 0xE8, 2, 0, 8, 0])
  }

  @Test mutating func discOfADVD() {
    let command: [UInt8] = [0xAD, 0, 0, 0, 0, 0, 0, 0, 8, 4, 0, 0]
    #expect(target.execute(command) == .checkCondition(SCSISense(.illegalRequest, 0x30, 0x02)))
    target.insert(capacity: 4 << 30)
    _ = target.execute([0])
    #expect(target.data(command)?.count == 2052)
  }
}

@Suite struct SCSIFuzzTests {
  /// Whatever the command, data keeps to the allocation length and transfers to the medium.
  @Test func commands() {
    var random = SeededNumbers(21)
    let capacity: UInt64 = 1 << 20
    var targets = [
      SCSITarget(kind: .disk, capacity: capacity, serial: "1", canDiscard: true),
      SCSITarget(kind: .disk, capacity: capacity, blockSize: 4096, serial: "2", isReadOnly: true),
      SCSITarget(kind: .cdrom, capacity: capacity, serial: "3"),
      SCSITarget(kind: .cdrom, capacity: nil, serial: "4", interface: .atapi),
    ]
    let known: [UInt8] = [
      0x08, 0x0A, 0x15, 0x1A, 0x28, 0x35, 0x41, 0x42, 0x43, 0x46, 0x4A, 0x5A, 0x8A, 0x93, 0x9E, 0xBE,
    ]
    var kinds: Set<String> = []
    var wrong: [String] = []
    for _ in 0..<40_000 {
      let index = Int.random(in: 0..<targets.count, using: &random)
      let odd = UInt8.random(in: 0..<4, using: &random)
      var command = (0..<16).map { _ in
        odd == 0
          ? UInt8.random(in: 0...255, using: &random)
          : [0, 0, 0, 0, 0, 1, 8, 24, 255].randomElement(using: &random) ?? 0
      }
      command[0] = odd < 2 ? UInt8.random(in: 0...255, using: &random) : known.randomElement(using: &random) ?? 0
      var outcome = targets[index].execute(command)
      if case .parameters(let count) = outcome {
        let cut = UInt8.random(in: 0..<8, using: &random) == 0
        var parameters = [UInt8](repeating: 0, count: cut ? Int.random(in: 0...count, using: &random) : count)
        if count < 512, parameters.count >= 24 {
          parameters.replaceSubrange(0..<4, with: [0, 22, 0, 16])
          parameters[19] = 4
        }
        if UInt8.random(in: 0..<4, using: &random) == 0, !parameters.isEmpty {
          let place = Int.random(in: 0..<min(32, parameters.count), using: &random)
          parameters[place] = UInt8.random(in: 0...255, using: &random)
        }
        outcome = targets[index].execute(SCSICommand(command), parameters: parameters)
      }
      let isRight =
        switch outcome {
        case .reply(let data): data.count <= 4096
        case .read(let offset, let count), .write(let offset, let count, _), .discard(let offset, let count),
          .writeZeroes(let offset, let count, _):
          count > 0 && count <= capacity && offset <= capacity - count
            && offset % UInt64(targets[index].blockSize) == 0
        case .parameters: false
        case .flush, .checkCondition: true
        }
      if !isRight { wrong.append("\(command): \(outcome)") }
      kinds.insert(String("\(outcome)".prefix { $0 != "(" }))
      // A disk that was stopped would refuse everything from then on.
      if odd == 2, UInt8.random(in: 0..<20, using: &random) == 0 { targets[index].reset() }
      if odd == 1, UInt8.random(in: 0..<100, using: &random) == 0 {
        targets[index].insert(capacity: UInt8.random(in: 0..<8, using: &random) > 0 ? capacity : nil)
      }
    }
    #expect(wrong.isEmpty)
    // Every outcome must have happened, or the fuzzer is blind.
    #expect(kinds.isSuperset(of: ["reply", "read", "write", "flush", "discard", "writeZeroes", "checkCondition"]))
  }
}
