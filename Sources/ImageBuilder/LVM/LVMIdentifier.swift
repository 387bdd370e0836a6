public import Binary

/// What LVM tells its objects apart by: 32 letters and digits (struct id, lib/uuid/uuid.h of LVM2).
public struct LVMIdentifier: Hashable, Sendable, CustomStringConvertible {
  /// Thirty-two ASCII letters and digits, as the physical volume's header holds them.
  public let characters: String

  init(characters: String) {
    self.characters = characters
  }

  /// The identifier that `name` has under `digest`: equal inputs give equal identifiers on every machine.
  public init(digest: SHA256.Digest, name: String) {
    // Six bits would be 64 characters, of which LVM itself makes only these 62. The bias of the modulus is harmless.
    let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    var hash = SHA256()
    hash.update(digest.bytes)
    hash.update(Array("lvm:\(name)".utf8))
    characters = String(hash.finalize().bytes.map { alphabet[Int($0) % alphabet.count] })
  }

  /// Text with hyphens, in groups of 6, 4, 4, 4, 4, 4 and 6.
  public var description: String {
    var text = ""
    for (index, character) in characters.enumerated() {
      if [6, 10, 14, 18, 22, 26].contains(index) { text.append("-") }
      text.append(character)
    }
    return text
  }
}
