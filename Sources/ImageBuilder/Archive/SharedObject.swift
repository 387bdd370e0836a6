internal import Binary

/// What an ELF file asks the dynamic loader for (System V ABI, chapter 5, "Dynamic Section").
enum SharedObject {
  /// The names of the libraries that a file is linked with (DT_NEEDED), in their order; none for a file that is no 64-bit
  /// little-endian ELF file, or has no dynamic section.
  ///
  /// - Throws: where the file ends before what its headers name.
  static func needed(_ bytes: [UInt8]) throws(TruncatedInput) -> [String] {
    guard bytes.count >= 64, bytes[0..<6].elementsEqual([0x7F, 0x45, 0x4C, 0x46, 2, 1]) else { return [] }
    let file = ByteReader(bytes)
    let segments = try segments(file)
    guard let dynamic = segments.first(where: { $0.type == 2 }) else { return [] }
    var names: [UInt64] = []
    var table: UInt64?
    for place in stride(from: dynamic.offset, to: dynamic.offset + dynamic.bytes - 15, by: 16) {
      let tag = try file.little(UInt64.self, at: place)
      let value = try file.little(UInt64.self, at: place + 8)
      if tag == 0 { break }
      if tag == 1 { names.append(value) }
      if tag == 5 { table = value }
    }
    guard let table, !names.isEmpty else { return [] }
    // The table's place is said as an address in memory.
    guard let home = segments.first(where: { $0.type == 1 && $0.address <= table && table - $0.address < $0.bytes })
    else {
      return []
    }
    let strings = home.offset + Int(table - home.address)
    var result: [String] = []
    for name in names {
      let text = try file.slice(at: strings, length: Int(clamping: name)).endIndex
      result.append(String(decoding: bytes[text...].prefix(256).prefix { $0 != 0 }, as: UTF8.self))
    }
    return result
  }

  private struct Segment {
    let type: UInt32
    /// In the file.
    let offset: Int
    let address: UInt64
    /// In the file.
    let bytes: Int
  }

  /// The program headers whose bytes are in the file.
  private static func segments(_ file: ByteReader) throws(TruncatedInput) -> [Segment] {
    let table = Int(clamping: try file.little(UInt64.self, at: 32))
    let entry = Int(try file.little(UInt16.self, at: 54))
    let count = Int(try file.little(UInt16.self, at: 56))
    let headers = ByteReader(Array(try file.slice(at: table, length: entry * count)))
    guard entry >= 56 else { return [] }
    var segments: [Segment] = []
    for place in stride(from: 0, to: entry * count, by: entry) {
      let offset = Int(clamping: try headers.little(UInt64.self, at: place + 8))
      let bytes = Int(clamping: try headers.little(UInt64.self, at: place + 32))
      _ = try file.slice(at: offset, length: bytes)
      segments.append(
        Segment(
          type: try headers.little(at: place), offset: offset, address: try headers.little(at: place + 16), bytes: bytes
        ))
    }
    return segments
  }
}
