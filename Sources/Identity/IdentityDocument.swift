internal import Binary

/// How an identity lies in its partition:
///
/// ```
/// roost identity 1↵
/// <length of the JSON in bytes> <its SHA-256, 64 hexadecimal digits>↵
/// {"version":1,…}↵
/// zeros
/// ```
///
/// A partition that begins with a zero has no identity.
public enum IdentityDocument {
  private static let magic = "roost identity 1\n"
  /// Longest second line.
  private static let headerLimit = 96

  /// The beginning of the partition.
  public static func encode(_ identity: ApplianceIdentity) -> [UInt8] {
    let json = identity.json
    return Array("\(magic)\(json.count) \(SHA256.hash(json))\n".utf8) + json
  }

  /// Reads the partition, or its beginning; nil when it is blank.
  public static func decode(_ bytes: [UInt8]) throws(IdentityError) -> ApplianceIdentity? {
    guard let first = bytes.first else { throw IdentityError("it is empty") }
    if first == 0 { return nil }
    guard bytes.starts(with: magic.utf8) else { throw IdentityError("it does not begin as one of this version") }
    let rest = bytes.dropFirst(magic.utf8.count)
    guard let end = rest.prefix(headerLimit).firstIndex(of: UInt8(ascii: "\n")) else {
      throw IdentityError("its second line has no end")
    }
    let words = String(decoding: rest[..<end], as: UTF8.self).split(separator: " ")
    guard words.count == 2, words[0].utf8.count <= 8, let length = Int(words[0]), length >= 0,
      let digest = SHA256.Digest(hex: String(words[1]))
    else { throw IdentityError("its second line is not a length and a digest") }
    let json = bytes.dropFirst(end + 1)
    guard length <= json.count else { throw IdentityError("it is cut off") }
    let content = Array(json.prefix(length))
    guard SHA256.hash(content) == digest else { throw IdentityError("it is damaged: its digest is another") }
    return try ApplianceIdentity(json: content)
  }
}
