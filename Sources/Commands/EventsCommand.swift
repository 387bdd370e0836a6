internal import ArgumentParser
internal import Control
internal import Platform

/// `roost events`
struct EventsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "events", abstract: "Tell what happens to domains, as it happens, until Ctrl-C.",
    discussion: """
      Each line begins with the seconds since the appliance's power-on. With --json each line is an object with the \
      whole state of the domain or of the appliance.

      EXAMPLES:
        roost events
        roost events --domain debian --until ready      returns when debian is ready,
                                                        and fails when it cannot be
        roost events --json | jq .domain.state
      """)

  @Option(help: "Only what happens to this domain.", completion: .domains)
  var domain: String?
  @Option(
    help: "Return when the domain of --domain is in this state (paused included).",
    completion: .list(DomainState.allCases.map(\.rawValue) + ["paused"]))
  var until: String?
  @Flag(help: "Print JSON, an object a line.")
  var json = false
  @OptionGroup var appliance: ApplianceOptions

  func validate() throws {
    guard let until else { return }
    let states = DomainState.allCases.map(\.rawValue) + ["paused"]
    guard domain != nil else { throw ValidationError("--until needs --domain NAME") }
    guard states.contains(until) else {
      throw ValidationError("there is no state \"\(until)\"; there are \(states.joined(separator: ", "))")
    }
  }

  func run() throws {
    try appliance.orExplain { () throws(ControlError) in
      let client = try appliance.connect()
      let overview = try client.subscribe()
      if let domain {
        guard let status = overview.domain(domain) else { throw overview.unknown(domain) }
        if try hasCome(status) { return }
      }
      var last = overview
      // The appliance's clock by this machine's: they are the same inside of it only.
      let offset = overview.appliance.uptimeSeconds - Double(MonotonicClock.sinceBoot()) / 1e9
      while true {
        guard let event = try client.nextEvent(within: 3600) else { continue }
        let uptime = Double(MonotonicClock.sinceBoot()) / 1e9 + offset
        let lines = json ? [try event.line()] : event.lines(after: &last, uptime: uptime)
        if concerns(event) { StandardStream.output.write(lines.map { $0 + "\n" }.joined()) }
        guard until != nil else { continue }
        switch event {
        case .domain(let status) where status.name == domain: if try hasCome(status) { return }
        case .removed(let name) where name == domain: throw ControlError(.wrongState, "\(name) was removed")
        default: break
        }
      }
    }
  }

  /// True when the domain is as it is waited for. Throws when it will not be by itself.
  private func hasCome(_ status: DomainStatus) throws(ControlError) -> Bool {
    guard let until else { return false }
    if status.activity == until { return true }
    if let objection = status.objection(toWaitingFor: until) { throw ControlError(.wrongState, objection) }
    return false
  }

  private func concerns(_ event: ControlEvent) -> Bool {
    guard let domain else { return true }
    guard case .domain(let status) = event else { return false }
    return status.name == domain
  }
}
