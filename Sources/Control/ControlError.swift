/// What went wrong when talking to, or inside, the domain manager. It travels in replies as it is.
public struct ControlError: Error, Hashable, Sendable, Codable, CustomStringConvertible {
  /// A stable kind, for programs.
  public struct Code: RawRepresentable, Hashable, Sendable, Codable {
    /// As it is written in messages.
    public let rawValue: String

    /// A kind as it is written in messages.
    public init(rawValue: String) {
      self.rawValue = rawValue
    }

    /// The line is not a request: not JSON, or a field is missing or of a wrong type.
    public static let malformedRequest = Code(rawValue: "malformed-request")
    /// The line is longer than `ControlProtocol.maximumLineLength`.
    public static let lineTooLong = Code(rawValue: "line-too-long")
    /// No operation has this name.
    public static let unknownOperation = Code(rawValue: "unknown-operation")
    /// The two sides speak different versions.
    public static let unsupportedVersion = Code(rawValue: "unsupported-version")
    /// No domain has this name.
    public static let unknownDomain = Code(rawValue: "unknown-domain")
    /// No disk has this name.
    public static let unknownDisk = Code(rawValue: "unknown-disk")
    /// No network has this name.
    public static let unknownNetwork = Code(rawValue: "unknown-network")
    /// The present state of the domain or disk does not admit the operation.
    public static let wrongState = Code(rawValue: "wrong-state")
    /// The domain manager cannot be reached.
    public static let unreachable = Code(rawValue: "unreachable")
    /// The other side closed the connection.
    public static let disconnected = Code(rawValue: "disconnected")
    /// No answer came in time.
    public static let timedOut = Code(rawValue: "timed-out")
    /// An answer could not be understood.
    public static let malformedReply = Code(rawValue: "malformed-reply")
    /// `roost-storage` refused or failed; the message is what it said.
    public static let storage = Code(rawValue: "storage")
    /// A file, a program or a device of the appliance failed.
    public static let system = Code(rawValue: "system")
  }

  /// The kind.
  public let code: Code
  /// What failed, where, and what to do about it, in one or two sentences.
  public let message: String

  /// All fields.
  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The message.
  public var description: String { message }
}
