internal import YAML

/// The image's `secure-boot`: a word, or a key and its certificate.
extension RecipeDecoder {
  mutating func secureBoot(_ image: NodeReader.Fields) -> Recipe.SecureBoot? {
    guard let node = image.values["secure-boot"]?.value else { return .debian }
    guard case .mapping = node else {
      switch reader.choice(image, "secure-boot", SecureBootWord.self, or: nil) {
      case .debian: return .debian
      case .nobody: return Recipe.SecureBoot.none
      case nil: return nil
      }
    }
    guard let fields = reader.fields(node, .secureBoot) else { return nil }
    let key = reader.path(fields, "key", required: true, Self.pathProblem)
    let certificate = reader.path(fields, "certificate", required: true, Self.pathProblem)
    guard let key, let certificate else { return nil }
    return .key(.init(certificate: certificate, key: key))
  }
}

/// The words that `secure-boot` may be.
enum SecureBootWord: String, CaseIterable {
  case debian
  case nobody = "none"
}

extension Shape {
  static let secureBoot = Shape(
    "secureBoot", "'secure-boot'",
    [
      Key(
        "key", .text, "The file with the private key, as PEM and without a passphrase; it does not go into the image."),
      Key("certificate", .text, "The file with its certificate, as PEM, which the machines' firmware is given."),
    ])
}
