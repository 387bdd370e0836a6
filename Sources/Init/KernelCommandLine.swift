/// The kernel's command line, split as the kernel does (lib/cmdline.c, `next_arg`): at spaces outside double quotes;
/// quotes may surround a whole parameter or its value. What follows `--` is not the kernel's and is left out.
public struct KernelCommandLine: Sendable {
  /// Parameters in order; `value` is nil where there is no `=`.
  public let parameters: [(name: String, value: String?)]

  /// Splits the content of /proc/cmdline.
  public init(_ text: String) {
    var found: [(name: String, value: String?)] = []
    for word in Self.words(text) {
      if word == "--" { break }
      found.append(Self.parameter(word))
    }
    parameters = found
  }

  /// The value of the last parameter of that name; an empty string where it has none. Nil when it is absent.
  /// Hyphens and underscores in names are the same, as they are to the kernel.
  public subscript(name: String) -> String? {
    let wanted = Self.canonical(name)
    guard let last = parameters.last(where: { Self.canonical($0.name) == wanted }) else { return nil }
    return last.value ?? ""
  }

  /// The values of all parameters of that name, in their order.
  func values(_ name: String) -> [String] {
    let wanted = Self.canonical(name)
    return parameters.filter { Self.canonical($0.name) == wanted }.compactMap(\.value)
  }

  private static func canonical(_ name: String) -> String {
    String(name.map { $0 == "-" ? "_" : $0 })
  }

  private static func words(_ text: String) -> [String] {
    var words: [String] = []
    var word = ""
    var quoted = false
    for character in text {
      if character == "\"" { quoted.toggle() }
      if character.isWhitespace, !quoted {
        if !word.isEmpty { words.append(word) }
        word = ""
      } else {
        word.append(character)
      }
    }
    return word.isEmpty ? words : words + [word]
  }

  private static func parameter(_ word: String) -> (name: String, value: String?) {
    let bare = word.hasPrefix("\"") ? unquoted(word) : word
    guard let equals = bare.firstIndex(of: "=") else { return (bare, nil) }
    return (String(bare[..<equals]), unquoted(String(bare[bare.index(after: equals)...])))
  }

  private static func unquoted(_ text: String) -> String {
    guard text.hasPrefix("\"") else { return text }
    let inner = text.dropFirst()
    return String(inner.hasSuffix("\"") ? inner.dropLast() : inner)
  }
}
