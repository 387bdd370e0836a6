internal import Platform

/// Where a guest's port is shown: a terminal, or a socket that any number of clients connect to.
///
/// Belongs to the event loop's thread. Output comes through `Outbox`; input goes to `input`, which says how many bytes
/// the guest's port has taken. The rest waits here, and nothing more is read from the clients meanwhile.
final class ConsoleServer: SocketServer {
  /// What `input` returns is how many bytes it took.
  typealias Input = ([UInt8]) -> Int

  /// Bytes kept for a client that does not read; then the oldest go.
  private static let clientLimit = 256 << 10

  typealias ClientState = Void

  private let loop: EventLoop
  private let outbox: Outbox
  private let input: Input
  private var recorder: Recorder
  private var socket: ListeningSocket<ConsoleServer>?
  private var waitingInput: [UInt8] = []
  private let retry: TimerDescriptor
  /// Output is gathered for this long when it comes byte after byte: a wake-up for each would slow the guest.
  private static let gatheringTime: UInt64 = 4_000_000  // nanoseconds
  private let gathering: TimerDescriptor
  private var lastDrain: UInt64 = 0

  // The terminal, when it is one.
  private var terminal: RawTerminal?
  private var standardInput: UInt64?
  private var leave: (() -> Void)?
  private var writesToStandardOutput = false

  private init(
    _ loop: EventLoop, outbox: Outbox, log: String?, input: @escaping Input
  ) throws(HypervisorError) {
    self.loop = loop
    self.outbox = outbox
    self.input = input
    recorder = try Recorder(log: log)
    retry = try refusal(.system, "no timer can be made") { () throws(SystemError) in try TimerDescriptor() }
    gathering = try refusal(.system, "no timer can be made") { () throws(SystemError) in try TimerDescriptor() }
  }

  /// Shows the port at the socket `path`.
  static func listening(
    at path: String, log: String?, _ loop: EventLoop, outbox: Outbox, input: @escaping Input
  ) throws(HypervisorError) -> ConsoleServer {
    let server = try ConsoleServer(loop, outbox: outbox, log: log, input: input)
    try refusal(.device, "the console's socket cannot be made; check the directory") { () throws(SystemError) in
      server.socket = try ListeningSocket(at: path, loop, for: server)
      try server.registerEvents()
    }
    return server
  }

  /// Shows the port on this process's standard input and output; `leave` is called when Ctrl-] is pressed.
  static func terminal(
    _ loop: EventLoop, outbox: Outbox, input: @escaping Input, leave: @escaping () -> Void
  ) throws(HypervisorError) -> ConsoleServer {
    let server = try ConsoleServer(loop, outbox: outbox, log: nil, input: input)
    server.leave = leave
    server.writesToStandardOutput = true
    server.terminal = RawTerminal(0)
    try refusal(.device, "the terminal cannot be used") { () throws(SystemError) in
      do throws(SystemError) {
        server.standardInput = try loop.add(0, .readable) { [unowned server] _ in server.readStandardInput() }
      } catch {
        // A regular file or /dev/null cannot be waited for: there is no input then.
        guard error.errno == .notPermitted else { throw error }
      }
      try server.registerEvents()
    }
    return server
  }

  private func registerEvents() throws(SystemError) {
    _ = try loop.add(outbox.wake.file.rawValue, .readable) { [unowned self] _ in self.gather() }
    _ = try loop.add(gathering.file.rawValue, .readable) { [unowned self] _ in
      _ = try? self.gathering.take()
      self.drain()
    }
    _ = try loop.add(retry.file.rawValue, .readable) { [unowned self] _ in
      _ = try? self.retry.take()
      self.deliver([])
    }
  }

  /// Shows what is left and gives the terminal and the socket back, but for its path where that is for others to do.
  func finish(leavesPath: Bool = false) {
    drain()
    terminal = nil
    socket?.finish(leavesPath: leavesPath)
  }

  // MARK: From the guest

  /// The first byte after a silence goes out at once, the next ones together.
  private func gather() {
    _ = try? outbox.wake.take()
    if MonotonicClock.now() &- lastDrain > 4 * Self.gatheringTime {
      drain()
    } else {
      try? gathering.set(after: Self.gatheringTime)
    }
  }

  /// Passes on what the guest has printed.
  func drain() {
    lastDrain = MonotonicClock.now()
    let bytes = outbox.take()
    guard !bytes.isEmpty else { return }
    recorder.append(bytes)
    if writesToStandardOutput { try? StandardStream.output.writeAll(bytes) }
    for client in socket?.clients ?? [] {
      client.pending.append(contentsOf: bytes)
      send(client)
    }
  }

  func send(_ client: Client) {
    socket?.send(client)
    if client.pending.count > Self.clientLimit {
      client.pending.removeFirst(client.pending.count - Self.clientLimit)
    }
  }

  /// Who has just come sees what was printed before.
  func welcome() -> (state: ClientState, first: [UInt8]) { ((), recorder.recent) }

  func clientsChanged() {}

  // MARK: To the guest

  func receive(_ bytes: [UInt8], from client: Client) {
    deliver(bytes)
  }

  func takesInput(from client: Client) -> Bool { takesInput }

  /// Input that the guest has not taken yet holds the clients back.
  private var takesInput: Bool { waitingInput.isEmpty }

  private func readStandardInput() {
    let escape: UInt8 = 0x1D  // Ctrl-]
    guard let bytes = try? StandardStream.input.read(upTo: 4096), !bytes.isEmpty else {
      if let standardInput { loop.remove(standardInput, 0) }
      standardInput = nil
      return
    }
    if terminal != nil, bytes.contains(escape) {
      leave?()
      return
    }
    deliver(bytes)
  }

  private func deliver(_ bytes: [UInt8]) {
    let tookInput = takesInput
    defer { if takesInput != tookInput { socket?.inputChanged() } }
    waitingInput.append(contentsOf: bytes)
    guard !waitingInput.isEmpty else { return }
    waitingInput.removeFirst(min(waitingInput.count, input(waitingInput)))
    if waitingInput.count > 1 << 16 { waitingInput.removeFirst(waitingInput.count - 1 << 16) }
    if !waitingInput.isEmpty { try? retry.set(after: 5_000_000) }
  }
}
