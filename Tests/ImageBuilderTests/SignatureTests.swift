import Binary
import Platform
import Testing

@testable import ImageBuilder
@testable import Recipe

@Suite("Sources: signatures")
struct SignatureTests {
  /// A folder with a signed file, its signatures and the keys.
  private func folder() throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    for (name, text) in [
      ("file", SignatureSamples.content), ("good.asc", SignatureSamples.key), ("other.asc", SignatureSamples.otherKey),
      ("both.asc", SignatureSamples.otherKey + SignatureSamples.key), ("file.sig", SignatureSamples.detached),
      ("list.asc", SignatureSamples.list), ("unsigned", "no signature\n"),
    ] {
      try directory.write(name, text)
    }
    let script = """
      cd "$1"; sha256sum --tag file >list
      for name in good other; do signify-openbsd -G -n -p $name.pub -s $name.sec; done
      signify-openbsd -S -s good.sec -m file -x signify.sig; signify-openbsd -S -e -s good.sec -m list -x signify.list
      """
    let outcome = try Command(["sh", "-euc", script, "sh", directory.path]).run(cancellation: Cancellation())
    try #require(outcome.status.isSuccess, "\(outcome.text)")
    return directory
  }

  private func make(_ directory: TemporaryDirectory, _ signature: String, key: String, isLocal: Bool = false) throws {
    let path = "\(directory.path)/file"
    let digest = SHA256.hash(try Files.read(path))
    let place = isLocal ? "file: file" : "url: \"file://\(path)\""
    let text = """
      name: test
      control-domain: {suite: trixie}
      sources: {it: {\(place), sha256: \(digest), signature: "\(signature)", key: \(key)}}
      domains: [{name: d, memory: 64 MiB, source: {kernel: {from: it}}, ready: {console: x}}]
      """
    let recipe = try Recipe.parse(text, file: "\(directory.path)/r.yaml", directory: directory.path)
    let product = try SourceSet(recipe, copies: [:], versions: [:]).content("it")
    let cache = try ResultCache("\(directory.path)/cache")
    defer { try? cache.removeScratch() }
    let executor = Executor(cache: cache, epoch: 0, jobs: 1, cancellation: Cancellation())
    let results = try executor.run([product.step]) { _ in }
    #expect(try Files.read("\(results[product.step.name]?.directory ?? "")/\(product.file)") == Files.read(path))
  }

  /// What is kept of files in the cache.
  private func kept(_ directory: TemporaryDirectory) throws -> [String] {
    try Files.list("\(directory.path)/cache/sources").filter { !$0.hasSuffix(".lock") }
      + Files.list("\(directory.path)/cache/results")
  }

  @Test(
    "Signatures of the file and signed lists of digests, by GPG and signify, from files and by URL",
    arguments: [
      ("file.sig", "good.asc"), ("list.asc", "good.asc"), ("file.sig", "both.asc"), ("signify.sig", "good.pub"),
      ("signify.list", "good.pub"),
    ])
  func good(_ signature: String, _ key: String) throws {
    let directory = try folder()
    try make(directory, signature, key: key)
    #expect(try kept(directory).count == 2)
    try make(directory, "file://\(directory.path)/\(signature)", key: key)
    try make(directory, signature, key: key, isLocal: true)
  }

  @Test(
    "Another's key, no signature, and a list without the file: the file leaves the cache, and the error names it all",
    arguments: [
      ("file.sig", "other.asc", "gpgv: "), ("list.asc", "other.asc", "gpgv: "), ("unsigned", "good.asc", "gpgv: "),
      ("signify.sig", "other.pub", "signify"), ("signify.list", "other.pub", "signify"),
      ("unsigned", "good.pub", "signify"),
    ])
  func bad(_ signature: String, _ key: String, _ words: String) throws {
    let directory = try folder()
    let error = #expect(throws: BuildError.self) { try make(directory, signature, key: key) }
    #expect(error?.code == .wrongSignature)
    for part in ["the source 'it'", "\(directory.path)/\(key)", "\(directory.path)/\(signature)"] {
      #expect(error?.message.contains(part) == true, "\(String(describing: error))")
    }
    #expect(error?.details.contains { $0.contains(words) } == true, "\(String(describing: error))")
    #expect(try kept(directory).isEmpty)
  }

  @Test(
    "A file that is not what was signed",
    arguments: [
      ("file.sig", "good.asc"), ("list.asc", "good.asc"), ("signify.sig", "good.pub"), ("signify.list", "good.pub"),
    ])
  func changed(_ signature: String, _ key: String) throws {
    let directory = try folder()
    try directory.write("file", "signed content?\n")
    let error = #expect(throws: BuildError.self) { try make(directory, signature, key: key) }
    #expect(error?.code == .wrongSignature && error?.details.isEmpty == false)
    #expect(try kept(directory).isEmpty)
    // The user's own file stays where it is.
    _ = #expect(throws: BuildError.self) { try make(directory, signature, key: key, isLocal: true) }
    #expect(try directory.text("file") == "signed content?\n")
  }

  @Test("Keys in a damaged armour, and a signature that cannot be fetched")
  func unreadable() throws {
    let directory = try folder()
    try directory.write("damaged.asc", SignatureSamples.key.replacing("mDM", with: "m?M"))
    let key = #expect(throws: BuildError.self) { try make(directory, "file.sig", key: "damaged.asc") }
    #expect(key?.code == .badFile && key?.message.contains("damaged.asc") == true)
    let fetch = #expect(throws: BuildError.self) { try make(directory, "http://127.0.0.1:9/sig", key: "good.asc") }
    #expect(fetch?.code == .downloadFailed && fetch?.message.contains("http://127.0.0.1:9/sig") == true)
    #expect(SignatureCheck.dearmored("") == nil)
    let lines = SignatureSamples.key.replacing("\n", with: "\r\n")
    #expect(SignatureCheck.dearmored(lines) == SignatureCheck.dearmored(SignatureSamples.key))
    #expect(SignatureCheck.dearmored(lines) != nil)
  }

  @Test("The recipe's text: both keys, on a file, in the recipe's folder")
  func text() throws {
    let directory = try TemporaryDirectory()
    try directory.write("key", "x")
    let digest = String(repeating: "a", count: 64)
    func problems(_ source: String) -> String {
      let text = """
        name: test
        control-domain: {suite: trixie}
        sources: {it: {\(source)}}
        domains: [{name: d, memory: 64 MiB, source: {kernel: k}, ready: {console: x}}]
        """
      do {
        _ = try Recipe.parse(text, file: "r.yaml", directory: directory.path)
        return ""
      } catch { return "\(error)" }
    }
    let url = "url: \"https://example.org/f\", sha256: \(digest)"
    #expect(problems("\(url), signature: \"https://example.org/s\", key: key") == "")
    #expect(problems("\(url), signature: \"https://example.org/s\"").contains("'signature' without 'key'"))
    #expect(problems("\(url), key: key").contains("'key' without 'signature'"))
    #expect(problems("\(url), signature: \"ftp://example.org/s\", key: key").contains("URL"))
    #expect(problems("\(url), signature: key, key: ../key").contains("no file's path"))
    #expect(problems("\(url), signature: nothing, key: key").contains("is not there"))
    let git = "git: \"https://example.org/f\", commit: \(digest.prefix(40))"
    #expect(problems("\(git), signature: key, key: key").contains("'git' has no file to be signed"))
  }
}
