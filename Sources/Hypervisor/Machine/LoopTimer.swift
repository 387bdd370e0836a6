internal import Platform

/// A timer whose handler runs on the event loop. `start` and `stop` are safe from any thread.
final class LoopTimer: Sendable {
  private let timer: TimerDescriptor

  /// A timer that is not running. The loop keeps `handler`.
  init(_ loop: EventLoop, _ handler: @escaping () -> Void) throws(HypervisorError) {
    timer = try refusal(.system, "no timer can be made") { () throws(SystemError) in try TimerDescriptor() }
    try refusal(.system, "a timer cannot be awaited") { () throws(SystemError) in
      _ = try loop.add(timer.file.rawValue, .readable) { [self] _ in
        _ = try? timer.take()
        handler()
      }
    }
  }

  /// Calls the handler after so many nanoseconds, and again every `interval` unless that is 0.
  func start(after nanoseconds: UInt64, every interval: UInt64 = 0) {
    // Zero would stop it.
    try? timer.set(after: max(nanoseconds, 1), every: interval)
  }

  func stop() {
    try? timer.set(after: 0)
  }
}
