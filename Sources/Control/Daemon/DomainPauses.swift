internal import Manifest
internal import Platform

/// Keeps the processors of domains still, by their monitors' control sockets: of all of them while the stick is not there,
/// and of those that a user paused.
///
/// A monitor may answer only when the stick is back, as its own program may have to be read from there: what is asked of
/// it next waits for that, so that no pause is ever carried out after the end of the pause. Lives on the loop's thread.
final class DomainPauses {
  /// Takes what became of a wish: nil when the domain is as it was to be.
  typealias Answer = (ControlError?) -> Void

  /// Seconds until a monitor is asked again that said no.
  private static let rest = 1.0

  private let loop: EventLoop
  private let log: (String) -> Void
  private let domains: () -> [DomainSupervisor]
  private var calls: [String: MonitorCall] = [:]
  /// Monitors that are known to stand still. A record of an earlier domain manager's may tell of one that was only about
  /// to.
  private var confirmed: [String: Int32] = [:]
  private var waiting: [String: [Answer]] = [:]
  /// Whether all domains are to be kept still.
  var isWanted = false {
    didSet { advance() }
  }

  /// Pauses these domains when that is wanted.
  init(loop: EventLoop, log: @escaping (String) -> Void, domains: @escaping () -> [DomainSupervisor]) {
    self.loop = loop
    self.log = log
    self.domains = domains
  }

  /// Has a running domain stand still for its user, or no more. `answer` is called once its monitor has done so.
  func hold(_ supervisor: DomainSupervisor, _ isHeld: Bool, answer: @escaping Answer) {
    // What was asked before is over, as the user sees it.
    settle(
      supervisor.domain.name,
      ControlError(.wrongState, "\(supervisor.domain.name) was \(isHeld ? "paused" : "unpaused") meanwhile"))
    supervisor.setHeld(isHeld)
    waiting[supervisor.domain.name] = [answer]
    advance()
  }

  /// Lets go of all domains that a user paused: the appliance ends.
  func releaseAll() {
    for supervisor in domains() where supervisor.isHeld { supervisor.setHeld(false) }
    advance()
  }

  /// Asks all monitors that are not as they are to be.
  func advance() {
    for supervisor in domains() where calls[supervisor.domain.name] == nil {
      let name = supervisor.domain.name
      guard let pid = supervisor.machine.pid else {
        settle(name, ControlError(.wrongState, "\(name) ended meanwhile"))
        continue
      }
      let isToPause = isWanted || supervisor.isHeld
      guard supervisor.isPaused == isToPause, !isToPause || confirmed[name] == pid else {
        ask(supervisor, toPause: isToPause)
        continue
      }
      settle(name, nil)
    }
  }

  private func settle(_ name: String, _ error: ControlError?) {
    for answer in waiting.removeValue(forKey: name) ?? [] { answer(error) }
  }

  private func ask(_ supervisor: DomainSupervisor, toPause: Bool) {
    let name = supervisor.domain.name
    let pid = supervisor.machine.pid
    // Before it is done: who comes after this domain manager must know of it.
    if toPause { supervisor.setPaused(true) }
    calls[name] = MonitorCall(
      toPause ? "pause" : "resume", path: supervisor.paths.control, loop: loop, patience: .infinity,
      isAlive: { supervisor.machine.pid == pid }
    ) { [unowned self] outcome in
      var pause = 0.0
      switch outcome {
      case .done:
        confirmed[name] = toPause ? pid : nil
        if !toPause { supervisor.setPaused(false) }
      case .gone: break
      case .refused(let reason), .unanswered(let reason, _):
        log("\(name): its monitor does not \(toPause ? "pause" : "go on"): \(reason)")
        if toPause { supervisor.setPaused(false) }
        // A user's pause that failed is over; the stick's is tried again.
        if toPause, waiting[name] != nil { supervisor.setHeld(false) }
        settle(name, ControlError(.system, "\(name)'s monitor does not \(toPause ? "pause" : "go on"): \(reason)"))
        pause = Self.rest
      }
      // The call ends in the middle of this: it is let go of afterwards.
      loop.after(pause) { [unowned self] in
        calls[name] = nil
        advance()
      }
    }
  }
}
