internal import Binary
internal import Platform

extension SquashfsFile {
  /// Reads what mksquashfs made of one file with `arguments`.
  static func read(_ path: String) throws(BuildError) -> Contents {
    let found = try attempt("cannot read \(path)") { () throws(SystemError) -> Contents? in
      let file = try FileDescriptor(opening: path)
      return try contents(of: file)
    }
    guard let found else { throw BuildError(.content, "\(path) is no squashfs of one file") }
    return found
  }

  private static func contents(of file: borrowing FileDescriptor) throws(SystemError) -> Contents? {
    let head = ByteReader(try file.read(upTo: superblockSize, at: 0))
    guard let found = try? head.little(UInt32.self, at: 0), found == magic,
      let block = try? head.little(UInt32.self, at: 12), block > 0,
      let compression = try? head.little(UInt16.self, at: 20), let flags = try? head.little(UInt16.self, at: 24),
      let inodes = try? head.little(UInt64.self, at: 64), let directories = try? head.little(UInt64.self, at: 72),
      directories > inodes, directories - inodes < 1 << 30, directories < 1 << 60
    else { return nil }
    var options: [UInt8] = []
    if flags & Flag.compressorOptions != 0 {
      let length = try? ByteReader(try file.read(upTo: 2, at: superblockSize)).little(UInt16.self, at: 0)
      options = try file.read(upTo: 2 + Int((length ?? 0) & ~uncompressed), at: superblockSize)
    }
    let table = ByteReader(try file.read(upTo: Int(directories - inodes), at: Int(inodes)))
    guard let inode = metadata(table), let words = words(of: inode, block: Int(block)) else { return nil }
    return Contents(
      form: Form(compression: compression, blockSize: block, options: options),
      start: superblockSize + options.count, words: words)
  }

  /// The bytes of metadata blocks that are not compressed.
  private static func metadata(_ blocks: ByteReader) -> ByteReader? {
    var all: [UInt8] = []
    var offset = 0
    while offset < blocks.count {
      guard let header = try? blocks.little(UInt16.self, at: offset), header & uncompressed != 0,
        let content = try? blocks.slice(at: offset + 2, length: Int(header & ~uncompressed))
      else { return nil }
      all += content
      offset += 2 + content.count
    }
    return ByteReader(all)
  }

  /// The block list of the file, whose inode is the first.
  private static func words(of inodes: ByteReader, block: Int) -> [SizeWord]? {
    let size: Int
    var offset: Int
    switch try? inodes.little(UInt16.self, at: 0) {
    case Kind.file:
      guard let bytes = try? inodes.little(UInt32.self, at: 28) else { return nil }
      (size, offset) = (Int(bytes), 32)
    case Kind.extendedFile:
      guard let bytes = try? inodes.little(UInt64.self, at: 24), bytes < 1 << 60 else { return nil }
      (size, offset) = (Int(bytes), 56)
    default: return nil
    }
    var words: [SizeWord] = []
    for _ in 0..<((size + block - 1) / block) {
      guard let word = try? inodes.little(UInt32.self, at: offset) else { return nil }
      words.append(SizeWord(rawValue: word))
      offset += 4
    }
    return words
  }
}
