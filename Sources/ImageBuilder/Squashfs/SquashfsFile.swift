internal import Binary
internal import Platform

/// A squashfs (version 4.0) with one file in it, as its blocks: what mksquashfs(1) made of one is read, and one is written
/// out of blocks that are compressed already.
///
/// ```
/// 0       superblock, 96 bytes
/// 96      the compressor's options, where it has any: a metadata block
/// …       the file's blocks, one after the other
/// …       inode table, directory table, table of ids: metadata blocks of at most 8 KiB behind two bytes each that say
///         how long they are, here never compressed
/// ```
/// Source: Linux, fs/squashfs/squashfs_fs.h; all numbers are little-endian.
enum SquashfsFile {
  /// The size of a data block in a file's inode: bit 24 says that it is not compressed, 0 that all of it is zeros.
  struct SizeWord: Sendable, Hashable, RawRepresentable {
    let rawValue: UInt32

    static let hole = SizeWord(rawValue: 0)

    /// Bytes that it takes.
    var bytes: Int { Int(rawValue & 0xFF_FFFF) }
  }

  /// How blocks are compressed.
  struct Form: Sendable, Hashable {
    /// The compressor's number.
    let compression: UInt16
    /// Bytes of a block, a power of two.
    let blockSize: UInt32
    /// The metadata block with the compressor's options; empty where there is none.
    let options: [UInt8]
  }

  /// What is read of one.
  struct Contents: Sendable {
    let form: Form
    /// Where the first block begins, in bytes.
    let start: Int
    let words: [SizeWord]
  }

  static let magic: UInt32 = 0x7371_7368
  static let superblockSize = 96  // bytes
  static let metadataSize = 8192  // bytes
  /// In a metadata block's length: it is not compressed.
  static let uncompressed: UInt16 = 0x8000
  /// Nothing of that kind is there.
  static let none = UInt64.max

  /// Bits of the superblock's flags.
  enum Flag {
    static let uncompressedInodes: UInt16 = 0x1
    static let noFragments: UInt16 = 0x10
    static let noExtendedAttributes: UInt16 = 0x200
    static let compressorOptions: UInt16 = 0x400
    static let uncompressedIdentifiers: UInt16 = 0x800
  }

  /// Types of inodes.
  enum Kind {
    static let directory: UInt16 = 1
    static let file: UInt16 = 2
    static let extendedFile: UInt16 = 9
  }

  /// Options of mksquashfs that make a file system which `read` takes.
  static let arguments = ["-all-root", "-no-xattrs", "-no-exports", "-no-fragments", "-noI", "-noId"]
}
