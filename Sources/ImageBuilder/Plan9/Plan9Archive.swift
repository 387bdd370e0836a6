internal import Binary

/// The archive that disk/mkfs writes with -a (mkfs(8)), and the image of it that a kernel with gzfs unpacks into RAM.
enum Plan9Archive {
  /// What gzfs's file server has room for.
  static let entryLimit = 4095

  /// Lines `path mode uid gid mtime length`, the mode in octal, each followed by its bytes.
  static func bytes(_ entries: [Plan9Entry], time: Int) throws(BuildError) -> [UInt8] {
    guard entries.count <= entryLimit else {
      throw BuildError(.content, "a Plan 9 root in RAM has at most \(entryLimit) files, not \(entries.count)")
    }
    var archive = ByteWriter()
    for entry in entries {
      guard !entry.path.contains(where: { $0 == " " || $0 == "\t" || $0 == "\n" }) else {
        throw BuildError(.content, "a Plan 9 archive cannot hold the name '\(entry.path)'")
      }
      let mode = entry.permissions | (entry.content == nil ? 0x8000_0000 : 0)
      let content = entry.content ?? []
      let line = "\(entry.path) \(String(mode, radix: 8)) \(entry.owner) \(entry.owner) \(time) \(content.count)\n"
      archive.raw(line.utf8)
      archive.raw(content)
    }
    archive.raw("end of archive\n".utf8)
    return archive.bytes
  }

  /// The archive as gzfs's second packing wants it: one literal block.
  static func blocks(_ archive: [UInt8]) -> [UInt8] {
    var writer = ByteWriter()
    writer.raw("BLZ\n".utf8)
    writer.big(UInt32(truncatingIfNeeded: archive.count))
    writer.big(UInt32(truncatingIfNeeded: archive.count) | 1 << 31)
    writer.raw(archive)
    return writer.bytes
  }

  /// The disk's image out of the gzip stream of `blocks`: a line with its length before it, zeros after it.
  static func image(gzip stream: [UInt8]) -> [UInt8] {
    var writer = ByteWriter()
    writer.raw("gzfilesystem \(stream.count)\n".utf8)
    writer.raw(stream)
    writer.zeros(1024)
    writer.align(512)
    return writer.bytes
  }
}
