internal import Platform
internal import Synchronization

/// How a boot ended.
public enum BootOutcome: Hashable, Sendable {
  /// The machine ended by itself: powered off, or its user left.
  case ended
  /// All autostart domains were ready; a line per domain. The machine was stopped then.
  case ready(lines: [String])
  /// They were not; lines that say which, and why as far as is known. The machine was stopped then.
  case notReady(lines: [String])
  /// A signal asked to stop; its number.
  case interrupted(signal: Int32)
}

/// Runs one appliance under QEMU, and leaves nothing behind: QEMU leads a session of its own and is killed with
/// everything in it when this ends, in whichever way.
///
/// Concurrency model: everything happens on the calling thread, but `ReadinessWatch`, which has its own thread and
/// hands its outcome over through `Watched`.
public struct BootRunner {
  private let plan: BootPlan
  private let report: @Sendable (String) -> Void

  /// A runner that gives lines of progress to `report` while the terminal is not the guest's.
  public init(_ plan: BootPlan, report: @escaping @Sendable (String) -> Void) {
    self.plan = plan
    self.report = report
  }

  /// What to press, for who has the guest's serial line on this terminal.
  public static let keys = "Ctrl-a x leaves (the machine stops at once) · Ctrl-a c is QEMU's monitor and back"

  /// Boots, and returns when the machine ended or was stopped.
  public func run() throws(ControlError) -> BootOutcome {
    do throws(SystemError) {
      let parent = ProcessEnvironment.value("TMPDIR").flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
      let directory = try Files.makeTemporaryDirectory(prefix: "\(parent)/roost-boot-")
      defer { try? Files.removeTree(directory) }
      return try boot(in: directory)
    } catch {
      throw ControlError(.cannotBoot, "cannot run the machine: \(error)")
    }
  }

  private func boot(in directory: String) throws(SystemError) -> BootOutcome {
    let command = try prepare(directory)
    // Blocked from here on, so that nothing ends this process before QEMU and the terminal were seen to.
    let signals = try SignalDescriptor([Signal.interrupt, Signal.terminate, Signal.hangUp, Signal.quit])
    let watched = try Watched()
    let guestHasTerminal = !plan.options.headless && Terminal.isTerminal(0)
    let modes = guestHasTerminal ? try Terminal.makeRaw(0) : nil
    defer { if let modes { Terminal.restore(modes, on: 0) } }
    let errors = "\(directory)/errors"
    let process = try start(command, errors: errors)
    let end = try followToTheEnd(process, signals, watched, command)
    switch end {
    case .machine(let status):
      return ended(status, errors: errors, serialLog: command.serialLog)
    case .outcome(let outcome):
      return describe(outcome, serialLog: command.serialLog)
    case .signal(let signal):
      return .interrupted(signal: signal)
    }
  }

  /// What happened first.
  fileprivate enum End {
    case machine(ExitStatus)
    case outcome(ReadinessWatch.Outcome)
    case signal(Int32)
  }

  private func prepare(_ directory: String) throws(SystemError) -> QemuCommand {
    var firmware = plan.firmware
    if let template = plan.firmware?.variables {
      let copy = "\(directory)/variables.fd"
      try Files.write(try Files.read(template), to: copy, permissions: 0o600)
      firmware?.variables = copy
    }
    let log = plan.options.log ?? "\(directory)/serial.log"
    try Files.write("", to: log)
    return QemuCommand(
      options: plan.options, accelerator: plan.accelerator, cpus: plan.cpus, program: plan.qemu, firmware: firmware,
      controlSocket: "\(directory)/control.sock", serialLog: log)
  }

  private func start(_ command: QemuCommand, errors: String) throws(SystemError) -> ChildProcess {
    let null = try FileDescriptor(opening: "/dev/null", .readWrite)
    let complaints = try FileDescriptor(opening: errors, [.writeOnly, .create, .append], permissions: 0o600)
    var request = ChildRequest(command.arguments)
    request.descriptors =
      plan.options.headless
      ? [null.rawValue, null.rawValue, complaints.rawValue] : [0, 1, complaints.rawValue]
    request.newSession = true
    request.parentDeathSignal = Signal.kill
    let process = try ChildProcess.start(request)
    _ = null.rawValue
    _ = complaints.rawValue
    return process
  }

  /// Terminates QEMU and what it may have started, and reaps it.
  private func stop(_ process: ChildProcess) {
    try? process.signalGroup(Signal.terminate)
    for _ in 0..<50 {
      if (try? process.poll()) != nil { return }
      MonotonicClock.sleep(milliseconds: 100)
    }
    try? process.signalGroup(Signal.kill)
    _ = try? process.wait()
  }

  /// Waits for the first that happens; QEMU and the watching thread are gone when this returns or throws.
  private func followToTheEnd(
    _ process: ChildProcess, _ signals: borrowing SignalDescriptor, _ watched: Watched, _ command: QemuCommand
  ) throws(SystemError) -> End {
    guard let seconds = plan.options.readyWithin else {
      let result = follow(process, signals, watched)
      if !result.hasEndedMachine { stop(process) }
      return try result.get()
    }
    let report = report
    // The guest's screen is not to be written over.
    let isQuiet = !plan.options.headless
    let watch = ReadinessWatch(
      socket: command.controlSocket, timeout: Double(seconds), isCancelled: { watched.isCancelled },
      report: { if !isQuiet { report($0) } })
    let thread: Thread
    do throws(SystemError) {
      thread = try Thread("readiness") { watched.finish(watch.run()) }
    } catch {
      stop(process)
      throw error
    }
    let result = follow(process, signals, watched)
    watched.cancel()
    if !result.hasEndedMachine { stop(process) }
    // Its socket's other side is gone, which ends it.
    thread.join()
    return try result.get()
  }

  /// Waits for the first that happens.
  private func follow(
    _ process: ChildProcess, _ signals: borrowing SignalDescriptor, _ watched: Watched
  ) -> Result<End, SystemError> {
    do throws(SystemError) {
      let end = try ProcessDescriptor(process)
      let poller = try Poller()
      try poller.add(signals.file.rawValue, .readable, token: 0)
      try poller.add(end.file.rawValue, .readable, token: 1)
      try poller.add(watched.done.file.rawValue, .readable, token: 2)
      while true {
        let ready = Set(try poller.wait().map(\.token))
        if ready.contains(0), let signal = try signals.take() { return .success(.signal(signal)) }
        // QEMU's own words about its end say more than that nobody answered any more.
        if ready.contains(1), let status = try process.poll() { return .success(.machine(status)) }
        guard ready.contains(2), let outcome = watched.outcome else { continue }
        // A QEMU that dies closes its sockets a moment before it can be waited for.
        if case .ready = outcome { return .success(.outcome(outcome)) }
        MonotonicClock.sleep(milliseconds: 200)
        if let status = try process.poll() { return .success(.machine(status)) }
        return .success(.outcome(outcome))
      }
    } catch {
      return .failure(error)
    }
  }

  private func describe(_ outcome: ReadinessWatch.Outcome, serialLog: String) -> BootOutcome {
    switch outcome {
    case .ready(let domains):
      return .ready(lines: ReadinessWatch.table(domains))
    case .notReady(let domains, let consoles, let why):
      var lines = ReadinessWatch.table(domains) + [why]
      for domain in domains {
        guard let text = consoles[domain.name] else { continue }
        lines.append("the last lines of \(domain.name)'s console:")
        lines += Self.indented(ReadinessWatch.lastLines(text))
      }
      return .notReady(lines: lines + (domains.isEmpty ? serialTail(serialLog) : []))
    case .silent(let why):
      return .notReady(lines: ["the appliance did not answer: \(why)"] + serialTail(serialLog))
    }
  }

  /// QEMU is gone. That is an error if it could not start, or if somebody waits for domains.
  private func ended(_ status: ExitStatus, errors: String, serialLog: String) -> BootOutcome {
    let complaints = ReadinessWatch.lastLines((try? Files.readText(errors)) ?? "")
    if status.isSuccess, plan.options.readyWithin == nil { return .ended }
    var lines = ["QEMU ended (\(status)) before the domains were ready"]
    if plan.options.readyWithin == nil { lines = ["QEMU failed (\(status))"] }
    lines += Self.indented(complaints)
    return .notReady(lines: lines + serialTail(serialLog))
  }

  private func serialTail(_ path: String) -> [String] {
    let lines = ReadinessWatch.lastLines((try? Files.readText(path)) ?? "", count: 25)
    let hint = plan.options.log == nil ? "--log FILE keeps all of it" : "all of it is in \(path)"
    if lines.isEmpty { return ["its serial line said nothing"] }
    return ["the last lines of its serial line (\(hint)):"] + Self.indented(lines)
  }

  private static func indented(_ lines: [String]) -> [String] {
    lines.isEmpty ? ["  | (nothing)"] : lines.map { "  | \($0)" }
  }
}

extension Result<BootRunner.End, SystemError> {
  /// True when QEMU is gone and reaped.
  fileprivate var hasEndedMachine: Bool {
    if case .success(.machine) = self { return true }
    return false
  }
}

/// What the watching thread and the waiting one share. The mutex guards all that changes.
private final class Watched: Sendable {
  private struct State {
    var outcome: ReadinessWatch.Outcome?
    var cancelled = false
  }

  private let state = Mutex(State())
  /// Signalled when there is an outcome.
  let done: EventDescriptor

  init() throws(SystemError) {
    done = try EventDescriptor()
  }

  var outcome: ReadinessWatch.Outcome? { state.withLock { $0.outcome } }
  var isCancelled: Bool { state.withLock { $0.cancelled } }

  func cancel() {
    state.withLock { $0.cancelled = true }
  }

  func finish(_ outcome: ReadinessWatch.Outcome) {
    state.withLock { $0.outcome = outcome }
    try? done.signal()
  }
}
