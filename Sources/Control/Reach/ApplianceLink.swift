internal import Platform
internal import Synchronization

/// What of an appliance a stream is joined to.
public enum ApplianceStream: Hashable, Sendable {
  /// The domain manager, which speaks the control protocol.
  case control
  /// A domain's console.
  case console(DomainStatus)
  /// A domain's screen, by RFB.
  case screen(DomainStatus)
}

/// The way to an appliance: the sockets of this machine, or SSH to another, where `roost relay` joins them.
///
/// Not for several threads at once.
public final class ApplianceLink {
  /// The other machine; nil for this one.
  public let host: RemoteHost?
  private let socket: String
  private let isSocketGiven: Bool
  private var options: SecureShellClient.Options
  /// Seconds until an unanswered connection is given up; nil leaves that to ssh.
  private let patience: Double?
  /// The connection that the others share its login with, open as long as this is there.
  private var shared: ApplianceConnection?

  private static let count = Atomic(0)

  /// The way to the domain manager at `socket` (nil: where it is by itself) of `host`, or of this machine.
  public convenience init(host: RemoteHost? = nil, socket: String? = nil) {
    var options = SecureShellClient.Options()
    if host != nil { options.sharing = Self.sharingPath() }
    self.init(host: host, socket: socket, options)
  }

  /// One that asks nobody, says nothing, and gives up after `seconds`: for what helps a shell.
  public convenience init(host: RemoteHost?, socket: String?, quietWithin seconds: Double) {
    var options = SecureShellClient.Options()
    options.isQuiet = true
    options.connectSeconds = max(1, Int(seconds))
    self.init(host: host, socket: socket, options, patience: seconds)
  }

  init(host: RemoteHost?, socket: String?, _ options: SecureShellClient.Options, patience: Double? = nil) {
    self.host = host
    self.socket = socket ?? ControlProtocol.socketPath
    isSocketGiven = socket != nil
    self.options = options
    self.patience = patience
  }

  /// Where it leads, for messages.
  var place: String { host.map { "\($0)" } ?? socket }

  /// From now on nobody is asked, and ssh says nothing: a screen has the terminal.
  public func becomeQuiet() {
    options.isQuiet = true
  }

  /// Opens a stream. Over SSH it need not be open yet: `waitUntilOpen` waits, and what is written meanwhile is not lost.
  func open(_ stream: ApplianceStream) throws(ControlError) -> ApplianceConnection {
    guard let host else { return try openHere(stream) }
    let words: [String] =
      switch stream {
      case .control: []
      case .console(let domain): ["console", domain.name]
      case .screen(let domain): ["screen", domain.name]
      }
    let connection = try relay(words, host)
    if stream == .control {
      try connection.waitUntilOpen(within: patience)
      shared = connection
    }
    return connection
  }

  /// What a domain's console has shown, in pieces: `show` gets each as it is in the log. With `follows` it goes on
  /// until the connection ends.
  public func readLog(
    of domain: DomainStatus, follows: Bool, _ show: ([UInt8]) -> Void
  ) throws(ControlError) {
    guard let host else {
      var reader = LogReader(path: domain.log)
      while true {
        let bytes = try reader.next()
        if !bytes.isEmpty {
          show(bytes)
        } else if follows {
          MonotonicClock.sleep(milliseconds: 200)
        } else {
          return
        }
      }
    }
    let connection = try relay(["log", domain.name] + (follows ? ["--follow"] : []), host)
    try connection.waitUntilOpen(within: patience)
    do throws(SystemError) {
      while true {
        let bytes = try connection.read(upTo: 1 << 16)
        if bytes.isEmpty { break }
        show(bytes)
      }
    } catch {
      throw ControlError(.disconnected, "lost the log of \(domain.name): \(error.errno)")
    }
    if let failure = connection.failure { throw failure }
  }

  /// The words that run `command`, or a shell if there is none, over there with this process's streams, on a terminal if
  /// `onTerminal`; nil for this machine.
  public func remoteCommand(_ command: [String] = [], onTerminal: Bool = true) -> [String]? {
    host.map { SecureShellClient.arguments($0, command, terminal: onTerminal, options) }
  }

  private func relay(_ words: [String], _ host: RemoteHost) throws(ControlError) -> ApplianceConnection {
    let command = ["roost", "relay"] + words + (isSocketGiven ? ["--socket", socket] : [])
    do throws(SystemError) {
      let pair = try SocketPair()
      let child = try SecureShellClient(host, command, stream: pair.far.rawValue, options)
      return ApplianceConnection(pair.takeNear(), through: child)
    } catch {
      throw SecureShellClient.cannotStart(host, options.program, error)
    }
  }

  private func openHere(_ stream: ApplianceStream) throws(ControlError) -> ApplianceConnection {
    switch stream {
    case .control:
      do throws(SystemError) {
        return ApplianceConnection(try UnixSocket.connect(socket))
      } catch {
        throw Self.noManager(error)
      }
    case .console(let domain):
      do throws(SystemError) {
        return ApplianceConnection(try UnixSocket.connect(domain.console))
      } catch {
        throw ControlError(.unreachable, "the console does not answer: \(error); is the domain running?")
      }
    case .screen(let domain):
      guard let path = domain.screen else {
        throw ControlError(.wrongState, "\(domain.name) has no screen; write 'display: vga' in its recipe")
      }
      do throws(SystemError) {
        return ApplianceConnection(try UnixSocket.connect(path))
      } catch {
        throw ControlError(.unreachable, "no screen answers at \(path) (\(error.errno)); is the domain running?")
      }
    }
  }

  static func noManager(_ error: SystemError) -> ControlError {
    ControlError(
      .unreachable,
      """
      cannot reach the domain manager: \(error). Inside the appliance, see whether roostd runs \
      (/var/log/roost/init.log); it needs root. From another machine, name the appliance with --host.
      """)
  }

  /// Where connections of this process meet, in a directory that is the user's alone; nil where there is none whose
  /// path a unix socket can have (ssh adds up to 17 bytes, unix(7) has 108).
  private static func sharingPath() -> String? {
    let runtime = ProcessEnvironment.value("XDG_RUNTIME_DIR")
    let home = ProcessEnvironment.value("HOME").map { "\($0)/.ssh" }
    let number = count.add(1, ordering: .relaxed).newValue
    for directory in [runtime, home].compactMap(\.self) where Files.exists(directory) {
      let path = "\(directory)/roost-\(ProcessEnvironment.processID)-\(number)"
      // ssh_config(5) takes % and blanks for more than themselves.
      if path.utf8.count < 88, path.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "/._-".contains($0)) }) {
        return path
      }
    }
    return nil
  }
}
