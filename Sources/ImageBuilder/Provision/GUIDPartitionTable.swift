internal import Binary

/// A GUID partition table (UEFI 2.10, section 5.3) of a disk with 512-byte sectors.
///
/// Unlike `PartitionTable`, which sfdisk writes on disks that the builder makes, this one is read and written here:
/// sticks are provisioned on machines that have nothing but `roost`.
struct GUIDPartitionTable: Hashable, Sendable {
  /// Bytes of a sector.
  static let sector = 512
  private static let signature = Array("EFI PART".utf8)
  private static let headerBytes = 92
  private static let entryBytes = 128
  /// More than any tool writes.
  private static let slotLimit = 1024

  /// A partition.
  struct Partition: Hashable, Sendable {
    /// Counted from 1: its place in the table, and in the names of its device.
    var number: Int
    var type: UUID
    var identifier: UUID
    /// First sector.
    var first: Int
    /// Last sector, which belongs to it.
    var last: Int
    var attributes: UInt64
    var name: String

    /// First byte on the disk.
    var start: Int { first * GUIDPartitionTable.sector }
    /// Byte after its last.
    var end: Int { (last + 1) * GUIDPartitionTable.sector }
  }

  var disk: UUID
  /// First sector that partitions may have.
  var firstUsable: Int
  /// How many partitions have room in the table.
  let slots: Int
  var partitions: [Partition]

  /// Sectors of the array of partitions.
  var arraySectors: Int { (slots * Self.entryBytes + Self.sector - 1) / Self.sector }

  /// Reads the table at the beginning of a disk: `head` has its first sectors, up to the first partition's.
  /// Nil where there is none, or none that is whole.
  init?(head: [UInt8]) {
    let reader = ByteReader(head)
    guard let bytes = try? reader.slice(at: Self.sector, length: Self.sector) else { return nil }
    let header = ByteReader(Array(bytes))
    guard header.bytes.starts(with: Self.signature),
      let revision = try? header.little(UInt32.self, at: 8), revision == 0x0001_0000,
      let size = try? header.little(UInt32.self, at: 12), (92...512).contains(size),
      let checksum = try? header.little(UInt32.self, at: 16),
      let own = try? header.little(UInt64.self, at: 24), own == 1,
      let firstUsable = try? header.little(UInt64.self, at: 40), firstUsable < 1 << 40,
      let disk = try? UUID(mixedEndian: header.slice(at: 56, length: 16)),
      let array = try? header.little(UInt64.self, at: 72), (2...(1 << 20)).contains(array),
      let slots = try? header.little(UInt32.self, at: 80), (1...UInt32(Self.slotLimit)).contains(slots),
      let entrySize = try? header.little(UInt32.self, at: 84), entrySize == UInt32(Self.entryBytes),
      let arrayChecksum = try? header.little(UInt32.self, at: 88)
    else { return nil }
    var covered = Array(header.bytes.prefix(Int(size)))
    covered.replaceSubrange(16..<20, with: [0, 0, 0, 0])
    guard CRC32.checksum(covered) == checksum,
      let entries = try? reader.slice(at: Int(array) * Self.sector, length: Int(slots) * Self.entryBytes),
      CRC32.checksum(entries) == arrayChecksum
    else { return nil }
    self.disk = disk
    self.firstUsable = Int(firstUsable)
    self.slots = Int(slots)
    var partitions: [Partition] = []
    for index in 0..<Int(slots) {
      let start = entries.startIndex + index * Self.entryBytes
      let entry = Array(entries[start..<(start + Self.entryBytes)])
      if entry.prefix(16).allSatisfy({ $0 == 0 }) { continue }
      guard let partition = Self.partition(entry, number: index + 1) else { return nil }
      partitions.append(partition)
    }
    self.partitions = partitions
  }

  private static func partition(_ entry: [UInt8], number: Int) -> Partition? {
    let reader = ByteReader(entry)
    guard let type = UUID(mixedEndian: entry[0..<16]), let identifier = UUID(mixedEndian: entry[16..<32]),
      let first = try? reader.little(UInt64.self, at: 32), let last = try? reader.little(UInt64.self, at: 40),
      let attributes = try? reader.little(UInt64.self, at: 48), first <= last, last < 1 << 40
    else { return nil }
    var name: [UInt16] = []
    for offset in stride(from: 56, to: entryBytes, by: 2) {
      guard let unit = try? reader.little(UInt16.self, at: offset), unit != 0 else { break }
      name.append(unit)
    }
    return Partition(
      number: number, type: type, identifier: identifier, first: Int(first), last: Int(last), attributes: attributes,
      name: String(decoding: name, as: UTF16.self))
  }

  /// The last sector that partitions may have on a disk of so many sectors.
  func lastUsable(sectors: Int) -> Int { sectors - 2 - arraySectors }

  /// The table as it lies on a disk of so many sectors.
  ///
  /// - Returns: `primary` for sector 1, and `backup` for the disk's end, the last of it in the last sector.
  func encoded(sectors: Int) -> (primary: [UInt8], backup: [UInt8]) {
    var array = ByteWriter(capacity: arraySectors * Self.sector)
    for number in 1...slots {
      guard let partition = partitions.first(where: { $0.number == number }) else {
        array.zeros(Self.entryBytes)
        continue
      }
      array.raw(partition.type.mixedEndian)
      array.raw(partition.identifier.mixedEndian)
      array.little(UInt64(partition.first))
      array.little(UInt64(partition.last))
      array.little(partition.attributes)
      let units = Array(partition.name.utf16.prefix(36))
      for index in 0..<36 { array.little(index < units.count ? units[index] : 0) }
    }
    let checksum = CRC32.checksum(array.bytes)
    array.align(Self.sector)
    let end = sectors - 1
    let primary = header(at: 1, other: end, array: 2, checksum: checksum, sectors: sectors) + array.bytes
    let copy = header(at: end, other: 1, array: end - arraySectors, checksum: checksum, sectors: sectors)
    return (primary, array.bytes + copy)
  }

  private func header(at own: Int, other: Int, array: Int, checksum: UInt32, sectors: Int) -> [UInt8] {
    var header = ByteWriter(capacity: Self.sector)
    header.raw(Self.signature)
    header.little(UInt32(0x0001_0000))
    header.little(UInt32(Self.headerBytes))
    header.zeros(8)  // its own checksum, and reserved
    header.little(UInt64(own))
    header.little(UInt64(other))
    header.little(UInt64(firstUsable))
    header.little(UInt64(lastUsable(sectors: sectors)))
    header.raw(disk.mixedEndian)
    header.little(UInt64(array))
    header.little(UInt32(slots))
    header.little(UInt32(Self.entryBytes))
    header.little(checksum)
    header.patchLittle(CRC32.checksum(header.bytes), at: 16)
    header.align(Self.sector)
    return header.bytes
  }
}

/// The master boot record that guards a GPT (UEFI 2.10, section 5.2.3). libisofs marks a second, empty entry as active,
/// because some BIOSes boot from no disk without one; everything but the guarding entry's size stays as it is.
enum ProtectiveMBR {
  private static let table = 446
  private static let entry = 16
  private static let type: UInt8 = 0xEE

  /// True if the sector has the signature and the guarding entry.
  static func isValid(_ sector: [UInt8]) -> Bool {
    sector.count == 512 && sector[510] == 0x55 && sector[511] == 0xAA && place(sector) != nil
  }

  /// The sector for a disk of so many sectors.
  static func fitted(_ sector: [UInt8], sectors: Int) -> [UInt8] {
    guard let place = place(sector) else { return sector }
    var fitted = sector
    // The end is beyond what cylinders, heads and sectors can say.
    fitted.replaceSubrange((place + 5)..<(place + 8), with: [0xFF, 0xFF, 0xFF])
    let count = UInt32(clamping: sectors - 1)
    for index in 0..<4 { fitted[place + 12 + index] = UInt8(truncatingIfNeeded: count >> UInt32(index * 8)) }
    return fitted
  }

  private static func place(_ sector: [UInt8]) -> Int? {
    (0..<4).map { table + $0 * entry }.first { $0 + entry <= sector.count && sector[$0 + 4] == type }
  }
}
