/// The reflected CRC-32 of polynomial 0xEDB88320 (ISO-HDLC; GPT, gzip, LVM's text areas).
public enum CRC32 {
  private static let table: [UInt32] = (0..<256).map { index in
    var value = UInt32(index)
    for _ in 0..<8 { value = value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
    return value
  }

  /// The checksum of `bytes`, started from `initial` and complemented at both ends.
  public static func checksum(_ bytes: some Sequence<UInt8>) -> UInt32 {
    ~update(0xFFFF_FFFF, with: bytes)
  }

  /// The raw register after `bytes`, without the complements: LVM starts it at 0xF597A6CF and stores it as it is.
  public static func update(_ register: UInt32, with bytes: some Sequence<UInt8>) -> UInt32 {
    var value = register
    for byte in bytes { value = table[Int((value ^ UInt32(byte)) & 0xFF)] ^ (value >> 8) }
    return value
  }
}
