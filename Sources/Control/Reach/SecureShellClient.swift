internal import Platform
internal import Synchronization

/// OpenSSH's client as a child (ssh(1)): a command at another machine, with a stream for its input and output.
///
/// What it asks goes to the terminal by itself (/dev/tty). What it says on its standard error is taken by a thread of
/// its own, kept as far as errors need it, and shown until the stream is open. `state` may be used by any thread.
final class SecureShellClient: Sendable {
  /// How it is called.
  struct Options: Sendable {
    /// The program and its first arguments.
    var program = SecureShellClient.configuredProgram
    /// The socket by which several connections share one login; nil for none.
    var sharing: String?
    /// True where nobody can be asked, and nothing is to be said.
    var isQuiet = false
    /// Seconds that connecting may take.
    var connectSeconds = 20
  }

  /// Names a program in ssh's place, with arguments after blanks.
  static let variable = "ROOST_SSH"

  /// Bytes that are kept of what it says.
  private static let tailLimit = 8 << 10

  private struct State {
    var tail: [UInt8] = []
    var isShown: Bool
    /// Set when it was waited for: its number may be another's from then on.
    var status: ExitStatus?
  }

  let host: RemoteHost
  private let process: ChildProcess
  private let state: Mutex<State>

  /// The program that environment and installation give.
  static var configuredProgram: [String] {
    let words = (ProcessEnvironment.value(variable) ?? "").split(separator: " ").map(String.init)
    return words.isEmpty ? ["ssh"] : words
  }

  /// The words that have `command` run at `host`.
  static func arguments(_ host: RemoteHost, _ command: [String], terminal: Bool, _ options: Options) -> [String] {
    var words = options.program + [terminal ? "-t" : "-T", "-a", "-x"]
    var settings = [
      "ClearAllForwardings=yes", "ConnectTimeout=\(options.connectSeconds)", "ServerAliveInterval=15",
    ]
    if options.isQuiet { settings.append("BatchMode=yes") }
    if let sharing = options.sharing {
      settings += ["ControlMaster=auto", "ControlPersist=no", "ControlPath=\(sharing)"]
    }
    for setting in settings { words += ["-o", setting] }
    if let port = host.port { words += ["-p", "\(port)"] }
    if let user = host.user { words += ["-l", user] }
    words.append(host.name)
    // The other side's shell takes one line apart.
    if !command.isEmpty { words.append(command.map(shellQuoted).joined(separator: " ")) }
    return words
  }

  /// A word as a POSIX shell takes it for itself (POSIX.1-2017, Shell Command Language, 2.2.2).
  static func shellQuoted(_ word: String) -> String {
    let isPlain =
      !word.isEmpty
      && word.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_-./:=+,@".contains($0)) }
    if isPlain { return word }
    return ShellWord.quoted(word)
  }

  /// Starts it on the socket `stream`, which the caller closes on its side.
  init(
    _ host: RemoteHost, _ command: [String], stream: Int32, _ options: Options
  ) throws(SystemError) {
    self.host = host
    state = Mutex(State(isShown: !options.isQuiet))
    let pipe = try Pipe()
    var request = ChildRequest(Self.arguments(host, command, terminal: false, options))
    request.descriptors = [stream, stream, pipe.writer.rawValue]
    process = try ChildProcess.start(request)
    let errors = try pipe.reader.duplicate().release()
    try Thread("ssh") { self.follow(FileDescriptor(adopting: errors)) }.detach()
  }

  /// From now on what it says is kept only.
  func stopShowing() {
    state.withLock { $0.isShown = false }
  }

  /// Has it end at once.
  func end() {
    state.withLock { if $0.status == nil { try? process.signal(Signal.terminate) } }
  }

  /// How it ended, and its last words; nil when it did not within `seconds`.
  func outcome(within seconds: Double) -> (status: ExitStatus, words: [String])? {
    let end = MonotonicClock.now() + UInt64(seconds * 1e9)
    while true {
      let (status, tail) = state.withLock { ($0.status, $0.tail) }
      if let status {
        let lines = Text.printable(String(decoding: tail, as: UTF8.self)).split(separator: "\n").map(String.init)
        return (status, lines.filter { !$0.allSatisfy(\.isWhitespace) })
      }
      guard MonotonicClock.now() < end else { return nil }
      MonotonicClock.sleep(milliseconds: 5)
    }
  }

  private func follow(_ errors: consuming FileDescriptor) {
    while let bytes = try? errors.read(upTo: 4096), !bytes.isEmpty {
      let isShown = state.withLock { state in
        state.tail += bytes
        if state.tail.count > Self.tailLimit { state.tail.removeFirst(state.tail.count - Self.tailLimit) }
        return state.isShown
      }
      if isShown { StandardStream.error.write(String(decoding: bytes, as: UTF8.self)) }
    }
    while true {
      let isOver = state.withLock { state in
        do throws(SystemError) {
          state.status = try process.poll()
        } catch {
          state.status = .exited(255)
        }
        return state.status != nil
      }
      if isOver { return }
      MonotonicClock.sleep(milliseconds: 5)
    }
  }
}

extension SecureShellClient {
  /// What keeps this machine from starting it, in words.
  static func cannotStart(_ host: RemoteHost, _ program: [String], _ error: SystemError) -> ControlError {
    ControlError(
      .unreachable,
      "cannot reach \(host): \(program.first ?? "ssh") does not start here: \(error.errno); install OpenSSH's client "
        + "(apt-get install openssh-client), or name a program like it in \(variable)")
  }

  /// Why the stream ended; nil where it was open and the other side just closed it.
  func failure(wasOpen: Bool) -> ControlError? {
    // One whose login others share goes on when its own stream has ended.
    guard let (status, words) = outcome(within: wasOpen ? 1 : 10) else {
      return wasOpen ? nil : ControlError(.disconnected, "\(host) closed the connection, and ssh does not end")
    }
    let last = words.last.map { ": \($0.hasSuffix(".") ? String($0.dropLast()) : $0)" } ?? ""
    if wasOpen {
      guard status == .exited(255) else { return nil }
      return ControlError(.disconnected, "the connection to \(host) broke\(last)")
    }
    switch status {
    case .exited(255) where words.contains(where: Self.isRefusal):
      return ControlError(
        .unreachable,
        "\(host) does not let you in\(last). An appliance knows root, with the keys of its recipe or stick: "
          + "--host root@\(host.name)")
    case .exited(255) where words.contains(where: Self.isDoubt):
      return ControlError(
        .unreachable,
        "\(host) is not trusted\(last). A live session has a new key each time: 'ssh-keygen -R \(host.name)' forgets the "
          + "old one, if you are sure of the machine")
    case .exited(255):
      return ControlError(.unreachable, "\(host) cannot be reached by ssh\(last)")
    case .exited(126), .exited(127):
      return ControlError(.unreachable, "there is no roost at \(host)\(last); is it an appliance?")
    case .exited(64):
      return ControlError(
        .unsupportedVersion, "the roost at \(host) is of another time than this one; use one of the same version")
    default:
      return ControlError(.disconnected, "ssh to \(host) ended (\(status)) before a relay answered\(last)")
    }
  }

  /// True for what ssh says when a login was refused.
  private static func isRefusal(_ line: String) -> Bool {
    ["Permission denied", "Too many authentication failures", "No more authentication methods"].contains {
      line.contains($0)
    }
  }

  /// True for what ssh says of a host whose key is not the one that it knows.
  private static func isDoubt(_ line: String) -> Bool {
    ["Host key verification failed", "REMOTE HOST IDENTIFICATION HAS CHANGED"].contains { line.contains($0) }
  }
}
