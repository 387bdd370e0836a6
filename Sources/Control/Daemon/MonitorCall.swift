internal import Platform

/// One request to a running monitor at its control socket: a line there, a line back.
///
/// Lives on the loop's thread. A monitor that was started just now has no socket yet, so it is sought for a while.
final class MonitorCall {
  /// How it came out.
  enum Outcome: Hashable, Sendable {
    /// Done; what the monitor said beside that.
    case done(String)
    /// The monitor says why not.
    case refused(String)
    /// Nobody took the request in time, or nobody answered it: then it may have been done or not.
    case unanswered(String, mayBeDone: Bool)
    /// The monitor ended.
    case gone
  }

  /// Seconds that a monitor may take.
  static let patience = 15.0
  private static let pause = 0.1
  /// Seconds until the end of a monitor is known that closed its connections.
  private static let mourning = 0.5

  private let request: String
  private let files: [DescriptorBox]
  private let path: String
  private let loop: EventLoop
  private let isAlive: () -> Bool
  private let onEnd: (Outcome) -> Void
  private let deadline: Double
  private var connection: Connection?
  private var timer: EventLoop.Token?

  private final class Connection {
    let file: FileDescriptor
    var framer = LineFramer(limit: 64 << 10)
    var token: EventLoop.Token?

    init(_ file: consuming FileDescriptor) {
      self.file = file
    }
  }

  /// Sends `request` to the socket at `path`, for as long as `isAlive`, and gives the monitor `patience` seconds.
  /// `files` go with the request. `onEnd` is called once, never from here.
  init(
    _ request: String, with files: [DescriptorBox] = [], path: String, loop: EventLoop,
    patience: Double = MonitorCall.patience,
    isAlive: @escaping () -> Bool, onEnd: @escaping (Outcome) -> Void
  ) {
    self.request = request
    self.files = files
    self.path = path
    self.loop = loop
    self.isAlive = isAlive
    self.onEnd = onEnd
    deadline = loop.now + patience
    timer = loop.after(0) { [unowned self] in connect() }
  }

  deinit {
    loop.cancel(timer)
    loop.unwatch(connection?.token)
  }

  private func connect() {
    guard isAlive() else { return finish(.gone) }
    do throws(SystemError) {
      let connection = Connection(try UnixSocket.connect(path))
      try connection.file.setNonBlocking(true)
      // One short line into an empty socket.
      let line = Array("\(request)\n".utf8)
      let sent = try connection.file.send(line, with: files.map { $0.file.rawValue })
      try connection.file.writeAll(Array(line[sent...]))
      connection.token = try loop.watch(connection.file.rawValue, .readable) { [unowned self] _ in receive() }
      self.connection = connection
      timer = loop.after(max(0, deadline - loop.now)) { [unowned self] in
        finish(isAlive() ? .unanswered("it does not answer", mayBeDone: true) : .gone)
      }
    } catch {
      guard loop.now < deadline else { return finish(.unanswered("it cannot be reached: \(error)", mayBeDone: false)) }
      timer = loop.after(Self.pause) { [unowned self] in connect() }
    }
  }

  private func receive() {
    guard let connection else { return }
    do throws(SystemError) {
      let bytes = try connection.file.read(upTo: 4096)
      guard !bytes.isEmpty else { return lost() }
      guard let frame = connection.framer.append(bytes).first else { return }
      guard case .line(let line) = frame else { return finish(.unanswered("its answer is too long", mayBeDone: true)) }
      let text = Text.printable(String(decoding: line, as: UTF8.self))
      let words = text.split(separator: " ", maxSplits: 1).map(String.init)
      let rest = words.count > 1 ? words[1] : ""
      switch words.first {
      case "ok": finish(.done(rest))
      case "error": finish(.refused(rest.isEmpty ? "it does not say why" : rest))
      default: finish(.unanswered("its answer is not understood: \(text.prefix(100))", mayBeDone: true))
      }
    } catch {
      if error.errno != .wouldBlock { lost() }
    }
  }

  /// The connection ended without an answer, most likely because the monitor does.
  private func lost() {
    loop.unwatch(connection?.token)
    connection = nil
    loop.cancel(timer)
    timer = loop.after(Self.mourning) { [unowned self] in
      finish(isAlive() ? .unanswered("it closed the connection", mayBeDone: true) : .gone)
    }
  }

  private func finish(_ outcome: Outcome) {
    loop.cancel(timer)
    loop.unwatch(connection?.token)
    connection = nil
    onEnd(outcome)
  }
}
