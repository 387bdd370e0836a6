internal import Binary
internal import Platform
public import Recipe

/// Finds out what a recipe's builds take, and writes it down.
public struct RecipeLocking: Sendable {
  private let recipe: Recipe
  private let options: BuildOptions

  /// A lock of `recipe` that is to be made; of the options, those count that say where things come from.
  public init(_ recipe: Recipe, _ options: BuildOptions) {
    self.recipe = recipe
    self.options = options
  }

  /// What is updated of a lock that is there.
  public enum Update: Sendable, Hashable {
    /// These packages, and what their new versions need; everything else stays as far as the archive has it.
    case packages(Set<String>)
    /// Everything.
    case all
  }

  /// Asks Debian's archive on this thread. `progress` is told what is being found out.
  public func run(
    before: RecipeLock?, update: Update, cancellation: Cancellation, progress: (String) -> Void
  ) throws(BuildError) -> RecipeLock {
    try Tool.checkHost()
    let wanted = try LockedWants(recipe, options)
    let cache = try ResultCache(options.cache ?? ResultCache.standardDirectory)
    var lock = RecipeLock(roots: [], files: wanted.files, tools: try Tool.versions(cancellation))
    do throws(BuildError) {
      for resolver in wanted.resolvers {
        progress("\(resolver.archive.owner): Debian \(resolver.want.suite)")
        let place = DebianArchive.Place(
          scratch: cache.scratch, log: "\(cache.directory)/logs/lock.log", epoch: BuildPlan.standardEpoch,
          cancellation: cancellation)
        let (kept, updated) =
          switch update {
          case .all: ([RecipeLock.Package](), Set<String>())
          case .packages(let names): (before?.packages(of: resolver.want.suite) ?? [], names)
          }
        lock.roots.append(try resolver.resolve(keeping: kept, but: updated, in: place))
      }
      if case .packages(let names) = update {
        for name in names.sorted() where !lock.roots.contains(where: { $0.packages.contains { $0.name == name } }) {
          throw BuildError(
            .unknownPackage, "no system of the recipe has the package '\(name)'",
            hint: "correct --update; the lock names what there is")
        }
      }
      try cache.removeScratch()
    } catch {
      try? cache.removeScratch()
      throw error
    }
    return lock
  }
}

/// What a recipe's lock has to have.
struct LockedWants: Sendable {
  /// Each root and each package file once, in the order of the recipe.
  private(set) var resolvers: [PackageResolver] = []
  /// Digests of local files that the recipe does not pin, by the names of their sources.
  private(set) var files: [String: SHA256.Digest] = [:]

  init(_ recipe: Recipe, _ options: BuildOptions) throws(BuildError) {
    add(BuildPlan.controlRoot(recipe, options).resolver)
    for domain in recipe.domains {
      if let root = DomainPlanner.root(of: domain, options) { add(root.resolver) }
    }
    for (name, source) in recipe.sources.sorted(by: { $0.key < $1.key }) {
      switch source {
      case .debianFile(let suite, let package, let path) where options.sources[name] == nil:
        add(DebianFile(source: name, suite: suite, package: package, path: path, mirror: options.mirror).resolver)
      case .file(let path, sha256: nil):
        let file = options.sources[name] ?? recipe.resolve(path)
        files[name] = try attempt("cannot read the source '\(name)'") { () throws(SystemError) in
          try FileDigest.plain(file)
        }
      default: break
      }
    }
  }

  private mutating func add(_ resolver: PackageResolver) {
    if !resolvers.contains(where: { $0.want == resolver.want }) { resolvers.append(resolver) }
  }
}

extension RecipeLock {
  /// The root that was made for `want`.
  func root(_ want: Want) -> Root? { roots.first { $0.want == want } }

  /// All packages that it has of a release, each once.
  func packages(of suite: String) -> [Package] {
    var found: [String: Package] = [:]
    for root in roots where root.want.suite == suite {
      for package in root.packages { found[package.name] = package }
    }
    return found.values.sorted { $0.name < $1.name }
  }

  /// Refuses a lock that was made for another recipe than `wanted` says, or whose files are others now.
  func check(_ wanted: LockedWants, path: String) throws(BuildError) {
    for resolver in wanted.resolvers where root(resolver.want) == nil {
      throw Self.contradiction(
        "\(resolver.archive.owner): \(Self.difference(resolver.want, roots.map(\.want)))", path: path)
    }
    for (name, digest) in wanted.files.sorted(by: { $0.key < $1.key }) {
      guard let locked = files[name] else { throw Self.contradiction("it has no source '\(name)'", path: path) }
      guard locked == digest else {
        throw BuildError(
          .wrongDigest, "the source '\(name)' is not the one that \(path) has",
          hint: "bring the file back, or take this one: roost lock RECIPE",
          details: ["SHA-256 in the lock:  \(locked)", "SHA-256 of the file:  \(digest)"])
      }
    }
  }

  private static func contradiction(_ what: String, path: String) -> BuildError {
    BuildError(
      .badFile, "\(path) is not the lock of this recipe as it is now: \(what)",
      hint: "make it anew: roost lock RECIPE, which keeps the versions that it has")
  }

  /// In what `want` differs from the nearest of those that there are.
  private static func difference(_ want: Want, _ others: [Want]) -> String {
    let alike = others.filter { $0.role == want.role && $0.suite == want.suite }
    let wanted = Set(want.packages)
    func distance(_ other: Want) -> Int { wanted.symmetricDifference(other.packages).count }
    guard let nearest = alike.min(by: { distance($0) < distance($1) }) else {
      return "it has nothing of Debian \(want.suite) for this"
    }
    let more = wanted.subtracting(nearest.packages).sorted()
    let fewer = Set(nearest.packages).subtracting(wanted).sorted()
    var parts: [String] = []
    if !more.isEmpty { parts.append("it was made without \(more.joined(separator: ", "))") }
    if !fewer.isEmpty { parts.append("it was made with \(fewer.joined(separator: ", "))") }
    return parts.joined(separator: ", and ")
  }

  /// What of the host's programs is of another version than where the lock was made, in words.
  func otherTools(_ versions: [String: String]) -> [String] {
    tools.keys.sorted().compactMap { name in
      guard let here = versions[name], let there = tools[name], here != there else { return nil }
      return "\(name) is \(here) here, and was \(there) where the lock was made: the image may have other bytes"
    }
  }
}

// MARK: What changed

extension RecipeLock {
  /// What became of a package from one lock to the next, for people.
  public struct Change: Sendable, Hashable, CustomStringConvertible {
    /// The root, as `control trixie`.
    public let root: String
    /// The package.
    public let package: String
    /// Its versions; nil where it is not in the one or the other.
    public let old: String?
    /// See `old`.
    public let new: String?

    /// As in `guest trixie: vim 2:9.1 → 2:9.2`.
    public var description: String {
      switch (old, new) {
      case (let old?, let new?): "\(root): \(package) \(old) → \(new)"
      case (nil, let new?): "\(root): \(package) \(new) is new"
      case (let old?, nil): "\(root): \(package) \(old) is gone"
      case (nil, nil): "\(root): \(package)"
      }
    }
  }

  /// Changes of packages since `before`; systems are compared by what they are for and their release.
  public func changes(since before: RecipeLock) -> [Change] {
    func table(_ lock: RecipeLock) -> [String: [String: String]] {
      var table: [String: [String: String]] = [:]
      for root in lock.roots {
        for package in root.packages {
          table["\(root.want.role) \(root.want.suite)", default: [:]][package.name] = package.version
        }
      }
      return table
    }
    let (old, new) = (table(before), table(self))
    var changes: [Change] = []
    for root in Set(old.keys).union(new.keys).sorted() {
      let (was, now) = (old[root] ?? [:], new[root] ?? [:])
      for package in Set(was.keys).union(now.keys).sorted() where was[package] != now[package] {
        changes.append(Change(root: root, package: package, old: was[package], new: now[package]))
      }
    }
    return changes
  }
}
