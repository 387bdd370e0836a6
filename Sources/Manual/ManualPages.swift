/// Manual pages in the language of man(7), a page for each command, out of the description of a command line.
public struct ManualPages: Sendable {
  /// A page and the name of its file, as `roost-disk-create.1`.
  public struct Page: Hashable, Sendable {
    /// The file's name.
    public let file: String
    /// The page.
    public let text: String
  }

  /// All pages, that of the program itself first.
  public let pages: [Page]

  /// The pages of the program that `json` describes (`--experimental-dump-help`). `version` is the program's; `date`,
  /// as in 2026-11-28, is shown at the foot of each page. `environment` has variables that the program looks at, and what
  /// for.
  public init(
    json: String, version: String, date: String, environment: [(name: String, text: String)]
  ) throws(ManualError) {
    let tool = try ToolDescription(json: json)
    let writer = PageWriter(
      program: tool.command, footer: "\(tool.command.commandName) \(version)", date: date, environment: environment)
    pages = writer.pages(tool.command)
  }
}

private struct PageWriter {
  let program: CommandDescription
  let footer: String
  let date: String
  let environment: [(name: String, text: String)]

  func pages(_ command: CommandDescription) -> [ManualPages.Page] {
    let name = command.words.joined(separator: "-")
    return [ManualPages.Page(file: "\(name).1", text: page(command))] + command.visibleCommands.flatMap(pages)
  }

  private func page(_ command: CommandDescription) -> String {
    let name = command.words.joined(separator: "-")
    let discussion = Discussion(command.discussion ?? "")
    var lines = [
      ".\\\" Made from the program's own description of its commands.",
      ".TH \(Roff.quoted(name.uppercased())) 1 \"\(date)\" \(Roff.quoted(footer))",
      ".SH NAME",
      "\(Roff.text(name)) \\- \(Roff.text(Self.withoutDot(command.abstract ?? "")))",
      ".SH SYNOPSIS",
    ]
    lines += synopsis(command)
    if !discussion.blocks.isEmpty || command.aliases?.isEmpty == false {
      lines.append(".SH DESCRIPTION")
      lines += body(discussion.blocks)
      if let aliases = command.aliases, !aliases.isEmpty {
        lines += [".PP", "Other names of it:", Roff.text(aliases.joined(separator: ", ") + ".")]
      }
    }
    lines += arguments(command)
    if !command.visibleCommands.isEmpty {
      lines.append(".SH COMMANDS")
      for other in command.visibleCommands {
        lines += [".TP", Self.reference(other), Roff.text(other.abstract ?? "")]
      }
    }
    lines += section("EXAMPLES", discussion.section("EXAMPLES"))
    if command.words == program.words, !environment.isEmpty {
      lines.append(".SH ENVIRONMENT")
      for variable in environment { lines += [".TP", ".B \(Roff.text(variable.name))", Roff.text(variable.text)] }
    }
    let exits = discussion.section("EXIT STATUS") ?? Discussion(program.discussion ?? "").section("EXIT STATUS")
    lines += section("EXIT STATUS", exits)
    lines += seeAlso(command)
    return lines.joined(separator: "\n") + "\n"
  }

  private func synopsis(_ command: CommandDescription) -> [String] {
    var lines = [".B \(Roff.text(command.words.joined(separator: " ")))"]
    let visible = command.visibleArguments
    if visible.contains(where: { !$0.isPositional && $0.isOptional }) { lines.append("[\\fIoptions\\fR]") }
    for argument in visible where !argument.isPositional && !argument.isOptional {
      lines.append(Self.option(argument, separator: " | "))
    }
    for argument in visible where argument.isPositional {
      let name = "\\fI\(Roff.text(argument.value))\\fR" + (argument.isRepeating ? " ..." : "")
      lines.append(argument.isOptional ? "[\(name)]" : name)
    }
    if !command.visibleCommands.isEmpty { lines.append("\\fIcommand\\fR") }
    return lines
  }

  private func arguments(_ command: CommandDescription) -> [String] {
    var lines: [String] = []
    for (title, wanted) in [("ARGUMENTS", true), ("OPTIONS", false)] {
      let some = command.visibleArguments.filter { $0.isPositional == wanted }
      guard !some.isEmpty else { continue }
      lines.append(".SH \(title)")
      for argument in some {
        let label = wanted ? "\\fI\(Roff.text(argument.value))\\fR" : Self.option(argument, separator: ", ")
        var text = argument.abstract ?? ""
        if let value = argument.defaultValue, !argument.isFlag, !text.contains("default:") {
          text += " (default: \(value))"
        }
        lines += [".TP", label, Roff.text(text.isEmpty ? "No more is said of it." : text)]
      }
    }
    return lines
  }

  /// An option under all its names, with its value.
  private static func option(_ argument: CommandDescription.Argument, separator: String) -> String {
    let names = (argument.names ?? []).map(\.text).sorted { ($0.count, $0) < ($1.count, $1) }
    let value = argument.isFlag ? "" : " \\fI\(Roff.text(argument.value))\\fR"
    return names.map { "\\fB\(Roff.text($0))\\fR" }.joined(separator: separator) + value
  }

  private func section(_ title: String, _ section: Discussion.Section?) -> [String] {
    guard let section else { return [] }
    return [".SH \(title)"] + body(section.blocks)
  }

  private func body(_ blocks: [Discussion.Block]) -> [String] {
    var lines: [String] = []
    for (index, block) in blocks.enumerated() {
      switch block {
      case .paragraph(let text):
        if index > 0 { lines.append(".PP") }
        lines.append(Roff.text(text))
      case .lines(let text):
        lines += [".RS 2", ".nf"] + text.map(Roff.text) + [".fi", ".RE"]
      }
    }
    return lines
  }

  private func seeAlso(_ command: CommandDescription) -> [String] {
    guard command.words != program.words else { return [] }
    let parents = (1..<command.words.count).map { command.words.prefix($0).joined(separator: "-") }
    let references = parents.map { ".BR \(Roff.text($0)) (1)" }
    return [".SH SEE ALSO"] + references.enumerated().map { $0 < references.count - 1 ? $1 + " ," : $1 }
  }

  private static func reference(_ command: CommandDescription) -> String {
    ".BR \(Roff.text(command.words.joined(separator: "-"))) (1)"
  }

  private static func withoutDot(_ text: String) -> String { text.hasSuffix(".") ? String(text.dropLast()) : text }
}

/// Text as man(7) takes it for itself (groff(7), "Escapes" and "Control characters").
enum Roff {
  /// A line of text: hyphens that are typed stay what they are, and nothing begins a request.
  static func text(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "\\": result += "\\e"
      case "-": result += "\\-"
      case "'": result += "\\(aq"
      case "`": result += "\\(ga"
      case "^": result += "\\(ha"
      case "~": result += "\\(ti"
      case "\"": result += "\\(dq"
      case "…": result += "..."
      default: result.append(character)
      }
    }
    return result.hasPrefix(".") ? "\\&\(result)" : result
  }

  /// One argument of a request.
  static func quoted(_ text: String) -> String { "\"\(self.text(text))\"" }
}
