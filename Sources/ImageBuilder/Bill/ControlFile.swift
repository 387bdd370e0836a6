/// Files of fields in paragraphs, as Debian has them for packages and copyrights (deb822(5); Debian Policy, section 5.1).
enum ControlFile {
  /// Values by the lower-case names of their fields. Lines of a value that goes on are parted by newlines.
  typealias Paragraph = [String: String]

  /// The paragraphs of a text; lines that are no fields are passed over.
  static func paragraphs(_ bytes: [UInt8]) -> [Paragraph] {
    var paragraphs: [Paragraph] = []
    var current: Paragraph = [:]
    var field: String?
    for bytes in bytes.split(separator: 10, omittingEmptySubsequences: false) {
      let line = String(decoding: bytes.last == 13 ? bytes.dropLast() : bytes, as: UTF8.self)
      guard line.contains(where: { $0 != " " && $0 != "\t" }) else {
        if !current.isEmpty { paragraphs.append(current) }
        (current, field) = ([:], nil)
        continue
      }
      if line.hasPrefix("#") { continue }
      if line.hasPrefix(" ") || line.hasPrefix("\t") {
        guard let field else { continue }
        let text = line.dropFirst()
        current[field, default: ""] += "\n" + (text == "." ? "" : text)
        continue
      }
      guard let colon = line.firstIndex(of: ":") else { continue }
      let name = line[..<colon].lowercased()
      current[name] = trimmed(line[line.index(after: colon)...])
      field = name
    }
    return current.isEmpty ? paragraphs : paragraphs + [current]
  }

  /// A file of packages, such as dpkg's status(5), without those of some names; else as it was.
  static func text(_ bytes: [UInt8], without packages: Set<String>) -> String {
    let stanzas = String(decoding: bytes, as: UTF8.self).split(separator: "\n\n", omittingEmptySubsequences: true)
    return stanzas.filter { stanza in
      let name = paragraphs(Array(stanza.utf8)).first?["package"]
      return name.map { !packages.contains($0) } ?? true
    }.map { $0.drop { $0 == "\n" } + ($0.hasSuffix("\n") ? "\n" : "\n\n") }.joined()
  }

  private static func trimmed(_ text: Substring) -> String {
    var text = text.drop { $0 == " " || $0 == "\t" }
    while text.last == " " || text.last == "\t" { text.removeLast() }
    return String(text)
  }
}
