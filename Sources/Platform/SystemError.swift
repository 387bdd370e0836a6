internal import CLinux
internal import Glibc

/// A kernel error number.
public struct Errno: RawRepresentable, Error, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: Int32

  public init(rawValue: Int32) {
    self.rawValue = rawValue
  }

  public static let notPermitted = Errno(rawValue: EPERM)
  public static let noSuchFile = Errno(rawValue: ENOENT)
  public static let noSuchProcess = Errno(rawValue: ESRCH)
  public static let interrupted = Errno(rawValue: EINTR)
  public static let inputOutput = Errno(rawValue: EIO)
  public static let noSuchDevice = Errno(rawValue: ENXIO)
  public static let badDescriptor = Errno(rawValue: EBADF)
  public static let noChild = Errno(rawValue: ECHILD)
  public static let wouldBlock = Errno(rawValue: EAGAIN)
  public static let outOfMemory = Errno(rawValue: ENOMEM)
  public static let permissionDenied = Errno(rawValue: EACCES)
  public static let busy = Errno(rawValue: EBUSY)
  public static let exists = Errno(rawValue: EEXIST)
  public static let notDirectory = Errno(rawValue: ENOTDIR)
  public static let isDirectory = Errno(rawValue: EISDIR)
  public static let invalidArgument = Errno(rawValue: EINVAL)
  public static let noSpace = Errno(rawValue: ENOSPC)
  public static let readOnlyFileSystem = Errno(rawValue: EROFS)
  public static let brokenPipe = Errno(rawValue: EPIPE)
  public static let notImplemented = Errno(rawValue: ENOSYS)
  public static let notSupported = Errno(rawValue: EOPNOTSUPP)
  public static let addressInUse = Errno(rawValue: EADDRINUSE)
  public static let connectionRefused = Errno(rawValue: ECONNREFUSED)
  public static let timedOut = Errno(rawValue: ETIMEDOUT)

  public var description: String {
    // SAFETY: the call returns a static, immutable string or NULL (glibc manual, "Error Messages").
    guard let text = unsafe clinux_error_text(rawValue) else { return "error \(rawValue)" }
    return unsafe String(cString: text)
  }
}

/// A system call that failed: what was tried, on what, and the kernel's answer.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The operation in words or by its call's name, such as `open` or `mount the medium`.
  public let operation: String
  /// The path or object it was tried on, where there is one.
  public let path: String?
  /// The kernel's answer.
  public let errno: Errno

  public init(_ operation: String, path: String? = nil, errno: Errno) {
    self.operation = operation
    self.path = path
    self.errno = errno
  }

  public var description: String {
    "\(operation)\(path.map { " \($0)" } ?? ""): \(errno)"
  }
}

/// The one funnel of all system calls: runs `body` until it is not interrupted, and throws what errno said
/// at once after it failed (returned -1).
@inlinable
@discardableResult
public func systemCall<T: FixedWidthInteger>(
  _ operation: @autoclosure () -> String, path: @autoclosure () -> String? = nil, _ body: () -> T
) throws(SystemError) -> T {
  while true {
    let result = body()
    if result != -1 { return result }
    let code = currentErrno()
    if code != .interrupted { throw SystemError(operation(), path: path(), errno: code) }
  }
}

/// errno of this thread, as the last failing call left it.
@usableFromInline
func currentErrno() -> Errno {
  Errno(rawValue: errno)
}
