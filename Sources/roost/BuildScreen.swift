internal import ImageBuilder
internal import Platform
internal import Synchronization

/// Shows a build: a line for each finished step, and on a terminal a line below for each that is running.
///
/// Concurrency model: the build's thread shows events, another one ticks; a mutex guards all state.
final class BuildScreen: Sendable {
  private struct Running {
    let index: Int
    let started: UInt64
    var text = ""
  }

  private struct State {
    var names: [String] = []
    var running: [Running] = []
    /// Lines below the finished ones that are redrawn.
    var drawn = 0
    var isFinished = false
  }

  private let isQuiet: Bool
  private let isLive: Bool
  private let state = Mutex(State())

  init(isQuiet: Bool) {
    self.isQuiet = isQuiet
    isLive = !isQuiet && Terminal.isTerminal(StandardStream.output.rawValue)
  }

  /// Shows what the build tells.
  func show(_ event: BuildEvent) {
    guard !isQuiet else { return }
    state.withLock { state in
      switch event {
      case .planned(let names):
        state.names = names
      case .started(let index):
        state.running.append(Running(index: index, started: MonotonicClock.now()))
        if !isLive { line("\(label(state, index)) …") }
      case .progress(let index, let text):
        guard let position = state.running.firstIndex(where: { $0.index == index }) else { return }
        state.running[position].text = text
      case .finished(let index, let reused, let seconds, let bytes):
        state.running.removeAll { $0.index == index }
        erase(&state)
        let result = reused ? "unchanged" : Self.seconds(seconds)
        line("\(label(state, index, padded: true)) \(pad(result, 10)) \(pad(Self.size(bytes), 9))")
      case .failed(let index):
        state.running.removeAll { $0.index == index }
        erase(&state)
        line("\(label(state, index, padded: true)) \(pad("stopped", 10))")
      }
      draw(&state)
    }
  }

  /// Shows a line of its own.
  func say(_ text: String) {
    guard !isQuiet else { return }
    state.withLock { state in
      erase(&state)
      line(text)
      draw(&state)
    }
  }

  /// Brings the running steps' times up to date.
  func tick() {
    guard isLive else { return }
    state.withLock { state in
      erase(&state)
      draw(&state)
    }
  }

  /// Clears what is redrawn.
  func finish() {
    state.withLock { state in
      erase(&state)
      state.running = []
      state.isFinished = true
    }
  }

  private func erase(_ state: inout State) {
    guard isLive, state.drawn > 0 else { return }
    StandardStream.output.write("\u{1B}[\(state.drawn)A\u{1B}[J")
    state.drawn = 0
  }

  private func draw(_ state: inout State) {
    guard isLive, !state.isFinished, state.drawn == 0 else { return }
    let width = (Terminal.size(of: StandardStream.output.rawValue)?.columns ?? 80) - 1
    for running in state.running {
      let seconds = Double(MonotonicClock.now() - running.started) / 1e9
      let text = "\(label(state, running.index, padded: true)) \(pad(Self.seconds(seconds), 10)) \(running.text)"
      line(String(text.prefix(width)))
      state.drawn += 1
    }
  }

  private func label(_ state: State, _ index: Int, padded: Bool = false) -> String {
    let number = String(repeating: " ", count: index + 1 < 10 ? 1 : 0) + "\(index + 1)/\(state.names.count)"
    let name = index < state.names.count ? state.names[index] : ""
    let width = (state.names.map(\.count).max() ?? 0)
    return "[\(number)] \(name)" + (padded ? String(repeating: " ", count: max(0, width - name.count)) : "")
  }

  private func line(_ text: String) {
    StandardStream.output.write(text + "\n")
  }

  private func pad(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  /// Seconds with one decimal, as `12.3 s`.
  static func seconds(_ seconds: Double) -> String {
    let tenths = Int((seconds * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) s"
  }

  /// Decimal megabytes, as `123.4 MB`.
  static func size(_ bytes: Int) -> String {
    let tenths = (bytes + 50_000) / 100_000
    return "\(tenths / 10).\(tenths % 10) MB"
  }
}
