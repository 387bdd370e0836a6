/// As much of JSON (RFC 8259) as the identity document needs, without Foundation: whole numbers only, no key twice,
/// nesting of a few levels. The text may be hostile: reading is bounded by its length and never traps.
enum JSONValue: Hashable {
  case null
  case flag(Bool)
  case number(Int)
  case text(String)
  case list([JSONValue])
  case object([String: JSONValue])

  static let depth = 8

  /// Reads the whole of `bytes`.
  init(_ bytes: some Collection<UInt8>) throws(IdentityError) {
    var reader = JSONReader(bytes: Array(bytes))
    self = try reader.document()
  }

  /// The value as text, keys sorted.
  var encoded: String {
    switch self {
    case .null: "null"
    case .flag(let flag): flag ? "true" : "false"
    case .number(let number): "\(number)"
    case .text(let text): Self.quoted(text)
    case .list(let values): "[" + values.map(\.encoded).joined(separator: ",") + "]"
    case .object(let members):
      "{"
        + members.sorted { $0.key < $1.key }.map { "\(Self.quoted($0.key)):\($0.value.encoded)" }
        .joined(separator: ",") + "}"
    }
  }

  private static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\u{0}"..."\u{1F}":
        let digits = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}

/// A reader's place in the text.
private struct JSONReader {
  let bytes: [UInt8]
  var offset = 0

  mutating func document() throws(IdentityError) -> JSONValue {
    let value = try value(depth: JSONValue.depth)
    skipBlanks()
    guard offset == bytes.count else { throw problem("goes on behind its end") }
    return value
  }

  private func problem(_ what: String) -> IdentityError {
    IdentityError("its JSON \(what) (byte \(offset))")
  }

  private var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

  private mutating func skipBlanks() {
    while let byte = next, [0x20, 0x09, 0x0A, 0x0D].contains(byte) { offset += 1 }
  }

  private mutating func take(_ byte: UInt8) -> Bool {
    skipBlanks()
    guard next == byte else { return false }
    offset += 1
    return true
  }

  private mutating func value(depth: Int) throws(IdentityError) -> JSONValue {
    guard depth > 0 else { throw problem("is nested too deep") }
    skipBlanks()
    switch next {
    case UInt8(ascii: "{"): return try object(depth: depth)
    case UInt8(ascii: "["): return try list(depth: depth)
    case UInt8(ascii: "\""): return .text(try text())
    case UInt8(ascii: "t"): return try word("true", .flag(true))
    case UInt8(ascii: "f"): return try word("false", .flag(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: return .number(try number())
    }
  }

  private mutating func word(_ word: String, _ value: JSONValue) throws(IdentityError) -> JSONValue {
    guard bytes[offset...].starts(with: word.utf8) else { throw problem("has an unknown word") }
    offset += word.utf8.count
    return value
  }

  private mutating func number() throws(IdentityError) -> Int {
    let digits = bytes[offset...].prefix { $0 == UInt8(ascii: "-") || (0x30...0x39).contains($0) }
    guard digits.count <= 19, let number = Int(String(decoding: digits, as: UTF8.self)) else {
      throw problem("has something that is no value")
    }
    offset += digits.count
    if let byte = next, [UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E")].contains(byte) {
      throw problem("has a number that is not whole")
    }
    return number
  }

  private mutating func list(depth: Int) throws(IdentityError) -> JSONValue {
    offset += 1
    var values: [JSONValue] = []
    if take(UInt8(ascii: "]")) { return .list(values) }
    repeat { values.append(try value(depth: depth - 1)) } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "]")) else { throw problem("has a list without an end") }
    return .list(values)
  }

  private mutating func object(depth: Int) throws(IdentityError) -> JSONValue {
    offset += 1
    var members: [String: JSONValue] = [:]
    if take(UInt8(ascii: "}")) { return .object(members) }
    repeat {
      skipBlanks()
      guard next == UInt8(ascii: "\"") else { throw problem("has a member without a name") }
      let name = try text()
      guard take(UInt8(ascii: ":")) else { throw problem("has a member without a value") }
      guard members.updateValue(try value(depth: depth - 1), forKey: name) == nil else {
        throw problem("has a member twice")
      }
    } while take(UInt8(ascii: ","))
    guard take(UInt8(ascii: "}")) else { throw problem("has an object without an end") }
    return .object(members)
  }

  private mutating func text() throws(IdentityError) -> String {
    offset += 1
    var content: [UInt8] = []
    while let byte = next {
      offset += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = String(validating: content, as: UTF8.self) else { throw problem("has text that is not UTF-8") }
        return text
      case UInt8(ascii: "\\"): content += Array(String(try escaped()).utf8)
      case 0..<0x20: throw problem("has a control character in a text")
      default: content.append(byte)
      }
    }
    throw problem("has a text without an end")
  }

  private mutating func escaped() throws(IdentityError) -> Unicode.Scalar {
    guard let byte = next else { throw problem("has a text without an end") }
    offset += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      let high = try codeUnit()
      guard (0xD800...0xDBFF).contains(high) else {
        guard let scalar = Unicode.Scalar(high) else { throw problem("has half a character") }
        return scalar
      }
      guard bytes[offset...].starts(with: "\\u".utf8) else { throw problem("has half a character") }
      offset += 2
      let low = try codeUnit()
      guard (0xDC00...0xDFFF).contains(low),
        let scalar = Unicode.Scalar(0x1_0000 + (high - 0xD800) << 10 + (low - 0xDC00))
      else { throw problem("has half a character") }
      return scalar
    default: throw problem("has an unknown escape")
    }
  }

  private mutating func codeUnit() throws(IdentityError) -> UInt32 {
    let digits = bytes[offset...].prefix(4)
    guard digits.count == 4, !digits.contains(UInt8(ascii: "+")), !digits.contains(UInt8(ascii: "-")),
      let unit = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
    else { throw problem("has an unknown escape") }
    offset += 4
    return unit
  }
}
