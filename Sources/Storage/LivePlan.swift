public import Manifest

/// What the guests' storage of a live session is made of: the manifest's words, with paths of the running system.
public struct LivePlan: Hashable, Sendable {
  /// The volume group and what it is made of. `metadataTemplate` and `images` are paths in the running system; less
  /// than `ramBytes` is taken where the machine has too little.
  public var storage: ApplianceManifest.Storage
  /// The guests' disks; each has at least its image's size.
  public var disks: [ApplianceManifest.Disk]

  /// Devices that come over the network.
  public var remotes: [RemoteRequest] { (storage.remotes ?? []).compactMap(\.request) }

  /// Name of the volume group.
  public var volumeGroup: String { storage.volumeGroup }

  /// A plan.
  public init(storage: ApplianceManifest.Storage, disks: [ApplianceManifest.Disk]) {
    self.storage = storage
    self.disks = disks
  }

  /// Refuses what would not be one plain word of an LVM command: the plan comes from the medium.
  func check() throws(StorageError) {
    let words =
      [
        ("volume group", storage.volumeGroup), ("identifier", storage.mediumUUID), ("identifier", storage.ramUUID),
        ("file name", storage.physicalVolumeFile),
      ] + disks.flatMap { [("volume", $0.volume), ("image", $0.imageVolume)] }
    let allowed = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+")
    for (kind, word) in words where word.isEmpty || "-.".contains(word.first ?? "-") || !allowed.isSuperset(of: word) {
      throw StorageError(.plan, "\"\(word)\" is no \(kind) that LVM takes; build the image again")
    }
    if let disk = disks.first(where: { $0.bytes <= 0 || $0.bytes > 1 << 50 }) {
      throw StorageError(.plan, "the disk of \(disk.volume) cannot have \(disk.bytes) bytes; build the image again")
    }
    let extent = storage.extentBytes
    guard extent >= 1 << 16, extent.nonzeroBitCount == 1, extent <= 1 << 30, storage.ramBytes < 1 << 50 else {
      throw StorageError(.plan, "extents of \(extent) bytes are none that LVM takes; build the image again")
    }
  }

  /// How much memory the physical volume gets on a machine with `memory` bytes: what is wanted, half of the memory at
  /// most, so that the guests find some too.
  func affordableRAM(memory: Int) throws(StorageError) -> (extents: Int, warning: String?) {
    let (ramBytes, extentBytes) = (storage.ramBytes, storage.extentBytes)
    let wanted = (ramBytes - GuestStorage.dataOffset) / extentBytes
    let possible = (min(ramBytes, memory / 2) - GuestStorage.dataOffset) / extentBytes
    // The pool needs its bookkeeping and at least one extent of data.
    let least = GuestStorage.poolMetadataExtents(extents: max(possible, 0), extentBytes: extentBytes) + 1
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
    var storage = manifest.storage
    for place in [storage.metadataTemplate, storage.images] {
      guard place.hasPrefix("/"), !place.split(separator: "/").contains("..") else {
        throw StorageError(.medium, "\(path) names a file outside of the medium: \(place); write the medium again")
      }
    }
    storage.metadataTemplate = medium + storage.metadataTemplate
    storage.images = medium + storage.images
    self.init(storage: storage, disks: manifest.domains.compactMap(\.disk))
    try check()
  }
}
