public import Identity

extension ApplianceManifest {
  /// The manifest of this image on the stick with `identity`: host name, network and what starts by itself are the
  /// stick's.
  ///
  /// - Returns: the manifest, and what of the identity does not fit this image, in words, and was left out.
  public func applying(_ identity: ApplianceIdentity) -> (manifest: ApplianceManifest, problems: [String]) {
    var manifest = self
    var problems: [String] = []
    if let hostname = identity.hostname { manifest.controlDomain.hostname = hostname }
    if let address = identity.address, !manifest.moveNetwork(to: address) {
      problems.append(
        "this stick's network \(address) has no room for the image's guests; they are in \(network.address)")
    }
    if let autostart = identity.autostart {
      for index in manifest.domains.indices {
        manifest.domains[index].autostart = autostart.contains(manifest.domains[index].name)
      }
      for name in autostart where !domains.contains(where: { $0.name == name }) {
        problems.append("this stick is to start the domain \(name), and the image has none of that name")
      }
    }
    return (manifest, problems)
  }

  /// Gives the control domain `address` and every guest the same number in that network that it has in this one.
  /// False, and nothing changes, where that cannot be.
  package mutating func moveNetwork(to address: String) -> Bool {
    guard let old = NetworkAddress(network.address), let new = NetworkAddress(address) else { return false }
    var moved = self
    moved.network.address = address
    for index in domains.indices {
      func elsewhere(_ card: NetworkCard) -> NetworkCard? {
        guard card.network == nil, let address = card.address else { return card }
        guard let guest = IPv4Address(address), let place = old.number(of: guest),
          let there = new.address(number: place), there != new.address
        else { return nil }
        var card = card
        card.address = there.description
        return card
      }
      let cards = domains[index].cards.compactMap(elsewhere)
      guard cards.count == domains[index].cards.count else { return false }
      moved.domains[index].network = cards.first
      moved.domains[index].moreCards = cards.count > 1 ? Array(cards.dropFirst()) : nil
    }
    self = moved
    return true
  }
}
