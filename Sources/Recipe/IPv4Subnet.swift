public import Manifest

/// A network of IPv4 addresses, written as `10.77.0.0/24`.
public struct IPv4Subnet: Sendable, Hashable, CustomStringConvertible {
  /// The address of the network itself.
  public let base: IPv4Address
  /// Bits that all its addresses share, 8...28.
  public let prefixLength: Int

  /// Number in the subnet of the control domain's address.
  public static let gateway = 1
  /// Number in the subnet of the first guest's address.
  public static let firstGuest = 10

  /// Parses `a.b.c.d/n`, or says what is wrong with it.
  public static func parse(_ text: String) -> Result<IPv4Subnet, QuantityError> {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let base = IPv4Address(String(parts[0])), parts[1].count <= 2,
      parts[1].allSatisfy({ $0.isASCII && $0.isNumber }), let length = Int(parts[1])
    else { return .failure(.init("'\(text)' is not a subnet; write one as 10.77.0.0/24")) }
    guard (8...28).contains(length) else {
      return .failure(.init("the subnet '\(text)' must have a prefix length from 8 to 28, as in 10.77.0.0/24"))
    }
    let mask = UInt32.max << UInt32(32 - length)
    guard base.rawValue & ~mask == 0 else {
      let right = IPv4Address(rawValue: base.rawValue & mask)
      return .failure(.init("'\(text)' is an address inside of a subnet; write the subnet as \(right)/\(length)"))
    }
    guard (1...223).contains(base.rawValue >> 24), base.rawValue >> 24 != 127 else {
      return .failure(.init("'\(text)' cannot be used for machines; take a private one, such as 10.77.0.0/24"))
    }
    return .success(IPv4Subnet(base: base, prefixLength: length))
  }

  /// How many guests have room in it.
  public var guestCapacity: Int { (1 << (32 - prefixLength)) - 1 - Self.firstGuest }

  /// True for an address of it that a guest can have: not its own, the control domain's, or that of all.
  func isGuests(_ address: IPv4Address) -> Bool {
    let host = Int(address.rawValue) - Int(base.rawValue)
    return host > Self.gateway && host < (1 << (32 - prefixLength)) - 1
  }

  /// True where both have addresses in common.
  func overlaps(_ other: IPv4Subnet) -> Bool {
    NetworkAddress(base, prefixLength: prefixLength).overlaps(
      NetworkAddress(other.base, prefixLength: other.prefixLength))
  }

  /// The subnet's address number `host`.
  public func address(_ host: Int) -> IPv4Address {
    IPv4Address(rawValue: base.rawValue &+ UInt32(truncatingIfNeeded: host))
  }

  /// The control domain's address and the prefix length, such as `10.77.0.1/24`.
  public var gatewayDescription: String { "\(address(Self.gateway))/\(prefixLength)" }

  /// As messages have it.
  public var description: String { "\(base)/\(prefixLength)" }
}
