internal import Binary
internal import Platform

/// Results of steps, each in a directory named by the digest of what decides it.
///
/// ```
/// CACHE/results/<key>/…        files of one result, and `digests`: one line `<digest>  <file>` for each; `name`: the step's
/// CACHE/packages/<suite>/…     downloaded packages
/// CACHE/sources/…              downloaded files by their digests, and repositories
/// CACHE/scratch/<build>/…      a running build's scratch; removed at its end
/// CACHE/logs/…                 what programs printed
/// ```
/// A result is made in `scratch`, synced, and renamed: it is there whole or not at all.
struct ResultCache: Sendable {
  let directory: String
  /// What a result has beside its files.
  static let digestFile = "digests"
  static let nameFile = "name"
  /// Directory of the results.
  private let results: String
  /// This build's own scratch.
  let scratch: String

  /// Opens a cache, and clears what builds left that were killed.
  init(_ path: String, results: String? = nil) throws(BuildError) {
    let directory = try attempt("cannot use the cache \(path)") { () throws(SystemError) in
      for part in ["packages", "sources", "scratch", "logs"] { try Files.makeDirectories("\(path)/\(part)") }
      let directory = try Files.resolve(path)
      try Leftovers.sweep("\(directory)/scratch")
      return directory
    }
    self.directory = directory
    self.results = results ?? "\(directory)/results"
    scratch = "\(directory)/scratch/\(Leftovers.ownName)"
    // A result of another build of this process's number cannot be there: it would be running.
    try removeScratch()
    let scratch = scratch
    let folder = self.results
    try attempt("cannot use the cache \(path)") { () throws(SystemError) in
      try Files.makeDirectories(scratch)
      try Files.makeDirectories(folder)
    }
  }

  /// Where the host keeps caches: `$XDG_CACHE_HOME/roost`, else `~/.cache/roost`.
  static var standardDirectory: String {
    if let base = ProcessEnvironment.value("XDG_CACHE_HOME"), base.hasPrefix("/") { return "\(base)/roost" }
    return "\(ProcessEnvironment.value("HOME") ?? "/root")/.cache/roost"
  }

  /// The directory of a result.
  func path(of key: SHA256.Digest) -> String { "\(results)/\(key)" }

  /// Digests of a result's files, by name; nil when the result is not there or not whole.
  func digests(of key: SHA256.Digest, files: [String]) -> [String: String]? {
    let list = "\(path(of: key))/\(Self.digestFile)"
    guard let text = try? Files.readText(list) else { return nil }
    var digests: [String: String] = [:]
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 1)
      if words.count == 2 { digests[String(words[1].drop { $0 == " " })] = String(words[0]) }
    }
    for file in files where digests[file] == nil || !Files.exists("\(path(of: key))/\(file)") { return nil }
    // It was used now; where that cannot be noted it is the first to go.
    try? Files.touch(list)
    return digests
  }

  /// Files a finished result: digests its files, syncs them, and renames the directory.
  func store(
    _ made: String, as key: SHA256.Digest, name: String, files: [String], isForced: Bool = false
  ) throws(BuildError) -> [String: String] {
    // Another build's, or another step's that is made of the same: somebody may be reading it.
    if !isForced, let present = digests(of: key, files: files) { return present }
    var digests: [String: String] = [:]
    for file in files {
      guard Files.exists("\(made)/\(file)") else {
        throw BuildError(.content, "a step did not make its file \(file)")
      }
      digests[file] = try attempt("cannot read the result") { () throws(SystemError) in
        try FileDigest.chunked("\(made)/\(file)").description
      }
    }
    let lines = files.sorted().map { "\(digests[$0] ?? "")  \($0)\n" }.joined()
    let target = path(of: key)
    try attempt("cannot write to the cache \(directory)") { () throws(SystemError) in
      for file in files { try FileDescriptor(opening: "\(made)/\(file)").synchronize() }
      try Files.write(name, to: "\(made)/\(Self.nameFile)")
      try Files.replace("\(made)/\(Self.digestFile)", with: Array(lines.utf8))
      // An incomplete one of that name has no use; one that is to be made again is replaced.
      try Files.removeTree(target)
      try Files.rename(made, to: target)
    }
    return digests
  }

  /// Removes this build's scratch.
  func removeScratch() throws(BuildError) {
    let scratch = scratch
    try attempt("cannot clear \(scratch)") { () throws(SystemError) in try ResultCache.removeTree(scratch) }
  }

  /// Removes a tree, also one whose files belong to the user's subordinate ids.
  static func removeTree(_ path: String) throws(SystemError) {
    do throws(SystemError) {
      try Files.removeTree(path)
    } catch {
      guard !ProcessEnvironment.isSuperuser else { throw error }
      let command = Command(Tool.withOwners(["rm", "-rf", "--", path]))
      _ = try? command.run(cancellation: Cancellation())
      try Files.removeTree(path)
    }
  }
}
