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
      guard let card = domains[index].network else { continue }
      guard let guest = IPv4Address(card.address), let place = old.number(of: guest),
        let there = new.address(number: place), there != new.address
      else { return false }
      moved.domains[index].network?.address = there.description
    }
    self = moved
    return true
  }
}

/// An address with its prefix length, as `10.77.0.1/24`.
private struct NetworkAddress {
  let address: IPv4Address
  private let mask: UInt32

  init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, let address = IPv4Address(String(parts[0])), let length = Int(parts[1]),
      (8...30).contains(length)
    else { return nil }
    self.address = address
    mask = UInt32.max << UInt32(32 - length)
  }

  /// Which address of the network it is; nil for one of another network.
  func number(of other: IPv4Address) -> UInt32? {
    other.rawValue & mask == address.rawValue & mask ? other.rawValue & ~mask : nil
  }

  /// The network's address of that number; nil where it has none, or it is the network's own or that of all.
  func address(number: UInt32) -> IPv4Address? {
    number > 0 && number < ~mask ? IPv4Address(rawValue: address.rawValue & mask | number) : nil
  }
}
