internal import Manifest
internal import Platform

/// Keeps the processors of all running domains still while the stick is not there, by their monitors' control sockets.
///
/// A monitor may answer only when the stick is back, as its own program may have to be read from there: what is asked of
/// it next waits for that, so that no pause is ever carried out after the end of the pause. Lives on the loop's thread.
final class DomainPauses {
  /// Seconds until a monitor is asked again that said no.
  private static let rest = 1.0

  private let loop: EventLoop
  private let log: (String) -> Void
  private let domains: () -> [DomainSupervisor]
  private var calls: [String: MonitorCall] = [:]
  /// Whether domains are to be kept still.
  var isWanted = false {
    didSet { advance() }
  }

  /// Pauses these domains when that is wanted.
  init(loop: EventLoop, log: @escaping (String) -> Void, domains: @escaping () -> [DomainSupervisor]) {
    self.loop = loop
    self.log = log
    self.domains = domains
  }

  /// Asks all monitors that are not as they are to be.
  func advance() {
    for supervisor in domains() where calls[supervisor.domain.name] == nil && supervisor.machine.pid != nil {
      guard supervisor.isPaused != isWanted else { continue }
      ask(supervisor, toPause: isWanted)
    }
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
      case .done: if !toPause { supervisor.setPaused(false) }
      case .gone: break
      case .refused(let reason), .unanswered(let reason, _):
        log("\(name): its monitor does not \(toPause ? "pause" : "go on"): \(reason)")
        if toPause { supervisor.setPaused(false) }
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
