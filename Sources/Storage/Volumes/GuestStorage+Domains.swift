internal import Manifest
internal import Platform

/// What the disk of a domain that is made on the fly begins as.
public enum DomainDisk: Hashable, Sendable {
  /// Zeros.
  case empty(bytes: Int)
  /// What an image on the medium holds; as large as that, or larger.
  case image(volume: String, bytes: Int?)
  /// What another disk is now.
  case clone(of: String, bytes: Int?)
  /// What a file of the control domain's holds: a disk image, in one of the forms that `ImageFile` reads.
  case file(String, bytes: Int?)
}

/// Domains that are made and removed while the appliance runs.
extension GuestStorage {
  /// Makes a domain: its disk, which has its name, with its definition. A domain without a disk has a volume that nobody
  /// uses. Cut off at any moment, it leaves all of it or nothing: the volume gets its name last.
  ///
  /// - Parameters:
  ///   - definition: what the domain manager wants to find again, at most 2400 bytes.
  ///   - progress: told of the copying of a file, in percent.
  /// - Returns: the disk; nil for a domain without one.
  public func define(
    _ name: String, definition: [UInt8], disk: DomainDisk?, progress: (Int) -> Void = { _ in }
  ) throws(StorageError) -> Disk? {
    guard !definition.isEmpty, definition.count <= Definition.limit else {
      throw StorageError(
        .plan, "a domain's definition has 1 to \(Definition.limit) bytes, not \(definition.count): say less of it")
    }
    let made = try change(new: name) { lvm, disks, group throws(StorageError) in
      try Self.removeUnfinished(lvm, group: group)
      let volume = Definition.unfinished(name)
      let tags = [(disk == nil ? Disk.Kind.none : .own).tag] + Definition.tags(definition)
      try make(disk, as: volume, tags: tags, disks, lvm, group, progress)
      try lvm.run(["lvrename", group, volume, name])
    }
    return made.first { $0.name == name }
  }

  /// Forgets a domain that was made on the fly and removes its disk with what it holds.
  public func undefine(_ name: String) throws(StorageError) {
    _ = try change { lvm, disks, group throws(StorageError) in
      try Self.removeUnfinished(lvm, group: group)
      guard try Definition.report(lvm, group: group)[name] != nil else {
        throw StorageError(.plan, "no domain named \(name) was made on this appliance; what the recipe made stays")
      }
      if let disk = disks.first(where: { $0.name == name }) {
        if disk.isOpen { throw StorageError(.busy, "\(name) is in use; stop its domain first") }
        if let domain = disk.attachedTo {
          throw StorageError(.busy, "\(name) is attached to \(domain); detach it first")
        }
      }
      try lvm.run(["lvremove", "--yes", "\(group)/\(name)"])
    }
  }

  /// Removes what a power loss, or somebody's SIGKILL, left half-made.
  static func removeUnfinished(_ lvm: LVM, group: String) throws(StorageError) {
    let rows = try lvm.report("lvs", columns: ["lv_name"], [group])
    for name in Definition.unfinished(among: rows) { try lvm.run(["lvremove", "--yes", "\(group)/\(name)"]) }
  }

  private func make(
    _ disk: DomainDisk?, as name: String, tags: [String], _ disks: [Disk], _ lvm: LVM, _ group: String,
    _ progress: (Int) -> Void
  ) throws(StorageError) {
    switch disk {
    case nil: try lvm.run(Self.emptyCommand(group, name, bytes: Limits.diskGranule, tags: tags))
    case .empty(let bytes)?: try lvm.run(Self.emptyCommand(group, name, bytes: bytes, tags: tags))
    case .image(let volume, let bytes)?:
      guard let size = try sizes(group, lvm)[volume] else {
        throw StorageError(.medium, "the medium has no image \(volume)")
      }
      try lvm.run(Self.imageCommand(group, name, of: volume, tags: tags))
      try grow(name, from: size, to: bytes, lvm, group)
    case .clone(let origin, let bytes)?:
      let origin = try Self.find(origin, in: disks)
      try lvm.run(
        Self.copyCommand("\(group)/\(origin.name)", as: name, permission: "rw", tags: tags))
      try grow(name, from: origin.bytes, to: bytes, lvm, group)
    case .file(let path, let bytes)?:
      let image = try ImageFile(path)
      if let bytes, bytes < image.size {
        throw StorageError(
          .plan,
          "\(path) has \(ImageFile.mebibytes(image.size)) MiB, which a disk of \(bytes >> 20) MiB cannot hold: say "
            + "--disk \"\(ImageFile.mebibytes(image.size)) MiB\", or more")
      }
      if let pool = PoolStatus.of(pool: Self.pool, group: group) {
        try image.check(room: max(0, pool.data.total - pool.data.used) * Self.chunkBytes)
      }
      // LVM takes whole sectors.
      let size = bytes ?? max((image.size + 511) / 512 * 512, Limits.disk.lowerBound)
      try lvm.run(Self.emptyCommand(group, name, bytes: size, tags: tags))
      do throws(StorageError) {
        try image.write(to: "/dev/\(group)/\(name)", progress: progress)
      } catch {
        // What was not begun to be a disk takes no room.
        _ = try? lvm.run(["lvremove", "--yes", "\(group)/\(name)"])
        throw error
      }
    }
  }

  private func grow(
    _ name: String, from size: Int, to bytes: Int?, _ lvm: LVM, _ group: String
  ) throws(StorageError) {
    guard let bytes, bytes != size else { return }
    guard bytes > size else {
      throw StorageError(
        .plan, "what the disk begins as has \(size >> 20) MiB and does not get smaller than that")
    }
    try lvm.run(["lvextend", "--yes", "--size", "\(bytes)b", "\(group)/\(name)"])
  }
}
