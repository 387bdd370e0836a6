import Binary
import Platform
import Testing

@testable import ImageBuilder
@testable import Recipe

@Suite("Sources: downloads, copies and repositories")
struct SourceTests {
  private func write(_ bytes: [UInt8], _ name: String, in directory: TemporaryDirectory) throws -> SHA256.Digest {
    try Files.write(bytes, to: "\(directory.path)/\(name)")
    return SHA256.hash(bytes)
  }

  private func set(_ source: Recipe.Source, copies: [String: String] = [:]) throws -> SourceSet {
    let digest = String(repeating: "0", count: 64)
    let text = """
      name: test
      control-domain: {suite: trixie}
      sources: {it: {url: "https://example.org/it", sha256: \(digest)}}
      domains: [{name: d, memory: 64 MiB, source: {kernel: {from: it}}, ready: {console: x}}]
      """
    let recipe = try Recipe.parse(text, file: "r")
    return try SourceSet(
      Recipe(
        name: recipe.name, controlDomain: recipe.controlDomain, storage: recipe.storage, network: recipe.network,
        networks: recipe.networks, sources: ["it": source], domains: recipe.domains, api: nil, balancer: false,
        image: recipe.image, directory: recipe.directory), copies: copies,
      versions: [:])
  }

  /// Runs the steps and returns the path of the last one's file.
  private func make(_ products: [SourceSet.Product], in directory: TemporaryDirectory) throws -> String {
    let cache = try ResultCache("\(directory.path)/cache")
    defer { try? cache.removeScratch() }
    let executor = Executor(cache: cache, epoch: 0, jobs: 1, cancellation: Cancellation())
    let results = try executor.run(products.map(\.step)) { _ in }
    let last = try #require(products.last)
    return "\(try #require(results[last.step.name]).directory)/\(last.file)"
  }

  private let content = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }

  @Test("A download is checked, kept by its digest, and not fetched again")
  func download() throws {
    let directory = try TemporaryDirectory()
    let digest = try write(content, "file", in: directory)
    let sources = try set(.download(url: "file://\(directory.path)/file", sha256: digest))
    let made = try make([try sources.content("it")], in: directory)
    #expect(try Files.read(made) == content)
    #expect(try Files.read("\(directory.path)/cache/sources/\(digest)") == content)
    try Files.remove("\(directory.path)/file")
    try ResultCache.removeTree("\(directory.path)/cache/results")
    #expect(try Files.read(try make([try sources.content("it")], in: directory)) == content)
  }

  @Test("A download goes on where it was; a beginning that does not fit is thrown away")
  func resumed() throws {
    for beginning in [Array(content.prefix(100_000)), [UInt8](repeating: 7, count: 100_000), content] {
      let directory = try TemporaryDirectory()
      let digest = try write(content, "file", in: directory)
      let part = "\(directory.path)/cache/sources/\(digest).part"
      try Files.makeDirectories("\(directory.path)/cache/sources")
      try Files.write(beginning, to: part)
      let sources = try set(.download(url: "file://\(directory.path)/file", sha256: digest))
      #expect(try Files.read(try make([try sources.content("it")], in: directory)) == content)
      #expect(!Files.exists(part))
    }
    // That it went on, and did not begin anew: the server has lost the beginning since.
    let directory = try TemporaryDirectory()
    let digest = SHA256.hash(content)
    var spoilt = content
    spoilt[0] ^= 1
    _ = try write(spoilt, "file", in: directory)
    try Files.makeDirectories("\(directory.path)/cache/sources")
    try Files.write(Array(content.prefix(100_000)), to: "\(directory.path)/cache/sources/\(digest).part")
    let sources = try set(.download(url: "file://\(directory.path)/file", sha256: digest))
    #expect(try Files.read(try make([try sources.content("it")], in: directory)) == content)
  }

  @Test("Another content is refused with both digests, and not kept")
  func wrongDigest() throws {
    let directory = try TemporaryDirectory()
    let digest = try write(content, "file", in: directory)
    let pinned = SHA256.hash("something else")
    let url = "file://\(directory.path)/file"
    let path = "\(directory.path)/file"
    for sources in [
      try set(.download(url: url, sha256: pinned)),
      try set(.download(url: "https://127.0.0.1:9/file", sha256: pinned), copies: ["it": path]),
      try set(.file(path: path, sha256: pinned)),
    ] {
      let error = #expect(throws: BuildError.self) { try make([try sources.content("it")], in: directory) }
      #expect(error?.code == .wrongDigest)
      #expect(error?.message.hasPrefix("the source 'it' is not what the recipe pins") == true)
      #expect(error?.details.contains { $0.contains("\(digest)") } == true)
      #expect(error?.details.contains { $0.contains("\(pinned)") } == true)
    }
    #expect(try Files.list("\(directory.path)/cache/results").isEmpty)
    #expect(try !Files.list("\(directory.path)/cache/sources").contains { $0.hasSuffix(".part") || $0.count == 64 })
  }

  @Test("A download that is impossible names the file, its address and --source")
  func unreachable() throws {
    let directory = try TemporaryDirectory()
    let sources = try set(.download(url: "http://127.0.0.1:9/releases/base.txz", sha256: SHA256.hash("x")))
    let error = #expect(throws: BuildError.self) { try make([try sources.content("it")], in: directory) }
    #expect(error?.code == .downloadFailed)
    let text = error?.description ?? ""
    for part in ["base.txz", "http://127.0.0.1:9/releases/base.txz", "--source it=PATH", "curl: (7)"] {
      #expect(text.contains(part), "\(text)")
    }
  }

  @Test("A copy of the user's is taken instead of fetching, and one of nothing is refused at once")
  func copies() throws {
    let directory = try TemporaryDirectory()
    let digest = try write(content, "copy", in: directory)
    let source = Recipe.Source.download(url: "http://127.0.0.1:9/file", sha256: digest)
    let path = "\(directory.path)/copy"
    #expect(
      try Files.read(try make([try set(source, copies: ["it": path]).content("it")], in: directory)) == content)
    let missing = #expect(throws: BuildError.self) {
      try set(source, copies: ["it": "\(directory.path)/nowhere"]).content("it")
    }
    #expect(missing?.message == "there is no file \(directory.path)/nowhere to be the source 'it'")
    let unknown = #expect(throws: BuildError.self) { try set(source, copies: ["that": path]) }
    #expect(unknown?.message == "--source names 'that', which is no source of the recipe")
    #expect(unknown?.hint == "its sources are it")
  }

  @Test("A file of Debian's has what decides it in its key, is fetched anew when that is asked for, and may be a copy")
  func debianFile() throws {
    let directory = try TemporaryDirectory()
    func step(_ suite: String = "bookworm", _ package: String = "memtest86+", _ path: String = "boot/x") throws -> Step
    {
      try set(.debianFile(suite: suite, package: package, path: path)).content("it").step
    }
    let keys = try [step(), step("trixie"), step("bookworm", "ipxe"), step("bookworm", "memtest86+", "boot/y")].map {
      $0.key(digests: [])
    }
    #expect(Set(keys).count == keys.count)
    let source = Recipe.Source.debianFile(suite: "bookworm", package: "memtest86+", path: "boot/x")
    let plain = try set(source)
    let other = try SourceSet(plain.recipe, copies: [:], versions: [:], mirror: "http://127.0.0.1:9/", update: true)
    #expect(try other.content("it").step.key(digests: []) != keys[0])
    #expect(try other.content("it").step.isForced)
    #expect(try !plain.content("it").step.isForced)
    let unreachable = #expect(throws: BuildError.self) { try make([try other.content("it")], in: directory) }
    #expect(unreachable?.code == .mirrorUnreachable)
    #expect(unreachable?.message == "the source 'it': the mirror http://127.0.0.1:9/ cannot be reached")
    _ = try write(content, "copy", in: directory)
    let copied = try set(source, copies: ["it": "\(directory.path)/copy"])
    #expect(try Files.read(try make([try copied.content("it")], in: directory)) == content)
  }

  @Test("A file is taken out of an archive; one that is not there is named")
  func member() throws {
    let directory = try TemporaryDirectory()
    let archive = "\(directory.path)/a.tar"
    let writer = try ArchiveWriter(archive, .tar, epoch: 0)
    try writer.add(.directory("boot"))
    try writer.add(.bytes("boot/kernel", content))
    try writer.add(.link("boot/link", to: "kernel"))
    try writer.finish()
    let sources = try set(.file(path: archive, sha256: nil))
    #expect(try Files.read(try make(try sources.file("it", path: "boot/kernel"), in: directory)) == content)
    for (path, problem) in [
      ("boot/nothing", "the source 'it' has no file boot/nothing"),
      ("boot/link", "boot/link of the source 'it' is a link to kernel"), ("boot", "boot of the source 'it' is no file"),
    ] {
      let error = #expect(throws: BuildError.self) { try make(try sources.file("it", path: path), in: directory) }
      #expect(error?.message == problem)
    }
  }

  /// A repository with two files, and its only commit.
  private func repository(_ directory: TemporaryDirectory) throws -> (path: String, commit: String) {
    let path = "\(directory.path)/repository"
    try Files.makeDirectories("\(path)/386/bin")
    try Files.write("a kernel", to: "\(path)/386/9pcf")
    try Files.write("rc\n", to: "\(path)/386/bin/rc", permissions: 0o755)
    try Files.write("not wanted", to: "\(path)/README")
    let script = """
      cd "$1"; git init -q .; git add .
      git -c user.name=a -c user.email=a@b commit -q -m one; git rev-parse HEAD
      """
    let command = Command(
      ["sh", "-c", script, "sh", path],
      environment: ["GIT_AUTHOR_DATE": "1000000000 +0000", "GIT_COMMITTER_DATE": "1000000000 +0000"])
    let outcome = try command.run(cancellation: Cancellation())
    try #require(outcome.status.isSuccess, "\(outcome.text)")
    return (path, String(outcome.text.split(separator: "\n").last ?? ""))
  }

  @Test(
    "A repository's commit is fetched alone, or taken from a repository of the user's; only what is wanted is in it")
  func repositories() throws {
    let directory = try TemporaryDirectory()
    let (path, commit) = try repository(directory)
    let selection = TreeSelection(title: "files", required: ["386/9pcf"], optional: ["absent"], folders: ["386/bin"])
    var tars: [[UInt8]] = []
    for (url, copies) in [("file://\(path)", [:]), ("https://127.0.0.1:9/x", ["it": path])] {
      let own = try TemporaryDirectory()
      let sources = try set(.repository(url: url, commit: commit), copies: copies)
      let made = try make([try sources.tree("it", selection)], in: own)
      let files = try Tree.extract(made, cancellation: Cancellation()) { _ in true }
      #expect(files == ["386/9pcf": Array("a kernel".utf8), "386/bin/rc": Array("rc\n".utf8)])
      tars.append(try Files.read(made))
      let kernel = try make(try sources.file("it", path: "386/9pcf"), in: own)
      #expect(try Files.readText(kernel) == "a kernel")
    }
    #expect(tars[0] == tars[1])
  }

  @Test("A repository without the commit or the file is refused by name")
  func badRepositories() throws {
    let directory = try TemporaryDirectory()
    let (path, commit) = try repository(directory)
    let other = String(repeating: "1", count: 40)
    let selection = TreeSelection(title: "files", required: ["386/9pcf"])
    let absent = #expect(throws: BuildError.self) {
      try make(
        [try set(.repository(url: "https://127.0.0.1:9/x", commit: other), copies: ["it": path]).tree("it", selection)],
        in: directory)
    }
    #expect(absent?.message == "the repository \(path) does not hold the commit \(other) of the source 'it'")
    #expect(absent?.hint == "fetch it there: git -C \(path) fetch https://127.0.0.1:9/x \(other)")
    let unreachable = #expect(throws: BuildError.self) {
      try make([try set(.repository(url: "http://127.0.0.1:9/x", commit: other)).tree("it", selection)], in: directory)
    }
    #expect(unreachable?.code == .downloadFailed)
    #expect(unreachable?.message.contains("commit \(other) from http://127.0.0.1:9/x") == true)
    #expect(unreachable?.hint?.contains("--source it=PATH") == true)
    let wrong = #expect(throws: BuildError.self) {
      try make(
        try set(.repository(url: "", commit: commit), copies: ["it": path]).file("it", path: "bin/rc"), in: directory)
    }
    #expect(
      wrong?.message
        == "the source 'it' has no file bin/rc at commit \(commit.prefix(12)); it has 386/bin/rc")
    let nowhere = #expect(throws: BuildError.self) {
      try set(.repository(url: "", commit: commit), copies: ["it": "/nonexistent"]).tree("it", selection)
    }
    #expect(nowhere?.message == "there is no repository /nonexistent to be the source 'it'")
  }
}
