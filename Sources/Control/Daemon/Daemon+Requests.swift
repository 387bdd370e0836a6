internal import Manifest
internal import Platform

/// Answers one request, at any later time.
struct Responder {
  let id: Int
  let send: ControlServer.Reply

  func succeed(_ value: some Codable, subscribes: Bool = false) {
    do throws(ControlError) {
      send(try ControlCoding.encode(ReplyLine(id: id, ok: true, result: value, error: nil)), subscribes)
    } catch {
      refuse(error)
    }
  }

  func refuse(_ error: ControlError) {
    let refusal = ReplyLine<Nothing>(id: id, ok: false, result: nil, error: error)
    send((try? ControlCoding.encode(refusal)) ?? [], false)
  }
}

/// What requests mean.
extension Daemon {
  func answer(_ request: ControlRequest, _ responder: Responder) {
    do throws(ControlError) {
      switch request.op {
      case .hello:
        let version = request.version ?? ControlProtocol.version
        guard version == ControlProtocol.version else {
          throw ControlError(
            .unsupportedVersion,
            "the client speaks version \(version) and this appliance version \(ControlProtocol.version); "
              + "use the Roost that the appliance was built with")
        }
        responder.succeed(Hello(appliance: manifest.name))
      case .list: responder.succeed(overview)
      case .subscribe: responder.succeed(overview, subscribes: true)
      case .tail:
        let supervisor = try find(request)
        let text = String(decoding: supervisor.tail(request.bytes ?? 4000), as: UTF8.self)
        responder.succeed(ConsoleTail(domain: supervisor.domain.name, text: text))
      case .start: responder.succeed(try perform(.start, request))
      case .stop: responder.succeed(try perform(.stop, request))
      case .reboot: responder.succeed(try perform(.reboot, request))
      case .destroy: responder.succeed(try perform(.destroy, request))
      case .memorySet: try setMemory(request, responder)
      case .memoryMaximum: responder.succeed(try limitMemory(request))
      case .processorSet: try setProcessors(request, responder)
      case .create: try create(request, responder)
      case .remove: try remove(try find(request), responder)
      case .pause, .unpause: try hold(request, responder)
      case .limit: responder.succeed(try limit(try find(request), request))
      case .info:
        let supervisor = try find(request)
        statistics.refresh([supervisor]) { [unowned self] in responder.succeed(info(supervisor)) }
      case .poweroff:
        try command(configuration.powerOffCommand)
        responder.succeed(Nothing())
      case .rebootHost:
        try command(configuration.rebootCommand)
        responder.succeed(Nothing())
      case .usage: statistics.refresh(supervisors) { [unowned self] in responder.succeed(usage) }
      case .networkList: responder.succeed(try networkList())
      case .networkCreate: try createNetwork(request, responder)
      case .networkRemove: responder.succeed(try removeNetwork(request))
      case .networkLink: try setLink(request, responder)
      case .storage: responder.succeed(storageStatus)
      case .reload:
        lookAtStorage()
        responder.succeed(storageStatus)
      case .diskList, .diskCreate, .diskResize, .diskSnapshot, .diskRollback, .diskClone, .diskAttach, .diskDetach,
        .diskDestroy, .remoteConnect, .remoteDisconnect, .remotePromote, .remoteDemote:
        if request.op.needsDomain { _ = try find(request) }
        disks.submit(try DiskOrder(request)) { result in
          switch result {
          case .success(.list(let list)): responder.succeed(list)
          case .success(.result(let result)): responder.succeed(result)
          case .success(.remote(let remote)): responder.succeed(remote)
          case .failure(let error): responder.refuse(error)
          }
        }
      }
    } catch {
      responder.refuse(error)
    }
  }

  private var overview: Overview {
    Overview(appliance: applianceStatus, domains: supervisors.map(\.status))
  }

  private var usage: UsageReport {
    UsageReport(
      uptimeSeconds: loop.now,
      domains: supervisors.compactMap { usage(of: $0) })
  }

  private func usage(of supervisor: DomainSupervisor) -> UsageReport.Domain? {
    // A process that ended a moment ago has nothing any more.
    guard let pid = supervisor.machine.pid, let usage = ProcessUsage(pid: pid) else { return nil }
    return UsageReport.Domain(
      name: supervisor.domain.name, pid: pid, cpuSeconds: usage.cpuSeconds, memoryBytes: usage.residentBytes,
      guestAvailableBytes: supervisor.memory.figures(of: pid)?.available,
      stealSeconds: RunDelay.seconds(of: pid, threads: "cpu-"), exits: statistics.of(supervisor)?.exits,
      disks: statistics.of(supervisor)?.disks,
      network: network.flatMap { UsageReport.NetworkUsage(taps: $0.taps(of: supervisor.domain.name)) })
  }

  func find(_ request: ControlRequest) throws(ControlError) -> DomainSupervisor {
    let name = request.domain ?? ""
    if let found = supervisors.first(where: { $0.domain.name == name }) { return found }
    throw UnknownName.domain(name, among: supervisors.map(\.domain.name))
  }

  private func perform(_ event: DomainMachine.Event, _ request: ControlRequest) throws(ControlError) -> DomainStatus {
    let supervisor = try find(request)
    if phase != .up, request.op == .start || request.op == .reboot {
      throw ControlError(.wrongState, "the appliance is shutting down: it starts no domains any more")
    }
    try check(request, of: supervisor)
    supervisor.handle(event)
    return supervisor.status
  }

  private func check(_ request: ControlRequest, of supervisor: DomainSupervisor) throws(ControlError) {
    if let objection = supervisor.objection(to: request.op) {
      throw ControlError(.wrongState, "\(supervisor.domain.name) \(objection)")
    }
  }

  /// Has a domain stand still, or go on; the answer comes when its monitor has done so.
  private func hold(_ request: ControlRequest, _ responder: Responder) throws(ControlError) {
    let supervisor = try find(request)
    if phase != .up { throw ControlError(.wrongState, "the appliance is shutting down") }
    try check(request, of: supervisor)
    pauses.hold(supervisor, request.op == .pause) { error in
      if let error { responder.refuse(error) } else { responder.succeed(supervisor.status) }
    }
  }

  /// All that is known of a domain.
  func info(_ supervisor: DomainSupervisor) -> DomainInfo {
    let domain = supervisor.domain
    var disks = supervisor.diskUser.disks
    disks.formUnion(storage?.disksAttached(to: domain.name).map(\.name) ?? [])
    return DomainInfo(
      status: supervisor.status, boot: domain.boot.method.rawValue, cpuModel: (domain.cpuModel ?? .host).rawValue,
      onReboot: domain.onReboot.rawValue, onCrash: domain.onCrash.rawValue, readyText: domain.ready.consoleText,
      disk: domain.disk?.volume, disks: disks.sorted(), acceptsDisks: domain.hotplug == true,
      mac: domain.network?.mac, cards: domain.cards.isEmpty ? nil : domain.cards,
      limits: supervisor.limits.isEmpty ? nil : supervisor.limits, after: domain.after,
      usage: usage(of: supervisor))
  }

  private func command(_ arguments: [String]) throws(ControlError) {
    do throws(SystemError) {
      var request = ChildRequest(arguments)
      request.newSession = true
      let process = try ChildProcess.start(request)
      // It only tells PID 1, and is gone at once.
      guard try process.wait().isSuccess else {
        throw SystemError("run \(arguments.joined(separator: " "))", errno: .inputOutput)
      }
    } catch {
      throw ControlError(.system, "the appliance's init was not reached: \(error)")
    }
  }
}
