/// Domains as a table of plain text.
public enum DomainTable {
  /// A headline and a line for each domain. With `width`, wide names are shortened until the table fits; `now` is the
  /// appliance's uptime and shows how long a domain has been starting.
  public static func lines(_ domains: [DomainStatus], width: Int? = nil, now: Double? = nil) -> [String] {
    TextTable<DomainStatus>(
      columns: [
        .init(title: "NAME", minimum: 8) { $0.name },
        .init(title: "OS", minimum: 6) { $0.os },
        .init(title: "STATE") { $0.activity },
        .init(title: "CPUS", alignsRight: true) { domain in
          domain.usableCPUs.map { "\($0)/\(domain.cpus)" } ?? "\(domain.cpus)"
        },
        .init(title: "MEMORY", alignsRight: true) { memory($0) },
        .init(title: "READY AFTER", alignsRight: true) { readiness($0, now: now) },
        .init(title: "ADDRESS") { $0.address ?? "-" },
      ],
      // The system's name gives way first.
      shrinking: [1, 0]
    ).lines(domains, width: width)
  }

  /// What it has now, and what it is to come to where that is something else.
  private static func memory(_ domain: DomainStatus) -> String {
    let present = domain.presentMemory
    guard let wanted = domain.memory?.wantedBytes, wanted != present, domain.memory?.actualBytes != nil else {
      return Text.size(present)
    }
    return "\(present >> 20)>\(wanted >> 20) MiB"
  }

  private static func readiness(_ domain: DomainStatus, now: Double?) -> String {
    if let seconds = domain.readySeconds { return Text.seconds(seconds) }
    guard domain.state == .starting || domain.state == .running, let started = domain.startedAt, let now else {
      return "-"
    }
    return "\(Int(max(0, now - started))) s.."
  }
}
