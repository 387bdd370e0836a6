internal import Platform
internal import Synchronization

/// Where disks get their rings: made when they are needed, or before, in a process that cannot make any later.
///
/// Concurrency model: any thread; `state` is held while a ring is made, and takes no other lock.
final class RingSupply: Sendable {
  private struct State {
    var rings: [RingBox] = []
    /// Why there are no more.
    var refusal: SystemError?
    var isClosed = false
  }

  private final class RingBox: Sendable {
    let ring: Mutex<IORing?>

    init(_ ring: consuming IORing) {
      self.ring = Mutex(consume ring)
    }
  }

  private let state = Mutex(State())

  /// Makes `count` rings, as far as the kernel has them to give and they can be limited to what disks need, and none from
  /// now on.
  func prepare(_ count: Int) {
    state.withLock { state in
      state.isClosed = true
      do throws(SystemError) {
        for _ in 0..<count {
          let ring = try IORing(entries: RingEngine.entries)
          guard ring.isRestricted else { throw SystemError("limit a ring", errno: .notSupported) }
          state.rings.append(RingBox(ring))
        }
      } catch {
        state.refusal = error
      }
    }
  }

  /// A ring with at least `entries` entries; of those that were made before, one as they are.
  func take(entries: UInt32) throws(SystemError) -> IORing {
    let box = try state.withLock { state throws(SystemError) -> RingBox in
      guard state.isClosed else { return RingBox(try IORing(entries: entries)) }
      guard let box = state.rings.popLast() else {
        throw state.refusal ?? SystemError("take another ring than those of the start", errno: .notPermitted)
      }
      return box
    }
    guard let ring = box.ring.withLock({ $0.take() }) else {
      throw SystemError("take a ring", errno: .busy)
    }
    return ring
  }
}
