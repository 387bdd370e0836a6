/// A group of keys as a recipe may have it: what decoders allow, and what editors are told.
struct Shape: Sendable {
  /// In the schema.
  let name: String
  /// In messages.
  let what: String
  let keys: [Key]
  /// Keys that are never left out, not even where an included recipe has the rest.
  let required: [String]

  /// One key.
  struct Key: Sendable {
    let name: String
    let form: Form
    /// What it decides, in a sentence.
    let meaning: String

    init(_ name: String, _ form: Form, _ meaning: String) {
      self.name = name
      self.form = form
      self.meaning = meaning
    }
  }

  /// What a value looks like.
  indirect enum Form: Sendable {
    /// Text of which a number or a word of YAML's is some as well.
    case text
    /// Text that a regular expression of ECMA-262 matches all of.
    case pattern(String)
    /// Digits that YAML may take for a number.
    case digits(String)
    case flag
    case number(ClosedRange<Int>)
    case word([String])
    case list(Form)
    case group(Shape)
    /// Keys that the recipe chooses, and what each of them has.
    case named(Form)
    case either([Form])

    static let size = pattern("[0-9]+ ?(KiB|MiB|GiB|TiB)")
    static let label = pattern("[a-z0-9]([a-z0-9-]*[a-z0-9])?")
    static let subnet = pattern("[0-9.]+/[0-9]+")
    static let address = pattern("[0-9]+\\.[0-9]+\\.[0-9]+\\.[0-9]+")
    static let time = pattern("[0-9]+ ?(us|ms|s)")
    static let rate = pattern("[0-9]+ ?(bit|kbit|Mbit|Gbit)")

    static func words<Value: RawRepresentable & CaseIterable>(of type: Value.Type, and others: String...) -> Form
    where Value.RawValue == String { word(type.allCases.map(\.rawValue) + others) }
  }

  init(_ name: String, _ what: String, required: [String] = [], _ keys: [Key]) {
    self.name = name
    self.what = what
    self.required = required
    self.keys = keys
  }
}
