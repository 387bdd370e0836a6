import Manifest
import Platform
import Synchronization

/// How many requests the HTTP interface answers, with a thread in the domain manager's place: what is measured is the
/// gateway's own work, and that of this program's.
enum APIBenchmarks {
  private static let domains = 50
  private static let clients = 16
  private static let seconds: UInt64 = 10

  static func measure() throws -> [Benchmarks.Row] {
    let directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-bench-api-")
    defer { try? Files.removeTree(directory) }
    // The gateway becomes another user.
    try Files.setPermissions(directory, 0o755)
    let manifest = ApplianceManifest(
      name: "bench", recipeDigest: "00", epoch: 0, controlDomain: .init(hostname: "bench", suite: "trixie"),
      storage: .init(ramBytes: 1 << 30, extentBytes: 4 << 20, mediumUUID: "m", ramUUID: "r"),
      network: .init(address: "10.77.0.1/24"),
      domains: [
        .init(
          name: "one", os: "Test", cpus: 1, memoryBytes: 64 << 20,
          boot: .init(method: .linux, kernel: "/k", initrd: nil, commandLine: ""), disk: nil, network: nil,
          autostart: false, ready: .init(consoleText: "x", timeoutSeconds: 1), onReboot: .restart, onCrash: .preserve)
      ], api: .init())
    try Files.write(try manifest.encoded(), to: "\(directory)/manifest.json")
    try serve("\(directory)/gateway.sock")
    let gateway = try Machine(
      [
        try Environment.program("roost-gateway"), "--manifest", "\(directory)/manifest.json", "--runtime-dir",
        directory,
      ], log: "bench-api")
    let socket = "\(directory)/http.sock"
    let start = MonotonicClock.now()
    while (try? Client(socket).ask()) != true {
      guard MonotonicClock.now() - start < 30_000_000_000 else {
        throw Machine.Failure(what: "the gateway does not answer", tail: gateway.tail)
      }
      MonotonicClock.sleep(milliseconds: 20)
    }
    let times = Mutex<[UInt64]>([])
    let begin = MonotonicClock.now()
    let end = begin + seconds * 1_000_000_000
    let left = Atomic(clients)
    for _ in 0..<clients {
      try Thread("client") {
        var own: [UInt64] = []
        if let client = try? Client(socket) {
          while MonotonicClock.now() < end {
            let asked = MonotonicClock.now()
            guard (try? client.ask()) == true else { break }
            own.append(MonotonicClock.now() - asked)
          }
        }
        times.withLock { $0 += own }
        left.subtract(1, ordering: .releasing)
      }.detach()
    }
    while left.load(ordering: .acquiring) > 0 { MonotonicClock.sleep(milliseconds: 20) }
    let elapsed = Double(MonotonicClock.now() - begin) / 1e9
    let sorted = times.withLock { $0.sorted() }
    guard let slowest = sorted.last else {
      throw Machine.Failure(what: "no request was answered", tail: gateway.tail)
    }
    func percentile(_ share: Double) -> Double { Double(sorted[Int(Double(sorted.count - 1) * share)]) / 1e6 }
    return [
      .init(
        name: "GET /v1/domains, \(domains) domains, \(clients) clients", unit: "requests/s",
        value: Double(sorted.count) / elapsed),
      .init(name: "GET /v1/domains, half of them within", unit: "ms", value: percentile(0.5)),
      .init(name: "GET /v1/domains, 99 % within", unit: "ms", value: percentile(0.99)),
      .init(name: "GET /v1/domains, slowest", unit: "ms", value: Double(slowest) / 1e6),
    ]
  }

  /// Answers every request with the same overview.
  private static func serve(_ path: String) throws {
    let list = (0..<domains).map { number in
      """
      {"address":"10.77.0.\(number + 10)","autostart":true,"console":"/run/roost/domains/domain-\(number)/console.sock",\
      "cpus":1,"log":"/var/log/roost/domains/domain-\(number).log","memoryBytes":402653184,"name":"domain-\(number)",\
      "os":"Debian 13","pid":\(number + 1000),"readySeconds":9.25,"restarts":0,"startedAt":12.5,"state":"ready"}
      """
    }.joined(separator: ",")
    let overview =
      #"{"appliance":{"name":"bench","notices":[],"state":"up","uptimeSeconds":12.5},"domains":[\#(list)]}"#
    let number = try UnixSocket.listen(path, permissions: 0o666).release()
    try Thread("manager") {
      let listener = FileDescriptor(adopting: number)
      while let connection = try? UnixSocket.accept(listener) {
        var rest: [UInt8] = []
        while let bytes = try? connection.read(upTo: 1 << 16), !bytes.isEmpty {
          rest += bytes
          while let newline = rest.firstIndex(of: 0x0A) {
            let line = String(decoding: rest[..<newline], as: UTF8.self)
            rest.removeSubrange(...newline)
            guard let id = line.split(separator: "\"id\":").dropFirst().first?.prefix(while: \.isNumber) else {
              continue
            }
            try? connection.writeAll(Array("{\"id\":\(id),\"ok\":true,\"result\":\(overview)}\n".utf8))
          }
        }
      }
    }.detach()
  }

  /// A connection that asks again and again.
  private final class Client {
    private static let request = Array("GET /v1/domains HTTP/1.1\r\nHost: bench\r\n\r\n".utf8)
    private let file: FileDescriptor

    init(_ path: String) throws {
      file = try UnixSocket.connect(path)
    }

    /// True when the whole answer came, and says that all is well.
    func ask() throws -> Bool {
      try file.writeAll(Self.request)
      var bytes: [UInt8] = []
      var total: Int?
      while total.map({ bytes.count < $0 }) ?? true {
        let more = try file.read(upTo: 1 << 16)
        if more.isEmpty { return false }
        bytes += more
        if total == nil, let head = Self.end(of: bytes) {
          let text = String(decoding: bytes[..<head], as: UTF8.self)
          guard text.hasPrefix("HTTP/1.1 200"),
            let length = text.lowercased().split(separator: "content-length: ").dropFirst().first.flatMap({
              Int($0.prefix(while: \.isNumber))
            })
          else { return false }
          total = head + length
        }
      }
      return true
    }

    private static func end(of bytes: [UInt8]) -> Int? {
      var start = 0
      while let place = bytes[start...].firstIndex(of: 0x0D), place + 4 <= bytes.count {
        if bytes[place + 1] == 10, bytes[place + 2] == 13, bytes[place + 3] == 10 { return place + 4 }
        start = place + 1
      }
      return nil
    }
  }
}
