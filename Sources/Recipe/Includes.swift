internal import Manifest
internal import Platform
internal import YAML

/// A recipe's file and those that it includes, read as one.
struct Includes {
  private var count = 0
  private var bytes = 0

  /// A file that is being read.
  private struct Visit {
    /// As messages have it.
    let path: String
    /// Without links; nil for text that is in no file.
    let identity: String?
    /// Where its own paths start.
    let directory: String
    /// The same as seen from the first file's; empty for that one.
    let folder: String
  }

  /// What `yaml` says together with what it includes. `directory` is where its relative paths start.
  mutating func root(
    _ yaml: YAMLText, directory: String, _ reader: inout NodeReader
  ) throws(RecipeError) -> Node {
    let visit = Visit(path: yaml.file, identity: try? Files.resolve(yaml.file), directory: directory, folder: "")
    return try read(yaml, [visit], &reader)
  }

  /// Reads the last of the files that are open.
  private mutating func read(
    _ yaml: YAMLText, _ open: [Visit], _ reader: inout NodeReader
  ) throws(RecipeError) -> Node {
    guard let visit = open.last else { return .mapping(.init([])) }
    let own = try yaml.compose(&reader, folder: visit.folder)
    guard case .mapping(let mapping) = own, let entry = mapping.first(where: { Self.isInclude($0.key) }) else {
      return own
    }
    var base: Node?
    for name in try names(entry.value, &reader) {
      guard let text = name.scalar?.string else { continue }
      let other = try self.open(text, at: name.mark, open, reader.lines)
      let part = try read(other.yaml, open + [other.visit], &reader)
      reader.reportTwins(part)
      guard case .mapping = part else {
        throw Self.error(name.mark, "cannot include '\(NodeReader.shown(text))': it has no keys", reader.lines)
      }
      base = base.map { Merging.merged($0, with: part) } ?? part
    }
    reader.reportTwins(own)
    guard reader.diagnostics.isEmpty else { throw .invalid(reader.diagnostics.sorted()) }
    let rest = Node.Mapping(
      mapping.filter { !Self.isInclude($0.key) }.map { ($0.key, $0.value) }, mark: mapping.mark)
    return base.map { Merging.merged($0, with: .mapping(rest)) } ?? .mapping(rest)
  }

  private static func isInclude(_ key: Node) -> Bool { key.scalar?.string == "include" }

  /// The entries of `include`, each a scalar.
  private func names(_ node: Node, _ reader: inout NodeReader) throws(RecipeError) -> [Node] {
    let nodes: [Node] =
      switch node {
      case .sequence(let sequence): Array(sequence)
      case .scalar: [node]
      default: []
      }
    if nodes.isEmpty, node.sequence == nil {
      let form = NodeReader.describe(node)
      throw Self.error(node.mark, "'include' must be a list of files, such as [base.yaml], not \(form)", reader.lines)
    }
    for node in nodes where reader.scalar(node, "an entry of 'include'") == nil {
      throw .invalid(reader.diagnostics.sorted())
    }
    return nodes
  }

  /// Finds and reads the file that an entry names.
  private mutating func open(
    _ name: String, at mark: Mark?, _ open: [Visit], _ lines: FileLines
  ) throws(RecipeError) -> (yaml: YAMLText, visit: Visit) {
    func refuse(_ reason: String) -> RecipeError {
      Self.error(mark, "cannot include '\(NodeReader.shown(name))': \(reason)", lines)
    }
    if name.contains("${") { throw refuse("its name cannot have variables, as it may be what declares them") }
    let above = open.last
    let path = FilePath.join(above?.directory ?? ".", name)
    let kind: FileKind?
    let identity: String
    do throws(SystemError) {
      kind = try Files.status(path, followingLinks: true)?.kind
      identity = kind == nil ? "" : try Files.resolve(path)
    } catch {
      throw refuse("\(error.errno)")
    }
    switch kind {
    case .regular?: break
    case .directory?: throw refuse("\(path) is a folder")
    case nil: throw refuse("there is no file \(path)")
    default: throw refuse("\(path) is no file but a device or the like")
    }
    if let start = open.firstIndex(where: { $0.identity == identity }) {
      let circle = (open[start...].map(\.path) + [path]).joined(separator: " → ")
      throw refuse("it includes itself: \(circle)")
    }
    guard open.count <= Limits.includeDepth else {
      throw refuse("includes are nested more than \(Limits.includeDepth) deep")
    }
    count += 1
    guard count <= Limits.includes else { throw refuse("there are more than \(Limits.includes) includes in all") }
    let text: String
    do throws(RecipeError) {
      text = try YAMLText.load(path, what: "recipe")
    } catch {
      guard case .unreadable(_, let reason) = error else { throw error }
      throw refuse(reason)
    }
    bytes += text.utf8.count
    guard bytes <= Limits.includedSize else {
      throw refuse("all includes together have more than \(Limits.includedSize >> 20) MiB")
    }
    let folder = FilePath.join(above?.folder ?? "", FilePath.folder(of: name))
    let visit = Visit(
      path: path, identity: identity, directory: FilePath.folder(of: path), folder: folder == "." ? "" : folder)
    return (YAMLText(text: text, file: path, what: "recipe", example: "recipes/quickstart.yaml"), visit)
  }

  private static func error(_ mark: Mark?, _ message: String, _ lines: FileLines) -> RecipeError {
    .invalid([lines.diagnostic(mark, message)])
  }
}

/// How a recipe and one that it includes become one: mappings merge key by key, and what is said later replaces what was
/// said before. `~` takes away what was included; of a variable it takes the value, which must then be given.
enum Merging {
  /// Lists whose entries are known by a key; those of the same one merge.
  private static let identified = ["domains": "name", "users": "name", "tokens": "name", "files": "path"]
  /// Lists that are put together, each entry once.
  private static let joined: Set<String> = [
    "packages", "enable", "disable", "ssh-keys", "groups", "first-boot", "at-start",
  ]

  /// What is merged.
  private enum Place: Hashable {
    case recipe, variables, other(key: String)
  }

  /// The recipe `base` with what `node` says in its place.
  static func merged(_ base: Node, with node: Node) -> Node { merged(base, with: node, .recipe) }

  private static func merged(_ base: Node, with node: Node, _ place: Place) -> Node {
    let key = if case .other(let key) = place { key } else { "" }
    return switch (base, node) {
    case (.mapping(let old), .mapping(let new)): .mapping(merged(old, with: new, place))
    case (.sequence(let old), .sequence(let new)):
      if let name = identified[key] {
        .sequence(merged(old, with: new, by: name))
      } else if joined.contains(key) {
        .sequence(.init(joined(Array(old), Array(new)), mark: new.mark))
      } else {
        node
      }
    default: node
    }
  }

  private static func merged(_ base: Node.Mapping, with mapping: Node.Mapping, _ place: Place) -> Node.Mapping {
    var pairs = base.map { ($0.key, $0.value) }
    for (key, value) in mapping {
      let name = key.scalar?.string
      guard let index = pairs.firstIndex(where: { $0.0.scalar?.string == name && name != nil }) else {
        pairs.append((key, value))
        continue
      }
      if NodeReader.isNothing(value), place != .variables {
        pairs.remove(at: index)
      } else {
        let inner: Place = place == .recipe && name == "variables" ? .variables : .other(key: name ?? "")
        pairs[index] = (key, merged(pairs[index].1, with: value, inner))
      }
    }
    return Node.Mapping(pairs, mark: mapping.mark)
  }

  private static func merged(_ base: Node.Sequence, with sequence: Node.Sequence, by name: String) -> Node.Sequence {
    var nodes = Array(base)
    func identity(_ node: Node) -> String? {
      node.mapping?.first { $0.key.scalar?.string == name }?.value.scalar?.string
    }
    for node in sequence {
      let own = identity(node)
      if own != nil, let index = nodes.firstIndex(where: { identity($0) == own }) {
        nodes[index] = merged(nodes[index], with: node, .other(key: ""))
      } else {
        nodes.append(node)
      }
    }
    return Node.Sequence(nodes, mark: sequence.mark)
  }

  private static func joined(_ base: [Node], _ nodes: [Node]) -> [Node] {
    base
      + nodes.filter { node in
        guard let text = node.scalar?.string else { return true }
        return !base.contains { $0.scalar?.string == text }
      }
  }
}
