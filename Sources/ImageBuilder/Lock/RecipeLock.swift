public import Binary
internal import Platform

/// What a recipe's builds take, exactly: every Debian package by version and digest, and every file that the recipe does
/// not pin itself. A text beside the recipe, sorted, a line each.
public struct RecipeLock: Sendable, Hashable {
  /// The packages of one root file system, or of one file that is taken out of a package.
  public struct Root: Sendable, Hashable {
    /// Which one.
    public var want: Want
    /// The archives, as lines of sources.list(5): what the root itself asks later.
    public var archives: [String]
    /// Sorted by name.
    public var packages: [Package]
  }

  /// What a root is made for: equal wants are one root.
  public struct Want: Sendable, Hashable {
    /// `control`, `guest`, or `file` for one that is only unpacked.
    public var role: String
    /// Debian release.
    public var suite: String
    /// Names of packages, sorted: those that are asked for, without what they depend on.
    public var packages: [String]
  }

  /// One version of a package.
  public struct Package: Sendable, Hashable {
    /// Its name.
    public var name: String
    /// Its version (Debian Policy, section 5.6.12).
    public var version: String
    /// `amd64` or `all`.
    public var architecture: String
    /// Bytes of its archive.
    public var size: Int
    /// Digest of its archive.
    public var sha256: SHA256.Digest

    /// The archive's name in apt's cache.
    var archiveName: String {
      let version = version.replacing(":", with: "%3a")
      return "\(name)_\(version)_\(architecture).deb"
    }
  }

  /// What the roots are.
  public var roots: [Root]
  /// Digests of local files by the names of the recipe's sources that pin none.
  public var files: [String: SHA256.Digest]
  /// Versions of the Debian packages whose programs make the image; other versions may make other bytes.
  public var tools: [String: String]

  /// The lock of these.
  public init(roots: [Root], files: [String: SHA256.Digest], tools: [String: String]) {
    self.roots = roots
    self.files = files
    self.tools = tools
  }
}

// MARK: Text

extension RecipeLock {
  /// Where the lock of the recipe at `path` is: `lab.lock` beside `lab.yaml`.
  public static func path(beside path: String) -> String {
    for ending in [".yaml", ".yml"] where path.hasSuffix(ending) && path.count > ending.count {
      return path.dropLast(ending.count) + ".lock"
    }
    return path + ".lock"
  }

  private static let head = "roost-lock 1"

  /// All of it, with a newline at the end.
  public var text: String {
    var lines = [
      "# What `roost build` takes, exactly. Written by `roost lock`; it belongs beside the recipe.", Self.head,
    ]
    if !tools.isEmpty { lines.append("") }
    lines += tools.sorted { $0.key < $1.key }.map { "tool \($0.key) \($0.value)" }
    if !files.isEmpty { lines.append("") }
    lines += files.sorted { $0.key < $1.key }.map { "file \($0.key) \($0.value)" }
    for root in roots.sorted(by: { $0.want.line < $1.want.line }) {
      lines += ["", root.want.line]
      lines += root.archives.map { "archive \($0)" }
      lines += root.packages.map(\.line)
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Reads a text. Everything in it is what `text` writes, or it is refused.
  public init(_ text: String, path: String) throws(LockError) {
    self.init(roots: [], files: [:], tools: [:])
    var hasHead = false
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      let place = "\(path):\(index + 1)"
      guard !line.isEmpty, !line.hasPrefix("#") else { continue }
      guard hasHead else {
        guard line == Self.head else {
          throw LockError(place, "this is no lock of a recipe, or one of another version of Roost: \(Self.safe(line))")
        }
        hasHead = true
        continue
      }
      do throws(LineError) {
        try take(line)
      } catch {
        throw LockError(place, "\(error.problem): \(Self.safe(line))")
      }
    }
    guard hasHead else { throw LockError(path, "this is no lock of a recipe") }
  }

  /// Bytes that a lock may have: a hundred systems of a thousand packages.
  private static let sizeLimit = 16 << 20

  /// Reads the file at `path`; nil where there is none.
  public init?(file path: String) throws(LockError) {
    let bytes: [UInt8]
    do throws(SystemError) {
      guard let status = try Files.status(path, followingLinks: true) else { return nil }
      bytes = status.kind == .regular && status.size <= Self.sizeLimit ? try Files.read(path) : []
    } catch {
      throw LockError(path, "cannot be read: \(error)")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw LockError(path, "this is no text") }
    try self.init(text, path: path)
  }

  /// Writes it to the file at `path`, all or nothing.
  public func write(to path: String) throws(BuildError) {
    try attempt("cannot write \(path)") { () throws(SystemError) in
      try Files.replace(path, with: Array(text.utf8))
    }
  }

  private struct LineError: Error {
    let problem: String
  }

  private mutating func take(_ line: Substring) throws(LineError) {
    let words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    switch (words[0], words.count) {
    case ("tool", 3) where Package.isName(words[1]) && Package.isVersion(words[2]):
      guard tools.updateValue(words[2], forKey: words[1]) == nil else { throw LineError(problem: "a second time") }
    case ("file", 3):
      guard let digest = SHA256.Digest(hex: words[2]) else { throw LineError(problem: "no digest") }
      guard files.updateValue(digest, forKey: words[1]) == nil else { throw LineError(problem: "a second time") }
    case ("root", 3...):
      guard ["control", "guest", "file"].contains(words[1]), Self.isSuite(words[2]),
        words.dropFirst(3).allSatisfy(Package.isName)
      else { throw LineError(problem: "no root") }
      let want = Want(role: words[1], suite: words[2], packages: Array(words.dropFirst(3)))
      guard !roots.contains(where: { $0.want == want }) else { throw LineError(problem: "a second time") }
      roots.append(Root(want: want, archives: [], packages: []))
    case ("archive", 4...) where words[1] == "deb":
      guard let last = roots.indices.last, roots[last].packages.isEmpty else {
        throw LineError(problem: "out of place")
      }
      roots[last].archives.append(words.dropFirst().joined(separator: " "))
    case ("package", 6):
      guard let last = roots.indices.last else { throw LineError(problem: "out of place") }
      guard let package = Package(Array(words.dropFirst())) else { throw LineError(problem: "no package") }
      // Names in order: what is found by them is found once.
      if let before = roots[last].packages.last, before.name >= package.name {
        throw LineError(problem: "a package out of order")
      }
      roots[last].packages.append(package)
    default: throw LineError(problem: "not understood")
    }
  }

  /// What may come from anywhere, for a terminal.
  private static func safe(_ text: Substring) -> String {
    let isControl: (Unicode.Scalar) -> Bool = { $0.value < 32 || (127..<160).contains($0.value) }
    return String(text.prefix(80).unicodeScalars.map { isControl($0) ? "?" : Character($0) })
  }

  private static func isSuite(_ text: String) -> Bool {
    !text.isEmpty && text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
  }
}

extension RecipeLock.Want {
  var line: String { (["root", role, suite] + packages).joined(separator: " ") }
}

extension RecipeLock.Package {
  var line: String { "package \(name) \(version) \(architecture) \(size) \(sha256)" }

  /// The five words of a line; nil where one is not as it must be (Debian Policy, sections 5.6.7 and 5.6.12).
  fileprivate init?(_ words: [String]) {
    guard words.count == 5, Self.isName(words[0]), Self.isVersion(words[1]), ["amd64", "all"].contains(words[2]),
      let size = Int(words[3]), size > 0, let digest = SHA256.Digest(hex: words[4])
    else { return nil }
    self.init(name: words[0], version: words[1], architecture: words[2], size: size, sha256: digest)
  }

  /// Whether `text` can be a package's name: it becomes a part of file names and of arguments.
  static func isName(_ text: String) -> Bool {
    guard let first = text.utf8.first, text.utf8.count >= 2 else { return false }
    func isAlphanumeric(_ byte: UInt8) -> Bool { (97...122).contains(byte) || (48...57).contains(byte) }
    return isAlphanumeric(first) && text.utf8.allSatisfy { isAlphanumeric($0) || "+-.".utf8.contains($0) }
  }

  /// The same of a version.
  static func isVersion(_ text: String) -> Bool {
    guard let first = text.utf8.first, (48...57).contains(first) else { return false }
    return text.utf8.allSatisfy {
      (97...122).contains($0) || (65...90).contains($0) || (48...57).contains($0) || ".+-:~".utf8.contains($0)
    }
  }
}

/// Why a text is no lock.
public struct LockError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The place and what is wrong there.
  public let description: String

  init(_ place: String, _ problem: String) {
    description = "\(place): \(problem)"
  }
}
