internal import YAML

/// Which file a line belongs to. Marks in YAML have lines and no files, so the lines of several files that are read as one
/// recipe are numbered one file after the other.
struct FileLines {
  private struct File {
    /// Lines before its first one.
    let start: Int
    /// Its path as messages have it.
    let path: String
    /// Where relative paths in it start, as seen from the first file's folder; empty for that folder.
    let folder: String
    let end: Int
  }

  private var files: [File] = []

  /// Adds a file; returns how many lines come before its first one.
  mutating func add(_ path: String, folder: String, text: String) -> Int {
    let start = files.last?.end ?? 0
    let count = text.unicodeScalars.count { Self.endsLine($0) }
    files.append(File(start: start, path: path, folder: folder, end: start + count + 1))
    return start
  }

  /// Whether YAML may take a character for the end of a line. Of a pair both count: no two files' lines meet.
  private static func endsLine(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar {
    case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}": true
    default: false
    }
  }

  /// The line in its own file.
  func line(_ line: Int) -> Int { line - (file(line)?.start ?? 0) }

  /// The mark's line in its own file.
  func line(of mark: Mark) -> Int { line(mark.line) }

  /// `file:line:column` of a mark; `?` where there is none.
  func place(of mark: Mark?) -> String {
    guard let mark else { return "?" }
    return "\(file(mark.line)?.path ?? ""):\(line(of: mark)):\(mark.column)"
  }

  /// Where relative paths at a mark start, as seen from the first file's folder.
  func folder(of mark: Mark?) -> String { mark.flatMap { file($0.line)?.folder } ?? "" }

  /// A finding at a mark, or about the first file.
  func diagnostic(_ mark: Mark?, _ message: String) -> Diagnostic {
    Diagnostic(
      file: (mark.flatMap { file($0.line) } ?? files.first)?.path ?? "", line: mark.map { line(of: $0) } ?? 0,
      column: mark?.column ?? 0, message: message)
  }

  private func file(_ line: Int) -> File? { files.last { $0.start < line } }
}
