internal import Platform

/// How far a move is.
public struct MoveProgress: Codable, Hashable, Sendable {
  /// What is being done.
  public enum Step: String, Codable, Sendable {
    /// The disk becomes part of the group.
    case prepare
    /// What guests wrote is copied while they go on.
    case move
    /// The group is made to need nothing but the disk and the medium.
    case finish
  }

  /// What is being done.
  public var step: Step
  /// The share of it that is done, in percent.
  public var percent: Double

  /// A progress.
  public init(_ step: Step, percent: Double) {
    self.step = step
    self.percent = percent
  }
}

/// From memory to a disk while guests run.
///
/// The storage's lock is held for the steps before and after the copying only: disks change meanwhile. A lock of its own
/// keeps a second move, or a growth, from beginning.
extension GuestStorage {
  /// Moves what guests wrote to `target`, which is their home from then on. Guests go on meanwhile.
  ///
  /// It may be interrupted at any moment and run again: it goes on where it was, and does nothing where nothing is left
  /// to do. After a power loss before its end the session is gone, as ever; after its end the disk is complete.
  ///
  /// - Parameters:
  ///   - target: a disk or partition.
  ///   - wipe: whether the user gives up what `target` holds.
  ///   - inspect: asks LVM, in a process of its own, about the group on a device.
  ///   - copying: copies, in a process of its own (`copy`).
  ///   - progress: called as it goes on.
  /// - Throws: `device` where the disk fails; what was moved is then in memory again, and the guests went on.
  public func persist(
    to target: String, wipe: Bool, inspect: Inspection, copying: Copying,
    progress: @escaping @Sendable (MoveProgress) -> Void
  ) throws(StorageError) {
    guard let device = BlockTree().node(at: target) else {
      throw StorageError(.plan, "\(target) is no disk or partition; `lsblk` shows those that there are")
    }
    try Target.refuseRemote(device)
    let lock = try moveLock()
    defer { _ = lock.rawValue }  // held to the end
    progress(MoveProgress(.prepare, percent: 0))
    try join(device, wipe: wipe, isMoving: true, inspect: inspect)
    let (isUnderWay, sources) = try withGroup { lvm, state throws(StorageError) in
      (
        try isMoving(lvm, state.volumeGroup),
        try others(than: device, lvm, state.volumeGroup).filter { $0.usedBytes > 0 }.map(\.path)
      )
    }
    do throws(StorageError) {
      for source in (isUnderWay ? [nil] : []) + sources {
        try copying(source, device.path) { progress(MoveProgress(.move, percent: $0)) }
      }
    } catch {
      guard error.code == .device else { throw error }
      throw tookBack(device, after: error, copying)
    }
    progress(MoveProgress(.finish, percent: 0))
    try finish(device)
    progress(MoveProgress(.finish, percent: 100))
  }

  /// Makes a device part of the group, if it is not: told before LVM does it, so that nobody ever sees half of a group.
  ///
  /// Whether it is one already is asked without LVM seeing both: a group of an earlier session of the same medium has
  /// the same name.
  /// `identifier` is what the new physical volume is to be called by LVM; nil for whatever LVM chooses.
  func join(
    _ device: BlockNode, wipe: Bool, isMoving: Bool, identifier: String? = nil, inspect: Inspection
  ) throws(StorageError) {
    let found = try Probe(device.path)
    let report =
      found.type == "LVM2_member" ? try GroupReport.decode(try inspect(device.path), device: device.path) : nil
    let isMember = try withGroup { lvm, state throws(StorageError) in
      if let group = state.group, report?.group == group { return true }
      let used = try others(than: device, lvm, state.volumeGroup).reduce(0) { $0 + $1.usedBytes }
      // A volume under the identifier that was recorded for it, without a group, is what an attempt left.
      let isOurs = identifier != nil && found.uuid == identifier && report == nil
      try Target.take(device.path, least: Self.dataOffset + (isMoving ? used : 8 << 20), wipe: wipe || isOurs)
      return false
    }
    try withGroup(adding: [device.path]) { lvm, earlier throws(StorageError) in
      var state = earlier
      if !state.devices.contains(device.path) { state.devices.append(device.path) }
      if isMoving, state.home == .memory || state.devices != [device.path] { state.movingTo = device.path }
      try state.write(to: statePath)
      guard !isMember else { return }
      let identity = identifier.map { ["--uuid", $0, "--norestorefile"] } ?? []
      do throws(StorageError) {
        try lvm.run(["pvcreate", "--yes"] + identity + [device.path])
        try lvm.run(["vgextend", state.volumeGroup, device.path])
      } catch {
        guard try !PhysicalVolume.list(lvm).contains(where: { $0.path == device.path && $0.group != nil }) else {
          throw error
        }
        try earlier.write(to: statePath)
        throw StorageError(
          .device,
          "\(device.path) was not taken into the guests' storage, which goes on as it was; nothing is lost. If the disk "
            + "does not take what is written to it (see dmesg), use another one", log: error.log)
      }
    }
  }

  /// Makes the group need nothing but `device` and the medium. It may be run again after it was cut off anywhere.
  private func finish(_ device: BlockNode) throws(StorageError) {
    try withGroup { lvm, state throws(StorageError) in
      var state = state
      let group = state.volumeGroup
      let sources = try others(than: device, lvm, group)
      guard sources.allSatisfy({ $0.usedBytes == 0 }) else {
        throw StorageError(
          .lvm,
          "not everything was moved to \(device.path): \(sources.map(\.path).joined(separator: ", ")) is still in "
            + "use; run it again to go on")
      }
      // Whatever was copied must have arrived before the disk is called complete.
      try storage("bring everything to \(device.path)") { () throws(SystemError) in
        try FileDescriptor(opening: device.path, .readWrite).synchronize()
      }
      try lvm.run(["vgchange", "--addtag", HomeSearch.tag, group])
      for source in sources { try lvm.run(["vgreduce", group, source.path]) }
      let memory = ramFile
      state.home = .disk
      state.devices = [device.path]
      state.ramBytes = 0
      state.movingTo = nil
      try state.write(to: statePath)
      let loops = try storage("look at the loop devices") { () throws(SystemError) in
        try LoopDevice.attached().filter { $0.file == memory }.map(\.device)
      }
      for loop in loops { try storage("give the memory back") { () throws(SystemError) in try loop.detach() } }
      for source in sources where !loops.contains(where: { $0.path == source.path }) {
        try lvm.run(["pvremove", "--yes", source.path])
      }
      try freeMemory()
      try enlargePool(lvm, group, keepingSpare: true)
      state.show(try Disks.report(lvm, group: group))
      try state.write(to: statePath)
    }
  }

  /// Takes back a move that is not at its end: what went to the disk comes back, and the disk is free again.
  public func abortPersist(copying: Copying) throws(StorageError) {
    let lock = try moveLock()
    defer { _ = lock.rawValue }
    try takeBack(copying)
  }

  private func takeBack(_ copying: Copying) throws(StorageError) {
    let (target, back) = try withGroup { lvm, state throws(StorageError) in
      let group = state.volumeGroup
      guard let target = state.movingTo else { throw StorageError(.plan, "no move to a disk is under way") }
      if try isMoving(lvm, group) { try lvm.run(["pvmove", "--abort"]) }
      let medium = try mediumDevice()
      let volumes = try PhysicalVolume.list(lvm).filter { $0.group == group && $0.path != medium }
      guard let moved = volumes.first(where: { $0.path == target }) else { return (target, String?.none) }
      guard let back = volumes.first(where: { $0.path != target }) else {
        throw StorageError(.plan, "the group has nothing beside \(target) any more: the move is at its end")
      }
      return (target, moved.usedBytes > 0 ? back.path : nil)
    }
    if let back { try copying(target, back) { _ in } }
    try withGroup { lvm, state throws(StorageError) in
      var state = state
      if try PhysicalVolume.list(lvm).contains(where: { $0.path == target && $0.group == state.volumeGroup }) {
        try lvm.run(["vgreduce", state.volumeGroup, target])
        // A disk that takes no writes keeps its label: it is nobody's nevertheless.
        _ = try? lvm.run(["pvremove", "--yes", target])
      }
      state.devices.removeAll { $0 == target }
      state.movingTo = nil
      try state.write(to: statePath)
    }
  }

  /// Takes everything back after a disk failed in the middle of a move; what to tell of it.
  private func tookBack(_ device: BlockNode, after failure: StorageError, _ copying: Copying) -> StorageError {
    do throws(StorageError) {
      try takeBack(copying)
    } catch {
      return StorageError(
        .device,
        "\(failure.message) (see dmesg), and the move cannot be taken back: \(error.message). Guests go on for as long as "
          + "the machine is on; leave \(device.path) where it is, and try 'roost storage persist --abort'",
        cause: error.cause, log: error.log)
    }
    return StorageError(
      .device,
      "\(failure.message) (see dmesg). The move was taken back: the guests' storage is where it was, and nothing is lost. "
        + "Use another disk")
  }

  /// Keeps other moves and growths from beginning; refuses where one is under way.
  func moveLock() throws(StorageError) -> FileDescriptor {
    let path = "\(directory)/move.lock"
    do throws(SystemError) {
      try Files.makeDirectories(directory)
      let file = try FileDescriptor(opening: path, [.readWrite, .create], permissions: 0o600)
      if try file.lock(waiting: false) { return file }
    } catch {
      throw StorageError(.system, "the storage cannot be locked", cause: error)
    }
    throw StorageError(
      .busy, "a move to a disk, or a growth, is under way already; `roost storage status` shows the storage")
  }

  /// The group's physical volumes beside a device and the medium.
  private func others(
    than device: BlockNode, _ lvm: LVM, _ group: String
  ) throws(StorageError) -> [PhysicalVolume] {
    let medium = try mediumDevice()
    return try PhysicalVolume.list(lvm).filter { $0.group == group && $0.path != medium && $0.path != device.path }
  }

  private func isMoving(_ lvm: LVM, _ group: String) throws(StorageError) -> Bool {
    try lvm.report("lvs", columns: ["lv_name"], ["--all", group]).contains { ($0["lv_name"] ?? "").contains("pvmove") }
  }

  /// The device of the medium's physical volume.
  func mediumDevice() throws(StorageError) -> String? {
    let prefix = "\(imagesDirectory)/"
    return try storage("look at the loop devices") { () throws(SystemError) in
      try LoopDevice.attached().first { $0.file.hasPrefix(prefix) }?.device.path
    }
  }

  /// Gives the pool what is free in the group. Its bookkeeping grows with it.
  ///
  /// - Parameter keepingSpare: whether as much room again is left free for a repair of the bookkeeping.
  func enlargePool(_ lvm: LVM, _ group: String, keepingSpare: Bool) throws(StorageError) {
    func number(_ row: [String: String]?, _ column: String) -> Int { Int(row?[column] ?? "") ?? 0 }
    func free() throws(StorageError) -> (extents: Int, size: Int) {
      let row = try lvm.report("vgs", columns: ["vg_extent_size"], [group]).first
      return (try Self.freeExtents(of: group, lvm), number(row, "vg_extent_size"))
    }
    let name = "\(group)/\(Self.pool)"
    var (extents, size) = try free()
    guard extents > 0, size > 0 else { return }
    let rows = try lvm.report("lvs", columns: ["lv_name", "lv_size", "lv_metadata_size"], ["--all", group])
    guard let pool = rows.first(where: { $0["lv_name"] == Self.pool }) else { return }
    let wanted = Self.poolMetadataExtents(extents: number(pool, "lv_size") / size + extents, extentBytes: size)
    let hasSpare = rows.contains { ($0["lv_name"] ?? "").contains("_pmspare") }
    let spare = keepingSpare && !hasSpare ? wanted : 0
    let more = wanted - number(pool, "lv_metadata_size") / size
    if more > 0, extents > more * 2 + spare {
      try lvm.run(["lvextend", "--yes", "--poolmetadatasize", "+\(more * size)b", name])
      extents = try free().extents
    }
    if extents > spare { try lvm.run(["lvextend", "--yes", "--extents", "+\(extents - spare)", name]) }
  }
}

/// A physical volume as LVM reports it.
struct PhysicalVolume: Hashable, Sendable {
  let path: String
  let group: String?
  let usedBytes: Int

  static func list(_ lvm: LVM) throws(StorageError) -> [PhysicalVolume] {
    try lvm.report("pvs", columns: ["pv_name", "vg_name", "pv_used"]).map { row in
      PhysicalVolume(
        path: row["pv_name"] ?? "", group: row["vg_name"].flatMap { $0.isEmpty ? nil : $0 },
        usedBytes: Int(row["pv_used"] ?? "") ?? 0)
    }
  }

  /// Bytes in use of the one at `path`.
  static func used(_ path: String, _ lvm: LVM) throws(StorageError) -> Int {
    try list(lvm).first { $0.path == path }?.usedBytes ?? 0
  }

  /// What a line of pvmove's tells, in percent; nil for other lines.
  static func movedPercent(_ line: String) -> Double? {
    guard let range = line.firstRange(of: "Moved: ") else { return nil }
    return Double(line[range.upperBound...].prefix { $0.isNumber || $0 == "." })
  }
}
