import Platform

/// The package's own sources, read as text.
enum SourceTree {
  struct File {
    /// Relative to the package.
    let path: String
    let lines: [String]
  }

  /// The package's directory: this file is two below it.
  static let root = String(#filePath.split(separator: "/").dropLast(3).joined(separator: "/").prepending("/"))

  /// Every Swift file below `directory`.
  static func swiftFiles(_ directory: String) throws -> [File] {
    var found: [File] = []
    for name in try Files.list("\(root)/\(directory)") {
      let path = "\(directory)/\(name)"
      if try Files.status("\(root)/\(path)")?.kind == .directory {
        found += try swiftFiles(path)
      } else if name.hasSuffix(".swift") {
        let text = try Files.readText("\(root)/\(path)")
        found.append(
          File(path: path, lines: text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)))
      }
    }
    return found
  }

  /// The module that a line imports; nil when it is no import.
  static func importedModule(_ line: String) -> String? {
    var words = line.split(separator: " ").map(String.init)[...]
    while let first = words.first,
      first.hasPrefix("@") || ["public", "package", "internal", "private", "fileprivate"].contains(first)
    {
      words = words.dropFirst()
    }
    guard words.first == "import" else { return nil }
    words = words.dropFirst()
    if let kind = words.first,
      ["struct", "class", "enum", "protocol", "typealias", "func", "var", "let"].contains(kind)
    {
      words = words.dropFirst()
    }
    return words.first.map { String($0.prefix { $0 != "." }) }
  }
}

extension String {
  func prepending(_ prefix: String) -> String { prefix + self }

  func trimmingSpaces() -> String { String(drop { $0 == " " }) }
}
