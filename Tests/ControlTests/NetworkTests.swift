import Manifest
import Platform
import TestMachine
import Testing
@testable import Control

@Suite("The networks' texts")
struct NetworkPlanTests {
  private func plan() throws -> NetworkPlan {
    try NetworkPlan(Samples.manifest([Samples.domain("debian"), Samples.domain("lonely", network: false)]))
  }

  /// Two networks of their own with a router between, one more that only has a name, and one that is bridged.
  private static func lab() -> ApplianceManifest {
    func card(_ tail: String, _ address: String?, _ network: String?) -> ApplianceManifest.NetworkCard {
      var card = ApplianceManifest.NetworkCard(mac: "52:54:00:00:01:\(tail)", address: address)
      card.network = network
      return card
    }
    var host = Samples.domain("host")
    host.network = card("01", "10.80.1.10", "left")
    host.network?.link = LinkConditions(delay: 20_000, jitter: 5000, loss: 0.5, rate: 10_000_000)
    var router = Samples.domain("router")
    router.network = card("02", "10.80.1.254", "left")
    router.network?.filter = false
    router.moreCards = [card("03", "10.80.2.254", "right"), card("04", nil, "wire")]
    router.moreCards?[1].vlans = [10, 20]
    var access = Samples.domain("ac-cess")
    access.network = card("05", nil, "wire")
    access.network?.vlan = 20
    var manifest = Samples.manifest([Samples.domain("debian"), host, router, access])
    manifest.networks = [
      .init(name: "left", mode: .isolated, address: "10.80.1.1/24", router: "10.80.1.254"),
      .init(name: "right", mode: .nat, address: "10.80.2.1/24"), .init(name: "wire", mode: .isolated),
      .init(name: "outside", mode: .bridged, card: "eth1"),
    ]
    return manifest
  }

  @Test("Interface names fit and differ")
  func interfaceNames() {
    let names = NetworkPlan.interfaceNames(["web", "averylongname-one", "averylongname-two", "averylongname-three"])
    #expect(names == ["tap-web", "tap-averylongna", "tap-averylong~2", "tap-averylong~3"])
    #expect(names.allSatisfy { $0.utf8.count <= 15 })
    #expect(NetworkPlan.interfaceNames(["x"], taken: ["tap-x"]) == ["tap-x~2"])
  }

  @Test("Interfaces that are named as a guest's and are nobody's are strays, and no others")
  func strays() throws {
    let plan = try plan()
    let tap = try #require(plan.ports.first).tap
    let inbound = try #require(plan.ports.first).inbound
    #expect(
      plan.strays(among: [tap, inbound, "eth0", "roost0", "tap-torn", "ifb-torn", "net-lab"]) == [
        "ifb-torn", "tap-torn",
      ])
    #expect(plan.strays(among: []).isEmpty)
  }

  @Test("Links: bridge with an address, a tap for each guest, and only what is missing")
  func links() throws {
    let plan = try plan()
    #expect(
      plan.linkCommands(existing: []) == """
        link add name roost0 type bridge stp_state 0 forward_delay 0
        link set dev roost0 address 02:52:6f:4d:00:01
        address replace 10.77.0.1/24 dev roost0
        link set dev roost0 up
        tuntap add dev tap-debian mode tap
        link set dev tap-debian master roost0
        link set dev tap-debian up

        """)
    #expect(!plan.linkCommands(existing: ["roost0", "tap-debian"]).contains(" add "))
    #expect(plan.vlanCommands().isEmpty && plan.ports(of: "lonely").isEmpty)
  }

  @Test("Each network has a bridge, each card a tap on the bridge of its network, and VLANs where they are asked for")
  func severalNetworks() throws {
    let plan = try NetworkPlan(Self.lab())
    let text = plan.linkCommands(existing: [])
    let bridges = plan.segments.map(\.bridge)
    #expect(bridges == ["roost0", "net-left", "net-right", "net-wire", "net-outside"])
    #expect(plan.ports(of: "router").map(\.tap) == ["tap-router", "tap-router.1", "tap-router.2"])
    for line in [
      "address replace 10.80.1.1/24 dev net-left", "link set dev tap-router master net-left",
      "link set dev tap-router.1 master net-right", "link set dev tap-router.2 master net-wire",
      "link set dev net-wire type bridge vlan_filtering 1",
    ] {
      #expect(text.contains("\(line)\n"), "\(line)")
    }
    #expect(!text.contains("dev net-left type bridge") && !text.contains("replace") == false)
    #expect(text.split(separator: "\n").count { $0.hasPrefix("address ") } == 3)
    #expect(
      plan.vlanCommands() == """
        vlan add dev tap-router.2 vid 10
        vlan add dev tap-router.2 vid 20
        vlan del dev tap-router.2 vid 1
        vlan add dev tap-ac-cess vid 20 pvid untagged
        vlan del dev tap-ac-cess vid 1

        """)
  }

  @Test("Names and addresses")
  func nameServer() throws {
    let plan = try plan()
    let text = try #require(
      plan.nameServerConfiguration(
        of: plan.segments[0], runtimeDirectory: "/run/roost", upstream: "/run/roost/resolv.conf"))
    for line in [
      "interface=roost0", "dhcp-range=10.77.0.0,static,255.255.255.0,12h", "domain=roost",
      "dhcp-hostsfile=/run/roost/dnsmasq.guests", "addn-hosts=/run/roost/dnsmasq.names", "expand-hosts",
      "host-record=roost,roost.roost,10.77.0.1", "resolv-file=/run/roost/resolv.conf",
    ] {
      #expect(text.split(separator: "\n").contains(Substring(line)), "\(line)")
    }
    #expect(!text.contains("option:router"))
  }

  @Test("An isolated network asks nobody outside, and its way out is the router, but for the router itself")
  func isolatedNames() throws {
    let plan = try NetworkPlan(Self.lab())
    func text(_ name: String) throws -> String? {
      plan.nameServerConfiguration(
        of: try #require(plan.segment(name)), runtimeDirectory: "/r", upstream: "/r/resolv.conf")
    }
    let left = try #require(try text("left"))
    #expect(left.contains("no-resolv\n") && !left.contains("resolv-file"))
    #expect(left.contains("dhcp-option=option:router\ndhcp-option=tag:!router,option:router,10.80.1.254\n"))
    #expect(left.contains("dhcp-hostsfile=/r/dnsmasq-left.guests\n"))
    #expect(try text("right")?.contains("resolv-file=/r/resolv.conf\n") == true)
    #expect(try text("wire") == nil && text("outside") == nil)
    let leases = plan.leases(of: try #require(plan.segment("left")))
    #expect(
      leases == """
        52:54:00:00:01:01,10.80.1.10,host
        52:54:00:00:01:02,set:router,10.80.1.254,router

        """)
    #expect(plan.names(of: try #require(plan.segment("right"))) == "10.80.2.254 router\n")
  }

  @Test("Rules: masquerade for the subnet, nothing from outside, nothing from network to network")
  func rules() throws {
    let own = try plan().firewallRules()
    #expect(own.contains("ip saddr 10.77.0.0/24 oifname != \"roost0\" masquerade"))
    #expect(own.contains("iifname { \"roost0\" } oifname != { \"roost0\" } accept\n"))
    #expect(own.contains("oifname { \"roost0\" } drop\n"))
    let lab = try NetworkPlan(Self.lab()).firewallRules()
    let guarded = #"{ "roost0", "net-left", "net-right", "net-wire" }"#
    #expect(lab.contains(#"iifname { "roost0", "net-right" } oifname != \#(guarded) accept"#))
    #expect(lab.contains("iifname \(guarded) drop\n") && lab.contains("iifname != \(guarded) accept\n"))
    #expect(lab.contains("ip saddr 10.80.2.0/24") && !lab.contains("ip saddr 10.80.1.0/24"))
  }

  @Test("Who sends as another is dropped, but for cards that may")
  func guards() throws {
    let plan = try NetworkPlan(Self.lab())
    let text = plan.guardRules()
    #expect(text.contains("ether saddr != 52:54:00:00:01:01 drop\n"))
    #expect(text.contains("ip saddr != { 0.0.0.0, 10.80.1.10 } drop\n"))
    #expect(text.contains("arp saddr ip != { 0.0.0.0, 10.80.1.10 } drop\n") && text.contains("udp sport 67 drop\n"))
    #expect(!text.contains("52:54:00:00:01:02") && !text.contains("\"tap-router\" :"))
    #expect(text.contains("\"tap-router.1\" : jump of_router_"))
    // Names of chains have no hyphens, and two domains never share one.
    let chains = text.split(separator: "\n").filter { $0.hasPrefix("  chain of_") }
    #expect(chains.count == 5 && Set(chains).count == 5 && !chains.contains { $0.contains("-") }, "\(chains)")
    var open = Samples.domain("debian")
    open.network?.filter = false
    #expect(
      try NetworkPlan(Samples.manifest([open])).guardRules()
        == "add table bridge roost\ndelete table bridge roost\n")
  }

  @Test("A cable delays, loses and slows in both directions; the smaller of two rates holds")
  func cables() throws {
    let plan = try NetworkPlan(Self.lab())
    let host = try #require(plan.ports(of: "host").first)
    #expect(host.inbound == "ifb-host")
    #expect(host.inboundCommands(existing: []) == "link add name ifb-host type ifb\nlink set dev ifb-host up\n")
    #expect(host.inboundCommands(existing: ["ifb-host"]) == "link set dev ifb-host up\n")
    let words = "netem limit 20000 delay 20000us 5000us loss 0.5% rate"
    #expect(
      host.cableCommands(rate: nil) == """
        qdisc add dev tap-host root \(words) 10000000bit
        qdisc add dev tap-host ingress
        filter add dev tap-host ingress protocol all pref 1 handle 1 matchall action mirred egress redirect dev ifb-host
        qdisc replace dev ifb-host root \(words) 10000000bit

        """)
    #expect(host.cableCommands(rate: 1_000_000).contains("\(words) 1000000bit"))
    var pulled = host
    pulled.link = LinkConditions(isDown: true)
    #expect(pulled.cableCommands(rate: nil).contains("netem limit 20000 loss 100%\n"))
    let router = try #require(plan.ports(of: "router").first)
    #expect(router.cableCommands(rate: nil).isEmpty)
    #expect(router.undoingCommands == "qdisc delete dev tap-router root\nqdisc delete dev tap-router ingress\n")
    #expect(router.inboundCommands(existing: []).isEmpty)
  }

  @Test("What is changed of a cable leaves the rest as it is, and nothing is a perfect one")
  func changes() {
    var link = LinkConditions().applying(LinkConditions(delay: 1000, jitter: 10))
    #expect(link == LinkConditions(delay: 1000, jitter: 10))
    link = link.applying(LinkConditions(loss: 1.5, isDown: true))
    #expect(link == LinkConditions(delay: 1000, jitter: 10, loss: 1.5, isDown: true))
    link = link.applying(LinkConditions(delay: 0, isDown: false))
    #expect(link == LinkConditions(loss: 1.5))
    #expect(link.applying(LinkConditions(loss: 0)).isPerfect)
    #expect(LinkConditions(jitter: 5).problem != nil && LinkConditions(loss: 101).problem != nil)
    #expect(LinkConditions(delay: 61_000_000).problem != nil && LinkConditions(rate: 1).problem != nil)
  }

  @Test(
    "A wrong address in the manifest is an error", arguments: ["", "10.77.0.1", "10.77.0.1/33", "a/24", "1.2.3/24"])
  func wrongAddress(text: String) {
    var manifest = Samples.manifest([Samples.domain("debian")])
    manifest.network.address = text
    #expect(throws: ControlError.self) { try NetworkPlan(manifest) }
  }

  @Test("A domain that is made on the fly gets an address of each of its networks, or the one that it wants")
  func design() throws {
    let manifest = Self.lab()
    func design(_ change: (inout DomainSpec) -> Void) throws -> ApplianceManifest.Domain {
      var spec = DomainSpec(name: "new")
      spec.boot = .bios
      spec.diskBytes = 64 << 20
      change(&spec)
      return try DomainDesign(
        spec,
        in: .init(
          domains: manifest.domains, address: IPv4Address("10.77.0.1"), networks: manifest.networks ?? [])
      ).domain
    }
    let domain = try design { $0.cards = [CardSpec(), CardSpec(network: "left"), CardSpec(network: "wire")] }
    #expect(domain.cards.map(\.address) == ["10.77.0.11", "10.80.1.11", nil])
    #expect(domain.cards.map(\.networkName) == ["guests", "left", "wire"])
    #expect(Set(domain.cards.map(\.mac)).count == 3)
    #expect(try design { $0.cards = [] }.cards.isEmpty)
    // One that is like another has its networks, with addresses of its own.
    let like = try design { spec in
      spec.like = "router"
      spec.boot = .linux
      spec.diskBytes = nil
    }
    #expect(like.cards.map(\.address) == ["10.80.1.11", "10.80.2.10", nil])
    #expect(like.cards.map(\.filter) == [false, nil, nil] && like.cards[2].vlans == [10, 20])
    func wanted(_ address: String) -> (inout DomainSpec) -> Void {
      { spec in
        var card = CardSpec(network: "left")
        card.address = address
        spec.cards = [card]
      }
    }
    #expect(try design(wanted("10.80.1.77")).network?.address == "10.80.1.77")
    for address in ["10.80.1.10", "10.80.1.1", "10.80.2.5", "10.80.1.255", "x"] {
      #expect(throws: ControlError.self, "\(address)") { try design(wanted(address)) }
    }
    let unknown = #expect(throws: ControlError.self) { try design { $0.cards = [CardSpec(network: "rihgt")] } }
    #expect(unknown?.code == .unknownNetwork && unknown?.message.contains("did you mean right?") == true)
  }

  @Test("A domain made on the fly remembers those of its networks that were made on the fly, beside what defines it")
  func remembered() throws {
    var domain = Samples.domain("lab")
    domain.network = .init(CardSpec(network: "left"), mac: "52:54:00:00:00:01", address: "10.80.1.10", model: nil)
    let made = [
      ApplianceManifest.VirtualNetwork(name: "left", mode: .isolated, address: "10.80.1.1/24"),
      ApplianceManifest.VirtualNetwork(name: "right", mode: .isolated),
    ]
    let created = CreatedDomain(domain, of: made)
    #expect(created.networks == [made[0]])
    let bytes = try ControlCoding.encode(created)
    #expect(try ControlCoding.decode(CreatedDomain.self, from: bytes) == created)
    // What was recorded without networks is understood, and what is recorded with them is a domain to those who look for one.
    #expect(try ControlCoding.decode(ApplianceManifest.Domain.self, from: bytes) == domain)
    let plain = try ControlCoding.encode(domain)
    #expect(try ControlCoding.decode(CreatedDomain.self, from: plain) == CreatedDomain(domain))
    let report = StorageReport(
      state: .ready,
      created: ["lab": String(decoding: bytes, as: UTF8.self), "other": String(decoding: bytes, as: UTF8.self)])
    #expect(report.createdDomains == [created])
  }

  @Test("A network that has addresses of another's is told from one that has not")
  func overlap() throws {
    var plan = try NetworkPlan(Samples.manifest([]), builtAddress: nil)
    plan.add(.init(name: "left", mode: .isolated, address: "10.80.1.1/24"))
    func overlap(_ address: String?) -> String? {
      plan.overlap(.init(name: "new", mode: .isolated, address: address))?.name
    }
    #expect(overlap("10.80.1.129/25") == "left")
    #expect(overlap("10.80.0.1/16") == "left")
    #expect(overlap("10.80.2.1/24") == nil && overlap(nil) == nil)
  }

  @Test("What is done in turn starts when all before it is done, be that at once or later")
  func turns() {
    let turns = Turns()
    var told: [String] = []
    var ends: [() -> Void] = []
    for name in ["a", "b"] {
      turns.take { done in
        told.append(name)
        ends.append(done)
      }
    }
    turns.take { done in
      told.append("c")
      done()
    }
    turns.take { done in
      told.append("d")
      ends.append(done)
    }
    #expect(told == ["a"])
    ends[0]()
    #expect(told == ["a", "b"])
    ends[1]()
    #expect(told == ["a", "b", "c", "d"])
    ends[2]()
    turns.take { _ in told.append("e") }
    #expect(told.last == "e")
  }

  @Test("Networks are shown with what is connected to them")
  func table() throws {
    var card = CardStatus(domain: "web", index: 1, mac: "52:54:00:00:00:01", interface: "tap-web.1", isFiltered: false)
    card.link = LinkConditions(delay: 20_000, jitter: 5000, loss: 1, isDown: true)
    let list = NetworkList(networks: [
      NetworkStatus(
        name: "left", mode: .isolated, address: "10.80.1.1/24", router: "10.80.1.254", bridge: "net-left",
        cards: [card])
    ])
    #expect(
      NetworkTable.text(list) == """
        left: isolated, 10.80.1.1/24, way out 10.80.1.254 (net-left)
          web, card 1  no address  52:54:00:00:00:01  tap-web.1  may send as others  pulled  delay 20 ms ± 5 ms  loss 1 %

        """)
  }
}

@Suite("Helpers that were left behind", .ownThreads, .timeLimit(.minutes(5)))
struct OrphanTests {
  @Test("Who has the argument is ended, and nobody else")
  func end() throws {
    let word = "--of=\(ProcessEnvironment.processID)"
    func start(_ more: String) throws -> ChildProcess {
      try ChildProcess.start(ChildRequest(["/bin/sh", "-c", "while :; do sleep 0.05; done", more]))
    }
    let left = try start(word)
    let other = try start("\(word)0")
    MonotonicClock.sleep(milliseconds: 100)
    // What ended is a zombie until its parent looks, and has no command line.
    Orphan.end(having: word)
    #expect(try left.wait() == .killed(signal: Signal.terminate))
    #expect(try other.poll() == nil)
    try other.signal(Signal.kill)
    #expect(try other.wait() == .killed(signal: Signal.kill))
    Orphan.end(having: word)
  }
}

@Suite("Captured packets")
struct PacketCaptureTests {
  @Test("A file is a section, an interface and packets, each block with its length at both ends")
  func format() {
    let capture = PacketCapture(interface: "tap-web", snapLength: 64)
    let bytes = capture.header
    func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
      (0..<4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
    }
    #expect(word(bytes, 0) == 0x0A0D_0D0A && word(bytes, 8) == 0x1A2B_3C4D)
    let section = Int(word(bytes, 4))
    #expect(section % 4 == 0 && word(bytes, section - 4) == UInt32(section))
    #expect(word(bytes, section) == 1 && word(bytes, section + 8) & 0xFFFF == 1 && word(bytes, section + 12) == 64)
    let interface = Int(word(bytes, section + 4))
    #expect(section + interface == bytes.count && word(bytes, bytes.count - 4) == UInt32(interface))
    #expect(String(decoding: bytes, as: UTF8.self).contains("tap-web"))

    let packet = PacketSocket.Packet(
      bytes: Array(repeating: 7, count: 61), length: 1500, nanoseconds: 0x1_2345_6789, isOutgoing: true)
    let block = capture.block(of: packet)
    #expect(word(block, 0) == 6 && Int(word(block, 4)) == block.count && word(block, block.count - 4) == word(block, 4))
    #expect(word(block, 12) == 1 && word(block, 16) == 0x2345_6789)
    #expect(word(block, 20) == 61 && word(block, 24) == 1500 && Array(block[28..<89]) == packet.bytes)
    // Padded to 92, then the direction: what the system sends, the domain receives.
    #expect(word(block, 92) == 0x0004_0002 && word(block, 96) == 1 && word(block, 100) == 0)
    #expect(word(capture.block(of: .init(bytes: [], length: 0, nanoseconds: 0, isOutgoing: false)), 32) == 2)
    #expect(
      word(
        capture.block(of: .init(bytes: Array(repeating: 0, count: 99), length: 99, nanoseconds: 0, isOutgoing: true)),
        20) == 64)
  }

  @Test(
    "What goes over an interface is seen, and an interface that is not there is an error",
    .enabled(if: ProcessEnvironment.isSuperuser, "skipped: others' packets take root"))
  func socket() throws {
    #expect(throws: SystemError.self) { _ = try PacketSocket("no-such-one") }
    var socket = try PacketSocket("lo")
    // Nobody listens there: the answer goes over the interface too.
    _ = try? InternetSocket.connect(address: 0x7F00_0001, port: 9, seconds: 1)
    var seen: [PacketSocket.Packet] = []
    for _ in 0..<100 where seen.count < 2 {
      while let packet = try socket.receive() { seen.append(packet) }
      MonotonicClock.sleep(milliseconds: 10)
    }
    #expect(
      seen.count >= 2 && seen.allSatisfy { $0.length == $0.bytes.count && $0.nanoseconds > 1_600_000_000_000_000_000 })
    // IPv4, between addresses that a loopback has.
    #expect(seen.first.map { Array($0.bytes[12..<14]) } == [0x08, 0x00])
    #expect(seen.contains(where: \.isOutgoing) && seen.contains { !$0.isOutgoing })
  }
}
