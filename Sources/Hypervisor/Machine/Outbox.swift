internal import Devices
internal import Platform
internal import Synchronization

/// Bytes on their way from a guest's port to whoever shows them. The guest never waits: when nobody takes them the
/// oldest go.
///
/// Concurrency model: vCPU threads write, the event loop takes; both under `pending`, for moments.
final class Outbox: ByteSink, Sendable {
  /// Bytes kept for an event loop that is busy.
  static let limit = 256 << 10

  private let pending = Mutex<[UInt8]>([])
  let wake: EventDescriptor

  init() throws(HypervisorError) {
    wake = try refusal(.system, "no event can be made") { () throws(SystemError) in try EventDescriptor() }
  }

  func write(_ byte: UInt8) {
    let isFirst = pending.withLock { pending in
      if pending.count >= Self.limit { pending.removeFirst(Self.limit / 4) }
      pending.append(byte)
      return pending.count == 1
    }
    if isFirst { try? wake.signal() }
  }

  func write(_ bytes: Span<UInt8>) {
    guard !bytes.isEmpty else { return }
    let isFirst = pending.withLock { pending in
      let isFirst = pending.isEmpty
      let excess = pending.count + bytes.count - Self.limit
      // Room for more than this one, so that a full box is not moved at every write.
      if excess > 0 { pending.removeFirst(min(pending.count, max(excess, Self.limit / 4))) }
      for index in max(0, bytes.count - Self.limit)..<bytes.count { pending.append(bytes[index]) }
      return isFirst
    }
    if isFirst { try? wake.signal() }
  }

  /// All that waits, and nothing waits any more.
  func take() -> [UInt8] {
    pending.withLock { pending in
      defer { pending = [] }
      return pending
    }
  }
}
