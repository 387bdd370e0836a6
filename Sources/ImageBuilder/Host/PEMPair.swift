internal import FoundationEssentials
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

  /// Whether a key's file, in PEM, has one of RSA: it says so, or its content does (RFC 5958, section 2).
  static func isRSA(_ key: [UInt8]) -> Bool {
    let text = String(decoding: key, as: UTF8.self)
    if text.contains("-----BEGIN RSA PRIVATE KEY-----") { return true }
    let lines = text.split(whereSeparator: \.isNewline).drop { $0 != "-----BEGIN PRIVATE KEY-----" }
    let content = lines.dropFirst().prefix { !$0.hasPrefix("-----") }.joined()
    guard let bytes = Data(base64Encoded: content) else { return false }
    // A number and the algorithm come before the key itself.
    return Array(bytes.prefix(32)).firstRange(of: rsaEncryption) != nil
  }

  /// 1.2.840.113549.1.1.1 in DER (RFC 8017, appendix C).
  private static let rsaEncryption: [UInt8] = [
    0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01,
  ]

  private func read(_ path: String, _ word: String) throws(BuildError) -> [UInt8] {
    let bytes = try attempt("cannot read a file of '\(owner)'") { () throws(SystemError) in try Files.read(path) }
    let lines = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
    guard lines.contains(where: { $0.hasPrefix("-----BEGIN ") && $0.contains("\(word)-----") }) else {
      throw BuildError(
        .badFile, "\(path) has no PEM block '\(word)'",
        hint: "correct 'certificate' and 'key' in the recipe's '\(owner)'")
    }
    return bytes
  }
}
