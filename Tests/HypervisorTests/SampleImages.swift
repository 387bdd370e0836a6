import TestMachine

extension [UInt8] {
  /// Overwrites a little-endian integer.
  mutating func put<T: FixedWidthInteger>(_ value: T, at offset: Int) {
    for index in 0..<(T.bitWidth / 8) { self[offset + index] = UInt8(truncatingIfNeeded: value >> (index * 8)) }
  }

  /// A little-endian integer.
  func little<T: FixedWidthInteger>(_: T.Type = T.self, at offset: Int) -> T {
    (0..<(T.bitWidth / 8)).reversed().reduce(0) { $0 << 8 | T(truncatingIfNeeded: self[offset + $1]) }
  }
}

/// Images made by hand.
enum SampleImages {
  /// The smallest file that is a bzImage: header, one setup sector, `kernelBytes` of kernel.
  static func bzImage(kernelBytes: Int = 0x1000) -> [UInt8] {
    var image = [UInt8](repeating: 0, count: 1024 + kernelBytes)
    image[0x1F1] = 1
    image.put(0xAA55 as UInt16, at: 0x1FE)
    image[0x201] = 0x6A
    image.put(0x5372_6448 as UInt32, at: 0x202)
    image.put(0x020F as UInt16, at: 0x206)
    image[0x211] = 1
    image.put(0x7FFF_FFFF as UInt32, at: 0x22C)
    image.put(0x20_0000 as UInt32, at: 0x230)
    image[0x234] = 1
    image.put(1 as UInt16, at: 0x236)
    image.put(2047 as UInt32, at: 0x238)
    image.put(0x20_0000 as UInt64, at: 0x258)
    image.put(0x10_0000 as UInt32, at: 0x260)
    for index in 1024..<image.count { image[index] = UInt8(truncatingIfNeeded: index) }
    return image
  }

  /// A 32-bit ELF with one segment at 1 MiB that holds `code`, and a PVH note.
  static func pvh(_ code: [UInt8], entry: UInt32 = 0x10_0000, bss: Int = 64) -> [UInt8] {
    MicroKernel.pvh(code, entry: entry, bss: bss)
  }
}
