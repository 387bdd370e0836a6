internal import Manifest
internal import Platform

/// One way to reach devices over the network.
///
/// What is connected is asked of the kernel each time, never remembered: a process that was cut off leaves nothing that
/// could be wrong.
protocol RemoteDriver {
  /// The block device that `record` is now; nil while it is not connected.
  func device(of record: RemoteRecord, at address: RemoteAddress) -> String?
  /// Connects it, which may take some seconds, and returns its block device.
  func connect(_ record: RemoteRecord, to address: RemoteAddress) throws(StorageError) -> String
  /// Lets it go. `others` are the remotes that stay.
  func disconnect(
    _ record: RemoteRecord, from address: RemoteAddress, others: [RemoteRecord]
  ) throws(StorageError)
  /// What is wrong with the connection of a device that is there, in words; nil where it is up.
  func trouble(with record: RemoteRecord, at address: RemoteAddress) -> String?
  /// Brings a connection that was lost up again, where the kernel does not do that by itself.
  func mend(_ record: RemoteRecord, at address: RemoteAddress) throws(StorageError)
}

extension RemoteDriver {
  func mend(_ record: RemoteRecord, at address: RemoteAddress) throws(StorageError) {}
}

extension RemoteAddress {
  /// The way to reach it. `directory` is where the running session keeps things, `group` the guests' volume group.
  func driver(_ directory: String, group: String = "roost") -> any RemoteDriver {
    switch self {
    case .nbd: NBDDriver(directory: "\(directory)/nbd")
    case .iscsi: ISCSIDriver(directory: "\(directory)/iscsi")
    case .aoe: AoEDriver()
    case .drbd: DRBDDriver(group: group)
    }
  }
}

extension RemoteRecord {
  /// Fills in what the kernel knows of it now.
  mutating func refresh(_ directory: String) {
    guard let place else {
      problem = "\(address) is no address that this version knows"
      return
    }
    let driver = place.driver(directory)
    device = driver.device(of: self, at: place)
    bytes = device.flatMap { BlockTree().node(at: $0)?.size }
    if device != nil { problem = nil }
    if place.scheme == .drbd { isPrimary = device == nil ? nil : DRBDDriver.role(of: name)?.isPrimary }
  }

  /// As `refresh`, and notes what is wrong with a connection. That is for whoever looks now, and not recorded.
  mutating func look(_ directory: String) {
    let recorded = problem
    refresh(directory)
    if device != nil, let place { problem = place.driver(directory).trouble(with: self, at: place) ?? recorded }
  }
}
