internal import CLinux
internal import Glibc

extension Errno {
  /// EINPROGRESS.
  public static let inProgress = Errno(rawValue: EINPROGRESS)
}

/// TCP connections to and from IPv4 addresses.
public enum InternetSocket {
  /// Connects to `port` of the address whose most significant byte comes first in `address`. Connecting, and each read
  /// and write until `setPatience`, takes `seconds` at most; then they throw `timedOut` or `wouldBlock`.
  public static func connect(address: UInt32, port: UInt16, seconds: Int) throws(SystemError) -> FileDescriptor {
    let file = FileDescriptor(
      adopting: try systemCall("make a socket") {
        socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      })
    try setPatience(of: file, seconds: seconds)
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_port = port.bigEndian
    place.sin_addr.s_addr = address.bigEndian
    do throws(SystemError) {
      // SAFETY: the address is a local of the stated size, and sockaddr_in begins like sockaddr (ip(7)).
      try systemCall("connect") {
        unsafe withUnsafePointer(to: &place) { pointer in
          unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe Glibc.connect(file.rawValue, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
          }
        }
      }
    } catch {
      // SO_SNDTIMEO bounds connect(2) as well, which says so in this way (socket(7)).
      throw error.errno == .inProgress ? SystemError("connect", errno: .timedOut) : error
    }
    return file
  }

  /// Listens for TCP connections at an IPv4 address, most significant byte first; 0 stands for all addresses, and port 0
  /// for one that is free.
  public static func listen(address: UInt32, port: UInt16, backlog: Int32 = 64) throws(SystemError) -> FileDescriptor {
    let file = FileDescriptor(
      adopting: try systemCall("make a socket") {
        socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      })
    // A service that starts anew must not wait for connections of its earlier life.
    try setOption(file, SOL_SOCKET, SO_REUSEADDR, Int32(1))
    var place = sockaddr_in()
    place.sin_family = sa_family_t(AF_INET)
    place.sin_port = port.bigEndian
    place.sin_addr.s_addr = address.bigEndian
    // SAFETY: the address is a local of the stated size, and sockaddr_in begins like sockaddr (ip(7)).
    try systemCall("listen at TCP port \(port)") {
      unsafe withUnsafePointer(to: &place) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe bind(file.rawValue, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    }
    try systemCall("listen at TCP port \(port)") { Glibc.listen(file.rawValue, backlog) }
    return file
  }

  /// How long reads and writes wait, in seconds; 0 for as long as it takes.
  public static func setPatience(of file: borrowing FileDescriptor, seconds: Int) throws(SystemError) {
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      try setOption(file, SOL_SOCKET, option, timeval(tv_sec: seconds, tv_usec: 0))
    }
  }

  /// Has the kernel give the connection up when the other side does not answer for `seconds`, be it that something
  /// waits to be taken or that nothing is to be said (tcp(7)).
  public static func setLossTimeout(of file: borrowing FileDescriptor, seconds: Int32) throws(SystemError) {
    let tcp = Int32(IPPROTO_TCP)
    try setOption(file, SOL_SOCKET, SO_KEEPALIVE, Int32(1))
    try setOption(file, tcp, TCP_KEEPIDLE, max(1, seconds / 3))
    try setOption(file, tcp, TCP_KEEPINTVL, max(1, seconds / 6))
    try setOption(file, tcp, TCP_KEEPCNT, Int32(4))
    try setOption(file, tcp, TCP_USER_TIMEOUT, seconds * 1000)
    // Small requests do not wait for more.
    try setOption(file, tcp, TCP_NODELAY, Int32(1))
  }

  /// The port on this machine that a connection uses.
  public static func localPort(of file: Int32) throws(SystemError) -> UInt16 {
    var place = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    // SAFETY: `length` bounds what is written to `place`.
    try systemCall("find a socket's port") {
      unsafe withUnsafeMutablePointer(to: &place) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe getsockname(file, $0, &length)
        }
      }
    }
    return UInt16(bigEndian: place.sin_port)
  }

  private static func setOption<T: BitwiseCopyable>(
    _ file: borrowing FileDescriptor, _ level: Int32, _ option: Int32, _ value: T
  ) throws(SystemError) {
    var value = value
    // SAFETY: `value` lives for the call, which reads its size.
    try systemCall("set an option of a socket") {
      unsafe setsockopt(file.rawValue, level, option, &value, socklen_t(MemoryLayout<T>.size))
    }
  }
}
