internal import Glibc

extension FileDescriptor {
  /// Copies all of `source` into this file from byte `offset` on, leaving out its holes: where this file has no
  /// data yet, it stays a hole too. Neither file's position matters.
  public func copySparsely(from source: borrowing FileDescriptor, at offset: Int) throws(SystemError) {
    let length = try source.length()
    var position = 0
    while position < length, let data = try source.data(from: position), data.lowerBound < length {
      position = data.lowerBound
      while position < min(data.upperBound, length) {
        let bytes = try source.read(upTo: min(1 << 20, data.upperBound - position), at: position)
        if bytes.isEmpty { throw SystemError("copy a file that shrank meanwhile", errno: .inputOutput) }
        try writeAll(bytes, at: offset + position)
        position += bytes.count
      }
    }
  }

  /// The first stretch of bytes at or after `offset` that is no hole; nil where there is none.
  public func data(from offset: Int) throws(SystemError) -> Range<Int>? {
    guard let start = try seek(.data, from: offset) else { return nil }
    var end = try seek(.hole, from: start)
    if end == nil { end = try length() }
    return start..<max(start, end ?? start)
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
