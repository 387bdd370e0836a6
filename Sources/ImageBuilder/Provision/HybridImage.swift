internal import Identity
internal import Manifest
internal import Platform

/// A hybrid image that can be written to sticks: a file, or a medium that was written from one. Of a stick that was
/// provisioned, the image alone is meant; what was added behind it is not.
struct HybridImage: Sendable {
  /// The first bytes, which are written last: boot record, partition table, volume descriptors.
  static let headBytes = 1 << 20

  /// The file or device.
  let path: String
  /// It is on a device, which may be slow to go back and forth.
  let isDevice: Bool
  /// Bytes of the image.
  let length: Int
  /// The first megabyte.
  let head: [UInt8]
  /// Its own partitions.
  let table: GUIDPartitionTable
  /// What it tells of its domains.
  let manifest: ApplianceManifest

  private static let manifestLimit = 4 << 20

  /// Looks into the image. Whether the rest of it can be read is seen while it is written.
  init(_ path: String) throws(BuildError) {
    self.path = path
    let iso = try ISOReader(path)
    length = iso.length
    isDevice = (try? Files.status(path, followingLinks: true))??.kind == .blockDevice
    let file = try attempt("cannot read the image") { () throws(SystemError) in try FileDescriptor(opening: path) }
    let available = try attempt("cannot read \(path)") { () throws(SystemError) in try file.length() }
    guard length > Self.headBytes, length <= available else {
      throw BuildError(
        .badFile, "\(path) is cut off: the image has \(length) bytes, and there are \(available)",
        hint: "fetch or build the image again")
    }
    let head = try attempt("cannot read \(path)") { () throws(SystemError) in
      try file.read(upTo: Self.headBytes, at: 0)
    }
    let record = Array(head.prefix(GUIDPartitionTable.sector))
    guard head.count == Self.headBytes, ProtectiveMBR.isValid(record), var table = GUIDPartitionTable(head: head) else {
      throw BuildError(
        .badFile, "\(path) does not boot from a stick: it has no boot record with a partition table",
        hint: "take an image that 'roost build' made")
    }
    let added = StickPartition.allCases
    table.partitions.removeAll { partition in
      added.contains { $0.rawValue == partition.name && $0.type == partition.type }
    }
    let end = length
    let sectors = Self.headBytes / GUIDPartitionTable.sector
    guard table.partitions.allSatisfy({ $0.end <= end }), (2 + table.arraySectors...sectors).contains(table.firstUsable)
    else {
      throw BuildError(
        .badFile, "\(path) has partitions behind its end", hint: "take an image that 'roost build' made")
    }
    self.head = head
    self.table = table
    guard let bytes = try iso.file(ApplianceManifest.path, limit: Self.manifestLimit) else {
      throw BuildError(
        .badFile, "\(path) is no appliance: there is no \(ApplianceManifest.path) in it",
        hint: "take an image that 'roost build' made")
    }
    do throws(ManifestError) {
      manifest = try ApplianceManifest.decode(bytes, path: "\(path): \(ApplianceManifest.path)")
    } catch {
      throw BuildError(.badFile, "\(error)")
    }
  }
}
