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
    let temporary = "\(path).new"
    do throws(Failure) {
      var sizes: [(name: String, bytes: Int)] = []
      for (name, source) in images {
        let status = (try? Files.status(source, followingLinks: true)) ?? nil
        if status?.size == 0 { throw .emptyImage(name: name, path: source) }
        sizes.append((name, status?.size ?? 0))
      }
      let layout = try layout(images: sizes, volumeGroup: volumeGroup, ramBytes: ramBytes, seed: seed)
      try writeVolume(images, layout, to: temporary)
      do throws(SystemError) {
        try Files.rename(temporary, to: path)
      } catch {
        throw .system(path: path, error)
      }
      return layout.result
    } catch {
      try? Files.remove(temporary)
      throw error
    }
  }

  /// What is where in a physical volume.
  struct Layout: Sendable {
    let result: Result
    /// What comes before the first extent: LVM's label.
    let head: [UInt8]
    /// How many extents each image has; they follow one another.
    let extents: [Int]
  }

  /// What the physical volume of images of these names and sizes (bytes) is.
  static func layout(
    images: [(name: String, bytes: Int)], volumeGroup: String, ramBytes: Int, seed: SHA256.Digest
  ) throws(Failure) -> Layout {
    try check(images.map(\.name), volumeGroup: volumeGroup)
    let minimum = dataOffset + 2 * extentSize
    guard ramBytes >= minimum else { throw .memoryTooSmall(bytes: ramBytes, minimum: minimum) }
    let ramExtents = (ramBytes - dataOffset) / extentSize
    var logical: [VolumeGroupMetadata.LogicalVolume] = []
    var extent = 0
    for (name, bytes) in images {
      let count = (bytes + extentSize - 1) / extentSize
      logical.append(
        VolumeGroupMetadata.LogicalVolume(
          name: "image-\(name)", identifier: LVMIdentifier(digest: seed, name: "lv:image-\(name)"),
          physicalVolume: "pv_medium", firstExtent: extent, extents: count))
      extent += count
    }
    // LVM takes no physical volume without extents: a group without images has one that is unused.
    let deviceSize = dataOffset + max(extent, 1) * extentSize
    let medium = LVMIdentifier(digest: seed, name: "pv:medium")
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
    let label = PhysicalVolumeLabel(identifier: medium, deviceSize: deviceSize, dataOffset: dataOffset)
    var head = [UInt8](repeating: 0, count: dataOffset)
    head.replaceSubrange(
      PhysicalVolumeLabel.offset..<PhysicalVolumeLabel.offset + label.sector.count, with: label.sector)
    return Layout(
      result: Result(
        metadataTemplate: group.text, mediumUUID: medium.description, ramUUID: physical[1].identifier.description,
        extentBytes: extentSize, imageBytes: deviceSize),
      head: head, extents: logical.map(\.extents))
  }

  /// Writes label and extents.
  private static func writeVolume(
    _ images: [(name: String, path: String)], _ layout: Layout, to path: String
  ) throws(Failure) {
    do throws(SystemError) {
      let output = try FileDescriptor(opening: path, [.readWrite, .create, .truncate])
      var offset = dataOffset
      for ((_, source), count) in zip(images, layout.extents) {
        do throws(SystemError) {
          try output.copySparsely(from: try FileDescriptor(opening: source), at: offset)
        } catch {
          throw SystemError(error.operation, path: source, errno: error.errno)
        }
        offset += count * extentSize
      }
      try output.truncate(to: layout.result.imageBytes)
      let label = Array(layout.head[PhysicalVolumeLabel.offset..<PhysicalVolumeLabel.offset + 512])
      try output.writeAll(label, at: PhysicalVolumeLabel.offset)
      try output.synchronize()
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
