internal import Manifest
internal import Platform

/// Has what comes over the network connected once there is a network, and again and again while something is not there:
/// `roost-storage remotes connect` does it, and reports in the storage's file.
///
/// Lives on the loop's thread. It needs no turn among requests about disks: `roost-storage` has locks of its own, and
/// holds that of the disks only while it records.
final class RemoteKeeper {
  private let program: String
  private let deadline: Double
  private let pauses: ClosedRange<Double>
  private let loop: EventLoop
  private let mayRun: () -> Bool
  private let ended: (String?) -> Void
  private var child: CapturedChild?
  private var timer: EventLoop.Token?
  private var pause: Double
  private var isMissing = false
  private var mayBegin = false
  private var isClosed = false

  /// `mayRun` is asked before each run: whether programs can be started. `ended` is called after each, with what the log
  /// should have if the program itself failed.
  init(
    _ configuration: DaemonConfiguration, loop: EventLoop, mayRun: @escaping () -> Bool,
    ended: @escaping (String?) -> Void
  ) {
    program = configuration.storageProgram
    deadline = configuration.remoteDeadline
    pauses = configuration.remotePause
    pause = pauses.lowerBound
    self.loop = loop
    self.mayRun = mayRun
    self.ended = ended
  }

  private var isIdle: Bool { child?.isRunning != true }

  /// There is a network now.
  func begin() {
    mayBegin = true
  }

  /// Connects nothing any more. What is being connected changes nothing for guests: nobody waits for it.
  func close() {
    isClosed = true
    loop.cancel(timer)
    timer = nil
  }

  /// Looks at what the storage reported, and begins where something is not connected.
  func consider(_ report: StorageReport?) {
    // Room that is connected has a problem while it is not taken.
    isMissing =
      report?.remotes?.contains { $0.device == nil || $0.use == RemoteUse.room.rawValue && $0.problem != nil } == true
      || report?.waitingFor?.isEmpty == false
    step()
  }

  private func step() {
    guard mayBegin, !isClosed, mayRun() else { return }
    guard isMissing else {
      loop.cancel(timer)
      timer = nil
      pause = pauses.lowerBound
      return
    }
    if isIdle, timer == nil { run() }
  }

  private func run() {
    do throws(SystemError) {
      child = try CapturedChild([program, "remotes", "connect", "--json"], deadline: deadline, loop: loop) {
        [unowned self] outcome in
        // Exit code 1 stands for what is not there, which the storage's file tells.
        guard outcome.status != .exited(0), outcome.status != .exited(1) else { return rest(nil) }
        let end = outcome.status.map { "\($0)" } ?? "it hangs"
        rest("remotes cannot be connected: roost-storage: \(end): \(String(decoding: outcome.errors, as: UTF8.self))")
      }
    } catch {
      rest("remotes cannot be connected: roost-storage does not start: \(error)")
    }
  }

  /// Waits until the next attempt, if there has to be one.
  private func rest(_ problem: String?) {
    if !isClosed {
      timer = loop.after(pause) { [unowned self] in
        timer = nil
        step()
      }
      pause = min(pause * 2, pauses.upperBound)
    }
    ended(problem)
  }
}
