internal import CLinux
internal import Glibc

/// Stream sockets in the file system.
public enum UnixSocket {
  /// Listens at `path`, replacing what was there. `permissions` decide who may connect.
  public static func listen(
    _ path: String, permissions: UInt32 = 0o600, backlog: Int32 = 64
  ) throws(SystemError) -> FileDescriptor {
    let file = try make()
    var address = try address(path)
    try Files.remove(path)
    // SAFETY: the address is a local of the stated size.
    try systemCall("listen at", path: path) {
      unsafe withSocketAddress(&address) { unsafe bind(file.rawValue, $0, $1) }
    }
    try Files.setPermissions(path, permissions)
    try systemCall("listen at", path: path) { Glibc.listen(file.rawValue, backlog) }
    return file
  }

  /// Connects to the listener at `path`.
  public static func connect(_ path: String) throws(SystemError) -> FileDescriptor {
    let file = try make()
    var address = try address(path)
    // SAFETY: the address is a local of the stated size.
    try systemCall("connect to", path: path) {
      unsafe withSocketAddress(&address) { unsafe Glibc.connect(file.rawValue, $0, $1) }
    }
    return file
  }

  /// Takes the next connection.
  public static func accept(_ listener: borrowing FileDescriptor) throws(SystemError) -> FileDescriptor {
    let number = listener.rawValue
    return FileDescriptor(adopting: try systemCall("accept a connection") { clinux_accept(number) })
  }

  /// Ends both directions of a connection: whoever waits for bytes from it, on any thread, sees its end (shutdown(2)).
  public static func shutDown(_ connection: borrowing FileDescriptor) throws(SystemError) {
    let number = connection.rawValue
    try systemCall("shut a connection down") { Glibc.shutdown(number, Int32(SHUT_RDWR)) }
  }

  private static func make() throws(SystemError) -> FileDescriptor {
    FileDescriptor(
      adopting: try systemCall("make a socket") {
        socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      })
  }

  private static func address(_ path: String) throws(SystemError) -> sockaddr_un {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    let room = MemoryLayout.size(ofValue: address.sun_path)
    guard bytes.count < room else {
      throw SystemError("name a socket (\(room - 1) bytes at most)", path: path, errno: .invalidArgument)
    }
    // SAFETY: the length was checked above; the rest of the field stays zero.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
    return address
  }

  private static func withSocketAddress(
    _ address: inout sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32 {
    // SAFETY: sockaddr_un begins like sockaddr (unix(7)).
    unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }
}

/// Two sockets that are connected to each other, with no name in the file system (socketpair(2)).
public struct SocketPair: ~Copyable {
  /// One end.
  public let near: FileDescriptor
  /// The other one.
  public let far: FileDescriptor

  /// A new pair; throws when the process or the system has too many open files.
  public init() throws(SystemError) {
    var ends: (Int32, Int32) = (-1, -1)
    // SAFETY: the kernel writes two integers into the tuple.
    try systemCall("make a pair of sockets") {
      unsafe withUnsafeMutableBytes(of: &ends) { raw in
        unsafe socketpair(
          AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0,
          raw.baseAddress?.assumingMemoryBound(to: Int32.self))
      }
    }
    near = FileDescriptor(adopting: ends.0)
    far = FileDescriptor(adopting: ends.1)
  }

  /// Closes the far end, which somebody else has by now, and gives the near one away.
  public consuming func takeNear() -> FileDescriptor { near }
}
