import Binary
import Platform
import TestMachine
import Testing

@testable import ImageBuilder

@Suite("GPT of sticks") struct GUIDPartitionTableTests {
  private static let sectors = 1 << 21

  private func sample() throws -> (table: GUIDPartitionTable, head: [UInt8]) {
    let seed = SHA256.hash("test")
    // A table with one partition, written by another's rules: the least that a header must have.
    var table = try #require(GUIDPartitionTable(head: Self.blank()))
    table.disk = UUID(digest: seed, name: "disk")
    table.partitions = [
      .init(
        number: 2, type: UUID(digest: seed, name: "type"), identifier: UUID(digest: seed, name: "id"), first: 64,
        last: 4095, attributes: 1 << 60 | 1, name: "Zürich 🐓"),
      .init(
        number: 128, type: UUID(digest: seed, name: "type"), identifier: UUID(digest: seed, name: "id2"), first: 4096,
        last: Self.sectors - 200, attributes: 0, name: String(repeating: "x", count: 50)),
    ]
    return (table, [UInt8](repeating: 0, count: 512) + table.encoded(sectors: Self.sectors).primary)
  }

  /// An empty table, put together by hand (UEFI 2.10, table 5.5).
  private static func blank() -> [UInt8] {
    var header = ByteWriter()
    header.raw(Array("EFI PART".utf8))
    for value: UInt32 in [0x1_0000, 92, 0, 0] { header.little(value) }
    for value: UInt64 in [1, 2_097_151, 34, 2_097_118] { header.little(value) }
    header.zeros(16)
    header.little(2 as UInt64)
    for value: UInt32 in [128, 128, 0xAB54_D286] { header.little(value) }
    header.patchLittle(CRC32.checksum(header.bytes), at: 16)
    header.align(512)
    return [UInt8](repeating: 0, count: 512) + header.bytes + [UInt8](repeating: 0, count: 16384)
  }

  @Test func comesBackAsItWas() throws {
    let (table, head) = try sample()
    var read = try #require(GUIDPartitionTable(head: head))
    #expect(read.partitions[1].name == String(repeating: "x", count: 36))
    read.partitions[1].name = table.partitions[1].name
    #expect(read == table)
    #expect(read.partitions[0].start == 32768 && read.partitions[0].end == 2 << 20)
  }

  @Test func theCopyIsAtTheEnd() throws {
    let (table, _) = try sample()
    let (primary, backup) = table.encoded(sectors: Self.sectors)
    #expect(primary.count == 33 * 512 && backup.count == primary.count)
    #expect(Array(primary.dropFirst(512)) == Array(backup.dropLast(512)))
    let copy = ByteReader(Array(backup.suffix(512)))
    #expect(try copy.little(UInt64.self, at: 24) == UInt64(Self.sectors - 1))
    #expect(try copy.little(UInt64.self, at: 32) == 1)
    #expect(try copy.little(UInt64.self, at: 72) == UInt64(Self.sectors - 33))
    #expect(try copy.little(UInt64.self, at: 48) == UInt64(Self.sectors - 34))
  }

  @Test("Every flipped bit of header and entries is seen")
  func damage() throws {
    let (_, head) = try sample()
    // The header's 92 bytes, and the array's 16 KiB.
    for index in Array(512..<604) + Array(stride(from: 1024, to: 1024 + 16384, by: 61)) {
      var damaged = head
      damaged[index] ^= 4
      #expect(GUIDPartitionTable(head: damaged) == nil, "byte \(index)")
    }
    for count in stride(from: 0, to: head.count, by: 500) {
      #expect(GUIDPartitionTable(head: Array(head.prefix(count))) == nil)
    }
  }

  @Test func hostileHeadersAreRefused() throws {
    // Sizes and places with a right checksum.
    for (offset, value) in [(12, 0), (12, 4096), (80, 0), (80, 1 << 31), (84, 1), (84, 256), (72, 1 << 31), (24, 2)] {
      var head = Self.blank()
      head.replaceSubrange((512 + offset)..<(516 + offset), with: (0..<4).map { UInt8(value >> ($0 * 8) & 255) })
      head.replaceSubrange(528..<532, with: [0, 0, 0, 0])
      let size = offset == 12 ? min(value, 512) : 92
      let checksum = CRC32.checksum(head[512..<(512 + size)])
      head.replaceSubrange(528..<532, with: (0..<4).map { UInt8(checksum >> ($0 * 8) & 255) })
      #expect(GUIDPartitionTable(head: head) == nil, "\(offset): \(value)")
    }
  }

  @Test func aBootRecordIsFittedToTheStick() {
    var record = [UInt8](repeating: 0x90, count: 512)
    record.replaceSubrange(446..<510, with: [UInt8](repeating: 0, count: 64))
    record.replaceSubrange(446..<462, with: [0, 0, 2, 0, 0xEE, 1, 2, 3, 1, 0, 0, 0, 9, 9, 0, 0])
    record[462] = 0x80
    record.replaceSubrange(510..<512, with: [0x55, 0xAA])
    #expect(ProtectiveMBR.isValid(record))
    let fitted = ProtectiveMBR.fitted(record, sectors: 0x1234_5679)
    #expect(Array(fitted[446..<462]) == [0, 0, 2, 0, 0xEE, 255, 255, 255, 1, 0, 0, 0, 0x78, 0x56, 0x34, 0x12])
    #expect(fitted[462] == 0x80 && Array(fitted.prefix(446)) == Array(record.prefix(446)))
    // 2 TiB and more.
    #expect(Array(ProtectiveMBR.fitted(record, sectors: 1 << 33)[458..<462]) == [255, 255, 255, 255])
    #expect(!ProtectiveMBR.isValid([UInt8](repeating: 0, count: 512)))
  }

  @Test func fuzzedHeads() throws {
    var numbers = SeededNumbers(0x6774_7074)
    let (_, head) = try sample()
    for _ in 0..<2000 {
      var bytes = Array(head.prefix(Int.random(in: 0...head.count, using: &numbers)))
      for _ in 0..<4 where !bytes.isEmpty {
        bytes[Int.random(in: bytes.indices, using: &numbers)] = .random(in: 0...255, using: &numbers)
      }
      _ = GUIDPartitionTable(head: bytes)
    }
  }
}
