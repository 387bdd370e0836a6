internal import Manifest
internal import Platform

/// What domains may take of the machine: processors and disks by the kernel's control groups, networks by its queueing
/// disciplines on their interfaces.
extension Daemon {
  /// Changes a domain's limits, also of one that is off: it has them from its next start.
  func limit(_ supervisor: DomainSupervisor, _ request: ControlRequest) throws(ControlError) -> DomainInfo {
    let name = supervisor.domain.name
    guard let change = request.limits, !change.isEmpty else {
      throw ControlError(.malformedRequest, "the operation limit needs \"limits\" with something in it")
    }
    if let problem = change.problem(isChange: true) { throw ControlError(.malformedRequest, problem) }
    let limits = supervisor.limits.applying(change)
    if limits.networkRate != nil, supervisor.domain.cards.isEmpty {
      throw ControlError(.wrongState, "\(name) has no network card whose rate could be limited")
    }
    if limits.diskRate ?? limits.diskOperations != nil, disksOf(supervisor).isEmpty, supervisor.domain.disk == nil {
      throw ControlError(.wrongState, "\(name) has no disk whose rate could be limited")
    }
    guard let groups else { throw ControlError(.system, "this kernel has no control groups to limit a domain with") }
    if supervisor.machine.pid != nil {
      do throws(ControlError) {
        try groups.apply(limits, processors: supervisor.processorTime, to: name, disks: disksOf(supervisor))
      } catch {
        // All or nothing.
        try? apply(to: supervisor)
        throw error
      }
    }
    let hadRate = supervisor.limits.networkRate
    try supervisor.setLimits(limits)
    if supervisor.machine.pid != nil, limits.networkRate != hadRate { network?.limit(name, to: limits.networkRate) }
    log("\(name): limits changed")
    return info(supervisor)
  }

  /// Gives a running domain the time of so many of its processors. Where processors come and go, its guest is to come to
  /// that many as well, in its own time; otherwise it keeps all of them, and is not told.
  func setProcessors(_ request: ControlRequest, _ responder: Responder) throws(ControlError) {
    let supervisor = try find(request)
    let (name, all) = (supervisor.domain.name, supervisor.domain.mostCPUs)
    guard let count = request.cpus else {
      throw ControlError(.malformedRequest, "the operation vcpu-set needs \"cpus\", a number above 0")
    }
    guard let pid = supervisor.machine.pid, supervisor.machine.state != .shuttingDown else {
      let start = supervisor.domain.cpusMaximum == nil ? "may use all" : "has \(supervisor.domain.cpus)"
      throw ControlError(
        .wrongState,
        "\(name) is not running (it is \(supervisor.machine.state.words)); when it starts it \(start) of its processors"
      )
    }
    guard (1...all).contains(count) else {
      throw ControlError(
        .wrongState,
        all == 1
          ? "\(name) has one processor, which it may always use; `cpus` in its recipe says how many it has"
          : "\(name) can use 1 to \(all) processors, not \(count); `cpus` in its recipe says how many it has")
    }
    guard groups != nil else { throw ControlError(.system, "this kernel has no control groups to limit a domain with") }
    guard processorOrders[name] == nil else {
      throw ControlError(.wrongState, "the processors of \(name) are being set by somebody else; try again")
    }
    let before = supervisor.processors
    let isSame = count == (before ?? supervisor.domain.cpus)
    supervisor.setProcessors(isSame && before == nil ? nil : count)
    do throws(ControlError) {
      try apply(to: supervisor)
    } catch {
      supervisor.setProcessors(before)
      try? apply(to: supervisor)
      throw error
    }
    if !isSame { log("\(name): has the time of \(count) of its \(all) processors") }
    supervisor.tell()
    guard supervisor.domain.cpusMaximum != nil else { return responder.succeed(supervisor.status) }
    // The time is kept to in any case; what the guest makes of it is told by it alone.
    processorOrders[name] = MonitorCall(
      "cpus \(count)", path: supervisor.paths.control, loop: loop, isAlive: { supervisor.machine.pid == pid }
    ) { [unowned self] outcome in
      switch outcome {
      case .done: responder.succeed(supervisor.status)
      case .gone: responder.refuse(ControlError(.wrongState, "\(name) ended meanwhile"))
      case .refused(let reason), .unanswered(let reason, _):
        responder.refuse(ControlError(.system, "the monitor of \(name) does not tell its guest: \(reason)"))
      }
      // The call ends in the middle of this: it is let go of afterwards.
      loop.after(0) { [unowned self] in processorOrders[name] = nil }
    }
  }

  /// Tells the kernel what a domain may take.
  private func apply(to supervisor: DomainSupervisor) throws(ControlError) {
    try groups?.apply(
      supervisor.limits, processors: supervisor.processorTime, to: supervisor.domain.name, disks: disksOf(supervisor))
  }

  func controlGroup(of supervisor: DomainSupervisor) -> String? {
    let name = supervisor.domain.name
    let isShaped = network?.plan.ports(of: name).contains(where: \.isShaped) == true
    if supervisor.limits.networkRate != nil || isShaped { network?.limit(name, to: supervisor.limits.networkRate) }
    guard let groups else { return nil }
    let entry: String
    do throws(SystemError) {
      entry = try groups.make(name, memory: supervisor.domain.memory.maximum)
    } catch {
      log("\(name): it runs without limits: \(error)")
      return nil
    }
    do throws(ControlError) {
      try apply(to: supervisor)
    } catch {
      log(error.message)
    }
    return entry
  }

  func disksChanged(_ supervisor: DomainSupervisor) {
    guard !supervisor.limits.isEmpty else { return }
    do throws(ControlError) {
      try apply(to: supervisor)
    } catch {
      log(error.message)
    }
  }

  func ended(_ supervisor: DomainSupervisor) {
    groups?.remove(supervisor.domain.name)
  }

  /// The block devices that a domain has.
  private func disksOf(_ supervisor: DomainSupervisor) -> [String] {
    let user = supervisor.diskUser
    let names = user.disks.union([user.ownDisk].compactMap { $0 })
    return (storage?.disks ?? []).filter { names.contains($0.name) && $0.isAbsent != true }.map(\.device)
  }
}
