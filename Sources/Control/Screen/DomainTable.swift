/// Domains as a table of plain text.
public enum DomainTable {
  private struct Column {
    let title: String
    let alignsRight: Bool
    /// How far it may shrink when the table is too wide; nil: not at all.
    let minimum: Int?
    let cell: (DomainStatus) -> String
  }

  /// A headline and a line for each domain. With `width`, wide names are shortened until the table fits; `now` is the
  /// appliance's uptime and shows how long a domain has been starting.
  public static func lines(_ domains: [DomainStatus], width: Int? = nil, now: Double? = nil) -> [String] {
    let columns = [
      Column(title: "NAME", alignsRight: false, minimum: 8) { $0.name },
      Column(title: "OS", alignsRight: false, minimum: 6) { $0.os },
      Column(title: "STATE", alignsRight: false, minimum: nil) { $0.state.rawValue },
      Column(title: "CPUS", alignsRight: true, minimum: nil) { "\($0.cpus)" },
      Column(title: "MEMORY", alignsRight: true, minimum: nil) { Text.size($0.memoryBytes) },
      Column(title: "READY AFTER", alignsRight: true, minimum: nil) { readiness($0, now: now) },
      Column(title: "ADDRESS", alignsRight: false, minimum: nil) { $0.address ?? "-" },
    ]
    let cells = domains.map { domain in columns.map { $0.cell(domain) } }
    var widths = columns.indices.map { index in
      max(columns[index].title.count, cells.map { $0[index].count }.max() ?? 0)
    }
    let gap = 2
    if let width {
      var excess = widths.reduce(0, +) + gap * (widths.count - 1) - width
      // The system's name gives way first.
      for index in [1, 0] where excess > 0 {
        let less = min(excess, max(0, widths[index] - (columns[index].minimum ?? widths[index])))
        widths[index] -= less
        excess -= less
      }
    }
    return ([columns.map(\.title)] + cells).map { row in
      var line = ""
      for (index, text) in row.enumerated() {
        let cut = text.count > widths[index] ? text.prefix(max(0, widths[index] - 1)) + "~" : text[...]
        let padding = String(repeating: " ", count: widths[index] - cut.count)
        if index > 0 { line += String(repeating: " ", count: gap) }
        line += columns[index].alignsRight ? padding + cut : cut + padding
      }
      while line.last == " " { line.removeLast() }
      return width.map { String(line.prefix($0)) } ?? line
    }
  }

  private static func readiness(_ domain: DomainStatus, now: Double?) -> String {
    if let seconds = domain.readySeconds { return Text.seconds(seconds) }
    guard domain.state == .starting || domain.state == .running, let started = domain.startedAt, let now else {
      return "-"
    }
    return "\(Int(max(0, now - started))) s.."
  }
}
