internal import Devices
internal import Platform
internal import Synchronization

/// What a guest said last about its memory. Any thread's.
final class MemoryReports: Sendable {
  private let last = Mutex<(statistics: BalloonStatistics, at: UInt64)?>(nil)

  func take(_ statistics: BalloonStatistics) {
    last.withLock { $0 = (statistics, MonotonicClock.now()) }
  }

  /// What it said, and how many nanoseconds ago; nil before it said anything.
  var latest: (statistics: BalloonStatistics, age: UInt64)? {
    last.withLock { $0.map { ($0.statistics, MonotonicClock.now() - $0.at) } }
  }
}

/// Gives back to the host what a guest's balloon or its reports of free pages say it does not need.
struct RAMBalloon: BalloonBackend {
  let memory: GuestRAM
  var reports: MemoryReports?

  func report(_ statistics: BalloonStatistics) { reports?.take(statistics) }

  func discard(_ segment: GuestSegment) {
    guard let offset = memory.offset(of: segment.address.rawValue, count: segment.count) else { return }
    // A host that does not take it keeps it: the guest is not worse off.
    try? memory.mapping.discard(at: offset, count: segment.count)
  }
}
