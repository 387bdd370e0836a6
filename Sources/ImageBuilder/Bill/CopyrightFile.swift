internal import Binary

/// A package's machine-readable copyright file (copyright-format 1.0, also known as DEP-5).
struct CopyrightFile {
  /// All licences of the package's files, as an SPDX licence expression.
  let expression: String
  /// What `LicenseRef-` identifiers of the expression stand for.
  let texts: [String: String]

  /// Nil for a file in a form that is for people only. `package` is who it belongs to.
  init?(_ bytes: [UInt8], package: String) {
    let paragraphs = ControlFile.paragraphs(bytes)
    guard let format = paragraphs.first?["format"], format.contains("copyright-format/1.") else { return nil }
    var bodies: [String: String] = [:]
    for license in paragraphs.compactMap({ $0["license"] }) {
      let (name, body) = Self.split(license)
      if !body.isEmpty, bodies[name] == nil { bodies[name] = body }
    }
    var texts: [String: String] = [:]
    var parts: [String] = []
    for paragraph in paragraphs where paragraph["files"] != nil {
      guard let license = paragraph["license"] else { return nil }
      let expression = LicenseExpression(Self.split(license).name)
      let text = expression.text { name in
        let body = bodies[name] ?? "See /usr/share/doc/\(package)/copyright for '\(name)'."
        let identifier = Self.reference(name, body)
        texts[identifier] = body
        return identifier
      }
      let part = expression.isSimple ? text : "(\(text))"
      if !parts.contains(part) { parts.append(part) }
    }
    guard let first = parts.first else { return nil }
    // A whole that is one part needs no parentheses.
    expression =
      parts.count == 1 && first.hasPrefix("(") ? String(first.dropFirst().dropLast()) : parts.joined(separator: " AND ")
    self.texts = texts
  }

  private static func split(_ license: String) -> (name: String, body: String) {
    guard let newline = license.firstIndex(of: "\n") else { return (license, "") }
    return (String(license[..<newline]), String(license[license.index(after: newline)...]))
  }

  /// Texts of one name differ between packages; equal ones share their reference.
  private static func reference(_ name: String, _ body: String) -> String {
    SPDXIdentifier.make("LicenseRef-debian-", name, distinguishedBy: body)
  }
}

/// Identifiers of SPDX documents: letters, digits, `.` and `-` (SPDX 2.3, sections 7.2 and 10.1).
enum SPDXIdentifier {
  /// One made of `name`, and of a digest of `seed`.
  static func make(_ prefix: String, _ name: String, distinguishedBy seed: String) -> String {
    "\(prefix)\(plain(name))-\(Hex.encode(SHA256.hash("\(name)\n\(seed)").bytes.prefix(6)))"
  }

  /// `name` with a hyphen for each character that may not be in an identifier.
  static func plain(_ name: String) -> String {
    String(name.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == ".") ? $0 : "-" })
  }
}
