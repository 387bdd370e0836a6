/// Reads of physical memory, which is mapped one to one below 4 GiB. Page zero counts: loaders do leave
/// the memory map there.
enum PhysicalMemory {
  /// The byte at `address`; zero where this 32-bit program cannot look.
  static func byte(_ address: UInt64) -> UInt8 {
    guard let low = UInt(exactly: address) else { return 0 }
    // SAFETY: paging is off, so every address may be read; what no device answers reads as all ones.
    guard let pointer = unsafe UnsafePointer<UInt8>(bitPattern: low) else { return 0 }
    return unsafe pointer.pointee
  }

  static func word16(_ address: UInt64) -> UInt16 {
    UInt16(byte(address)) | UInt16(byte(address &+ 1)) << 8
  }

  static func word32(_ address: UInt64) -> UInt32 {
    UInt32(word16(address)) | UInt32(word16(address &+ 2)) << 16
  }

  static func word64(_ address: UInt64) -> UInt64 {
    UInt64(word32(address)) | UInt64(word32(address &+ 4)) << 32
  }

  /// True when the bytes at `address` are those of `text`.
  static func matches(_ text: StaticString, at address: UInt64) -> Bool {
    for index in 0..<text.utf8CodeUnitCount {
      if text[index] != byte(address &+ UInt64(index)) { return false }
    }
    return true
  }

  /// The sum of `count` bytes, which ACPI's tables make zero.
  static func sum(_ address: UInt64, count: UInt32) -> UInt8 {
    var total: UInt8 = 0
    for offset in 0..<count { total &+= byte(address &+ UInt64(offset)) }
    return total
  }
}
