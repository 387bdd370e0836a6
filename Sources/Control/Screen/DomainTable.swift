/// Domains as a table of plain text.
public enum DomainTable {
  /// A headline and a line for each domain. With `width`, wide names are shortened until the table fits; `now` is the
  /// appliance's uptime and shows how long a domain has been starting.
  public static func lines(_ domains: [DomainStatus], width: Int? = nil, now: Double? = nil) -> [String] {
    TextTable<DomainStatus>(
      columns: [
        .init(title: "NAME", minimum: 8) { $0.name },
        .init(title: "OS", minimum: 6) { $0.os },
        .init(title: "STATE") { $0.state.rawValue },
        .init(title: "CPUS", alignsRight: true) { "\($0.cpus)" },
        .init(title: "MEMORY", alignsRight: true) { Text.size($0.memoryBytes) },
        .init(title: "READY AFTER", alignsRight: true) { readiness($0, now: now) },
        .init(title: "ADDRESS") { $0.address ?? "-" },
      ],
      // The system's name gives way first.
      shrinking: [1, 0]
    ).lines(domains, width: width)
  }

  private static func readiness(_ domain: DomainStatus, now: Double?) -> String {
    if let seconds = domain.readySeconds { return Text.seconds(seconds) }
    guard domain.state == .starting || domain.state == .running, let started = domain.startedAt, let now else {
      return "-"
    }
    return "\(Int(max(0, now - started))) s.."
  }
}
