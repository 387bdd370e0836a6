internal import Binary
internal import Platform

/// One look at a domain's screen, by the protocol that VNC viewers speak (RFC 6143, version 3.8).
public struct ScreenCapture: Sendable, Hashable {
  /// Pixels a line.
  public let width: Int
  /// Lines.
  public let height: Int
  /// 0x00RRGGBB, line by line from the upper left.
  public let pixels: [UInt32]

  /// Looks at the screen of `domain`, by `link`. Fails after `seconds` without an answer.
  public init(
    of domain: DomainStatus, by link: ApplianceLink = ApplianceLink(), within seconds: Int = 10
  ) throws(ControlError) {
    let stream = try link.open(.screen(domain))
    try stream.waitUntilOpen()
    var connection = try Connection(stream, seconds)
    let greeting = try connection.read(12)
    guard greeting.starts(with: Array("RFB 003.".utf8)) else { throw Self.odd("it does not speak RFB") }
    try connection.write(Array("RFB 003.008\n".utf8))
    let types = try connection.read(Int(try connection.read(1)[0]))
    guard types.contains(1) else { throw Self.odd("it wants a password") }
    try connection.write([1])
    guard try connection.big(4) == 0 else { throw Self.odd("it turned the connection down") }
    try connection.write([1])  // shared: whoever looks at it goes on looking
    let width = try connection.big(2)
    let height = try connection.big(2)
    _ = try connection.read(16)
    _ = try connection.read(try connection.bounded(try connection.big(4), 1 << 16))
    guard width > 0, height > 0, width <= 4096, height <= 4096 else { throw Self.odd("its size is impossible") }

    var request = ByteWriter()
    // 32 bits a pixel, of which 24 count, least significant byte first, 8-8-8 with blue lowest.
    request.raw([0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0])
    request.raw([2, 0, 0, 1, 0, 0, 0, 0])  // one encoding: raw
    request.raw([3, 0, 0, 0, 0, 0])
    request.big(UInt16(width))
    request.big(UInt16(height))
    try connection.write(request.bytes)

    var pixels = [UInt32](repeating: 0, count: width * height)
    guard try connection.read(1)[0] == 0 else { throw Self.odd("it answers something else than a picture") }
    _ = try connection.read(1)
    for _ in 0..<(try connection.big(2)) {
      let (x, y) = (try connection.big(2), try connection.big(2))
      let (columns, rows) = (try connection.big(2), try connection.big(2))
      guard try connection.big(4) == 0, x + columns <= width, y + rows <= height else {
        throw Self.odd("its picture is not as it was asked for")
      }
      let bytes = try connection.read(columns * rows * 4)
      for row in 0..<rows {
        for column in 0..<columns {
          let at = (row * columns + column) * 4
          pixels[(y + row) * width + x + column] =
            UInt32(bytes[at]) | UInt32(bytes[at + 1]) << 8 | UInt32(bytes[at + 2]) << 16
        }
      }
    }
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// The picture as a PNG file.
  public func png() throws(ControlError) -> [UInt8] {
    try PNGFile.encode(width: width, height: height, pixels: pixels)
  }

  private static func odd(_ what: String) -> ControlError {
    ControlError(.malformedReply, "the screen cannot be read: \(what)")
  }

  private struct Connection: ~Copyable {
    let stream: ApplianceConnection
    let poller: Poller
    let deadline: UInt64
    var buffer: [UInt8] = []
    var used = 0

    init(_ stream: ApplianceConnection, _ seconds: Int) throws(ControlError) {
      self.stream = stream
      deadline = MonotonicClock.now() + UInt64(seconds) * 1_000_000_000
      poller = try Self.watch(stream)
    }

    private static func watch(_ stream: ApplianceConnection) throws(ControlError) -> Poller {
      do throws(SystemError) {
        // What came with a relay's greeting is there without a wait.
        try stream.setNonBlocking()
        let poller = try Poller()
        try poller.add(stream.descriptor, .readable, token: 0)
        return poller
      } catch {
        throw ControlError(.system, "the screen cannot be waited for: \(error)")
      }
    }

    func write(_ bytes: [UInt8]) throws(ControlError) {
      var rest = bytes[...]
      while !rest.isEmpty {
        do throws(SystemError) {
          rest = rest.dropFirst(try stream.write(rest))
        } catch {
          guard error.errno == .wouldBlock, MonotonicClock.now() < deadline else {
            throw ControlError(.disconnected, "the screen went away: \(error.errno)")
          }
          MonotonicClock.sleep(milliseconds: 5)
        }
      }
    }

    /// Exactly `count` bytes.
    mutating func read(_ count: Int) throws(ControlError) -> [UInt8] {
      while buffer.count - used < count {
        let now = MonotonicClock.now()
        guard now < deadline else { throw ControlError(.timedOut, "the screen does not answer") }
        do throws(SystemError) {
          let more = try stream.read(upTo: 1 << 16)
          guard !more.isEmpty else { throw SystemError("read", errno: .brokenPipe) }
          buffer.removeFirst(used)
          used = 0
          buffer += more
        } catch {
          guard error.errno == .wouldBlock else {
            throw stream.failure ?? ControlError(.disconnected, "the screen went away: \(error.errno)")
          }
          _ = try? poller.wait(timeout: Int32(clamping: (deadline - now) / 1_000_000 + 1))
        }
      }
      defer { used += count }
      return Array(buffer[used..<(used + count)])
    }

    mutating func big(_ count: Int) throws(ControlError) -> Int {
      try read(count).reduce(0) { $0 << 8 | Int($1) }
    }

    func bounded(_ count: Int, _ limit: Int) throws(ControlError) -> Int {
      guard count <= limit else { throw ScreenCapture.odd("a text of \(count) bytes") }
      return count
    }
  }
}
