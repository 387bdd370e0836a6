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
    /// Seconds by the names of the steps that were made.
    var made: [(name: String, seconds: Double)] = []
    /// Below the finished ones, a line for each that is running.
    var live: LiveLines
  }

  private let isQuiet: Bool
  private let state: Mutex<State>

  init(isQuiet: Bool) {
    self.isQuiet = isQuiet
    state = Mutex(State(live: LiveLines(isLive: !isQuiet && Terminal.isTerminal(StandardStream.output.rawValue))))
  }

  /// Shows what the build tells.
  func show(_ event: BuildEvent) {
    guard !isQuiet else { return }
    state.withLock { state in
      switch event {
      case .planned(let names):
        state.names = names
      case .remark(let text):
        state.live.say("note: \(text)")
      case .started(let index):
        state.running.append(Running(index: index, started: MonotonicClock.now()))
        if !state.live.isLive { state.live.say("\(label(state, index)) …") }
      case .progress(let index, let text):
        guard let position = state.running.firstIndex(where: { $0.index == index }) else { return }
        state.running[position].text = text
      case .finished(let index, let reused, let seconds, let bytes):
        state.running.removeAll { $0.index == index }
        if !reused { state.made.append((index < state.names.count ? state.names[index] : "", seconds)) }
        let result = reused ? "unchanged" : Self.seconds(seconds)
        state.live.say("\(label(state, index, padded: true)) \(pad(result, 10)) \(pad(Self.size(bytes), 9))")
      case .failed(let index):
        state.running.removeAll { $0.index == index }
        state.live.say("\(label(state, index, padded: true)) \(pad("stopped", 10))")
      }
      draw(&state)
    }
  }

  /// How many steps and files a summary has of each.
  private static let told = 3
  /// Seconds that are worth a word.
  private static let long = 5.0

  /// Says what was made, what took long, and what is big.
  func summarize(_ image: ImageBuild.Image) {
    say(
      "\(image.path): \(Self.size(image.size)), \(image.reused ? "unchanged" : "written"), "
        + "in \(Self.seconds(image.seconds))")
    guard !image.reused else { return }
    let slow = state.withLock { $0.made }.filter { $0.seconds >= Self.long }.sorted { $0.seconds > $1.seconds }
    if !slow.isEmpty {
      let words = slow.prefix(Self.told).map { "\($0.name) (\(Self.seconds($0.seconds)))" }
      say("  took long: \(words.joined(separator: "; "))")
    }
    let words = image.largest.prefix(Self.told).map { "\($0.path) (\(Self.size($0.bytes)))" }
    say("  is big: \(words.joined(separator: ", "))")
  }

  /// Shows a line of its own.
  func say(_ text: String) {
    guard !isQuiet else { return }
    state.withLock { state in
      state.live.say(text)
      draw(&state)
    }
  }

  /// Brings the running steps' times up to date.
  func tick() {
    state.withLock { draw(&$0) }
  }

  /// Clears what is redrawn.
  func finish() {
    state.withLock { state in
      state.running = []
      state.live.erase()
    }
  }

  private func draw(_ state: inout State) {
    state.live.draw(
      state.running.map { running in
        let seconds = Double(MonotonicClock.now() - running.started) / 1e9
        return "\(label(state, running.index, padded: true)) \(pad(Self.seconds(seconds), 10)) \(running.text)"
      })
  }

  private func label(_ state: State, _ index: Int, padded: Bool = false) -> String {
    let number = String(repeating: " ", count: index + 1 < 10 ? 1 : 0) + "\(index + 1)/\(state.names.count)"
    let name = index < state.names.count ? state.names[index] : ""
    let width = (state.names.map(\.count).max() ?? 0)
    return "[\(number)] \(name)" + (padded ? String(repeating: " ", count: max(0, width - name.count)) : "")
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
