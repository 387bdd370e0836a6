import Binary
import Platform
import Testing

@testable import ImageBuilder

@Suite("The cache of builds")
struct BuildCacheTests {
  /// A cache with a result of two files, two packages, a download, a part of one, and a lock beside it.
  private func fill(_ directory: TemporaryDirectory) throws -> (BuildCache, SHA256.Digest) {
    let results = try ResultCache(directory.path)
    let key = SHA256.hash("key")
    let made = "\(results.scratch)/made"
    try Files.makeDirectories(made)
    try Files.write("one", to: "\(made)/a")
    try Files.write("two!", to: "\(made)/b")
    _ = try results.store(made, as: key, name: "a step", files: ["a", "b"])
    try Files.makeDirectories("\(directory.path)/packages/trixie")
    for name in ["bash_1_amd64.deb", "vim_2_all.deb"] {
      try Files.write("deb", to: "\(directory.path)/packages/trixie/\(name)")
    }
    let digest = SHA256.hash("a file")
    try Files.write("a file", to: "\(directory.path)/sources/\(digest)")
    try Files.write("a fi", to: "\(directory.path)/sources/\(SHA256.hash("other")).part")
    try Files.write("", to: "\(directory.path)/sources/\(digest).lock")
    try results.removeScratch()
    return (BuildCache(directory.path), key)
  }

  @Test("It tells what is there: results by their steps, packages, downloads")
  func entries() throws {
    let directory = try TemporaryDirectory()
    #expect(try BuildCache("\(directory.path)/none").entries().isEmpty)
    let (cache, _) = try fill(directory)
    let entries = try cache.entries()
    #expect(entries.count == 5)
    #expect(entries.filter { $0.kind == .result }.map(\.name) == ["a step"])
    #expect(entries.filter { $0.kind == .package }.map(\.name) == ["trixie/bash_1_amd64.deb", "trixie/vim_2_all.deb"])
    #expect(entries.allSatisfy { $0.bytes < 1 << 20 })
    #expect(entries.allSatisfy { $0.used > 1_700_000_000 })
  }

  @Test("An entry is as large as what it takes on the disk, without holes")
  func sparse() throws {
    let directory = try TemporaryDirectory()
    let (cache, _) = try fill(directory)
    let path = "\(directory.path)/sources/\(SHA256.hash("sparse"))"
    let file = try FileDescriptor(opening: path, [.readWrite, .create])
    try file.truncate(to: 1 << 40)
    try file.writeAll([UInt8](repeating: 1, count: 3 << 20), at: 1 << 30)
    try file.synchronize()
    let bytes = try cache.entries().filter { path.hasSuffix("/\($0.name)") }.map(\.bytes)
    #expect(bytes.count == 1 && bytes.allSatisfy { (3 << 20)..<(4 << 20) ~= $0 }, "\(bytes)")
  }

  @Test("What is taken is used now")
  func use() throws {
    let directory = try TemporaryDirectory()
    let (cache, key) = try fill(directory)
    let results = try ResultCache(directory.path)
    let list = "\(results.path(of: key))/\(ResultCache.digestFile)"
    _ = try Command(["touch", "-d", "@1000", list]).run(cancellation: Cancellation())
    #expect(try cache.entries().last?.used == 1000)
    #expect(results.digests(of: key, files: ["a"]) != nil)
    #expect(try cache.entries().allSatisfy { $0.used > 1_700_000_000 })
  }

  @Test("What is removed is gone, and nothing else; not while a build runs")
  func removal() throws {
    let directory = try TemporaryDirectory()
    let (cache, key) = try fill(directory)
    let entries = try cache.entries()
    let results = try ResultCache(directory.path)
    #expect(throws: BuildError.self) { try cache.remove(entries) }
    try results.removeScratch()
    try cache.remove(entries.filter { $0.kind == .result })
    #expect(results.digests(of: key, files: []) == nil)
    #expect(try cache.entries().count == 4)
    try cache.remove(try cache.entries())
    #expect(try cache.entries().isEmpty)
  }

  @Test(
    "A broken result or download is found and removed",
    arguments: ["results/KEY/a", "results/KEY/b", "sources/DIGEST"])
  func verification(file: String) throws {
    let directory = try TemporaryDirectory()
    let (cache, key) = try fill(directory)
    #expect(try cache.verify(cancellation: Cancellation()) { _ in }.isEmpty)
    let path = file.replacing("KEY", with: "\(key)").replacing("DIGEST", with: "\(SHA256.hash("a file"))")
    // Of the same size.
    let other = file.hasSuffix("b") ? "TWO!" : file.hasSuffix("a") ? "ONE" : "A FILE"
    try Files.write(other, to: "\(directory.path)/\(path)")
    var seen: [String] = []
    let broken = try cache.verify(cancellation: Cancellation()) { seen.append($0) }
    #expect(broken.count == 1 && seen.count == 2)
    #expect(try cache.entries().count == 4)
    #expect(try cache.verify(cancellation: Cancellation()) { _ in }.isEmpty)
  }

  @Test("A result without one of its files is broken; verifying can be interrupted")
  func missing() throws {
    let directory = try TemporaryDirectory()
    let (cache, key) = try fill(directory)
    let cancellation = Cancellation()
    cancellation.cancel()
    #expect(throws: BuildError.self) { try cache.verify(cancellation: cancellation) { _ in } }
    try Files.remove("\(directory.path)/results/\(key)/b")
    #expect(try cache.verify(cancellation: Cancellation()) { _ in }.map(\.name) == ["a step"])
  }

  @Test("Offline, what is not in the cache is named instead of fetched")
  func offline() throws {
    let directory = try TemporaryDirectory()
    try Files.makeDirectories("\(directory.path)/sources")
    var context = StepContext(
      output: directory.path, scratch: directory.path, log: "\(directory.path)/log", epoch: 1, cache: directory.path,
      cancellation: Cancellation(), results: [:], report: { _ in })
    context.isOffline = true
    func refusal(_ body: () throws(BuildError) -> Void) -> String {
      do throws(BuildError) {
        try body()
        return "fetched"
      } catch {
        #expect(error.code == .offline)
        return "\(error)"
      }
    }
    let digest = SHA256.hash("a file")
    let download = Download(source: "disc", url: "http://127.0.0.1:9/disc.iso", sha256: digest)
    let refused = refusal { () throws(BuildError) in try download.make(context) }
    #expect(refused.contains("'disc' (disc.iso) is not in the cache"))
    let repository = RepositoryExport(
      source: "tree", url: "http://127.0.0.1:9/tree", commit: String(repeating: "0f", count: 20), local: nil,
      selection: TreeSelection(title: "a", required: ["a"]))
    #expect(refusal { () throws(BuildError) in try repository.make(context) }.contains("of the source 'tree' is not"))
    let root = DebianRoot(role: .guest, suite: "trixie", packages: [], mirror: nil, owner: "one")
    let step = root.step(epoch: 1, versions: [:], isForced: false)
    #expect(refusal { () throws(BuildError) in try step.run(context) }.contains("a Debian trixie that no lock says"))
    // What is there is taken.
    try Files.write("a file", to: "\(directory.path)/sources/\(digest)")
    try download.make(context)
    #expect(try directory.text(SourceSet.contentFile) == "a file")
  }
}
