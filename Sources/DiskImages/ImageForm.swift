internal import Binary

/// How a file holds a disk's bytes.
public enum ImageForm: Sendable, Hashable {
  case raw
  /// Packed by gzip, xz, zstd or bzip2; what is inside shows when it is unpacked.
  case packed
  /// A container that qemu-img reads under this name.
  case container(String)

  /// How much of a file's head tells its form: 512 bytes.
  public static let headBytes = 512
  /// How much of a file's head `objection` looks at, in bytes: a VMDK's header and the descriptor after it.
  public static let objectionBytes = 64 << 10

  /// The form by the file's first bytes.
  public init(of bytes: [UInt8]) {
    let packed: [[UInt8]] = [
      [0x1F, 0x8B], [0xFD, 0x37, 0x7A, 0x58, 0x5A, 0], [0x28, 0xB5, 0x2F, 0xFD], Array("BZh".utf8),
    ]
    if packed.contains(where: { bytes.starts(with: $0) }) {
      self = .packed
      return
    }
    let containers: [(String, [UInt8])] = [
      ("qcow2", QCOW2Header.magic), ("vmdk", Array("KDMV".utf8)), ("vmdk", Array("# Disk DescriptorFile".utf8)),
      ("vhdx", Array("vhdxfile".utf8)),
    ]
    self = containers.first { bytes.starts(with: $0.1) }.map { .container($0.0) } ?? .raw
  }

  /// What keeps a container from being read: a part of it that lies in another file, wherever that is, in words that
  /// follow the file's name; nil when it is whole in itself.
  ///
  /// qcow2: see `QCOW2Header`. VMDK: VMware's "Virtual Disk Format 1.1", "Hosted Sparse Extents" and "The Descriptor
  /// File". A differencing VHDX is refused by qemu-img.
  public static func objection(_ bytes: [UInt8]) -> String? {
    switch ImageForm(of: bytes) {
    case .container("qcow2"): QCOW2Header.objection(bytes)
    case .container("vmdk"): vmdkObjection(bytes)
    default: nil
    }
  }

  private static func vmdkObjection(_ bytes: [UInt8]) -> String? {
    if !bytes.starts(with: "KDMV".utf8) { return "only describes a disk whose content is in other files" }
    guard bytes.count >= 512 else { return "ends within its header" }
    // No capacity of its own: QEMU and VMware take the descriptor for that of other files.
    if bytes[12..<20].allSatisfy({ $0 == 0 }) { return "has its content in other files" }
    let text = String(decoding: bytes.dropFirst(512), as: UTF8.self)
    if text.contains("parentFileNameHint") { return "is only a difference to another file (its parent)" }
    for line in text.split(whereSeparator: { $0.isNewline || $0 == "\0" }) where line.hasPrefix("parentCID=") {
      if line.dropFirst(10).lowercased().prefix(8) != "ffffffff" {
        return "is only a difference to another file (its parent)"
      }
    }
    return nil
  }
}

/// Why an image cannot be read, in words that follow the file's name.
public struct ImageError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Such as "ends within its header".
  public let description: String

  /// An error of these words.
  public init(_ description: String) {
    self.description = description
  }
}

/// The bytes of an image's file.
public protocol ImageBytes {
  /// How many there are.
  var length: Int { get }

  /// `count` bytes from `offset` on. Asked for within `length` only; throws where the file cannot be read.
  func bytes(at offset: Int, count: Int) throws(ImageError) -> [UInt8]
}
