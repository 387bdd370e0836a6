internal import CLinux
internal import Glibc

/// A kernel error number.
public struct Errno: RawRepresentable, Error, Hashable, Sendable, CustomStringConvertible {
  /// The number, as errno(3) names them.
  public let rawValue: Int32

  /// The error of that number.
  public init(rawValue: Int32) {
    self.rawValue = rawValue
  }

  // The ones this project tells apart, under the names of their meaning.
  /// EPERM.
  public static let notPermitted = Errno(rawValue: EPERM)
  /// ENOENT.
  public static let noSuchFile = Errno(rawValue: ENOENT)
  /// ESRCH.
  public static let noSuchProcess = Errno(rawValue: ESRCH)
  /// EINTR.
  public static let interrupted = Errno(rawValue: EINTR)
  /// EIO.
  public static let inputOutput = Errno(rawValue: EIO)
  /// ENXIO.
  public static let noSuchDevice = Errno(rawValue: ENXIO)
  /// EBADF.
  public static let badDescriptor = Errno(rawValue: EBADF)
  /// ECHILD.
  public static let noChild = Errno(rawValue: ECHILD)
  /// EAGAIN.
  public static let wouldBlock = Errno(rawValue: EAGAIN)
  /// ENOMEM.
  public static let outOfMemory = Errno(rawValue: ENOMEM)
  /// EACCES.
  public static let permissionDenied = Errno(rawValue: EACCES)
  /// EFAULT.
  public static let badAddress = Errno(rawValue: EFAULT)
  /// EBUSY.
  public static let busy = Errno(rawValue: EBUSY)
  /// EEXIST.
  public static let exists = Errno(rawValue: EEXIST)
  /// ENOTDIR.
  public static let notDirectory = Errno(rawValue: ENOTDIR)
  /// EISDIR.
  public static let isDirectory = Errno(rawValue: EISDIR)
  /// EINVAL.
  public static let invalidArgument = Errno(rawValue: EINVAL)
  /// ENOSPC.
  public static let noSpace = Errno(rawValue: ENOSPC)
  /// EROFS.
  public static let readOnlyFileSystem = Errno(rawValue: EROFS)
  /// EPIPE.
  public static let brokenPipe = Errno(rawValue: EPIPE)
  /// ECONNRESET.
  public static let connectionReset = Errno(rawValue: ECONNRESET)
  /// ENOSYS.
  public static let notImplemented = Errno(rawValue: ENOSYS)
  /// EOPNOTSUPP.
  public static let notSupported = Errno(rawValue: EOPNOTSUPP)
  /// EADDRINUSE.
  public static let addressInUse = Errno(rawValue: EADDRINUSE)
  /// ECONNREFUSED.
  public static let connectionRefused = Errno(rawValue: ECONNREFUSED)
  /// ETIMEDOUT.
  public static let timedOut = Errno(rawValue: ETIMEDOUT)
  /// ECANCELED.
  public static let canceled = Errno(rawValue: ECANCELED)

  /// What the C library says of it.
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

  /// `operation` failed with `errno`, tried on `path`.
  public init(_ operation: String, path: String? = nil, errno: Errno) {
    self.operation = operation
    self.path = path
    self.errno = errno
  }

  /// `operation path: answer`.
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
