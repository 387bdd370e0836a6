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
    /// By the bytes of their names: Swift takes two ways to write a letter for one.
    var children: [[UInt8]: Node] = [:]
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
  /// Names that were looked up, links' included.
  private var steps = 0

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
  mutating func apply(
    _ layer: Int, _ entries: [ArchiveEntry], cancellation: Cancellation = Cancellation()
  ) throws(BuildError) {
    // Whiteouts hide what is below, and nothing of their own layer, wherever in it they stand.
    for entry in entries {
      try cancellation.check()
      let parts = TreePath.parts(entry.path)
      guard let last = parts.last, Self.begins(last, Self.whiteout) else { continue }
      if last == Self.opaque {
        try existing(parts.dropLast()[...])?.children = [:]
      } else if !Self.begins(last, Self.reserved) {
        let hidden = Array(last.utf8.dropFirst(Self.whiteout.utf8.count))
        guard ![[], Array(".".utf8), Array("..".utf8)].contains(hidden) else {
          throw refusal("a whiteout of nothing")
        }
        try existing(parts.dropLast()[...])?.children[hidden] = nil
      }
    }
    for (index, entry) in entries.enumerated() {
      try cancellation.check()
      let parts = TreePath.parts(entry.path)
      if parts.contains(where: { Self.begins($0, Self.reserved) }) { continue }
      if let last = parts.last, Self.begins(last, Self.whiteout) { continue }
      try add(entry, parts, Member(layer: layer, index: index))
    }
  }

  private mutating func add(_ entry: ArchiveEntry, _ parts: [String], _ member: Member) throws(BuildError) {
    guard let name = parts.last.map({ Array($0.utf8) }) else {
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
      let parts = TreePath.parts(target)
      guard let last = parts.last.map({ Array($0.utf8) }),
        let other = try existing(parts.dropLast()[...])?.children[last], !other.isFolder
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
      walk.folder.children[Array(name.utf8)] = node
      walk.enter(node)
    }
    guard walk.folder.isFolder else {
      throw refusal("something in \(Self.shown(parts.joined(separator: "/"))), which is a file")
    }
    return walk.folder
  }

  /// The folder at a path; nil where there is none.
  private mutating func existing(_ parts: ArraySlice<String>) throws(BuildError) -> Node? {
    var walk = LayerWalk(parts, root)
    return try step(&walk) == nil && walk.folder.isFolder ? walk.folder : nil
  }

  /// Goes on until the end, or to a name that is not there, which is returned.
  private mutating func step(_ walk: inout LayerWalk) throws(BuildError) -> String? {
    let before = walk.steps
    defer { steps += walk.steps - before }
    guard steps / 100 <= limit else { throw refusal("links that lead around without an end") }
    do throws(LayerWalk.TooFar) {
      return try walk.run()
    } catch {
      throw refusal(
        error == .circle ? "links that lead in circles" : "more than \(LayerWalk.depth) folders in each other")
    }
  }

  private static func begins(_ name: String, _ mark: String) -> Bool { name.utf8.starts(with: mark.utf8) }

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

  private var names: PathWalk
  /// From the root to where it is.
  private var path: [LayerTree.Node]
  /// Names that were looked up.
  private(set) var steps = 0

  init(_ parts: ArraySlice<String>, _ root: LayerTree.Node) {
    names = PathWalk(parts)
    path = [root]
  }

  /// Where it is.
  var folder: LayerTree.Node { path[path.count - 1] }

  mutating func enter(_ node: LayerTree.Node) { path.append(node) }

  /// Goes on until the end, or to a name that is not there, which is returned.
  mutating func run() throws(TooFar) -> String? {
    while let step = names.next() {
      steps += 1
      guard path.count <= Self.depth else { throw .deep }
      guard case .name(let name) = step else {
        if path.count > 1 { path.removeLast() }
        continue
      }
      guard let next = folder.children[Array(name.utf8)] else { return name }
      guard case .link(let target) = next.kind else {
        path.append(next)
        continue
      }
      do throws(PathWalk.Circle) {
        if try names.follow(target) { path.removeLast(path.count - 1) }
      } catch {
        throw .circle
      }
    }
    return nil
  }
}
