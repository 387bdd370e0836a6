import Binary

/// Programs of no more than their headers.
enum SampleProgram {
  /// An ELF file that is linked with libraries: a header, a segment with all of the file, its dynamic section.
  static func linked(with needed: [String]) -> [UInt8] {
    var strings: [UInt8] = [0]
    var dynamic = ByteWriter()
    for name in needed {
      dynamic.little(1 as UInt64)
      dynamic.little(UInt64(strings.count))
      strings += Array(name.utf8) + [0]
    }
    let base: UInt64 = 0x40_0000
    let tables = 64 + 2 * 56
    let place = UInt64(tables + (needed.count + 2) * 16)
    for word in [5, base + place, 0, 0] { dynamic.little(word as UInt64) }
    var file = ByteWriter()
    file.raw([0x7F, 0x45, 0x4C, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 9))
    for half in [3, 62] as [UInt16] { file.little(half) }
    file.little(1 as UInt32)
    for word in [0, 64, 0] as [UInt64] { file.little(word) }
    file.little(0 as UInt32)
    for half in [64, 56, 2, 64, 0, 0] as [UInt16] { file.little(half) }
    let all = place + UInt64(strings.count)
    for (type, offset, size) in [(1, 0, all), (2, UInt64(tables), UInt64(dynamic.bytes.count))]
      as [(UInt32, UInt64, UInt64)]
    {
      file.little(type)
      file.little(5 as UInt32)
      for word in [offset, base + offset, base + offset, size, size, 4096] { file.little(word) }
    }
    return file.bytes + dynamic.bytes + strings
  }
}
