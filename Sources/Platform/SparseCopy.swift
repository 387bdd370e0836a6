internal import Glibc

extension FileDescriptor {
  /// Copies all of `source` into this file from byte `offset` on, leaving out its holes: where this file has no
  /// data yet, it stays a hole too. Neither file's position matters.
  public func copySparsely(from source: borrowing FileDescriptor, at offset: Int) throws(SystemError) {
    let length = try source.length()
    var position = 0
    while position < length, let start = try source.seek(.data, from: position), start < length {
      let end = try source.seek(.hole, from: start) ?? length
      position = start
      while position < min(end, length) {
        let bytes = try source.read(upTo: min(1 << 20, end - position), at: position)
        if bytes.isEmpty { throw SystemError("copy a file that shrank meanwhile", errno: .inputOutput) }
        try writeAll(bytes, at: offset + position)
        position += bytes.count
      }
    }
  }

  private enum Sought: Int32 {
    case data = 3  // SEEK_DATA
    case hole = 4  // SEEK_HOLE
  }

  /// Where the next data or hole at or after `offset` starts; nil where there is none.
  private func seek(_ sought: Sought, from offset: Int) throws(SystemError) -> Int? {
    do throws(SystemError) {
      return try systemCall("find the file's holes") { lseek(rawValue, offset, sought.rawValue) }
    } catch {
      if error.errno == .noSuchDevice { return nil }  // ENXIO: nothing after the offset
      throw error
    }
  }
}
