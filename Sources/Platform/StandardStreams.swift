/// This process's standard input, borrowed: it is never closed here.
public enum StandardInput {
  /// Reads up to `count` bytes; empty at the end.
  public static func read(upTo count: Int) throws(SystemError) -> [UInt8] {
    try borrow(0) { (file) throws(SystemError) in try file.read(upTo: count) }
  }
}

/// This process's standard output, borrowed: it is never closed here.
public enum StandardOutput {
  /// Writes all bytes, waiting if need be.
  public static func write(_ bytes: [UInt8]) throws(SystemError) {
    try borrow(1) { (file) throws(SystemError) in try file.writeAll(bytes) }
  }
}

private func borrow<Result>(
  _ number: Int32, _ body: (borrowing FileDescriptor) throws(SystemError) -> Result
) throws(SystemError) -> Result {
  let file = FileDescriptor(adopting: number)
  let result: Swift.Result<Result, SystemError>
  do throws(SystemError) {
    result = .success(try body(file))
  } catch {
    result = .failure(error)
  }
  _ = file.release()
  return try result.get()
}
