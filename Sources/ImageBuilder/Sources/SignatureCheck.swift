internal import Binary
internal import FoundationEssentials
internal import Platform
internal import Recipe

/// Whether a source's file is signed by who the recipe says: by GPG or signify, which have programs for just that, and with the
/// recipe's key and no other of this machine's.
///
/// What is signed is the file, or a list of SHA-256 digests with the file's in it.
struct SignatureCheck: Sendable {
  /// The source's name in the recipe.
  let source: String
  let location: String
  let isRemote: Bool
  /// The file of the keys.
  let key: String
  /// What decides whether it holds, beside the file.
  let settings: [String]

  /// Bytes of a signature, a signed list or a file of keys.
  private static let limit = 4 << 20
  private static let signifyMark = Array("untrusted comment: ".utf8)
  private static let armorMark = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
  private static let clearMark = Array("-----BEGIN PGP SIGNED MESSAGE-----".utf8)

  init(_ signature: Recipe.SourceSignature, source: String, recipe: Recipe) throws(BuildError) {
    self.source = source
    isRemote = signature.isRemote
    location = isRemote ? signature.location : recipe.resolve(signature.location)
    key = recipe.resolve(signature.key)
    var settings = [signature.location]
    for path in isRemote ? [key] : [key, location] {
      settings.append(
        try attempt("cannot read \(path)") { () throws(SystemError) in try FileDigest.plain(path).description })
    }
    self.settings = settings
  }

  /// The program that knows a key of this kind.
  static func tool(key: String) -> String { isSignify(key) ? "signify-openbsd" : "gpgv" }

  private static func isSignify(_ path: String) -> Bool {
    (try? DiskImage.head(path, count: signifyMark.count)) == signifyMark
  }

  /// Checks the file of the source. One that is not signed is removed, from the cache as well.
  func run(_ file: String, _ context: borrowing StepContext) throws(BuildError) {
    context.progress("checking the signature")
    let signature = "\(context.scratch)/signature"
    try fetch(to: signature, context)
    let (arguments, message) = try command(file, signature, context)
    let outcome = try Command(arguments, environment: ["GNUPGHOME": context.scratch], epoch: context.epoch)
      .run(cancellation: context.cancellation, log: context.log)
    guard outcome.status.isSuccess else {
      throw try refusal(file, context, outcome.text.split(separator: "\n").map(String.init))
    }
    guard let message else { return }
    let digest = try attempt("cannot read \(file)") { () throws(SystemError) in try FileDigest.plain(file) }
    let lines = try read(message).split(separator: 10)
    let isListed = lines.contains { line in
      String(decoding: line, as: UTF8.self).split { !$0.isASCII || !($0.isLetter || $0.isNumber) }
        .contains { $0.lowercased() == digest.description }
    }
    guard isListed else {
      throw try refusal(file, context, ["the signed list does not have the file's SHA-256, \(digest)"])
    }
  }

  /// What is run, and where the signed list is then, if there is one.
  private func command(
    _ file: String, _ signature: String, _ context: borrowing StepContext
  ) throws(BuildError) -> (arguments: [String], message: String?) {
    let bytes = try read(signature)
    let message = "\(context.scratch)/signed"
    if Self.isSignify(key) {
      let verify = ["signify-openbsd", "-V", "-p", key, "-x", signature]
      // A comment and the signature; what follows is a message that it is of.
      let isList = bytes.split(separator: 10, maxSplits: 2).count > 2
      return isList ? (verify + ["-e", "-m", message], message) : (verify + ["-m", file], nil)
    }
    let verify = ["gpgv", "--homedir", context.scratch, "--keyring", try keyring(context)]
    return bytes.starts(with: Self.clearMark)
      ? (verify + ["--output", message, signature], message) : (verify + [signature, file], nil)
  }

  /// The keys as gpgv reads them, without the armour that they are handed around in.
  private func keyring(_ context: borrowing StepContext) throws(BuildError) -> String {
    let bytes = try read(key)
    let path = "\(context.scratch)/keyring.gpg"
    var binary = bytes
    let text = String(decoding: bytes, as: UTF8.self)
    if text.contains(Self.armorMark) {
      guard let found = Self.dearmored(text) else {
        throw BuildError(
          .badFile, "\(key), the key of the source '\(source)', is damaged",
          hint: "export it again: gpg --export --armor KEY")
      }
      binary = found
    }
    try attempt("cannot write the keys") { () throws(SystemError) in try Files.write(binary, to: path) }
    return path
  }

  /// The keys of all blocks of an armoured text (RFC 9580, section 6.2): headers, an empty line, base64, a checksum.
  static func dearmored(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    var encoded: String?
    var isInHead = false
    for line in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
      let line = line.filter { $0 != " " }
      if line == armorMark.filter({ $0 != " " }) {
        (encoded, isInHead) = ("", true)
      } else if line.hasPrefix("-----END") {
        guard let block = encoded, let decoded = Data(base64Encoded: block) else { return nil }
        bytes += decoded
        encoded = nil
      } else if isInHead {
        isInHead = !line.isEmpty
      } else if encoded != nil, !line.hasPrefix("=") {
        encoded? += line
      }
    }
    return bytes.isEmpty ? nil : bytes
  }

  private func read(_ path: String) throws(BuildError) -> [UInt8] {
    let bytes = try attempt("cannot read \(path)") { () throws(SystemError) in
      try FileDescriptor(opening: path).read(upTo: Self.limit + 1)
    }
    guard bytes.count <= Self.limit else {
      throw BuildError(.badFile, "\(path) has more than \(Self.limit >> 20) MiB, which no signature has")
    }
    return bytes
  }

  private func fetch(to path: String, _ context: borrowing StepContext) throws(BuildError) {
    guard isRemote else {
      let bytes = try read(location)
      return try attempt("cannot write the signature") { () throws(SystemError) in try Files.write(bytes, to: path) }
    }
    try context.refuseOffline("the signature of the source '\(source)' is")
    let outcome = try Command(
      Curl.arguments(location, to: path, ["--max-time", "300", "--max-filesize", "\(Self.limit)", "--silent"])
    ).run(cancellation: context.cancellation, log: context.log)
    guard outcome.status.isSuccess else {
      throw BuildError(
        .downloadFailed, "the signature of the source '\(source)' cannot be downloaded from \(location)",
        hint: "check the network (and https_proxy), or name a copy of it in the recipe",
        details: Curl.complaints(outcome), log: context.log)
    }
  }

  /// Removes what is not signed, and says so.
  private func refusal(
    _ file: String, _ context: borrowing StepContext, _ words: [String]
  ) throws(BuildError) -> BuildError {
    let digest = try attempt("cannot read \(file)") { () throws(SystemError) in try FileDigest.plain(file) }
    try attempt("cannot remove what is not signed") { () throws(SystemError) in
      for path in [file, "\(context.cache)/sources/\(digest)"] where Files.exists(path) { try Files.remove(path) }
    }
    return BuildError(
      .wrongSignature, "the source '\(source)' is not signed by a key of \(key): \(location) says otherwise",
      hint: "compare key and signature with what its makers publish; nothing of the file was kept",
      details: words.suffix(6).map { EscapedText.make($0) })
  }
}
