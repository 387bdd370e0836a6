internal import Platform
internal import Synchronization

/// How a build is told to stop: from any thread, at any time.
///
/// Owns the list of process groups that are running for the build; they get the signal when it is cancelled.
public final class Cancellation: Sendable {
  private struct State {
    var count = 0
    var groups: [Int32: ChildProcess] = [:]
  }

  private let state = Mutex(State())

  /// Nothing is cancelled yet.
  public init() {}

  /// Asks every running program to end and refuses to start others. A second call kills them.
  public func cancel() {
    state.withLock { state in
      state.count += 1
      for child in state.groups.values {
        try? child.signalGroup(state.count > 1 ? Signal.kill : Signal.interrupt)
        if state.count == 1 { try? child.signalGroup(Signal.terminate) }
      }
    }
  }

  /// True once `cancel` was called.
  public var isCancelled: Bool { state.withLock { $0.count > 0 } }

  /// Throws when the build was cancelled.
  func check() throws(BuildError) {
    if isCancelled { throw .cancelled }
  }

  /// Starts a child that leads a process group, unless the build was cancelled.
  func start(_ request: ChildRequest) throws(BuildError) -> ChildProcess {
    // The lock is held while starting, so that no child is missed by a `cancel` at the same time.
    let result: Result<ChildProcess, BuildError> = state.withLock { state in
      guard state.count == 0 else { return .failure(.cancelled) }
      do throws(SystemError) {
        var request = request
        request.newProcessGroup = true
        // Where the build itself is killed, nobody waits for its programs. Each is started by the thread that waits for it.
        request.parentDeathSignal = Signal.kill
        let child = try ChildProcess.start(request)
        state.groups[child.pid] = child
        return .success(child)
      } catch {
        return .failure(BuildError(error, "cannot run \(request.arguments.first ?? "a program")"))
      }
    }
    return try result.get()
  }

  /// How `child` ended, and forgets it then; nil while it runs.
  func poll(_ child: ChildProcess) throws(BuildError) -> ExitStatus? {
    // Reaped under the lock: its number cannot belong to another process while a signal is sent.
    let result: Result<ExitStatus?, SystemError> = state.withLock { state in
      do throws(SystemError) {
        let status = try child.poll()
        if status != nil {
          // What it left behind in its group goes with it.
          try? child.signalGroup(Signal.kill)
          state.groups[child.pid] = nil
        }
        return .success(status)
      } catch {
        return .failure(error)
      }
    }
    switch result {
    case .success(let status): return status
    case .failure(let error): throw BuildError(error, "cannot wait for a program")
    }
  }
}
