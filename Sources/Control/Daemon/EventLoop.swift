internal import Platform

/// Descriptors and timers of one thread. Handlers run on the thread that runs the loop, one at a time; they may add and
/// remove watches and timers, themselves included.
final class EventLoop {
  /// Names a watch or a timer; never used twice.
  typealias Token = UInt64

  private struct Watch {
    let descriptor: Int32
    let handler: (Readiness) -> Void
  }

  private struct Timer {
    let due: Double
    let handler: () -> Void
  }

  private let poller: Poller
  private var watches: [Token: Watch] = [:]
  private var timers: [Token: Timer] = [:]
  private var nextToken: Token = 1

  init() throws(SystemError) {
    poller = try Poller()
  }

  /// Seconds since power-on: the clock of all timers.
  var now: Double { Double(MonotonicClock.sinceBoot()) / 1e9 }

  /// Calls `handler` while the descriptor is ready. Unwatch it before it is closed.
  func watch(
    _ descriptor: Int32, _ interest: Readiness, _ handler: @escaping (Readiness) -> Void
  ) throws(SystemError) -> Token {
    let token = nextToken
    nextToken += 1
    try poller.add(descriptor, interest, token: token)
    watches[token] = Watch(descriptor: descriptor, handler: handler)
    return token
  }

  /// Changes what a descriptor is watched for.
  func change(_ token: Token, to interest: Readiness) {
    if let watch = watches[token] { try? poller.modify(watch.descriptor, interest, token: token) }
  }

  /// Stops watching; a token that is not there is fine.
  func unwatch(_ token: Token?) {
    guard let token, let watch = watches.removeValue(forKey: token) else { return }
    try? poller.remove(watch.descriptor)
  }

  /// Calls `handler` once, after `seconds`.
  @discardableResult
  func after(_ seconds: Double, _ handler: @escaping () -> Void) -> Token {
    let token = nextToken
    nextToken += 1
    timers[token] = Timer(due: now + seconds, handler: handler)
    return token
  }

  /// Forgets a timer; one that is gone is fine.
  func cancel(_ token: Token?) {
    if let token { timers[token] = nil }
  }

  /// Handles what is due and ready until `isDone`, which is asked after each round.
  func run(until isDone: () -> Bool) throws(SystemError) {
    while !isDone() {
      let ready = try poller.wait(timeout: timeout)
      for (token, readiness) in ready {
        watches[token]?.handler(readiness)
      }
      let now = self.now
      let due = timers.filter { $0.value.due <= now }.sorted { ($0.value.due, $0.key) < ($1.value.due, $1.key) }
      for (token, _) in due {
        timers.removeValue(forKey: token)?.handler()
      }
    }
  }

  /// Milliseconds to the next timer, rounded up; -1 when there is none.
  private var timeout: Int32 {
    guard let due = timers.values.map(\.due).min() else { return -1 }
    return Int32(max(0, min((due - now) * 1000 + 1, 3_600_000)))
  }
}
