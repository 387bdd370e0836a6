internal import Binary
internal import Identity
internal import Platform

/// What a stick is known by, so that the same one is recognised when it comes back, and another one or a stick that was
/// used elsewhere meanwhile is not.
struct StickMark: Hashable, Sendable {
  /// Bytes of the stick.
  var size: Int
  /// The serial number that it gives itself; nil for none.
  var serial: String?
  /// Its boot record, its partition table with the identifiers that `roost provision` gave it, and the descriptors of
  /// the image.
  var head: SHA256.Digest
  /// The partition with its identity; nil for none.
  var identity: SHA256.Digest?
  /// What LVM wrote last; nil where there is no physical volume.
  var group: GroupMark?

  /// Bytes of `head`.
  static let headBytes = 64 << 10

  /// Why another stick, or this one as it is now, must not go on in the place of this one, in words that follow its
  /// path; nil when it may.
  ///
  /// - Parameter mayHaveChanged: whether this machine may have changed the group after this mark was taken.
  func objection(to found: StickMark, mayHaveChanged: Bool) -> String? {
    guard found.size == size, found.head == head else { return "is another stick" }
    guard found.serial == serial else {
      return "is a copy of the stick: it has the serial number \(found.serial ?? "of none") instead of "
        + "\(serial ?? "none")"
    }
    guard found.identity == identity else { return "has another identity than the stick that was pulled out" }
    guard let group else {
      // Without a physical volume nothing of this machine's waits to be written, unless one was being made.
      return found.group == nil || mayHaveChanged ? nil : "was used by another machine meanwhile"
    }
    guard let there = found.group, there.volume == group.volume else {
      return "has lost the guests' home: it was written to meanwhile"
    }
    if there == group { return nil }
    let isLater = (group.group.isEmpty || there.group == group.group) && there.generation >= group.generation
    return mayHaveChanged && isLater
      ? nil : "was used by another machine meanwhile: going on would ruin the guests' disks"
  }
}

/// Reads sticks past the page cache: what LVM writes through a mapping does not show in the cache of what lies beneath.
struct StickReader {
  private static let block = 4096

  /// Reads a range of a device.
  static func read(_ path: String, at offset: Int, count: Int) throws(SystemError) -> [UInt8] {
    let file = try FileDescriptor(opening: path, .direct)
    let start = offset / block * block
    let end = (offset + count + block - 1) / block * block
    var buffer = AlignedBuffer(count: end - start)
    var room = buffer.mutablePrefix(buffer.count)
    let got = try file.read(into: &room, at: start)
    let bytes = buffer.bytes
    return (min(offset - start, got)..<min(offset - start + count, got)).map { bytes[$0] }
  }

  /// The mark of what LVM wrote on a partition.
  static func group(on path: String) throws(SystemError) -> GroupMark? {
    try GroupMark.read { offset, count throws(SystemError) in try read(path, at: offset, count: count) }
  }

  /// The mark of a disk; nil where its partitions are not there (yet).
  ///
  /// - Parameter storage: number of the partition that is mapped for LVM; nil for none.
  static func mark(of disk: BlockNode, in tree: BlockTree, storage: Int?) throws(SystemError) -> StickMark? {
    let head = try read(disk.path, at: 0, count: StickMark.headBytes)
    var mark = StickMark(size: disk.size, serial: disk.serial, head: SHA256.hash(head))
    let parts = tree.parts(of: disk.name).filter { $0.mapping == nil }
    if let identity = parts.first(where: { $0.partitionName == StickPartition.identity.rawValue }) {
      mark.identity = SHA256.hash(
        try read(identity.path, at: 0, count: min(identity.size, StickPartition.identityBytes)))
    }
    if let storage {
      guard let part = parts.first(where: { $0.partition == storage }) else { return nil }
      mark.group = try group(on: part.path)
    }
    return mark
  }
}
