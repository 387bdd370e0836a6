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

  private let plan: NetworkPlan
  private let runtimeDirectory: String
  private let logPath: String
  private let loop: EventLoop
  private let report: (String) -> Void
  private var tools: [Child] = []
  private var nameServer: Service?
  private var uplinks: [String: Service] = [:]
  private var cardTimer: EventLoop.Token?

  /// True when the bridge and the taps are there.
  private(set) var isUp = false

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

  /// Makes bridge and taps, then calls `then` — whether it worked or not — and goes on with names, rules and uplinks.
  func start(then: @escaping () -> Void) {
    do throws(SystemError) {
      let existing = Set(try Files.list(Self.interfaces))
      let commands = try place("links.ip", plan.linkCommands(existing: existing))
      try run(["ip", "-batch", commands]) { [unowned self] status in
        isUp = status.isSuccess
        if !isUp { report("the domains have no network: `ip` failed (\(status)); \(logPath) says more") }
        then()
        if isUp { serve() }
      }
    } catch {
      report("the domains have no network: \(error); iproute2 must be in the control domain")
      then()
    }
  }

  /// Ends the helpers. Bridge and taps stay: monitors may hold them.
  func stop() {
    loop.cancel(cardTimer)
    for uplink in uplinks.values { uplink.stop() }
    nameServer?.stop()
    for tool in tools { tool.stop() }
  }

  private func serve() {
    do throws(SystemError) {
      let configuration = try place(
        "dnsmasq.conf", plan.nameServerConfiguration(runtimeDirectory: runtimeDirectory, upstream: resolvConf))
      if !Files.exists(resolvConf) { try Files.write("", to: resolvConf) }
      nameServer = Service(
        "dnsmasq",
        ["dnsmasq", "--keep-in-foreground", "--log-facility=-", "--pid-file=", "--conf-file=\(configuration)"],
        log: logPath, loop: loop, report: report)
    } catch {
      report("the domains get no addresses: \(error)")
    }
    do throws(SystemError) {
      try Files.write("1\n", to: "/proc/sys/net/ipv4/ip_forward")
      try run(["nft", "-f", try place("rules.nft", plan.firewallRules())]) { [unowned self] status in
        if !status.isSuccess {
          report("the domains do not reach the outside: `nft` failed (\(status)); \(logPath) says more")
        }
      }
      _ = try place("uplink.sh", NetworkPlan.uplinkScript(resolvConf: resolvConf), permissions: 0o755)
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
      then(status)
    }
    tools.append(child)
    timer = loop.after(Self.toolPatience) {
      child.stop()
      then(.killed(signal: Signal.terminate))
    }
  }

  /// Asks for an address on each network card of the machine.
  private func lookForCards() {
    for card in (try? Files.list(Self.interfaces)) ?? [] where uplinks[card] == nil && Self.isCard(card) {
      uplinks[card] = Service(
        "udhcpc on \(card)",
        [
          "busybox", "udhcpc", "-f", "-R", "-t", "4", "-T", "2", "-A", "10", "-i", card, "-s",
          "\(runtimeDirectory)/uplink.sh",
        ], log: logPath, loop: loop, report: { _ in })
    }
    cardTimer = loop.after(Self.cardPause) { [unowned self] in lookForCards() }
  }

  /// A wired Ethernet card of this machine that is part of no bridge.
  private static func isCard(_ name: String) -> Bool {
    let path = "\(interfaces)/\(name)"
    return Files.exists("\(path)/device") && !Files.exists("\(path)/phy80211") && !Files.exists("\(path)/master")
      && (try? Files.readText("\(path)/type")) == "1\n"
  }
}
