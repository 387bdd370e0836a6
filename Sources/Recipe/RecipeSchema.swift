/// The JSON Schema of recipes, for editors that complete and check them (draft 2020-12).
///
/// It is made of the shapes that the decoders use. It says less than they do: not what must be there together, and of names
/// and quantities only what they look like. What it refuses a decoder refuses too, but for a few spellings that decoders
/// take: numbers as names, `"true"` in quotes for a flag, a command line that is empty.
public enum RecipeSchema {
  /// The schema as text.
  public static var text: String {
    var writer = SchemaWriter()
    return writer.document(of: .recipe)
  }
}

/// Writes shapes as JSON.
private struct SchemaWriter {
  private var definitions: [String: JSON] = [:]
  private var pending: [Shape] = []
  /// A value that has a variable in it may become anything.
  private static let variable = "variable"

  /// A JSON value whose keys stay in order.
  indirect enum JSON {
    case text(String)
    case number(Int)
    case flag(Bool)
    case list([JSON])
    case object([(String, JSON)])
  }

  mutating func document(of root: Shape) -> String {
    definitions[Self.variable] = .object([("type", .text("string")), ("pattern", .text("\\$\\{"))])
    var fields: [(String, JSON)] = [
      ("$schema", .text("https://json-schema.org/draft/2020-12/schema")), ("title", .text("A recipe of Roost's")),
    ]
    fields += object(root)
    // A recipe that includes others leaves to them what it likes.
    let complete = ["name", "control-domain", "domains"]
    fields.append(
      (
        "anyOf",
        .list([["include"], complete].map { .object([("required", .list($0.map(JSON.text)))]) })
      ))
    var done: Set<String> = []
    while let shape = pending.popLast() {
      if done.insert(shape.name).inserted { definitions[shape.name] = .object(object(shape)) }
    }
    fields.append(("$defs", .object(definitions.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })))
    return Self.write(.object(fields), indent: "") + "\n"
  }

  private mutating func object(_ shape: Shape) -> [(String, JSON)] {
    var properties: [(String, JSON)] = []
    for key in shape.keys {
      properties.append((key.name, .object([("description", .text(key.meaning))] + form(key.form))))
    }
    var fields: [(String, JSON)] = [
      ("type", .text("object")), ("properties", .object(properties)), ("additionalProperties", .flag(false)),
    ]
    if !shape.required.isEmpty { fields.append(("required", .list(shape.required.map(JSON.text)))) }
    return fields
  }

  private mutating func form(_ form: Shape.Form) -> [(String, JSON)] {
    switch form {
    case .text: return [("type", .list([.text("string"), .text("number"), .text("boolean")]))]
    case .pattern(let pattern): return [("type", .text("string")), ("pattern", .text("^(\(pattern))$|\\$\\{"))]
    case .digits(let pattern):
      return [("type", .list([.text("string"), .text("integer")])), ("pattern", .text("^(\(pattern))$|\\$\\{"))]
    case .flag: return any([.object([("type", .text("boolean"))]), reference(Self.variable)])
    case .number(let range):
      let number: [(String, JSON)] = [
        ("type", .text("integer")), ("minimum", .number(range.lowerBound)), ("maximum", .number(range.upperBound)),
      ]
      return any([.object(number), reference(Self.variable)])
    case .word(let words):
      return any([.object([("enum", .list(words.map(JSON.text)))]), reference(Self.variable)])
    case .list(let element): return [("type", .text("array")), ("items", .object(self.form(element)))]
    case .group(let shape):
      pending.append(shape)
      return [("$ref", .text("#/$defs/\(shape.name)"))]
    case .named(let value):
      return [("type", .text("object")), ("additionalProperties", .object(self.form(value)))]
    case .either(let forms): return any(forms.map { .object(self.form($0)) })
    }
  }

  private func any(_ schemas: [JSON]) -> [(String, JSON)] { [("anyOf", .list(schemas))] }

  private func reference(_ name: String) -> JSON { .object([("$ref", .text("#/$defs/\(name)"))]) }

  private static func write(_ value: JSON, indent: String) -> String {
    let deeper = indent + "  "
    switch value {
    case .text(let text): return quoted(text)
    case .number(let number): return "\(number)"
    case .flag(let flag): return "\(flag)"
    case .list(let values):
      let parts = values.map { write($0, indent: deeper) }
      let line = "[\(parts.joined(separator: ", "))]"
      if line.utf8.count + indent.count <= 100, !line.contains("\n") { return line }
      return "[\n\(deeper)" + parts.joined(separator: ",\n\(deeper)") + "\n\(indent)]"
    case .object(let fields):
      let parts = fields.map { "\(quoted($0.0)): \(write($0.1, indent: deeper))" }
      let line = "{\(parts.joined(separator: ", "))}"
      if line.utf8.count + indent.count <= 100, !line.contains("\n") { return line }
      return "{\n\(deeper)" + parts.joined(separator: ",\n\(deeper)") + "\n\(indent)}"
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
