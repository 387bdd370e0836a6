/// The Internet checksum (RFC 1071).
enum E1000Checksum {
  /// One's complement sum of `range` of `bytes` as big-endian words, folded to 16 bits; not complemented.
  static func sum(_ bytes: Span<UInt8>, _ range: Range<Int>) -> UInt16 {
    var sum: UInt32 = 0
    var index = range.lowerBound
    // At most 2^15 words: no overflow of 32 bits.
    while index &+ 1 < range.upperBound {
      sum &+= UInt32(bytes[index]) << 8 | UInt32(bytes[index &+ 1])
      index &+= 2
    }
    if index < range.upperBound { sum &+= UInt32(bytes[index]) << 8 }
    sum = (sum & 0xFFFF) &+ sum >> 16
    return UInt16(truncatingIfNeeded: sum &+ sum >> 16)
  }

  /// One's complement addition.
  static func add(_ left: UInt16, _ right: UInt16) -> UInt16 {
    let (sum, carry) = left.addingReportingOverflow(right)
    return carry ? sum &+ 1 : sum
  }
}
