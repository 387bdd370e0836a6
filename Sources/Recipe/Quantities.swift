public import Manifest

/// Sizes as people write them: a whole number and a binary unit, such as `512 MiB`.
public enum ByteSize {
  /// The units and their bytes, smallest first.
  public static let units: [(name: String, bytes: Int)] = [
    ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
  ]

  /// Bytes that `text` names, or what is wrong with it. The space before the unit may be left out.
  public static func parse(_ text: String) -> Result<Int, QuantityError> {
    let (number, unit) = split(text)
    guard !number.isEmpty else { return .failure(.init("'\(text)' is not a size; write one as 512 MiB or 2 GiB")) }
    guard !unit.isEmpty else {
      return .failure(.init("the size '\(text)' has no unit; write one as \(number) MiB or \(number) GiB"))
    }
    guard let factor = units.first(where: { $0.name == unit })?.bytes else {
      return .failure(.init("'\(unit)' is not a unit of size; use KiB, MiB, GiB or TiB, as in 512 MiB"))
    }
    guard let count = Int(number) else { return .failure(.init("the size '\(text)' is too large")) }
    let (bytes, overflow) = count.multipliedReportingOverflow(by: factor)
    return overflow ? .failure(.init("the size '\(text)' is too large")) : .success(bytes)
  }

  /// The shortest exact way to write `bytes`, such as `2 GiB`.
  public static func format(_ bytes: Int) -> String {
    guard let unit = units.last(where: { bytes >= $0.bytes && bytes % $0.bytes == 0 }) else { return "\(bytes) bytes" }
    return "\(bytes / unit.bytes) \(unit.name)"
  }
}

/// Lengths of time as people write them: a whole number and `s` or `min`, such as `300 s`.
public enum TimeLength {
  /// Seconds that `text` names, or what is wrong with it. The space before the unit may be left out.
  public static func parse(_ text: String) -> Result<Int, QuantityError> {
    let (number, unit) = split(text)
    guard !number.isEmpty else { return .failure(.init("'\(text)' is not a length of time; write one as 300 s")) }
    guard !unit.isEmpty else {
      return .failure(.init("the length of time '\(text)' has no unit; write it as \(number) s or \(number) min"))
    }
    guard let factor = ["s": 1, "min": 60][unit] else {
      return .failure(.init("'\(unit)' is not a unit of time; use s or min, as in 300 s"))
    }
    guard let count = Int(number) else { return .failure(.init("the length of time '\(text)' is too large")) }
    let (seconds, overflow) = count.multipliedReportingOverflow(by: factor)
    return overflow ? .failure(.init("the length of time '\(text)' is too large")) : .success(seconds)
  }
}

/// What is wrong with a quantity.
public struct QuantityError: Error, Hashable, Sendable, CustomStringConvertible {
  /// In words, with an example of what would be right.
  public let description: String

  init(_ description: String) {
    self.description = description
  }
}

/// Leading ASCII digits and the unit after them; the number is empty when the text is of another form.
private func split(_ text: String) -> (number: String, unit: String) {
  let number = text.prefix { $0.isASCII && $0.isNumber }
  var unit = text.dropFirst(number.count)
  if unit.first == " " { unit = unit.dropFirst() }
  guard unit.allSatisfy({ $0.isASCII && $0.isLetter }) else { return ("", "") }
  return (String(number), String(unit))
}

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

  /// The subnet's address number `host`.
  public func address(_ host: Int) -> IPv4Address {
    IPv4Address(rawValue: base.rawValue &+ UInt32(truncatingIfNeeded: host))
  }

  /// The control domain's address and the prefix length, such as `10.77.0.1/24`.
  public var gatewayDescription: String { "\(address(Self.gateway))/\(prefixLength)" }

  /// As messages have it.
  public var description: String { "\(base)/\(prefixLength)" }
}
