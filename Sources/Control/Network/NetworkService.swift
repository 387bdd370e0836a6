internal import Manifest
internal import Platform

/// Makes the appliance's network and keeps its helpers running. Nothing here stops a domain from starting: what fails
/// becomes a notice.
///
/// Lives on the loop's thread.
final class NetworkService {
  /// How often to look for network cards that came, in seconds.
  private static let cardPause = 5.0
  /// How long `ip` and `nft` may take, in seconds.
  private static let toolPatience = 20.0
  private static let interfaces = "/sys/class/net"

  private(set) var plan: NetworkPlan
  private let runtimeDirectory: String
  private let logPath: String
  private let loop: EventLoop
  private let report: (String) -> Void
  private var tools: [Child] = []
  /// The dnsmasq of each network that has addresses.
  private var nameServers: [String: Service] = [:]
  /// The DHCP client of each card, or of the bridge that it is part of.
  private var uplinks: [String: Service] = [:]
  private var cardTimer: EventLoop.Token?
  /// Changes of interfaces, and of cables: what two make or undo at once would be in each other's way.
  private let links = Turns()
  private let cables = Turns()

  /// True when the bridge and the taps are there.
  private(set) var isUp = false
  /// What waits for the bridge.
  private var waiting: [() -> Void] = []
  private var hasTried = false

  init(
    plan: NetworkPlan, runtimeDirectory: String, logDirectory: String, loop: EventLoop,
    report: @escaping (String) -> Void
  ) {
    self.plan = plan
    self.runtimeDirectory = runtimeDirectory
    logPath = "\(logDirectory)/network.log"
    self.loop = loop
    self.report = report
  }

  private var resolvConf: String { "\(runtimeDirectory)/resolv.conf" }

  /// Makes bridges and taps, then calls `then` — whether it worked or not — and goes on with names, rules and uplinks.
  func start(then: @escaping () -> Void) {
    makeLinks("links.ip") { [unowned self] problem in
      isUp = problem == nil
      if let problem { report("the domains have no network: \(problem)") }
      then()
      if isUp { serve() }
      resolve()
    }
  }

  /// Makes what interfaces the plan has and the kernel has not. Each caller has a file of its own for the commands, which
  /// are read by the time that they are done. `then` gets what went wrong.
  private func makeLinks(_ file: String, then: @escaping (String?) -> Void) {
    links.take { [unowned self] done in
      run(
        [
          Batch(tool: ["ip"], file: file, commands: plan.linkCommands(existing: existingInterfaces)),
          // A card that is in its VLAN already is not in the first any more, which is no failure.
          Batch(tool: ["bridge", "-force"], file: "\(file).vlan", commands: plan.vlanCommands(), mayFail: true),
        ]
      ) { problem in
        then(problem)
        done()
      }
    }
  }

  private var existingInterfaces: Set<String> { Set((try? Files.list(Self.interfaces)) ?? []) }

  /// Commands for a tool of iproute2's; without any, the tool is not run.
  private struct Batch {
    let tool: [String]
    let file: String
    let commands: String
    var mayFail = false
  }

  /// Runs batches one after the other, up to one that fails and may not. `then` gets what went wrong.
  private func run(_ batches: ArraySlice<Batch>, then: @escaping (String?) -> Void) {
    guard let batch = batches.first else { return then(nil) }
    let rest = batches.dropFirst()
    if batch.commands.isEmpty { return run(rest, then: then) }
    do throws(SystemError) {
      let path = try place(batch.file, batch.commands)
      try run(batch.tool + ["-batch", path]) { [unowned self] status in
        try? Files.remove(path)
        if status.isSuccess || batch.mayFail { return run(rest, then: then) }
        then("`\(batch.tool[0])` failed (\(status)); \(logPath) says more")
      }
    } catch {
      then("\(error); iproute2 must be in the control domain")
    }
  }

  /// Calls `then` when bridges and taps are there, or could not be made.
  func whenTried(_ then: @escaping () -> Void) {
    if hasTried { then() } else { waiting.append(then) }
  }

  private func resolve() {
    hasTried = true
    let waiting = self.waiting
    self.waiting = []
    for handler in waiting { handler() }
  }

  /// The interfaces of a domain's cards; none while the network is not up.
  func taps(of domain: String) -> [String] { isUp ? plan.ports(of: domain).map(\.tap) : [] }

  // MARK: Changes

  /// Makes room for a domain that was made on the fly, then calls `then`, whether that worked or not.
  func add(_ name: String, _ cards: [ApplianceManifest.NetworkCard], then: @escaping () -> Void) {
    guard hasTried else { return whenTried { [unowned self] in add(name, cards, then: then) } }
    plan.add(name, cards)
    guard isUp else { return then() }
    makeLinks("links-\(name).ip") { [unowned self] problem in
      if let problem { report("\(name) has no network: \(problem)") }
      for card in cards where plan.segment(card.networkName) == nil {
        report("\(name) has a card on the network \(card.networkName), which is not there")
      }
      tellNameServers()
      placeGuards()
      then()
    }
  }

  /// Forgets a domain that was made on the fly, and removes its interfaces.
  func remove(_ name: String) {
    let gone = plan.remove(name)
    guard !gone.isEmpty, isUp else { return }
    tellNameServers()
    placeGuards()
    removeInterfaces(gone.flatMap { [$0.tap, $0.inbound] })
  }

  /// Removes guests' interfaces that belong to no card, once those that were waited for have theirs: a domain manager
  /// before this one did not come to it.
  func removeStrays() {
    guard hasTried else { return whenTried { [unowned self] in removeStrays() } }
    guard isUp else { return }
    removeInterfaces(plan.strays(among: existingInterfaces))
  }

  /// Makes a network. `then` gets what went wrong; there is none then.
  func add(_ network: ApplianceManifest.VirtualNetwork, then: @escaping (String?) -> Void) {
    guard isUp else { return then("the appliance's networks are not up") }
    plan.add(network)
    makeLinks("links-network-\(network.name).ip") { [unowned self] problem in
      if let problem {
        removeNetwork(network.name)
        return then(problem)
      }
      if let segment = plan.segment(network.name) { startNameServer(of: segment) }
      placeRules()
      followCards()
      then(nil)
    }
  }

  /// Forgets a network to which no card is connected, and removes its bridge.
  func removeNetwork(_ name: String) {
    guard let segment = plan.removeNetwork(name) else { return }
    nameServers.removeValue(forKey: name)?.stop()
    uplinks.removeValue(forKey: segment.bridge)?.stop()
    for kind in ["conf", "guests", "names", "leases"] {
      try? Files.remove("\(runtimeDirectory)/\(NetworkPlan.file(kind, of: segment))")
    }
    if isUp { placeRules() }
    removeInterfaces([segment.bridge])
  }

  private func removeInterfaces(_ names: [String]) {
    for name in names {
      links.take { [unowned self] done in
        guard Files.exists("\(Self.interfaces)/\(name)") else { return done() }
        do throws(SystemError) {
          try run(["ip", "link", "delete", "dev", name]) { [unowned self] status in
            if !status.isSuccess { report("the interface \(name) is not removed: `ip` failed (\(status))") }
            done()
          }
        } catch {
          report("the interface \(name) is not removed: \(error)")
          done()
        }
      }
    }
  }

  /// Has the cable of one of a domain's cards do something else, of a domain limited to `rate` bits a second. `then` gets
  /// what went wrong.
  func setLink(_ key: String, to link: LinkConditions, rate: Int?, then: @escaping (String?) -> Void) {
    guard let port = plan.setLink(key, to: link) else { return then("there is no such card") }
    guard isUp else { return then(nil) }
    shape(port, rate: rate, then: then)
  }

  /// Limits what a domain sends and receives with each of its cards, in bits a second; nil for no limit. Its cables do
  /// what they are to do.
  func limit(_ name: String, to rate: Int?) {
    guard isUp else { return }
    for port in plan.ports(of: name) {
      shape(port, rate: rate) { [unowned self] problem in
        if let problem { report("the network of \(name) is not as it should be: \(problem)") }
      }
    }
  }

  private func shape(_ port: NetworkPlan.Port, rate: Int?, then: @escaping (String?) -> Void) {
    cables.take { [unowned self] done in
      change(port, rate: rate) { problem in
        then(problem)
        done()
      }
    }
  }

  private func change(_ port: NetworkPlan.Port, rate: Int?, then: @escaping (String?) -> Void) {
    let file = "cable-\(port.domain)-\(port.index)"
    run(
      [
        Batch(tool: ["ip"], file: "\(file).ip", commands: port.inboundCommands(existing: existingInterfaces)),
        // What is not there cannot be undone, which is no failure.
        Batch(tool: ["tc", "-force"], file: "\(file).undo.tc", commands: port.undoingCommands, mayFail: true),
        Batch(tool: ["tc"], file: "\(file).tc", commands: port.cableCommands(rate: rate)),
      ], then: then)
  }

  // MARK: Names

  private func tellNameServers() {
    for segment in plan.segments {
      do throws(SystemError) {
        try placeGuests(of: segment)
        nameServers[segment.name]?.signal(Signal.hangUp)
      } catch {
        report("the domains get no addresses: \(error)")
      }
    }
  }

  private func placeGuests(of segment: NetworkPlan.Segment) throws(SystemError) {
    guard segment.address != nil else { return }
    _ = try place(NetworkPlan.file("guests", of: segment), plan.leases(of: segment))
    _ = try place(NetworkPlan.file("names", of: segment), plan.names(of: segment))
  }

  private func startNameServer(of segment: NetworkPlan.Segment) {
    let configuration = plan.nameServerConfiguration(
      of: segment, runtimeDirectory: runtimeDirectory, upstream: resolvConf)
    guard let configuration else { return }
    do throws(SystemError) {
      try placeGuests(of: segment)
      let path = try place(NetworkPlan.file("conf", of: segment), configuration)
      if !Files.exists(resolvConf) { try Files.write("", to: resolvConf) }
      let file = "--conf-file=\(path)"
      // It would not hear of what changes, and keep the sockets from its successor.
      Orphan.end(having: file)
      nameServers[segment.name] = Service(
        segment.name == ApplianceManifest.Network.name ? "dnsmasq" : "dnsmasq of \(segment.name)",
        ["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--pid-file=", file],
        log: logPath, loop: loop, report: report)
    } catch {
      report("the domains of \(segment.name) get no addresses: \(error)")
    }
  }

  // MARK: Rules

  private func placeRules() {
    placeRules("rules.nft", plan.firewallRules(), "the domains do not reach the outside")
    placeGuards()
  }

  private func placeGuards() {
    placeRules("guards.nft", plan.guardRules(), "domains may send as others")
  }

  private func placeRules(_ file: String, _ rules: String, _ otherwise: String) {
    do throws(SystemError) {
      try run(["nft", "-f", try place(file, rules)]) { [unowned self] status in
        if !status.isSuccess { report("\(otherwise): `nft` failed (\(status)); \(logPath) says more") }
      }
    } catch {
      report("\(otherwise): \(error)")
    }
  }

  /// Ends the helpers. Bridge and taps stay: monitors may hold them.
  func stop() {
    loop.cancel(cardTimer)
    for uplink in uplinks.values { uplink.stop() }
    for nameServer in nameServers.values { nameServer.stop() }
    for tool in tools { tool.stop() }
  }

  private func serve() {
    for segment in plan.segments { startNameServer(of: segment) }
    do throws(SystemError) {
      try Files.write("1\n", to: "/proc/sys/net/ipv4/ip_forward")
      _ = try place("uplink.sh", NetworkPlan.uplinkScript(resolvConf: resolvConf), permissions: 0o755)
      placeRules()
      lookForCards()
    } catch {
      report("the domains do not reach the outside: \(error)")
    }
  }

  private func place(_ name: String, _ text: String, permissions: UInt32 = 0o644) throws(SystemError) -> String {
    let path = "\(runtimeDirectory)/\(name)"
    try Files.replace(path, with: Array(text.utf8), permissions: permissions)
    return path
  }

  private func run(_ arguments: [String], _ then: @escaping (ExitStatus) -> Void) throws(SystemError) {
    var timer: EventLoop.Token?
    let child = try Child(arguments, log: logPath, loop: loop) { [unowned self] status in
      loop.cancel(timer)
      // The program ends in the middle of this: it is let go of afterwards.
      loop.after(0) { [unowned self] in tools.removeAll { !$0.isRunning } }
      then(status)
    }
    tools.append(child)
    timer = loop.after(Self.toolPatience) {
      child.stop()
      then(.killed(signal: Signal.terminate))
    }
  }

  private func lookForCards() {
    followCards()
    cardTimer = loop.after(Self.cardPause) { [unowned self] in lookForCards() }
  }

  /// Asks for an address on each network card of the machine; where one is bridged, on its bridge.
  private func followCards() {
    var cards = ((try? Files.list(Self.interfaces)) ?? []).filter(Self.isCard).sorted()
    for segment in plan.segments where segment.mode == .bridged {
      let isBridged =
        Files.exists("\(Self.interfaces)/\(segment.bridge)/brif")
        && ((try? Files.list("\(Self.interfaces)/\(segment.bridge)/brif")) ?? []).contains {
          Files.exists("\(Self.interfaces)/\($0)/device")
        }
      if isBridged {
        seekAddress(segment.bridge)
      } else if let card = cards.first(where: { segment.card ?? $0 == $0 }) {
        cards.removeAll { $0 == card }
        bridge(card, into: segment)
      }
    }
    for card in cards { seekAddress(card) }
  }

  private func bridge(_ card: String, into segment: NetworkPlan.Segment) {
    uplinks.removeValue(forKey: card)?.stop()
    do throws(SystemError) {
      let address = try Files.readText("\(Self.interfaces)/\(card)/address").prefix { !$0.isWhitespace }
      let commands = NetworkPlan.bridgingCommands(card, hardwareAddress: String(address), into: segment)
      run([Batch(tool: ["ip"], file: "bridge-\(segment.name).ip", commands: commands)]) { [unowned self] problem in
        if let problem { return report("the card \(card) is not bridged to \(segment.name): \(problem)") }
        seekAddress(segment.bridge)
      }
    } catch {
      report("the card \(card) is not bridged to \(segment.name): \(error)")
    }
  }

  private func seekAddress(_ interface: String) {
    guard uplinks[interface] == nil else { return }
    uplinks[interface] = Service(
      "udhcpc on \(interface)",
      [
        "busybox", "udhcpc", "-f", "-R", "-t", "4", "-T", "2", "-A", "10", "-i", interface, "-s",
        "\(runtimeDirectory)/uplink.sh",
      ], log: logPath, loop: loop, report: { _ in })
  }

  /// A wired Ethernet card of this machine that is part of no bridge.
  private static func isCard(_ name: String) -> Bool {
    let path = "\(interfaces)/\(name)"
    return Files.exists("\(path)/device") && !Files.exists("\(path)/phy80211") && !Files.exists("\(path)/master")
      && (try? Files.readText("\(path)/type")) == "1\n"
  }
}
