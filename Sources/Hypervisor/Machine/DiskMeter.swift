internal import Devices
internal import Platform
internal import Synchronization

/// Counts what a disk did for its guest, and how long that took. Any thread.
final class DiskMeter: Sendable {
  /// Upper bounds of the classes of durations, in nanoseconds; what takes longer is in one of its own.
  static let limits: [UInt64] = [
    100_000, 500_000, 1_000_000, 5_000_000, 10_000_000, 50_000_000, 100_000_000, 500_000_000, 1_000_000_000,
  ]

  /// What was counted so far.
  struct Counts: Hashable, Sendable {
    var reads: UInt64 = 0
    /// Bytes that were read.
    var readBytes: UInt64 = 0
    var writes: UInt64 = 0
    /// Bytes that were written.
    var writtenBytes: UInt64 = 0
    var flushes: UInt64 = 0
    /// Discards, and writes of zeros without data.
    var discards: UInt64 = 0
    /// Requests of all kinds that failed, which are among the others.
    var failures: UInt64 = 0
    /// From the request to its end, of all of them, in nanoseconds.
    var nanoseconds: UInt64 = 0
    /// The longest of these, in nanoseconds.
    var longest: UInt64 = 0
    /// How many took how long.
    var classes = [UInt64](repeating: 0, count: DiskMeter.limits.count + 1)
  }

  private let counts = Mutex(Counts())

  /// What was counted so far.
  var current: Counts { counts.withLock { $0 } }

  /// Takes note of a request that has ended.
  func note(_ request: DiskRequest, _ result: BlockResult, now: UInt64 = MonotonicClock.now()) {
    let duration = now > request.began ? now - request.began : 0
    let place = Self.limits.firstIndex { duration <= $0 } ?? Self.limits.count
    counts.withLock { counts in
      switch request.kind {
      case .read:
        counts.reads += 1
        counts.readBytes &+= UInt64(request.length)
      case .write:
        counts.writes += 1
        counts.writtenBytes &+= UInt64(request.length)
      case .flush: counts.flushes += 1
      case .discard, .writeZeroes: counts.discards += 1
      }
      if case .failure = result { counts.failures += 1 }
      counts.nanoseconds &+= duration
      counts.longest = max(counts.longest, duration)
      counts.classes[place] += 1
    }
  }
}
