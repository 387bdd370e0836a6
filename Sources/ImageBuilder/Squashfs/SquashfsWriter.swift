internal import Binary
internal import Platform

/// Writes a squashfs of one file whose blocks are there: they are copied, not compressed again. Blocks of zeros take no
/// memory, and the four bytes each that a squashfs has of them.
struct SquashfsWriter: ~Copyable {
  private let file: FileDescriptor
  private let path: String
  private let form: SquashfsFile.Form
  /// The sizes of the blocks so far that are not all zeros.
  private var words: [SquashfsFile.SizeWord] = []
  /// How many blocks of zeros come before the one of that place in `words`, or at the end. In their order.
  private var holes: [(place: Int, count: Int)] = []

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
    try copy(blocks.reduce(0) { $0 + $1.bytes }, from: source, at: start)
    for word in blocks { append(word) }
  }

  /// Appends the blocks of a disk: all bytes of `source`, and holes.
  mutating func append(_ table: BlockTable, from source: String) throws(BuildError) {
    try copy(table.blocks.reduce(0) { $0 + $1.word.bytes }, from: source, at: 0)
    var next = 0
    for block in table.blocks {
      appendZeros(block.index - next)
      append(block.word)
      next = block.index + 1
    }
    appendZeros(table.count - next)
  }

  /// Appends `count` blocks of zeros.
  mutating func appendZeros(_ count: Int) {
    guard count > 0 else { return }
    if let last = holes.last, last.place == words.count {
      holes[holes.count - 1].count += count
    } else {
      holes.append((words.count, count))
    }
  }

  private mutating func append(_ word: SquashfsFile.SizeWord) {
    if word == .hole { appendZeros(1) } else { words.append(word) }
  }

  private func copy(_ bytes: Int, from source: String, at start: Int) throws(BuildError) {
    do throws(SystemError) {
      try file.append(bytes, of: try FileDescriptor(opening: source), at: start)
    } catch {
      throw BuildError(error, "cannot write \(path)")
    }
  }

  /// Writes the tables behind the blocks. The file is called `name`, readable by all, and of the time `epoch`.
  mutating func finish(name: String, epoch: Int) throws(BuildError) {
    let start = SquashfsFile.superblockSize + form.options.count
    let inodes = start + words.reduce(0) { $0 + $1.bytes }
    let listing = Self.listing(name)
    let (root, directories) = try writeInodes(start: start, at: inodes, listing: listing.count, epoch: epoch)
    let directoryTable = Self.metadata(listing)
    let identifiers = directories + directoryTable.count
    var tail = ByteWriter()
    tail.raw(directoryTable + Self.metadata([0, 0, 0, 0]))
    tail.little(UInt64(identifiers))
    let end = directories + tail.count
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
      try file.writeAll(last, at: directories)
      try file.writeAll(first, at: 0)
    } catch {
      throw BuildError(error, "cannot write \(path)")
    }
  }

  /// Writes the table of inodes at byte `offset`: the file's, in the form that may have 4 GiB and more, and the root's.
  ///
  /// - Returns: where in what the table has the root's begins, and where in the file system the table ends.
  private func writeInodes(
    start: Int, at offset: Int, listing: Int, epoch: Int
  ) throws(BuildError) -> (root: Int, end: Int) {
    let zeros = holes.reduce(0) { $0 + $1.count }
    let block = Int(form.blockSize)
    var inode = ByteWriter(capacity: 56)
    Self.begin(&inode, SquashfsFile.Kind.extendedFile, permissions: 0o444, epoch: epoch, number: 1)
    inode.little(UInt64(start))
    inode.little(UInt64((words.count + zeros) * block))
    inode.little(UInt64(zeros * block))
    inode.little(UInt32(1))  // names
    inode.little(UInt32.max)  // no fragment
    inode.little(UInt32(0))
    inode.little(UInt32.max)  // no extended attributes
    do throws(SystemError) {
      var table = MetadataStream(at: offset)
      try table.append(inode.bytes, to: file)
      var next = 0
      for (place, count) in holes + [(words.count, 0)] {
        while next < place {
          let some = next..<min(place, next + MetadataStream.pieceSize / 4)
          var list = ByteWriter(capacity: some.count * 4)
          for word in words[some] { list.little(word.rawValue) }
          try table.append(list.bytes, to: file)
          next = some.upperBound
        }
        try table.appendZeros(count * 4, to: file)
      }
      let root = table.count
      try table.append(Self.rootInode(listing: listing, epoch: epoch), to: file)
      return (root, try table.finish(file))
    } catch {
      throw BuildError(error, "cannot write \(path)")
    }
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

  /// `bytes` as a metadata block.
  private static func metadata(_ bytes: [UInt8]) -> [UInt8] {
    var block = ByteWriter(capacity: 2 + bytes.count)
    block.little(UInt16(bytes.count) | SquashfsFile.uncompressed)
    block.raw(bytes)
    return block.bytes
  }

  /// Where an inode is: its metadata block's offset in the table, and its own in that.
  private static func reference(_ offset: Int) -> UInt64 {
    let block = offset / SquashfsFile.metadataSize
    return UInt64(block * (SquashfsFile.metadataSize + 2)) << 16 | UInt64(offset % SquashfsFile.metadataSize)
  }
}

/// Writes bytes as metadata blocks that are not compressed, as they come.
private struct MetadataStream {
  /// What is held of them, and no more than twice as much.
  static let pieceSize = 64 << 10  // bytes

  /// How many bytes came.
  private(set) var count = 0
  /// Where in the file the next blocks go.
  private var position: Int
  /// Blocks that are not written yet.
  private var whole = ByteWriter()
  /// What is of a block that is not full.
  private var rest: [UInt8] = []

  init(at position: Int) {
    self.position = position
  }

  mutating func append(_ bytes: some Collection<UInt8>, to file: borrowing FileDescriptor) throws(SystemError) {
    count += bytes.count
    var bytes = bytes[...]
    while !bytes.isEmpty {
      let piece = bytes.prefix(SquashfsFile.metadataSize - rest.count)
      rest += piece
      bytes = bytes.dropFirst(piece.count)
      if rest.count == SquashfsFile.metadataSize { endBlock() }
      if whole.count >= Self.pieceSize { try write(to: file) }
    }
  }

  mutating func appendZeros(_ count: Int, to file: borrowing FileDescriptor) throws(SystemError) {
    let zeros = [UInt8](repeating: 0, count: min(count, Self.pieceSize))
    var left = count
    while left > 0 {
      let piece = min(left, Self.pieceSize)
      try append(zeros.prefix(piece), to: file)
      left -= piece
    }
  }

  /// Writes what is left; where the blocks end.
  mutating func finish(_ file: borrowing FileDescriptor) throws(SystemError) -> Int {
    if !rest.isEmpty { endBlock() }
    try write(to: file)
    return position
  }

  private mutating func endBlock() {
    whole.little(UInt16(rest.count) | SquashfsFile.uncompressed)
    whole.raw(rest)
    rest.removeAll(keepingCapacity: true)
  }

  private mutating func write(to file: borrowing FileDescriptor) throws(SystemError) {
    try file.writeAll(whole.bytes, at: position)
    position += whole.count
    whole = ByteWriter()
  }
}
