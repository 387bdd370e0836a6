internal import Binary
internal import Platform

/// Which users the monitors of domains are: one each, the same at each start as far as that goes.
struct JailUsers {
  /// Above the users that systemd gives to containers, below what is negative as a signed number. Those of the recipe's
  /// domains come first, by their place; those of domains that were made on the fly follow, by their name.
  private static let first: UInt32 = 1_900_000_000
  private static let made: UInt32 = 1 << 16

  private var users: [String: UInt32] = [:]

  /// The user for the domain `name`, which has `place` among the recipe's or nil; none of `taken`, which live monitors of
  /// others are.
  mutating func user(of name: String, place: Int?, taken: Set<UInt32>) -> UInt32 {
    if let place { return Self.first + UInt32(place) }
    users[name] = nil
    let all = taken.union(users.values)
    var offset = CRC32.checksum(Array(name.utf8)) % Self.made
    // There are fewer domains than users.
    while all.contains(Self.first + Self.made + offset) { offset = (offset + 1) % Self.made }
    users[name] = Self.first + Self.made + offset
    return Self.first + Self.made + offset
  }

  /// The user that the process `pid` is; nil when there is no such process.
  static func user(of pid: Int32) -> UInt32? {
    guard let text = try? Files.readText("/proc/\(pid)/status"),
      let line = text.split(separator: "\n").first(where: { $0.hasPrefix("Uid:") })
    else { return nil }
    return line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { UInt32($0) }
  }
}
