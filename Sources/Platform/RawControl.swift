internal import CLinux
internal import Glibc

extension FileDescriptor {
  /// ioctl(2) that is not started over when a signal interrupts it, and throws nothing: the result, or minus errno.
  /// For calls whose interruption is news to the caller (KVM_RUN), on paths that must not allocate.
  @inline(__always)
  public func controlOnce(_ request: UInt) -> Int32 {
    let result = clinux_ioctl_none(rawValue, request)
    return result == -1 ? -errno : result
  }

  /// ioctl(2) with a pointer to memory laid out as the request expects.
  @discardableResult
  @unsafe
  public func control(
    _ request: UInt, raw: UnsafeMutableRawPointer?, _ operation: String
  ) throws(SystemError) -> Int32 {
    // SAFETY: the caller vouches for the pointer and the layout.
    try systemCall(operation) { unsafe clinux_ioctl_pointer(rawValue, request, raw) }
  }
}
