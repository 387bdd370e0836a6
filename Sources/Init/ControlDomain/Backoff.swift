/// How long a service that ended waits before it is started again: longer each time, up to a limit, and from the
/// beginning once it ran long enough to be called well.
public struct Backoff: Hashable, Sendable {
  /// The first wait; each further one is twice as long. Nanoseconds, as all times here.
  public let initial: UInt64
  /// The longest wait.
  public let maximum: UInt64
  /// A run of this length was a success.
  public let calm: UInt64
  /// Runs since the last success that ended early.
  public private(set) var failures = 0

  /// Waits of `initial`, twice that, and so on up to `maximum`.
  public init(
    initial: UInt64 = 250_000_000, maximum: UInt64 = 30_000_000_000, calm: UInt64 = 10_000_000_000
  ) {
    self.initial = initial
    self.maximum = maximum
    self.calm = calm
  }

  /// Takes note of a run of `duration` and returns the wait before the next.
  public mutating func wait(afterRunOf duration: UInt64) -> UInt64 {
    if duration >= calm { failures = 0 }
    let doublings = min(failures, 40)
    failures += 1
    let (wait, overflow) = initial.multipliedReportingOverflow(by: 1 << UInt64(doublings))
    return overflow ? maximum : min(wait, maximum)
  }

  /// Forgets the failures.
  public mutating func reset() {
    failures = 0
  }
}
