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

  /// Looks at the screen that the monitor shows at the socket `path`. Fails after `seconds` without an answer.
  public init(path: String, within seconds: Int = 10) throws(ControlError) {
    var connection = try Connection(path, seconds)
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
    let file: FileDescriptor
    let poller: Poller
    let deadline: UInt64
    var buffer: [UInt8] = []
    var used = 0

    init(_ path: String, _ seconds: Int) throws(ControlError) {
      deadline = MonotonicClock.now() + UInt64(seconds) * 1_000_000_000
      let file = try Self.reaching(path) { () throws(SystemError) in try UnixSocket.connect(path) }
      poller = try Self.reaching(path) { () throws(SystemError) in
        let poller = try Poller()
        try poller.add(file.rawValue, .readable, token: 0)
        return poller
      }
      self.file = file
    }

    private static func reaching<T: ~Copyable>(
      _ path: String, _ body: () throws(SystemError) -> T
    ) throws(ControlError) -> T {
      do throws(SystemError) {
        return try body()
      } catch {
        throw ControlError(.unreachable, "no screen answers at \(path) (\(error.errno)); is the domain running?")
      }
    }

    func write(_ bytes: [UInt8]) throws(ControlError) {
      do throws(SystemError) {
        try file.writeAll(bytes)
      } catch {
        throw ControlError(.disconnected, "the screen went away: \(error.errno)")
      }
    }

    /// Exactly `count` bytes.
    mutating func read(_ count: Int) throws(ControlError) -> [UInt8] {
      while buffer.count - used < count {
        let now = MonotonicClock.now()
        guard now < deadline else { throw ControlError(.timedOut, "the screen does not answer") }
        do throws(SystemError) {
          guard try !poller.wait(timeout: Int32(clamping: (deadline - now) / 1_000_000 + 1)).isEmpty else { continue }
          let more = try file.read(upTo: 1 << 16)
          guard !more.isEmpty else { throw SystemError("read", errno: .brokenPipe) }
          buffer.removeFirst(used)
          used = 0
          buffer += more
        } catch {
          throw ControlError(.disconnected, "the screen went away: \(error.errno)")
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
