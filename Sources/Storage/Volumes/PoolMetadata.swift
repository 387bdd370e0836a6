internal import Platform

/// Where the bookkeeping of a thin pool lies on disks, for looks at it before the kernel has it.
struct PoolMetadata: Hashable, Sendable {
  /// A run of bytes of a device.
  struct Piece: Hashable, Sendable {
    let device: String
    let range: Range<Int>
  }

  /// In the order of the volume.
  let pieces: [Piece]

  /// Asks LVM where the bookkeeping of `pool` is.
  init(_ lvm: LVM, group: String, pool: String) throws(StorageError) {
    let rows = try lvm.report("lvs", columns: ["lv_name", "seg_pe_ranges"], ["--all", group])
    let starts = try lvm.report("pvs", columns: ["pv_name", "pe_start"])
    let extent = try lvm.report("vgs", columns: ["vg_extent_size"], [group]).first?["vg_extent_size"]
    self.init(
      rows, volume: "\(pool)_tmeta",
      starts: Dictionary(starts.map { ($0["pv_name"] ?? "", Int($0["pe_start"] ?? "") ?? 0) }) { first, _ in first },
      extentBytes: Int(extent ?? "") ?? 0)
  }

  /// Reads a report's rows, one for each segment: ranges of extents such as `/dev/sda:4-7`.
  ///
  /// - Parameter starts: where the first extent of each device begins, in bytes.
  init(_ rows: [[String: String]], volume: String, starts: [String: Int], extentBytes: Int) {
    let segments = rows.filter { ($0["lv_name"] ?? "").filter { $0 != "[" && $0 != "]" } == volume }
    let ranges = segments.flatMap { ($0["seg_pe_ranges"] ?? "").split(separator: " ") }
    pieces = ranges.compactMap { word -> Piece? in
      guard let colon = word.lastIndex(of: ":") else { return nil }
      let device = String(word[..<colon])
      let numbers = word[word.index(after: colon)...].split(separator: "-").compactMap { Int($0) }
      guard numbers.count == 2, numbers[0] <= numbers[1], let start = starts[device] else { return nil }
      return Piece(
        device: device, range: (start + numbers[0] * extentBytes)..<(start + (numbers[1] + 1) * extentBytes))
    }
  }

  /// Whether an error that the kernel met with is marked in the bookkeeping.
  func needsCheck() throws(StorageError) -> Bool {
    guard let first = pieces.first else { return false }
    let block = try Target.reading(first.device) { () throws(SystemError) in
      try FileDescriptor(opening: first.device).read(upTo: 4096, at: first.range.lowerBound)
    }
    return Self.isMarked(block)
  }

  /// Whether a superblock has the mark (drivers/md/dm-thin-metadata.c, `struct thin_disk_superblock`: flags at byte 4,
  /// the magic number at byte 32; THIN_METADATA_NEEDS_CHECK_FLAG). One that is none is thin_check's to judge.
  static func isMarked(_ superblock: [UInt8]) -> Bool {
    let magic: [UInt8] = [0xBA, 0x52, 0x9C, 0x01, 0, 0, 0, 0]
    return superblock.count >= 40 && Array(superblock[32..<40]) == magic && superblock[4] & 1 != 0
  }

  /// Reads all of it.
  ///
  /// - Throws: `device` where something cannot be read.
  func proveReadable() throws(StorageError) {
    for piece in pieces {
      try Target.reading(piece.device) { () throws(SystemError) in
        let file = try FileDescriptor(opening: piece.device)
        var offset = piece.range.lowerBound
        while offset < piece.range.upperBound {
          let bytes = try file.read(upTo: min(1 << 20, piece.range.upperBound - offset), at: offset)
          if bytes.isEmpty { return }
          offset += bytes.count
        }
      }
    }
  }
}
