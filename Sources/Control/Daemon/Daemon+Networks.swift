internal import Manifest
internal import Platform

/// What was done to networks while the appliance runs. A domain manager after this one finds it; the next start of the
/// appliance has what the recipe says, and the networks that domains made on the fly bring along (`CreatedDomain`).
struct NetworkChanges: Codable {
  /// Networks that were made.
  var networks: [ApplianceManifest.VirtualNetwork] = []
  /// What cables were told to do, by domain and card.
  var links: [String: LinkConditions] = [:]
}

/// The networks of the appliance: what there is, and what changes while it runs.
extension Daemon {
  /// All networks beside the one that all appliances have.
  var virtualNetworks: [ApplianceManifest.VirtualNetwork] { (manifest.networks ?? []) + networkChanges.networks }

  private var networkChangesPath: String { "\(configuration.runtimeDirectory)/networks.json" }

  /// `plan` with what was done to networks by a domain manager before this one.
  func keptNetworks(_ plan: NetworkPlan) -> NetworkPlan {
    if let bytes = try? Files.read(networkChangesPath),
      let changes = try? ControlCoding.decode(NetworkChanges.self, from: bytes)
    {
      networkChanges = changes
    }
    var plan = plan
    for network in networkChanges.networks { plan.add(network) }
    for (card, link) in networkChanges.links { _ = plan.setLink(card, to: link) }
    return plan
  }

  private func keep(_ changes: NetworkChanges) throws(ControlError) {
    let bytes = try ControlCoding.encode(changes)
    do throws(SystemError) {
      try Files.replace(networkChangesPath, with: bytes, permissions: 0o600)
    } catch {
      throw ControlError(.system, "what is done to networks is not kept: \(error)")
    }
    networkChanges = changes
  }

  private func runningNetwork() throws(ControlError) -> NetworkService {
    guard let network else { throw ControlError(.wrongState, "the appliance has no networks: see its notices") }
    return network
  }

  /// The networks and what is connected to them.
  func networkList() throws(ControlError) -> NetworkList {
    let plan = try runningNetwork().plan
    let created = Set(networkChanges.networks.map(\.name))
    return NetworkList(
      networks: plan.segments.map { segment in
        NetworkStatus(
          name: segment.name, mode: segment.mode, address: segment.address.map { "\($0)/\(segment.prefixLength)" },
          router: segment.router?.description, bridge: segment.bridge,
          isCreated: created.contains(segment.name) ? true : nil,
          cards: plan.ports(in: segment).map { port in
            CardStatus(
              domain: port.domain, index: port.index, mac: port.card.mac, address: port.card.address,
              interface: port.tap, vlan: port.card.vlan, vlans: port.card.vlans,
              isFiltered: port.card.filter != false, link: port.link.isPerfect ? nil : port.link)
          })
      })
  }

  /// Makes a network; the answer comes when it is there.
  func createNetwork(_ request: ControlRequest, _ responder: Responder) throws(ControlError) {
    guard let wanted = request.network else {
      throw ControlError(.malformedRequest, "the operation network-create needs a \"network\"")
    }
    if let problem = wanted.problem {
      throw ControlError(.malformedRequest, "the network \(Text.quoted(wanted.name)) \(problem)")
    }
    let service = try runningNetwork()
    guard service.plan.segment(wanted.name) == nil else {
      throw ControlError(.wrongState, "there is a network named \(wanted.name) already; choose another name")
    }
    guard virtualNetworks.count < Limits.networks else {
      throw ControlError(
        .wrongState, "there are \(Limits.networks) networks already; `roost network remove` makes room")
    }
    if let segment = service.plan.overlap(wanted), let address = segment.address {
      throw ControlError(
        .wrongState, "the network \(segment.name) has addresses of that one: \(address)/\(segment.prefixLength)")
    }
    try make(wanted, service) { [unowned self] problem in
      guard let problem else { return answerNetworks(responder) }
      responder.refuse(ControlError(.system, "the network \(wanted.name) is not made: \(problem)"))
    }
  }

  private func make(
    _ wanted: ApplianceManifest.VirtualNetwork, _ service: NetworkService, then: @escaping (String?) -> Void
  ) throws(ControlError) {
    var changes = networkChanges
    changes.networks.append(wanted)
    try keep(changes)
    service.add(wanted) { [unowned self] problem in
      if problem != nil {
        var changes = networkChanges
        changes.networks.removeAll { $0.name == wanted.name }
        try? keep(changes)
      }
      then(problem)
    }
  }

  /// Makes those networks of a domain's that there are not, which an earlier start of the appliance had; then calls
  /// `then`, whether that worked or not.
  func recall(_ networks: [ApplianceManifest.VirtualNetwork], of domain: String, then: @escaping () -> Void) {
    guard let wanted = networks.first else { return then() }
    let rest = Array(networks.dropFirst())
    guard let service = network else { return then() }
    service.whenTried { [unowned self] in
      if service.plan.segment(wanted.name) != nil { return recall(rest, of: domain, then: then) }
      var problem = wanted.problem
      if let segment = service.plan.overlap(wanted) { problem = "the network \(segment.name) has addresses of it now" }
      do throws(ControlError) {
        if let problem { throw ControlError(.wrongState, problem) }
        try make(wanted, service) { [unowned self] problem in
          if let problem { log("\(domain): its network \(wanted.name) is not made: \(problem)") }
          recall(rest, of: domain, then: then)
        }
      } catch {
        log("\(domain): its network \(wanted.name) is not made: \(error.message)")
        recall(rest, of: domain, then: then)
      }
    }
  }

  /// Removes a network that was made while the appliance runs.
  func removeNetwork(_ request: ControlRequest) throws(ControlError) -> NetworkList {
    guard let name = request.network?.name else {
      throw ControlError(.malformedRequest, "the operation network-remove needs a \"network\" with a name")
    }
    let service = try runningNetwork()
    guard let segment = service.plan.segment(name) else {
      throw UnknownName.network(name, among: service.plan.segments.map(\.name))
    }
    guard networkChanges.networks.contains(where: { $0.name == name }) else {
      throw ControlError(
        .wrongState, "\(name) is part of the recipe, so the next start of the appliance would have it again")
    }
    let users = Set(supervisors.map(\.domain).filter { $0.cards.contains { $0.networkName == name } }.map(\.name))
      .union(service.plan.ports(in: segment).map(\.domain)).sorted()
    guard users.isEmpty else {
      throw ControlError(.wrongState, "\(users.joined(separator: ", ")) would lose a network card; remove them first")
    }
    var changes = networkChanges
    changes.networks.removeAll { $0.name == name }
    try keep(changes)
    service.removeNetwork(name)
    return try networkList()
  }

  /// Has a cable do something else; the answer comes when it does.
  func setLink(_ request: ControlRequest, _ responder: Responder) throws(ControlError) {
    let supervisor = try find(request)
    let name = supervisor.domain.name
    guard let change = request.link, !change.isPerfect else {
      throw ControlError(.malformedRequest, "the operation network-link needs a \"link\" with something in it")
    }
    let service = try runningNetwork()
    let ports = service.plan.ports(of: name)
    guard let port = ports.first(where: { $0.index == request.card ?? 0 }) else {
      throw ControlError(
        .wrongState,
        ports.isEmpty
          ? "\(name) has no network card" : "\(name) has \(ports.count) network cards, which are counted from 0")
    }
    let link = port.link.applying(change)
    if let problem = link.problem { throw ControlError(.malformedRequest, problem) }
    var changes = networkChanges
    changes.links[port.key] = link
    try keep(changes)
    service.setLink(port.key, to: link, rate: supervisor.limits.networkRate) { [unowned self] problem in
      if let problem { return responder.refuse(ControlError(.system, "the cable is not changed: \(problem)")) }
      answerNetworks(responder)
    }
  }

  private func answerNetworks(_ responder: Responder) {
    do throws(ControlError) {
      responder.succeed(try networkList())
    } catch {
      responder.refuse(error)
    }
  }
}
