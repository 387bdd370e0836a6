import Control
import Glibc
import Manifest
import Platform
import Synchronization
import Testing
@testable import Gateway

/// Runs what blocks on a thread of its own: the gateway needs the threads that tests run on.
func blocking<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
  try await withCheckedThrowingContinuation { continuation in
    do {
      try Thread("test") { continuation.resume(with: Result { try body() }) }.detach()
    } catch {
      continuation.resume(throwing: error)
    }
  }
}

/// Waits until `condition` holds, up to 300 s: the machine that runs this may be busy.
func eventually(
  _ what: String, sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool
) async throws {
  let end = MonotonicClock.now() + 300_000_000_000
  while try await !condition() {
    guard MonotonicClock.now() < end else {
      Issue.record("not within 300 s: \(what)", sourceLocation: sourceLocation)
      throw ControlError(.timedOut, what)
    }
    try await Task.sleep(for: .milliseconds(20))
  }
}

/// A domain manager at a socket that answers what the test says, and records what it was asked.
final class FakeManager: Sendable {
  /// What an operation is answered with: the JSON of a result, or an error.
  typealias Answer = @Sendable (ControlRequest) -> Result<String, ControlError>

  private struct State {
    var requests: [ControlRequest] = []
    var connections: [Int32] = []
    var isOver = false
  }

  private let path: String
  private let answer: Answer
  private let state = Mutex(State())

  init(_ path: String, answer: @escaping Answer) throws {
    self.path = path
    self.answer = answer
    let number = try UnixSocket.listen(path).release()
    try Thread("manager") { [weak self] in
      let listener = FileDescriptor(adopting: number)
      while let connection = try? UnixSocket.accept(listener) {
        guard let self, !self.state.withLock({ $0.isOver }) else { return }
        let number = connection.release()
        self.state.withLock { $0.connections.append(number) }
        try? Thread("connection") { [weak self] in self?.serve(FileDescriptor(adopting: number)) }.detach()
      }
    }.detach()
  }

  /// What was asked so far.
  var requests: [ControlRequest] { state.withLock { $0.requests } }

  /// Says something to all that are connected.
  func say(_ line: String) {
    for number in state.withLock({ $0.connections }) { write(line, to: number) }
  }

  /// Ends all connections.
  func hangUp() {
    let numbers = state.withLock { state in
      defer { state.connections = [] }
      return state.connections
    }
    for number in numbers { TestSocket.shutDown(number) }
  }

  /// Takes no more.
  func stop() {
    state.withLock { $0.isOver = true }
    _ = try? UnixSocket.connect(path)
    hangUp()
    try? Files.remove(path)
  }

  private func serve(_ connection: consuming FileDescriptor) {
    let number = connection.rawValue
    var framer = LineFramer()
    while let bytes = try? connection.read(upTo: 65_536), !bytes.isEmpty {
      for case .line(let line) in framer.append(bytes) {
        guard let request = try? ControlCoding.decode(ControlRequest.self, from: line) else { continue }
        state.withLock { $0.requests.append(request) }
        switch answer(request) {
        case .success(let result): write(#"{"id":\#(request.id),"ok":true,"result":\#(result)}"#, to: number)
        case .failure(let error):
          write(
            #"{"error":{"code":"\#(error.code.rawValue)","message":"\#(error.message)"},"id":\#(request.id),"ok":false}"#,
            to: number)
        }
      }
    }
    state.withLock { $0.connections.removeAll { $0 == number } }
  }

  private func write(_ line: String, to number: Int32) {
    try? TestSocket.duplicate(number).writeAll(Array("\(line)\n".utf8))
  }
}

/// What of sockets the project itself has no use for.
enum TestSocket {
  static func duplicate(_ number: Int32) -> FileDescriptor { FileDescriptor(adopting: dup(number)) }

  /// Ends a connection for both sides, whoever holds it open still.
  static func shutDown(_ number: Int32) { _ = shutdown(number, Int32(SHUT_RDWR)) }
}

/// An answer of the gateway's.
struct HTTPAnswer: Sendable {
  var status = 0
  var headers: [String: String] = [:]
  var body = ""

  /// The error's code in the body.
  var code: String? {
    try? ControlCoding.decode(ErrorBody.self, from: Array(body.utf8)).error.code.rawValue
  }
}

/// A connection to the gateway: bytes out, answers in. All of it blocks.
final class HTTPConnection: @unchecked Sendable {
  private let file: FileDescriptor
  private var buffer: [UInt8] = []

  init(port: UInt16) throws {
    file = try InternetSocket.connect(address: 0x7F00_0001, port: port, seconds: 120)
  }

  init(path: String) throws {
    file = try UnixSocket.connect(path)
    try InternetSocket.setPatience(of: file, seconds: 120)
  }

  func send(_ text: String) throws { try file.writeAll(Array(text.utf8)) }

  /// A request; the head's lines end in CRLF.
  func ask(
    _ method: String, _ path: String, token: String? = nil, headers: [String] = [], body: String? = nil
  ) throws -> HTTPAnswer {
    var lines = ["\(method) \(path) HTTP/1.1", "Host: roost"] + headers
    if let token { lines.append("Authorization: Bearer \(token)") }
    if let body { lines.append("Content-Length: \(body.utf8.count)") }
    try send(lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? ""))
    return try receive()
  }

  /// The next answer, with a body of a stated length or in chunks.
  func receive() throws -> HTTPAnswer {
    var answer = try receiveHead()
    if let length = answer.headers["content-length"].flatMap(Int.init) {
      answer.body = String(decoding: try take(length), as: UTF8.self)
    }
    return answer
  }

  func receiveHead() throws -> HTTPAnswer {
    var answer = HTTPAnswer()
    let status = try line().split(separator: " ")
    answer.status = status.count > 1 ? Int(status[1]) ?? 0 : 0
    while true {
      let line = try line()
      if line.isEmpty { return answer }
      let parts = line.split(separator: ":", maxSplits: 1).map(String.init)
      if parts.count == 2 { answer.headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " }) }
    }
  }

  /// The next line, without its end.
  func line() throws -> String {
    while true {
      if let end = buffer.firstIndex(of: 0x0A) {
        let line = buffer[..<end]
        buffer = Array(buffer[(end + 1)...])
        return String(decoding: line.last == 0x0D ? line.dropLast() : line, as: UTF8.self)
      }
      try more()
    }
  }

  /// True when the other side ends the connection, whatever it says before.
  func isEnded() throws -> Bool {
    do {
      while true { try more() }
    } catch is Ended {
      return true
    } catch let error as SystemError where error.errno == .connectionReset || error.errno == .brokenPipe {
      return true
    }
  }

  struct Ended: Error {}

  private func take(_ count: Int) throws -> [UInt8] {
    while buffer.count < count { try more() }
    defer { buffer = Array(buffer[count...]) }
    return Array(buffer[..<count])
  }

  private func more() throws {
    let bytes = try file.read(upTo: 65_536)
    if bytes.isEmpty { throw Ended() }
    buffer += bytes
  }
}

/// A gateway in a directory of its own, with a TCP door that needs a token and a unix socket that needs none.
final class GatewayFixture: Sendable {
  static let secrets: [Role: String] = [
    .viewer: "the viewer's secret", .operator: "the operator's secret", .admin: "the admin's secret",
  ]

  let directory: String
  let port: UInt16
  private let task: Task<Void, any Error>
  let pauses: Pauses
  let log: Pauses.Lines

  /// What the gateway would have slept, and what it logged.
  final class Pauses: Sendable {
    let list = Mutex<[Double]>([])

    final class Lines: Sendable {
      let list = Mutex<[String]>([])
    }
  }

  init(credentials: Credentials? = nil, _ change: (inout GatewayLimits) -> Void = { _ in }) throws {
    directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-gateway-")
    var limits = GatewayLimits()
    // Only a test that is about a deadline meets one, however busy the machine is.
    limits.headSeconds = 600
    limits.bodySeconds = 600
    limits.writeSeconds = 600
    limits.callSeconds = 600
    limits.reconnectSeconds = 0.02
    change(&limits)
    let listener = try InternetSocket.listen(address: 0x7F00_0001, port: 0, backlog: 256)
    port = try InternetSocket.localPort(of: listener.rawValue)
    let local = try UnixSocket.listen("\(directory)/http.sock", backlog: 256)
    let doors = [
      Door(descriptor: listener.release(), needsToken: true, credentials: credentials),
      Door(descriptor: local.release(), needsToken: false),
    ]
    let tokens = Self.secrets.map { role, secret in
      ApplianceManifest.Token(name: "the-\(role.rawValue)", role: role, sha256: TestDigest.hex(secret))
    }
    let pauses = Pauses()
    let log = Pauses.Lines()
    self.pauses = pauses
    self.log = log
    let gateway = Gateway(
      controlSocket: "\(directory)/gateway.sock", tokens: tokens, limits: limits,
      log: { line in log.list.withLock { $0.append(line) } },
      sleep: { seconds in pauses.list.withLock { $0.append(seconds) } })
    task = Task.detached { try await gateway.run(doors) }
  }

  deinit {
    task.cancel()
    try? Files.removeTree(directory)
  }

  func manager(_ answer: @escaping FakeManager.Answer) async throws -> FakeManager {
    let manager = try FakeManager("\(directory)/gateway.sock", answer: answer)
    try await reached(manager)
    return manager
  }

  /// Waits until the gateway is connected.
  func reached(_ manager: FakeManager) async throws {
    try await eventually("the gateway reaches its manager") { manager.requests.contains { $0.op == .subscribe } }
  }

  /// One request on a connection of its own, by the holder of a role's token, or over the unix socket.
  func ask(
    _ method: String, _ path: String, as role: Role?, headers: [String] = [], body: String? = nil
  ) async throws -> HTTPAnswer {
    let port = port
    let socket = "\(directory)/http.sock"
    let token = role.flatMap { Self.secrets[$0] }
    return try await blocking {
      let connection = try role == nil ? HTTPConnection(path: socket) : HTTPConnection(port: port)
      return try connection.ask(method, path, token: token, headers: headers, body: body)
    }
  }
}
