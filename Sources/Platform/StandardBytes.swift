internal import Glibc

extension StandardStream {
  /// Reads up to `count` bytes; an empty array at the end.
  public func read(upTo count: Int) throws(SystemError) -> [UInt8] {
    try borrowed { (file) throws(SystemError) in try file.read(upTo: count) }
  }

  /// Writes all bytes, waiting if need be.
  public func writeAll(_ bytes: [UInt8]) throws(SystemError) {
    _ = try borrowed { (file) throws(SystemError) in
      try file.writeAll(bytes)
      return bytes
    }
  }

  private func borrowed(
    _ body: (borrowing FileDescriptor) throws(SystemError) -> [UInt8]
  ) throws(SystemError) -> [UInt8] {
    let file = FileDescriptor(adopting: rawValue)
    let result: Result<[UInt8], SystemError>
    do throws(SystemError) {
      result = .success(try body(file))
    } catch {
      result = .failure(error)
    }
    _ = file.release()
    return try result.get()
  }
}
