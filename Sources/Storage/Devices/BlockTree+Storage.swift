internal import Platform

extension BlockTree {
  /// Kinds of devices that are made of others, are memory, or are for media that come and go.
  private static let passedOver = ["loop", "ram", "zram", "fd", "sr", "dm-", "md"]

  /// All disks and partitions that can hold a physical volume, by name. Of those that come over the network only these
  /// `rooms`: others are guests' disks, whatever they hold.
  func storage(rooms: [String] = []) -> [BlockNode] {
    nodes.values.filter { node in
      node.size > 0 && !Self.passedOver.contains { node.name.hasPrefix($0) }
        && (!node.isRemote || rooms.contains(node.path))
    }.sorted { $0.name < $1.name }
  }
}
