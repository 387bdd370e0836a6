internal import Binary
internal import Manifest

/// The appliance's networks as text for the tools that make them: a bridge for each, a tap for each card of a domain,
/// names and addresses by dnsmasq, the way out and who may say what by nftables. Pure: it runs nothing.
struct NetworkPlan: Hashable, Sendable {
  /// A network that domains share.
  struct Segment: Hashable, Sendable {
    let name: String
    let mode: NetworkMode
    let bridge: String
    /// The control domain's own address, where it has one.
    let address: IPv4Address?
    /// Bits of it that name the network.
    let prefixLength: Int
    /// Whose address is the way out of an isolated network.
    var router: IPv4Address?
    /// The machine's card that is bridged; nil for the first that there is.
    var card: String?

    var netmask: IPv4Address { IPv4Address(rawValue: UInt32.max << UInt32(32 - prefixLength)) }
    /// The address of the network itself.
    var base: IPv4Address? { address.map { IPv4Address(rawValue: $0.rawValue & netmask.rawValue) } }
  }

  /// A network card of a domain.
  struct Port: Hashable, Sendable {
    /// Whose it is.
    let domain: String
    /// Its number among that domain's cards.
    let index: Int
    let card: ApplianceManifest.NetworkCard
    /// Its interface in the control domain.
    let tap: String
    /// What the cable does now.
    var link: LinkConditions

    /// The interface through which what comes from the domain goes where the cable does something to it.
    var inbound: String { "ifb\(tap.dropFirst(3))" }
    /// What it is kept under.
    var key: String { "\(domain)/\(index)" }
  }

  /// The network that all appliances have, and others in the order in which they were made.
  private(set) var segments: [Segment]
  private(set) var ports: [Port] = []
  /// DNS domain.
  let domain: String
  /// The control domain's host name.
  let hostname: String
  /// The name server that the guests' images name, where it is not at this network's own address any more.
  let formerNameServer: IPv4Address?

  /// Longest name of an interface (linux/if.h: IFNAMSIZ is 16 with the NUL).
  static let interfaceNameLength = 15

  /// `builtAddress` is the control domain's address as the medium has it; this stick's may be another.
  ///
  /// Throws `system` when the manifest's address is none.
  init(_ manifest: ApplianceManifest, builtAddress: String? = nil) throws(ControlError) {
    guard let own = NetworkAddress(manifest.network.address) else {
      throw ControlError(
        .system, "the manifest's network address \"\(manifest.network.address)\" is not of the form 10.77.0.1/24")
    }
    let built = builtAddress.flatMap { NetworkAddress($0)?.address }
    formerNameServer = built == own.address ? nil : built
    domain = manifest.network.domain
    hostname = manifest.controlDomain.hostname
    segments = [
      Segment(
        name: ApplianceManifest.Network.name, mode: .nat,
        bridge: String(manifest.network.bridge.prefix(Self.interfaceNameLength)), address: own.address,
        prefixLength: own.prefixLength)
    ]
    for network in manifest.networks ?? [] { add(network) }
    let owners = manifest.domains.flatMap { domain in
      (0..<max(1, domain.cards.count)).map { Self.owner(domain.name, $0) }
    }
    let taps = Dictionary(
      zip(owners, Self.interfaceNames(owners, taken: Set(segments.map(\.bridge)))), uniquingKeysWith: { $1 })
    for domain in manifest.domains {
      for (index, card) in domain.cards.enumerated() {
        guard let tap = taps[Self.owner(domain.name, index)] else { continue }
        ports.append(Port(domain: domain.name, index: index, card: card, tap: tap, link: card.link ?? LinkConditions()))
      }
    }
  }

  /// A name for one of a domain's cards; no domain is called so but for the first.
  private static func owner(_ domain: String, _ index: Int) -> String { index == 0 ? domain : "\(domain).\(index)" }

  /// Those of `interfaces` that are named as a guest's and belong to no card, sorted.
  func strays(among interfaces: Set<String>) -> [String] {
    let known = Set(ports.flatMap { [$0.tap, $0.inbound] })
    return interfaces.filter { ($0.hasPrefix("tap-") || $0.hasPrefix("ifb-")) && !known.contains($0) }.sorted()
  }

  /// A prefix and the name, cut to what an interface may be called, and distinct.
  static func interfaceNames(_ names: [String], prefix: String = "tap-", taken: Set<String> = []) -> [String] {
    var used = taken
    return names.map { name in
      var candidate = String("\(prefix)\(name)".prefix(interfaceNameLength))
      var number = 1
      while !used.insert(candidate).inserted {
        number += 1
        candidate = String("\(prefix)\(name)".prefix(interfaceNameLength - "~\(number)".count)) + "~\(number)"
      }
      return candidate
    }
  }

  // MARK: Changes

  /// Takes another network.
  mutating func add(_ network: ApplianceManifest.VirtualNetwork) {
    guard segment(network.name) == nil else { return }
    let own = network.address.flatMap(NetworkAddress.init)
    segments.append(
      Segment(
        name: network.name, mode: network.mode,
        bridge: Self.interfaceNames([network.name], prefix: "net-", taken: Set(segments.map(\.bridge)))[0],
        address: own?.address, prefixLength: own?.prefixLength ?? 24, router: network.router.flatMap(IPv4Address.init),
        card: network.card))
  }

  /// Forgets a network; what it was.
  mutating func removeNetwork(_ name: String) -> Segment? {
    guard let index = segments.firstIndex(where: { $0.name == name }) else { return nil }
    return segments.remove(at: index)
  }

  /// Takes a domain that was made on the fly. Its interfaces' names follow from its own, whatever else there is.
  mutating func add(_ name: String, _ cards: [ApplianceManifest.NetworkCard]) {
    guard !ports.contains(where: { $0.domain == name }) else { return }
    for (index, card) in cards.enumerated() {
      let owner = Self.owner(name, index)
      var short = owner
      if "tap-\(owner)".utf8.count > Self.interfaceNameLength {
        let digits = String(CRC32.checksum(Array(owner.utf8)) & 0xFFFFF, radix: 16)
        short = "\(owner.prefix(Self.interfaceNameLength - "tap-.".count - digits.count)).\(digits)"
      }
      let tap = Self.interfaceNames([short], taken: Set(ports.map(\.tap) + segments.map(\.bridge)))[0]
      ports.append(Port(domain: name, index: index, card: card, tap: tap, link: card.link ?? LinkConditions()))
    }
  }

  /// Forgets a domain; the cards that it had.
  mutating func remove(_ name: String) -> [Port] {
    let gone = ports.filter { $0.domain == name }
    ports.removeAll { $0.domain == name }
    return gone
  }

  /// Has a cable do something else than before; the card at its end.
  mutating func setLink(_ key: String, to link: LinkConditions) -> Port? {
    guard let index = ports.firstIndex(where: { $0.key == key }) else { return nil }
    ports[index].link = link
    return ports[index]
  }

  // MARK: What there is

  func segment(_ name: String) -> Segment? { segments.first { $0.name == name } }

  /// A network that has addresses of `wanted`.
  func overlap(_ wanted: ApplianceManifest.VirtualNetwork) -> Segment? {
    guard let own = wanted.address.flatMap(NetworkAddress.init) else { return nil }
    return segments.first { segment in
      guard let address = segment.address else { return false }
      return NetworkAddress(address, prefixLength: segment.prefixLength).overlaps(own)
    }
  }

  /// A domain's cards.
  func ports(of domain: String) -> [Port] { ports.filter { $0.domain == domain } }

  /// The cards that are connected to a network.
  func ports(in segment: Segment) -> [Port] { ports.filter { $0.card.networkName == segment.name } }

  // MARK: Interfaces

  /// Commands for `ip -batch`, for what is not among the `existing` interfaces.
  func linkCommands(existing: Set<String>) -> String {
    var lines: [String] = []
    for segment in segments {
      let bridge = segment.bridge
      if !existing.contains(bridge) {
        lines.append("link add name \(bridge) type bridge stp_state 0 forward_delay 0")
        // An address of its own: a bridge takes that of its lowest port otherwise, and changes it with the ports.
        if let address = segment.address {
          lines.append("link set dev \(bridge) address \(Self.hardwareAddress(for: address))")
        }
      }
      if ports(in: segment).contains(where: { $0.card.vlan != nil || $0.card.vlans != nil }) {
        lines.append("link set dev \(bridge) type bridge vlan_filtering 1")
      }
      if let address = segment.address {
        lines.append("address replace \(address)/\(segment.prefixLength) dev \(bridge)")
      }
      lines.append("link set dev \(bridge) up")
    }
    for port in ports {
      guard let segment = segment(port.card.networkName) else { continue }
      if !existing.contains(port.tap) { lines.append("tuntap add dev \(port.tap) mode tap") }
      lines.append("link set dev \(port.tap) master \(segment.bridge)")
      lines.append("link set dev \(port.tap) up")
    }
    return Self.text(lines)
  }

  /// Commands for `ip -batch` that make `card` part of a bridged network, in whose place the machine is then reached.
  static func bridgingCommands(_ card: String, hardwareAddress: String, into segment: Segment) -> String {
    text([
      "link set dev \(segment.bridge) address \(hardwareAddress)", "address flush dev \(card)",
      "link set dev \(card) master \(segment.bridge)", "link set dev \(card) up",
    ])
  }

  /// Commands for `bridge -batch` that put cards into their VLANs (bridge(8), "bridge vlan"); empty where there are none.
  func vlanCommands() -> String {
    var lines: [String] = []
    for port in ports {
      if let vlan = port.card.vlan {
        lines.append("vlan add dev \(port.tap) vid \(vlan) pvid untagged")
        lines.append("vlan del dev \(port.tap) vid 1")
      }
      if let vlans = port.card.vlans {
        lines += vlans.map { "vlan add dev \(port.tap) vid \($0)" }
        if !vlans.contains(1) { lines.append("vlan del dev \(port.tap) vid 1") }
      }
    }
    return Self.text(lines)
  }

  static func text(_ lines: [String]) -> String { lines.map { $0 + "\n" }.joined() }

  /// A locally administered address that no guest has: 02-52-6F and the last three bytes of the IPv4 address.
  private static func hardwareAddress(for address: IPv4Address) -> String {
    let bytes: [UInt32] = [2, 0x52, 0x6F] + [16, 8, 0].map { address.rawValue >> UInt32($0) & 255 }
    return bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}
