internal import Platform

extension BlockTree {
  /// Kinds of devices that are made of others, are memory, or are for media that come and go.
  private static let passedOver = ["loop", "ram", "zram", "fd", "sr", "dm-", "md"]

  /// All disks and partitions that can hold a physical volume, by name. A stick's mapping is there in place of the
  /// partition beneath it, which is not to be had. Of those that come over the network only these `rooms`: others are
  /// guests' disks, whatever they hold.
  func storage(rooms: [String] = []) -> [BlockNode] {
    let beneath = Set(nodes.values.filter { $0.mapping != nil }.flatMap(\.slaves))
    return nodes.values.filter { node in
      guard node.size > 0, !beneath.contains(node.name) else { return false }
      if node.isRemote { return rooms.contains(node.path) }
      return node.mapping != nil || !Self.passedOver.contains { node.name.hasPrefix($0) }
    }.sorted { $0.name < $1.name }
  }
}
