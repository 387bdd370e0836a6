internal import Manifest

/// What the guests' storage of a live session is made of.
public struct LivePlan: Hashable, Sendable {
  /// A guest's disk.
  public struct Disk: Hashable, Sendable {
    /// The new thin volume: the domain's name.
    public var volume: String
    /// The read-only volume on the medium that it starts from.
    public var imageVolume: String
    /// Its size in bytes; at least the image's.
    public var bytes: Int

    /// A disk.
    public init(volume: String, imageVolume: String, bytes: Int) {
      self.volume = volume
      self.imageVolume = imageVolume
      self.bytes = bytes
    }
  }

  /// Name of the volume group.
  public var volumeGroup: String
  /// Memory for the guests' changes, in bytes; less where the machine has too little.
  public var ramBytes: Int
  /// Size of the group's extents, in bytes.
  public var extentBytes: Int
  /// LVM's identifier of the physical volume on the medium.
  public var mediumUUID: String
  /// LVM's identifier for the physical volume in memory.
  public var ramUUID: String
  /// The group's description: a path in the running system.
  public var metadataTemplate: String
  /// The squashfs with the physical volume: a path in the running system.
  public var images: String
  /// The physical volume's file in that squashfs.
  public var physicalVolumeFile: String
  /// The guests' disks.
  public var disks: [Disk]

  /// A plan.
  public init(
    volumeGroup: String, ramBytes: Int, extentBytes: Int, mediumUUID: String, ramUUID: String,
    metadataTemplate: String, images: String, physicalVolumeFile: String, disks: [Disk]
  ) {
    self.volumeGroup = volumeGroup
    self.ramBytes = ramBytes
    self.extentBytes = extentBytes
    self.mediumUUID = mediumUUID
    self.ramUUID = ramUUID
    self.metadataTemplate = metadataTemplate
    self.images = images
    self.physicalVolumeFile = physicalVolumeFile
    self.disks = disks
  }

  /// Refuses what would not be one plain word of an LVM command: the plan comes from the medium.
  func check() throws(StorageError) {
    let words =
      [("volume group", volumeGroup), ("identifier", mediumUUID), ("identifier", ramUUID)]
      + [("file name", physicalVolumeFile)] + disks.flatMap { [("volume", $0.volume), ("image", $0.imageVolume)] }
    let allowed = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+")
    for (kind, word) in words where word.isEmpty || "-.".contains(word.first ?? "-") || !allowed.isSuperset(of: word) {
      throw StorageError(.plan, "\"\(word)\" is no \(kind) that LVM takes; build the image again")
    }
    if let disk = disks.first(where: { $0.bytes <= 0 || $0.bytes > 1 << 50 }) {
      throw StorageError(.plan, "the disk of \(disk.volume) cannot have \(disk.bytes) bytes; build the image again")
    }
    guard extentBytes >= 1 << 16, extentBytes.nonzeroBitCount == 1, extentBytes <= 1 << 30, ramBytes < 1 << 50 else {
      throw StorageError(.plan, "extents of \(extentBytes) bytes are none that LVM takes; build the image again")
    }
  }

  /// How much memory the physical volume gets on a machine with `memory` bytes: what is wanted, half of the memory at
  /// most, so that the guests find some too.
  func affordableRAM(memory: Int) throws(StorageError) -> (extents: Int, warning: String?) {
    let wanted = (ramBytes - LiveStorage.dataOffset) / extentBytes
    let possible = (min(ramBytes, memory / 2) - LiveStorage.dataOffset) / extentBytes
    // The pool needs its bookkeeping and at least one extent of data.
    let least = LiveStorage.poolMetadataExtents(extents: max(possible, 0), extentBytes: extentBytes) + 1
    guard possible >= least else {
      throw StorageError(
        .memory,
        "of \(memory >> 20) MiB of memory, half is too little for the guests' changes; give the machine more memory")
    }
    if possible == wanted { return (possible, nil) }
    return (
      possible,
      "the guests' changes get \((possible * extentBytes) >> 20) MiB of memory instead of \(ramBytes >> 20) MiB: "
        + "more than half of the machine's \(memory >> 20) MiB is not taken; give the machine more memory"
    )
  }
}

extension LivePlan {
  /// The plan that the manifest at `path` asks for, with the medium mounted at `medium`.
  public init(manifest path: String, medium: String) throws(StorageError) {
    let manifest: ApplianceManifest
    do throws(ManifestError) {
      manifest = try ApplianceManifest.load(path)
    } catch {
      throw StorageError(.medium, "\(error); write the medium again")
    }
    let storage = manifest.storage
    for place in [storage.metadataTemplate, storage.images] {
      guard place.hasPrefix("/"), !place.split(separator: "/").contains("..") else {
        throw StorageError(.medium, "\(path) names a file outside of the medium: \(place); write the medium again")
      }
    }
    self.init(
      volumeGroup: storage.volumeGroup, ramBytes: storage.ramBytes, extentBytes: storage.extentBytes,
      mediumUUID: storage.mediumUUID, ramUUID: storage.ramUUID, metadataTemplate: medium + storage.metadataTemplate,
      images: medium + storage.images, physicalVolumeFile: storage.physicalVolumeFile,
      disks: manifest.domains.compactMap { domain in
        domain.disk.map { Disk(volume: $0.volume, imageVolume: $0.imageVolume, bytes: $0.bytes) }
      })
    try check()
  }
}
