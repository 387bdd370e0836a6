internal import Platform

/// A connection to a domain's console, on a loop: bytes in both directions, without blocking.
///
/// Lives on the loop's thread.
final class ConsoleLink {
  /// Bytes that may wait for a guest that does not read; what is typed beyond this is lost.
  private static let queueLimit = 1 << 16
  /// How long after connecting the console's bytes are what happened before, in seconds.
  private static let replayTime = 0.3

  private let connection: ApplianceConnection
  private let loop: EventLoop
  private let onBytes: ([UInt8]) -> Void
  private let onEnd: () -> Void
  /// When that is over; nil until the connection is open.
  private var replayEnd: Double?
  private var replay = ReplayFilter()
  private var queue: [UInt8] = []
  private var token: EventLoop.Token?

  /// Goes on with a connection to a console. `onBytes` gets what the guest writes, `onEnd` is called once when the
  /// monitor closes the console, or it cannot be reached.
  init(
    _ connection: ApplianceConnection, loop: EventLoop, onBytes: @escaping ([UInt8]) -> Void,
    onEnd: @escaping () -> Void
  ) throws(SystemError) {
    self.connection = connection
    self.loop = loop
    self.onBytes = onBytes
    self.onEnd = onEnd
    try connection.setNonBlocking()
    if connection.isOpen { replayEnd = loop.now + Self.replayTime }
    token = try loop.watch(connection.descriptor, .readable) { [unowned self] in ready($0) }
  }

  deinit {
    loop.unwatch(token)
  }

  /// Types `bytes`.
  func send(_ bytes: some Sequence<UInt8>) {
    if queue.count < Self.queueLimit { queue += bytes }
    flush()
  }

  private func ready(_ readiness: Readiness) {
    if readiness.contains(.writable) { flush() }
    guard readiness != .writable, token != nil else { return }
    do throws(SystemError) {
      let bytes = try connection.read(upTo: 1 << 14)
      guard !bytes.isEmpty else { return end() }
      noteOpening()
      onBytes(loop.now < replayEnd ?? 0 ? replay.filter(bytes) : bytes)
    } catch {
      noteOpening()
      if error.errno != .wouldBlock { end() }
    }
  }

  private func noteOpening() {
    if replayEnd == nil, connection.isOpen { replayEnd = loop.now + Self.replayTime }
  }

  private func flush() {
    guard let token else { return }
    do throws(SystemError) {
      while !queue.isEmpty { queue.removeFirst(try connection.write(queue[...])) }
      loop.change(token, to: .readable)
    } catch {
      if error.errno == .wouldBlock { loop.change(token, to: [.readable, .writable]) } else { end() }
    }
  }

  private func end() {
    guard token != nil else { return }
    loop.unwatch(token)
    token = nil
    onEnd()
  }
}
