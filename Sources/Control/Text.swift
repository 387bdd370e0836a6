/// Small texts that several places show alike.
enum Text {
  /// `9.4 s`.
  static func seconds(_ value: Double) -> String {
    let tenths = Int((max(0, min(value, 1e9)) * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) s"
  }

  /// `9.4 %`.
  static func percent(_ value: Double) -> String {
    let tenths = Int((max(0, min(value, 1e6)) * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) %"
  }

  /// `512 MiB`, `2 GiB`.
  static func size(_ bytes: Int) -> String {
    let mebibytes = bytes >> 20
    return mebibytes >= 1024 && mebibytes % 1024 == 0 ? "\(mebibytes / 1024) GiB" : "\(mebibytes) MiB"
  }

  /// A length of time that is short, such as `0.25 ms`.
  static func milliseconds(_ seconds: Double) -> String { "\((seconds * 100_000).rounded() / 100) ms" }

  /// A name that somebody gave, for messages: in quotes, and no longer than a name is.
  static func quoted(_ name: String) -> String { "\"\(printable(String(name.prefix(64))))\"" }

  /// What a guest printed, without what would steer a terminal: escape sequences and control characters other than
  /// newline and tab are left out, and a carriage return before a newline with them.
  static func printable(_ text: String) -> String {
    var result = ""
    var state = EscapeState.text
    for scalar in text.unicodeScalars {
      if let shown = state.take(scalar) { result.unicodeScalars.append(shown) }
    }
    return result
  }

  /// Where in an escape sequence the text is (ECMA-48: ESC Fe, CSI … final, strings up to BEL or ST).
  enum EscapeState: Sendable {
    case text, escape, control, string, stringEscape

    /// Takes the next scalar; returns it when it is to be shown.
    mutating func take(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
      switch self {
      case .text:
        switch scalar.value {
        case 0x1B: self = .escape
        case 0x9B: self = .control
        case 0x90, 0x98, 0x9D...0x9F: self = .string
        case 0x09, 0x0A, 0x20...0x7E, 0xA0...: return scalar
        default: break
        }
      case .escape:
        switch scalar {
        case "[": self = .control
        case "]", "P", "X", "^", "_": self = .string
        case "\u{1B}": break
        default: self = (0x20...0x2F).contains(scalar.value) ? .escape : .text
        }
      case .control:
        if scalar.value == 0x1B { self = .escape }
        if (0x40...0x7E).contains(scalar.value) { self = .text }
        if scalar == "\n" {
          self = .text
          return scalar
        }
      case .string:
        if scalar.value == 0x07 || scalar.value == 0x9C { self = .text }
        if scalar.value == 0x1B { self = .stringEscape }
        // A guest that never ends its string does not hide the rest of its log.
        if scalar == "\n" {
          self = .text
          return scalar
        }
      case .stringEscape:
        self = .text
      }
      return nil
    }
  }
}
