internal import Binary
internal import Platform

/// What builds keep: results of steps, packages and downloads, for all recipes together.
///
/// An entry is used when a build makes it or takes it; its time says when that was last.
public struct BuildCache: Sendable {
  /// A result, a package or a download.
  public struct Entry: Sendable, Hashable {
    /// What kind of thing it is.
    public enum Kind: String, Sendable, Hashable, CaseIterable {
      /// What a step of a build made.
      case result
      /// A Debian package.
      case package
      /// A file or a repository that a recipe pins, or what came of it so far.
      case source
    }

    /// What kind of thing it is.
    public let kind: Kind
    /// The step's name, the package's file, or the file in the cache.
    public let name: String
    /// Bytes on the file system that it alone has.
    public let bytes: Int
    /// Seconds since 1970.
    public let used: Int
    let path: String
  }

  /// Its directory.
  public let directory: String

  /// The cache in `directory`; nil for the user's own.
  public init(_ directory: String?) {
    self.directory = directory ?? ResultCache.standardDirectory
  }

  /// All that is in it, what was used last first. Nothing where there is no cache.
  public func entries() throws(BuildError) -> [Entry] {
    var entries: [Entry] = []
    for name in try list("results") {
      let path = "\(directory)/results/\(name)"
      let title = (try? Files.readText("\(path)/\(ResultCache.nameFile)")) ?? name
      // Its time is the list of digests'; without one it is not whole.
      let used = (try? Files.status("\(path)/\(ResultCache.digestFile)"))?.modified ?? 0
      entries.append(Entry(kind: .result, name: title, bytes: Files.allocated(path), used: used, path: path))
    }
    for suite in try list("packages") {
      for name in try list("packages/\(suite)") {
        add(.package, "\(suite)/\(name)", in: "packages", to: &entries)
      }
    }
    for name in try list("sources") where !name.hasSuffix(".lock") {
      add(.source, name, in: "sources", to: &entries)
    }
    return entries.sorted { ($0.used, $1.name) > ($1.used, $0.name) }
  }

  private func add(_ kind: Entry.Kind, _ name: String, in part: String, to entries: inout [Entry]) {
    let path = "\(directory)/\(part)/\(name)"
    guard let status = try? Files.status(path) else { return }
    entries.append(Entry(kind: kind, name: name, bytes: Files.allocated(path), used: status.modified, path: path))
  }

  /// Removes entries. Refused while a build runs, which may be about to take them.
  public func remove(_ entries: [Entry]) throws(BuildError) {
    try refuseRunningBuilds()
    for entry in entries {
      try attempt("cannot remove \(entry.path)") { () throws(SystemError) in try ResultCache.removeTree(entry.path) }
    }
  }

  /// Compares results and downloads with their digests, and removes those that have another content; these. `progress` gets
  /// the name of each before it is read.
  ///
  /// Packages are not among them: apt compares each with the archive's index when it takes it, and a lock with its own.
  public func verify(cancellation: Cancellation, progress: (String) -> Void) throws(BuildError) -> [Entry] {
    var broken: [Entry] = []
    for entry in try entries() {
      try cancellation.check()
      switch entry.kind {
      case .package: continue
      case .result:
        progress(entry.name)
        if try !isWhole(result: entry.path) { broken.append(entry) }
      case .source:
        // Named by its digest; what is not whole yet, and repositories, which git checks, are not.
        guard let digest = SHA256.Digest(hex: entry.name) else { continue }
        progress(entry.name)
        let found = try attempt("cannot read \(entry.path)") { () throws(SystemError) in
          try FileDigest.plain(entry.path)
        }
        if found != digest { broken.append(entry) }
      }
    }
    try remove(broken)
    return broken
  }

  private func isWhole(result path: String) throws(BuildError) -> Bool {
    guard let text = try? Files.readText("\(path)/\(ResultCache.digestFile)") else { return false }
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ", maxSplits: 1)
      guard words.count == 2 else { return false }
      let file = "\(path)/\(words[1].drop { $0 == " " })"
      guard Files.exists(file) else { return false }
      let found = try attempt("cannot read \(file)") { () throws(SystemError) in try FileDigest.chunked(file) }
      guard found.description == words[0] else { return false }
    }
    return true
  }

  private func refuseRunningBuilds() throws(BuildError) {
    for name in try list("scratch") where Leftovers.isRunning(name) {
      throw BuildError(
        .refused, "a build uses the cache \(directory): process \(name.prefix { $0 != "-" })",
        hint: "try again when it has ended")
    }
  }

  private func list(_ part: String) throws(BuildError) -> [String] {
    let path = "\(directory)/\(part)"
    guard Files.exists(path) else { return [] }
    return try attempt("cannot read the cache") { () throws(SystemError) in try Files.list(path) }
  }
}
