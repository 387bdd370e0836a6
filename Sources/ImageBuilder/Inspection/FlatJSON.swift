internal import FoundationEssentials

/// A JSON value as lines of a path and a text, for comparing.
enum FlatJSON {
  /// Values by their paths. Objects of a list that have a name go by it, other elements by their place.
  static func values(_ bytes: [UInt8]) throws(BuildError) -> [String: String] {
    let value: Value
    do {
      value = try JSONDecoder().decode(Value.self, from: Data(bytes))
    } catch {
      throw BuildError(.content, "a description cannot be compared: \(error)")
    }
    var values: [String: String] = [:]
    value.add(to: &values, at: "")
    return values
  }

  private indirect enum Value: Decodable {
    case object([String: Value])
    case list([Value])
    case text(String)
    case nothing

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if container.decodeNil() {
        self = .nothing
      } else if let value = try? container.decode(Bool.self) {
        self = .text("\(value)")
      } else if let value = try? container.decode(Int.self) {
        self = .text("\(value)")
      } else if let value = try? container.decode(Double.self) {
        self = .text("\(value)")
      } else if let value = try? container.decode(String.self) {
        self = .text(value)
      } else if let value = try? container.decode([Value].self) {
        self = .list(value)
      } else {
        self = .object(try container.decode([String: Value].self))
      }
    }

    func add(to values: inout [String: String], at path: String) {
      func below(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }
      switch self {
      case .nothing: break
      case .text(let text): values[path] = text
      case .object(let fields): for (name, value) in fields { value.add(to: &values, at: below(name)) }
      case .list(let elements):
        for (index, element) in elements.enumerated() {
          if case .object(let fields) = element, case .text(let name)? = fields["name"] {
            element.add(to: &values, at: below(name))
          } else {
            element.add(to: &values, at: below("\(index + 1)"))
          }
        }
      }
    }
  }
}
