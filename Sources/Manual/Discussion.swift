/// The long text of a command, taken apart: paragraphs, lines that stay as they are, and sections with a heading.
struct Discussion: Hashable {
  enum Block: Hashable {
    case paragraph(String)
    case lines([String])
  }

  struct Section: Hashable {
    var title: String
    var blocks: [Block]
  }

  /// What comes before the first heading.
  private(set) var blocks: [Block] = []
  private(set) var sections: [Section] = []

  /// Headings that become sections of a page, without their colon.
  private static let titles: Set<String> = ["EXAMPLES", "EXAMPLE", "EXIT STATUS", "ENVIRONMENT"]

  /// Blank lines part blocks. Lines that begin with blanks stay as they are; a line that is a heading begins a section,
  /// which goes to the end of its lines.
  init(_ text: String) {
    var isInSection = false
    var paragraph: [String] = []
    var lines: [String] = []

    func add(_ block: Block, _ this: inout Discussion) {
      if isInSection, !this.sections.isEmpty {
        this.sections[this.sections.count - 1].blocks.append(block)
      } else {
        this.blocks.append(block)
      }
    }
    func flush(_ this: inout Discussion) {
      if !paragraph.isEmpty { add(.paragraph(paragraph.joined(separator: " ")), &this) }
      while lines.last == "" { lines.removeLast() }
      if !lines.isEmpty { add(.lines(Self.unindented(lines)), &this) }
      paragraph = []
      lines = []
    }

    for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
      if line.allSatisfy({ $0 == " " }) {
        if lines.isEmpty { flush(&self) } else { lines.append("") }
      } else if line.hasPrefix("  ") {
        if !paragraph.isEmpty { flush(&self) }
        lines.append(line)
      } else {
        let title = (line.hasSuffix(":") ? String(line.dropLast()) : line).uppercased()
        let isHeading = Self.titles.contains(title)
        if isHeading || !lines.isEmpty {
          flush(&self)
          isInSection = false
        }
        if isHeading {
          isInSection = true
          sections.append(Section(title: title == "EXAMPLE" ? "EXAMPLES" : title, blocks: []))
        } else {
          paragraph.append(line)
        }
      }
    }
    flush(&self)
  }

  /// The section of this title.
  func section(_ title: String) -> Section? { sections.first { $0.title == title } }

  private static func unindented(_ lines: [String]) -> [String] {
    let depth = lines.filter { !$0.isEmpty }.map { $0.prefix { $0 == " " }.count }.min() ?? 0
    return lines.map { String($0.dropFirst(depth)) }
  }
}
