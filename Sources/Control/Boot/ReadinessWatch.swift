internal import Platform

/// Follows a booting appliance through its control port until every autostart domain is ready.
///
/// Runs on a thread of its own, and blocks; it ends at its deadline, when the outcome is clear, or when the socket's
/// other side goes away. All its state is local to `run`.
struct ReadinessWatch: Sendable {
  /// How it ended.
  enum Outcome: Hashable, Sendable {
    /// All are ready; the last state of each domain.
    case ready([DomainStatus])
    /// Some are not; the last state of each, and the console of each that should be ready and is not.
    case notReady([DomainStatus], consoles: [String: String], why: String)
    /// The domain manager was never heard.
    case silent(why: String)
  }

  /// The socket that QEMU listens on.
  let socket: String
  /// Seconds from now.
  let timeout: Double
  /// Seconds between questions.
  var interval = 1.0
  /// True when nobody waits for the outcome any more.
  var isCancelled: @Sendable () -> Bool = { false }
  /// Takes progress, a line each.
  let report: @Sendable (String) -> Void

  /// Watches until there is an outcome.
  func run() -> Outcome {
    let start = MonotonicClock.now()
    let elapsed = { Double(MonotonicClock.now() - start) / 1e9 }
    let client: ControlClient
    do throws(ControlError) {
      client = try connect(elapsed)
      try greet(client, elapsed)
    } catch {
      return .silent(why: error.message)
    }
    report("the appliance answers after \(Self.seconds(elapsed()))")
    client.timeout = 15
    var known: [DomainStatus] = []
    while true {
      do throws(ControlError) {
        let overview = try client.list()
        tell(overview.domains, before: known)
        known = overview.domains
        if overview.isReady { return .ready(known) }
        if let end = finalState(known) { return notReady(client, known, why: end) }
      } catch {
        if error.code == .disconnected || error.code == .unreachable {
          return .notReady(known, consoles: [:], why: "the machine ended")
        }
        if known.isEmpty, elapsed() >= timeout { return .silent(why: error.message) }
        if error.code == .unsupportedVersion { return .silent(why: error.message) }
      }
      if isCancelled() { return .notReady(known, consoles: [:], why: "nobody waits any more") }
      if elapsed() >= timeout {
        return notReady(client, known, why: "not all were ready within \(Int(timeout)) s")
      }
      MonotonicClock.sleep(milliseconds: UInt32(min(interval, max(0, timeout - elapsed())) * 1000))
    }
  }

  /// QEMU makes its socket a moment after its start.
  private func connect(_ elapsed: () -> Double) throws(ControlError) -> ControlClient {
    while true {
      do throws(ControlError) {
        return try ControlClient(path: socket)
      } catch {
        if elapsed() >= min(timeout, 30) || isCancelled() { throw error }
      }
      MonotonicClock.sleep(milliseconds: 100)
    }
  }

  private func greet(_ client: ControlClient, _ elapsed: () -> Double) throws(ControlError) {
    var told = 0.0
    while true {
      do throws(ControlError) {
        try client.hello(within: max(0.1, min(2, timeout - elapsed())))
        return
      } catch {
        if error.code != .timedOut { throw error }
        if elapsed() >= timeout {
          throw ControlError(.timedOut, "its domain manager did not answer within \(Int(timeout)) s")
        }
        if elapsed() - told >= 10 {
          told = elapsed()
          report("still booting (\(Self.seconds(told)))")
        }
      }
    }
  }

  /// Says what changed since last time; readiness has its own line at the end.
  private func tell(_ domains: [DomainStatus], before: [DomainStatus]) {
    for domain in domains {
      let old = before.first { $0.name == domain.name }
      guard old?.state != domain.state || old?.reason != domain.reason, domain.state != .ready else { continue }
      report("\(domain.name): \(domain.state.rawValue)\(domain.reason.map { " (\($0))" } ?? "")")
    }
  }

  /// Why the domains can no longer all get ready; nil while they can.
  private func finalState(_ domains: [DomainStatus]) -> String? {
    let expected = domains.filter(\.autostart)
    if expected.isEmpty { return "no domain starts by itself" }
    guard let lost = expected.first(where: { [.crashed, .failed, .off].contains($0.state) }) else { return nil }
    return "\(lost.name) is \(lost.state.rawValue)"
  }

  private func notReady(_ client: ControlClient, _ domains: [DomainStatus], why: String) -> Outcome {
    var consoles: [String: String] = [:]
    for domain in domains where domain.autostart && domain.state != .ready {
      do throws(ControlError) {
        consoles[domain.name] = try client.tail(domain.name, bytes: 4000)
      } catch {
        consoles[domain.name] = "(its console could not be read: \(error.message))"
      }
    }
    return .notReady(domains, consoles: consoles, why: why)
  }

  /// Seconds with one decimal, such as `31.2 s`.
  static func seconds(_ value: Double) -> String {
    let tenths = Int((max(0, min(value, 1e9)) * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) s"
  }

  /// A line per domain, aligned: name, system, what became of it.
  static func table(_ domains: [DomainStatus]) -> [String] {
    let names = domains.map { $0.name.count }.max() ?? 0
    let systems = domains.map { $0.os.count }.max() ?? 0
    return domains.map { domain in
      let state: String
      switch domain.state {
      case .ready: state = domain.readySeconds.map { "ready after \(seconds($0))" } ?? "ready"
      default: state = "not ready: \(domain.state.rawValue)\(domain.reason.map { ", \($0)" } ?? "")"
      }
      let rest = domain.autostart || domain.state == .ready ? state : "not started (starts by hand)"
      return [padded(domain.name, names), padded(domain.os, systems), rest].joined(separator: "  ")
    }
  }

  private static func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  /// The last lines of a console as this terminal may show them: no escape sequences, no control characters.
  static func lastLines(_ text: String, count: Int = 15) -> [String] {
    var clean = ""
    var inEscape = false
    for scalar in text.unicodeScalars {
      if scalar == "\u{1B}" {
        inEscape = true
      } else if inEscape {
        // ECMA-48 section 5.4: a control sequence ends with a letter; '[' and what is not a letter go on.
        inEscape = !(scalar.properties.isAlphabetic || scalar == "\n")
      } else if scalar == "\n" || scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value) {
        clean.unicodeScalars.append(scalar)
      }
    }
    let lines = clean.split(separator: "\n").filter { !$0.allSatisfy(\.isWhitespace) }
    return lines.suffix(count).map { String($0.prefix(200)) }
  }
}
