internal import Synchronization

/// Counts the gateway's own requests and how long they took.
final class Meters: Sendable {
  /// What is counted apart.
  struct Kind: Hashable, Comparable {
    let method: String
    /// The path as the table of endpoints has it: what clients ask for is without bounds.
    let route: String
    let status: Int

    static func < (left: Kind, right: Kind) -> Bool {
      (left.route, left.method, left.status) < (right.route, right.method, right.status)
    }
  }

  /// How long requests took.
  struct Histogram {
    /// Upper limits of the buckets, in seconds.
    static let limits = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10]

    /// Requests that took no longer than each limit, and all.
    var counts = [Int](repeating: 0, count: limits.count + 1)
    var seconds = 0.0

    mutating func add(_ seconds: Double) {
      for (index, limit) in Self.limits.enumerated() where seconds <= limit { counts[index] += 1 }
      counts[Self.limits.count] += 1
      self.seconds += seconds
    }
  }

  private struct State {
    var requests: [Kind: Int] = [:]
    var times: [String: Histogram] = [:]
  }

  private let state = Mutex(State())

  func add(_ kind: Kind, seconds: Double) {
    state.withLock { state in
      state.requests[kind, default: 0] += 1
      state.times[kind.route, default: Histogram()].add(seconds)
    }
  }

  /// Requests by kind, and times by route, in a steady order.
  var readings: (requests: [(Kind, Int)], times: [(String, Histogram)]) {
    state.withLock { state in
      (
        state.requests.sorted { $0.key < $1.key }.map { ($0.key, $0.value) },
        state.times.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
      )
    }
  }
}
