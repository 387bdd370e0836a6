/// A physical address as the guest sees it, in bytes.
public struct GuestAddress: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The address itself.
  public let rawValue: UInt64

  /// The address `rawValue`.
  public init(rawValue: UInt64) {
    self.rawValue = rawValue
  }

  /// The address `rawValue`.
  public init(_ rawValue: UInt64) {
    self.rawValue = rawValue
  }

  /// The address `bytes` further on, or nil where that leaves the 64-bit address space.
  @inlinable
  public func advanced(by bytes: UInt64) -> GuestAddress? {
    let (sum, overflow) = rawValue.addingReportingOverflow(bytes)
    return overflow ? nil : GuestAddress(sum)
  }

  /// Whether the address is a multiple of `alignment`, a power of two.
  @inlinable
  public func isAligned(to alignment: UInt64) -> Bool {
    rawValue & (alignment &- 1) == 0
  }

  /// Orders addresses.
  public static func < (left: GuestAddress, right: GuestAddress) -> Bool {
    left.rawValue < right.rawValue
  }

  /// The address in hexadecimal.
  public var description: String { "0x" + String(rawValue, radix: 16) }
}

/// A run of guest-physical bytes, as a guest named it in a descriptor. Nothing about it is checked until
/// `GuestMemory.contains` says so.
public struct GuestSegment: Hashable, Sendable {
  /// The first byte.
  public var address: GuestAddress
  /// Length in bytes.
  public var count: Int

  /// The `count` bytes from `address`.
  public init(address: GuestAddress, count: Int) {
    self.address = address
    self.count = count
  }
}
