public import Binary
public import Platform

/// Writes the physical volume that carries the guests' images on the medium, and the description of the volume group
/// that the appliance makes at boot out of it and a physical volume in memory.
///
/// The machine that builds needs no device-mapper, no loop device and no privilege for it.
public enum VolumeGroupImage {
  /// What the appliance must know to bring the group up.
  public struct Result: Hashable, Sendable {
    /// The group's description for `vgcfgrestore`, with the medium's volume `pv_medium` and the memory's `pv_ram`.
    public let metadataTemplate: String
    /// Identifier of the medium's physical volume, in LVM's notation.
    public let mediumUUID: String
    /// Identifier of the memory's physical volume, in LVM's notation.
    public let ramUUID: String
    /// Size of the group's extents in bytes.
    public let extentBytes: Int
    /// Size of the written file in bytes, holes counted.
    public let imageBytes: Int
  }

  /// Why the volume could not be written.
  public enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
    /// A name that LVM does not take, and why.
    case badName(String, reason: String)
    /// Two images of one name.
    case duplicateName(String)
    /// The memory volume has less than two extents.
    case memoryTooSmall(bytes: Int, minimum: Int)
    /// An image that is empty.
    case emptyImage(name: String, path: String)
    /// The system refused.
    case system(path: String, SystemError)

    /// What is wrong, and what to do about it.
    public var description: String {
      switch self {
      case .badName(let name, let reason):
        "the volume name \"\(name)\" \(reason); use letters, digits, '-', '_', '.' and '+'"
      case .duplicateName(let name):
        "two images are named \"\(name)\"; give each domain its own name"
      case .memoryTooSmall(let bytes, let minimum):
        "\(bytes) bytes of memory are too few for the guests' changes; give the storage at least \(minimum) bytes"
      case .emptyImage(let name, let path):
        "the image of \(name), \(path), is empty; build it again"
      case .system(let path, let error):
        "cannot write the physical volume of images \(path): \(error)"
      }
    }
  }

  /// Size of an extent: what the images are rounded up to.
  static let extentSize = 4 << 20  // bytes
  /// Where the first extent starts: what lies before belongs to LVM.
  static let dataOffset = 1 << 20  // bytes

  /// Writes the physical volume to `path`, replacing what is there once it is complete.
  ///
  /// - Parameters:
  ///   - images: file systems, each of which becomes the read-only logical volume `image-<name>`, rounded up to whole
  ///     extents with zeros. Holes stay holes.
  ///   - volumeGroup: name of the group.
  ///   - ramBytes: size of the memory's physical volume, rounded down to whole extents.
  ///   - seed: what all identifiers are derived from.
  ///   - path: the new file.
  public static func write(
    images: [(name: String, path: String)], volumeGroup: String, ramBytes: Int, seed: SHA256.Digest, to path: String
  ) throws(Failure) -> Result {
    try check(images.map(\.name), volumeGroup: volumeGroup)
    let minimum = dataOffset + 2 * extentSize
    guard ramBytes >= minimum else { throw .memoryTooSmall(bytes: ramBytes, minimum: minimum) }
    let ramExtents = (ramBytes - dataOffset) / extentSize

    let temporary = "\(path).new"
    do throws(Failure) {
      var logical: [VolumeGroupMetadata.LogicalVolume] = []
      for (name, source) in images {
        guard let status = try? Files.status(source, followingLinks: true), status.size == 0 else { continue }
        throw .emptyImage(name: name, path: source)
      }
      let medium = LVMIdentifier(digest: seed, name: "pv:medium")
      let deviceSize = try writeVolume(images, seed: seed, identifier: medium, to: temporary, &logical)
      let physical = [
        VolumeGroupMetadata.PhysicalVolume(
          name: "pv_medium", identifier: medium, allocatable: false, deviceSize: deviceSize, dataOffset: dataOffset,
          extents: (deviceSize - dataOffset) / extentSize),
        VolumeGroupMetadata.PhysicalVolume(
          name: "pv_ram", identifier: LVMIdentifier(digest: seed, name: "pv:ram"), allocatable: true,
          deviceSize: dataOffset + ramExtents * extentSize, dataOffset: dataOffset, extents: ramExtents),
      ]
      let group = VolumeGroupMetadata(
        name: volumeGroup, identifier: LVMIdentifier(digest: seed, name: "vg:\(volumeGroup)"), extentSize: extentSize,
        physicalVolumes: physical, logicalVolumes: logical)
      do throws(SystemError) {
        try Files.rename(temporary, to: path)
      } catch {
        throw .system(path: path, error)
      }
      return Result(
        metadataTemplate: group.text, mediumUUID: medium.description, ramUUID: physical[1].identifier.description,
        extentBytes: extentSize, imageBytes: deviceSize)
    } catch {
      try? Files.remove(temporary)
      throw error
    }
  }

  /// Writes label and extents, tells where each image went, and returns the size of the file.
  private static func writeVolume(
    _ images: [(name: String, path: String)], seed: SHA256.Digest, identifier: LVMIdentifier, to path: String,
    _ logical: inout [VolumeGroupMetadata.LogicalVolume]
  ) throws(Failure) -> Int {
    do throws(SystemError) {
      let output = try FileDescriptor(opening: path, [.readWrite, .create, .truncate])
      var extent = 0
      for (name, source) in images {
        let count: Int
        do throws(SystemError) {
          let input = try FileDescriptor(opening: source)
          count = (try input.length() + extentSize - 1) / extentSize
          try output.copySparsely(from: input, at: dataOffset + extent * extentSize)
        } catch {
          throw SystemError(error.operation, path: source, errno: error.errno)
        }
        logical.append(
          VolumeGroupMetadata.LogicalVolume(
            name: "image-\(name)", identifier: LVMIdentifier(digest: seed, name: "lv:image-\(name)"),
            physicalVolume: "pv_medium", firstExtent: extent, extents: count))
        extent += count
      }
      // LVM takes no physical volume without extents: a group without images has one that is unused.
      let size = dataOffset + max(extent, 1) * extentSize
      try output.truncate(to: size)
      let label = PhysicalVolumeLabel(identifier: identifier, deviceSize: size, dataOffset: dataOffset)
      try output.writeAll(label.sector, at: PhysicalVolumeLabel.offset)
      try output.synchronize()
      return size
    } catch {
      throw .system(path: path, error)
    }
  }

  /// Refuses what LVM would refuse at boot (lib/misc/lvm-string.c, validate_name and apply_lvname_restrictions), and
  /// the names that the appliance's own volumes have.
  private static func check(_ images: [String], volumeGroup: String) throws(Failure) {
    let allowed = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+")
    let reservedParts = [
      "_cdata", "_cmeta", "_corig", "_cpool", "_cvol", "_imeta", "_iorig", "_mimage", "_mlog", "_pmspare", "_rimage",
      "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_wcorig",
    ]
    for name in [volumeGroup] + images {
      if name.isEmpty { throw .badName(name, reason: "is empty") }
      if name.hasPrefix("-") { throw .badName(name, reason: "starts with '-'") }
      if name == "." || name == ".." { throw .badName(name, reason: "names a directory") }
      if let bad = name.first(where: { !allowed.contains($0) }) { throw .badName(name, reason: "has '\(bad)' in it") }
      // 127 bytes hold `<group>-image--<name>`, every hyphen doubled, as the device-mapper names it.
      if name.utf8.count > 48 { throw .badName(name, reason: "is longer than 48 characters") }
    }
    var seen: Set<String> = []
    for name in images {
      if let part = reservedParts.first(where: { name.contains($0) }) {
        throw .badName(name, reason: "contains \(part), which LVM keeps for itself")
      }
      for prefix in ["image-", "pvmove", "snapshot", "roost-"] where name.hasPrefix(prefix) {
        throw .badName(name, reason: "starts with \(prefix), which the appliance or LVM keeps for itself")
      }
      if !seen.insert(name).inserted { throw .duplicateName(name) }
    }
  }
}
