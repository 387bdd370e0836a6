internal import Devices
internal import Platform

/// Shows a machine's screen to VNC viewers at a socket, and takes their keys and pointer.
///
/// Belongs to the event loop's thread. While nobody looks it costs nothing; a viewer gets a picture at most every 40 ms,
/// and none before it has read the last.
final class ScreenServer: SocketServer {
  /// Time between two looks at the screen, in nanoseconds.
  private static let interval: UInt64 = 40_000_000
  private static let clientLimit = 16

  /// A viewer.
  struct ClientState {
    var session: RFBSession
    var pointer = PointerTracker()
  }

  private let display: Display
  private let keyboard: KeyboardController
  private let name: String
  private let password: String?
  private let log: @Sendable (String) -> Void
  private var socket: ListeningSocket<ScreenServer>?
  private var isWatched = false
  private var timer: LoopTimer?

  /// Serves viewers of `display`, titled `name`, as `viewer` says.
  init(
    _ viewer: MachineConfiguration.Viewer, _ loop: EventLoop, display: Display, keyboard: KeyboardController,
    name: String, log: @escaping @Sendable (String) -> Void
  ) throws(HypervisorError) {
    self.display = display
    self.keyboard = keyboard
    self.name = name
    self.log = log
    password = try Self.password(viewer.passwordFile)
    timer = try LoopTimer(loop) { [unowned self] in self.refresh() }
    try refusal(.device, "the screen's socket cannot be made; check the directory") { () throws(SystemError) in
      socket = try ListeningSocket(at: viewer.path, loop, for: self, clientLimit: Self.clientLimit)
    }
  }

  private static func password(_ path: String?) throws(HypervisorError) -> String? {
    guard let path else { return nil }
    let text = try refusal(.configuration, "the screen's password cannot be read") { () throws(SystemError) in
      try Files.readText(path)
    }
    let line = String(text.prefix { $0 != "\n" && $0 != "\r\n" })
    guard !line.isEmpty else {
      throw HypervisorError(.configuration, "the first line is empty; write the screen's password there", path: path)
    }
    return line
  }

  /// Gives the socket back, but for its path where that is for others to do.
  func finish(leavesPath: Bool = false) {
    socket?.finish(leavesPath: leavesPath)
  }

  func welcome() -> (state: ClientState, first: [UInt8]) {
    var security = RFBSession.Security.none
    if let password {
      var challenge = [UInt8](repeating: 0, count: 16)
      var span = challenge.mutableSpan
      KernelRandom.fill(&span)
      security = .password(password, challenge: challenge)
    }
    let session = RFBSession(name: name, security: security, picture: display.snapshot().picture())
    return (ClientState(session: session), [])
  }

  func clientsChanged() {
    let isWatched = !(socket?.clients.isEmpty ?? true)
    guard isWatched != self.isWatched else { return }
    self.isWatched = isWatched
    if isWatched { timer?.start(after: Self.interval, every: Self.interval) } else { timer?.stop() }
  }

  func takesInput(from client: Client) -> Bool { true }

  func receive(_ bytes: [UInt8], from client: Client) {
    for event in client.state.session.receive(bytes) { handle(event, of: client) }
    send(client)
  }

  private func handle(_ event: RFBSession.Event, of client: Client) {
    switch event {
    case .key(let keysym, let isDown):
      if let key = Keycode(keysym: keysym) { keyboard.press(key, isDown: isDown) }
    case .pointer(let x, let y, let buttons):
      keyboard.movePointer(client.state.pointer.move(x: x, y: y, mask: buttons))
    }
  }

  /// Looks at the screen for those who have read all that there was.
  private func refresh() {
    let waiting = (socket?.clients ?? []).filter(\.pending.isEmpty)
    guard !waiting.isEmpty else { return }
    let picture = display.snapshot().picture()
    for client in waiting {
      client.state.session.update(picture)
      send(client)
    }
  }

  func send(_ client: Client) {
    guard let socket else { return }
    repeat {
      if client.pending.isEmpty { client.pending = client.state.session.output()[...] }
    } while !client.pending.isEmpty && socket.send(client)
    guard client.pending.isEmpty, client.state.session.isClosed else { return }
    if let failure = client.state.session.failure { log("a viewer of the screen was sent away: \(failure)") }
    socket.drop(client)
  }
}
