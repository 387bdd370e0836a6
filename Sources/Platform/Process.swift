internal import CLinux
internal import Glibc

/// How a child ended.
public enum ExitStatus: Hashable, Sendable, CustomStringConvertible {
  case exited(Int32)
  case killed(signal: Int32)

  /// True for exit code 0.
  public var isSuccess: Bool { self == .exited(0) }

  /// In words.
  public var description: String {
    switch self {
    case .exited(let code): "exit code \(code)"
    case .killed(let signal): "killed by signal \(signal)"
    }
  }

  init(code: Int32) {
    self = code < 0 ? .killed(signal: -code) : .exited(code)
  }
}

/// What a new child is to be.
public struct ChildRequest: Sendable {
  /// Program, looked up in PATH when it has no slash, and its arguments.
  public var arguments: [String]
  /// `NAME=value` strings; nil keeps this process's.
  public var environment: [String]?
  /// Working directory; nil keeps this process's.
  public var directory: String?
  /// The child's descriptor *i* is a duplicate of number `descriptors[i]`; -1 leaves it closed. All others are closed.
  public var descriptors: [Int32] = [0, 1, 2]
  /// The child leads a new session.
  public var newSession = false
  /// With `newSession`: descriptor 0 becomes the controlling terminal.
  public var controllingTerminal = false
  /// The child leads a new process group.
  public var newProcessGroup = false
  /// Signal that the child gets when the thread that started it ends; 0 for none.
  public var parentDeathSignal: Int32 = 0
  /// The child is process 1 of a namespace of process ids of its own (pid_namespaces(7)), which takes privileges: signals
  /// that it does not wait for pass it by, but for SIGKILL.
  public var newProcessNamespace = false

  /// The `cgroup.procs` of a control group that the child joins before it executes the program.
  public var controlGroup: String?

  /// A child that runs `arguments`, with nothing else changed.
  public init(_ arguments: [String]) {
    self.arguments = arguments
  }
}

/// A control group's file, open while a child is started.
private final class ControlGroupFile {
  private let file: FileDescriptor?

  init(_ path: String?) throws(SystemError) {
    if let path { file = try FileDescriptor(opening: path, .writeOnly) } else { file = nil }
  }

  var rawValue: Int32 {
    switch file {
    case .some(let file): file.rawValue
    case .none: -1
    }
  }
}

/// A running child process.
///
/// Whoever starts a child waits for it exactly once; PID 1 waits for any child instead (`ChildProcess.reapAny`).
public struct ChildProcess: Sendable, Hashable {
  /// Process id.
  public let pid: Int32

  /// A process that somebody else started.
  public init(pid: Int32) {
    self.pid = pid
  }

  /// Starts a child. A program that does not exist or cannot be executed throws here.
  public static func start(_ request: ChildRequest) throws(SystemError) -> ChildProcess {
    guard let program = request.arguments.first else {
      throw SystemError("start an empty command", errno: .invalidArgument)
    }
    let arguments = CStringArray(request.arguments)
    let environment = request.environment.map { CStringArray($0) }
    let group = try ControlGroupFile(request.controlGroup)
    let pid = try systemCall("start", path: program) { () -> Int32 in
      // SAFETY: all pointers are to storage that outlives the call; clinux_spawn keeps none of them.
      unsafe request.descriptors.withUnsafeBufferPointer { descriptors in
        unsafe program.withCString { path in
          unsafe withOptionalCString(request.directory) { directory in
            var raw = unsafe clinux_child(
              path: path, argv: arguments.pointer, envp: environment?.pointer, cwd: directory,
              descriptors: descriptors.baseAddress, descriptor_count: descriptors.count,
              new_session: request.newSession ? 1 : 0, controlling_terminal: request.controllingTerminal ? 1 : 0,
              new_process_group: request.newProcessGroup ? 1 : 0, parent_death_signal: request.parentDeathSignal,
              new_process_namespace: request.newProcessNamespace ? 1 : 0, group: group.rawValue)
            return unsafe clinux_spawn(&raw)
          }
        }
      }
    }
    return ChildProcess(pid: pid)
  }

  /// Waits for the end of this child.
  public func wait() throws(SystemError) -> ExitStatus {
    var code: Int32 = 0
    // SAFETY: `code` lives for the call.
    try systemCall("wait for process \(pid)") { unsafe clinux_wait(pid, 0, &code) }
    return ExitStatus(code: code)
  }

  /// How this child ended; nil while it runs.
  public func poll() throws(SystemError) -> ExitStatus? {
    var code: Int32 = 0
    // SAFETY: `code` lives for the call.
    let got = try systemCall("wait for process \(pid)") { unsafe clinux_wait(pid, 1, &code) }
    return got == 0 ? nil : ExitStatus(code: code)
  }

  /// Any child that ended since the last call, for PID 1; nil when there is none.
  public static func reapAny() throws(SystemError) -> (ChildProcess, ExitStatus)? {
    var code: Int32 = 0
    do throws(SystemError) {
      // SAFETY: `code` lives for the call.
      let pid = try systemCall("wait for any child") { unsafe clinux_wait(-1, 1, &code) }
      return pid == 0 ? nil : (ChildProcess(pid: pid), ExitStatus(code: code))
    } catch {
      if error.errno == .noChild { return nil }
      throw error
    }
  }

  /// Sends a signal to the child.
  public func signal(_ number: Int32) throws(SystemError) {
    try systemCall("signal process \(pid)") { kill(pid, number) }
  }

  /// Sends a signal to the process group that the child leads.
  public func signalGroup(_ number: Int32) throws(SystemError) {
    try systemCall("signal process group \(pid)") { kill(-pid, number) }
  }
}

/// Numbers of the signals that this project sends and takes.
public enum Signal {
  /// SIGHUP.
  public static let hangUp = SIGHUP
  /// SIGINT.
  public static let interrupt = SIGINT
  /// SIGQUIT.
  public static let quit = SIGQUIT
  /// SIGKILL.
  public static let kill = SIGKILL
  /// SIGUSR1.
  public static let user1 = SIGUSR1
  /// SIGUSR2.
  public static let user2 = SIGUSR2
  /// SIGPIPE.
  public static let pipe = SIGPIPE
  /// SIGTERM.
  public static let terminate = SIGTERM
  /// SIGCHLD.
  public static let child = SIGCHLD
  /// SIGWINCH.
  public static let windowChange = SIGWINCH

  /// Ignores SIGPIPE in this process: writes to a closed peer then throw `brokenPipe`.
  public static func ignorePipe() {
    _ = Glibc.signal(SIGPIPE, SIG_IGN)
  }
}

/// A NULL-terminated array of C strings that owns its storage.
@safe
final class CStringArray {
  @unsafe let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  private let count: Int

  init(_ strings: [String]) {
    count = strings.count
    // SAFETY: allocated and initialised here, freed in deinit, never resized.
    unsafe pointer = .allocate(capacity: strings.count + 1)
    for (index, string) in strings.enumerated() { unsafe pointer[index] = strdup(string) }
    unsafe pointer[strings.count] = nil
  }

  deinit {
    for index in 0..<count { unsafe free(pointer[index]) }
    unsafe pointer.deallocate()
  }
}

private func withOptionalCString<T>(_ text: String?, _ body: (UnsafePointer<CChar>?) -> T) -> T {
  guard let text else { return body(nil) }
  return unsafe text.withCString { unsafe body($0) }
}
