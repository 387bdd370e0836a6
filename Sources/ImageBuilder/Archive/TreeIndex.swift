/// What is where in a root file system that is an archive.
struct TreeIndex: Sendable {
  private(set) var entries: [String: ArchiveEntry] = [:]
  /// The contents of the files that were asked for.
  private(set) var contents: [String: [UInt8]] = [:]

  /// Of a tree with nothing in it.
  init() {}

  /// Of a tree of which only these files are known.
  init(contents: [String: [UInt8]]) { self.contents = contents }

  /// Reads the archive; keeps the contents of the files that `keeping` names.
  init(_ archive: String, cancellation: Cancellation, keeping: (String) -> Bool) throws(BuildError) {
    let reader = try ArchiveReader(archive)
    while let entry = try reader.next() {
      try cancellation.check()
      if entry.path.isEmpty { continue }
      entries[entry.path] = entry
      if entry.kind == .file, keeping(entry.path) { contents[entry.path] = try reader.readAll() }
    }
  }

  /// Notes something that is there now.
  mutating func note(_ entry: ArchiveEntry) { entries[entry.path] = entry }

  /// Forgets what is no longer there.
  mutating func forget(_ path: String) { entries[path] = nil }

  /// Forgets all that `isGone` names.
  mutating func forget(where isGone: (String) -> Bool) {
    entries = entries.filter { !isGone($0.key) }
  }

  /// What the kernel would find at a path: links on the way lead where they do in the tree, and never out of it. A link at
  /// the end is itself, unless it is followed. Nil where links lead nowhere. `passing` is told of each link that is followed.
  func place(
    of path: String, followingLast: Bool = false, passing: (String) -> Void = { _ in }
  ) -> String? {
    var walk = PathWalk(TreePath.parts(path))
    var done: [String] = []
    while let step = walk.next() {
      guard case .name(let part) = step else {
        _ = done.popLast()
        continue
      }
      guard case .symbolicLink(let target)? = entries[(done + [part]).joined(separator: "/")]?.kind,
        !walk.isAtEnd || followingLast
      else {
        done.append(part)
        continue
      }
      passing((done + [part]).joined(separator: "/"))
      do throws(PathWalk.Circle) {
        if try walk.follow(target) { done = [] }
      } catch {
        return nil
      }
    }
    return done.joined(separator: "/")
  }

  /// Whether there is a file at a path, links followed.
  func hasFile(_ path: String) -> Bool {
    guard let place = place(of: path, followingLast: true) else { return false }
    switch entries[place]?.kind {
    case .file?, .hardLink?: return true
    default: return false
    }
  }
}
