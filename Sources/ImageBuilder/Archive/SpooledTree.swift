internal import Platform

/// A root file system out of several archives, whose files' contents lie in a folder until it is written in an order
/// of the caller's.
struct SpooledTree {
  private var entries: [String: TreeEntry] = [:]
  private let spool: String
  private var count = 0

  /// An empty one; `spool` is a new folder for the contents.
  init(spool: String) throws(BuildError) {
    self.spool = spool
    try attempt("cannot unpack archives") { () throws(SystemError) in try Files.makeDirectories(spool) }
  }

  /// Everything of an archive that `omits` does not leave out. What is there twice is as it is the second time.
  mutating func add(
    archive: String, omitting omits: (String) -> Bool, cancellation: Cancellation
  ) throws(BuildError) {
    let reader = try ArchiveReader(archive)
    while let entry = try reader.next() {
      try cancellation.check()
      if entry.path.isEmpty || omits(entry.path) { continue }
      let content: TreeEntry.Content
      switch entry.kind {
      case .directory: content = .directory
      case .symbolicLink(let target): content = .link(to: target)
      case .hardLink(let target): content = .hardLink(to: target)
      case .other: continue
      case .file:
        count += 1
        let path = "\(spool)/\(count)"
        let file = try attempt("cannot unpack \(entry.path)") { () throws(SystemError) in
          try FileDescriptor(opening: path, [.readWrite, .create, .truncate])
        }
        try reader.copySparsely(to: file, cancellation: cancellation)
        content = .file(path)
      }
      entries[entry.path] = TreeEntry(
        path: entry.path, content: content, permissions: entry.permissions, owner: entry.owner, group: entry.group)
    }
  }

  /// All entries in the order of their paths; hard links are files of their own.
  var all: [TreeEntry] {
    entries.values.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }.map { entry in
      guard let place = content(entry.path) else { return entry }
      return TreeEntry(
        path: entry.path, content: .file(place), permissions: entry.permissions, owner: entry.owner,
        group: entry.group)
    }
  }

  /// Adds or replaces one entry.
  mutating func add(_ entry: TreeEntry) { entries[entry.path] = entry }

  /// Where a file's content lies; nil for what is no file.
  func content(_ path: String) -> String? {
    var path = path
    // Links of links are few, and a hostile archive has some that lead in a circle.
    for _ in 0..<Tree.hardLinkLimit {
      switch entries[path]?.content {
      case .file(let place)?: return place
      case .hardLink(let target)?: path = target
      default: return nil
      }
    }
    return nil
  }

  /// Bytes of the files, each rounded up to whole blocks, and the number of entries.
  func extent(block: Int) throws(BuildError) -> (bytes: Int, entries: Int) {
    var bytes = 0
    for entry in entries.values {
      switch entry.content {
      case .file(let path):
        let size = try attempt("cannot read \(entry.path)") { () throws(SystemError) in
          try Files.status(path)?.size ?? 0
        }
        bytes += (size + block - 1) / block * block
      case .bytes, .directory: bytes += block
      default: break
      }
    }
    return (bytes, entries.count)
  }

  /// Writes a tar file in which folders come before what they hold, and neighbours in the order of their names, or in
  /// the opposite one. Hard links whose file was left out are left out too.
  func write(_ path: String, descending: Bool, epoch: Int, cancellation: Cancellation) throws(BuildError) {
    var complete = entries
    for path in entries.keys {
      var above = ""
      for part in TreePath.parts(path).dropLast() {
        above += (above.isEmpty ? "" : "/") + part
        guard let entry = complete[above] else {
          complete[above] = .directory(above)
          continue
        }
        if case .directory = entry.content { continue }
        throw BuildError(
          .badFile, "an archive has \(EscapedText.make(path)), and \(EscapedText.make(above)) above it is no folder",
          hint: "its makers' own archive is not like this: compare its digest with what they publish")
      }
    }
    let sorted = complete.values.map { (depth: $0.path.count { $0 == "/" }, entry: $0) }.sorted { left, right in
      if left.depth != right.depth { return left.depth < right.depth }
      return left.entry.path.utf8.lexicographicallyPrecedes(right.entry.path.utf8) != descending
    }
    let writer = try ArchiveWriter(path, .tar, epoch: epoch)
    // The first name of a file in this order carries its content, whichever had it in the archive.
    var first: [String: String] = [:]
    for (_, entry) in sorted {
      try cancellation.check()
      guard let place = content(entry.path) else {
        if case .hardLink = entry.content { continue }
        try writer.add(entry)
        continue
      }
      var named = entry
      if let earlier = first[place] {
        named = TreeEntry(path: entry.path, content: .hardLink(to: earlier), permissions: entry.permissions)
      } else {
        first[place] = entry.path
        named = TreeEntry(
          path: entry.path, content: .file(place), permissions: entry.permissions, owner: entry.owner,
          group: entry.group)
      }
      try writer.add(named)
    }
    try writer.finish()
  }
}
