internal import Manifest

/// What `roost-storage` keeps of a domain that was made on the fly: what a manifest says of one, and the networks that it
/// needs and no recipe has. They come back with it at the next start of the appliance.
struct CreatedDomain: Codable, Hashable, Sendable {
  var domain: ApplianceManifest.Domain
  /// Networks that were made on the fly; nil for none.
  var networks: [ApplianceManifest.VirtualNetwork]?

  private enum CodingKeys: CodingKey {
    case networks
  }

  init(_ domain: ApplianceManifest.Domain, of networks: [ApplianceManifest.VirtualNetwork] = []) {
    self.domain = domain
    let own = networks.filter { network in domain.cards.contains { $0.networkName == network.name } }
    self.networks = own.isEmpty ? nil : own
  }

  /// From the fields of a domain, with one more beside them.
  init(from decoder: any Decoder) throws {
    domain = try ApplianceManifest.Domain(from: decoder)
    networks = try decoder.container(keyedBy: CodingKeys.self).decodeIfPresent(
      [ApplianceManifest.VirtualNetwork].self, forKey: .networks)
  }

  func encode(to encoder: any Encoder) throws {
    try domain.encode(to: encoder)
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encodeIfPresent(networks, forKey: .networks)
  }
}
