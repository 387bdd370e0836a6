internal import Platform

/// A helper program on the loop: its output goes to a log file, its end to a handler.
///
/// Lives on the loop's thread.
final class Child {
  private let loop: EventLoop
  private let process: ChildProcess
  private let descriptor: ProcessDescriptor
  private var token: EventLoop.Token?

  /// What helper programs find in their environment.
  static let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/"]

  /// Starts a program. `input` names a file for its standard input. `onEnd` is called once.
  init(
    _ arguments: [String], input: String = "/dev/null", log: String, loop: EventLoop,
    onEnd: @escaping (ExitStatus) -> Void
  ) throws(SystemError) {
    let source = try FileDescriptor(opening: input)
    let output = try FileDescriptor(opening: log, [.writeOnly, .create, .append], permissions: 0o600)
    var request = ChildRequest(arguments)
    request.descriptors = [source.rawValue, output.rawValue, output.rawValue]
    request.environment = Self.environment
    request.newSession = true
    request.parentDeathSignal = Signal.terminate
    self.loop = loop
    process = try ChildProcess.start(request)
    descriptor = try ProcessDescriptor(process)
    token = try loop.watch(descriptor.file.rawValue, .readable) { [unowned self] _ in
      guard let status = try? process.poll() else { return }
      loop.unwatch(token)
      token = nil
      onEnd(status)
    }
  }

  deinit {
    loop.unwatch(token)
  }

  /// True until the program ended.
  var isRunning: Bool { token != nil }

  /// Sends the program a signal, if it runs.
  func signal(_ number: Int32) {
    if token != nil { try? process.signal(number) }
  }

  /// Ends the program and waits for that; for the way out only.
  func stop() {
    guard token != nil else { return }
    loop.unwatch(token)
    token = nil
    try? process.signalGroup(Signal.terminate)
    for _ in 0..<100 {
      if (try? process.poll()) != nil { return }
      MonotonicClock.sleep(milliseconds: 10)
    }
    try? process.signalGroup(Signal.kill)
    _ = try? process.wait()
  }
}

/// A helper program that runs for good: it is started again when it ends, with pauses that grow.
final class Service {
  private static let longestPause = 60.0

  private let name: String
  private let arguments: [String]
  private let logPath: String
  private let loop: EventLoop
  private let report: (String) -> Void
  private var child: Child?
  private var timer: EventLoop.Token?
  private var pause = 1.0
  private var isStopped = false

  /// Starts it. `report` is told once for each kind of trouble in a row.
  init(_ name: String, _ arguments: [String], log: String, loop: EventLoop, report: @escaping (String) -> Void) {
    self.name = name
    self.arguments = arguments
    logPath = log
    self.loop = loop
    self.report = report
    start()
  }

  /// Sends the program a signal, if it runs.
  func signal(_ number: Int32) { child?.signal(number) }

  func stop() {
    isStopped = true
    loop.cancel(timer)
    child?.stop()
    child = nil
  }

  private func start() {
    let since = loop.now
    do throws(SystemError) {
      child = try Child(arguments, log: logPath, loop: loop) { [unowned self] status in
        if loop.now - since > 60 { pause = 1 }
        if pause == 1 { report("\(name) ended (\(status)) and is started again; \(logPath) says more") }
        again()
      }
    } catch {
      if pause == 1 { report("\(name) does not start: \(error)") }
      again()
    }
  }

  private func again() {
    guard !isStopped else { return }
    timer = loop.after(pause) { [unowned self] in
      child = nil
      start()
    }
    pause = min(pause * 2, Self.longestPause)
  }
}
