internal import Manifest
internal import Platform
internal import YAML

/// A YAML text that a person wrote: its nodes, or what is wrong with it and where.
struct YAMLText {
  var text: String
  /// Its path as it was given, for messages.
  let file: String
  /// What it is, in a word.
  let what: String
  /// Where one can be seen.
  let example: String

  /// The text of the file at `path`, a little more than the limit of `Limits.fileSize` at most.
  static func load(_ path: String, what: String) throws(RecipeError) -> String {
    var bytes: [UInt8] = []
    do throws(SystemError) {
      let file = try FileDescriptor(opening: path)
      while bytes.count <= Limits.fileSize {
        let more = try file.read(upTo: 65_536)
        if more.isEmpty { break }
        bytes += more
      }
    } catch {
      throw .unreadable(path: path, reason: "\(error.errno)")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .unreadable(path: path, reason: "it is not UTF-8 text; is this a \(what)?")
    }
    return text
  }

  /// What `body` makes of the text's root.
  func decode<Value>(
    _ body: (Node, NodeReader) throws(RecipeError) -> Value
  ) throws(RecipeError) -> Value {
    var reader = NodeReader()
    let root = try compose(&reader)
    return try body(root, reader)
  }

  /// The text's root. Its lines become known to `reader` as those of `folder`, which is where relative paths in it start as
  /// seen from the first file's.
  func compose(_ reader: inout NodeReader, folder: String = "") throws(RecipeError) -> Node {
    let start = reader.lines.add(file, folder: folder, text: text)
    let text = String(repeating: "\n", count: start) + (text.hasPrefix("\u{FEFF}") ? String(text.dropFirst()) : text)
    guard self.text.utf8.count <= Limits.fileSize else { throw wholeFile("the \(what) is larger than 1 MiB") }
    guard Self.aliasCount(text) <= Limits.aliases else {
      throw wholeFile("the \(what) has more than \(Limits.aliases) aliases (*name); write them out")
    }
    let composed: Node?
    do throws(YAMLError) {
      composed = try Node.compose(text, nesting: Limits.nesting)
    } catch {
      if error.kind == .nesting { throw tooDeep }
      throw .invalid([diagnostic(error, text: text, reader.lines)])
    }
    guard let root = composed else {
      throw wholeFile("the \(what) is empty; see \(example) for one to start from")
    }
    guard !Self.isDeeper(root, than: Limits.nesting) else { throw tooDeep }
    return root
  }

  private var tooDeep: RecipeError { wholeFile("the \(what) is nested more than \(Limits.nesting) deep") }

  private func wholeFile(_ message: String) -> RecipeError {
    .invalid([Diagnostic(file: file, line: 0, column: 0, message: message)])
  }

  private static func isDeeper(_ node: Node, than limit: Int) -> Bool {
    switch node {
    case .mapping(let mapping):
      limit == 0 || mapping.contains { isDeeper($0.key, than: limit - 1) || isDeeper($0.value, than: limit - 1) }
    case .sequence(let sequence): limit == 0 || sequence.contains { isDeeper($0, than: limit - 1) }
    case .scalar: false
    }
  }

  /// Words that look like aliases, wherever they are: never fewer than there are aliases.
  private static func aliasCount(_ text: String) -> Int {
    var count = 0
    var previous: UInt8 = 32
    for byte in text.utf8 {
      if previous == 42, byte > 32 { count += 1 }
      previous = byte
    }
    return count
  }

  /// What libyaml found, in the words of who wrote it.
  private func diagnostic(_ error: YAMLError, text: String, _ lines: FileLines) -> Diagnostic {
    switch error.kind {
    case .scanner:
      if error.problem.contains("tab character") || Self.scalar(of: text, at: error.mark) == "\t" {
        return lines.diagnostic(error.mark, "a tab cannot indent; use spaces")
      }
      return lines.diagnostic(error.mark, Self.words(error, lines))
    case .parser, .composer, .nesting:
      let hint =
        Self.line(of: text, at: error.mark)?.contains("${") == true
        ? " (between { } and [ ] a value with '${' needs quotes)" : ""
      return lines.diagnostic(error.mark, Self.words(error, lines) + hint)
    case .reader(let offset):
      var line = 1
      var column = 1
      for character in String(decoding: text.utf8.prefix(offset), as: UTF8.self) {
        column += character.unicodeScalars.count
        if character.isNewline {
          line += 1
          column = 1
        }
      }
      return Diagnostic(
        file: file, line: lines.line(line), column: column,
        message: "this character cannot be in a \(what) (\(error.problem))")
    case .memory: return Diagnostic(file: file, line: 0, column: 0, message: error.problem)
    }
  }

  private static func words(_ error: YAMLError, _ lines: FileLines) -> String {
    guard let context = error.context, !context.text.isEmpty else { return "not valid YAML: \(error.problem)" }
    return "not valid YAML: \(error.problem) \(context.text) that began in line \(lines.line(of: context.mark))"
  }

  private static func scalar(of text: String, at mark: Mark) -> Unicode.Scalar? {
    line(of: text, at: mark)?.unicodeScalars.dropFirst(max(0, mark.column - 1)).first
  }

  private static func line(of text: String, at mark: Mark) -> Substring? {
    guard mark.line >= 1 else { return nil }
    // As bytes: to Swift CR LF is one character, and no LF.
    var rest = text[...]
    for _ in 1..<mark.line {
      guard let end = rest.utf8.firstIndex(of: 10) else { return nil }
      rest = rest[rest.utf8.index(after: end)...]
    }
    return rest[..<(rest.utf8.firstIndex(of: 10) ?? rest.endIndex)]
  }
}
