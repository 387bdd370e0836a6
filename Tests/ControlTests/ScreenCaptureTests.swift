import Platform
import Testing

@testable import Control

/// A look at a screen, with the test in the monitor's place (RFC 6143).
@Suite("Pictures of screens")
struct ScreenCaptureTests {
  /// Answers one client at `path` with `messages`, whatever it says.
  private func serve(_ path: String, _ messages: [UInt8]) throws -> Server {
    let listener = try UnixSocket.listen(path)
    return Server(
      try Thread("screen") {
        guard let client = try? UnixSocket.accept(listener) else { return }
        try? client.writeAll(messages)
        // Until the client has gone.
        while let bytes = try? client.read(upTo: 4096), !bytes.isEmpty {}
      })
  }

  private final class Server {
    private var thread: Thread?

    init(_ thread: consuming Thread) {
      self.thread = consume thread
    }

    func join() {
      thread.take()?.join()
    }
  }

  /// Version, security none, its result, and what the server is: `width` by `height`, named "d".
  private func greeting(width: UInt16, height: UInt16, securities: [UInt8] = [1]) -> [UInt8] {
    Array("RFB 003.008\n".utf8) + [UInt8(securities.count)] + securities + [0, 0, 0, 0]
      + [UInt8(width >> 8), UInt8(width & 255), UInt8(height >> 8), UInt8(height & 255)]
      + [UInt8](repeating: 0, count: 16) + [0, 0, 0, 1, 0x64]
  }

  private func capture(_ messages: [UInt8]) throws -> ScreenCapture {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-screen-")
    defer { try? Files.removeTree(directory) }
    let server = try serve("\(directory)/s", messages)
    defer { server.join() }
    return try ScreenCapture(of: Samples.screen("\(directory)/s"), within: 120)
  }

  @Test("rectangles make a picture, and a picture makes a PNG file")
  func picture() throws {
    let update: [UInt8] =
      [0, 0, 0, 2] + [0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0]
      + [0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 7, 8, 9, 0]
    let capture = try capture(greeting(width: 2, height: 2) + update)
    #expect(capture.width == 2 && capture.height == 2)
    #expect(capture.pixels == [0x03_0201, 0x06_0504, 0, 0x09_0807])
    #expect(try capture.png().starts(with: [0x89, 0x50, 0x4E, 0x47]))
  }

  @Test("what cannot be is refused: a rectangle beyond the screen, no size, another protocol, a password")
  func refusals() throws {
    let beyond: [UInt8] = [0, 0, 0, 1] + [0, 1, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0]
    for messages in [
      greeting(width: 2, height: 2) + beyond, greeting(width: 0, height: 2), Array("HTTP/1.1 400\n\n".utf8),
      greeting(width: 2, height: 2, securities: [2]),
    ] {
      #expect(throws: ControlError.self) { try capture(messages) }
    }
    #expect(throws: ControlError.self) { try ScreenCapture(of: Samples.screen("/nonexistent/s"), within: 1) }
  }
}
