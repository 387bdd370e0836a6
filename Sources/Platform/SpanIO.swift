internal import Glibc

/// Reads and writes of this process's own memory at a place in a file.
extension FileDescriptor {
  /// Fills `destination` from byte `position` of the file as far as the file goes. How many bytes came.
  public func read(into destination: inout MutableSpan<UInt8>, at position: Int) throws(SystemError) -> Int {
    let number = rawValue
    // SAFETY: the buffer bounds every call, and is borrowed until the last is over.
    return try unsafe destination.withUnsafeMutableBytes { (buffer) throws(SystemError) in
      var done = 0
      while done < buffer.count {
        let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
        let count = try systemCall("read") { unsafe pread(number, rest.baseAddress, rest.count, position + done) }
        if count == 0 { break }
        done += count
      }
      return done
    }
  }

  /// Writes all of `source` to byte `position` of the file.
  public func write(_ source: Span<UInt8>, at position: Int) throws(SystemError) {
    let number = rawValue
    // SAFETY: the buffer bounds every call, and is borrowed until the last is over.
    try unsafe source.withUnsafeBytes { (buffer) throws(SystemError) in
      var done = 0
      while done < buffer.count {
        let rest = unsafe UnsafeRawBufferPointer(rebasing: buffer[done...])
        done += try systemCall("write") { unsafe pwrite(number, rest.baseAddress, rest.count, position + done) }
      }
    }
  }
}
