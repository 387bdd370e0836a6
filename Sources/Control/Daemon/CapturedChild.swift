internal import Platform

/// A helper program on the loop that answers on its standard output: what it says is kept, up to a bound, and a deadline
/// ends it.
///
/// Lives on the loop's thread. It is over when the program ends, whoever else holds its output: LVM leaves helpers of its
/// own behind. It outlives this process: LVM is not to be ended in the middle of a change.
///
/// Lines that begin with `{"percent":` are no part of its answer: they tell how far it is.
final class CapturedChild {
  /// How a run came out.
  struct Outcome {
    /// How the program ended; nil when it did not, although it was killed.
    let status: ExitStatus?
    /// True when the deadline ended it.
    let isOverdue: Bool
    let output: [UInt8]
    let errors: [UInt8]
    /// True when there was more output than is kept.
    let isCut: Bool
  }

  /// Bytes that are kept of the output and of the errors.
  static let limit = (output: 4 << 20, errors: 64 << 10)
  /// Seconds from the polite end to the other, and from there to giving up.
  static let grace = 5.0

  /// One of the program's outputs. The writing end stays open here too, so it has no end of its own.
  private final class Stream {
    let pipe: Pipe
    let limit: Int
    var token: EventLoop.Token?
    var bytes: [UInt8] = []
    var isCut = false

    init(limit: Int) throws(SystemError) {
      self.limit = limit
      pipe = try Pipe()
      try pipe.reader.setNonBlocking(true)
    }

    /// Takes out of what came what tells how far the program is, and returns the last of it, in percent.
    func takeProgress() -> Int? {
      var last: Int?
      while bytes.starts(with: Self.progress), let end = bytes.firstIndex(of: 0x0A) {
        last = Int(String(decoding: bytes[Self.progress.count..<end].dropLast(), as: UTF8.self)) ?? last
        bytes.removeSubrange(...end)
      }
      return last
    }

    private static let progress = Array(#"{"percent":"#.utf8)

    /// Takes a chunk; false when none is there.
    func take() -> Bool {
      guard let chunk = try? pipe.reader.read(upTo: 1 << 16), !chunk.isEmpty else { return false }
      let room = limit - bytes.count
      if chunk.count > room { isCut = true }
      bytes += chunk.prefix(room)
      return true
    }
  }

  private let loop: EventLoop
  private let process: ChildProcess
  private let descriptor: ProcessDescriptor
  private let output: Stream
  private let errors: Stream
  private let onEnd: (Outcome) -> Void
  private let onProgress: (Int) -> Void
  private var endToken: EventLoop.Token?
  private var timer: EventLoop.Token?
  private var isOverdue = false
  private var hasAnswered = false

  /// True while the program is there, be it after `onEnd` was told that it cannot be ended.
  private(set) var isRunning = true

  /// Starts a program that may take `deadline` seconds. `onEnd` is called once; `onProgress` with how far it is, in
  /// percent, as often as it says so.
  init(
    _ arguments: [String], deadline: Double, loop: EventLoop, onProgress: @escaping (Int) -> Void = { _ in },
    onEnd: @escaping (Outcome) -> Void
  ) throws(SystemError) {
    self.loop = loop
    self.onEnd = onEnd
    self.onProgress = onProgress
    output = try Stream(limit: Self.limit.output)
    errors = try Stream(limit: Self.limit.errors)
    let silence = try FileDescriptor(opening: "/dev/null")
    var request = ChildRequest(arguments)
    request.descriptors = [silence.rawValue, output.pipe.writer.rawValue, errors.pipe.writer.rawValue]
    request.environment = Child.environment
    request.newSession = true
    process = try ChildProcess.start(request)
    descriptor = try ProcessDescriptor(process)
    endToken = try loop.watch(descriptor.file.rawValue, .readable) { [unowned self] _ in ended() }
    for stream in [output, errors] {
      stream.token = try loop.watch(stream.pipe.reader.rawValue, .readable) { [unowned self] _ in
        _ = stream.take()
        if stream === output { tellProgress() }
      }
    }
    timer = loop.after(deadline) { [unowned self] in overdue(Signal.terminate) }
  }

  deinit {
    loop.unwatch(endToken)
    loop.unwatch(output.token)
    loop.unwatch(errors.token)
    loop.cancel(timer)
  }

  private func overdue(_ signal: Int32) {
    isOverdue = true
    try? process.signalGroup(signal)
    timer = loop.after(Self.grace) { [unowned self] in
      if signal == Signal.kill { answer(nil) } else { overdue(Signal.kill) }
    }
  }

  private func ended() {
    guard let status = try? process.poll() else { return }
    loop.unwatch(endToken)
    endToken = nil
    isRunning = false
    answer(status)
  }

  private func tellProgress() {
    if let percent = output.takeProgress(), !hasAnswered { onProgress(max(0, min(percent, 100))) }
  }

  private func answer(_ status: ExitStatus?) {
    loop.cancel(timer)
    guard !hasAnswered else { return }
    hasAnswered = true
    for stream in [output, errors] {
      loop.unwatch(stream.token)
      stream.token = nil
      // What a pipe holds is there at once; who writes on behind the program's back is not waited for.
      for _ in 0..<64 where !stream.take() { break }
    }
    _ = output.takeProgress()
    onEnd(
      Outcome(
        status: status, isOverdue: isOverdue, output: output.bytes, errors: errors.bytes, isCut: output.isCut))
  }
}
