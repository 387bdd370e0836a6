public import Platform

/// Why a virtual machine could not be made or go on: what failed, where, and what to do about it.
public struct HypervisorError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What kind of failure it is; decides the exit status of `roost-vmm`.
  public enum Code: Hashable, Sendable {
    /// The request makes no sense: sizes, counts, combinations.
    case configuration
    /// The machine has no usable KVM.
    case noKVM
    /// A kernel, an initial RAM disk or a note in one is not what it should be.
    case image
    /// KVM or the kernel refused an operation.
    case system
    /// A device or its backend failed.
    case device
    /// The process cannot go into its jail.
    case jail
  }

  /// What kind of failure it is.
  public let code: Code
  /// What failed and, where the user can do something, what to do.
  public let message: String
  /// The file it failed on, where there is one.
  public let path: String?
  /// Byte offset in that file, where there is one.
  public let offset: Int?
  /// The kernel's answer, where it was the kernel that refused.
  public let cause: SystemError?

  /// Describes a failure.
  public init(_ code: Code, _ message: String, path: String? = nil, offset: Int? = nil, cause: SystemError? = nil) {
    self.code = code
    self.message = message
    self.path = path
    self.offset = offset
    self.cause = cause
  }

  /// One line for people.
  public var description: String {
    var text = path.map { "\($0): " } ?? ""
    text += message
    if let offset { text += " (at byte \(offset))" }
    if let cause { text += ": \(cause)" }
    return text
  }

  /// The same failure, naming the file it is about.
  public func about(_ path: String) -> HypervisorError {
    HypervisorError(code, message, path: path, offset: offset, cause: cause)
  }
}

/// Turns a refused system call into an error of this module.
@inline(__always)
func refusal<T: ~Copyable>(
  _ code: HypervisorError.Code, _ message: @autoclosure () -> String, _ body: () throws(SystemError) -> T
) throws(HypervisorError) -> T {
  do throws(SystemError) {
    return try body()
  } catch {
    throw HypervisorError(code, message(), cause: error)
  }
}
