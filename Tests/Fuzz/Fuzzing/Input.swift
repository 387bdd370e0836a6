/// What the fuzzer made up, taken from the front. Behind its end everything is zero, so that every input means something
/// and none is too short.
package struct Input: Sendable {
  private let bytes: [UInt8]
  private var position = 0

  package init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  package var isEmpty: Bool { position >= bytes.count }

  package mutating func byte() -> UInt8 {
    guard position < bytes.count else { return 0 }
    position += 1
    return bytes[position - 1]
  }

  package mutating func bool() -> Bool { byte() & 1 != 0 }

  /// Little-endian, of `count` bytes.
  package mutating func integer(_ count: Int) -> UInt64 {
    (0..<count).reduce(0) { $0 | UInt64(byte()) << UInt64(8 * $1) }
  }

  /// One of `count`, by a byte.
  package mutating func index(_ count: Int) -> Int { Int(byte()) % count }

  /// `count` bytes; fewer at the end.
  package mutating func take(_ count: Int) -> [UInt8] {
    let end = min(bytes.count, position + max(0, count))
    defer { position = end }
    return Array(bytes[position..<end])
  }

  /// A byte's number of bytes.
  package mutating func run() -> [UInt8] { take(Int(byte())) }

  /// All that is left.
  package mutating func rest() -> [UInt8] { take(bytes.count) }

  /// All that is left, as lines.
  package mutating func lines() -> [String] {
    rest().split(separator: 10, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
  }
}
