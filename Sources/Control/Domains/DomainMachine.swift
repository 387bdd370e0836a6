internal import Manifest
internal import Platform

/// The life of one domain as a pure state machine: events and the time go in, effects come out. It owns no process, no
/// timer and no file; who drives it does what the effects say and reports back with events.
///
/// Times are seconds on one clock that never goes back.
struct DomainMachine: Sendable {
  /// What happens to a domain.
  enum Event: Hashable, Sendable {
    /// It is to start: by the user, or with the appliance.
    case start
    /// Its start waits for something of the appliance, such as its disk.
    case wait(reason: String)
    /// The monitor runs since `at`.
    case launched(pid: Int32, at: Double)
    /// It cannot start.
    case refused(reason: String)
    /// The monitor answers at the console socket.
    case consoleConnected
    /// The console showed the text that means readiness.
    case readyTextSeen
    /// The monitor ended. `words` is the last line that it said about it.
    case exited(ExitStatus, words: String?)
    /// A monitor that an earlier domain manager started runs still.
    case adopted(pid: Int32, at: Double, readySeconds: Double?)
    /// An adopted monitor ended, and nobody can say how.
    case vanished
    case stop
    case reboot
    case destroy
    /// Its processors stand still.
    case paused
    /// They go on.
    case resumed
    /// Time passed; due deadlines act.
    case clock
  }

  /// What the driver must do.
  enum Effect: Hashable, Sendable {
    /// Start the monitor; answer with `launched`, `wait` or `refused`.
    case launch
    /// Ask the guest to power off.
    case pressPowerButton
    /// End the monitor at once.
    case kill
  }

  /// Exit codes of `roost-vmm`.
  enum ExitCode {
    static let poweredOff: Int32 = 0
    static let usage: Int32 = 2
    static let noKVM: Int32 = 3
    static let reset: Int32 = 10
    static let guestCrash: Int32 = 11
    static let deviceFailure: Int32 = 12
    static let guestPanic: Int32 = 13
    static let halted: Int32 = 14
    /// It did what its jail forbids.
    static let violation: Int32 = 15
    /// Its jail cannot be made.
    static let noJail: Int32 = 16
    static let stopped: Int32 = 130
  }

  /// A domain that runs shorter than this, in seconds, before it is restarted by policy counts as restarting quickly.
  static let quickRun = 60.0
  /// So many quick restarts in a row are tried.
  static let quickRestartLimit = 8
  /// After so many seconds without an answer to the power button the reason says what else can be done.
  static let powerButtonPatience = 30.0

  let readyText: String
  let readyTimeout: Double
  let onReboot: LifecycleAction
  let onCrash: LifecycleAction

  private(set) var state = DomainState.defined
  private(set) var reason: String?
  private(set) var pid: Int32?
  private(set) var startedAt: Double?
  private(set) var readySeconds: Double?
  /// Restarts by policy since the last start by hand.
  private(set) var restarts = 0
  /// When `clock` must come next; nil: no need.
  var deadline: Double? {
    // A guest that stands still has as much time left as it had.
    pausedAt == nil ? [readyDeadline, launchDeadline, patienceDeadline].compactMap { $0 }.min() : nil
  }

  /// What those may expect that come after it.
  var standing: Standing {
    switch state {
    case .defined: .idle
    case .starting: .coming
    case .running: readyDeadline == nil ? .missing("was not ready in time") : .coming
    case .ready: .ready
    case .shuttingDown: intent == .restart ? .coming : .missing("is shutting down")
    case .off: .missing("is off" + (reason.map { " (\($0))" } ?? ""))
    case .crashed, .failed: .missing(state.rawValue + (reason.map { " (\($0))" } ?? ""))
    }
  }

  private var quickRestarts = 0
  private var intent = Intent.none
  private var readyDeadline: Double?
  private var launchDeadline: Double?
  private var patienceDeadline: Double?
  private var pausedAt: Double?

  /// What was asked of a live domain.
  private enum Intent: Sendable {
    case none, stop, restart, destroy
  }

  init(readyText: String, readyTimeout: Double, onReboot: LifecycleAction, onCrash: LifecycleAction) {
    self.readyText = readyText
    self.readyTimeout = readyTimeout
    self.onReboot = onReboot
    self.onCrash = onCrash
  }

  /// Why `operation` makes no sense now; nil when it does.
  func objection(to operation: ControlOperation) -> String? {
    switch operation {
    case .start: state.isLive ? "is \(state.words) already" : nil
    case .stop:
      if state == .shuttingDown { "is shutting down already; `destroy` stops it at once" } else { notLive }
    case .reboot:
      switch state {
      case .shuttingDown: "is shutting down; start it when it is off"
      case .starting: "is still starting"
      default: notLive
      }
    case .pause:
      switch state {
      case .shuttingDown: "is shutting down"
      case .starting where pid == nil: "is still starting"
      default: notLive
      }
    case .destroy, .unpause: notLive
    default: nil
    }
  }

  private var notLive: String? { state.isLive ? nil : "is not running (it is \(state.words))" }

  /// Takes an event. Events that mean nothing in the present state change nothing.
  mutating func handle(_ event: Event, now: Double) -> [Effect] {
    switch event {
    case .start:
      guard !state.isLive else { return [] }
      restarts = 0
      quickRestarts = 0
      return launch()
    case .wait(let reason):
      guard state == .starting, pid == nil else { return [] }
      self.reason = reason
      return []
    case .launched(let pid, let at):
      return launched(pid: pid, at: at)
    case .refused(let reason):
      guard state == .starting, pid == nil else { return [] }
      settle(.failed, reason)
      return []
    case .consoleConnected:
      if state == .starting, pid != nil { state = .running }
      return []
    case .readyTextSeen:
      if (state == .starting && pid != nil) || state == .running, let startedAt {
        state = .ready
        reason = nil
        readySeconds = now - startedAt
        readyDeadline = nil
      }
      return []
    case .exited(let status, let words):
      guard pid != nil else { return [] }
      return exited(status, words: words, now: now)
    case .adopted(let pid, let at, let readySeconds):
      guard !state.isLive else { return [] }
      _ = launch()
      _ = launched(pid: pid, at: at)
      if let readySeconds {
        state = .ready
        self.readySeconds = readySeconds
        readyDeadline = nil
      }
      return []
    case .vanished:
      guard pid != nil else { return [] }
      if intent == .restart { return launch() }
      let known = intent == .none ? "ended while the domain manager was being restarted" : nil
      settle(.off, intent == .destroy ? "destroyed" : known)
      return []
    case .stop, .reboot, .destroy:
      return asked(event, now: now)
    case .paused:
      if pid != nil, pausedAt == nil { pausedAt = now }
      return []
    case .resumed:
      resume(now: now)
      return []
    case .clock:
      return clock(now: now)
    }
  }

  private mutating func resume(now: Double) {
    guard let pausedAt else { return }
    self.pausedAt = nil
    readyDeadline? += now - pausedAt
    patienceDeadline? += now - pausedAt
  }

  private mutating func launch() -> [Effect] {
    state = .starting
    reason = nil
    pid = nil
    startedAt = nil
    readySeconds = nil
    intent = .none
    readyDeadline = nil
    launchDeadline = nil
    patienceDeadline = nil
    pausedAt = nil
    return [.launch]
  }

  private mutating func launched(pid: Int32, at: Double) -> [Effect] {
    guard state == .starting, self.pid == nil else { return [] }
    self.pid = pid
    startedAt = at
    reason = nil
    readyDeadline = at + readyTimeout
    return []
  }

  private mutating func settle(_ state: DomainState, _ reason: String?) {
    self.state = state
    self.reason = reason
    pid = nil
    intent = .none
    readyDeadline = nil
    launchDeadline = nil
    patienceDeadline = nil
    pausedAt = nil
    if state != .ready { readySeconds = nil }
  }

  private mutating func asked(_ event: Event, now: Double) -> [Effect] {
    guard state.isLive else { return [] }
    guard pid != nil else {
      // Not launched yet: it waits for its disk or for its turn.
      if event != .reboot { settle(.off, "stopped before it was started") }
      return []
    }
    if event == .destroy {
      intent = .destroy
      state = .shuttingDown
      reason = nil
      readyDeadline = nil
      return [.kill]
    }
    guard state != .shuttingDown else {
      // The last wish counts: a domain that was to come back stays off when it is stopped.
      if event == .stop, intent == .restart { intent = .stop }
      return []
    }
    intent = event == .reboot ? .restart : .stop
    state = .shuttingDown
    reason = nil
    readyDeadline = nil
    patienceDeadline = now + Self.powerButtonPatience
    return [.pressPowerButton]
  }

  private mutating func clock(now: Double) -> [Effect] {
    guard pausedAt == nil else { return [] }
    if let due = launchDeadline, due <= now { return launch() }
    if let due = patienceDeadline, due <= now {
      patienceDeadline = nil
      reason = "has not answered its power button for \(Int(Self.powerButtonPatience)) s; `destroy` stops it at once"
    }
    if let due = readyDeadline, due <= now {
      readyDeadline = nil
      state = .running
      reason = "not ready after \(Int(readyTimeout)) s: its console has not shown \"\(readyText)\""
    }
    return []
  }

  private mutating func exited(_ status: ExitStatus, words: String?, now: Double) -> [Effect] {
    switch intent {
    case .destroy:
      settle(.off, "destroyed")
      return []
    case .stop:
      settle(.off, nil)
      return []
    case .restart:
      return launch()
    case .none: break
    }
    switch status {
    case .exited(ExitCode.poweredOff):
      settle(.off, nil)
    case .exited(ExitCode.halted):
      settle(.off, "the guest halted without powering off")
    case .exited(ExitCode.stopped):
      settle(.off, "its monitor was stopped by a signal from outside")
    case .exited(ExitCode.reset):
      switch onReboot {
      case .restart: return restart(after: now, because: "it restarts", giveUp: .crashed)
      case .destroy: settle(.off, "the guest restarted, and its on-reboot is destroy")
      case .preserve: settle(.off, "the guest restarted, and its on-reboot is preserve: its console log is kept")
      }
    case .exited(ExitCode.usage):
      settle(.failed, words ?? "its monitor refused its settings")
    case .exited(ExitCode.noKVM):
      settle(.failed, words ?? HardwareVirtualisation.missing)
    case .exited(ExitCode.noJail):
      settle(.failed, words ?? "its monitor cannot be jailed")
    default:
      let cause = Self.cause(of: status) + (words.map { ": \($0)" } ?? "")
      switch onCrash {
      case .restart: return restart(after: now, because: cause, giveUp: .crashed)
      case .destroy: settle(.off, cause)
      case .preserve: settle(.crashed, cause)
      }
    }
    return []
  }

  private static func cause(of status: ExitStatus) -> String {
    switch status {
    case .exited(ExitCode.guestCrash): "the guest crashed"
    case .exited(ExitCode.guestPanic): "the guest's kernel panicked"
    case .exited(ExitCode.deviceFailure): "a device of the guest failed"
    case .exited(ExitCode.violation): "its monitor was ended"
    case .exited(let code): "its monitor ended with exit code \(code)"
    case .killed(let signal): "its monitor was killed by signal \(signal)"
    }
  }

  /// Restarts at once the first time, and with growing pauses when it keeps coming down.
  private mutating func restart(after now: Double, because cause: String, giveUp: DomainState) -> [Effect] {
    if let startedAt, now - startedAt >= Self.quickRun { quickRestarts = 0 }
    let restartsSoFar = restarts
    guard quickRestarts < Self.quickRestartLimit else {
      settle(
        giveUp,
        "restarted \(quickRestarts) times, each time for less than \(Int(Self.quickRun)) s (\(cause)); "
          + "read its log, then start it by hand")
      return []
    }
    quickRestarts += 1
    restarts = restartsSoFar + 1
    if quickRestarts == 1 { return launch() }
    let pause = Double(min(1 << (quickRestarts - 2), 60))
    settle(.starting, "\(cause); starts again in \(Int(pause)) s")
    startedAt = nil
    launchDeadline = now + pause
    return []
  }
}

extension DomainState {
  /// For sentences.
  var words: String {
    switch self {
    case .shuttingDown: "shutting down"
    default: rawValue
    }
  }
}
