internal import Binary

/// The header of a qcow2 file, versions 2 and 3 (QEMU's docs/interop/qcow2, "Header").
struct QCOW2Header: Sendable {
  /// How the contents of compressed clusters are packed.
  enum Packing: Hashable, Sendable {
    /// Bare deflate, with a window of 4 KiB.
    case deflate
    /// One frame of Zstandard's.
    case zstandard
  }

  static let magic: [UInt8] = [0x51, 0x46, 0x49, 0xFB]

  /// Bytes of the disk.
  let size: Int
  /// A cluster has two to the power of this bytes, 9 to 21.
  let clusterBits: Int
  /// Where the first table is, in bytes, and how many entries it has.
  let firstTable: (offset: Int, entries: Int)
  let packing: Packing
  let version: UInt32

  /// Bits of the field "incompatible_features".
  private enum Feature {
    static let dirty: UInt64 = 1
    static let damaged: UInt64 = 2
    static let dataFile: UInt64 = 4
    static let packing: UInt64 = 8
    static let subclusters: UInt64 = 16
    static let known = dirty | damaged | dataFile | packing | subclusters
  }

  /// The first table has at most so many bytes, as with QEMU.
  private static let firstTableLimit = 32 << 20

  /// Reads a header out of a file's first bytes, of which 112 are enough; throws why a file of this kind is not read.
  init(_ bytes: [UInt8]) throws(ImageError) {
    if let objection = Self.objection(bytes) { throw ImageError(objection) }
    let header = ByteReader(bytes)
    version = try Self.field(header, 4, UInt32.self)
    let bits = try Self.field(header, 20, UInt32.self)
    let size = try Self.field(header, 24, UInt64.self)
    let entries = try Self.field(header, 36, UInt32.self)
    let offset = try Self.field(header, 40, UInt64.self)
    guard (9...21).contains(bits) else { throw Self.damaged("clusters of 2^\(bits) bytes") }
    guard size <= UInt64(Int.max), offset <= UInt64(Int.max) else { throw Self.damaged("a size of \(size) bytes") }
    guard UInt64(entries) * 8 <= UInt64(Self.firstTableLimit) else { throw Self.damaged("\(entries) tables") }
    self.size = Int(size)
    clusterBits = Int(bits)
    firstTable = (Int(offset), Int(entries))
    packing = version == 3 ? try Self.packing(header) : .deflate
  }

  /// How a file of version 3 is packed; throws what of its features is not read here.
  private static func packing(_ header: ByteReader) throws(ImageError) -> Packing {
    let features = try field(header, 72, UInt64.self)
    if features & Feature.damaged != 0 {
      throw ImageError("is marked as damaged: see `qemu-img check` on a workstation")
    }
    if features & Feature.subclusters != 0 {
      throw ImageError("has clusters of parts (extended_l2), which are not read here")
    }
    if features & ~Feature.known != 0 { throw ImageError("has features that are not known here") }
    guard features & Feature.packing != 0 else { return .deflate }
    switch try field(header, 104, UInt8.self) {
    case 0: return .deflate
    case 1: return .zstandard
    default: throw ImageError("is packed in a way that is not known here")
    }
  }

  private static func field<T: FixedWidthInteger>(
    _ header: ByteReader, _ offset: Int, _: T.Type
  ) throws(ImageError) -> T {
    do throws(TruncatedInput) {
      return try header.big(T.self, at: offset)
    } catch {
      throw ImageError("ends within its header")
    }
  }

  /// What keeps a file from being read as it is, in words that follow its name; nil for nothing.
  static func objection(_ bytes: [UInt8]) -> String? {
    let header = ByteReader(bytes)
    do throws(TruncatedInput) {
      let version = try header.big(UInt32.self, at: 4)
      guard version == 2 || version == 3 else { return "has version \(version) of qcow2, and 2 and 3 are known" }
      if try header.big(UInt64.self, at: 8) != 0 { return "is only a difference to another file (its backing file)" }
      if try header.big(UInt32.self, at: 32) != 0 { return "is encrypted" }
      if version == 3, try header.big(UInt64.self, at: 72) & Feature.dataFile != 0 {
        return "has its content in another file"
      }
      return nil
    } catch {
      return "ends within its header"
    }
  }

  /// The error of a header that says what cannot be.
  private static func damaged(_ what: String) -> ImageError {
    ImageError("is damaged: its header tells of \(what)")
  }
}
