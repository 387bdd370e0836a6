internal import Binary

/// Reads a qcow2 file from the disk's beginning to its end (QEMU's docs/interop/qcow2, versions 2 and 3): what the disk
/// holds now, whatever snapshots are in the file. Files that are a difference to another one, encrypted, or that have
/// their content elsewhere are refused.
///
/// The file may be hostile: whatever it says, no more than its length is read at a time, and no more than the disk's
/// size comes out of it.
public struct QCOW2Image<File: ImageBytes> {
  /// A cluster that holds something.
  public struct Cluster: Hashable, Sendable {
    /// Where it is on the disk, in bytes.
    public let place: Int
    /// How much of it belongs to the disk, in bytes.
    public let count: Int
    fileprivate let content: Content
  }

  fileprivate enum Content: Hashable, Sendable {
    case plain(at: Int)
    case packed(at: Int, count: Int)
  }

  private let file: File
  private let header: QCOW2Header
  private var firstTable: [UInt64] = []
  private var table: [UInt64] = []
  /// The entry of the first table that `table` is of.
  private var tableIndex = -1
  private var next = 0

  /// Bytes of the disk.
  public var size: Int { header.size }

  private var clusterBytes: Int { 1 << header.clusterBits }
  /// Entries of a table of the second kind: each has eight bytes, and a table fills a cluster.
  private var entries: Int { clusterBytes / 8 }
  /// Bits 9 to 55: where a table or a cluster is.
  private static var offsetMask: UInt64 { 0x00FF_FFFF_FFFF_FE00 }

  /// Reads the header and the first table.
  ///
  /// - Parameter largest: more bytes than this a disk must not have.
  public init(_ file: File, largest: Int) throws(ImageError) {
    self.file = file
    header = try QCOW2Header(try file.bytes(at: 0, count: min(112, file.length)))
    guard header.size <= largest else {
      throw ImageError("is a disk of \(header.size >> 20) MiB, and \(largest >> 20) MiB are the most that one can have")
    }
    let perTable = clusterBytes * entries
    let needed = header.size / perTable + (header.size % perTable == 0 ? 0 : 1)
    guard needed <= header.firstTable.entries else {
      throw ImageError("is damaged: its tables are for less than the disk's \(header.size) bytes")
    }
    firstTable = try words(at: header.firstTable.offset, count: needed)
  }

  /// The next cluster that holds something, in the disk's order; nil at its end. What is in none is zero.
  public mutating func nextCluster() throws(ImageError) -> Cluster? {
    while next < header.size / clusterBytes + (header.size % clusterBytes == 0 ? 0 : 1) {
      let first = next / entries
      let offset = firstTable[first] & Self.offsetMask
      if offset == 0 {
        next = (first + 1) * entries
        continue
      }
      if tableIndex != first {
        tableIndex = -1
        table = try words(at: Int(offset), count: entries)
        tableIndex = first
      }
      let entry = table[next % entries]
      let place = next * clusterBytes
      next += 1
      if let content = content(of: entry) {
        return Cluster(place: place, count: min(clusterBytes, header.size - place), content: content)
      }
    }
    return nil
  }

  /// What an entry of a table of the second kind tells ("L2 table entry"); nil for zeros.
  private func content(of entry: UInt64) -> Content? {
    if entry & 1 << 62 != 0 {
      // "Compressed Clusters Descriptor": where it is, in bytes, and how many sectors it touches beside the first.
      let bits = 62 - (header.clusterBits - 8)
      let offset = Int(entry & (1 << UInt64(bits) - 1))
      let sectors = Int(entry & (1 << 62 - 1)) >> bits
      return .packed(at: offset, count: (sectors + 1) * 512 - offset % 512)
    }
    if header.version == 3, entry & 1 != 0 { return nil }
    let offset = Int(entry & Self.offsetMask)
    return offset == 0 ? nil : .plain(at: offset)
  }

  /// What a cluster holds: `count` bytes.
  public func bytes(of cluster: Cluster) throws(ImageError) -> [UInt8] {
    switch cluster.content {
    case .plain(let offset):
      guard offset < file.length else { throw Self.cutOff }
      // The file's last cluster may be shorter than the others.
      let bytes = try file.bytes(at: offset, count: min(cluster.count, file.length - offset))
      return bytes + [UInt8](repeating: 0, count: cluster.count - bytes.count)
    case .packed(let offset, let count):
      guard offset < file.length else { throw Self.cutOff }
      let packed = try file.bytes(at: offset, count: min(count, file.length - offset))
      let bytes =
        switch header.packing {
        case .deflate: Deflate.unpack(packed, to: clusterBytes)
        case .zstandard: ZstandardFrame.unpack(packed, to: clusterBytes)
        }
      guard let bytes else {
        throw ImageError("is damaged: its cluster at \(cluster.place) cannot be unpacked")
      }
      return Array(bytes.prefix(cluster.count))
    }
  }

  private func words(at offset: Int, count: Int) throws(ImageError) -> [UInt64] {
    guard offset <= file.length, count * 8 <= file.length - offset else { throw Self.cutOff }
    let reader = ByteReader(try file.bytes(at: offset, count: count * 8))
    var words: [UInt64] = []
    words.reserveCapacity(count)
    do throws(TruncatedInput) {
      for index in 0..<count { words.append(try reader.big(UInt64.self, at: index * 8)) }
    } catch {
      throw Self.cutOff
    }
    return words
  }

  private static var cutOff: ImageError { ImageError("is cut off, or damaged: it tells of bytes behind its end") }
}
