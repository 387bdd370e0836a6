/// The order of Debian's versions (Debian Policy, section 5.6.12).
struct DebianVersion: Comparable {
  private let epoch: Int
  private let upstream: [UInt8]
  private let revision: [UInt8]

  init(_ text: String) {
    var rest = Array(text.utf8)[...]
    if let colon = rest.firstIndex(of: UInt8(ascii: ":")),
      let number = Int(String(decoding: rest[..<colon], as: UTF8.self))
    {
      epoch = number
      rest = rest[(colon + 1)...]
    } else {
      epoch = 0
    }
    if let hyphen = rest.lastIndex(of: UInt8(ascii: "-")) {
      revision = Array(rest[(hyphen + 1)...])
      rest = rest[..<hyphen]
    } else {
      revision = []
    }
    upstream = Array(rest)
  }

  static func < (left: DebianVersion, right: DebianVersion) -> Bool { left.compared(to: right) < 0 }
  static func == (left: DebianVersion, right: DebianVersion) -> Bool { left.compared(to: right) == 0 }

  private func compared(to other: DebianVersion) -> Int {
    if epoch != other.epoch { return epoch < other.epoch ? -1 : 1 }
    let first = Self.compare(upstream[...], other.upstream[...])
    return first == 0 ? Self.compare(revision[...], other.revision[...]) : first
  }

  private static func isDigit(_ byte: UInt8?) -> Bool { byte.map { (0x30...0x39).contains($0) } ?? false }

  /// A tilde is before the end, the end before letters, letters before the rest.
  private static func weight(_ byte: UInt8?) -> Int {
    switch byte {
    case UInt8(ascii: "~")?: -1
    case nil: 0
    case let byte? where isDigit(byte): 0
    case let byte? where (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte): Int(byte)
    case let byte?: Int(byte) + 256
    }
  }

  private static func compare(_ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>) -> Int {
    var left = left
    var right = right
    while !left.isEmpty || !right.isEmpty {
      while !left.isEmpty && !isDigit(left.first) || !right.isEmpty && !isDigit(right.first) {
        let difference = weight(left.first) - weight(right.first)
        if difference != 0 { return difference }
        left = left.dropFirst()
        right = right.dropFirst()
      }
      // Numbers of any length: without leading zeros the longer one is larger.
      let first = number(&left)
      let second = number(&right)
      if first.count != second.count { return first.count - second.count }
      for (one, other) in zip(first, second) where one != other { return Int(one) - Int(other) }
    }
    return 0
  }

  private static func number(_ text: inout ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    let digits = text.prefix { isDigit($0) }
    text = text[digits.endIndex...]
    return digits.drop { $0 == 0x30 }
  }
}
