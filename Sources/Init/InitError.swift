/// Why the appliance does not start, in the words of the rescue screen.
public struct InitError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kind of failure.
  public enum Code: String, Sendable {
    /// The kernel command line lacks what Roost needs, or has it wrong.
    case badParameter
    /// No volume with the wanted identifier appeared.
    case mediumMissing
    /// There is more than one medium, and none of them is the right one.
    case mediumAmbiguous
    /// The medium is there and cannot be mounted or read.
    case mediumUnreadable
    /// The medium's content is not what was built.
    case mediumCorrupt
    /// The image cannot be fetched over the network.
    case downloadFailed
    /// The machine has not the memory that was asked for.
    case tooLittleMemory
    /// The root file system cannot be put together.
    case rootUnusable
    /// roost-init itself failed.
    case internalFault
    /// Nothing failed: the command line asks for the rescue shell.
    case requested
  }

  /// The kind of failure.
  public let code: Code
  /// What failed; completes "Roost cannot start: ".
  public let message: String
  /// Facts about the failure: what was looked for, where.
  public let details: [String]
  /// What the user can do about it, one thing a line.
  public let remedies: [String]

  init(_ code: Code, _ message: String, details: [String] = [], remedies: [String]) {
    self.code = code
    self.message = message
    self.details = details
    self.remedies = remedies
  }

  /// Everything, a line each.
  public var description: String {
    ([message] + details + remedies).joined(separator: "\n")
  }
}
