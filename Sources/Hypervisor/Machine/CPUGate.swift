internal import Platform
internal import Synchronization

/// Holds a machine's CPUs outside of the guest while it is paused.
///
/// Concurrency model: `close` and `open` belong to the event loop, which calls the CPUs out of the guest once the gate is
/// closed; `pass` to the CPUs' threads. `state` is taken for moments, with no other lock.
final class CPUGate: Sendable {
  private struct State {
    var isClosed = false
    /// CPUs that are in front of the gate.
    var held = 0
  }

  /// What a CPU sleeps on.
  private final class Latch: Sendable {
    let event: EventDescriptor

    init() throws(SystemError) {
      event = try EventDescriptor(nonBlocking: false)
    }
  }

  private let state = Mutex(State())
  private let latches: [Latch]
  /// Signalled when the last CPU has come to a closed gate.
  let allHeld: EventDescriptor

  init(cpus: Int) throws(HypervisorError) {
    let message = "no events can be made to hold the CPUs"
    allHeld = try refusal(.system, message) { () throws(SystemError) in try EventDescriptor() }
    latches = try refusal(.system, message) { () throws(SystemError) in
      var latches: [Latch] = []
      for _ in 0..<cpus { latches.append(try Latch()) }
      return latches
    }
  }

  /// Whether CPUs are to stay outside of the guest.
  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Whether all of them do.
  var holdsAll: Bool { state.withLock { $0.isClosed && $0.held == latches.count } }

  /// Keeps CPUs that come. One that has not gone on since the gate was last closed counts as held again, and says nothing.
  func close() {
    state.withLock { $0.isClosed = true }
  }

  /// Lets all CPUs go on.
  func open() {
    state.withLock { $0.isClosed = false }
    for latch in latches { try? latch.event.signal() }
  }

  /// Keeps the calling thread, which is CPU `id`'s, while the gate is closed; `onHold` is called first.
  ///
  /// It is to be called whenever a request to leave the guest was taken back: the lock orders that before the look at the
  /// gate, so that no request that follows its closing is lost.
  func pass(_ id: UInt32, onHold: () -> Void) {
    guard isClosed else { return }
    onHold()
    let isLast = state.withLock { state in
      state.held += 1
      return state.isClosed && state.held == latches.count
    }
    if isLast { try? allHeld.signal() }
    // What an earlier opening has left on the latch wakes once too often.
    while !state.withLock({ Self.leave(&$0) }) { _ = try? latches[Int(id)].event.take() }
  }

  /// Whether a held CPU may go, which then is held no more.
  private static func leave(_ state: inout State) -> Bool {
    guard !state.isClosed else { return false }
    state.held -= 1
    return true
  }
}
