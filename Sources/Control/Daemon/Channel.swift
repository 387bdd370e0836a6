internal import Platform

/// One connection of the control protocol: bytes in, lines out to `onFrame`, and a bounded queue of replies.
///
/// Owned by `ControlServer`, on its loop's thread.
final class Channel {
  /// Bytes that may wait for a peer that does not read; more ends the connection.
  static let queueLimit = 4 << 20

  private let file: FileDescriptor
  private let loop: EventLoop
  private let onFrame: (Channel, LineFramer.Frame) -> Void
  private let onEnd: (Channel) -> Void
  private var framer = LineFramer()
  private var queue: [UInt8] = []
  private var token: EventLoop.Token?
  /// Requests of the peer's that were not answered yet.
  private var awaited = 0
  private var isEnding = false
  private var isEnded = false

  /// True when the peer wants events.
  var isSubscribed = false

  /// Takes over a non-blocking descriptor. `onEnd` is called once, when the peer is gone.
  init(
    _ file: consuming FileDescriptor, loop: EventLoop, onFrame: @escaping (Channel, LineFramer.Frame) -> Void,
    onEnd: @escaping (Channel) -> Void
  ) throws(SystemError) {
    self.file = file
    self.loop = loop
    self.onFrame = onFrame
    self.onEnd = onEnd
    token = try loop.watch(self.file.rawValue, .readable) { [unowned self] in ready($0) }
  }

  deinit {
    loop.unwatch(token)
  }

  /// Queues a line for the peer.
  func send(_ line: [UInt8]) {
    guard !isEnded else { return }
    guard queue.count + line.count < Self.queueLimit else { return end() }
    queue += line
    queue.append(0x0A)
    flush()
  }

  /// Says that a request is being worked on: the connection waits for its answer though the peer says no more.
  func expectAnswer() {
    awaited += 1
  }

  /// Queues the line that answers a request.
  func answer(_ line: [UInt8]) {
    awaited -= 1
    send(line)
  }

  /// Ends the connection at once.
  func end() {
    guard !isEnded else { return }
    isEnded = true
    loop.unwatch(token)
    token = nil
    onEnd(self)
  }

  private func ready(_ readiness: Readiness) {
    if readiness.contains(.writable) { flush() }
    if isEnded { return }
    if readiness.contains(.readable) {
      receive()
    } else if readiness.contains(.hangUp) || readiness.contains(.error) {
      end()
    }
  }

  private func receive() {
    do throws(SystemError) {
      let bytes = try file.read(upTo: 1 << 16)
      guard !bytes.isEmpty else {
        // The peer says no more; what it asked is still answered.
        isEnding = true
        if queue.isEmpty && awaited == 0 { end() } else { loop.change(requireToken, to: interest) }
        return
      }
      for frame in framer.append(bytes) {
        onFrame(self, frame)
        if isEnded { return }
      }
    } catch {
      if error.errno != .wouldBlock { end() }
    }
  }

  private func flush() {
    do throws(SystemError) {
      var rest = queue[...]
      while !rest.isEmpty {
        do throws(SystemError) {
          rest = rest.dropFirst(try file.write(rest))
        } catch {
          queue = Array(rest)
          if error.errno == .wouldBlock { break }
          throw error
        }
      }
      if rest.isEmpty { queue.removeAll() }
      if queue.isEmpty && isEnding && awaited == 0 { return end() }
      loop.change(requireToken, to: interest)
    } catch {
      end()
    }
  }

  /// A hang-up is told whatever is asked for.
  private var interest: Readiness {
    var interest: Readiness = isEnding ? [] : .readable
    if !queue.isEmpty { interest.insert(.writable) }
    return interest
  }

  private var requireToken: EventLoop.Token { token ?? 0 }
}
