internal import Synchronization

/// Counts connections, all of them and those of each address.
final class ConnectionCount: Sendable {
  private struct State {
    var total = 0
    var peers: [String: Int] = [:]
    var refused = 0
  }

  private let limits: GatewayLimits
  private let state = Mutex(State())

  init(limits: GatewayLimits) {
    self.limits = limits
  }

  /// Connections that are there.
  var total: Int { state.withLock { $0.total } }
  /// Connections that were refused so far.
  var refused: Int { state.withLock { $0.refused } }

  /// Takes one more in, or not. `peer` is nil for the unix socket's.
  func enter(_ peer: String?) -> Bool {
    state.withLock { state in
      let ofPeer = peer.map { state.peers[$0, default: 0] } ?? 0
      guard state.total < limits.connections, ofPeer < limits.connectionsPerPeer else {
        state.refused += 1
        return false
      }
      state.total += 1
      if let peer { state.peers[peer] = ofPeer + 1 }
      return true
    }
  }

  func leave(_ peer: String?) {
    state.withLock { state in
      state.total -= 1
      guard let peer, let count = state.peers[peer] else { return }
      state.peers[peer] = count > 1 ? count - 1 : nil
    }
  }
}
