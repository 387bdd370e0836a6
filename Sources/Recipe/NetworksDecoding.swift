internal import Manifest
internal import YAML

/// The recipe's `networks`, and the cards of domains that are connected to them.
extension RecipeDecoder {
  /// The networks beside the one that all appliances have; nil for one whose text is wrong.
  mutating func networks(_ recipe: NodeReader.Fields) -> [String: Recipe.VirtualNetwork?] {
    guard let node = recipe.values["networks"]?.value else { return [:] }
    guard case .mapping(let mapping) = node else {
      reader.report(
        node.mark,
        "'networks' must have a name for each network, as in {lab: {mode: isolated}}, not \(NodeReader.describe(node))")
      return [:]
    }
    guard mapping.count <= Limits.networks else {
      reader.report(node.mark, "'networks' has \(mapping.count) entries; \(Limits.networks) are the most")
      return [:]
    }
    var networks: [String: Recipe.VirtualNetwork?] = [:]
    for (key, value) in mapping {
      guard let name = reader.scalar(key, "a network's name") else { continue }
      if let problem = Names.problem(name) {
        reader.report(key.mark, "the network '\(NodeReader.shown(name))' \(problem)")
        continue
      }
      if name == ApplianceManifest.Network.name {
        reader.report(key.mark, "'\(name)' is the network that all appliances have; 'network: {subnet: …}' changes it")
        continue
      }
      networks[name] = .some(network(value, name))
    }
    return networks
  }

  private mutating func network(_ node: Node, _ name: String) -> Recipe.VirtualNetwork? {
    guard let fields = reader.fields(node, .virtualNetwork, called: "the network '\(name)'") else { return nil }
    let mode = reader.choice(fields, "mode", NetworkMode.self, default: .nat)
    let subnet = reader.quantity(fields, "subnet", IPv4Subnet.parse)
    let router = reader.checked(fields, "router") { IPv4Address($0) == nil ? "is no IPv4 address" : nil }
    let card = reader.checked(fields, "card", Names.interfaceProblem)
    switch mode {
    case .nat where !fields.has("subnet"):
      reader.report(
        fields.mark, "the network '\(name)' needs a 'subnet', as in 'subnet: 10.80.1.0/24', or 'mode: isolated'")
    case .bridged where fields.has("subnet"):
      reader.report(
        fields.mark(of: "subnet"), "'\(name)' is bridged: its addresses come from outside; leave 'subnet' out")
    default: break
    }
    if fields.has("card"), mode != .bridged {
      reader.report(fields.mark(of: "card"), "'card' in a network that is not bridged; add 'mode: bridged'")
    }
    if fields.has("router"), mode != .isolated || !fields.has("subnet") {
      reader.report(
        fields.mark(of: "router"), "'router' tells the way out of a network with 'mode: isolated' and a 'subnet'")
    }
    let network = Recipe.VirtualNetwork(
      name: name, mode: mode, subnet: subnet, router: router.flatMap(IPv4Address.init), card: card)
    if let subnet, let router = network.router, !subnet.isGuests(router) {
      reader.report(fields.mark(of: "router"), "the router \(router) is no domain's address in \(subnet)")
    }
    return network
  }

  /// A domain's network cards: one where it is `true`, or what is said of each.
  mutating func cards(_ domain: NodeReader.Fields) -> [CardSpec] {
    guard let node = domain.values["network"]?.value else { return [] }
    let nodes: [Node]
    switch node {
    case .scalar(let scalar) where scalar.string == "true": return [CardSpec()]
    case .scalar(let scalar) where scalar.string == "false": return []
    case .scalar(let scalar) where ["yes", "no", "on", "off"].contains(scalar.string.lowercased()):
      reader.report(
        node.mark, "'network' in a domain must be true or false, or name networks, not '\(scalar.string)'")
      return []
    case .sequence(let sequence): nodes = Array(sequence)
    default: nodes = [node]
    }
    guard nodes.count <= Limits.cards else {
      reader.report(node.mark, "a domain has \(Limits.cards) network cards at most, not \(nodes.count)")
      return []
    }
    return nodes.compactMap { card($0) }
  }

  private mutating func card(_ node: Node) -> CardSpec? {
    if case .scalar = node {
      guard let name = reader.scalar(node, "a domain's 'network'"), isNetwork(name, node.mark) else { return nil }
      return CardSpec(network: name == ApplianceManifest.Network.name ? nil : name)
    }
    guard let fields = reader.fields(node, .card) else { return nil }
    var card = CardSpec()
    if let name = reader.text(fields, "network") {
      guard isNetwork(name, fields.mark(of: "network")) else { return nil }
      card.network = name == ApplianceManifest.Network.name ? nil : name
    }
    card.address = reader.checked(fields, "address") { IPv4Address($0) == nil ? "is no IPv4 address" : nil }
    if fields.has("vlan") { card.vlan = reader.number(fields, "vlan", in: CardSpec.vlanNumbers, default: 1) }
    card.vlans = vlans(fields)
    if fields.has("filter") { card.filter = reader.flag(fields, "filter", default: true) }
    card.link = link(fields)
    if let problem = card.problem { reader.report(fields.mark, "\(problem)") }
    return card
  }

  private mutating func vlans(_ card: NodeReader.Fields) -> [Int]? {
    guard let node = card.values["vlans"]?.value else { return nil }
    guard case .sequence(let sequence) = node else {
      reader.report(node.mark, "'vlans' must be a list, as in [10, 20], not \(NodeReader.describe(node))")
      return nil
    }
    return sequence.compactMap { node in
      guard let text = reader.scalar(node, "an entry of 'vlans'") else { return nil }
      if let number = Int(text) { return number }
      reader.report(node.mark, "'\(NodeReader.shown(text))' is no number of a VLAN")
      return nil
    }
  }

  private mutating func link(_ card: NodeReader.Fields) -> LinkConditions? {
    guard let node = card.values["link"]?.value,
      let fields = reader.fields(node, .link)
    else { return nil }
    let link = LinkConditions(
      delay: reader.quantity(fields, "delay", ShortTime.parse),
      jitter: reader.quantity(fields, "jitter", ShortTime.parse),
      loss: reader.quantity(fields, "loss", Percentage.parse), rate: reader.quantity(fields, "rate", BitRate.parse),
      isDown: reader.flag(fields, "down", default: false) ? true : nil)
    return link.isPerfect ? nil : link
  }

  /// Whether there is a network of that name; notes it where there is none. A file of domains does not tell.
  private mutating func isNetwork(_ name: String, _ mark: Mark?) -> Bool {
    guard let networks, name != ApplianceManifest.Network.name, networks[name] == nil else { return true }
    let all = [ApplianceManifest.Network.name] + networks.keys.sorted()
    var message = "there is no network '\(NodeReader.shown(name))'"
    if let nearest = Spelling.nearest(to: name, in: all) {
      message += "; did you mean '\(nearest)'?"
    } else {
      message += "; there \(all.count == 1 ? "is" : "are") \(all.joined(separator: ", "))"
    }
    reader.report(mark, message)
    return false
  }

  /// Networks that overlap, addresses that are none of a card's network or taken, and networks without room.
  mutating func checkRoom(
    _ subnet: IPv4Subnet, _ networks: [Recipe.VirtualNetwork], _ domains: [Recipe.Domain], recipe: NodeReader.Fields
  ) {
    var subnets = [(name: ApplianceManifest.Network.name, subnet: subnet)]
    for network in networks {
      guard let own = network.subnet else { continue }
      if let other = subnets.first(where: { $0.subnet.overlaps(own) }) {
        reader.report(
          recipe.mark(of: "networks"),
          "the network '\(network.name)' has addresses of '\(other.name)': \(own) and \(other.subnet)")
      }
      subnets.append((network.name, own))
    }
    var owners: [String: String] = [:]
    for domain in domains {
      for card in domain.cards {
        guard let address = card.address else { continue }
        let name = card.network ?? ApplianceManifest.Network.name
        if let own = subnets.first(where: { $0.name == name })?.subnet,
          IPv4Address(address).map({ own.isGuests($0) }) != true
        {
          reader.report(
            recipe.mark(of: "domains"), "the address \(address) of '\(domain.name)' is no domain's in '\(name)', \(own)"
          )
        }
        if let owner = owners.updateValue(domain.name, forKey: address) {
          reader.report(
            recipe.mark(of: "domains"), "the address \(address) is that of '\(owner)' and of '\(domain.name)'")
        }
      }
    }
    for (name, subnet) in subnets {
      let count = domains.flatMap(\.cards).count { ($0.network ?? ApplianceManifest.Network.name) == name }
      guard count > subnet.guestCapacity else { continue }
      reader.report(
        recipe.mark(of: name == ApplianceManifest.Network.name ? "network" : "networks"),
        "the subnet \(subnet) has addresses for \(subnet.guestCapacity) domains; take a shorter prefix")
    }
  }
}

extension Shape {
  static let virtualNetwork = Shape(
    "virtual-network", "a network",
    [
      Key("mode", .words(of: NetworkMode.self), "How it reaches the outside; nat if left out."),
      Key("subnet", .subnet, "Its addresses, as in 10.80.1.0/24."),
      Key("router", .address, "The domain's address that is the way out of an isolated network."),
      Key("card", .text, "The machine's card that is bridged."),
    ])

  static let card = Shape(
    "card", "a domain's network card",
    [
      Key("network", .label, "The network that it is connected to."),
      Key("address", .address, "Its address; the next that is free if left out."),
      Key("vlan", .number(CardSpec.vlanNumbers), "The VLAN that it is in."),
      Key("vlans", .list(.number(CardSpec.vlanNumbers)), "The VLANs whose frames it has with tags."),
      Key("filter", .flag, "Whether it may send as nobody but itself; true if left out."),
      Key("link", .group(link), "What its cable does to frames."),
    ])

  fileprivate static let link = Shape(
    "link", "a network card's 'link'",
    [
      Key("delay", .time, "How long each takes, as in 20 ms."), Key("jitter", .time, "How much that varies."),
      Key("loss", .pattern("[0-9.]+ ?%"), "How many are lost, as in 1 %."),
      Key("rate", .rate, "Bits a second that pass, as in 10 Mbit."), Key("down", .flag, "Whether it is pulled out."),
    ])
}
