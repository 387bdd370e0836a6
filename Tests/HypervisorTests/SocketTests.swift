import Devices
import Platform
import Synchronization
import Testing

@testable import Hypervisor

@Suite("Sockets that clients connect to")
struct SocketTests {
  /// Greets each client with ">" and answers what it sends by counting from "0" on, "m" by 4 MiB and "s" by nothing.
  private final class Echo: SocketServer {
    struct ClientState {
      var number: UInt8
    }

    var socket: ListeningSocket<Echo>?
    /// Whether clients are read, and how often that was asked.
    var isReading = true
    let questions = Counter()
    func takesInput(from client: Client) -> Bool {
      questions.add(1)
      return isReading
    }
    let received: Counter
    var numbers: [Int] = []
    var sent = 0

    init(_ loop: EventLoop, at path: String, clientLimit: Int = .max, received: Counter = Counter()) throws {
      self.received = received
      socket = try ListeningSocket(at: path, loop, for: self, clientLimit: clientLimit)
    }

    func welcome() -> (state: ClientState, first: [UInt8]) { (ClientState(number: 0x30), [0x3E]) }

    func clientsChanged() { numbers.append(socket?.clients.count ?? -1) }

    func receive(_ bytes: [UInt8], from client: Client) {
      received.add(bytes.count)
      if bytes.contains(0x73) { return }
      if bytes.contains(0x6D) {
        client.pending.append(contentsOf: [UInt8](repeating: 0x2E, count: 4 << 20))
      } else {
        client.pending.append(client.state.number)
      }
      client.state.number += 1
      send(client)
    }

    func send(_ client: Client) {
      sent += 1
      socket?.send(client)
    }
  }

  private final class Counter: Sendable {
    private let count = Mutex(0)

    func add(_ count: Int) { self.count.withLock { $0 += count } }
    var value: Int { count.withLock { $0 } }
  }

  private final class Event: Sendable {
    let descriptor: EventDescriptor

    init() throws { descriptor = try EventDescriptor() }
  }

  private func withDirectory(_ body: (String) throws -> Void) throws {
    let directory = "/tmp/roost-sockets-\(MonotonicClock.now())"
    try Files.makeDirectories(directory)
    defer { try? Files.removeTree(directory) }
    try body(directory)
  }

  /// Runs `loop` until `body`, on a thread of its own, is over or has failed.
  private func run(_ loop: EventLoop, _ body: @escaping @Sendable () throws -> Void) throws {
    let end = try Event()
    _ = try loop.add(end.descriptor.file.rawValue, .readable) { _ in loop.stop() }
    let failure = Mutex<String?>(nil)
    let thread = try Thread("client") {
      do { try body() } catch { failure.withLock { $0 = "\(error)" } }
      try? end.descriptor.signal()
    }
    try loop.run()
    thread.join()
    #expect(failure.withLock { $0 } == nil)
  }

  @Test("each client has its own state, those over the limit are sent away, and the path goes with the socket")
  func clients() throws {
    try withDirectory { directory in
      let path = "\(directory)/s"
      let loop = try EventLoop()
      let server = try Echo(loop, at: path, clientLimit: 2)
      try run(loop) {
        let first = try UnixSocket.connect(path)
        #expect(try first.read(upTo: 9) == [0x3E])
        let second = try UnixSocket.connect(path)
        #expect(try second.read(upTo: 9) == [0x3E])
        #expect(try UnixSocket.connect(path).read(upTo: 9).isEmpty)
        for (client, expected) in [(0, 0x30), (0, 0x31), (1, 0x30)] as [(Int, UInt8)] {
          if client == 0 {
            try first.writeAll([0x61])
            #expect(try first.read(upTo: 9) == [expected])
          } else {
            try second.writeAll([0x61])
            #expect(try second.read(upTo: 9) == [expected])
          }
        }
        _ = consume second
        // There is room again.
        var third = try UnixSocket.connect(path)
        for _ in 0..<100 {
          if try !third.read(upTo: 9).isEmpty { break }
          MonotonicClock.sleep(milliseconds: 10)
          third = try UnixSocket.connect(path)
        }
        try third.writeAll([0x61])
        #expect(try third.read(upTo: 9) == [0x30])
      }
      #expect(server.numbers.prefix(4) == [1, 2, 1, 2])
      server.socket?.finish()
      #expect(!Files.exists(path))
    }
  }

  @Test("what a client does not read waits, keeps nobody waiting, and arrives whole")
  func slowReaders() throws {
    try withDirectory { directory in
      let path = "\(directory)/s"
      let loop = try EventLoop()
      let server = try Echo(loop, at: path)
      try run(loop) {
        let slow = try UnixSocket.connect(path)
        #expect(try slow.read(upTo: 9) == [0x3E])
        try slow.writeAll([0x6D])
        let quick = try UnixSocket.connect(path)
        #expect(try quick.read(upTo: 9) == [0x3E])
        try quick.writeAll([0x61])
        #expect(try quick.read(upTo: 9) == [0x30])
        var count = 0
        while count < 4 << 20 {
          let bytes = try slow.read(upTo: 1 << 20)
          if bytes.isEmpty { break }
          count += bytes.count
        }
        #expect(count == 4 << 20)
        try slow.writeAll([0x61])
        #expect(try slow.read(upTo: 9) == [0x31])
      }
      // The socket was full many times, and nobody was told that there is room while there was nothing to send.
      #expect(server.sent > 5 && server.sent < 10_000)
    }
  }

  @Test("a server that takes no input is left alone with it, and hears of who goes")
  func heldBack() throws {
    try withDirectory { directory in
      let path = "\(directory)/s"
      let loop = try EventLoop()
      let received = Counter()
      let server = try Echo(loop, at: path, received: received)
      server.isReading = false
      let questions = server.questions
      try run(loop) {
        let client = try UnixSocket.connect(path)
        #expect(try client.read(upTo: 9) == [0x3E])
        try client.writeAll([0x73])
        MonotonicClock.sleep(milliseconds: 100)
        #expect(received.value == 0)
        // What waits in the socket does not keep the loop running.
        #expect(questions.value < 20)
        _ = consume client
        for _ in 0..<100 where received.value == 0 { MonotonicClock.sleep(milliseconds: 10) }
        MonotonicClock.sleep(milliseconds: 30)
      }
      #expect(received.value == 1 && server.numbers == [1, 0])
    }
  }

  @Test("a server that takes input again gets what was sent meanwhile")
  func readAgain() throws {
    try withDirectory { directory in
      let path = "\(directory)/s"
      let loop = try EventLoop()
      let received = Counter()
      let server = try Echo(loop, at: path, received: received)
      server.isReading = false
      let change = try Event()
      _ = try loop.add(change.descriptor.file.rawValue, .readable) { _ in
        _ = try? change.descriptor.take()
        server.isReading = true
        server.socket?.inputChanged()
      }
      try run(loop) {
        let client = try UnixSocket.connect(path)
        #expect(try client.read(upTo: 9) == [0x3E])
        try client.writeAll([0x61])
        MonotonicClock.sleep(milliseconds: 30)
        #expect(received.value == 0)
        try change.descriptor.signal()
        #expect(try client.read(upTo: 9) == [0x30])
      }
      #expect(received.value == 1)
    }
  }

  @Test("viewers of the screen: the protocol's greeting, at most sixteen, and nobody at the end")
  func screen() throws {
    try withDirectory { directory in
      let path = "\(directory)/screen"
      let loop = try EventLoop()
      let lines = Mutex<[String]>([])
      let server = try ScreenServer(
        MachineConfiguration.Viewer(path: path), loop, display: Display(try VideoMemory(count: 1 << 20)),
        keyboard: KeyboardController {}, name: "d", log: { line in lines.withLock { $0.append(line) } })
      try run(loop) {
        let greeting = Array("RFB 003.008\n".utf8)
        var viewers: [Int32] = []
        for _ in 0..<16 {
          let viewer = try UnixSocket.connect(path)
          #expect(try viewer.read(upTo: 100) == greeting)
          viewers.append(viewer.release())
        }
        #expect(try UnixSocket.connect(path).read(upTo: 100).isEmpty)
        let first = FileDescriptor(adopting: viewers[0])
        try first.writeAll(greeting)
        #expect(try first.read(upTo: 100) == [1, 1])  // one kind of security: none
        try first.writeAll([9])
        var answer: [UInt8] = []
        while true {
          let bytes = try first.read(upTo: 100)
          if bytes.isEmpty { break }
          answer += bytes
        }
        #expect(answer.prefix(4) == [0, 0, 0, 1])  // refused, and sent away
        for number in viewers.dropFirst() { _ = FileDescriptor(adopting: number) }
        MonotonicClock.sleep(milliseconds: 100)
      }
      #expect(lines.withLock { $0 }.count == 1)
      server.finish()
      #expect(!Files.exists(path))
    }
  }
}
