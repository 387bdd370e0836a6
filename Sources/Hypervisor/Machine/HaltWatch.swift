internal import Platform
internal import Synchronization

/// Notices when all of a machine's CPUs are halted for good: `halt` of an operating system that leaves the power on.
/// KVM keeps such CPUs asleep and says nothing.
///
/// Every few seconds each CPU is called out of the guest and looks at itself; when all of them say twice in a row that
/// nothing can wake them, the machine is at its end.
///
/// Concurrency model: `tick` belongs to the event loop; `answer` comes from the CPUs' threads.
final class HaltWatch: Sendable {
  /// Time between two looks, in nanoseconds.
  static let interval: UInt64 = 2_000_000_000

  private struct State {
    var answers: Set<UInt32> = []
    var unanimous = 0
  }

  private let cpus: Int
  private let state = Mutex(State())
  /// Counts the looks; a CPU answers each once.
  private let round = Atomic<UInt32>(0)

  init(cpus: Int) {
    self.cpus = cpus
  }

  /// Begins the next look. True when the last two found every CPU halted for good.
  func tick() -> Bool {
    let isOver = state.withLock { state in
      state.unanimous = state.answers.count == cpus ? state.unanimous + 1 : 0
      state.answers = []
      return state.unanimous >= 2
    }
    round.add(1, ordering: .releasing)
    return isOver
  }

  /// The look that goes on now.
  var current: UInt32 { round.load(ordering: .acquiring) }

  /// What CPU `id` found in this look.
  func answer(_ id: UInt32, isHaltedForGood: Bool) {
    guard isHaltedForGood else { return }
    state.withLock { _ = $0.answers.insert(id) }
  }
}
