import Platform
import Testing

/// A program on a leash: its own process group, everything it prints kept, a deadline on every wait.
///
/// Concurrency model: confined to the test that made it.
final class Machine {
  /// What went wrong while a machine was watched.
  struct Failure: Error, CustomStringConvertible {
    let what: String
    let tail: String

    var description: String { "\(what)\n--- the last it printed ---\n\(tail)\n---" }
  }

  /// All that was printed.
  private(set) var log: [UInt8] = []
  private var searched = 0
  private let process: ChildProcess
  private let input: FileDescriptor
  private let output: FileDescriptor
  private var status: Platform.ExitStatus?

  /// Starts `arguments`; what it prints is kept and written to `logFile` when the machine goes.
  private let logFile: String

  init(_ arguments: [String], log name: String) throws {
    Signal.ignorePipe()
    let toChild = try Pipe()
    let fromChild = try Pipe()
    var request = ChildRequest(arguments)
    request.descriptors = [toChild.reader.rawValue, fromChild.writer.rawValue, fromChild.writer.rawValue]
    request.newSession = true
    process = try ChildProcess.start(request)
    input = try toChild.writer.duplicate()
    output = try fromChild.reader.duplicate()
    try output.setNonBlocking(true)
    try Files.makeDirectories("build/logs")
    logFile = "build/logs/\(name).log"
  }

  deinit {
    if status == nil {
      try? process.signalGroup(Signal.terminate)
      for _ in 0..<50 where status == nil {
        MonotonicClock.sleep(milliseconds: 100)
        status = (try? process.poll()) ?? nil
      }
      try? process.signalGroup(Signal.kill)
      if status == nil { _ = try? process.wait() }
    }
    try? Files.write(log, to: logFile)
  }

  /// The log as text.
  var text: String { String(decoding: log, as: UTF8.self) }

  /// Waits until `wanted` is printed after what was waited for before; throws with the tail when the
  /// deadline passes or the program ends.
  func wait(for wanted: String, seconds: Int) throws {
    let pattern = Array(wanted.utf8)
    let deadline = MonotonicClock.now() + UInt64(seconds) * 1_000_000_000
    while true {
      if let end = find(pattern) {
        searched = end
        return
      }
      if try !take(until: deadline) {
        status = try status ?? process.poll()
        let why = status.map { "the program ended: \($0)" } ?? "\(seconds) s passed"
        throw Failure(what: "'\(wanted)' was not seen; \(why)", tail: tail)
      }
    }
  }

  /// Types text.
  func type(_ text: String) throws {
    try input.writeAll(Array(text.utf8))
  }

  /// What Ctrl-C does at a terminal.
  func interrupt() throws {
    try process.signalGroup(Signal.interrupt)
  }

  /// Ends the program at once, as a power cut ends a machine.
  func cutPower() {
    guard status == nil else { return }
    try? process.signalGroup(Signal.kill)
    status = try? process.wait()
  }

  /// Waits for the end of the program.
  func waitForExit(seconds: Int) throws -> Platform.ExitStatus {
    let deadline = MonotonicClock.now() + UInt64(seconds) * 1_000_000_000
    while true {
      if let status { return status }
      _ = try take(until: min(deadline, MonotonicClock.now() + 200_000_000))
      status = try process.poll()
      if status == nil, MonotonicClock.now() > deadline {
        throw Failure(what: "the program did not end within \(seconds) s", tail: tail)
      }
    }
  }

  /// The last two thousand bytes.
  var tail: String { String(decoding: log.suffix(2000), as: UTF8.self) }

  /// Takes in what there is, waiting for it; false at the deadline or the end.
  private func take(until deadline: UInt64) throws -> Bool {
    while true {
      do throws(SystemError) {
        let chunk = try output.read(upTo: 1 << 16)
        log += chunk
        return !chunk.isEmpty
      } catch {
        guard error.errno == .wouldBlock else { throw error }
      }
      if MonotonicClock.now() > deadline { return false }
      MonotonicClock.sleep(milliseconds: 20)
    }
  }

  private func find(_ pattern: [UInt8]) -> Int? {
    guard log.count >= searched + pattern.count, let first = pattern.first else { return nil }
    for start in searched...(log.count - pattern.count)
    where log[start] == first && log[start..<(start + pattern.count)].elementsEqual(pattern) {
      return start + pattern.count
    }
    return nil
  }
}
