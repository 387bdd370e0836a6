/// An IPv4 address.
public struct IPv4Address: Sendable, Hashable, CustomStringConvertible {
  /// The address as a number, most significant byte first.
  public let rawValue: UInt32

  /// The address that a number is.
  public init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  /// Parses four decimal numbers with dots between; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var value: UInt32 = 0
    for part in parts {
      guard part.count <= 3, part.allSatisfy({ $0.isASCII && $0.isNumber }), let byte = UInt8(part) else { return nil }
      value = value << 8 | UInt32(byte)
    }
    rawValue = value
  }

  /// As messages have it.
  public var description: String {
    [24, 16, 8, 0].map { "\(rawValue >> UInt32($0) & 255)" }.joined(separator: ".")
  }
}
