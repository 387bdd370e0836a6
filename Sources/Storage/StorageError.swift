public import Platform

/// Why storage could not be brought to the wanted state.
public struct StorageError: Error, Sendable, CustomStringConvertible {
  /// What kind of failure it is; stable.
  public enum Code: String, Sendable, Hashable {
    /// The plan or manifest asks for what cannot be.
    case plan
    /// The medium lacks a file, or a file is not what it should be.
    case medium
    /// There is too little memory.
    case memory
    /// The kernel refused.
    case system
    /// LVM refused.
    case lvm
    /// The guests' home on a disk is not as it should be.
    case home
    /// A disk does not answer as it should: it cannot be read, or takes no writes.
    case device
    /// A volume is still in use.
    case busy
    /// A device that comes over the network cannot be had.
    case remote
    /// The guests' home needs devices that come over the network and are not connected yet.
    case waiting
  }

  /// What kind of failure it is.
  public let code: Code
  /// What failed, where, and what to do about it.
  public let message: String
  /// The kernel's answer, where it is the cause.
  public let cause: SystemError?
  /// What LVM said meanwhile, warnings included.
  public let log: [String]
  /// Of `waiting`: the tags of the group that is the home.
  let tags: [String]

  /// A failure; `message` does not repeat `cause` or `log`.
  public init(_ code: Code, _ message: String, cause: SystemError? = nil, log: [String] = []) {
    self.init(code, message, cause: cause, log: log, tags: [])
  }

  /// A failure that has a group's tags with it.
  init(_ code: Code, _ message: String, cause: SystemError? = nil, log: [String] = [], tags: [String]) {
    self.code = code
    self.message = message
    self.cause = cause
    self.log = log
    self.tags = tags
  }

  /// The kernel's answer alone, or the message where there is none.
  var reason: String { cause.map { "\($0.errno)" } ?? message }

  /// All of it in one text of several lines.
  public var description: String {
    ([message + (cause.map { ": \($0)" } ?? "")] + log.map { "  LVM: \($0)" }).joined(separator: "\n")
  }
}

/// Runs system operations whose failure is a `StorageError` of the code `system`.
func storage<T: ~Copyable>(
  _ doing: String, _ body: () throws(SystemError) -> T
) throws(StorageError) -> T {
  do throws(SystemError) {
    return try body()
  } catch {
    throw StorageError(.system, "cannot \(doing)", cause: error)
  }
}
