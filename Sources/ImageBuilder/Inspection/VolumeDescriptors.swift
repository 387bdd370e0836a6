internal import Binary

/// The volume descriptors of an ISO 9660 image (ECMA-119, 4th edition, section 8), and El Torito's among them
/// (El Torito 1.0, section 2.0 and figure 7).
struct VolumeDescriptors {
  static let block = 2048
  /// Where they begin, in blocks.
  static let first = 16
  /// How many blocks are looked at.
  static let limit = 16

  /// The primary descriptor.
  let primary: [UInt8]
  /// The block of the boot catalogue; nil where there is none.
  let bootCatalog: Int?

  /// From the blocks that begin at `first`; nil where there is no primary descriptor.
  init?(_ bytes: [UInt8]) {
    let reader = ByteReader(bytes)
    var primary: [UInt8]?
    var catalog: Int?
    for number in 0..<Self.limit {
      guard let slice = try? reader.slice(at: number * Self.block, length: Self.block) else { break }
      let descriptor = Array(slice)
      guard descriptor[1..<6].elementsEqual("CD001".utf8), descriptor[0] != 255 else { break }
      if descriptor[0] == 1, primary == nil { primary = descriptor }
      if descriptor[0] == 0, catalog == nil, descriptor[7..<30].elementsEqual("EL TORITO SPECIFICATION".utf8) {
        catalog = (try? ByteReader(descriptor).little(UInt32.self, at: 71)).map { Int($0) }
      }
    }
    guard let primary else { return nil }
    self.primary = primary
    bootCatalog = catalog
  }

  /// The volume's name.
  var identifier: String {
    var bytes = primary[40..<72]
    while let last = bytes.last, last == 0x20 || last == 0 { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The modification time, which is the volume's UUID, as libblkid writes it; nil where it is no number.
  var uuid: String? {
    let digits = primary[830..<846]
    guard digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return VolumeUUID(digits: String(decoding: digits, as: UTF8.self)).description
  }
}

/// El Torito's boot catalogue (version 1.0, sections 2.1 to 2.5).
struct BootCatalog {
  /// What firmware of one kind boots.
  struct Entry: Hashable {
    /// 0 for a PC's BIOS, 0xEF for UEFI.
    let platform: UInt8
    let isBootable: Bool
    /// 0 for no emulation.
    let media: UInt8
    /// Where it begins, in blocks of 2048 bytes.
    let block: Int
    /// What is loaded, in sectors of 512 bytes.
    let sectors: Int
  }

  static let bytes = 4096
  private(set) var entries: [Entry] = []

  /// From the first bytes of the catalogue; nil where they have no valid beginning.
  init?(_ bytes: [UInt8]) {
    let reader = ByteReader(bytes)
    var sum: UInt16 = 0
    for offset in stride(from: 0, to: 32, by: 2) {
      guard let word = try? reader.little(UInt16.self, at: offset) else { return nil }
      sum &+= word
    }
    guard bytes[0] == 1, sum == 0, bytes[30] == 0x55, bytes[31] == 0xAA else { return nil }
    guard let initial = Self.entry(reader, at: 32, platform: bytes[1]) else { return nil }
    entries.append(initial)
    var offset = 64
    while let header = try? reader.slice(at: offset, length: 32), let kind = header.first, kind == 0x90 || kind == 0x91
    {
      let platform = header[header.startIndex + 1]
      let count = Int((try? reader.little(UInt16.self, at: offset + 2)) ?? 0)
      offset += 32
      for _ in 0..<count {
        guard let entry = Self.entry(reader, at: offset, platform: platform) else { return }
        entries.append(entry)
        offset += 32
        // Extensions of the entry's selection criteria.
        while let more = try? reader.slice(at: offset, length: 2), more.first == 0x44 { offset += 32 }
      }
      if kind == 0x91 { return }
    }
  }

  private static func entry(_ reader: ByteReader, at offset: Int, platform: UInt8) -> Entry? {
    guard let bytes = try? reader.slice(at: offset, length: 32), let indicator = bytes.first,
      indicator == 0x88 || indicator == 0, let block = try? reader.little(UInt32.self, at: offset + 8),
      let sectors = try? reader.little(UInt16.self, at: offset + 6)
    else { return nil }
    return Entry(
      platform: platform, isBootable: indicator == 0x88, media: bytes[bytes.startIndex + 1] & 0x0F, block: Int(block),
      sectors: Int(sectors))
  }
}
