internal import ImageBuilder
internal import Platform
internal import Synchronization

/// Turns Ctrl-C and its like into a cancellation, and keeps the screen's times going.
final class InterruptWatch: Sendable {
  private let isDone = Mutex(false)
  private let wake: EventDescriptor
  private let hasEnded: EventDescriptor
  private let signals: SignalDescriptor

  /// Made on the thread that starts all others, so that the signals are blocked in every one of them. `say` shows a
  /// line, `tick` brings times up to date; both are called on a thread of their own.
  init(
    _ cancellation: Cancellation, say: @escaping @Sendable (String) -> Void, tick: @escaping @Sendable () -> Void
  ) throws(SystemError) {
    wake = try EventDescriptor()
    hasEnded = try EventDescriptor(nonBlocking: false)
    signals = try SignalDescriptor([Signal.interrupt, Signal.terminate, Signal.hangUp])
    try Thread("interrupts") {
      self.watch(cancellation, say, tick)
      try? self.hasEnded.signal()
    }.detach()
  }

  private func watch(_ cancellation: Cancellation, _ say: (String) -> Void, _ tick: () -> Void) {
    guard let poller = try? Poller() else { return }
    try? poller.add(signals.file.rawValue, .readable, token: 1)
    try? poller.add(wake.file.rawValue, .readable, token: 2)
    while !isDone.withLock({ $0 }) {
      let ready = (try? poller.wait(timeout: 100)) ?? []
      if ready.contains(where: { $0.token == 1 }), (try? signals.take()) != nil {
        say("interrupted: stopping; again to stop at once")
        cancellation.cancel()
      }
      tick()
    }
  }

  /// Ends the watching; the screen is not touched afterwards.
  func stop() {
    isDone.withLock { $0 = true }
    try? wake.signal()
    _ = try? hasEnded.take()
  }
}
