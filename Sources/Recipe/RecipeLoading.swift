internal import Manifest
internal import Platform
internal import Yams

extension Recipe {
  /// Reads and validates the recipe in a file.
  ///
  /// Throws `RecipeError.unreadable`, or `.invalid` with all that is wrong, sorted by line.
  public static func load(_ path: String) throws(RecipeError) -> Recipe {
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
      throw .unreadable(path: path, reason: "it is not UTF-8 text; is this a recipe?")
    }
    let slash = path.lastIndex(of: "/")
    let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
    return try parse(text, file: path, directory: directory)
  }

  /// Validates a recipe's text. `file` is for messages; relative paths in the recipe start at `directory`.
  public static func parse(
    _ text: String, file: String, directory: String = "."
  ) throws(RecipeError) -> Recipe {
    var marker = DuplicateMarker()
    var text = text
    guard text.utf8.count <= Limits.fileSize else { throw wholeFile(file, "the recipe is larger than 1 MiB") }
    guard aliasCount(text) <= Limits.aliases else {
      throw wholeFile(file, "the recipe has more than \(Limits.aliases) aliases (*name); write them out")
    }
    while true {
      do {
        guard let root = try Yams.compose(yaml: text, .basic) else {
          throw wholeFile(file, "the recipe is empty; see recipes/quickstart.yaml for one to start from")
        }
        var decoder = RecipeDecoder(reader: NodeReader(file: file, marker: marker), directory: directory)
        return try decoder.decode(root)
      } catch let error as RecipeError {
        throw error
      } catch YamlError.duplicatedKeysInMapping(let duplicates, let context) {
        guard let key = duplicates.first, let renamed = marker.rename(key, at: context.mark, in: text) else {
          let names = duplicates.map { "'\(NodeReader.shown($0))'" }.joined(separator: ", ")
          throw .invalid([diagnostic(file, context.mark, "keys given twice: \(names)")])
        }
        text = renamed
      } catch let error as YamlError {
        throw .invalid([diagnostic(error, file: file, text: text)])
      } catch {
        throw wholeFile(file, "\(error)")
      }
    }
  }

  private static func wholeFile(_ file: String, _ message: String) -> RecipeError {
    .invalid([Diagnostic(file: file, line: 0, column: 0, message: message)])
  }

  private static func diagnostic(_ file: String, _ mark: Mark, _ message: String) -> Diagnostic {
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

  /// What libyaml found, in the words of who writes a recipe.
  private static func diagnostic(_ error: YamlError, file: String, text: String) -> Diagnostic {
    switch error {
    case .scanner(let context, let problem, let mark, _):
      if problem.contains("tab character") || scalar(of: text, at: mark) == "\t" {
        return diagnostic(file, mark, "a tab cannot indent; use spaces")
      }
      return diagnostic(file, mark, words(context, problem))
    case .parser(let context, let problem, let mark, _), .composer(let context, let problem, let mark, _):
      return diagnostic(file, mark, words(context, problem))
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
        message: "this character cannot be in a recipe (\(problem))")
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
