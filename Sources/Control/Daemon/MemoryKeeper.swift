internal import Manifest
internal import Platform

/// Asks monitors what their guests have come to, and has guests come to what is wanted.
///
/// A guest comes down or up in its own time, and takes memory back when it needs it badly: what it has is asked again and
/// again, often while it changes and seldom while it does not. Lives on the loop's thread.
final class MemoryKeeper {
  private let loop: EventLoop
  /// Seconds between two questions to a monitor, while something changes, and at most.
  private let pace: ClosedRange<Double>
  private let domains: () -> [DomainSupervisor]
  private var questions: [String: Question] = [:]
  private var orders: [String: MonitorCall] = [:]
  private var rests: [String: Rest] = [:]

  /// A question that a monitor has not answered yet.
  private final class Question {
    var call: MonitorCall?
    /// An order came in between: the answer may be of before.
    var isStale = false
  }

  /// When a monitor is to be asked next, and how long that was away.
  private struct Rest {
    var pid: Int32
    var due: Double
    var length: Double
  }

  /// One for these domains.
  init(loop: EventLoop, pace: ClosedRange<Double>, domains: @escaping () -> [DomainSupervisor]) {
    self.loop = loop
    self.pace = pace
    self.domains = domains
  }

  /// Asks from now on.
  func begin() {
    for supervisor in domains() {
      let name = supervisor.domain.name
      guard let pid = supervisor.machine.pid, supervisor.memory.isAdjustable, questions[name] == nil,
        orders[name] == nil
      else { continue }
      if let rest = rests[name], rest.pid == pid, rest.due > loop.now { continue }
      ask(supervisor, pid)
    }
    loop.after(pace.lowerBound) { [unowned self] in begin() }
  }

  private func ask(_ supervisor: DomainSupervisor, _ pid: Int32) {
    let name = supervisor.domain.name
    let question = Question()
    questions[name] = question
    question.call = MonitorCall(
      "memory", path: supervisor.paths.control, loop: loop, isAlive: { supervisor.machine.pid == pid }
    ) { [unowned self] outcome in
      let before = supervisor.memory.figures(of: pid)
      if case .done(let text) = outcome, !question.isStale, supervisor.machine.pid == pid,
        let figures = MemoryFigures(text)
      {
        supervisor.memory.take(figures, of: pid, at: loop.now)
        rest(name, pid, isMoving: figures.actual != before?.actual)
        supervisor.tell()
      } else {
        rest(name, pid, isMoving: question.isStale)
      }
      // The call ends in the middle of this: it is let go of afterwards.
      loop.after(0) { [unowned self] in questions[name] = nil }
    }
  }

  private func rest(_ name: String, _ pid: Int32, isMoving: Bool) {
    let length = isMoving ? pace.lowerBound : min(pace.upperBound, (rests[name]?.length ?? pace.lowerBound) * 2)
    rests[name] = Rest(pid: pid, due: loop.now + length, length: length)
  }

  /// Has the guest of `supervisor` come to `bytes`, which was found to be possible. `done` is called once the monitor has
  /// asked it, or why it did not.
  func set(
    _ supervisor: DomainSupervisor, to bytes: Int, _ done: @escaping (ControlError?) -> Void
  ) throws(ControlError) {
    let name = supervisor.domain.name
    guard let pid = supervisor.machine.pid else { return done(nil) }
    guard orders[name] == nil else {
      throw ControlError(.wrongState, "the memory of \(name) is being set by somebody else; try again")
    }
    questions[name]?.isStale = true
    supervisor.memory.order(bytes, of: pid)
    orders[name] = MonitorCall(
      "memory \(bytes)", path: supervisor.paths.control, loop: loop, isAlive: { supervisor.machine.pid == pid }
    ) { [unowned self] outcome in
      switch outcome {
      case .done(let text):
        supervisor.memory.finish(Int(text) ?? bytes, of: pid)
        done(nil)
      case .refused(let reason):
        supervisor.memory.finish(nil, of: pid)
        done(ControlError(.wrongState, "\(name): \(reason)"))
      case .gone:
        supervisor.memory.finish(nil, of: pid)
        done(ControlError(.wrongState, "\(name) ended meanwhile"))
      case .unanswered(let reason, let mayBeDone):
        // The next answer tells which of both it is.
        supervisor.memory.finish(mayBeDone ? max(bytes, supervisor.memory.wanted(by: pid)) : nil, of: pid)
        done(ControlError(.system, "the monitor of \(name) cannot be asked: \(reason)"))
      }
      rest(name, pid, isMoving: true)
      loop.after(0) { [unowned self] in orders[name] = nil }
    }
  }
}
