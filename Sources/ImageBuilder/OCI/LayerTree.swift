/// What is where when layers lie over each other (OCI layer.md), without the files' contents: each file knows which member
/// of which layer it is.
///
/// A path leads where it would in the tree itself, by links as well, and never out of it.
struct LayerTree {
  /// A member of a layer, by its number.
  struct Member: Hashable {
    let layer: Int
    let index: Int
  }

  /// Something in the tree.
  final class Node {
    enum Kind {
      case folder
      case file
      case link(String)
    }

    var kind: Kind
    var children: [String: Node] = [:]
    /// Where its content is; nil for folders. Names of one file have one.
    var member: Member?
    var permissions: UInt32
    var owner: UInt32
    var group: UInt32

    init(_ kind: Kind, _ member: Member?, permissions: UInt32 = 0o755, owner: UInt32 = 0, group: UInt32 = 0) {
      self.kind = kind
      self.member = member
      self.permissions = permissions
      self.owner = owner
      self.group = group
    }

    var isFolder: Bool { if case .folder = kind { true } else { false } }
  }

  /// What messages call the image.
  let name: String
  let root = Node(.folder, nil)
  /// What was made so far, whether it is still there or not.
  private var count = 0
  private let limit: Int

  /// An empty one that takes at most `limit` files and folders.
  init(called name: String, limit: Int) {
    self.name = name
    self.limit = limit
  }

  private static let whiteout = ".wh."
  private static let opaque = ".wh..wh..opq"
  /// What AUFS keeps for itself.
  private static let reserved = ".wh..wh."

  /// Lays a layer over what is there. Members that are no files, folders or links are left out.
  mutating func apply(_ layer: Int, _ entries: [ArchiveEntry]) throws(BuildError) {
    // Whiteouts hide what is below, and nothing of their own layer, wherever in it they stand.
    for entry in entries {
      let parts = Self.parts(entry.path)
      guard let last = parts.last, last.hasPrefix(Self.whiteout) else { continue }
      if last == Self.opaque {
        try existing(parts.dropLast()[...])?.children = [:]
      } else if !last.hasPrefix(Self.reserved) {
        let hidden = String(last.dropFirst(Self.whiteout.count))
        guard !hidden.isEmpty, hidden != ".", hidden != ".." else { throw refusal("a whiteout of nothing") }
        try existing(parts.dropLast()[...])?.children[hidden] = nil
      }
    }
    for (index, entry) in entries.enumerated() {
      let parts = Self.parts(entry.path)
      if parts.contains(where: { $0.hasPrefix(Self.reserved) }) || parts.last?.hasPrefix(Self.whiteout) == true {
        continue
      }
      try add(entry, parts, Member(layer: layer, index: index))
    }
  }

  private mutating func add(_ entry: ArchiveEntry, _ parts: [String], _ member: Member) throws(BuildError) {
    guard let name = parts.last else {
      if entry.kind == .directory { describe(root, entry) }
      return
    }
    if entry.kind == .other { return }
    let folder = try folder(parts.dropLast()[...])
    switch entry.kind {
    case .directory:
      if let there = folder.children[name], there.isFolder { return describe(there, entry) }
      folder.children[name] = try made(.folder, nil, entry)
    case .file: folder.children[name] = try made(.file, member, entry)
    case .symbolicLink(let target): folder.children[name] = try made(.link(target), member, entry)
    case .hardLink(let target):
      let parts = Self.parts(target)
      guard let last = parts.last, let other = try existing(parts.dropLast()[...])?.children[last], !other.isFolder
      else {
        throw refusal("\(Self.shown(entry.path)) as a hard link to \(Self.shown(target)), which is no file of it")
      }
      if other === folder.children[name] { return }
      let node = try made(other.kind, other.member, entry)
      (node.permissions, node.owner, node.group) = (other.permissions, other.owner, other.group)
      folder.children[name] = node
    case .other: break
    }
  }

  private mutating func made(_ kind: Node.Kind, _ member: Member?, _ entry: ArchiveEntry?) throws(BuildError) -> Node {
    count += 1
    guard count <= limit else { throw refusal("more than \(limit) files and folders") }
    let node = Node(kind, member)
    if let entry { describe(node, entry) }
    return node
  }

  private func describe(_ node: Node, _ entry: ArchiveEntry) {
    (node.permissions, node.owner, node.group) = (entry.permissions, entry.owner, entry.group)
  }

  /// The folder at a path; what is not there is made.
  private mutating func folder(_ parts: ArraySlice<String>) throws(BuildError) -> Node {
    var walk = LayerWalk(parts, root)
    while let name = try step(&walk), walk.folder.isFolder {
      let node = try made(.folder, nil, nil)
      walk.folder.children[name] = node
      walk.enter(node)
    }
    guard walk.folder.isFolder else {
      throw refusal("something in \(Self.shown(parts.joined(separator: "/"))), which is a file")
    }
    return walk.folder
  }

  /// The folder at a path; nil where there is none.
  private func existing(_ parts: ArraySlice<String>) throws(BuildError) -> Node? {
    var walk = LayerWalk(parts, root)
    return try step(&walk) == nil && walk.folder.isFolder ? walk.folder : nil
  }

  /// Goes on until the end, or to a name that is not there, which is returned.
  private func step(_ walk: inout LayerWalk) throws(BuildError) -> String? {
    do throws(LayerWalk.TooFar) {
      return try walk.run()
    } catch {
      throw refusal(
        error == .circle ? "links that lead in circles" : "more than \(LayerWalk.depth) folders in each other")
    }
  }

  private static func parts(_ path: String) -> [String] { path.split(separator: "/").map(String.init) }

  private static func shown(_ text: String) -> String { EscapedText.make(String(text.prefix(120))) }

  private func refusal(_ what: String) -> BuildError {
    BuildError(
      .badFile, "\(name) has \(what)", hint: "no tool makes such an image: look where it comes from")
  }
}

/// A way through a tree, links followed.
struct LayerWalk {
  enum TooFar: Error { case circle, deep }

  /// Folders in each other: as many as a path can name, and as few as recursion can take.
  static let depth = 1024

  private var rest: [String]
  /// From the root to where it is.
  private var path: [LayerTree.Node]
  private var links = 0

  init(_ parts: ArraySlice<String>, _ root: LayerTree.Node) {
    rest = parts.reversed()
    path = [root]
  }

  /// Where it is.
  var folder: LayerTree.Node { path[path.count - 1] }

  mutating func enter(_ node: LayerTree.Node) { path.append(node) }

  /// Goes on until the end, or to a name that is not there, which is returned.
  mutating func run() throws(TooFar) -> String? {
    while let name = rest.popLast() {
      guard path.count <= Self.depth else { throw .deep }
      if name == "." { continue }
      if name == ".." {
        if path.count > 1 { path.removeLast() }
        continue
      }
      guard let next = folder.children[name] else { return name }
      guard case .link(let target) = next.kind else {
        path.append(next)
        continue
      }
      // As many as Linux follows (path_resolution(7)).
      links += 1
      guard links <= 40, rest.count <= Self.depth else { throw .circle }
      if target.hasPrefix("/") { path.removeLast(path.count - 1) }
      rest += target.split(separator: "/").reversed().map(String.init)
    }
    return nil
  }
}
