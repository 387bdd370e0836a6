public import Manifest

/// Result of `network-list`: the appliance's networks.
public struct NetworkList: Codable, Hashable, Sendable {
  /// The network that all appliances have, and then others.
  public var networks: [NetworkStatus]

  /// All fields.
  public init(networks: [NetworkStatus]) {
    self.networks = networks
  }

  /// The cards of a domain, in their order.
  public func cards(of domain: String) -> [CardStatus] {
    networks.flatMap(\.cards).filter { $0.domain == domain }.sorted { $0.index < $1.index }
  }
}

/// A network that domains share.
public struct NetworkStatus: Codable, Hashable, Sendable {
  /// Its name.
  public var name: String
  /// How it reaches the outside.
  public var mode: NetworkMode
  /// The control domain's address on it with the prefix length, where it has one.
  public var address: String?
  /// Whose address is the way out of an isolated network.
  public var router: String?
  /// Its bridge in the control domain.
  public var bridge: String
  /// Whether it was made while the appliance runs, and can be removed.
  public var isCreated: Bool?
  /// What is connected to it, in the order of the domains.
  public var cards: [CardStatus]

  /// All fields.
  public init(
    name: String, mode: NetworkMode, address: String? = nil, router: String? = nil, bridge: String,
    isCreated: Bool? = nil, cards: [CardStatus] = []
  ) {
    self.name = name
    self.mode = mode
    self.address = address
    self.router = router
    self.bridge = bridge
    self.isCreated = isCreated
    self.cards = cards
  }
}

/// A domain's network card.
public struct CardStatus: Codable, Hashable, Sendable {
  /// Whose it is.
  public var domain: String
  /// Its number among that domain's cards, from 0.
  public var index: Int
  /// Its hardware address.
  public var mac: String
  /// The IPv4 address that it is given.
  public var address: String?
  /// Its interface in the control domain.
  public var interface: String
  /// The VLAN that all its packets belong to.
  public var vlan: Int?
  /// VLANs whose packets it sends and gets with their tags.
  public var vlans: [Int]?
  /// Whether packets are dropped whose sender is another than this card.
  public var isFiltered: Bool
  /// What its cable does; nil for a perfect one.
  public var link: LinkConditions?

  /// All fields.
  public init(
    domain: String, index: Int, mac: String, address: String? = nil, interface: String, vlan: Int? = nil,
    vlans: [Int]? = nil, isFiltered: Bool = true, link: LinkConditions? = nil
  ) {
    self.domain = domain
    self.index = index
    self.mac = mac
    self.address = address
    self.interface = interface
    self.vlan = vlan
    self.vlans = vlans
    self.isFiltered = isFiltered
    self.link = link
  }

  /// What is unusual about it, in words.
  public var remarks: [String] {
    var words: [String] = []
    if let vlan { words.append("VLAN \(vlan)") }
    if let vlans { words.append("VLANs \(vlans.map { "\($0)" }.joined(separator: ", "))") }
    if !isFiltered { words.append("may send as others") }
    guard let link else { return words }
    if link.isDown == true { words.append("pulled") }
    if let delay = link.delay {
      words.append("delay \(ShortTime.format(delay))" + (link.jitter.map { " ± \(ShortTime.format($0))" } ?? ""))
    }
    if let loss = link.loss { words.append("loss \(Percentage.format(loss))") }
    if let rate = link.rate { words.append("\(BitRate.format(rate)) a second") }
    return words
  }
}
