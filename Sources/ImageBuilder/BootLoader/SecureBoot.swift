internal import Binary
internal import Recipe

/// What UEFI starts of an image, and who signed it.
enum SecureBoot: Sendable {
  /// Debian's shim and GRUB.
  case debian
  /// GRUB made for this medium, which nobody signed.
  case none
  /// A unified kernel image, signed with the recipe's key; its file is never kept or shipped.
  case key(PEMPair, digest: SHA256.Digest)

  init(_ recipe: Recipe) throws(BuildError) {
    switch recipe.image.secureBoot {
    case .debian: self = .debian
    case .none: self = .none
    case .key(let pair):
      let pair = PEMPair(recipe, pair, of: "secure-boot")
      let key = try pair.key()
      guard !String(decoding: key, as: UTF8.self).contains("ENCRYPTED") else {
        throw BuildError(
          .badFile, "\(pair.keyPath) has a passphrase",
          hint: "write it without one for the build: openssl pkey -in \(pair.keyPath) -out PLAIN.key")
      }
      // A signature of another kind has a random part, and an image would never have the same bytes again; nor does all
      // firmware know them.
      guard PEMPair.isRSA(key) else {
        throw BuildError(
          .badFile, "\(pair.keyPath) is no key of RSA", hint: "make one: openssl req -x509 -newkey rsa:2048 …")
      }
      self = .key(pair, digest: SHA256.hash(try pair.certificate() + key))
    }
  }

  /// What decides the bytes.
  var settings: [String] {
    switch self {
    case .debian: ["debian"]
    case .none: ["none"]
    case .key(_, let digest): ["key", "\(digest)"]
    }
  }
}
