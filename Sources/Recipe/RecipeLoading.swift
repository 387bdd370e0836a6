internal import Manifest
internal import Platform
internal import Yams

extension Recipe {
  /// Reads and validates the recipe in a file.
  ///
  /// Throws `RecipeError.unreadable`, or `.invalid` with all that is wrong, sorted by line.
  public static func load(_ path: String) throws(RecipeError) -> Recipe {
    let text = try YAMLText.load(path, what: "recipe")
    let slash = path.lastIndex(of: "/")
    let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    return try parse(text, file: path, directory: directory)
  }

  /// Reads a file with nothing but `domains:` as a recipe has it: what `roost create` takes. Relative paths in it start at
  /// the folder that is returned.
  public static func loadDomains(_ path: String) throws(RecipeError) -> (domains: [Domain], directory: String) {
    let yaml = YAMLText(
      text: try YAMLText.load(path, what: "file of domains"), file: path, what: "file of domains",
      example: "roost create --help")
    let slash = path.lastIndex(of: "/")
    let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    let domains = try yaml.decode { (root, reader) throws(RecipeError) in
      var decoder = RecipeDecoder(reader: reader, directory: directory)
      return try decoder.decodeDomains(root)
    }
    return (domains, directory)
  }

  /// Validates a recipe's text. `file` is for messages; relative paths in the recipe start at `directory`.
  public static func parse(
    _ text: String, file: String, directory: String = "."
  ) throws(RecipeError) -> Recipe {
    let yaml = YAMLText(text: text, file: file, what: "recipe", example: "recipes/quickstart.yaml")
    return try yaml.decode { (root, reader) throws(RecipeError) in
      var decoder = RecipeDecoder(reader: reader, directory: directory)
      return try decoder.decode(root)
    }
  }
}

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
    var marker = DuplicateMarker()
    var text = text
    guard text.utf8.count <= Limits.fileSize else { throw wholeFile("the \(what) is larger than 1 MiB") }
    guard Self.aliasCount(text) <= Limits.aliases else {
      throw wholeFile("the \(what) has more than \(Limits.aliases) aliases (*name); write them out")
    }
    while true {
      do {
        guard let root = try Yams.compose(yaml: text, .basic) else {
          throw wholeFile("the \(what) is empty; see \(example) for one to start from")
        }
        return try body(root, NodeReader(file: file, marker: marker))
      } catch let error as RecipeError {
        throw error
      } catch YamlError.duplicatedKeysInMapping(let duplicates, let context) {
        guard let key = duplicates.first, let renamed = marker.rename(key, at: context.mark, in: text) else {
          let names = duplicates.map { "'\(NodeReader.shown($0))'" }.joined(separator: ", ")
          throw .invalid([diagnostic(context.mark, "keys given twice: \(names)")])
        }
        text = renamed
      } catch let error as YamlError {
        throw .invalid([diagnostic(error, text: text)])
      } catch {
        throw wholeFile("\(error)")
      }
    }
  }

  private func wholeFile(_ message: String) -> RecipeError {
    .invalid([Diagnostic(file: file, line: 0, column: 0, message: message)])
  }

  private func diagnostic(_ mark: Mark, _ message: String) -> Diagnostic {
    Diagnostic(file: file, line: mark.line, column: mark.column, message: message)
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
  private func diagnostic(_ error: YamlError, text: String) -> Diagnostic {
    switch error {
    case .scanner(let context, let problem, let mark, _):
      if problem.contains("tab character") || Self.scalar(of: text, at: mark) == "\t" {
        return diagnostic(mark, "a tab cannot indent; use spaces")
      }
      return diagnostic(mark, Self.words(context, problem))
    case .parser(let context, let problem, let mark, _), .composer(let context, let problem, let mark, _):
      return diagnostic(mark, Self.words(context, problem))
    case .reader(let problem, let offset, _, _):
      var line = 1
      var column = 1
      for character in text.prefix(offset ?? 0) {
        column += character.unicodeScalars.count
        if character.isNewline {
          line += 1
          column = 1
        }
      }
      return Diagnostic(
        file: file, line: offset == nil ? 0 : line, column: offset == nil ? 0 : column,
        message: "this character cannot be in a \(what) (\(problem))")
    default:
      return Diagnostic(file: file, line: 0, column: 0, message: "\(error)")
    }
  }

  private static func words(_ context: YamlError.Context?, _ problem: String) -> String {
    guard let context, !context.text.isEmpty else { return "not valid YAML: \(problem)" }
    return "not valid YAML: \(problem) \(context.text) that began in line \(context.mark.line)"
  }

  private static func scalar(of text: String, at mark: Mark) -> Unicode.Scalar? {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard mark.line >= 1, mark.line <= lines.count else { return nil }
    return lines[mark.line - 1].unicodeScalars.dropFirst(max(0, mark.column - 1)).first
  }
}
