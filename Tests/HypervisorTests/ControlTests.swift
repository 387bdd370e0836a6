import Platform
import Synchronization
import TestMachine
import Testing

@testable import Hypervisor

@Suite("The control socket: requests, sessions, clients")
struct ControlTests {
  private func request(_ line: String) throws(ArgumentError) -> ControlRequest { try ControlRequest(line.utf8) }

  @Test("requests are read word by word")
  func requests() throws {
    #expect(try request("status") == .status)
    #expect(try request("pause") == .pause)
    #expect(try request("resume") == .resume)
    #expect(try request("memory") == .memory)
    #expect(try request("statistics") == .statistics)
    #expect(try request("memory 536870912") == .setMemory(512 << 20))
    #expect(try request("cpus 3") == .setProcessors(3))
    #expect(try request("resize debian") == .resize("debian"))
    #expect(try request("detach data-1") == .detach("data-1"))
    let disk = MachineConfiguration.Disk(path: "/dev/roost/a_b", identifier: "data", bus: .scsi)
    #expect(try request("attach /dev/roost/a_b,id=data") == .attach(disk))
    var readOnly = disk
    readOnly.isReadOnly = true
    #expect(try request("attach /dev/roost/a_b,id=data,ro") == .attach(readOnly))
    #expect(try request("attach /dev/roost/a_b,ro,id=data") == .attach(readOnly))
  }

  @Test(
    "what is no request is refused",
    arguments: [
      "", " ", "status ", " status", "status now", "STATUS", "pause\r", "stat\u{7}us", "pausé", "resume  ", "resize",
      "resize ", "resize a b", "resize  a", "attach", "attach ", "attach /d", "attach /d,id=", "attach ,id=a",
      "attach /d,id=a,bus=scsi", "attach /d,id=a,rw", "attach /d,id=123456789012345678901", "attach /d,id=a x",
      "detach", "detach a b", "quit", "memory ", "memory 0", "memory 1048575", "memory +1048576", "memory -1048576",
      "memory 99999999999999999999", "memory 1 MiB", "memory 1048576 1", "cpus", "cpus 0", "cpus +1", "cpus 1 2",
    ])
  func refusals(line: String) {
    #expect(throws: ArgumentError.self) { try request(line) }
  }

  @Test("an answer is one line of printable ASCII, whatever it says")
  func answers() {
    #expect(ControlAnswer.ok().line == Array("ok\n".utf8))
    #expect(ControlAnswer.ok("running").line == Array("ok running\n".utf8))
    #expect(ControlAnswer.error("a\nb\u{1B}é").line == Array("error a?b???\n".utf8))
  }

  // MARK: Sessions

  /// What comes of `bytes`, which arrive `chunk` at a time: requests, and nil for each refusal.
  private func outcome(_ bytes: [UInt8], chunk: Int) -> [ControlRequest?] {
    var session = ControlSession()
    var all: [ControlRequest?] = []
    for start in stride(from: 0, to: bytes.count, by: chunk) {
      session.receive(Array(bytes[start..<min(bytes.count, start + chunk)]))
      while let next = session.next() { all.append(try? next.get()) }
    }
    return all
  }

  @Test("lines are put together from whatever arrives, and an overlong one is refused once and left out")
  func lines() {
    let limit = ControlSession.lineLimit
    let id = String(repeating: "x", count: limit - 7)
    let long = String(repeating: "y", count: 3 * limit)
    let text = "pause\n\nresize \(id)\nresize \(id)x\nstatus\n\(long)\nresume\n\(long)"
    let expected: [ControlRequest?] = [.pause, nil, .resize(id), nil, .status, nil, .resume, nil]
    for chunk in [1, 7, limit, limit + 1, 4096] { #expect(outcome(Array(text.utf8), chunk: chunk) == expected) }
  }

  @Test("the next request waits for the answer to the last; what is sent meanwhile is bounded")
  func order() throws {
    var session = ControlSession()
    session.receive(Array("pause\nstatus\nresume".utf8))
    #expect(try session.next()?.get() == .pause)
    session.isBusy = true
    #expect(session.next() == nil)
    for _ in 0..<100 { session.receive([UInt8](repeating: 0x0A, count: 4096)) }
    session.isBusy = false
    #expect(try session.next()?.get() == .status)
    #expect(try session.next()?.get() == .resume)
    var left = 0
    while session.next() != nil { left += 1 }
    #expect(left == ControlSession.roomLimit - "status\nresume\n".utf8.count)
  }

  @Test("fuzz: any bytes make requests and refusals")
  func fuzz() {
    var random = SeededNumbers(77)
    let words = [
      "status", "pause", "resume", "resize", "attach", "detach", "memory", " 1048576", " ", " a", "\n", "\n", "/d,id=a",
      ",ro", "id=",
    ]
    var requests = 0
    for _ in 0..<3000 {
      var bytes: [UInt8] = []
      for _ in 0..<Int.random(in: 0..<40, using: &random) {
        if Int.random(in: 0..<8, using: &random) == 0 {
          bytes.append(UInt8.random(in: 0...255, using: &random))
        } else {
          bytes += Array((words.randomElement(using: &random) ?? "").utf8)
        }
      }
      if Int.random(in: 0..<20, using: &random) == 0 { bytes += [UInt8](repeating: 0x61, count: 5000) }
      let whole = outcome(bytes, chunk: 4096)
      #expect(outcome(bytes, chunk: Int.random(in: 1...50, using: &random)) == whole)
      requests += whole.count { $0 != nil }
    }
    #expect(requests > 300)
  }

  // MARK: Clients

  /// Answers status at once with what it was asked, resize when it is asked to resume, and pause never.
  private final class Double: ControlTarget {
    var asked: [ControlRequest] = []
    var descriptors: [Int] = []
    var waiting: [(ControlAnswer) -> Void] = []

    func perform(
      _ request: ControlRequest, with descriptors: [DescriptorBox], later: @escaping (ControlAnswer) -> Void
    ) -> ControlAnswer? {
      asked.append(request)
      self.descriptors.append(descriptors.count)
      switch request {
      case .status: return .ok("\(asked.count)")
      case .resume:
        let answers = waiting
        waiting = []
        for answer in answers { answer(.ok("resized")) }
        return .ok()
      case .resize:
        waiting.append(later)
        return nil
      case .pause: return nil
      case .attach: return descriptors.isEmpty ? .error("no") : .ok("\(descriptors.count)")
      case .detach, .memory, .setMemory, .setProcessors, .statistics: return .error("no")
      }
    }
  }

  private final class Event: Sendable {
    let descriptor: EventDescriptor

    init() throws { descriptor = try EventDescriptor() }
  }

  /// Serves a double at a socket while `body` runs on a thread of its own; what it was asked.
  private func serve(_ body: @escaping @Sendable (String) throws -> Void) throws -> [ControlRequest] {
    Signals.ignore(Signals.brokenPipe)
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-control-")
    defer { try? Files.removeTree(directory) }
    let loop = try EventLoop()
    let target = Double()
    let server = try ControlServer(at: "\(directory)/s", loop, for: target)
    let end = try Event()
    _ = try loop.add(end.descriptor.file.rawValue, .readable) { _ in loop.stop() }
    let failure = Mutex<String?>(nil)
    let thread = try Thread("client") {
      do { try body("\(directory)/s") } catch { failure.withLock { $0 = "\(error)" } }
      try? end.descriptor.signal()
    }
    try loop.run()
    thread.join()
    #expect(failure.withLock { $0 } == nil)
    server.finish()
    #expect(!Files.exists("\(directory)/s"))
    return target.asked
  }

  @Test("several requests on a connection, several clients, each answered in order; the socket is its owner's")
  func clients() throws {
    let asked = try serve { path in
      #expect(try Files.status(path).map { $0.permissions & 0o777 } == 0o600)
      let first = try ControlClient(path)
      let second = try ControlClient(path)
      try first.send("resize a\nstatus\nnonsense\n")
      #expect(try second.ask("status") == "ok 2")
      #expect(try second.ask("attach /d,id=a") == "error no")
      #expect(try second.ask("resume") == "ok")
      #expect(try first.line() == "ok resized")
      #expect(try first.line() == "ok 5")
      let refused = try first.line()
      #expect(refused.hasPrefix("error nonsense is no request"))
      #expect(try first.ask(String(repeating: "x", count: 10_000), begins: "error "))
      #expect(try first.ask("status") == "ok 6")
    }
    #expect(
      asked == [
        .resize("a"), .status, .attach(.init(path: "/d", identifier: "a", bus: .scsi)), .resume, .status, .status,
      ])
  }

  @Test("descriptors belong to the request that they came with; what nobody takes is closed")
  func descriptors() throws {
    _ = try serve { path in
      let client = try ControlClient(path)
      let pipe = try PipeEnds()
      func ask(_ request: String, with count: Int) throws -> String {
        _ = try client.file.send(
          Array("\(request)\n".utf8), with: Array(repeating: pipe.writer?.file.rawValue ?? -1, count: count))
        return try client.line()
      }
      #expect(try ask("attach fd,id=a", with: 2) == "ok 2")
      #expect(try ask("attach fd,id=a", with: 0) == "error no")
      #expect(try ask("status", with: 1) == "ok 3")
      #expect(try ask("nonsense", with: 4).hasPrefix("error "))
      #expect(try ask("attach fd,id=a", with: 0) == "error no")
      // A line that is not over yet, for which more come.
      _ = try client.file.send(Array("attach ".utf8), with: [pipe.writer?.file.rawValue ?? -1])
      #expect(try ask("fd,id=b", with: 3) == "ok 3")
      #expect(try ask("status", with: 0) == "ok 6")
      pipe.writer = nil
      // Every copy is closed: the pipe has come to its end.
      #expect(try pipe.reader.file.read(upTo: 1).isEmpty)
    }
  }

  /// A pipe whose ends can be kept apart.
  private final class PipeEnds {
    let reader: DescriptorBox
    var writer: DescriptorBox?

    init() throws {
      let pipe = try Pipe()
      reader = DescriptorBox(try pipe.reader.duplicate())
      writer = DescriptorBox(try pipe.writer.duplicate())
    }
  }

  @Test("who goes before the answer, or never reads answers, harms nobody")
  func lostClients() throws {
    let asked = try serve { path in
      do {
        let gone = try ControlClient(path)
        try gone.send("resize a\nstatus\n")
        let greedy = try ControlClient(path)
        try greedy.file.setNonBlocking(true)
        // It is not read once its answers do not go out: its own socket fills up.
        let many = Array(String(repeating: "status\n", count: 8192).utf8)
        var sent = 0
        var silence = 0
        while silence < 200, sent < 8 << 20 {
          do throws(SystemError) {
            sent += try greedy.file.write(many[...])
            silence = 0
          } catch {
            guard error.errno == .wouldBlock else { throw error }
            silence += 1
            MonotonicClock.sleep(milliseconds: 5)
          }
        }
        #expect(sent < 2 << 20)
      }
      let other = try ControlClient(path)
      #expect(try other.ask("resume") == "ok")
      #expect(try other.ask("status", begins: "ok "))
    }
    #expect(asked.first == .resize("a") && asked.suffix(2) == [.resume, .status])
  }
}

/// One end of a control socket.
final class ControlClient {
  let file: FileDescriptor
  private var received: [UInt8] = []

  init(_ path: String) throws {
    file = try UnixSocket.connect(path)
  }

  func send(_ text: String) throws {
    try file.writeAll(Array(text.utf8))
  }

  /// The next line of what was answered; empty at the end.
  func line() throws -> String {
    while true {
      if let end = received.firstIndex(of: 0x0A) {
        defer { received.removeFirst(end + 1) }
        return String(decoding: received[..<end], as: UTF8.self)
      }
      let bytes = try file.read(upTo: 4096)
      if bytes.isEmpty { return "" }
      received += bytes
    }
  }

  /// Sends one request; whether the answer begins so.
  func ask(_ text: String, begins start: String) throws -> Bool {
    try ask(text).hasPrefix(start)
  }

  /// Sends one request; its answer.
  func ask(_ text: String) throws -> String {
    try send(text + "\n")
    return try line()
  }
}
