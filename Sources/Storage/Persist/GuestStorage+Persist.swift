internal import Platform
internal import Synchronization

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
extension GuestStorage {
  /// Moves what guests wrote to `target`, which is their home from then on. Guests go on meanwhile.
  ///
  /// It may be interrupted at any moment and run again: it goes on where it was. After a power loss before its end the
  /// session is gone, as ever; after its end the disk is complete.
  ///
  /// - Parameters:
  ///   - target: a disk or partition.
  ///   - state: what the last activation told; `path` gets what is true from each step on.
  ///   - wipe: whether the user gives up what `target` holds.
  ///   - progress: called as it goes on.
  public func persist(
    _ state: StorageState, to target: String, wipe: Bool, progress: @escaping @Sendable (MoveProgress) -> Void
  ) throws(StorageError) -> StorageState {
    guard let device = StorageDevice.at(target) else {
      throw StorageError(.plan, "\(target) is no disk or partition; `lsblk` shows those that there are")
    }
    let group = state.volumeGroup
    let path = "\(directory)/storage.json"
    var result = state
    return try withGroup(state, adding: [device.path]) { lvm throws(StorageError) in
      progress(MoveProgress(.prepare, percent: 0))
      let medium = try mediumDevice()
      var volumes = try PhysicalVolume.list(lvm)
      let isMember = volumes.contains { $0.path == device.path && $0.group == group }
      let sources = volumes.filter { $0.group == group && $0.path != medium && $0.path != device.path }
      if isMember, sources.isEmpty, state.home == .disk {
        throw StorageError(.plan, "\(device.path) is the guests' home already")
      }
      if !isMember {
        let least = sources.reduce(Self.dataOffset) { $0 + $1.usedBytes }
        _ = try Target.take(device.path, least: least, wipe: wipe)
        try lvm.run(["pvcreate", "--yes", device.path])
        try lvm.run(["vgextend", group, device.path])
        result.devices = state.devices.filter { $0 != device.path } + [device.path]
        try result.write(to: path)
      }

      let watch = MoveWatch(progress)
      if try isMoving(lvm, group) { try move(lvm, ["pvmove", "--interval", "1"], watch) }
      volumes = try PhysicalVolume.list(lvm)
      for source in sources where volumes.contains(where: { $0.path == source.path && $0.usedBytes > 0 }) {
        try move(lvm, ["pvmove", "--yes", "--interval", "1", source.path, device.path], watch)
      }
      progress(MoveProgress(.finish, percent: 0))
      // From here on the disk is what a restart finds. The memory is still listed then; nothing lies on it.
      try lvm.run(["vgchange", "--addtag", HomeSearch.tag, group])
      for source in sources { try lvm.run(["vgreduce", group, source.path]) }
      result.home = .disk
      result.devices = [device.path]
      result.ramBytes = 0
      try result.write(to: path)
      for source in sources {
        if let loop = try ourLoops().first(where: { $0.path == source.path }) {
          try storage("give the memory back") { () throws(SystemError) in try loop.detach() }
        } else {
          try lvm.run(["pvremove", "--yes", source.path])
        }
      }
      try freeMemory()
      progress(MoveProgress(.finish, percent: 50))
      try enlargePool(lvm, group, keepingSpare: true)
      result.disks = try Disks.report(lvm, group: group)
      try result.write(to: path)
      progress(MoveProgress(.finish, percent: 100))
      return result
    }
  }

  /// Takes back a move that is not at its end: what went to the disk comes back, and the disk is free again.
  public func abortPersist(_ state: StorageState) throws(StorageError) -> StorageState {
    let group = state.volumeGroup
    var result = state
    guard state.home == .memory, !state.devices.isEmpty else {
      throw StorageError(.plan, "no move to a disk is under way")
    }
    return try withGroup(state) { lvm throws(StorageError) in
      if try isMoving(lvm, group) { try lvm.run(["pvmove", "--abort"]) }
      let medium = try mediumDevice()
      let volumes = try PhysicalVolume.list(lvm).filter { $0.group == group }
      guard let memory = volumes.first(where: { $0.path != medium && !state.devices.contains($0.path) }) else {
        throw StorageError(.plan, "the group has no memory any more: the move is at its end")
      }
      for volume in volumes where state.devices.contains(volume.path) {
        if volume.usedBytes > 0 { try lvm.run(["pvmove", "--yes", volume.path, memory.path]) }
        try lvm.run(["vgreduce", group, volume.path])
        try lvm.run(["pvremove", "--yes", volume.path])
      }
      result.devices = []
      try result.write(to: "\(directory)/storage.json")
      return result
    }
  }

  private func isMoving(_ lvm: LVM, _ group: String) throws(StorageError) -> Bool {
    try lvm.report("lvs", columns: ["lv_name"], ["--all", group]).contains { ($0["lv_name"] ?? "").contains("pvmove") }
  }

  private func move(_ lvm: LVM, _ command: [String], _ watch: MoveWatch) throws(StorageError) {
    try lvm.run(command) { line in watch.see(line) }
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
      let row = try lvm.report("vgs", columns: ["vg_free_count", "vg_extent_size"], [group]).first
      return (number(row, "vg_free_count"), number(row, "vg_extent_size"))
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

/// Reads pvmove's lines: `  /dev/loop2: Moved: 12.50%`.
private final class MoveWatch: Sendable {
  private let progress: @Sendable (MoveProgress) -> Void
  private let last = Mutex(-1.0)

  init(_ progress: @escaping @Sendable (MoveProgress) -> Void) {
    self.progress = progress
  }

  func see(_ line: String) {
    guard let percent = PhysicalVolume.movedPercent(line) else { return }
    let isNew = last.withLock { last in
      defer { last = percent }
      return percent != last
    }
    if isNew { progress(MoveProgress(.move, percent: percent)) }
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

  /// What a line of pvmove's tells, in percent; nil for other lines.
  static func movedPercent(_ line: String) -> Double? {
    guard let range = line.firstRange(of: "Moved: ") else { return nil }
    return Double(line[range.upperBound...].prefix { $0.isNumber || $0 == "." })
  }
}
