internal import Binary
internal import Identity

/// What lies where on one stick. Bytes; all edges but the last are whole mebibytes.
///
/// ```
/// 0                 the image: boot record, partition table, ISO 9660 and its EFI system partition
/// …                 roost-identity, 1 MiB
/// …                 roost-storage: its first and last MiB are zeros, so that nothing is found in it
/// the last MiB      the partition table's copy, in the last sectors
/// ```
struct StickPlan: Sendable {
  static let unit = 1 << 20
  /// The least that is left for LVM.
  static let storageBytes = 64 << 20

  /// A run of bytes at a place of the stick.
  struct Piece: Sendable {
    let offset: Int
    let bytes: [UInt8]

    var end: Int { offset + bytes.count }

    /// Its first `count` bytes, and the others.
    func divided(at count: Int) -> (first: Piece, rest: Piece) {
      (
        Piece(offset: offset, bytes: Array(bytes.prefix(count))),
        Piece(offset: offset + count, bytes: Array(bytes.dropFirst(count)))
      )
    }
  }

  /// The image's content from the first MiB on, and zeros up to `bodyEnd`.
  let bodyEnd: Int
  /// The first MiB, to be written last.
  let head: Piece
  /// What is small: identity, the edges of the storage's partition, and last the table's copy.
  let pieces: [Piece]
  /// Where the storage's partition is.
  let storage: Range<Int>

  /// The least size of a stick for an image of `length` bytes.
  static func leastSize(image length: Int) -> Int {
    aligned(length) + StickPartition.identityBytes + storageBytes + unit
  }

  /// A plan for a stick of `size` bytes, which are at least `leastSize`. `seed` makes its identifiers.
  init(_ image: HybridImage, size: Int, identity: ApplianceIdentity?, seed: SHA256.Digest) {
    let sector = GUIDPartitionTable.sector
    let sectors = size / sector
    bodyEnd = Self.aligned(image.length)
    let identityEnd = bodyEnd + StickPartition.identityBytes
    var table = image.table
    let storageEnd = (table.lastUsable(sectors: sectors) + 1) * sector / Self.unit * Self.unit
    storage = identityEnd..<storageEnd
    // Two sticks in one machine are told apart by these.
    table.disk = UUID(digest: seed, name: "disk")
    for index in table.partitions.indices {
      table.partitions[index].identifier = UUID(digest: seed, name: "partition:\(table.partitions[index].number)")
    }
    for (kind, range) in [(StickPartition.identity, bodyEnd..<identityEnd), (.storage, storage)] {
      let number = (table.partitions.map(\.number).max() ?? 0) + 1
      guard let type = kind.type, number <= table.slots else { continue }
      table.partitions.append(
        .init(
          number: number, type: type, identifier: UUID(digest: seed, name: "partition:\(number)"),
          first: range.lowerBound / sector, last: range.upperBound / sector - 1, attributes: 0, name: kind.rawValue))
    }
    let (primary, backup) = table.encoded(sectors: sectors)
    var first = image.head
    first.replaceSubrange(0..<sector, with: ProtectiveMBR.fitted(Array(first.prefix(sector)), sectors: sectors))
    first.replaceSubrange(sector..<(sector + primary.count), with: primary)
    head = Piece(offset: 0, bytes: first)
    var document = identity.map(IdentityDocument.encode) ?? []
    document += [UInt8](repeating: 0, count: StickPartition.identityBytes - document.count)
    let zeros = [UInt8](repeating: 0, count: Self.unit)
    let tail = [UInt8](repeating: 0, count: sectors * sector - storageEnd - backup.count) + backup
    pieces = [
      Piece(offset: bodyEnd, bytes: document), Piece(offset: storage.lowerBound, bytes: zeros),
      Piece(offset: storage.upperBound - Self.unit, bytes: zeros), Piece(offset: storageEnd, bytes: tail),
    ]
  }

  private static func aligned(_ offset: Int) -> Int {
    (offset + unit - 1) / unit * unit
  }
}
