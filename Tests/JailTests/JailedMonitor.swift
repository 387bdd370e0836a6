import Platform
import Testing

@testable import Jail

/// A `roost-vmm` that runs in a directory of its own, in a jail or not, with a disk on each bus.
final class JailedMonitor {
  static let user: UInt32 = 1_900_000_042

  let directory: String
  let process: ChildProcess
  private var status: Platform.ExitStatus?

  /// Starts one with `more` arguments, on `kernel`; `disk` is what its virtio disk holds.
  init(
    kernel: [UInt8], isJailed: Bool = true, log: [UInt8] = [], disk: [UInt8]? = nil, more: [String] = []
  ) throws {
    Signal.ignorePipe()
    directory = try Files.makeTemporaryDirectory(prefix: "/tmp/roost-jailed-")
    try Files.write(kernel, to: "\(directory)/kernel")
    try Files.write(log, to: "\(directory)/log")
    for name in ["old", "new", "spare"] {
      try Files.write([UInt8]("\(name) disk".utf8) + [UInt8](repeating: 0, count: 1 << 20), to: "\(directory)/\(name)")
    }
    if let disk { try Files.write(disk, to: "\(directory)/new") }
    var request = ChildRequest(
      [
        JailHost.program("roost-vmm"), "--name", "micro", "--memory", "4MiB", "--kernel", "\(directory)/kernel",
        "--disk", "\(directory)/old,bus=ide", "--disk", "\(directory)/new,id=new", "--hotplug", "--serial",
        "unix:\(directory)/console,log=\(directory)/log", "--control", "unix:\(directory)/control",
      ] + more + (isJailed ? ["--jail", "uid=\(Self.user)"] : []))
    let silence = try FileDescriptor(opening: "/dev/null", .readOnly)
    let said = try FileDescriptor(opening: "\(directory)/said", [.writeOnly, .create, .append])
    request.descriptors = [silence.rawValue, said.rawValue, said.rawValue]
    request.newProcessNamespace = isJailed
    process = try ChildProcess.start(request)
  }

  deinit {
    if status == nil {
      try? process.signal(Signal.kill)
      _ = try? process.wait()
    }
    try? Files.removeTree(directory)
  }

  /// What the monitor said about itself.
  var said: String { (try? Files.readText("\(directory)/said")) ?? "" }

  /// Waits for its end.
  func wait() throws -> Platform.ExitStatus {
    let ended = try process.wait()
    status = ended
    return ended
  }

  /// Connects to one of its sockets, once it is there; throws when the monitor ends instead.
  func connect(_ name: String) throws -> SocketClient {
    while true {
      do throws(SystemError) {
        return SocketClient(try UnixSocket.connect("\(directory)/\(name)"))
      } catch {
        if let ended = try process.poll() {
          status = ended
          Issue.record("the monitor ended: \(ended); \(said)")
          throw error
        }
        MonotonicClock.sleep(milliseconds: 10)
      }
    }
  }

  /// A field of its /proc/PID/status.
  func field(_ name: String) throws -> String {
    let lines = try Files.readText("/proc/\(process.pid)/status").split(separator: "\n")
    let line = try #require(lines.first { $0.hasPrefix("\(name):") }, "\(name)")
    return line.dropFirst(name.count + 1).split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }

  /// Private memory without the guest's that is this process's for good, in KiB: what of its files others read as well is
  /// a matter of who runs.
  func privateMemory() throws -> Int {
    var total = 0
    var isGuest = false
    for line in try Files.readText("/proc/\(process.pid)/smaps").split(separator: "\n") {
      let words = line.split(separator: " ")
      if words[0].contains("-"), !words[0].hasSuffix(":") { isGuest = line.contains("memfd:roost") }
      if !isGuest, words[0] == "Private_Dirty:" { total += Int(words[1]) ?? 0 }
    }
    return total
  }
}

/// The other end of one of a monitor's sockets.
final class SocketClient {
  private let file: FileDescriptor
  private var received: [UInt8] = []

  init(_ file: consuming FileDescriptor) {
    self.file = file
  }

  /// Sends text, and descriptors with it.
  func send(_ text: String, with descriptors: [Int32] = []) throws {
    _ = try file.send(Array(text.utf8), with: descriptors)
  }

  /// Reads until `text` has come, and returns all up to its end.
  @discardableResult
  func expect(_ text: String) throws -> String {
    let wanted = Array(text.utf8)
    while true {
      if received.count >= wanted.count {
        for start in 0...(received.count - wanted.count)
        where received[start..<(start + wanted.count)].elementsEqual(wanted) {
          defer { received.removeFirst(start + wanted.count) }
          return String(decoding: received[..<(start + wanted.count)], as: UTF8.self)
        }
      }
      let bytes = try file.read(upTo: 4096)
      try #require(!bytes.isEmpty, "the connection ended; \(String(decoding: received, as: UTF8.self))")
      received += bytes
    }
  }

  /// Sends one request; its answer.
  func ask(_ request: String, with descriptors: [Int32] = []) throws -> String {
    try send("\(request)\n", with: descriptors)
    return String(try expect("\n").dropLast())
  }
}
