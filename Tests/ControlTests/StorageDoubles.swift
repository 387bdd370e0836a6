import Platform
import Synchronization
@testable import Control

/// `roost-storage` as the test wants it.
extension DaemonFixture {
  /// What the double of `roost-storage` was asked, a line for each run.
  var storageCalls: [String] {
    ((try? Files.readText("\(directory)/storage.calls")) ?? "").split(separator: "\n").map(String.init)
  }

  /// Reports these volumes, as `roost-storage` does after each change; domains' own disks come by themselves.
  func report(_ disks: [DiskStatus]) throws {
    try Files.replace("\(directory)/storage.json", with: try Self.report(disks))
  }

  /// Reports these volumes and what comes over the network, or prepares such a report in a file of another name.
  func report(
    _ disks: [DiskStatus], remotes: [RemoteStatus], waitingFor: [String] = [], as name: String = "storage.json"
  ) throws {
    var report = StorageReport.decode(try Self.report(disks), path: "")
    report.remotes = remotes
    if !waitingFor.isEmpty {
      report.state = .failed
      report.error = "the guests' home waits for \(waitingFor.joined(separator: ", "))"
      report.waitingFor = waitingFor
    }
    try Files.replace("\(directory)/\(name)", with: try ControlCoding.encode(report))
  }

  /// The double answers `VERB`, or `disk VERB`, with this shell script.
  func whenAsked(_ verb: String, _ script: String) throws {
    try write(script + "\n", to: "\(verb).sh")
  }

  /// The double answers `disk VERB` with `answer`, after it has reported `disks`.
  func whenAsked(_ verb: String, answer: DiskStatus?, then disks: [DiskStatus]) throws {
    try write(String(decoding: try Self.report(disks), as: UTF8.self), to: "\(verb).report")
    let line = String(decoding: try ControlCoding.encode(answer), as: UTF8.self)
    try write(answer == nil ? "{}" : line, to: "\(verb).answer")
    try whenAsked(
      verb, "mv \"$here/\(verb).report\" \"$here/storage.json\"; cat \"$here/\(verb).answer\"")
  }

  private static func report(_ disks: [DiskStatus]) throws -> [UInt8] {
    let own = disks.filter { $0.kind == .domain }
    return try ControlCoding.encode(
      StorageReport(
        state: .ready,
        domains: Dictionary(uniqueKeysWithValues: own.map { ($0.name, .init(device: $0.device, bytes: $0.bytes)) }),
        disks: disks))
  }

  /// The control socket of a running domain's monitor.
  func monitor(of domain: String, _ answer: @escaping @Sendable (String) -> String?) throws -> MonitorDouble {
    try MonitorDouble(
      DomainPaths(
        name: domain, runtimeDirectory: configuration.runtimeDirectory, logDirectory: configuration.logDirectory
      ).control, answer)
  }
}

/// A monitor's control socket with the test behind it.
final class MonitorDouble {
  private let path: String
  private let state = State()

  private final class State: Sendable {
    let requests = Mutex<[String]>([])
    let files = Mutex<[DescriptorBox]>([])
    let isOver = Atomic(false)
  }

  /// Answers each request with what `answer` says; nil closes the connection.
  init(_ path: String, _ answer: @escaping @Sendable (String) -> String?) throws {
    self.path = path
    let listener = try UnixSocket.listen(path)
    let state = self.state
    // A thread takes a descriptor as a number: a closure cannot own it.
    let number = listener.release()
    try Thread("monitor") {
      let listener = FileDescriptor(adopting: number)
      while let connection = try? UnixSocket.accept(listener), !state.isOver.load(ordering: .acquiring) {
        var framer = LineFramer()
        serving: while let (bytes, files) = try? connection.receive(upTo: 4096), !bytes.isEmpty {
          state.files.withLock { $0 += files }
          for case .line(let line) in framer.append(bytes) {
            let request = String(decoding: line, as: UTF8.self)
            state.requests.withLock { $0.append(request) }
            guard let words = answer(request) else { break serving }
            if (try? connection.writeAll(Array("\(words)\n".utf8))) == nil { break serving }
          }
        }
      }
    }.detach()
  }

  deinit {
    state.isOver.store(true, ordering: .releasing)
    _ = try? UnixSocket.connect(path)
  }

  /// The descriptors that came with it.
  var files: [DescriptorBox] { state.files.withLock { $0 } }

  /// What was asked, in order.
  var requests: [String] { state.requests.withLock { $0 } }
}
