public import Platform

/// Why a machine did not do what a test waits for: what, and what its serial line said until then.
public struct MachineError: Error, CustomStringConvertible {
  /// What did not happen, and the serial line until then.
  public let description: String
}

/// An emulated machine whose first serial line the test reads and writes. It leads a process group, which ends with
/// this object.
///
/// Concurrency model: one test owns it and calls it from one thread at a time.
public final class QEMU {
  /// Name of the emulator of 64-bit PCs.
  public static let program = "qemu-system-x86_64"

  /// Why no machine can be emulated here; nil where one can.
  public static let missing: String? = find(program) == nil ? "this machine has no \(program)" : nil

  /// UEFI firmware for it; nil where there is none.
  public static let firmware: String? = ["/usr/share/ovmf/OVMF.fd", "/usr/share/qemu/OVMF.fd"].first(
    where: Files.exists)

  /// Everything the serial line said, without carriage returns.
  public private(set) var transcript = ""

  private let child: ChildProcess
  private let input: FileDescriptor
  private let output: FileDescriptor
  private let poller: Poller
  private var read = 0  // characters of the transcript that `expect` has passed
  private var status: ExitStatus?

  /// Starts one under software emulation, without a screen, with its serial line on our pipes.
  public init(_ arguments: [String]) throws {
    let toMachine = try Pipe()
    let fromMachine = try Pipe()
    var request = ChildRequest(
      [Self.program, "-accel", "tcg", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"]
        + arguments)
    request.newProcessGroup = true
    request.descriptors = [toMachine.reader.rawValue, fromMachine.writer.rawValue, fromMachine.writer.rawValue]
    child = try ChildProcess.start(request)
    input = try toMachine.writer.duplicate()
    output = try fromMachine.reader.duplicate()
    poller = try Poller()
    try poller.add(output.rawValue, .readable, token: 0)
  }

  deinit {
    guard status == nil else { return }
    try? child.signalGroup(Signal.kill)
    _ = try? child.wait()
  }

  /// Types `text`.
  public func send(_ text: String) throws {
    try input.writeAll(Array(text.utf8))
  }

  /// Waits until the serial line says `text`, and returns what it said since the last call up to its end.
  @discardableResult
  public func expect(_ text: String, within seconds: Int) throws -> String {
    let deadline = MonotonicClock.now() + UInt64(seconds) * 1_000_000_000
    while true {
      let pending = transcript.dropFirst(read)
      if let found = Self.range(of: text, in: pending) {
        let said = String(pending[..<found])
        read += said.count
        return said
      }
      guard try take(until: deadline) else {
        throw MachineError(
          description: "the machine did not say '\(text)' within \(seconds) s. Its serial line:\n\(transcript)")
      }
    }
  }

  /// Waits until the machine ends by itself.
  public func waitForExit(within seconds: Int) throws -> ExitStatus {
    if let status { return status }
    let deadline = MonotonicClock.now() + UInt64(seconds) * 1_000_000_000
    while try take(until: deadline) {}
    while MonotonicClock.now() < deadline {
      if let ended = try child.poll() {
        status = ended
        return ended
      }
      MonotonicClock.sleep(milliseconds: 10)
    }
    throw MachineError(
      description: "the machine did not end within \(seconds) s. Its serial line:\n\(transcript)")
  }

  /// Reads what is there, waiting for it until the deadline; false at the end.
  private func take(until deadline: UInt64) throws -> Bool {
    let now = MonotonicClock.now()
    guard now < deadline else { return false }
    if try poller.wait(timeout: Int32(min(1000, (deadline - now) / 1_000_000 + 1))).isEmpty { return true }
    let bytes = try output.read(upTo: 65536)
    transcript += String(decoding: bytes.filter { $0 != 0x0D }, as: UTF8.self)
    return !bytes.isEmpty
  }

  private static func range(of text: String, in pending: Substring) -> Substring.Index? {
    var start = pending.startIndex
    while start < pending.endIndex {
      if pending[start...].hasPrefix(text) { return pending.index(start, offsetBy: text.count) }
      start = pending.index(after: start)
    }
    return nil
  }

  private static func find(_ program: String) -> String? {
    let path = ProcessEnvironment.value("PATH") ?? "/usr/bin:/bin"
    return path.split(separator: ":").map { "\($0)/\(program)" }.first(where: Files.exists)
  }
}
