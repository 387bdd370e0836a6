/// A 128-bit identifier, written as RFC 9562 section 4 does.
public struct UUID: Hashable, Sendable, CustomStringConvertible {
  /// Sixteen bytes, in the order they are written.
  public let bytes: [UInt8]

  /// The identifier that `name` has under `digest`: equal inputs give equal identifiers on every machine.
  /// RFC 9562 section 5.8 (version 8: built from SHA-256).
  public init(digest: SHA256.Digest, name: String) {
    var hash = SHA256()
    hash.update(digest.bytes)
    hash.update(Array(name.utf8))
    var bytes = Array(hash.finalize().bytes.prefix(16))
    bytes[6] = bytes[6] & 0x0F | 0x80
    bytes[8] = bytes[8] & 0x3F | 0x80
    self.bytes = bytes
  }

  /// Parses `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, in either case; nil for anything else.
  public init?(_ text: String) {
    let groups = text.split(separator: "-", omittingEmptySubsequences: false)
    guard groups.map(\.count) == [8, 4, 4, 4, 12], let bytes = Hex.decode(groups.joined()) else { return nil }
    self.bytes = bytes
  }

  /// Reads sixteen bytes whose first three fields have their least significant byte first, as GPT and UEFI have them
  /// (UEFI 2.10, appendix A); nil for another number of bytes.
  public init?(mixedEndian bytes: some Collection<UInt8>) {
    guard bytes.count == 16 else { return nil }
    self.bytes = Self.swapped(Array(bytes))
  }

  /// The sixteen bytes as GPT and UEFI have them.
  public var mixedEndian: [UInt8] { Self.swapped(bytes) }

  private static func swapped(_ bytes: [UInt8]) -> [UInt8] {
    Array(bytes[0..<4].reversed() + bytes[4..<6].reversed() + bytes[6..<8].reversed() + bytes[8...])
  }

  /// Lower-case text with hyphens.
  public var description: String {
    let hex = Array(Hex.encode(bytes))
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(hex[$0]) }.joined(separator: "-")
  }
}
