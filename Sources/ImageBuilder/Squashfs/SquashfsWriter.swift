internal import Binary
internal import Platform

/// Writes a squashfs of one file whose blocks are there: they are copied, not compressed again.
struct SquashfsWriter: ~Copyable {
  private let file: FileDescriptor
  private let path: String
  private let form: SquashfsFile.Form
  /// The blocks so far.
  private var words: [SquashfsFile.SizeWord] = []

  /// Begins the file system at `path`.
  init(_ path: String, form: SquashfsFile.Form) throws(BuildError) {
    self.path = path
    self.form = form
    file = try attempt("cannot write \(path)") { () throws(SystemError) in
      let file = try FileDescriptor(opening: path, [.readWrite, .create, .truncate])
      try file.writeAll([UInt8](repeating: 0, count: SquashfsFile.superblockSize) + form.options)
      return file
    }
  }

  /// Appends blocks: all bytes of `source`, in which they lie one after the other from `start` on.
  mutating func append(
    _ blocks: [SquashfsFile.SizeWord], from source: String, at start: Int = 0
  ) throws(BuildError) {
    let bytes = blocks.reduce(0) { $0 + $1.bytes }
    do throws(SystemError) {
      try file.append(bytes, of: try FileDescriptor(opening: source), at: start)
    } catch {
      throw BuildError(error, "cannot write \(path)")
    }
    words += blocks
  }

  /// Appends `count` blocks of zeros.
  mutating func appendZeros(_ count: Int) {
    words += Array(repeating: .hole, count: count)
  }

  /// Writes the tables behind the blocks. The file is called `name`, readable by all, and of the time `epoch`.
  mutating func finish(name: String, epoch: Int) throws(BuildError) {
    let start = SquashfsFile.superblockSize + form.options.count
    let inodes = start + words.reduce(0) { $0 + $1.bytes }
    let inode = fileInode(start: start, epoch: epoch)
    let root = inode.count
    let listing = Self.listing(name)
    let inodeTable = Self.metadata(inode + Self.rootInode(listing: listing.count, epoch: epoch))
    let directories = inodes + inodeTable.count
    let directoryTable = Self.metadata(listing)
    let identifiers = directories + directoryTable.count
    var tail = ByteWriter()
    tail.raw(inodeTable + directoryTable + Self.metadata([0, 0, 0, 0]))
    tail.little(UInt64(identifiers))
    let end = inodes + tail.count
    tail.zeros((4096 - end % 4096) % 4096)
    var head = ByteWriter(capacity: SquashfsFile.superblockSize)
    head.little(SquashfsFile.magic)
    head.little(UInt32(2))  // inodes
    head.little(UInt32(truncatingIfNeeded: epoch))
    head.little(form.blockSize)
    head.little(UInt32(0))  // fragments
    head.little(form.compression)
    head.little(UInt16(form.blockSize.trailingZeroBitCount))
    head.little(
      SquashfsFile.Flag.uncompressedInodes | SquashfsFile.Flag.noFragments | SquashfsFile.Flag.noExtendedAttributes
        | SquashfsFile.Flag.uncompressedIdentifiers
        | (form.options.isEmpty ? 0 : SquashfsFile.Flag.compressorOptions))
    head.little(UInt16(1))  // ids
    head.little(UInt16(4))  // version 4.0
    head.little(UInt16(0))
    head.little(Self.reference(root))
    head.little(UInt64(end))
    head.little(UInt64(end - 8))  // the table of where ids are, behind the ids
    head.little(SquashfsFile.none)
    head.little(UInt64(inodes))
    head.little(UInt64(directories))
    head.little(SquashfsFile.none)
    head.little(SquashfsFile.none)
    let (first, last) = (head.bytes, tail.bytes)
    do throws(SystemError) {
      try file.writeAll(last, at: inodes)
      try file.writeAll(first, at: 0)
    } catch {
      throw BuildError(error, "cannot write \(path)")
    }
  }

  /// The inode of the file, in the form that may have 4 GiB and more.
  private func fileInode(start: Int, epoch: Int) -> [UInt8] {
    let block = Int(form.blockSize)
    var inode = ByteWriter(capacity: 56 + words.count * 4)
    Self.begin(&inode, SquashfsFile.Kind.extendedFile, permissions: 0o444, epoch: epoch, number: 1)
    inode.little(UInt64(start))
    inode.little(UInt64(words.count * block))
    inode.little(UInt64(words.count { $0 == .hole } * block))
    inode.little(UInt32(1))  // names
    inode.little(UInt32.max)  // no fragment
    inode.little(UInt32(0))
    inode.little(UInt32.max)  // no extended attributes
    for word in words { inode.little(word.rawValue) }
    return inode.bytes
  }

  private static func rootInode(listing: Int, epoch: Int) -> [UInt8] {
    var inode = ByteWriter(capacity: 32)
    begin(&inode, SquashfsFile.Kind.directory, permissions: 0o755, epoch: epoch, number: 2)
    inode.little(UInt32(0))  // the first block of the directory table
    inode.little(UInt32(2))  // names
    // As much more as `.` and `..` would take.
    inode.little(UInt16(truncatingIfNeeded: listing + 3))
    inode.little(UInt16(0))
    inode.little(UInt32(3))  // above it: one more than there are inodes
    return inode.bytes
  }

  /// What all inodes begin with; everything belongs to the only id.
  private static func begin(
    _ inode: inout ByteWriter, _ kind: UInt16, permissions: UInt16, epoch: Int, number: UInt32
  ) {
    inode.little(kind)
    inode.little(permissions)
    inode.little(UInt16(0))
    inode.little(UInt16(0))
    inode.little(UInt32(truncatingIfNeeded: epoch))
    inode.little(number)
  }

  /// The root's only entry: the file, whose inode is the first of all.
  private static func listing(_ name: String) -> [UInt8] {
    var listing = ByteWriter()
    listing.little(UInt32(0))  // one entry
    listing.little(UInt32(0))  // the inode table's first block
    listing.little(UInt32(1))  // the first inode's number
    listing.little(UInt16(0))
    listing.little(Int16(0))
    listing.little(SquashfsFile.Kind.file)
    listing.little(UInt16(name.utf8.count - 1))
    listing.raw(name.utf8)
    return listing.bytes
  }

  /// `bytes` as metadata blocks.
  private static func metadata(_ bytes: [UInt8]) -> [UInt8] {
    var blocks = ByteWriter(capacity: bytes.count + bytes.count / 4096 * 2 + 2)
    var rest = bytes[...]
    while !rest.isEmpty {
      let block = rest.prefix(SquashfsFile.metadataSize)
      blocks.little(UInt16(block.count) | SquashfsFile.uncompressed)
      blocks.raw(block)
      rest = rest.dropFirst(block.count)
    }
    return blocks.bytes
  }

  /// Where an inode is: its metadata block's offset in the table, and its own in that.
  private static func reference(_ offset: Int) -> UInt64 {
    let block = offset / SquashfsFile.metadataSize
    return UInt64(block * (SquashfsFile.metadataSize + 2)) << 16 | UInt64(offset % SquashfsFile.metadataSize)
  }
}
