internal import FoundationEssentials
internal import ImageBuilder
internal import Platform
internal import Synchronization

/// Shows sticks being written: on a terminal a bar for each, elsewhere a line for what begins and ends, or JSON.
///
/// Concurrency model: the writing threads show events, another one ticks; a mutex guards all state.
final class ProvisionScreen: Sendable {
  private struct Row {
    let name: String
    let total: Int
    var phase = ""
    var fraction = 0.0
    var done = 0
    var phaseStarted: UInt64 = 0
    var result: String?
  }

  private struct State {
    var rows: [Row] = []
    /// A line for each stick that is being written.
    var live: LiveLines
    var started: UInt64 = 0
    /// When progress was last told as JSON.
    var told: [Int: UInt64] = [:]
  }

  private let printsJSON: Bool
  private let state: Mutex<State>

  init(printsJSON: Bool) {
    self.printsJSON = printsJSON
    state = Mutex(
      State(live: LiveLines(isLive: !printsJSON && Terminal.isTerminal(StandardStream.output.rawValue))))
  }

  /// One line of JSON.
  private struct Line: Encodable {
    let event: String
    var target: String?
    var hostname: String?
    var phase: String?
    var done: Int?
    var total: Int?
    var bytes: Int?
    var seconds: Double?
    var writeMegabytesPerSecond: Double?
    var verifyMegabytesPerSecond: Double?
    var megabytesPerSecond: Double?
    var message: String?
    var written: Int?
    var failed: Int?
  }

  /// Says what is going to be done.
  func begin(_ provisioning: Provisioning) {
    state.withLock { state in
      state.started = MonotonicClock.now()
      state.rows = provisioning.targets.map { target in
        Row(
          name: target.path + (target.hostname.map { " (\($0))" } ?? ""), total: provisioning.imageBytes)
      }
      if printsJSON {
        for target in provisioning.targets {
          emit(&state, Line(event: "target", target: target.path, hostname: target.hostname, bytes: target.size))
        }
        return
      }
      state.live.say(
        "\(provisioning.applianceName) (\(BuildScreen.size(provisioning.imageBytes))) from \(provisioning.imagePath)")
      for target in provisioning.targets { state.live.say("  to \(target.path): \(target.description)") }
      draw(&state)
    }
  }

  /// Shows what happens.
  @Sendable func show(_ event: ProvisionEvent) {
    state.withLock { state in
      switch event {
      case .progress(let index, let phase, let done, let total):
        progress(&state, index, phase, done, total)
      case .finished(let index, let outcome):
        finished(&state, index, outcome)
      }
    }
  }

  private func progress(_ state: inout State, _ index: Int, _ phase: String, _ done: Int, _ total: Int) {
    guard state.rows.indices.contains(index) else { return }
    let isNew = state.rows[index].phase != phase
    // Two threads tell of one target: a number that comes late is passed over.
    guard isNew || done >= state.rows[index].done else { return }
    let now = MonotonicClock.now()
    if isNew { state.rows[index].phaseStarted = now }
    state.rows[index].phase = phase
    state.rows[index].done = done
    state.rows[index].fraction = total > 0 ? Double(done) / Double(total) : 0
    if printsJSON {
      guard isNew || done == total || now - state.told[index, default: 0] > 500_000_000 else { return }
      state.told[index] = now
      emit(&state, Line(event: "progress", target: state.rows[index].name, phase: phase, done: done, total: total))
    } else if !state.live.isLive, isNew {
      state.live.say("\(state.rows[index].name): \(Self.words(phase))")
    }
  }

  private func finished(_ state: inout State, _ index: Int, _ outcome: ProvisionOutcome) {
    guard state.rows.indices.contains(index) else { return }
    let name = state.rows[index].name
    let text: String
    if let error = outcome.error {
      text = error.code == .cancelled ? "interrupted; it does not boot" : "failed: \(error)"
    } else {
      text =
        "done: written at \(Self.rate(outcome.bytes, outcome.writeSeconds)), read back at "
        + Self.rate(outcome.bytes, outcome.verifySeconds) + (outcome.notice.map { "; \($0)" } ?? "")
    }
    state.rows[index].result = text
    if printsJSON {
      emit(
        &state,
        outcome.error.map { Line(event: "failed", target: name, message: $0.description) }
          ?? Line(
            event: "done", target: name, bytes: outcome.bytes,
            writeMegabytesPerSecond: Self.speed(outcome.bytes, outcome.writeSeconds),
            verifyMegabytesPerSecond: Self.speed(outcome.bytes, outcome.verifySeconds), message: outcome.notice))
      return
    }
    state.live.say("\(name): \(text)")
    draw(&state)
  }

  /// Shows a line of its own.
  @Sendable func say(_ text: String) {
    guard !printsJSON else { return }
    state.withLock { state in
      state.live.say(text)
      draw(&state)
    }
  }

  /// Brings the bars up to date.
  @Sendable func tick() {
    state.withLock { draw(&$0) }
  }

  /// The last line.
  func finish(_ outcomes: [ProvisionOutcome]) {
    state.withLock { state in
      state.rows = []  // nothing is redrawn any more
      let seconds = Double(MonotonicClock.now() - state.started) / 1e9
      let good = outcomes.filter { $0.error == nil }
      let bytes = good.reduce(0) { $0 + $1.bytes }
      if printsJSON {
        emit(
          &state,
          Line(
            event: "summary", bytes: bytes, seconds: seconds, megabytesPerSecond: Self.speed(bytes, seconds),
            written: good.count, failed: outcomes.count - good.count))
        return
      }
      let noun = outcomes.count == 1 ? "stick is" : "sticks are"
      state.live.say(
        "\(good.count) of \(outcomes.count) \(noun) written and compared: \(BuildScreen.size(bytes)) in "
          + "\(BuildScreen.seconds(seconds)), \(Self.rate(bytes, seconds))")
    }
  }

  /// What kept it from beginning.
  func fail(_ error: BuildError) {
    if printsJSON { state.withLock { emit(&$0, Line(event: "refused", message: error.description)) } }
    StandardStream.error.write("roost provision: \(error)\n")
  }

  private func emit(_ state: inout State, _ line: Line) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(line) else { return }
    state.live.say(String(decoding: data, as: UTF8.self))
  }

  private func draw(_ state: inout State) {
    let names = state.rows.map(\.name.count).max() ?? 0
    state.live.draw(
      state.rows.filter { $0.result == nil }.map { row in
        "\(row.name)\(String(repeating: " ", count: names - row.name.count))  \(bar(row))"
      })
  }

  /// Such as `reading back [######..............]  31 %  24.1 MB/s`.
  private func bar(_ row: Row) -> String {
    let words = Self.words(row.phase)
    let head = words + String(repeating: " ", count: max(0, 14 - words.count))
    let percent = "\(Int(row.fraction * 100))"
    let seconds = Double(MonotonicClock.now() - row.phaseStarted) / 1e9
    let speed = row.done > 1 ? "  \(Self.rate(row.done, seconds))" : ""
    return
      "\(head)\(Terminal.bar(row.fraction, width: 20))\(String(repeating: " ", count: max(0, 4 - percent.count)))\(percent) %\(speed)"
  }

  private static func words(_ phase: String) -> String {
    switch phase {
    case "erase": "clearing"
    case "write": "writing"
    case "verify": "reading back"
    case "finish": "finishing"
    default: "waiting"
    }
  }

  private static func speed(_ bytes: Int, _ seconds: Double) -> Double {
    seconds > 0 ? (Double(bytes) / 1e5 / seconds).rounded() / 10 : 0
  }

  private static func rate(_ bytes: Int, _ seconds: Double) -> String {
    "\(speed(bytes, seconds)) MB/s"
  }
}
