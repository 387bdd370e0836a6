internal import Platform

/// Root file systems as tar files: what is taken out of them, and how they are put together.
enum Tree {
  /// Writes `base` to `output` with some members left out and others added or replaced.
  ///
  /// The order of `base` stays; additions follow it, in their order, after the directories above them. Members that
  /// `keeping` names are there too where they are replaced: other names lead to them, and whoever unpacks them one after
  /// the other gets the later one.
  /// - Returns: bytes of file system blocks, 4 KiB each, and the number of inodes that the tree takes.
  @discardableResult
  static func merge(
    _ base: String, omitting: (String) -> Bool, keeping: Set<String> = [], adding: [TreeEntry], epoch: Int,
    to output: String, cancellation: Cancellation
  ) throws(BuildError) -> Extent {
    let reader = try ArchiveReader(base)
    let writer = try ArchiveWriter(output, .tar, epoch: epoch)
    let replaced = Set(adding.map(\.path))
    var directories: Set<String> = []
    // A directory that the base reaches through a link, such as /lib, must not be made anew beside it.
    var links: [String: String] = [:]
    var extent = Extent()
    while let entry = try reader.next() {
      try cancellation.check()
      if entry.path.isEmpty || omitting(entry.path) { continue }
      switch entry.kind {
      case .directory: directories.insert(entry.path)
      case .symbolicLink(let target): links[entry.path] = target
      default: break
      }
      if replaced.contains(entry.path), !keeping.contains(entry.path) { continue }
      extent.add(entry.size)
      try writer.copy(reader, entry)
    }
    for addition in adding {
      try cancellation.check()
      let parts = TreePath.parts(addition.path).dropLast()
      var above = ""
      for part in parts {
        above += (above.isEmpty ? "" : "/") + part
        if links[above] != nil || !directories.insert(above).inserted { continue }
        try writer.add(.directory(above))
        extent.add(0)
      }
      if case .directory = addition.content { directories.insert(addition.path) }
      extent.add(try addition.size)
      try writer.add(addition)
    }
    try writer.finish()
    return extent
  }

  /// What a tree takes in a file system with blocks of 4 KiB.
  struct Extent: Sendable, Hashable {
    private(set) var bytes = 0
    private(set) var inodes = 0

    mutating func add(_ size: Int) {
      bytes += max((size + 4095) / 4096, 1) * 4096
      inodes += 1
    }
  }

  /// The paths of the files that `wanted` names, in their order.
  static func paths(
    _ base: String, cancellation: Cancellation, wanted: (String) -> Bool
  ) throws(BuildError) -> [String] {
    let reader = try ArchiveReader(base)
    var found: [String] = []
    while let entry = try reader.next() {
      try cancellation.check()
      if entry.kind == .file, wanted(entry.path) { found.append(entry.path) }
    }
    return found
  }

  /// The contents of the members that `wanted` names, by path.
  static func extract(
    _ base: String, cancellation: Cancellation, wanted: (String) -> Bool
  ) throws(BuildError) -> [String: [UInt8]] {
    let reader = try ArchiveReader(base)
    var found: [String: [UInt8]] = [:]
    while let entry = try reader.next() {
      try cancellation.check()
      if entry.kind == .file, wanted(entry.path) { found[entry.path] = try reader.readAll() }
    }
    return found
  }

  /// How many hard links lead to a file, one to the other.
  static let hardLinkLimit = 16

  /// Writes the member at `path` of an archive to a file. `name` is the archive's in messages.
  static func extract(
    _ path: String, of archive: String, called name: String, to output: String, links: Int = hardLinkLimit,
    cancellation: Cancellation
  ) throws(BuildError) {
    let reader = try ArchiveReader(archive, limits: .holder)
    while let entry = try reader.next() {
      try cancellation.check()
      guard entry.path == path else { continue }
      switch entry.kind {
      case .file:
        let file = try attempt("cannot write \(output)") { () throws(SystemError) in
          try FileDescriptor(opening: output, [.readWrite, .create, .truncate])
        }
        return try reader.copySparsely(to: file, cancellation: cancellation)
      case .symbolicLink(let target):
        throw BuildError(
          .badFile, "\(path) of \(name) is a link to \(target)", hint: "name the file itself in the recipe")
      case .hardLink(let target) where target != path && links > 0:
        return try extract(
          target, of: archive, called: name, to: output, links: links - 1, cancellation: cancellation)
      case .directory, .hardLink, .other:
        throw BuildError(.badFile, "\(path) of \(name) is no file", hint: "correct the path in the recipe")
      }
    }
    throw BuildError(.badFile, "\(name) has no file \(path)", hint: "correct the path in the recipe")
  }

}

extension TreeEntry {
  /// Bytes of its content.
  var size: Int {
    get throws(BuildError) {
      switch content {
      case .bytes(let bytes): return bytes.count
      case .file(let path):
        guard let status = try? Files.status(path, followingLinks: true) else {
          throw BuildError(.badFile, "there is no file \(path)")
        }
        return status.size
      default: return 0
      }
    }
  }
}
