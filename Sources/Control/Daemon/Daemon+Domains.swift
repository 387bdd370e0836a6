internal import Manifest
internal import Platform

/// What is known of domains that are made on the fly.
struct DomainMaking {
  /// Domains may start: what the appliance starts with was started.
  var mayStart = false
  /// What an earlier domain manager left of domains that are no more was taken away.
  fileprivate var hasSwept = false
  /// Domains that are given their places on their networks now.
  fileprivate var connecting = 0
  /// Names of domains that are being made, and whether each is to be started.
  fileprivate var wanted: [String: Bool] = [:]
  /// Addresses and names that they will have.
  fileprivate var designs: [String: ApplianceManifest.Domain] = [:]
}

/// Domains are made and removed while the appliance runs. What defines one is recorded where the guests' disks are, by
/// `roost-storage`, together with the making of its disk: there is one only if the other is. Which domains there are
/// beside the recipe's follows from what `roost-storage` reports, whoever had it done.
extension Daemon {
  /// Makes a domain; the answer comes when its disk is made, and its start is under way.
  func create(_ request: ControlRequest, _ responder: Responder) throws(ControlError) {
    guard let spec = request.spec else {
      throw ControlError(.malformedRequest, "the operation create needs a \"spec\"")
    }
    if phase != .up { throw ControlError(.wrongState, "the appliance is shutting down: it makes no domains any more") }
    if making.wanted[spec.name] != nil {
      throw ControlError(.wrongState, "a domain named \(spec.name) is being made already")
    }
    refreshStorage()
    let design = try DomainDesign(
      spec,
      in: DomainDesign.Surroundings(
        domains: supervisors.map(\.domain) + making.designs.values,
        disks: Set((storage?.disks ?? []).map(\.name) + (storage?.remotes ?? []).map(\.name)),
        address: network?.plan.segments.first?.address,
        prefixLength: network?.plan.segments.first?.prefixLength ?? 24, networks: virtualNetworks))
    for file in design.files where !Files.exists(file) {
      throw ControlError(.malformedRequest, "there is no file \(file) in the control domain")
    }
    let starts = request.start ?? true
    if starts, let objection = memoryObjection(to: design.domain) { throw ControlError(.wrongState, objection) }
    let created = CreatedDomain(design.domain, of: networkChanges.networks)
    let definition = String(decoding: try ControlCoding.encode(created), as: UTF8.self)
    let name = spec.name
    making.wanted[name] = starts
    making.designs[name] = design.domain
    disks.submit(.define(name, definition: definition, disk: design.disk)) { [unowned self] result in
      let isWanted = making.wanted.removeValue(forKey: name) ?? false
      making.designs[name] = nil
      if case .failure(let error) = result { return responder.refuse(error) }
      followDefinitions()
      guard let made = supervisors.first(where: { $0.domain.name == name }) else {
        return responder.refuse(ControlError(.storage, "\(name) was made, but roost-storage does not report it"))
      }
      connect(made.domain) { [unowned self, weak made] in
        guard let made else { return responder.refuse(ControlError(.wrongState, "\(name) was removed meanwhile")) }
        if isWanted, phase == .up, !made.machine.state.isLive { made.handle(.start) }
        responder.succeed(made.status)
      }
    }
  }

  /// Forgets a domain that was made on the fly, and removes its disk.
  func remove(_ supervisor: DomainSupervisor, _ responder: Responder) throws(ControlError) {
    let name = supervisor.domain.name
    guard supervisor.isCreated else {
      throw ControlError(
        .wrongState, "\(name) is part of the recipe, so the next start of the appliance would have it again")
    }
    guard !supervisor.machine.state.isLive else {
      throw ControlError(
        .wrongState,
        "\(name) is \(supervisor.machine.state.words): stop it first (roost stop \(name)), or end it with --force")
    }
    disks.submit(.undefine(name)) { [unowned self] result in
      if case .failure(let error) = result { return responder.refuse(error) }
      followDefinitions()
      responder.succeed(Nothing())
    }
  }

  /// Why a domain would find too little memory now; nil when it would not.
  func memoryObjection(to domain: ApplianceManifest.Domain) -> String? {
    freeMemory.flatMap { MachineMemory.objection(wanted: domain.memoryBytes, free: $0) }
  }

  /// Gives a domain its place on its networks, then calls `then`.
  func connect(_ domain: ApplianceManifest.Domain, then: @escaping () -> Void) {
    guard let network, !domain.cards.isEmpty else { return then() }
    let name = domain.name
    making.connecting += 1
    let end = { [unowned self] in
      making.connecting -= 1
      then()
      sweep()
    }
    let created = storage?.createdDomains.first { $0.domain.name == name }
    recall(created?.networks ?? [], of: name) { [unowned self] in
      // It may have been removed meanwhile.
      guard supervisors.contains(where: { $0.domain.name == name }) else { return end() }
      network.add(name, domain.cards, then: end)
    }
  }

  /// Takes in the domains that `roost-storage` reports beside the recipe's, and lets those go that it does not any more.
  func followDefinitions() {
    guard let storage, storage.state == .ready else { return }
    let defined = storage.createdDomains.map(\.domain)
    var first: [DomainSupervisor] = []
    for domain in defined where !supervisors.contains(where: { $0.domain.name == domain.name }) {
      let supervisor = supervisor(of: domain, isCreated: true)
      supervisors.append(supervisor)
      server?.broadcast(.domain(supervisor.status))
      // Who is making it starts it; others are of an earlier time.
      guard making.mayStart, making.wanted[domain.name] == nil else { continue }
      supervisor.isDue = true
      first.append(supervisor)
    }
    for supervisor in first {
      connect(supervisor.domain) { [unowned self, weak supervisor] in
        if let supervisor { startFirst(supervisor) }
      }
    }
    for supervisor in supervisors where supervisor.isCreated && !supervisor.machine.state.isLive {
      let name = supervisor.domain.name
      guard !defined.contains(where: { $0.name == name }) else { continue }
      supervisors.removeAll { $0 === supervisor }
      network?.remove(name)
      supervisor.retire()
      notice(.order(name), nil)
      log("\(name): removed")
      server?.broadcast(.removed(name))
    }
    sweep()
  }

  /// Takes away what is left of domains that are no more: a domain manager before this one may have come to its end between
  /// the removal of a domain's definition and that of its files and interfaces. Once, when all domains that there are have
  /// their places.
  func sweep() {
    guard !making.hasSwept, making.mayStart, making.connecting == 0, storage?.state == .ready else { return }
    making.hasSwept = true
    network?.removeStrays()
    let known = Set(supervisors.map(\.domain.name))
    let names = (try? Files.list(DomainPaths.parent(in: configuration.runtimeDirectory))) ?? []
    for name in names where !known.contains(name) && making.wanted[name] == nil {
      let paths = DomainPaths(
        name: name, runtimeDirectory: configuration.runtimeDirectory, logDirectory: configuration.logDirectory)
      guard !DomainSupervisor.hasMonitor(paths) else {
        log("\(name): it is no domain any more, and its monitor runs on")
        continue
      }
      DomainSupervisor.removeFiles(paths)
      groups?.remove(name)
      log("\(name): what was left of it is removed")
    }
  }
}
