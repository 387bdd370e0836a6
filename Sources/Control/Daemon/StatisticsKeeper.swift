internal import Manifest
internal import Platform

/// Asks monitors what their CPUs and disks did, when somebody wants to know. Lives on the loop's thread.
final class StatisticsKeeper {
  /// Seconds that a monitor may take; those that do not answer are left out.
  private static let patience = 1.0

  private let loop: EventLoop
  private var calls: [String: MonitorCall] = [:]
  private var known: [String: (pid: Int32, statistics: MonitorStatistics)] = [:]
  private var waiting: [(names: Set<String>, then: () -> Void)] = []

  init(loop: EventLoop) {
    self.loop = loop
  }

  /// What the monitor of a domain said last; nil where it, as the process that it is now, has said nothing.
  func of(_ supervisor: DomainSupervisor) -> MonitorStatistics? {
    guard let last = known[supervisor.domain.name], last.pid == supervisor.machine.pid else { return nil }
    return last.statistics
  }

  /// Asks the monitors of those that run, and calls `then` when all have answered or had their time; never from here.
  func refresh(_ supervisors: [DomainSupervisor], then: @escaping () -> Void) {
    var names: Set<String> = []
    for supervisor in supervisors {
      guard let pid = supervisor.machine.pid, supervisor.machine.state.isLive else { continue }
      names.insert(supervisor.domain.name)
      if calls[supervisor.domain.name] == nil { ask(supervisor, pid) }
    }
    guard !names.isEmpty else {
      loop.after(0, then)
      return
    }
    waiting.append((names, then))
  }

  private func ask(_ supervisor: DomainSupervisor, _ pid: Int32) {
    let name = supervisor.domain.name
    calls[name] = MonitorCall(
      "statistics", path: supervisor.paths.control, loop: loop, patience: Self.patience,
      isAlive: { supervisor.machine.pid == pid }
    ) { [unowned self] outcome in
      known[name] = nil
      if case .done(let text) = outcome,
        let statistics = MonitorStatistics(text, disks: supervisor.diskNames)
      {
        known[name] = (pid, statistics)
      }
      // The call ends in the middle of this: it is let go of afterwards.
      loop.after(0) { [unowned self] in
        calls[name] = nil
        settle(name)
      }
    }
  }

  private func settle(_ name: String) {
    for index in waiting.indices { waiting[index].names.remove(name) }
    let ready = waiting.filter(\.names.isEmpty)
    waiting.removeAll(where: \.names.isEmpty)
    for entry in ready { entry.then() }
  }
}

extension DomainSupervisor {
  /// The disks that it has, by what its monitor calls them.
  fileprivate var diskNames: [String: String] {
    var names: [String: String] = [:]
    for disk in diskUser.disks { names[DiskStatus.identifier(of: disk)] = disk }
    if let own = domain.disk?.volume { names[MonitorCommand.ownDiskIdentifier(of: domain.name)] = own }
    return names
  }
}
