internal import CLinux
internal import Glibc

/// How a file is opened; close-on-exec is always set.
public struct OpenMode: OptionSet, Sendable {
  /// Bits of open(2).
  public let rawValue: Int32

  /// From bits of open(2).
  public init(rawValue: Int32) {
    self.rawValue = rawValue
  }

  /// O_RDONLY.
  public static let readOnly = OpenMode([])
  /// O_WRONLY.
  public static let writeOnly = OpenMode(rawValue: O_WRONLY)
  /// O_RDWR.
  public static let readWrite = OpenMode(rawValue: O_RDWR)
  /// O_CREAT.
  public static let create = OpenMode(rawValue: O_CREAT)
  /// O_EXCL.
  public static let exclusive = OpenMode(rawValue: O_EXCL)
  /// O_TRUNC.
  public static let truncate = OpenMode(rawValue: O_TRUNC)
  /// O_APPEND.
  public static let append = OpenMode(rawValue: O_APPEND)
  /// O_NONBLOCK.
  public static let nonBlocking = OpenMode(rawValue: O_NONBLOCK)
  /// O_DIRECTORY.
  public static let directory = OpenMode(rawValue: O_DIRECTORY)
  /// O_NOCTTY.
  public static let noControllingTerminal = OpenMode(rawValue: O_NOCTTY)
  /// O_DIRECT.
  public static let direct = OpenMode(rawValue: 0o40000)
}

/// An open file, owned: it is closed when the owner goes.
public struct FileDescriptor: ~Copyable, Sendable {
  /// The kernel's number; valid while this owner lives.
  public let rawValue: Int32

  /// Takes over a descriptor that nobody else closes.
  public init(adopting rawValue: Int32) {
    self.rawValue = rawValue
  }

  /// Opens `path`; `permissions` count when the file is created.
  public init(opening path: String, _ mode: OpenMode = .readOnly, permissions: UInt32 = 0o644) throws(SystemError) {
    // SAFETY: the C string lives for the call.
    rawValue = try systemCall("open", path: path) { unsafe clinux_open(path, mode.rawValue, permissions) }
  }

  deinit {
    _ = Glibc.close(rawValue)
  }

  /// Gives the number up: the caller closes it.
  public consuming func release() -> Int32 {
    let value = rawValue
    discard self
    return value
  }

  /// Another owner of the same open file.
  public func duplicate() throws(SystemError) -> FileDescriptor {
    FileDescriptor(adopting: try systemCall("duplicate a descriptor") { clinux_fcntl(rawValue, F_DUPFD_CLOEXEC, 0) })
  }

  /// Reads up to `count` bytes from the current position; an empty array at the end.
  public func read(upTo count: Int) throws(SystemError) -> [UInt8] {
    // SAFETY: `fill` hands out a buffer of `count` bytes.
    try unsafe Self.fill(count) { buffer in unsafe Glibc.read(rawValue, buffer, count) }
  }

  /// Reads up to `count` bytes at byte `offset`; fewer at the end.
  public func read(upTo count: Int, at offset: Int) throws(SystemError) -> [UInt8] {
    // SAFETY: `fill` hands out a buffer of `count` bytes.
    try unsafe Self.fill(count) { buffer in unsafe Glibc.pread(rawValue, buffer, count, offset) }
  }

  /// Reads from the current position to the end.
  public func readToEnd() throws(SystemError) -> [UInt8] {
    var all: [UInt8] = []
    while true {
      let chunk = try read(upTo: 1 << 16)
      if chunk.isEmpty { return all }
      all.append(contentsOf: chunk)
    }
  }

  /// Writes once at the current position; returns how many bytes were taken.
  public func write(_ bytes: ArraySlice<UInt8>) throws(SystemError) -> Int {
    // SAFETY: the buffer is valid for the call and its count bounds the write.
    try systemCall("write") { unsafe bytes.withUnsafeBytes { unsafe Glibc.write(rawValue, $0.baseAddress, $0.count) } }
  }

  /// Writes all bytes at the current position.
  public func writeAll(_ bytes: [UInt8]) throws(SystemError) {
    var rest = bytes[...]
    while !rest.isEmpty { rest = rest.dropFirst(try write(rest)) }
  }

  /// Writes all bytes at byte `offset`.
  public func writeAll(_ bytes: [UInt8], at offset: Int) throws(SystemError) {
    var done = 0
    while done < bytes.count {
      let rest = bytes[done...]
      // SAFETY: the buffer is valid for the call and its count bounds the write.
      done += try systemCall("write") {
        unsafe rest.withUnsafeBytes { unsafe pwrite(rawValue, $0.baseAddress, $0.count, offset + done) }
      }
    }
  }

  /// Brings data and metadata to the medium.
  public func synchronize() throws(SystemError) {
    try systemCall("fsync") { fsync(rawValue) }
  }

  /// Sets the length in bytes; what is new reads as zeros.
  public func truncate(to length: Int) throws(SystemError) {
    try systemCall("set the file's length") { ftruncate(rawValue, length) }
  }

  /// Length in bytes; of a block device, its size.
  public func length() throws(SystemError) -> Int {
    try systemCall("find the length") { lseek(rawValue, 0, SEEK_END) }
  }

  /// Makes reads and writes return at once (`wouldBlock`) instead of waiting, or not.
  public func setNonBlocking(_ on: Bool) throws(SystemError) {
    let flags = try systemCall("fcntl") { clinux_fcntl(rawValue, F_GETFL, 0) }
    let wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK
    try systemCall("fcntl") { clinux_fcntl(rawValue, F_SETFL, Int(wanted)) }
  }

  /// ioctl(2) with no argument.
  @discardableResult
  public func control(_ request: UInt, _ operation: String) throws(SystemError) -> Int32 {
    try systemCall(operation) { clinux_ioctl_none(rawValue, request) }
  }

  /// ioctl(2) with an integer argument.
  @discardableResult
  public func control(_ request: UInt, value: UInt, _ operation: String) throws(SystemError) -> Int32 {
    try systemCall(operation) { clinux_ioctl_value(rawValue, request, value) }
  }

  /// ioctl(2) with a pointer to `argument`, which the kernel may change.
  @discardableResult
  @unsafe
  public func control<T>(_ request: UInt, _ argument: inout T, _ operation: String) throws(SystemError) -> Int32 {
    // SAFETY: the caller vouches that `T` has the layout that `request` expects.
    try unsafe withUnsafeMutableBytes(of: &argument) { (raw) throws(SystemError) -> Int32 in
      try systemCall(operation) { unsafe clinux_ioctl_pointer(rawValue, request, raw.baseAddress) }
    }
  }

  private static func fill(
    _ count: Int, _ body: (UnsafeMutableRawPointer?) -> Int
  ) throws(SystemError) -> [UInt8] {
    var failure: SystemError?
    // SAFETY: `body` writes at most `count` bytes, and what it returns is what it wrote.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      do throws(SystemError) {
        initialized = try systemCall("read") { unsafe body(UnsafeMutableRawPointer(buffer.baseAddress)) }
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }
}
