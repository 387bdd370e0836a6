/// Kernel modules of a root file system: those that are wanted with those that they need, decompressed, in the order
/// in which they can be loaded.
struct ModuleSet: Sendable {
  /// One module.
  struct Module: Sendable {
    /// Its name, with `_` for `-`.
    let name: String
    /// Path under `lib/modules/<version>`, without the suffix of its compression.
    let path: String
    /// The module itself.
    let content: [UInt8]
  }

  /// The kernel's version.
  let version: String
  /// Each after those that it needs.
  let modules: [Module]
  /// `modules.dep` of just these, as modprobe reads it.
  let dependencies: String
  /// `modules.alias` of just these.
  let aliases: String
  /// `modules.softdep` of just these.
  let softDependencies: String
  /// `modules.builtin` and its like, as they are.
  let unchanged: [String: [UInt8]]

  /// Reads them out of a root's tar file.
  ///
  /// - Parameters:
  ///   - names: modules by name; those that the kernel lacks or has built in are left out.
  ///   - directories: directories below `kernel/` of which all modules are wanted.
  init(
    tar: String, names: [String], directories: [String] = [], cancellation: Cancellation
  ) throws(BuildError) {
    let lists = try Tree.extract(tar, cancellation: cancellation) { path in
      guard let inside = Self.inside(path), !inside.rest.contains("/") else { return false }
      return ["modules.dep", "modules.alias", "modules.softdep", "modules.builtin", "modules.builtin.modinfo"]
        .contains(inside.rest)
    }
    guard let first = lists.keys.min(), let version = Self.inside(first)?.version else {
      throw BuildError(.content, "there are no kernel modules in \(tar)")
    }
    self.version = version
    var texts: [String: [UInt8]] = [:]
    for (path, bytes) in lists {
      if let inside = Self.inside(path), inside.version == version { texts[inside.rest] = bytes }
    }
    let text = { (name: String) in String(decoding: texts[name] ?? [], as: UTF8.self) }

    let graph = Graph(text("modules.dep"))
    let wanted = Set(names.map(Self.canonical))
    let roots = graph.order.filter { path in
      wanted.contains(Self.name(of: path)) || directories.contains { path.hasPrefix("kernel/\($0)/") }
    }
    let paths = graph.closure(of: roots)
    let chosen = Set(paths)
    let compressed = try Tree.extract(tar, cancellation: cancellation) { path in
      Self.inside(path).map { chosen.contains($0.rest) } ?? false
    }
    var contents: [String: [UInt8]] = [:]
    for (path, bytes) in compressed {
      if let inside = Self.inside(path) { contents[inside.rest] = try ArchiveReader.decompress(bytes, name: path) }
    }
    var modules: [Module] = []
    for path in paths {
      guard let content = contents[path] else {
        throw BuildError(.content, "the module \(path) is listed in \(tar), but not in it")
      }
      modules.append(Module(name: Self.name(of: path), path: Self.plain(path), content: content))
    }
    self.modules = modules
    dependencies = paths.sorted().map { path in
      let needed = graph.allNeeds(of: path).map { " " + Self.plain($0) }
      return Self.plain(path) + ":" + needed.joined() + "\n"
    }.joined()
    let present = Set(modules.map(\.name))
    aliases = Self.lines(text("modules.alias"), field: 2, in: present)
    softDependencies = Self.lines(text("modules.softdep"), field: 1, in: present)
    unchanged = texts.filter { $0.key.hasPrefix("modules.builtin") }
  }

  /// Lines of which the word at `field` is the name of a module in `names`.
  private static func lines(_ text: String, field: Int, in names: Set<String>) -> String {
    text.split(separator: "\n").filter { line in
      let words = line.split(separator: " ")
      return words.count > field && names.contains(canonical(String(words[field])))
    }.map { $0 + "\n" }.joined()
  }

  /// Version and the rest of a path below `lib/modules`.
  static func inside(_ path: String) -> (version: String, rest: String)? {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let skip = parts.first == "usr" ? 3 : 2
    guard parts.count > skip + 1, parts[skip - 2] == "lib", parts[skip - 1] == "modules" else { return nil }
    return (parts[skip], parts[(skip + 1)...].joined(separator: "/"))
  }

  static func canonical(_ name: String) -> String {
    String(name.map { $0 == "-" ? "_" : $0 })
  }

  /// `a/b-c.ko.xz` → `b_c`
  static func name(of path: String) -> String {
    let file = path.split(separator: "/").last ?? ""
    return canonical(String(file.split(separator: ".").first ?? ""))
  }

  /// `a/b.ko.xz` → `a/b.ko`
  static func plain(_ path: String) -> String {
    guard let range = path.firstRange(of: ".ko.") else { return path }
    return path[..<range.lowerBound] + ".ko"
  }

  /// The graph that modules.dep describes: each line has a module and all that it needs, nearest first.
  struct Graph: Sendable {
    /// Paths in the order of the file.
    private(set) var order: [String] = []
    private var needs: [String: [String]] = [:]

    init(_ text: String) {
      for line in text.split(separator: "\n") {
        let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { continue }
        let path = String(parts[0])
        order.append(path)
        needs[path] = parts[1].split(separator: " ").map(String.init)
      }
      order.sort()
    }

    /// All that `path` needs, nearest first, as modules.dep has it.
    func allNeeds(of path: String) -> [String] { needs[path] ?? [] }

    /// `roots` and what they need, each after what it needs.
    func closure(of roots: [String]) -> [String] {
      var done: Set<String> = []
      var result: [String] = []
      func visit(_ path: String) {
        guard done.insert(path).inserted else { return }
        for need in (needs[path] ?? []).reversed() { visit(need) }
        result.append(path)
      }
      for root in roots { visit(root) }
      return result
    }
  }
}
