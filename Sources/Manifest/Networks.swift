/// How a network of the appliance's reaches what is outside of it.
public enum NetworkMode: String, Codable, Sendable, Hashable, CaseIterable {
  /// Its domains reach the outside behind the machine's address; nobody reaches them from there.
  case nat
  /// Its domains reach each other, and nothing else.
  case isolated
  /// It is one with the network that a card of the machine is in.
  case bridged
}

/// What a cable does to what goes over it, in each direction.
public struct LinkConditions: Codable, Sendable, Hashable {
  /// How long everything takes longer, in microseconds.
  public var delay: Int?
  /// By how much that varies, in microseconds.
  public var jitter: Int?
  /// How many packets get lost, in percent.
  public var loss: Double?
  /// The most that goes over it, in bits a second.
  public var rate: Int?
  /// Whether it is pulled.
  public var isDown: Bool?

  /// A cable that does nothing to what goes over it.
  public init(
    delay: Int? = nil, jitter: Int? = nil, loss: Double? = nil, rate: Int? = nil, isDown: Bool? = nil
  ) {
    self.delay = delay
    self.jitter = jitter
    self.loss = loss
    self.rate = rate
    self.isDown = isDown
  }

  package static let delays = 0...60_000_000  // microseconds
  package static let losses = 0.0...100  // percent

  /// True where nothing is done.
  public var isPerfect: Bool { self == LinkConditions() }

  /// What is out of range, in words; nil when nothing is.
  package var problem: String? {
    for (what, time) in [("a delay", delay), ("a jitter", jitter)] {
      if let time, !Self.delays.contains(time) { return "\(what) is 0 to 60 s, not \(time) microseconds" }
    }
    if let jitter, jitter > delay ?? 0 { return "the jitter is not larger than the delay" }
    if let loss, !Self.losses.contains(loss) { return "a loss is 0 to 100 %, not \(loss)" }
    if let rate, !ResourceLimits.networkRates.contains(rate) {
      return "a rate is 64 kbit to 100 Gbit a second, not \(rate) bit"
    }
    return nil
  }

  /// These conditions with what `change` says of them; what it says to be 0 is as of a perfect cable again.
  package func applying(_ change: LinkConditions) -> LinkConditions {
    func value<T: Equatable & ExpressibleByIntegerLiteral>(_ old: T?, _ new: T?) -> T? { new == 0 ? nil : new ?? old }
    var conditions = self
    conditions.delay = value(delay, change.delay)
    conditions.jitter = conditions.delay == nil ? nil : value(jitter, change.jitter)
    conditions.loss = value(loss, change.loss)
    conditions.rate = value(rate, change.rate)
    conditions.isDown = change.isDown == false ? nil : change.isDown ?? isDown
    return conditions
  }
}

/// A network card that a domain is to have. What is left out is as usual.
public struct CardSpec: Codable, Sendable, Hashable {
  /// The network that it is connected to; nil for the one that all appliances have.
  public var network: String?
  /// The IPv4 address that it is given; nil for one that is free.
  public var address: String?
  /// The VLAN that all its packets belong to, whose tags it does not see.
  public var vlan: Int?
  /// VLANs whose packets it sends and gets with their tags.
  public var vlans: [Int]?
  /// Whether packets are dropped whose sender is another than this card; nil for yes.
  public var filter: Bool?
  /// What its cable does.
  public var link: LinkConditions?

  /// A card of that network.
  public init(network: String? = nil) {
    self.network = network
  }

  package static let vlanNumbers = 1...4094  // IEEE 802.1Q, 9.6: 0 and 4095 are none

  /// What is out of range or contradicts itself, in words; nil when nothing does.
  package var problem: String? {
    if vlan != nil, vlans != nil { return "a card is in one 'vlan', or gets several 'vlans' with their tags" }
    if let wrong = ((vlans ?? []) + [vlan].compactMap { $0 }).first(where: { !Self.vlanNumbers.contains($0) }) {
      return "a VLAN's number is 1 to 4094, not \(wrong)"
    }
    if let vlans, Set(vlans).count < vlans.count { return "a VLAN is named twice" }
    if vlans?.isEmpty == true { return "'vlans' names none" }
    if let address, IPv4Address(address) == nil { return "'\(address)' is no IPv4 address" }
    return link?.problem
  }

  /// True where the network's own names and addresses reach it: they are in no VLAN.
  package var isServed: Bool { vlan ?? 1 == 1 && vlans == nil }
}

extension ApplianceManifest {
  /// A network beside the one that all appliances have.
  public struct VirtualNetwork: Codable, Sendable, Hashable {
    /// Unique; a DNS label.
    public var name: String
    /// How it reaches the outside.
    public var mode: NetworkMode
    /// The control domain's address on it with the prefix length, such as `10.80.1.1/24`, where it gives addresses and
    /// names there.
    public var address: String?
    /// Which domain's address is the way out of an isolated network.
    public var router: String?
    /// The machine's card that is bridged; nil for the first that there is.
    public var card: String?

    /// All fields.
    public init(
      name: String, mode: NetworkMode, address: String? = nil, router: String? = nil, card: String? = nil
    ) {
      self.name = name
      self.mode = mode
      self.address = address
      self.router = router
      self.card = card
    }

    /// What no appliance could make, in words; nil when all is right.
    package var problem: String? {
      if let problem = Names.problem(name) { return problem }
      if name == Network.name { return "has the name of the network that all appliances have" }
      let own = address.flatMap(NetworkAddress.init)
      if address != nil, own == nil { return "has an address that is not of the form 10.80.1.1/24" }
      switch mode {
      case .nat where own == nil: return "is to be 'nat', which takes addresses"
      case .bridged where own != nil: return "is bridged: its addresses come from outside"
      default: break
      }
      if card != nil, mode != .bridged { return "has a card, which only a bridged network has" }
      if let card, let problem = Names.interfaceProblem(card) { return "has a card that \(problem)" }
      guard let router else { return nil }
      guard mode == .isolated, let own else { return "has a router, which only isolated networks with addresses have" }
      guard let address = IPv4Address(router), own.number(of: address) != nil, address != own.address else {
        return "has a router that is not in it"
      }
      return nil
    }
  }
}
