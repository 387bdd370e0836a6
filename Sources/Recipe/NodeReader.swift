internal import Manifest
internal import YAML

/// Reads YAML nodes as values and notes what is wrong with its place, so that one reading finds all mistakes.
struct NodeReader {
  /// The files that the nodes are of.
  var lines = FileLines()
  /// What was found so far.
  private(set) var diagnostics: [Diagnostic] = []

  /// A mapping whose keys were checked.
  struct Fields {
    /// The mapping in words, such as `a domain`.
    let what: String
    /// Where it begins.
    let mark: Mark?
    fileprivate(set) var values: [String: Field] = [:]

    /// True if the mapping has the key.
    func has(_ key: String) -> Bool { values[key] != nil }

    /// Where the key's value is, else where the mapping is.
    func mark(of key: String) -> Mark? { values[key]?.value.mark ?? mark }
  }

  /// A key's place and its value.
  struct Field {
    let keyMark: Mark?
    let value: Node

    /// Whether the value was left out, or written as `~`.
    var isNothing: Bool { NodeReader.isNothing(value) }
  }

  /// Notes a mistake.
  mutating func report(_ mark: Mark?, _ message: String) {
    report(lines.diagnostic(mark, message))
  }

  /// Notes a mistake that is in no node.
  mutating func report(_ finding: Diagnostic) {
    if !diagnostics.contains(finding) { diagnostics.append(finding) }
  }

  /// The node as a mapping with none but a shape's keys. `what` is what it is called in messages, where that is not what all
  /// of its shape are called; `advice` is what is said of other keys that may well be tried.
  mutating func fields(
    _ node: Node, _ shape: Shape, called what: String? = nil, advice: [String: String] = [:]
  ) -> Fields? {
    fields(node, what ?? shape.what, keys: shape.keys.map(\.name), advice: advice)
  }

  /// The node as a mapping with none but these keys. `advice` is what is said of other ones that may well be tried.
  mutating func fields(
    _ node: Node, _ what: String, keys: [String], advice: [String: String] = [:]
  ) -> Fields? {
    guard case .mapping(let mapping) = node else {
      report(node.mark, "\(what) must have keys (\(keys.joined(separator: ", "))), not \(Self.describe(node))")
      return nil
    }
    var fields = Fields(what: what, mark: node.mark)
    for (keyNode, value) in mapping {
      guard case .scalar(let scalar) = keyNode else {
        report(keyNode.mark, "a key in \(what) must be a word, not \(Self.describe(keyNode))")
        continue
      }
      let key = scalar.string
      if let first = fields.values[key] {
        let place = first.keyMark.map { "line \(lines.line(of: $0))" } ?? "another place"
        report(scalar.mark, "\(what) has the key '\(Self.shown(key))' twice; the first is in \(place)")
      } else if keys.contains(key) {
        fields.values[key] = Field(keyMark: scalar.mark, value: value)
      } else {
        var message = "unknown key '\(Self.shown(key))' in \(what)"
        if let advice = advice[key] {
          message += ": \(advice)"
        } else if let nearest = Spelling.nearest(to: key, in: keys) {
          message += "; did you mean '\(nearest)'?"
        } else {
          message += "; it may have \(keys.joined(separator: ", "))"
        }
        report(scalar.mark, message)
      }
    }
    return fields
  }

  /// Notes keys that are given twice, wherever they are: once files are merged, it would not be seen which of them was.
  mutating func reportTwins(_ node: Node) {
    switch node {
    case .mapping(let mapping):
      var first: [String: Mark?] = [:]
      for (key, value) in mapping {
        if let name = key.scalar?.string {
          if let earlier = first[name] {
            let place = earlier.map { "line \(lines.line(of: $0))" } ?? "another place"
            report(key.mark, "the key '\(Self.shown(name))' is given twice; the first is in \(place)")
          } else {
            first.updateValue(key.mark, forKey: name)
          }
        }
        reportTwins(value)
      }
    case .sequence(let sequence): for node in sequence { reportTwins(node) }
    case .scalar: break
    }
  }

  /// Notes that a key is missing.
  mutating func missing(_ key: String, in fields: Fields) {
    report(fields.mark, "\(fields.what) needs the key '\(key)'")
  }

  /// The key's value as text; nil when it is missing or wrong.
  mutating func text(_ fields: Fields, _ key: String, required: Bool = false) -> String? {
    guard let field = fields.values[key] else {
      if required { missing(key, in: fields) }
      return nil
    }
    return scalar(field.value, "'\(key)' in \(fields.what)")
  }

  /// The node as text that is not empty and has no control characters.
  mutating func scalar(_ node: Node, _ what: String) -> String? {
    guard case .scalar(let scalar) = node else {
      report(node.mark, "\(what) must be a single value, not \(Self.describe(node))")
      return nil
    }
    if Self.isNothing(node) {
      report(node.mark, "\(what) has no value")
      return nil
    }
    guard Names.isPrintable(scalar.string) else {
      report(node.mark, "\(what) may not have line breaks or control characters")
      return nil
    }
    return scalar.string
  }

  /// The node as text of any length and form, which may be empty between quotes.
  mutating func longText(_ node: Node, _ what: String) -> String? {
    guard case .scalar(let scalar) = node else {
      report(node.mark, "\(what) must be text, not \(Self.describe(node))")
      return nil
    }
    if Self.isNothing(node) {
      report(node.mark, "\(what) has no value; an empty text is \"\"")
      return nil
    }
    if scalar.string.utf8.contains(0) {
      report(node.mark, "\(what) may not have the character NUL")
      return nil
    }
    return scalar.string
  }

  /// The key's value after `check`, which says what is wrong in words that follow `'value'`.
  mutating func checked(
    _ fields: Fields, _ key: String, required: Bool = false, _ check: (String) -> String?
  ) -> String? {
    guard let text = text(fields, key, required: required) else { return nil }
    guard let problem = check(text) else { return text }
    report(fields.mark(of: key), "'\(key)' in \(fields.what): '\(Self.shown(text))' \(problem)")
    return nil
  }

  /// The key's value as a path that `check` allows. A relative one starts at the folder of the file that says it, and is
  /// returned as seen from the folder of the first file.
  mutating func path(
    _ fields: Fields, _ key: String, required: Bool = false, _ check: (String) -> String?
  ) -> String? {
    checked(fields, key, required: required, check).map { FilePath.join(lines.folder(of: fields.mark(of: key)), $0) }
  }

  /// The key's value as `true` or `false`.
  mutating func flag(_ fields: Fields, _ key: String, default fallback: Bool) -> Bool {
    guard let text = text(fields, key) else { return fallback }
    switch text {
    case "true": return true
    case "false": return false
    default:
      report(fields.mark(of: key), "'\(key)' in \(fields.what) must be true or false, not '\(Self.shown(text))'")
      return fallback
    }
  }

  /// The key's value as a whole number in a range.
  mutating func number(_ fields: Fields, _ key: String, in range: ClosedRange<Int>, default fallback: Int) -> Int {
    guard let text = text(fields, key) else { return fallback }
    guard let value = Int(text), range.contains(value) else {
      report(
        fields.mark(of: key),
        "'\(key)' in \(fields.what) must be a whole number from \(range.lowerBound) to \(range.upperBound),"
          + " not '\(Self.shown(text))'")
      return fallback
    }
    return value
  }

  /// The key's value as what `parse` makes of it.
  mutating func quantity<T>(
    _ fields: Fields, _ key: String, required: Bool = false, _ parse: (String) -> Result<T, QuantityError>
  ) -> T? {
    guard let text = text(fields, key, required: required) else { return nil }
    switch parse(Self.shown(text)) {
    case .success(let value): return value
    case .failure(let error):
      report(fields.mark(of: key), "'\(key)' in \(fields.what): \(error)")
      return nil
    }
  }

  /// The key's value as a size in a range and a multiple of `granule`.
  mutating func size(
    _ fields: Fields, _ key: String, in range: ClosedRange<Int>, granule: Int, required: Bool = false
  ) -> Int? {
    guard let bytes = quantity(fields, key, required: required, ByteSize.parse) else { return nil }
    guard range.contains(bytes) else {
      let limits = "\(ByteSize.format(range.lowerBound)) to \(ByteSize.format(range.upperBound))"
      report(fields.mark(of: key), "'\(key)' in \(fields.what) must be \(limits), not \(ByteSize.format(bytes))")
      return nil
    }
    guard bytes % granule == 0 else {
      report(
        fields.mark(of: key),
        "'\(key)' in \(fields.what) must be a multiple of \(ByteSize.format(granule)), not \(ByteSize.format(bytes))")
      return nil
    }
    return bytes
  }

  /// The key's value as one of an enumeration's.
  mutating func choice<T: RawRepresentable & CaseIterable>(
    _ fields: Fields, _ key: String, _ type: T.Type, default fallback: T
  ) -> T where T.RawValue == String {
    choice(fields, key, type, or: nil) ?? fallback
  }

  /// The key's value as one of an enumeration's; nil when it is missing, wrong, or the word `other`.
  mutating func choice<T: RawRepresentable & CaseIterable>(
    _ fields: Fields, _ key: String, _ type: T.Type, or other: String?
  ) -> T? where T.RawValue == String {
    guard let text = text(fields, key), text != other else { return nil }
    if let value = T(rawValue: text) { return value }
    let all = T.allCases.map(\.rawValue) + [other].compactMap { $0 }
    var message = "'\(key)' in \(fields.what) must be one of \(all.joined(separator: ", ")), not '\(Self.shown(text))'"
    if let nearest = Spelling.nearest(to: text, in: all) { message += "; did you mean '\(nearest)'?" }
    report(fields.mark(of: key), message)
    return nil
  }

  /// The key's value as names of Debian packages, sorted, each once.
  mutating func packages(_ fields: Fields, _ key: String) -> [String] {
    guard let field = fields.values[key] else { return [] }
    guard case .sequence(let sequence) = field.value else {
      report(
        field.value.mark,
        "'\(key)' in \(fields.what) must be a list, such as [nano, curl], not \(Self.describe(field.value))")
      return []
    }
    var names: Set<String> = []
    for node in sequence {
      guard let name = scalar(node, "an entry of '\(key)' in \(fields.what)") else { continue }
      if let problem = Names.packageProblem(name) {
        report(node.mark, "'\(key)' in \(fields.what): '\(Self.shown(name))' \(problem)")
      } else {
        names.insert(name)
      }
    }
    return names.sorted()
  }

  /// Whether a node is YAML's word for nothing.
  static func isNothing(_ node: Node) -> Bool {
    guard case .scalar(let scalar) = node, scalar.isPlain else { return false }
    return ["", "~", "null"].contains(scalar.string)
  }

  /// A node's form in words.
  static func describe(_ node: Node) -> String {
    switch node {
    case .mapping: "a group of keys"
    case .sequence: "a list"
    case .scalar(let scalar): scalar.string.isEmpty ? "nothing" : "'\(shown(scalar.string))'"
    }
  }

  /// Text of the recipe's as a message may have it: no control characters, not too long.
  static func shown(_ text: String) -> String {
    let clean = String(text.map { Names.isPrintable(String($0)) ? $0 : "?" }.prefix(80))
    return clean.count < text.count ? clean + "…" : clean
  }
}
