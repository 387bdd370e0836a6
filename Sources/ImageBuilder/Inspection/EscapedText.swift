/// Text of somebody else's, for terminals and files of JSON.
enum EscapedText {
  /// `text` in which what steers a terminal, turns the direction of writing or cannot be seen is written as `\u` and four
  /// digits. In JSON, which has the same escapes, that changes no value. Newlines stay where `lines` says so.
  static func make(_ text: String, lines: Bool = false) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      if scalar == "\n", lines {
        result.unicodeScalars.append(scalar)
        continue
      }
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned:
        for unit in String(scalar).utf16 {
          let digits = String(unit, radix: 16, uppercase: true)
          result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
