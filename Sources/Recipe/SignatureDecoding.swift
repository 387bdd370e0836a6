extension Recipe {
  /// Who vouches for a source, and how.
  public struct SourceSignature: Sendable, Hashable {
    /// Where the signature is: a URL, or a file as seen from the recipe's folder.
    public let location: String
    /// The file with the public keys of who may sign, as seen from the recipe's folder.
    public let key: String

    /// Whether it is fetched.
    public var isRemote: Bool { location.contains("://") }

    /// One of these parts.
    public init(location: String, key: String) {
      (self.location, self.key) = (location, key)
    }
  }
}

/// Signatures of sources.
extension RecipeDecoder {
  mutating func signature(_ source: NodeReader.Fields) -> Recipe.SourceSignature? {
    for (key, other) in [("signature", "key"), ("key", "signature")] where source.has(key) && !source.has(other) {
      reader.report(
        source.values[key]?.keyMark,
        "'\(key)' without '\(other)': a signature says nothing without the key of who may sign")
    }
    guard source.has("signature"), source.has("key") else { return nil }
    for kind in ["git", "debian-file"] where source.has(kind) {
      reader.report(
        source.values["signature"]?.keyMark, "a source with '\(kind)' has no file to be signed; leave 'signature' out")
      return nil
    }
    let location =
      reader.text(source, "signature")?.contains("://") == true
      ? url(source, "signature") : hostFile(source, "signature")?.path
    let key = hostFile(source, "key")?.path
    guard let location, let key else { return nil }
    return .init(location: location, key: key)
  }
}
