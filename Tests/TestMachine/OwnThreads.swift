// Swift's test library is there for builds of tests only.
#if canImport(Testing)
  import Platform
  import Synchronization
  public import Testing

  /// Runs tests on threads apart from the few that asynchronous code has: for those that wait, minutes at times, and would
  /// keep all others from going on.
  public struct OwnThreads: SuiteTrait, TestTrait, TestScoping {
    fileprivate let threads: TestThreads

    /// Each test of a suite has it.
    public var isRecursive: Bool { true }

    /// Runs a test on one of those threads.
    public func provideScope(
      for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
      try await withTaskExecutorPreference(threads) { try await function() }
    }
  }

  extension Trait where Self == OwnThreads {
    /// For tests that hold their thread while they wait.
    public static var ownThreads: Self { Self(threads: .waiting) }
    /// For tests of machines that are emulated. No more than three of them run at once: a machine on two processors waits
    /// for its own timers about half of the time.
    public static var machines: Self { Self(threads: .machines) }
  }

  /// Threads that take jobs in their order, and are there while there are jobs.
  private final class TestThreads: TaskExecutor {
    static let waiting = TestThreads(most: 8)
    static let machines = TestThreads(most: 3)

    private struct State {
      var jobs: [UnownedJob] = []
      var threads = 0
    }

    private let most: Int
    private let state = Mutex(State())

    private init(most: Int) {
      self.most = most
    }

    func enqueue(_ job: consuming ExecutorJob) {
      let job = UnownedJob(job)
      let isThreadNeeded = state.withLock { state in
        state.jobs.append(job)
        guard state.threads < most else { return false }
        state.threads += 1
        return true
      }
      guard isThreadNeeded else { return }
      do {
        try Thread("tests") { self.work() }.detach()
      } catch {
        fatalError("\(error)")
      }
    }

    private func work() {
      // SAFETY: the executor is never deallocated, and each job runs once.
      while let job = next() { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
    }

    /// The next job; without one, a thread less.
    private func next() -> UnownedJob? {
      state.withLock { state in
        if state.jobs.isEmpty {
          state.threads -= 1
          return nil
        }
        return state.jobs.removeFirst()
      }
    }
  }
#endif
