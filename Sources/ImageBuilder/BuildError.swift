public import Platform

/// Why there is no image, in words for who asked for it.
public struct BuildError: Error, Sendable, CustomStringConvertible {
  /// What kind of failure it is.
  public enum Code: String, Sendable, Hashable {
    /// The build was interrupted.
    case cancelled
    /// A program of the host is missing.
    case missingTool
    /// A program of Roost's own is missing.
    case missingProgram
    /// A program of the host failed.
    case toolFailed
    /// The packages' mirror did not answer.
    case mirrorUnreachable
    /// Something is not in the cache, and the user wants nothing to be fetched.
    case offline
    /// A source cannot be fetched.
    case downloadFailed
    /// A file is not the one that the recipe pins.
    case wrongDigest
    /// A file is not signed by who the recipe says.
    case wrongSignature
    /// A package does not exist in the release.
    case unknownPackage
    /// A file is not the kernel it should be.
    case notAKernel
    /// A file that the recipe names cannot be used.
    case badFile
    /// A domain's system is larger than its disk.
    case diskTooSmall
    /// A file system is full.
    case noSpace
    /// A device or file is not written to, because of what it is or has.
    case refused
    /// What was read back is not what was written.
    case verification
    /// The system refused something.
    case system
    /// What the builder found in an archive or made itself is not as expected.
    case content
  }

  /// The kind of failure.
  public let code: Code
  /// What failed, and where.
  public let message: String
  /// What to do about it.
  public let hint: String?
  /// The last relevant lines that a failing program printed.
  public let details: [String]
  /// The file with everything it printed.
  public let log: String?

  /// A failure in words.
  public init(_ code: Code, _ message: String, hint: String? = nil, details: [String] = [], log: String? = nil) {
    self.code = code
    self.message = message
    self.hint = hint
    self.details = details
    self.log = log
  }

  /// A refusal of the system's while `doing` something.
  public init(_ error: SystemError, _ doing: String) {
    if error.errno == .noSpace || error.errno == .fileTooLarge || error.errno == .quotaExceeded {
      self.init(.noSpace, "\(doing): \(error)", hint: Self.spaceHint)
    } else {
      self.init(.system, "\(doing): \(error)")
    }
  }

  static func offline(_ what: String) -> BuildError {
    BuildError(
      .offline, "\(what) not in the cache, and --offline fetches nothing", hint: "build once without --offline")
  }

  /// Whether a program complains of a full file system in what it printed.
  static func saysFull(_ text: String) -> Bool { text.contains("No space left on device") }

  static let spaceHint = "free some space there, or name another place with -o or --cache"

  /// The same with a line more.
  func with(detail: String) -> BuildError {
    BuildError(code, message, hint: hint, details: details + [detail], log: log)
  }

  static var cancelled: BuildError { BuildError(.cancelled, "interrupted") }

  /// The message, the tool's last words, where its log is, and what to do.
  public var description: String {
    var lines = [message]
    lines += details.map { "  | \($0)" }
    if let log { lines.append("  full log: \(log)") }
    if let hint { lines.append("  \(hint)") }
    return lines.joined(separator: "\n")
  }
}

extension Errno {
  /// A file would become larger than the limit of the file system or the process.
  static let fileTooLarge = Errno(rawValue: 27)
  /// The user's disk quota is used up.
  static let quotaExceeded = Errno(rawValue: 122)
}

/// Runs `body` and says what was being done when the system refuses.
func attempt<T: ~Copyable>(
  _ doing: @autoclosure () -> String, _ body: () throws(SystemError) -> T
) throws(BuildError) -> T {
  do throws(SystemError) {
    return try body()
  } catch {
    throw BuildError(error, doing())
  }
}
