/// Public keys of SSH as a line of authorized_keys has them (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"), without options.
public enum PublicKey {
  /// Longest line that is taken, in bytes: an RSA key of 16384 bits and a long comment.
  public static let lengthLimit = 4096

  /// The types of keys that OpenSSH's server takes by default.
  public static let types = [
    "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa",
    "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com",
  ]

  /// What keeps `line` from being a public key, in words that follow a subject; nil when nothing does.
  public static func problem(_ line: String) -> String? {
    if line.utf8.count > lengthLimit { return "is longer than \(lengthLimit) characters" }
    guard line.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return "may not have control characters" }
    let words = line.split(separator: " ", maxSplits: 2)
    guard words.count >= 2 else {
      return "is not a public key; take the line of a .pub file, as ssh-ed25519 AAAA… name"
    }
    let type = String(words[0])
    if line.contains("PRIVATE KEY") { return "is a private key; take the .pub file beside it" }
    guard types.contains(type) else {
      return "begins with '\(type.prefix(40))', which is no type of key (\(types.prefix(5).joined(separator: ", ")), …)"
    }
    guard let blob = Base64.decode(words[1]) else { return "is damaged: its second word is not base64" }
    guard let fields = fields(blob), let inner = fields.first else { return "is damaged: the key in it is cut off" }
    guard inner.elementsEqual(type.utf8) else {
      return "is damaged: it says \(type), and the key in it says otherwise"
    }
    guard fields.count >= 2, fields.dropFirst().allSatisfy({ !$0.isEmpty }) else {
      return "is damaged: there is no key in it"
    }
    return nil
  }

  /// The strings that a key is made of (RFC 4251 section 5, "string"); nil unless they fill it.
  private static func fields(_ blob: [UInt8]) -> [ArraySlice<UInt8>]? {
    var fields: [ArraySlice<UInt8>] = []
    var rest = blob[...]
    while !rest.isEmpty {
      guard rest.count >= 4 else { return nil }
      let length = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
      rest = rest.dropFirst(4)
      guard length <= rest.count else { return nil }
      fields.append(rest.prefix(length))
      rest = rest.dropFirst(length)
    }
    return fields
  }
}

/// Base 64 with padding (RFC 4648 section 4).
enum Base64 {
  /// The bytes that `text` stands for; nil when it is not exact base 64.
  static func decode(_ text: some StringProtocol) -> [UInt8]? {
    let characters = Array(text.utf8)
    guard !characters.isEmpty, characters.count % 4 == 0 else { return nil }
    let padding = characters.suffix(2).count { $0 == UInt8(ascii: "=") }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(characters.count / 4 * 3)
    var register: UInt32 = 0
    for (index, character) in characters.enumerated() {
      let isPadding = index >= characters.count - padding
      guard let value = isPadding ? (character == UInt8(ascii: "=") ? 0 : nil) : value(character) else { return nil }
      register = register << 6 | value
      if index % 4 == 3 {
        bytes += [UInt8(truncatingIfNeeded: register >> 16), UInt8(truncatingIfNeeded: register >> 8)]
        bytes.append(UInt8(truncatingIfNeeded: register))
        register = 0
      }
    }
    guard bytes.suffix(padding).allSatisfy({ $0 == 0 }) else { return nil }
    return Array(bytes.dropLast(padding))
  }

  private static func value(_ character: UInt8) -> UInt32? {
    switch character {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(character - UInt8(ascii: "A"))
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(character - UInt8(ascii: "a")) + 26
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(character - UInt8(ascii: "0")) + 52
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}
