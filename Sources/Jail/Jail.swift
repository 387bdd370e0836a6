internal import Platform

/// Why a process cannot go into its jail: which step failed, and what to do.
public struct JailError: Error, Hashable, Sendable, CustomStringConvertible {
  /// One line for people.
  public let description: String
}

/// Where a process goes that may be taken over by what it works for. It keeps what it has open and loses the rest, for
/// good: files, other processes, the network, privileges, and the system calls that it does not need.
///
/// The layers do not rely on one another: who finds a hole in the filter of system calls finds an empty root in namespaces
/// of its own, as a user that nobody else is, and Landlock around that.
///
/// Limits of memory and of processor time are not here: who starts the process puts it into a control group before, which
/// then is the root of all that it sees of control groups.
public struct Jail: Sendable {
  /// Exit code of a process that called what its jail does not allow.
  public static let violation: Int32 = 15

  /// The user and the group that the process becomes; no other process has them.
  public var user: UInt32
  /// The system calls that stay.
  public var rules: [FilterRule]
  /// Begins the line about a violation.
  public var prefix: String
  /// Highest number of a descriptor, and one.
  public var openFiles: UInt64 = 4096
  /// Threads, the kernel's for input and output included.
  public var threads: UInt64 = 2048
  /// Bytes that a file may have which the process writes; nil for any number.
  public var fileSize: UInt64?

  /// A jail for `user` in which `rules` hold.
  public init(user: UInt32, rules: [FilterRule], prefix: String) {
    self.user = user
    self.rules = rules
    self.prefix = prefix
  }

  /// Goes in. There must be no thread but this, and the process must be the first of its namespace of process ids. What it
  /// returns is worth a line to the operator: what this kernel cannot give.
  public func enter() throws(JailError) -> [String] {
    let remarks = try confine()
    try filter()
    return remarks
  }

  /// All but the filter.
  package func confine() throws(JailError) -> [String] {
    let threadCount = try step { () throws(SystemError) in try Isolation.threadCount() }
    guard threadCount == 1 else {
      throw JailError(description: "the jail is for a process of one thread, and this has \(threadCount)")
    }
    guard ProcessEnvironment.processID == 1 else {
      throw JailError(
        description:
          "the jail needs a namespace of process ids; start the monitor by roostd, or by `unshare --pid --fork`")
    }
    return try step { () throws(SystemError) in
      try Isolation.lower(.openFiles, to: openFiles)
      try Isolation.lower(.tasks, to: threads)
      try Isolation.lower(.coreDump, to: 0)
      if let fileSize {
        Signals.ignore(Signals.fileSizeExceeded)
        try Isolation.lower(.fileSize, to: fileSize)
      }
      try Isolation.leaveNamespaces()
      try Isolation.enterEmptyRoot()
      try Isolation.becomeNobody(user)
      try Isolation.seal()
      let version = try Isolation.landlockVersion()
      guard version > 0 else { return ["this kernel has no Landlock; the rest of the jail holds without it"] }
      let landlock = LandlockRules(version: version)
      try Isolation.restrict(
        version: version, files: landlock.files, network: landlock.network, scope: landlock.scope)
      return []
    }
  }

  /// The filter of system calls.
  package func filter() throws(JailError) {
    try step { () throws(SystemError) in
      try Isolation.useSingleHeap()
      try Isolation.endAtViolation(names: SystemCall.names, prefix: prefix, code: Self.violation)
      try Isolation.install(filter: FilterProgram(rules).instructions.map(\.word))
    }
  }

  private func step<T>(_ body: () throws(SystemError) -> T) throws(JailError) -> T {
    do throws(SystemError) {
      return try body()
    } catch {
      throw JailError(description: "the jail cannot be made: \(error)")
    }
  }
}
