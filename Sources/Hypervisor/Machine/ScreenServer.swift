internal import Devices
internal import Platform

/// Shows a machine's screen to VNC viewers at a socket, and takes their keys and pointer.
///
/// Belongs to the event loop's thread. While nobody looks it costs nothing; a viewer gets a picture at most every 40 ms,
/// and none before it has read the last.
final class ScreenServer {
  /// Time between two looks at the screen, in nanoseconds.
  private static let interval: UInt64 = 40_000_000
  private static let clientLimit = 16

  private final class Listener {
    let file: FileDescriptor

    init(_ file: consuming FileDescriptor) {
      self.file = file
    }
  }

  private final class Client {
    let file: FileDescriptor
    var token: UInt64 = 0
    var session: RFBSession
    var pointer = PointerTracker()
    var pending: ArraySlice<UInt8> = []
    var isWaiting = false

    init(_ file: consuming FileDescriptor, _ session: RFBSession) {
      self.file = file
      self.session = session
    }
  }

  private let loop: EventLoop
  private let display: Display
  private let keyboard: KeyboardController
  private let name: String
  private let password: String?
  private let log: @Sendable (String) -> Void
  private var listener: Listener?
  private let path: String
  private var clients: [UInt64: Client] = [:]
  private var timer: LoopTimer?

  /// Serves viewers of `display`, titled `name`, as `viewer` says.
  init(
    _ viewer: MachineConfiguration.Viewer, _ loop: EventLoop, display: Display, keyboard: KeyboardController,
    name: String, log: @escaping @Sendable (String) -> Void
  ) throws(HypervisorError) {
    self.loop = loop
    self.display = display
    self.keyboard = keyboard
    self.name = name
    self.log = log
    path = viewer.path
    password = try Self.password(viewer.passwordFile)
    timer = try LoopTimer(loop) { [unowned self] in self.refresh() }
    try refusal(.device, "the screen's socket cannot be made; check the directory") { () throws(SystemError) in
      let listener = Listener(try UnixSocket.listen(viewer.path))
      try listener.file.setNonBlocking(true)
      _ = try loop.add(listener.file.rawValue, .readable) { [unowned self] _ in self.accept() }
      self.listener = listener
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

  /// Gives the socket back.
  func finish() {
    try? Files.remove(path)
  }

  private func accept() {
    guard let listener, let file = try? UnixSocket.accept(listener.file) else { return }
    guard clients.count < Self.clientLimit, (try? file.setNonBlocking(true)) != nil else { return }
    var security = RFBSession.Security.none
    if let password {
      var challenge = [UInt8](repeating: 0, count: 16)
      var span = challenge.mutableSpan
      KernelRandom.fill(&span)
      security = .password(password, challenge: challenge)
    }
    let number = file.rawValue
    let client = Client(file, RFBSession(name: name, security: security, picture: display.snapshot().picture()))
    guard
      let token = try? loop.add(
        number, .readable,
        { [unowned self, unowned client] readiness in self.serve(client, readiness) })
    else { return }
    client.token = token
    clients[token] = client
    if clients.count == 1 { timer?.start(after: Self.interval, every: Self.interval) }
    send(client)
  }

  private func serve(_ client: Client, _ readiness: Readiness) {
    if readiness.contains(.writable) {
      send(client)
      guard clients[client.token] != nil else { return }
    }
    guard !readiness.isDisjoint(with: [.readable, .hangUp, .error]) else { return }
    do throws(SystemError) {
      let bytes = try client.file.read(upTo: 4096)
      if bytes.isEmpty { return drop(client) }
      for event in client.session.receive(bytes) { handle(event, of: client) }
    } catch {
      if error.errno != .wouldBlock { return drop(client) }
    }
    send(client)
  }

  private func handle(_ event: RFBSession.Event, of client: Client) {
    switch event {
    case .key(let keysym, let isDown):
      if let key = Keycode(keysym: keysym) { keyboard.press(key, isDown: isDown) }
    case .pointer(let x, let y, let buttons):
      keyboard.movePointer(client.pointer.move(x: x, y: y, mask: buttons))
    }
  }

  /// Looks at the screen for those who have read all that there was.
  private func refresh() {
    let waiting = clients.values.filter(\.pending.isEmpty)
    guard !waiting.isEmpty else { return }
    let picture = display.snapshot().picture()
    for client in waiting {
      client.session.update(picture)
      send(client)
    }
  }

  private func send(_ client: Client) {
    repeat {
      if client.pending.isEmpty { client.pending = client.session.output()[...] }
      guard !client.pending.isEmpty else { break }
      do throws(SystemError) {
        client.pending = client.pending.dropFirst(try client.file.write(client.pending))
      } catch {
        guard error.errno == .wouldBlock else { return drop(client) }
        break
      }
    } while true
    if client.pending.isEmpty, client.session.isClosed {
      if let failure = client.session.failure { log("a viewer of the screen was sent away: \(failure)") }
      return drop(client)
    }
    let isWaiting = !client.pending.isEmpty
    if isWaiting != client.isWaiting {
      client.isWaiting = isWaiting
      loop.change(client.token, client.file.rawValue, isWaiting ? [.readable, .writable] : .readable)
    }
  }

  private func drop(_ client: Client) {
    loop.remove(client.token, client.file.rawValue)
    clients[client.token] = nil
    if clients.isEmpty { timer?.stop() }
  }
}
