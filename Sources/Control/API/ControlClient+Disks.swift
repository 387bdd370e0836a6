/// Requests about disks and the storage that they are in.
///
/// The appliance carries requests about disks out one after the other, so an answer may take `diskTimeout`; what was
/// asked goes on when nobody waits for it any more.
extension ControlClient {
  /// How long a request about disks may take, in seconds.
  public static let diskTimeout = 300.0

  /// All volumes of the guests' storage.
  public func disks(within seconds: Double = diskTimeout) throws(ControlError) -> [DiskStatus] {
    let list: DiskList = try call(ControlRequest(id: 0, op: .diskList), within: seconds)
    return list.disks
  }

  /// Makes an empty disk of `bytes`.
  public func createDisk(_ name: String, bytes: Int) throws(ControlError) -> DiskResult {
    try ask(ControlRequest(id: 0, op: .diskCreate, bytes: bytes, disk: name))
  }

  /// Makes a disk larger.
  public func resizeDisk(_ name: String, bytes: Int) throws(ControlError) -> DiskResult {
    try ask(ControlRequest(id: 0, op: .diskResize, bytes: bytes, disk: name))
  }

  /// Keeps what a disk is now as `snapshot`.
  public func snapshotDisk(_ name: String, as snapshot: String) throws(ControlError) -> DiskResult {
    try ask(ControlRequest(id: 0, op: .diskSnapshot, disk: name, snapshot: snapshot))
  }

  /// Makes a disk what `snapshot` is.
  public func rollBackDisk(_ name: String, to snapshot: String) throws(ControlError) -> DiskResult {
    try ask(ControlRequest(id: 0, op: .diskRollback, disk: name, snapshot: snapshot))
  }

  /// Makes a copy of a disk.
  public func cloneDisk(_ name: String, as clone: String) throws(ControlError) -> DiskResult {
    try ask(ControlRequest(id: 0, op: .diskClone, disk: name, clone: clone))
  }

  /// Gives a disk to a domain.
  public func attachDisk(_ name: String, to domain: String) throws(ControlError) -> DiskResult {
    try ask(ControlRequest(id: 0, op: .diskAttach, domain: domain, disk: name))
  }

  /// Takes a disk from the domain that has it.
  public func detachDisk(_ name: String) throws(ControlError) -> DiskResult {
    try ask(ControlRequest(id: 0, op: .diskDetach, disk: name))
  }

  /// Removes a disk and what is on it.
  public func destroyDisk(_ name: String) throws(ControlError) -> DiskResult {
    try ask(ControlRequest(id: 0, op: .diskDestroy, disk: name))
  }

  /// Connects a device over the network as `name`. With `wipe`, what it holds may be lost where it becomes room.
  public func connectRemote(
    _ name: String, to address: String, use: String, wipe: Bool
  ) throws(ControlError) -> RemoteStatus {
    try call(
      ControlRequest(id: 0, op: .remoteConnect, disk: name, address: address, use: use, force: wipe ? true : nil),
      within: Self.diskTimeout)
  }

  /// Lets a device go that was connected by hand.
  public func disconnectRemote(_ name: String) throws(ControlError) -> DiskResult {
    try ask(ControlRequest(id: 0, op: .remoteDisconnect, disk: name))
  }

  /// Has the machine write to a replicated volume; with `force`, though its copy may not be the right one.
  public func promoteRemote(_ name: String, force: Bool) throws(ControlError) -> RemoteStatus {
    try call(
      ControlRequest(id: 0, op: .remotePromote, disk: name, force: force ? true : nil), within: Self.diskTimeout)
  }

  /// Has the machine write to a replicated volume no more.
  public func demoteRemote(_ name: String) throws(ControlError) -> RemoteStatus {
    try call(ControlRequest(id: 0, op: .remoteDemote, disk: name), within: Self.diskTimeout)
  }

  /// Whether the guests' storage is there, and how full it is.
  public func storage() throws(ControlError) -> StorageStatus {
    try call(ControlRequest(id: 0, op: .storage))
  }

  /// As `storage`, after the appliance has looked anew at what `roost-storage` reported.
  public func reloadStorage() throws(ControlError) -> StorageStatus {
    try call(ControlRequest(id: 0, op: .reload))
  }

  private func ask(_ request: ControlRequest) throws(ControlError) -> DiskResult {
    try call(request, within: Self.diskTimeout)
  }
}
