import Platform
import Synchronization
import Testing

@testable import Hypervisor

@Suite("Backends: consoles, logs")
struct BackendTests {
  /// A directory that goes with the test.
  private func withDirectory(_ body: (String) throws -> Void) throws {
    let directory = "/tmp/roost-backend-\(MonotonicClock.now())"
    try Files.makeDirectories(directory)
    defer { try? Files.removeTree(directory) }
    try body(directory)
  }

  @Test("a log is rotated once it has reached its limit, and the history is the last 64 KiB")
  func log() throws {
    try withDirectory { directory in
      let path = "\(directory)/log"
      var recorder = try Recorder(log: path)
      let chunk = [UInt8](repeating: 0x61, count: 1 << 20)
      for _ in 0..<9 { recorder.append(chunk) }
      recorder.append([0x62])
      #expect(recorder.recent.count == Recorder.historyLimit && recorder.recent.last == 0x62)
      #expect(try Files.status(path)?.size == (1 << 20) + 1)
      #expect(try Files.status(path + ".1")?.size == Recorder.logLimit)
      // An earlier run's log is continued, not overwritten.
      var again = try Recorder(log: path)
      again.append([0x63])
      #expect(try Files.status(path)?.size == (1 << 20) + 2)
    }
    #expect(throws: HypervisorError.self) { _ = try Recorder(log: "/nonexistent/log") }
  }

  @Test("output that nobody takes is bounded, and the newest is kept")
  func outbox() throws {
    let outbox = try Outbox()
    for index in 0..<(2 * Outbox.limit) { outbox.write(UInt8(truncatingIfNeeded: index)) }
    let bytes = outbox.take()
    #expect(bytes.count <= Outbox.limit && bytes.count > Outbox.limit / 2)
    #expect(bytes.last == UInt8(truncatingIfNeeded: 2 * Outbox.limit - 1))
    #expect(outbox.take().isEmpty)
    let block = [UInt8](repeating: 7, count: 3 * Outbox.limit)
    outbox.write(block.span)
    #expect(outbox.take().count <= Outbox.limit)
  }

  @Test("a console: late clients see what was printed, input arrives, a client that never reads harms nobody")
  func console() throws {
    try withDirectory { directory in
      let loop = try EventLoop()
      let outbox = try Outbox()
      var typed: [UInt8] = []
      let server = try ConsoleServer.listening(at: "\(directory)/s", log: nil, loop, outbox: outbox) { bytes in
        typed.append(contentsOf: bytes)
        if typed.contains(0x71) { loop.stop() }
        return bytes.count
      }
      outbox.write(Array("before ".utf8).span)
      server.drain()
      let output = Mutex<[UInt8]>([])
      let sleeper = try UnixSocket.connect("\(directory)/s")
      let client = try Thread("client") {
        guard let file = try? UnixSocket.connect("\(directory)/s") else { return }
        while output.withLock({ $0.count }) < 7 + (1 << 20), let bytes = try? file.read(upTo: 1 << 16), !bytes.isEmpty {
          output.withLock { $0.append(contentsOf: bytes) }
          if output.withLock({ $0.count }) >= 7 { try? file.writeAll([0x61]) }
        }
        try? file.writeAll([0x71])
      }
      let printer = try Thread("printer") {
        let block = [UInt8](repeating: 0x2E, count: 1 << 14)
        func awaitOutput(_ count: Int) {
          for _ in 0..<6000 where output.withLock({ $0.count }) < count { MonotonicClock.sleep(milliseconds: 10) }
        }
        for written in 0..<64 {
          // Far enough ahead to fill a socket, not so far that the oldest is dropped.
          awaitOutput(7 + (written - 8) << 14)
          outbox.write(block.span)
        }
        awaitOutput(7 + (1 << 20))
        // Should the client have missed something, the test must end all the same.
        if output.withLock({ $0.count }) < 7 + (1 << 20) {
          _ = try? UnixSocket.connect("\(directory)/s").writeAll([0x71])
        }
      }
      try loop.run()
      server.finish()
      client.join()
      printer.join()
      #expect(String(decoding: output.withLock { $0.prefix(8) }, as: UTF8.self) == "before .")
      #expect(output.withLock { $0.count } == 7 + (1 << 20))
      #expect(typed.first == 0x61 && !Files.exists("\(directory)/s"))
      _ = sleeper.release()
    }
  }
}
