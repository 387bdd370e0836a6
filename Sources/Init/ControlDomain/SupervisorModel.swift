public import Platform

/// What is to run when: the decisions of the supervisor, without processes or clocks. Times are nanoseconds of one
/// clock that never goes back, and are given in.
public struct SupervisorModel: Sendable {
  /// Where a service is.
  public enum State: Hashable, Sendable {
    /// Waits for those before it.
    case waiting
    case running(pid: Int32, since: UInt64)
    /// Ended, and starts again at the time given.
    case delayed(until: UInt64)
    /// Ran once and ended; nil where it could not be started.
    case ended(ExitStatus?)
  }

  /// A service and what became of it.
  public struct Entry: Sendable {
    /// What it is.
    public let service: Service
    /// Where it is.
    public fileprivate(set) var state: State = .waiting
    /// How often it was started.
    public fileprivate(set) var starts = 0
    /// How it last ended, in words.
    public fileprivate(set) var lastEnd: String?
    fileprivate var backoff = Backoff()
    fileprivate var inFallback = false
  }

  /// What the executor is to start.
  public struct Start: Hashable, Sendable {
    /// The service.
    public let name: String
    /// Path and arguments.
    public let command: [String]
    /// Device file of its terminal.
    public let terminal: String?
    /// True when this is the service's fallback.
    public let isFallback: Bool
  }

  /// Services in the order of starting.
  public private(set) var entries: [Entry]

  /// Supervises `services`.
  public init(_ services: [Service]) throws(ServicePlanError) {
    entries = try orderServices(services).map { Entry(service: $0) }
  }

  /// What is to be started now. Each must be answered by `started` or `failed`.
  public func due(at now: UInt64) -> [Start] {
    entries.compactMap { entry in
      switch entry.state {
      case .waiting: guard entry.service.after.allSatisfy(isReady) else { return nil }
      case .delayed(let until): guard until <= now else { return nil }
      case .running, .ended: return nil
      }
      let service = entry.service
      let fallback = entry.backoff.failures >= Service.failureLimit ? service.fallback : nil
      return Start(
        name: service.name, command: fallback ?? service.command, terminal: service.terminal,
        isFallback: fallback != nil)
    }
  }

  /// When something will be due; nil when only the end of a process can change anything.
  public var nextDue: UInt64? {
    entries.compactMap { entry in
      if case .delayed(let until) = entry.state { until } else { nil }
    }.min()
  }

  /// A start succeeded.
  public mutating func started(_ start: Start, pid: Int32, at now: UInt64) {
    change(start.name) { entry in
      entry.state = .running(pid: pid, since: now)
      entry.starts += 1
      entry.inFallback = start.isFallback
    }
  }

  /// A start failed: as if the service had ended at once.
  public mutating func failed(_ start: Start, _ reason: String, at now: UInt64) {
    change(start.name) { entry in
      entry.inFallback = start.isFallback
      entry.lastEnd = reason
      Self.end(&entry, nil, ranFor: 0, at: now)
    }
  }

  /// A process ended. Returns the service's name; nil when it was none of the supervised.
  @discardableResult
  public mutating func ended(pid: Int32, _ status: ExitStatus, at now: UInt64) -> String? {
    for entry in entries {
      guard case .running(pid, let since) = entry.state else { continue }
      change(entry.service.name) { entry in
        entry.lastEnd = status.description
        Self.end(&entry, status, ranFor: now >= since ? now - since : 0, at: now)
      }
      return entry.service.name
    }
    return nil
  }

  /// The process of a service; nil while it does not run.
  public func pid(of name: String) -> Int32? {
    for entry in entries where entry.service.name == name {
      if case .running(let pid, _) = entry.state { return pid }
    }
    return nil
  }

  private func isReady(_ name: String) -> Bool {
    guard let entry = entries.first(where: { $0.service.name == name }) else { return true }
    switch entry.service.kind {
    case .once: if case .ended = entry.state { return true } else { return false }
    case .always: return entry.starts > 0 || entry.backoff.failures > 0
    }
  }

  private static func end(_ entry: inout Entry, _ status: ExitStatus?, ranFor duration: UInt64, at now: UInt64) {
    switch entry.service.kind {
    case .once: entry.state = .ended(status)
    case .always:
      if entry.inFallback { entry.backoff.reset() }
      entry.state = .delayed(until: now &+ entry.backoff.wait(afterRunOf: duration))
    }
  }

  private mutating func change(_ name: String, _ body: (inout Entry) -> Void) {
    guard let index = entries.firstIndex(where: { $0.service.name == name }) else { return }
    body(&entries[index])
  }
}

extension SupervisorModel {
  /// The state of all services as JSON, for people and for `roost`: a list of
  /// `{"name", "state", "pid"?, "starts", "lastEnd"?}`, where state is `waiting`, `running`, `delayed` or `ended`.
  public var json: String {
    let items = entries.map { entry in
      var fields = ["\"name\":\(Self.quote(entry.service.name))"]
      switch entry.state {
      case .waiting: fields.append("\"state\":\"waiting\"")
      case .running(let pid, _): fields.append("\"state\":\"running\",\"pid\":\(pid)")
      case .delayed: fields.append("\"state\":\"delayed\"")
      case .ended: fields.append("\"state\":\"ended\"")
      }
      if entry.inFallback { fields.append("\"fallback\":true") }
      fields.append("\"starts\":\(entry.starts)")
      if let lastEnd = entry.lastEnd { fields.append("\"lastEnd\":\(Self.quote(lastEnd))") }
      return "{\(fields.joined(separator: ","))}"
    }
    return "[\(items.joined(separator: ",\n "))]\n"
  }

  private static func quote(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"", "\\": quoted += "\\\(scalar)"
      case _ where scalar.value < 32:
        let hex = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}
