internal import Platform
internal import Recipe

/// A certificate and its private key, as the PEM files of a recipe.
struct PEMPair: Sendable {
  /// Paths of the files.
  let certificatePath: String
  let keyPath: String
  /// The recipe's key that names them.
  let owner: String

  init(_ recipe: Recipe, _ pair: Recipe.Certificate, of owner: String) {
    certificatePath = recipe.resolve(pair.certificate)
    keyPath = recipe.resolve(pair.key)
    self.owner = owner
  }

  /// The content of the certificate's file.
  func certificate() throws(BuildError) -> [UInt8] { try read(certificatePath, "CERTIFICATE") }

  /// The content of the key's file.
  func key() throws(BuildError) -> [UInt8] { try read(keyPath, "PRIVATE KEY") }

  private func read(_ path: String, _ word: String) throws(BuildError) -> [UInt8] {
    let bytes = try attempt("cannot read a file of '\(owner)'") { () throws(SystemError) in try Files.read(path) }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    guard lines.contains(where: { $0.hasPrefix("-----BEGIN ") && $0.contains("\(word)-----") }) else {
      throw BuildError(
        .badFile, "\(path) has no PEM block '\(word)'",
        hint: "correct 'certificate' and 'key' in the recipe's '\(owner)'")
    }
    return bytes
  }
}
