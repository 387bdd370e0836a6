internal import Manifest
internal import Platform

/// What is asked of domains' memory.
extension Daemon {
  /// Bytes that the machine has left beside what it promised to its domains; nil where the kernel does not say.
  var freeMemory: Int? {
    guard let text = try? Files.readText("/proc/meminfo"),
      let available = MachineMemory.bytes(of: "MemAvailable", in: text)
    else { return nil }
    return available - supervisors.reduce(0) { $0 + $1.promisedBytes }
  }

  private func bytes(_ request: ControlRequest) throws(ControlError) -> Int {
    guard let bytes = request.bytes, bytes > 0 else {
      throw ControlError(.malformedRequest, "the operation \(request.op.rawValue) needs \"bytes\", a number above 0")
    }
    return bytes
  }

  /// Has a guest come to less memory, or to more.
  func setMemory(_ request: ControlRequest, _ responder: Responder) throws(ControlError) {
    let supervisor = try find(request)
    let bytes = try bytes(request)
    let objection = MemoryRules.objection(
      toSetting: bytes, of: supervisor.domain.name, supervisor.memory, state: supervisor.machine.state,
      pid: supervisor.machine.pid, free: freeMemory)
    if let objection { throw objection }
    balance.userHasSet(supervisor.domain.name, now: loop.now)
    try memory.set(supervisor, to: bytes) { problem in
      supervisor.tell()
      if let problem { responder.refuse(problem) } else { responder.succeed(supervisor.status) }
    }
  }

  /// Seconds between two questions to a monitor: a balancer must not judge by what was long ago.
  var memoryPace: ClosedRange<Double> {
    let pace = configuration.memoryPace
    guard manifest.balancesMemory else { return pace }
    return pace.lowerBound...max(pace.lowerBound, min(pace.upperBound, configuration.balanceInterval))
  }

  /// Moves memory from domains that have enough to those that have not, from now on.
  func beginBalancing() {
    loop.after(configuration.balanceInterval) { [unowned self] in
      // While the stick is away guests stand still, and say nothing.
      if phase == .up, !isStickMissing, let free = freeMemory {
        let text = try? Files.readText(configuration.memoryPressure)
        let machine = MemoryBalance.Machine(free: free, pressure: text.flatMap(MemoryBalance.pressure))
        for move in balance.decide(supervisors.compactMap(guest), machine, now: loop.now) { carryOut(move) }
      }
      beginBalancing()
    }
  }

  /// What the balancer has to know of a domain; nil for one whose memory is not its to change, or that says nothing.
  private func guest(_ supervisor: DomainSupervisor) -> MemoryBalance.Guest? {
    let memory = supervisor.memory
    guard let pid = supervisor.machine.pid, [.running, .ready].contains(supervisor.machine.state), !supervisor.isPaused,
      memory.isAdjustable, let figures = memory.figures(of: pid)
    else { return nil }
    let words = memory.words(of: pid)
    guard let available = words.available, let said = words.said else { return nil }
    return MemoryBalance.Guest(
      name: supervisor.domain.name, start: memory.bounds.start, minimum: memory.bounds.minimum, maximum: memory.limit,
      wanted: memory.wanted(by: pid), actual: figures.actual, available: available, said: said,
      faultRate: words.faultRate, hasBalloon: figures.balloon == .driven, hasGrowth: figures.growth == .driven)
  }

  private func carryOut(_ move: MemoryBalance.Move) {
    guard let supervisor = supervisors.first(where: { $0.domain.name == move.name }), let pid = supervisor.machine.pid
    else { return }
    let name = move.name
    // What it decided by may have changed since: the rules are those of every order.
    let objection = MemoryRules.objection(
      toSetting: move.bytes, of: name, supervisor.memory, state: supervisor.machine.state, pid: pid, free: freeMemory)
    if let objection { return log("the memory balancer leaves \(name) as it is: \(objection.message)") }
    do throws(ControlError) {
      try memory.set(supervisor, to: move.bytes) { [unowned self] problem in
        if let problem {
          log("the memory balancer leaves \(name) as it is: \(problem.message)")
        } else {
          let words = move.words(at: loop.now)
          supervisor.memory.note(words, of: pid)
          log("\(name): memory \(words)")
        }
        supervisor.tell()
      }
    } catch {
      log("the memory balancer leaves \(name) as it is: \(error.message)")
    }
  }

  /// Changes how far a domain may grow.
  func limitMemory(_ request: ControlRequest) throws(ControlError) -> DomainStatus {
    let supervisor = try find(request)
    let bytes = try bytes(request)
    let objection = MemoryRules.objection(
      toLimiting: bytes, of: supervisor.domain.name, supervisor.memory, pid: supervisor.machine.pid)
    if let objection { throw objection }
    supervisor.memory.setLimit(bytes)
    supervisor.tell()
    return supervisor.status
  }
}
