internal import Binary
internal import Manifest
internal import Platform

/// What changed from one image to another.
public struct ImageDifference: Codable, Sendable, Hashable {
  /// A value that is another one. Nothing stands for what is not there.
  public struct Change: Codable, Sendable, Hashable {
    /// What it is.
    public var what: String
    /// In the first image.
    public var old: String?
    /// In the second.
    public var new: String?
  }

  /// What changed in a root file system's packages.
  public struct RootChanges: Codable, Sendable, Hashable {
    /// What root it is.
    public var root: String
    /// Packages that are there in one of the images only, or in another version.
    public var packages: [PackageChange]
  }

  /// A package that is not the same.
  public struct PackageChange: Codable, Sendable, Hashable {
    /// Its name.
    public var name: String
    /// What happened to it.
    public var kind: Kind
    /// Its version in the first image.
    public var old: String?
    /// Its version in the second.
    public var new: String?

    /// What happens to packages.
    public enum Kind: String, Codable, Sendable, Hashable {
      case added, removed, upgraded, downgraded
    }
  }

  /// A file that is not the same.
  public struct FileChange: Codable, Sendable, Hashable {
    /// From the medium's root.
    public var path: String
    /// In the first image.
    public var old: ImageReport.File?
    /// In the second.
    public var new: ImageReport.File?
  }

  /// The first image.
  public var old: String
  /// The second.
  public var new: String
  /// What is otherwise in the recipe, as far as the appliance is told.
  public var recipe: [Change]
  /// Domains that the second image alone has.
  public var addedDomains: [String]
  /// Domains that the first image alone has.
  public var removedDomains: [String]
  /// What changed in domains that both have, by their names.
  public var changedDomains: [String: [Change]]
  /// Versions of Roost and the kernel, and the digests of recipe and lock file.
  public var versions: [Change]
  /// Packages by root file systems.
  public var packages: [RootChanges]
  /// Boot entries, menu and partitions.
  public var boot: [Change]
  /// Files.
  public var files: [FileChange]
  /// Sizes of the images in bytes.
  public var sizes: Change?
  /// Nothing of the above differs, and yet the bytes do: boot code, or what no file has.
  public var differsOutsideFiles: Bool

  /// Compares what two images say of themselves; their files by digests, where the reports have them.
  public init(_ old: ImageReport, _ new: ImageReport) throws(BuildError) {
    self.old = old.path
    self.new = new.path
    let names = (old.manifest.domains.map(\.name), new.manifest.domains.map(\.name))
    addedDomains = names.1.filter { !names.0.contains($0) }
    removedDomains = names.0.filter { !names.1.contains($0) }
    let common = names.1.filter { names.0.contains($0) }
    var changes = Self.changes(
      try FlatJSON.values(try Self.encoded(old.manifest)), try FlatJSON.values(try Self.encoded(new.manifest)))
    // What follows from the recipe's digest says nothing of its own.
    changes.removeAll { ["recipeDigest", "storage.mediumUUID", "storage.ramUUID"].contains($0.what) }
    var domains: [String: [Change]] = [:]
    var recipe: [Change] = []
    for change in changes {
      guard change.what.hasPrefix("domains.") else {
        recipe.append(change)
        continue
      }
      let path = change.what.dropFirst("domains.".count)
      guard let name = common.first(where: { path.hasPrefix("\($0).") }) else { continue }
      domains[name, default: []].append(
        Change(what: String(path.dropFirst(name.count + 1)), old: change.old, new: change.new))
    }
    changedDomains = domains
    self.recipe = recipe
    versions = Self.changes([
      ("recipe", old.manifest.recipeDigest, new.manifest.recipeDigest), ("lock file", old.lockDigest, new.lockDigest),
      ("Roost", old.roostVersion, new.roostVersion), ("kernel", old.kernelVersion, new.kernelVersion),
    ])
    packages = Self.packages(old.roots, new.roots)
    boot = Self.changes(Self.bootFacts(old), Self.bootFacts(new))
    files = Self.files(old.files, new.files)
    sizes = old.bytes == new.bytes ? nil : Change(what: "size", old: "\(old.bytes)", new: "\(new.bytes)")
    differsOutsideFiles = false
  }

  /// Compares two images.
  ///
  /// - Throws: what `ImageReport` throws for images that cannot be read.
  public init(
    between old: String, and new: String, cancellation: Cancellation = Cancellation()
  ) throws(BuildError) {
    let first = try ImageReport(reading: old, digests: true, cancellation: cancellation)
    let second = try ImageReport(reading: new, digests: true, cancellation: cancellation)
    try self.init(first, second)
    guard isEmpty, first.bytes == second.bytes else { return }
    let digests = try attempt("cannot read the images") { () throws(SystemError) in
      (try FileDigest.chunked(old), try FileDigest.chunked(new))
    }
    differsOutsideFiles = digests.0 != digests.1
  }

  /// Whether the images are the same.
  public var isEmpty: Bool {
    recipe.isEmpty && addedDomains.isEmpty && removedDomains.isEmpty && changedDomains.isEmpty && versions.isEmpty
      && packages.isEmpty && boot.isEmpty && files.isEmpty && sizes == nil && !differsOutsideFiles
  }

  /// The difference as JSON, indented, with keys sorted.
  public func json() throws(BuildError) -> String {
    EscapedText.make(String(decoding: try StableJSON.encode(self), as: UTF8.self), lines: true)
  }

  private static func encoded(_ manifest: ApplianceManifest) throws(BuildError) -> [UInt8] {
    do throws(ManifestError) {
      return try manifest.encoded()
    } catch {
      throw BuildError(.content, "\(error)")
    }
  }

  private static func changes(_ old: [String: String], _ new: [String: String]) -> [Change] {
    Set(old.keys).union(new.keys).sorted().filter { old[$0] != new[$0] }.map {
      Change(what: $0, old: old[$0], new: new[$0])
    }
  }

  private static func changes(_ values: [(String, String?, String?)]) -> [Change] {
    values.filter { $0.1 != $0.2 }.map { Change(what: $0.0, old: $0.1, new: $0.2) }
  }

  private static func bootFacts(_ report: ImageReport) -> [String: String] {
    var facts: [String: String] = [:]
    for entry in report.bootEntries {
      facts["El Torito entry for \(entry.platform)"] = "\(entry.loadBytes) bytes, emulation \(entry.emulation)"
    }
    for (index, title) in report.menu.enumerated() { facts["menu entry \(index + 1)"] = title }
    for partition in report.partitions where partition.table == "gpt" {
      facts["partition \(partition.number)"] = "\(partition.name ?? ""), type \(partition.type)"
    }
    facts["volume name"] = report.volume.identifier
    return facts
  }

  /// Roots are the same by their names, or else by what comes before the list of packages in these.
  private static func packages(_ old: [ImageReport.Root], _ new: [ImageReport.Root]) -> [RootChanges] {
    func kind(_ name: String) -> Substring {
      let words = name.split(separator: " ", omittingEmptySubsequences: false)
      guard let with = words.firstIndex(of: "with") else { return name[...] }
      return words[..<with].joined(separator: " ")[...]
    }
    var rest = old.filter { root in !new.contains { $0.name == root.name } }
    var changes: [RootChanges] = []
    for root in new {
      var before = old.first { $0.name == root.name }
      if before == nil, let place = rest.firstIndex(where: { kind($0.name) == kind(root.name) }) {
        before = rest.remove(at: place)
      }
      let found = compare(before?.packages ?? [], root.packages)
      if !found.isEmpty { changes.append(RootChanges(root: root.name, packages: found)) }
    }
    return changes + rest.map { RootChanges(root: $0.name, packages: compare($0.packages, [])) }
  }

  private static func compare(_ old: [ImageReport.Package], _ new: [ImageReport.Package]) -> [PackageChange] {
    let before = Dictionary(old.map { ($0.name, $0.version) }) { first, _ in first }
    let after = Dictionary(new.map { ($0.name, $0.version) }) { first, _ in first }
    return Set(before.keys).union(after.keys).sorted().compactMap { name in
      switch (before[name], after[name]) {
      case (let old?, let new?) where old == new: nil
      case (let old?, let new?):
        PackageChange(
          name: name, kind: DebianVersion(new) < DebianVersion(old) ? .downgraded : .upgraded, old: old, new: new)
      case (let old, let new): PackageChange(name: name, kind: old == nil ? .added : .removed, old: old, new: new)
      }
    }
  }

  private static func files(_ old: [ImageReport.File], _ new: [ImageReport.File]) -> [FileChange] {
    let before = Dictionary(old.map { ($0.path, $0) }) { first, _ in first }
    let after = Dictionary(new.map { ($0.path, $0) }) { first, _ in first }
    return Set(before.keys).union(after.keys).sorted().filter { before[$0] != after[$0] }.map {
      FileChange(path: $0, old: before[$0], new: after[$0])
    }
  }
}
