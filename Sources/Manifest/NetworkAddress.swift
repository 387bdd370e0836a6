/// An address with its prefix length, as `10.77.0.1/24`.
package struct NetworkAddress {
  package let address: IPv4Address
  /// Bits of it that name the network.
  package let prefixLength: Int
  private let mask: UInt32

  package init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPv4Address(String(parts[0])), let length = Int(parts[1]),
      (8...30).contains(length)
    else { return nil }
    self.init(address, prefixLength: length)
  }

  package init(_ address: IPv4Address, prefixLength: Int) {
    self.address = address
    self.prefixLength = prefixLength
    mask = UInt32.max << UInt32(32 - prefixLength)
  }

  /// Which address of the network it is; nil for one of another network.
  package func number(of other: IPv4Address) -> UInt32? {
    other.rawValue & mask == address.rawValue & mask ? other.rawValue & ~mask : nil
  }

  /// The network's address of that number; nil where it has none, or it is the network's own or that of all.
  package func address(number: UInt32) -> IPv4Address? {
    number > 0 && number < ~mask ? IPv4Address(rawValue: address.rawValue & mask | number) : nil
  }

  /// True where the two networks have addresses in common.
  package func overlaps(_ other: NetworkAddress) -> Bool {
    (address.rawValue ^ other.address.rawValue) & mask & other.mask == 0
  }
}
