/// What a `License` field of a machine-readable copyright file says (copyright-format 1.0, "License specification"),
/// as an SPDX licence expression (SPDX 2.3, annex D).
struct LicenseExpression {
  /// Licences of a name that SPDX has not, by the name; each needs a reference.
  private(set) var unknown: [String] = []
  /// One licence, without operators.
  private(set) var isSimple = true
  private var parts: [Part] = []

  private enum Part {
    case license(String)
    case other(String)
    case word(String)
  }

  /// Reads the field's first line, such as `GPL-2+ or Artistic, and BSD-3-clause`.
  init(_ text: String) {
    // A comma before "and" or "or" closes what is before it.
    let groups = text.split(separator: ",").map { Self.words($0) }.filter { !$0.isEmpty }
    if groups.isEmpty { append("unknown") }
    for (index, words) in groups.enumerated() {
      var words = words[...]
      if index > 0 { parts.append(.word(Self.operator(words.first).map { _ in Self.take(&words) } ?? "AND")) }
      let operands = words.count { Self.operator($0) != nil } + 1
      let isNested = groups.count > 1 && operands > 1
      if isNested { parts.append(.word("(")) }
      appendGroup(words)
      if isNested { parts.append(.word(")")) }
      if operands > 1 || index > 0 { isSimple = false }
    }
  }

  /// The expression; `reference` gives the identifier of a licence that SPDX has not.
  func text(reference: (String) -> String) -> String {
    var text = ""
    for part in parts {
      switch part {
      case .license(let identifier): text += identifier
      case .other(let name): text += reference(name)
      case .word(let word) where word == "(" || word == ")": text += word
      case .word(let word): text += " \(word) "
      }
    }
    return text
  }

  private static func words(_ text: Substring) -> [Substring] {
    text.split { $0 == " " || $0 == "\t" || $0 == "\n" }
  }

  private static func `operator`(_ word: Substring?) -> String? {
    switch word?.lowercased() {
    case "and": "AND"
    case "or", "and/or": "OR"
    default: nil
    }
  }

  private static func take(_ words: inout ArraySlice<Substring>) -> String {
    Self.operator(words.popFirst()) ?? "AND"
  }

  private mutating func appendGroup(_ words: ArraySlice<Substring>) {
    var operand: [Substring] = []
    for word in words {
      if let known = Self.operator(word), !operand.isEmpty {
        append(operand.joined(separator: " "))
        parts.append(.word(known))
        operand = []
      } else {
        operand.append(word)
      }
    }
    append(operand.isEmpty ? "unknown" : operand.joined(separator: " "))
  }

  private mutating func append(_ name: String) {
    if let identifier = LicenseNames.identifier(name) {
      parts.append(.license(identifier))
    } else {
      parts.append(.other(name))
      if !unknown.contains(name) { unknown.append(name) }
    }
  }
}

/// Debian's short names of licences (copyright-format 1.0, "Short name") and SPDX's identifiers.
enum LicenseNames {
  private static let identifiers = [
    "apache-1.0": "Apache-1.0", "apache-1.1": "Apache-1.1", "apache-2": "Apache-2.0", "apache-2.0": "Apache-2.0",
    "0bsd": "0BSD", "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause", "bsd-4-clause": "BSD-4-Clause",
    "bsl-1.0": "BSL-1.0", "bzip2-1.0.6": "bzip2-1.0.6", "cc0": "CC0-1.0", "cc0-1.0": "CC0-1.0",
    "cc-by-3.0": "CC-BY-3.0", "cc-by-4.0": "CC-BY-4.0", "cc-by-sa-3.0": "CC-BY-SA-3.0", "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cddl": "CDDL-1.0", "cddl-1.0": "CDDL-1.0", "expat": "MIT", "fsfap": "FSFAP", "fsful": "FSFUL",
    "fsfullr": "FSFULLR", "hpnd": "HPND", "isc": "ISC", "mpl-1.1": "MPL-1.1", "mpl-2.0": "MPL-2.0",
    "ofl-1.1": "OFL-1.1",
    "openssl": "OpenSSL", "postgresql": "PostgreSQL", "unicode-3.0": "Unicode-3.0", "unlicense": "Unlicense",
    "w3c": "W3C", "x11": "X11", "zlib": "Zlib",
  ]

  private static let versions = [
    "agpl": ["3.0"], "gpl": ["1.0", "2.0", "3.0"], "lgpl": ["2.0", "2.1", "3.0"], "gfdl": ["1.1", "1.2", "1.3"],
    "gfdl-niv": ["1.1", "1.2", "1.3"],
  ]

  private static let exceptions = [
    "autoconf exception": "Autoconf-exception-2.0", "bison exception": "Bison-exception-2.2",
    "classpath exception": "Classpath-exception-2.0", "gcc runtime library exception": "GCC-exception-3.1",
    "libtool exception": "Libtool-exception", "linux-syscall-note": "Linux-syscall-note",
  ]

  /// SPDX's identifier, with the exception where there is one; nil for a name that means something else or nothing.
  static func identifier(_ name: String) -> String? {
    let lower = name.lowercased()
    if let exact = identifiers[lower] { return exact }
    let words = lower.split(separator: " ", omittingEmptySubsequences: true)
    if let with = words.firstIndex(of: "with"), with == 1 {
      guard let license = gnu(String(words[0])), let exception = exceptions[words[2...].joined(separator: " ")] else {
        return nil
      }
      return "\(license) WITH \(exception)"
    }
    return gnu(lower)
  }

  /// `gpl-2+` and its like.
  private static func gnu(_ name: String) -> String? {
    guard let hyphen = name.lastIndex(of: "-") else { return nil }
    let family = String(name[..<hyphen])
    var version = String(name[name.index(after: hyphen)...])
    let isOpen = version.hasSuffix("+")
    if isOpen { version.removeLast() }
    if !version.contains(".") { version += ".0" }
    guard versions[family]?.contains(version) == true else { return nil }
    let upper = family == "gfdl-niv" ? "GFDL-\(version)-no-invariants" : "\(family.uppercased())-\(version)"
    return upper + (isOpen ? "-or-later" : "-only")
  }
}
