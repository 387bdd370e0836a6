/// How busy domains are, from two reports one after the other.
struct UsageMeter: Sendable {
  /// What a domain takes of the machine.
  struct Usage: Hashable, Sendable {
    /// Share of one processor since the report before, in percent; nil after the first one.
    var cpuPercent: Double?
    /// How much it waited for processors since then, in percent of one; nil where that is not counted.
    var stealPercent: Double?
    /// Memory in bytes.
    var memoryBytes: Int
  }

  private var last: UsageReport?
  private var domains: [String: Usage] = [:]

  /// What is known of a domain that runs.
  func of(_ domain: String) -> Usage? { domains[domain] }

  /// Takes the next report.
  mutating func take(_ report: UsageReport) {
    let seconds = last.map { report.uptimeSeconds - $0.uptimeSeconds } ?? 0
    let before = Dictionary((last?.domains ?? []).map { ($0.name, $0) }) { first, _ in first }
    domains = Dictionary(
      report.domains.map { now in
        var usage = Usage(memoryBytes: now.memoryBytes)
        // A monitor that was started anew counts from zero again.
        if let then = before[now.name], then.pid == now.pid, seconds > 0 {
          usage.cpuPercent = max(0, now.cpuSeconds - then.cpuSeconds) / seconds * 100
          if let steal = now.stealSeconds, let earlier = then.stealSeconds {
            usage.stealPercent = max(0, steal - earlier) / seconds * 100
          }
        }
        return (now.name, usage)
      }
    ) { first, _ in first }
    last = report
  }
}
