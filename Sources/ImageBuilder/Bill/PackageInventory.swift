internal import Binary
internal import FoundationEssentials
internal import Platform

/// The Debian packages of a root file system, as the tree itself tells.
struct PackageInventory: Codable, Sendable, Hashable {
  /// Debian release, such as `trixie`.
  let suite: String
  /// By name and architecture.
  private(set) var packages: [InstalledPackage]
  /// What `LicenseRef-` identifiers of the packages' licences stand for.
  private(set) var texts: [String: String] = [:]

  static let file = "packages.json"

  /// Where packages of which only some files were unpacked leave their control files: dpkg does not look there, scanners of
  /// images do.
  static let unpackedDirectory = "var/lib/dpkg/status.d"

  init(suite: String, packages: [InstalledPackage]) {
    self.suite = suite
    self.packages = packages
  }

  /// Reads a tree's dpkg status and copyright files. `downloads` is a folder with the packages' files.
  init(suite: String, tree tar: String, downloads: String, cancellation: Cancellation) throws(BuildError) {
    self.suite = suite
    packages = []
    var copyrights = Copyrights()
    var stanzas: [ControlFile.Paragraph] = []
    let reader = try ArchiveReader(tar)
    while let entry = try reader.next() {
      try cancellation.check()
      if entry.path == "var/lib/dpkg/status" || entry.path.hasPrefix("\(Self.unpackedDirectory)/") {
        if entry.kind == .file { stanzas += ControlFile.paragraphs(try reader.readAll()) }
      } else if entry.path.hasPrefix(Copyrights.directory) {
        try copyrights.add(entry, reader)
      }
    }
    var found = stanzas.compactMap { InstalledPackage($0) }
    for index in found.indices {
      try cancellation.check()
      let file = "\(downloads)/\(found[index].fileName)"
      if Files.exists(file) {
        found[index].sha256 = try attempt("cannot read \(file)") { () throws(SystemError) in
          try FileDigest.plain(file).description
        }
      }
      guard let bytes = copyrights.file(of: found[index].name),
        let copyright = CopyrightFile(bytes, package: found[index].name)
      else { continue }
      found[index].license = copyright.expression
      texts.merge(copyright.texts) { first, _ in first }
    }
    packages = found.sorted { ($0.name, $0.architecture) < ($1.name, $1.architecture) }
  }

  /// Reads what `encoded` wrote.
  init(file: String) throws(BuildError) {
    let bytes = try attempt("cannot read a list of packages") { () throws(SystemError) in try Files.read(file) }
    do {
      self = try JSONDecoder().decode(PackageInventory.self, from: Data(bytes))
    } catch {
      throw BuildError(.content, "\(file) is no list of packages", hint: "remove the cache's 'results' directory")
    }
  }

  func encoded() throws(BuildError) -> [UInt8] { try StableJSON.encode(self) }
}

/// Copyright files of a tree, of which several packages may share one.
private struct Copyrights {
  static let directory = "usr/share/doc/"
  private var files: [String: [UInt8]] = [:]
  /// Packages whose folder, or copyright file, is another's.
  private var links: [String: String] = [:]

  mutating func add(_ entry: ArchiveEntry, _ reader: ArchiveReader) throws(BuildError) {
    let parts = entry.path.dropFirst(Self.directory.count).split(separator: "/").map(String.init)
    guard let package = parts.first, parts.count == 1 || parts.count == 2 && parts[1] == "copyright" else { return }
    switch entry.kind {
    case .file where parts.count == 2: files[package] = try reader.readAll()
    case .symbolicLink(let target), .hardLink(let target):
      let names = target.split(separator: "/").filter { $0 != ".." && $0 != "." }
      if let other = parts.count == 1 ? names.last : names.dropLast().last { links[package] = String(other) }
    default: break
    }
  }

  func file(of package: String) -> [UInt8]? {
    var name = package
    for _ in 0..<4 {
      if let bytes = files[name] { return bytes }
      guard let next = links[name] else { return nil }
      name = next
    }
    return nil
  }
}

/// JSON whose bytes follow from what it says.
enum StableJSON {
  /// Keys sorted, and a newline at the end; indented, or in one line.
  static func encode(_ value: some Encodable, isIndented: Bool = true) throws(BuildError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    if isIndented { encoder.outputFormatting.insert(.prettyPrinted) }
    do {
      return Array(try encoder.encode(value)) + [10]
    } catch {
      throw BuildError(.content, "cannot write JSON: \(error)")
    }
  }
}
