internal import Manifest
internal import YAML

/// A recipe's variables. `${name}` in a value stands for one, and `$${` for `${`.
struct Variables {
  private(set) var values: [String: String] = [:]
  private var room = Limits.replacedSize

  /// None.
  init() {}

  /// What the recipe at `root` declares, where `overrides` say nothing else. Both may be wrong: that is reported, and a value
  /// that is wrong is empty.
  init(_ root: Node, overrides: [String: String], file: String, _ reader: inout NodeReader) {
    let declared = declarations(root, overrides: overrides, &reader)
    for name in overrides.keys.sorted() where declared[name] == nil {
      let advice =
        Spelling.nearest(to: name, in: declared.keys.sorted()).map { "; did you mean '\($0)'?" }
        ?? (declared.isEmpty ? "" : "; it has \(Self.list(declared.keys))")
      reader.report(nil, "--set: the recipe has no variable '\(NodeReader.shown(name))'\(advice)")
    }
    for name in declared.keys.sorted() { _ = resolve(name, declared, path: [], &reader) }
  }

  /// `node` with its values' variables replaced.
  func replaced(in node: Node, _ reader: inout NodeReader) -> Node {
    var copy = self
    return copy.replace(node, isRoot: true, &reader)
  }

  /// A file's text with its variables replaced; `problem` gets what is wrong, and where: the offset in UTF-8.
  func replaced(inText text: String, problem: (String, Int) -> Void) -> String {
    Self.replaced(text, values: { values[$0] }, names: values.keys, limit: Limits.replacedSize, problem: problem) ?? ""
  }

  private enum Declaration {
    /// From the command line, which has no variables.
    case given(String)
    case text(String, Mark?)
  }

  /// What keeps `name` from being a variable's.
  static func problem(_ name: String) -> String? {
    let isName =
      (1...64).contains(name.utf8.count) && name.first?.isNumber == false && name.first != "-"
      && name.utf8.allSatisfy(isWord)
    return isName ? nil : "is no variable's name (letters, digits, - and _, a letter first)"
  }

  private static func isWord(_ byte: UInt8) -> Bool {
    switch byte {
    case 45, 48...57, 65...90, 95, 97...122: true
    default: false
    }
  }

  private func declarations(
    _ root: Node, overrides: [String: String], _ reader: inout NodeReader
  ) -> [String: Declaration] {
    guard let node = root.mapping?.first(where: { $0.key.scalar?.string == "variables" })?.value else { return [:] }
    guard case .mapping(let mapping) = node else {
      reader.report(
        node.mark, "'variables' must have names as its keys, as in {course: os-101}, not \(NodeReader.describe(node))")
      return [:]
    }
    guard mapping.count <= Limits.variables else {
      reader.report(node.mark, "'variables' has \(mapping.count) entries; \(Limits.variables) are the most")
      return [:]
    }
    var declared: [String: Declaration] = [:]
    let names = mapping.compactMap { key, _ in key.scalar?.string }
    guard let fields = reader.fields(node, "the variables", keys: names) else { return [:] }
    for (name, field) in fields.values {
      if let problem = Self.problem(name) {
        reader.report(field.keyMark, "'\(NodeReader.shown(name))' \(problem)")
      } else if let value = overrides[name] {
        declared[name] = .given(value)
      } else if field.isNothing {
        reader.report(field.value.mark, "the variable '\(name)' has no value; give it one with --set \(name)=…")
        declared[name] = .given("")
      } else {
        let text = reader.scalar(field.value, "the variable '\(name)'")
        declared[name] = text.map { .text($0, field.value.mark) } ?? .given("")
      }
    }
    return declared
  }

  /// The value of a declared variable; `path` has those whose values it is needed for.
  private mutating func resolve(
    _ name: String, _ declared: [String: Declaration], path: [String], _ reader: inout NodeReader
  ) -> String {
    if let value = values[name] { return value }
    var value: String
    switch declared[name] {
    case nil: value = ""
    case .given(let text)?: value = text
    case .text(let text, let mark)?:
      if let start = path.firstIndex(of: name) {
        let circle = (path[start...] + [name]).joined(separator: " → ")
        reader.report(mark, "the variable '\(name)' is defined in terms of itself: \(circle)")
        return ""
      }
      var inner: [String: String] = [:]
      for other in Self.names(in: text) where declared[other] != nil {
        inner[other] = resolve(other, declared, path: path + [name], &reader)
      }
      let limit = Limits.variableSize
      value =
        Self.replaced(text, values: { inner[$0] }, names: declared.keys, limit: limit) { problem, _ in
          reader.report(mark, problem)
        } ?? ""
    }
    if value.utf8.count > Limits.variableSize {
      let mark: Mark? = if case .text(_, let mark)? = declared[name] { mark } else { nil }
      reader.report(mark, "the variable '\(name)' is longer than \(Limits.variableSize >> 10) KiB")
      value = ""
    }
    values[name] = value
    return value
  }

  private mutating func replace(_ node: Node, isRoot: Bool = false, _ reader: inout NodeReader) -> Node {
    switch node {
    case .scalar(let scalar):
      guard scalar.string.contains("${"), room >= 0 else { return node }
      let text = Self.replaced(scalar.string, values: { values[$0] }, names: values.keys, limit: room) { problem, _ in
        reader.report(scalar.mark, problem)
      }
      guard let text else {
        // All that follows would be refused as well.
        room = -1
        return node
      }
      room -= text.utf8.count
      return .scalar(.init(text, isPlain: scalar.isPlain, mark: scalar.mark))
    case .sequence(let sequence):
      return .sequence(.init(sequence.map { replace($0, &reader) }, mark: sequence.mark))
    case .mapping(let mapping):
      let pairs = mapping.map { key, value in
        isRoot && key.scalar?.string == "variables" ? (key, value) : (key, replace(value, &reader))
      }
      return .mapping(.init(pairs, mark: mapping.mark))
    }
  }

  private static func list(_ names: some Sequence<String>) -> String { names.sorted().joined(separator: ", ") }
}

/// Text with variables.
extension Variables {
  private enum Piece {
    case text(Substring)
    case variable(String, at: Int)
    case wrong(String, at: Int)
  }

  private static func names(in text: String) -> [String] {
    pieces(of: text).compactMap { piece in if case .variable(let name, _) = piece { name } else { nil } }
  }

  /// Nil where that would be longer than `limit` bytes.
  private static func replaced(
    _ text: String, values: (String) -> String?, names: some Sequence<String>, limit: Int,
    problem: (String, Int) -> Void
  ) -> String? {
    var result = ""
    for piece in pieces(of: text) {
      switch piece {
      case .text(let text): result += text
      case .wrong(let message, let offset): problem(message, offset)
      case .variable(let name, let offset):
        if let value = values(name) {
          guard result.utf8.count + value.utf8.count <= limit else {
            problem("variables make too much text; one value has \(Limits.variableSize >> 10) KiB at most", offset)
            return nil
          }
          result += value
          continue
        }
        let all = names.sorted()
        let known =
          Spelling.nearest(to: name, in: all).map { "did you mean '\($0)'?" }
          ?? (all.isEmpty ? "the recipe has none under 'variables'" : "there are \(list(all))")
        problem("there is no variable '\(name)'; \(known) ('$${\(name)}' stands for '${\(name)}' itself)", offset)
      }
    }
    return result
  }

  private static func pieces(of text: String) -> [Piece] {
    let bytes = text.utf8
    var pieces: [Piece] = []
    var plain = bytes.startIndex
    var index = bytes.startIndex
    func follows(_ word: String, _ index: String.Index) -> Bool { bytes[index...].starts(with: word.utf8) }
    func offset(_ index: String.Index) -> Int { bytes.distance(from: bytes.startIndex, to: index) }
    while let dollar = bytes[index...].firstIndex(of: 36) {
      if follows("$${", dollar) {
        pieces.append(.text(text[plain..<dollar]))
        plain = bytes.index(after: dollar)
        index = bytes.index(dollar, offsetBy: 3)
      } else if follows("${", dollar) {
        pieces.append(.text(text[plain..<dollar]))
        let start = bytes.index(dollar, offsetBy: 2)
        let end = bytes[start...].firstIndex { !isWord($0) } ?? bytes.endIndex
        let name = String(text[start..<end])
        if end < bytes.endIndex, bytes[end] == 125, problem(name) == nil {
          pieces.append(.variable(name, at: offset(dollar)))
          index = bytes.index(after: end)
        } else {
          pieces.append(
            .wrong("'${' begins a variable, as in '${course}'; '$${' stands for '${' itself", at: offset(dollar)))
          index = start
        }
        plain = index
      } else {
        index = bytes.index(after: dollar)
      }
    }
    pieces.append(.text(text[plain...]))
    return pieces
  }
}
