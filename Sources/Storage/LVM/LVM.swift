internal import CLVM
internal import Platform
internal import Synchronization

/// LVM's commands, run inside this process by liblvm2cmd.
///
/// Concurrency: the library has one state for the whole process. `gate` is held through every call into it, so
/// commands run one after the other; `Journal` is written by the library's callback, which runs within such a call.
/// Lock order: `gate`, then the journal.
@safe
public final class LVM: Sendable {
  private static let gate = Mutex<Void>(())

  // SAFETY: made by lvm2_init, only used under `gate`, given back in deinit.
  @unsafe private nonisolated(unsafe) let handle: UnsafeMutableRawPointer

  /// Starts the library with the configuration `directory/lvm.conf`. The process must still have one thread.
  public init(configuration directory: String) throws(StorageError) {
    try storage("configure LVM") { () throws(SystemError) in
      try ProcessEnvironment.set("LVM_SYSTEM_DIR", to: directory)
      // The device-mapper library makes its nodes itself: there is no udev.
      try ProcessEnvironment.set("DM_DISABLE_UDEV", to: "1")
    }
    let started = Self.gate.withLock { _ -> UInt? in
      Journal.clear()
      // SAFETY: the callback is a C function without context; the library keeps it for good.
      unsafe lvm2_log_fn { level, _, _, _, message in
        guard let message = unsafe message else { return }
        unsafe Journal.append(level: level, String(cString: message))
      }
      return unsafe lvm2_init().map { UInt(bitPattern: $0) }
    }
    guard let started, let handle = unsafe UnsafeMutableRawPointer(bitPattern: started) else {
      throw StorageError(.lvm, "LVM does not start with the configuration \(directory)/lvm.conf", log: Journal.lines)
    }
    unsafe self.handle = handle
  }

  deinit {
    // SAFETY: nobody holds the handle any more.
    Self.gate.withLock { _ in unsafe lvm2_exit(handle) }
  }

  /// Runs one command, such as `["lvs", "--reportformat", "json"]`, and returns the lines it printed, warnings
  /// included. A failing command throws with what it said.
  ///
  /// `onLine` gets each line as it is printed, on this thread.
  @discardableResult
  public func run(
    _ arguments: [String], onLine: (@Sendable (String) -> Void)? = nil
  ) throws(StorageError) -> [String] {
    let line = try Self.commandLine(arguments)
    let (code, lines) = Self.gate.withLock { _ -> (Int32, [String]) in
      Journal.clear()
      Journal.listen(onLine)
      defer { Journal.listen(nil) }
      // SAFETY: the C string lives for the call, the handle as long as this object.
      let code = unsafe lvm2_run(handle, line)
      return (code, Journal.lines)
    }
    guard code == LVM2_COMMAND_SUCCEEDED else {
      let reason =
        switch code {
        case LVM2_NO_SUCH_COMMAND: "LVM has no such command"
        case LVM2_INVALID_PARAMETERS: "LVM does not accept the arguments"
        case LVM2_INIT_FAILED: "LVM could not start it"
        default: "LVM could not do it"
        }
      throw StorageError(.lvm, "\(reason): \(line)", log: lines)
    }
    return lines
  }

  /// Runs a reporting command (`pvs`, `vgs`, `lvs`) and returns its rows: texts by column.
  public func report(
    _ command: String, columns: [String], _ arguments: [String] = []
  ) throws(StorageError) -> [[String: String]] {
    let lines = try run(
      [command, "--reportformat", "json", "--units", "b", "--nosuffix", "-o", columns.joined(separator: ",")]
        + arguments)
    return try LVMReport.rows(lines, command: command)
  }

  /// The library's own splitter knows quotes but no escapes (tools/lvmcmdline.c, lvm_split).
  static func commandLine(_ arguments: [String]) throws(StorageError) -> String {
    var words: [String] = []
    for argument in arguments {
      let quotes = argument.contains { $0 == "'" || $0 == "\"" || $0.isNewline || $0 == "\0" }
      if quotes || argument.isEmpty {
        throw StorageError(.plan, "LVM takes no argument with quotes or line breaks, nor an empty one: \(argument)")
      }
      words.append(argument.contains { $0.isWhitespace || $0 == "#" } ? "'\(argument)'" : argument)
    }
    return words.joined(separator: " ")
  }

  /// What the library says in the course of a command.
  private enum Journal {
    private static let state = Mutex<[String]>([])
    private static let listener = Mutex<(@Sendable (String) -> Void)?>(nil)

    static func listen(_ handler: (@Sendable (String) -> Void)?) {
      listener.withLock { $0 = handler }
    }

    static var lines: [String] { state.withLock { $0 } }

    static func clear() {
      state.withLock { $0.removeAll() }
    }

    /// Keeps what a user of the command would see: fatal 2, error 3, warning and print 4; not 5 and above.
    static func append(level: Int32, _ text: String) {
      guard level <= LVM2_LOG_PRINT else { return }
      state.withLock { $0.append(text) }
      // Not under the lock: the handler may take its time.
      listener.withLock { $0 }?(text)
    }
  }
}
